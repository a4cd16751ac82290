//! What order checking costs: lockdep's mutex beside its peers' and beside the bare locks under them.
//!
//! Every lock has a process of its own (`peers/`), and all take a short round of one cell in turns, many times over.
//! What they say, instead of what they cost, is in [`verdicts`].

mod peer;
pub(crate) mod verdicts;

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::rows::Row;
use crate::stats::median;
use peer::{Peer, Round};

/// Rounds of each cell, all locks in turns.
const ROUNDS: usize = 41;
/// The most that a checked pair may cost more than a bare one, in nanoseconds.
const ADDED: f64 = 2.0;
/// How many times cheaper than tracing-mutex the checking must be.
const CHEAPER: f64 = 4.0;
/// The most that an order that was never seen may cost, in microseconds.
const EDGE: f64 = 10.0;

/// A lock: what `peer serve` calls it, what the table calls it, and the bare lock under it.
struct Lock {
    id: &'static str,
    name: &'static str,
    bare: usize,
    /// By how much its rounds are shorter than the others': it is slow.
    fewer: usize,
}

const STD: usize = 0;
const PARKING_LOT: usize = 1;
const TRACING: usize = 3;
const OURS: usize = 6;

const LOCKS: [Lock; 10] = [
    lock("std", "std::sync::Mutex", STD, 1),
    lock("parking_lot", "parking_lot", PARKING_LOT, 1),
    lock(
        "parking_lot-detecting",
        "parking_lot deadlock_detection",
        PARKING_LOT,
        1,
    ),
    lock("tracing-std", "tracing-mutex stdsync", STD, 1),
    lock(
        "tracing-parking_lot",
        "tracing-mutex parkinglot",
        PARKING_LOT,
        1,
    ),
    lock("no_deadlocks", "no_deadlocks", STD, 200),
    lock("lockdep", "lockdep", STD, 1),
    lock(
        "lockdep-parking_lot",
        "lockdep's parking_lot",
        PARKING_LOT,
        1,
    ),
    lock("lockdep-off", "lockdep, off", STD, 1),
    lock("lockdep-stat", "lockdep, lock_stat", STD, 1),
];

const fn lock(id: &'static str, name: &'static str, bare: usize, fewer: usize) -> Lock {
    Lock {
        id,
        name,
        bare,
        fewer,
    }
}

/// A cell: what `peer serve` calls it, what the table calls it, how often a round repeats it, and how rounds are told.
struct Cell {
    id: &'static str,
    name: &'static str,
    count: usize,
    told: Told,
}

#[derive(Clone, Copy, PartialEq)]
enum Told {
    /// As CPU time of the thread.
    Cpu,
    /// As CPU time too, of those rounds alone in which both threads could run at once.
    AtOnce,
    /// As time on the wall, of those rounds too: who waits for a lock uses no CPU.
    Wall,
    /// As CPU time of one new edge.
    Edge,
}

const CELLS: [Cell; 8] = [
    cell("depth-1", "1 deep", 100_000, Told::Cpu),
    cell("depth-2", "2 deep", 50_000, Told::Cpu),
    cell("depth-4", "4 deep", 25_000, Told::Cpu),
    cell(
        "many-depth-1",
        "1 deep, 100,000 instances",
        100_000,
        Told::Cpu,
    ),
    cell(
        "many-depth-2",
        "2 deep, 100,000 instances",
        100_000,
        Told::Cpu,
    ),
    cell(
        "private",
        "2 deep, two threads, private locks",
        100_000,
        Told::AtOnce,
    ),
    cell(
        "shared",
        "2 deep, two threads, shared locks",
        25_000,
        Told::Wall,
    ),
    cell("edge", "new edge", 200, Told::Edge),
];

const fn cell(id: &'static str, name: &'static str, count: usize, told: Told) -> Cell {
    Cell {
        id,
        name,
        count,
        told,
    }
}

/// Nanoseconds by cell and lock.
type Figures = [[f64; LOCKS.len()]; CELLS.len()];

/// The rows of `./x bench lockdep`, measured by the programs in `programs`.
pub(crate) fn measure(programs: &Path) -> Result<Vec<Row>> {
    let figures = figures(programs)?;
    print_added(&figures);
    let mut rows = rows(&figures);
    rows.extend(memory(programs)?);
    Ok(rows)
}

/// What lockdep keeps, in bytes; told, and compared with nothing.
fn memory(programs: &Path) -> Result<Vec<Row>> {
    let names = [
        "a class",
        "a chain",
        "an edge with both stacks and its witnesses",
    ];
    let figures = peer::memory(programs)?;
    let row = |(name, bytes): (&str, usize)| Row {
        case: format!("lockdep's memory, {name}"),
        value: bytes as f64,
        unit: "bytes",
        floor: bytes as f64,
        against: "itself",
        target: None,
    };
    Ok(names.into_iter().zip(figures).map(row).collect())
}

