//! A process that measures one lock, a round when it is told to.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, anyhow, bail};

/// One round of a cell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    /// Nanoseconds of one pair, as CPU time and by the clock on the wall.
    pub(super) cpu: f64,
    pub(super) wall: f64,
    /// The share of that time in which a thread waited for a processor.
    pub(super) delayed: f64,
}

/// `peer serve LOCK`, and the pipes to it.
#[derive(Debug)]
pub(super) struct Peer {
    child: Child,
    cells: Option<ChildStdin>,
    rounds: BufReader<ChildStdout>,
}

/// The program that knows the lock.
pub(super) fn program(lock: &str) -> &'static str {
    match lock {
        "parking_lot-detecting" => "peer-detecting",
        "deloxide" => "peer-deloxide",
        "lockdep-off" => "peer-off",
        "lockdep-stat" => "peer-stat",
        _ => "peer",
    }
}

impl Peer {
    /// Starts the process for `lock`; its program is in `programs`.
    pub(super) fn start(programs: &Path, lock: &str) -> Result<Self> {
        let mut command = Command::new(programs.join(program(lock)));
        let mut child = command
            .args(["serve", lock])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{command:?} (`./x bench lockdep` builds it)"))?;
        let cells = child.stdin.take();
        let rounds = BufReader::new(child.stdout.take().expect("piped above"));
        Ok(Self {
            child,
            cells,
            rounds,
        })
    }

    /// One round of `cell`, which repeats it `count` times.
    pub(super) fn round(&mut self, cell: &str, count: usize) -> Result<Round> {
        let cells = self.cells.as_mut().expect("open until drop");
        writeln!(cells, "{cell} {count}").context("the peer has ended")?;
        let mut line = String::new();
        self.rounds.read_line(&mut line)?;
        let fields: Result<Vec<f64>, _> = line.split_whitespace().map(str::parse).collect();
        match fields.as_deref() {
            Ok(&[cpu, wall, delayed]) => Ok(Round { cpu, wall, delayed }),
            _ => bail!("cell {cell}: the peer said {line:?}"),
        }
    }
}

/// The bytes of one class, one chain and one edge of lockdep's.
pub(super) fn memory(programs: &Path) -> Result<[usize; 3]> {
    let mut command = Command::new(programs.join(program("lockdep")));
    let output = command
        .arg("memory")
        .output()
        .with_context(|| format!("{command:?} (`./x bench lockdep` builds it)"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let figures: Result<Vec<usize>, _> = said.split_whitespace().map(str::parse).collect();
    let figures = figures.ok().and_then(|figures| figures.try_into().ok());
    figures.ok_or_else(|| anyhow!("peer memory said {said:?}"))
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.cells = None; // the peer's end of file
        let _ = self.child.wait();
    }
}
