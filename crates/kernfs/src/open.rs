//! An open file (`fs/kernfs/file.c`, `fs/debugfs/file.c`).

use std::fmt;
use std::sync::{Arc, PoisonError};

use rustix::io::Errno;

use crate::context::{Caller, Context};
use crate::node::{Kind, Node, TreeKind};

/// What an open file remembers between reads.
#[derive(Debug, Default)]
pub struct State {
    /// The text that is being read.
    pub text: Vec<u8>,
    /// Where the last read ended.
    pub next: u64,
}

impl State {
    /// The part of the text that a read at `offset` is given (`simple_read_from_buffer`).
    pub fn slice(&mut self, offset: u64, size: usize) -> Vec<u8> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let from = from.min(self.text.len());
        let to = from.saturating_add(size).min(self.text.len());
        self.next = offset + (to - from) as u64;
        self.text[from..to].to_vec()
    }
}

/// What a file does (`struct file_operations`). [`sysfs`](crate::sysfs) and [`debugfs`](crate::debugfs) have those that
/// drivers need.
pub trait File: Send + Sync {
    /// Whether there is something to read: sysfs refuses to open what has not.
    fn has_show(&self) -> bool;

    /// Whether there is something to write.
    fn has_store(&self) -> bool;

    /// Reads up to `size` bytes at the context's offset; fewer than `size` only at the end.
    ///
    /// # Errors
    /// The handler's; the caller's read then fails with it.
    fn read(&self, cx: &mut Context<'_>, state: &mut State, size: usize) -> Result<Vec<u8>, Errno>;

    /// Writes, and says how many bytes were taken.
    ///
    /// # Errors
    /// The handler's; the caller's write then fails with it.
    fn write(&self, cx: &mut Context<'_>, state: &mut State, data: &[u8]) -> Result<usize, Errno>;
}

/// For what a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// `O_RDONLY` or `O_RDWR`.
    pub read: bool,
    /// `O_WRONLY` or `O_RDWR`.
    pub write: bool,
}

/// An open file. Its node may be removed at any time; it then answers with the error of its tree.
pub struct OpenFile {
    node: Arc<Node>,
    file: Arc<dyn File>,
    state: lockdep::Mutex<State>,
}

impl Node {
    /// Opens a file. The permission bits of its mode are the server's to check.
    ///
    /// # Errors
    /// `EISDIR` for a directory, `ELOOP` for a link; in sysfs `ENODEV` when it has been removed and `EACCES` when it
    /// has nothing to read or write, whoever asks; in debugfs `ENOENT` when it has been removed.
    pub fn open(self: &Arc<Self>, access: Access) -> Result<OpenFile, Errno> {
        let file = match self.kind() {
            Kind::File(file) => Arc::clone(file),
            Kind::Link(_) => return Err(Errno::LOOP),
            Kind::Dir(_) | Kind::Dynamic(_) | Kind::MountPoint => return Err(Errno::ISDIR),
        };
        match self.tree().kind() {
            TreeKind::Sysfs => {
                if self.is_removed() {
                    return Err(Errno::NODEV);
                }
                let refused = access.read && !(file.has_show() && self.mode() & 0o444 != 0)
                    || access.write && !(file.has_store() && self.mode() & 0o222 != 0);
                if refused {
                    return Err(Errno::ACCESS);
                }
            }
            TreeKind::Debugfs => {
                if self.is_removed() {
                    return Err(Errno::NOENT);
                }
            }
        }
        Ok(OpenFile {
            node: Arc::clone(self),
            file,
            state: lockdep::Mutex::with_class(self.tree().open_file_class(), State::default()),
        })
    }
}

impl OpenFile {
    /// Reads up to `size` bytes at `offset`; fewer only at the end.
    ///
    /// # Errors
    /// The handler's; `ENODEV` in sysfs and `EIO` in debugfs when the file has been removed.
    pub fn read(&self, caller: &dyn Caller, offset: u64, size: usize) -> Result<Vec<u8>, Errno> {
        self.inside(caller, offset, |file, cx, state| file.read(cx, state, size))
    }

    /// Writes at `offset`, and says how many bytes were taken.
    ///
    /// # Errors
    /// As for reading.
    pub fn write(&self, caller: &dyn Caller, offset: u64, data: &[u8]) -> Result<usize, Errno> {
        self.inside(caller, offset, |file, cx, state| {
            file.write(cx, state, data)
        })
    }

    fn inside<T>(
        &self,
        caller: &dyn Caller,
        offset: u64,
        handle: impl FnOnce(&dyn File, &mut Context<'_>, &mut State) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let inside = self.node.enter().ok_or_else(|| self.node.tree().gone())?;
        let mut cx = Context::new(caller, offset, inside);
        handle(&*self.file, &mut cx, &mut state)
    }
}

impl fmt::Debug for OpenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OpenFile").field(&self.node).finish()
    }
}