fn figures(programs: &Path) -> Result<Figures> {
    let mut peers = Vec::new();
    for lock in &LOCKS {
        peers.push(Peer::start(programs, lock.id).with_context(|| lock.name)?);
    }
    let mut figures = [[0.0; LOCKS.len()]; CELLS.len()];
    for (cell, figures) in CELLS.iter().zip(&mut figures) {
        let mut rounds = [const { Vec::new() }; LOCKS.len()];
        for round in 0..=ROUNDS {
            for ((lock, peer), rounds) in LOCKS.iter().zip(&mut peers).zip(&mut rounds) {
                // What many instances teach is learnt in one long round, by the slow ones too.
                let learning = round == 0 && cell.id.starts_with("many");
                let count = match cell.told {
                    _ if learning => cell.count,
                    Told::Edge => cell.count / lock.fewer.min(10),
                    _ => cell.count / lock.fewer,
                };
                let one = peer.round(cell.id, count).with_context(|| lock.name)?;
                if round > 0 {
                    rounds.push(one);
                }
            }
        }
        for ((lock, figure), rounds) in LOCKS.iter().zip(figures).zip(rounds) {
            *figure = tell(lock, cell, &rounds);
        }
    }
    Ok(figures)
}

/// The figure that rounds add up to.
fn tell(lock: &Lock, cell: &Cell, rounds: &[Round]) -> f64 {
    let at_once = |round: &&Round| round.delayed < 0.1;
    let mut chosen: Vec<&Round> = rounds.iter().collect();
    if matches!(cell.told, Told::AtOnce | Told::Wall) {
        let undisturbed = rounds.iter().filter(at_once).count();
        if undisturbed >= rounds.len() / 8 {
            chosen.retain(at_once);
        } else {
            eprintln!(
                "{}, {}: the machine is busy, in {undisturbed} rounds of {} alone did both threads run at once",
                lock.name,
                cell.name,
                rounds.len()
            );
        }
    }
    let figure = |round: &Round| match cell.told {
        Told::Wall => round.wall,
        _ => round.cpu,
    };
    median(chosen.into_iter().map(figure).collect())
}

/// What each lock adds to its bare one, nanoseconds a pair.
fn print_added(figures: &Figures) {
    let name = LOCKS.iter().map(|lock| lock.name.len()).max().unwrap_or(0);
    print!("{:name$}", "ns added to the bare lock");
    for (column, _) in CELLS.iter().enumerate() {
        print!(" {:>9}", format!("({})", column + 1));
    }
    println!();
    for (at, lock) in LOCKS.iter().enumerate() {
        print!("{:name$}", lock.name);
        for figures in figures {
            if at == lock.bare {
                print!(" {:>9}", format!("[{:.1}]", figures[at]));
            } else {
                print!(" {:>9.1}", figures[at] - figures[lock.bare]);
            }
        }
        println!();
    }
    let legend = CELLS.iter().enumerate();
    let legend = legend.map(|(column, cell)| format!("({}) {}", column + 1, cell.name));
    println!("{}\n", legend.collect::<Vec<_>>().join("; "));
}

fn rows(figures: &Figures) -> Vec<Row> {
    let mut rows = Vec::new();
    for (cell, figures) in CELLS.iter().zip(figures) {
        for (at, lock) in LOCKS.iter().enumerate() {
            let (unit, scale) = match cell.told {
                Told::Edge => ("us", 1e-3),
                _ => ("ns", 1.0),
            };
            let (value, floor) = (scale * figures[at], scale * figures[lock.bare]);
            let target = match cell.told {
                _ if at != OURS => None,
                Told::Cpu | Told::AtOnce => Some(floor + ADDED),
                Told::Edge => Some(EDGE),
                Told::Wall => None,
            };
            rows.push(Row {
                case: format!("{}, {}", lock.name, cell.name),
                value,
                unit,
                floor,
                against: LOCKS[lock.bare].name,
                target,
            });
        }
    }
    for (cell, figures) in CELLS.iter().zip(figures) {
        let added = |at: usize| figures[at] - figures[LOCKS[at].bare];
        // A peer that adds nothing cannot be undercut.
        if cell.told == Told::Cpu && added(TRACING) > 1.0 {
            rows.push(Row {
                case: format!("added by lockdep, {}", cell.name),
                value: added(OURS),
                unit: "ns",
                floor: added(TRACING),
                against: "added by tracing-mutex stdsync",
                target: Some(added(TRACING) / CHEAPER),
            });
        }
    }
    rows
}
