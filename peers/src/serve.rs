//! `peer serve LOCK`: answers each line `CELL COUNT` with `CPU WALL DELAYED`: of one round, the nanoseconds of a pair, and the share
//! of time that was spent waiting for a processor.

use anyhow::{Context as _, Result, bail};

use crate::cells::Cells;
use crate::locks;

/// Serves until standard input ends.
///
/// # Errors
/// When a lock or a cell is not known.
pub fn serve(lock: &str) -> Result<()> {
    if cfg!(feature = "deadlock_detection") != (lock == "parking_lot-detecting") {
        bail!("this program has another parking_lot");
    }
    if cfg!(feature = "off") != (lock == "lockdep-off")
        || cfg!(feature = "lock_stat") != (lock == "lockdep-stat")
    {
        bail!("this program has another lockdep");
    }
    match lock {
        "std" => rounds(Cells::<locks::Std>::default()),
        "parking_lot" | "parking_lot-detecting" => rounds(Cells::<locks::ParkingLot>::default()),
        "tracing-std" => rounds(Cells::<locks::TracingStd>::default()),
        "tracing-parking_lot" => rounds(Cells::<locks::TracingParkingLot>::default()),
        "no_deadlocks" => rounds(Cells::<locks::NoDeadlocks>::default()),
        "lockdep" | "lockdep-off" | "lockdep-stat" => rounds(Cells::<locks::Ours>::default()),
        "lockdep-parking_lot" => rounds(Cells::<locks::OursParkingLot>::default()),
        _ => bail!("no lock is called so"),
    }
}

fn rounds<L: locks::Lock>(mut cells: Cells<L>) -> Result<()> {
    for line in std::io::stdin().lines() {
        let line = line?;
        let (cell, count) = line.split_once(' ').context("a line is CELL COUNT")?;
        let round = cells.round(cell, count.parse()?)?;
        println!("{:.3} {:.3} {:.3}", round.cpu, round.wall, round.delayed);
    }
    Ok(())
}
