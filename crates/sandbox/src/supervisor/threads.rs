//! Descriptors of other threads, with their pidfds kept for the next call.
//!
//! A pidfd names a thread, not a number: when the thread is gone, `pidfd_getfd` says `ESRCH` even if the number is in use
//! again, and a new one is opened. So keeping them is safe and saves a system call.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;

use crate::sys::{self, Result};

/// A power of two.
const KEPT: usize = 64;

#[derive(Debug)]
struct Kept {
    tid: u32,
    pidfd: OwnedFd,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Threads {
    kept: [Option<Kept>; KEPT],
    /// The kernel has `PIDFD_THREAD` (6.9).
    by_thread: bool,
}

impl Threads {
    pub(super) fn new() -> Self {
        Self {
            kept: [const { None }; KEPT],
            by_thread: true,
        }
    }

    /// Forgets all pidfds.
    pub(super) fn forget(&mut self) {
        self.kept.fill_with(|| None);
    }

    /// A copy of descriptor `fd` of thread `tid`.
    pub(super) fn descriptor(&mut self, tid: u32, fd: i32) -> Result<OwnedFd> {
        let place = tid as usize % KEPT;
        if let Some(kept) = self.kept[place].as_ref().filter(|kept| kept.tid == tid) {
            match sys::pidfd_getfd(kept.pidfd.as_fd(), fd) {
                Err(Errno::SRCH) => {}
                result => return result,
            }
        }
        let (pidfd, lasting) = self.open(tid)?;
        let result = sys::pidfd_getfd(pidfd.as_fd(), fd);
        self.kept[place] = lasting.then_some(Kept { tid, pidfd });
        result
    }

    /// A pidfd through which `tid`'s descriptors can be had, and whether it stands for this very thread for ever.
    fn open(&mut self, tid: u32) -> Result<(OwnedFd, bool)> {
        if self.by_thread {
            match sys::pidfd_open(tid, true) {
                Err(Errno::INVAL) => self.by_thread = false,
                result => return Ok((result?, true)),
            }
        }
        // Before 6.9 only the first thread of a process has one; threads of a process share their descriptors.
        match sys::pidfd_open(tid, false) {
            Ok(pidfd) => return Ok((pidfd, true)),
            Err(Errno::INVAL | Errno::NOENT | Errno::SRCH) => {}
            Err(errno) => return Err(errno),
        }
        let status = fs::read_to_string(format!("/proc/{tid}/status")).map_err(|_| Errno::SRCH)?;
        let tgid = status
            .lines()
            .find_map(|line| line.strip_prefix("Tgid:"))
            .and_then(|tgid| tgid.trim().parse().ok())
            .ok_or(Errno::SRCH)?;
        Ok((sys::pidfd_open(tgid, false)?, false))
    }

    /// A pidfd of the thread that becomes readable when it ends, where the kernel has such.
    pub(super) fn end_of(&mut self, tid: u32) -> Option<OwnedFd> {
        self.open(tid)
            .ok()
            .filter(|(_, lasting)| *lasting)
            .map(|(pidfd, _)| pidfd)
    }
}
