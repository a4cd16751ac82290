//! Graph files: what a run has learnt, for another process to read.
//!
//! Text, a line a fact, fields separated by tabs; `\t`, `\n` and `\\` stand for what they name. The first line is
//! `lockdep-graph VERSION`, the last one says how many lines there are, so that a file that was cut off is known as such.
//!
//! ```text
//! run      PROGRAM PID
//! class    NAME USAGE CHECKED SHARED-NAME LEVEL-TABLE LEVEL
//! writer   RUN THREAD TID NAME CLOCK HELD TAKEN   (of the class above)
//! edge     FROM TO LOCKERS REPORTED BRIDGE RUN THREAD TID BREAKS
//! held     SITE ADDRESS FUNCTION…            (of the edge above)
//! taken    SITE ADDRESS FUNCTION…            (of the edge above)
//! witness  RUN THREAD TID NAME CLOCK HELD TAKEN   (of the edge above)
//! finding  KIND SIGNATURE SITE TEXT CLASS…        (what is no cycle: cycles follow from the edges)
//! end      LINES
//! ```

mod reader;
mod writer;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use reader::Reader;

use super::Record;
use crate::ReportKind;

const MAGIC: &str = "lockdep-graph";
const VERSION: &str = "1";

/// A graph file that cannot be read: which, where in it, and why. One line.
#[derive(Debug)]
pub struct FileError {
    path: PathBuf,
    /// Byte offset of the line; nothing if the file could not be opened.
    offset: Option<usize>,
    what: String,
}

impl FileError {
    /// Where the damage begins: the offset of the line in bytes.
    #[must_use]
    pub fn offset(&self) -> Option<usize> {
        self.offset
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, offset, what } = self;
        match offset {
            Some(offset) => write!(f, "{}: byte {offset}: {what}", path.display()),
            None => write!(f, "{}: {what}", path.display()),
        }
    }
}

impl std::error::Error for FileError {}

/// Every kind of finding that is no cycle.
const KINDS: [ReportKind; 11] = [
    ReportKind::Recursive,
    ReportKind::InconsistentState,
    ReportKind::SignalInversion,
    ReportKind::SignalUnsafeOrder,
    ReportKind::InvalidWaitContext,
    ReportKind::NestNotTaken,
    ReportKind::BadUnlock,
    ReportKind::HeldLockFreed,
    ReportKind::StillHeld,
    ReportKind::Assertion,
    ReportKind::Limit,
];

impl Record {
    /// The record as the contents of a graph file.
    #[must_use]
    pub fn to_file(&self) -> String {
        writer::write(self)
    }

    /// Writes a graph file: under another name first, so that nobody ever sees half of it.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        let beside = path.with_file_name(name);
        fs::write(&beside, self.to_file())?;
        fs::rename(&beside, path)
    }

    /// Reads a graph file.
    ///
    /// # Errors
    /// A file that cannot be read, is no graph file, is of a newer version, damaged or cut off.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let error = |offset, what| FileError {
            path: path.to_owned(),
            offset,
            what,
        };
        let bytes = fs::read(path).map_err(|io| error(None, io.to_string()))?;
        Reader::default()
            .read(&bytes)
            .map_err(|(offset, what)| error(Some(offset), what))
    }
}
