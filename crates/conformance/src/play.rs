//! Executes the commands of a transcript, inside the stage and inside `userlink run`.
//!
//! As it was done on the transcripts' machine: each command is a `bash -c` of its own with an empty standard input, in a
//! process group of its own, and the next one starts when the command has ended and nobody holds its outputs open.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Error};
use rustix::process::{Pid, Signal, kill_process_group};
use rustix::pty;
use serde::{Deserialize, Serialize};

use crate::golden::{Mode, Status, Step, Transcript};

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long what it left behind may keep its outputs open when it was killed.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What came of a step.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Played {
    /// The step's number.
    pub n: u32,
    /// How it ended.
    pub rc: Status,
    /// What it printed.
    pub stdout: String,
    /// What it complained.
    pub stderr: String,
    /// Where in the captured datagrams its own begin and end.
    pub captured: (u64, u64),
    /// How long it took, in seconds.
    pub took: f64,
}

/// Plays the steps of `transcript` except those that `skip` names, and writes what came of each to `out`, a line each.
///
/// # Errors
/// A command cannot be started, or `out` not be written.
pub fn play(transcript: &Path, skip: &[u32], capture: &Path, out: &Path) -> Result<(), Error> {
    let mut out = File::create(out)?;
    for step in Transcript::read(transcript)?.steps {
        if skip.contains(&step.n) {
            continue;
        }
        let length = || fs::metadata(capture).map_or(0, |file| file.len());
        let (from, started) = (length(), Instant::now());
        let (rc, stdout, stderr) = execute(&step).with_context(|| step.command.clone())?;
        let played = Played {
            n: step.n,
            rc,
            stdout: text(stdout),
            stderr: text(stderr),
            captured: (from, length()),
            took: started.elapsed().as_secs_f64(),
        };
        serde_json::to_writer(&mut out, &played)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// The text of an output; what is no UTF-8 is taken for Latin-1, as the transcripts have it.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| error.into_bytes().into_iter().map(char::from).collect())
}

fn execute(step: &Step) -> Result<(Status, Vec<u8>, Vec<u8>), Error> {
    let patience = step.timeout.map_or(PATIENCE, Duration::from_secs);
    match step.mode {
        Mode::Tty => on_a_terminal(&step.command, patience),
        Mode::Pipe | Mode::Wire => with_pipes(&step.command, patience),
    }
}

fn with_pipes(command: &str, patience: Duration) -> Result<(Status, Vec<u8>, Vec<u8>), Error> {
    let mut child = Command::new("/bin/bash")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let out = child.stdout.take().map(collect);
    let err = child.stderr.take().map(collect);
    let deadline = Instant::now() + patience;
    let (out, err) = (out.context("no output")?, err.context("no output")?);
    let mut outputs = (out.wait(deadline), err.wait(deadline));
    let mut late = !out.ended() || !err.ended();
    let status = match late {
        false => wait(&mut child, deadline)?,
        true => None,
    };
    late |= status.is_none();
    if late {
        kill(&child);
        child.wait()?;
        let last = Instant::now() + LAST_WORDS;
        outputs.0.extend(out.wait(last));
        outputs.1.extend(err.wait(last));
    }
    let status = status.filter(|_| !late);
    Ok((
        status.map_or_else(|| Status::Other("timeout".into()), code),
        outputs.0,
        outputs.1,
    ))
}

/// The command has a terminal of its own, of size 0 by 0, for all its three standard files.
fn on_a_terminal(command: &str, patience: Duration) -> Result<(Status, Vec<u8>, Vec<u8>), Error> {
    let flags = pty::OpenptFlags::RDWR | pty::OpenptFlags::NOCTTY | pty::OpenptFlags::CLOEXEC;
    let master = pty::openpt(flags)?;
    pty::grantpt(&master)?;
    pty::unlockpt(&master)?;
    let name = pty::ptsname(&master, Vec::new())?;
    let slave = File::options()
        .read(true)
        .write(true)
        .open(name.to_string_lossy().as_ref())?;
    // setsid makes the terminal the controlling one.
    let mut child = Command::new("setsid")
        .args(["--ctty", "--wait", "/bin/bash", "-c", command])
        .stdin(slave.try_clone()?)
        .stdout(slave.try_clone()?)
        .stderr(slave)
        .spawn()?;
    let out = collect(File::from(master));
    let deadline = Instant::now() + patience;
    let status = wait(&mut child, deadline)?;
    if status.is_none() {
        child.kill()?;
        child.wait()?;
    }
    let printed = out.wait(Instant::now() + LAST_WORDS);
    let status = status.map_or_else(|| Status::Other("timeout".into()), code);
    Ok((status, printed, Vec::new()))
}

/// A status as the transcripts state it.
fn code(status: ExitStatus) -> Status {
    Status::Code(match (status.code(), status.signal()) {
        (Some(code), _) => code,
        (None, signal) => -signal.unwrap_or_default(),
    })
}

fn kill(child: &Child) {
    if let Some(pid) = Pid::from_raw(child.id() as i32) {
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

/// Waits for the end of a process whose outputs are closed, which is near.
fn wait(child: &mut Child, deadline: Instant) -> Result<Option<ExitStatus>, Error> {
    let mut nap = Duration::from_micros(200);
    loop {
        match child.try_wait()? {
            None if Instant::now() < deadline => thread::sleep(nap),
            status => return Ok(status),
        }
        nap = (nap * 2).min(Duration::from_millis(5));
    }
}

/// What a thread reads from somewhere until the end.
struct Collected(mpsc::Receiver<Vec<u8>>, std::cell::Cell<bool>);

fn collect(mut from: impl Read + Send + 'static) -> Collected {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        // The reading side of a terminal fails when the other one is closed.
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            if sender.send(buffer[..length].to_vec()).is_err() {
                break;
            }
        }
    });
    Collected(receiver, std::cell::Cell::new(false))
}

impl Collected {
    fn wait(&self, deadline: Instant) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.0.recv_timeout(left) {
                Ok(bytes) => all.extend(bytes),
                Err(error) => {
                    self.1.set(error == mpsc::RecvTimeoutError::Disconnected);
                    return all;
                }
            }
        }
    }

    fn ended(&self) -> bool {
        self.1.get()
    }
}
