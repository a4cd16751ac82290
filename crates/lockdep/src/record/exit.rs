//! Graph files without a line of code: `LOCKDEP_GRAPH=DIR` makes every process that takes a lock of this crate write its graph
//! into the folder when it exits. Not when it is killed, aborts or leaves by `_exit`. A child that goes on without `exec` after
//! `fork` writes a file of its own.

use std::ffi::OsString;
use std::io;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Record;
use crate::thread;

/// The environment variable.
const VARIABLE: &str = "LOCKDEP_GRAPH";

static DIR: OnceLock<PathBuf> = OnceLock::new();

unsafe extern "C" {
    /// C's own.
    fn atexit(call: extern "C" fn()) -> i32;
}

/// Asks for the file at the exit of the process, if the environment wants it. Called when the first class becomes known.
pub(crate) fn arm() {
    let Some(dir) = std::env::var_os(VARIABLE).filter(|dir: &OsString| !dir.is_empty()) else {
        return;
    };
    // The working folder may be another one by then.
    let dir = std::path::absolute(&dir).unwrap_or_else(|_| dir.into());
    if DIR.set(dir).is_ok() {
        // SAFETY: `at_exit` is a function of the right type that lives as long as the program and lets no panic out; `atexit`
        // may be called at any time.
        unsafe { atexit(at_exit) };
    }
}

extern "C" fn at_exit() {
    // A thread that exits the process from within the validator may hold the graph lock.
    let Some(dir) = DIR
        .get()
        .filter(|_| !thread::with(|thread| thread.busy.get()))
    else {
        return;
    };
    // Whatever goes wrong: the exit status belongs to the program.
    let _ = catch_unwind(|| {
        if let Err(error) = write_graph(dir) {
            eprintln!("lockdep: no graph file in {}: {error}", dir.display());
        }
    });
}

/// Writes what this process has learnt so far into a new file of the folder, which is made if need be. Gives its path.
///
/// # Errors
/// What the file system says.
pub fn write_graph(dir: impl AsRef<Path>) -> io::Result<PathBuf> {
    let dir = dir.as_ref();
    std::fs::create_dir_all(dir)?;
    let record = Record::take();
    let run = record.runs.first().cloned().unwrap_or_default();
    // Process ids come again.
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_micros());
    let path = dir.join(format!("{}-{}-{now}.lockdep", run.program, run.pid));
    record.write(&path)?;
    Ok(path)
}
