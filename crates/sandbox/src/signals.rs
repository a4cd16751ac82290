//! Signals of the supervisor: which are passed on to the command.
//!
//! The command is in the supervisor's process group, so what the terminal sends (Ctrl-C, Ctrl-\, a new window size, a
//! hang-up) reaches it without help; the supervisor only must not die of it. What another process sends to the
//! supervisor alone is meant for the command and passed on. `SIGTSTP` keeps its default action: Ctrl-Z stops the whole
//! job and `fg` continues it.

use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::sys::{self, Result};

const PASSED_ON: [i32; 7] = [
    libc::SIGINT,
    libc::SIGTERM,
    libc::SIGHUP,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGWINCH,
];

/// Signals as a descriptor, and the mask to give back to children.
#[derive(Debug)]
pub(crate) struct Signals {
    before: Mask,
}

struct Mask(libc::sigset_t);

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mask")
    }
}

/// One signal that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// A child ended.
    Child,
    /// To be passed on to the command.
    PassOn(i32),
    /// The command has got it, too.
    Shared,
}

fn set() -> libc::sigset_t {
    // SAFETY: the set is initialised by sigemptyset before use.
    unsafe {
        let mut set = mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        for signal in PASSED_ON {
            libc::sigaddset(&raw mut set, signal);
        }
        set
    }
}

impl Signals {
    /// Blocks the signals from now on; children get the old mask back by [`Signals::restore`].
    pub(crate) fn block() -> Result<Self> {
        let set = set();
        // SAFETY: both sets are live; the old one is written before it is used.
        let before = unsafe {
            let mut before = mem::zeroed();
            sys::check(libc::sigprocmask(
                libc::SIG_BLOCK,
                &raw const set,
                &raw mut before,
            ))?;
            before
        };
        Ok(Self {
            before: Mask(before),
        })
    }

    /// A descriptor that is readable when one of them has arrived.
    pub(crate) fn descriptor(&self) -> Result<OwnedFd> {
        let set = set();
        let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
        // SAFETY: the set is live, and the descriptor is new and ours.
        unsafe {
            let fd = sys::check(libc::signalfd(-1, &raw const set, flags))?;
            Ok(OwnedFd::from_raw_fd(fd))
        }
    }

    /// In a child: the mask the supervisor was started with. Rust ignores SIGPIPE at start; a command expects the
    /// default.
    pub(crate) fn restore(&self, also_pipe: bool) {
        // SAFETY: the set is live; SIG_DFL is no function.
        unsafe {
            if also_pipe {
                libc::signal(libc::SIGPIPE, libc::SIG_DFL);
            }
            libc::sigprocmask(
                libc::SIG_SETMASK,
                &raw const self.before.0,
                std::ptr::null_mut(),
            );
        }
    }
}

/// The next signal, if one has arrived.
pub(crate) fn next(descriptor: &OwnedFd) -> Option<Signal> {
    // SAFETY: the kernel fills exactly one structure of integers.
    let info = unsafe {
        let mut info: libc::signalfd_siginfo = mem::zeroed();
        let size = mem::size_of_val(&info);
        let read = libc::read(descriptor.as_raw_fd(), (&raw mut info).cast(), size);
        if read != size as isize {
            return None;
        }
        info
    };
    let signal = info.ssi_signo as i32;
    Some(if signal == libc::SIGCHLD {
        Signal::Child
    } else if info.ssi_code > 0 {
        Signal::Shared // from the kernel: the terminal sends to the whole group
    } else {
        Signal::PassOn(signal)
    })
}
