//! The system calls that neither `std` nor rustix wraps as we need them.
//!
//! Everything `unsafe` that is about one system call stands here, a file for each kind of call, so that the rest of the
//! crate reads as logic. Each function does one call, returns the kernel's error as [`Errno`], and owns what it returns.

use std::ffi::c_int;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use rustix::io::Errno;

mod memory;
mod namespace;
mod notification;
mod process;
mod socket;

pub(crate) use memory::*;
pub(crate) use namespace::*;
pub(crate) use notification::*;
pub(crate) use process::*;
pub(crate) use socket::*;

/// What a system call of this crate returns.
pub(crate) type Result<T> = std::result::Result<T, Errno>;

/// The error of the call that just failed on this thread.
pub(crate) fn last() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}

pub(crate) fn check(result: c_int) -> Result<c_int> {
    if result < 0 { Err(last()) } else { Ok(result) }
}

fn check_size(result: isize) -> Result<usize> {
    usize::try_from(result).map_err(|_| last())
}

/// Takes ownership of a descriptor a system call has just returned.
fn owned(result: c_int) -> Result<OwnedFd> {
    let fd = check(result)?;
    // SAFETY: the kernel has just made this descriptor for us and nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
