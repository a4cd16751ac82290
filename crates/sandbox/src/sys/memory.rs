//! The descriptors and the memory of other processes.

use std::ffi::{c_int, c_void};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr;

use rustix::io::Errno;

use super::{Result, check_size, owned};

/// `pidfd_open`; `thread` asks for a descriptor of this very thread (`PIDFD_THREAD`, kernel 6.9).
pub(crate) fn pidfd_open(pid: u32, thread: bool) -> Result<OwnedFd> {
    let flags = if thread { libc::O_EXCL } else { 0 };
    // SAFETY: no memory is passed.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid as c_int, flags) } as c_int)
}

/// A copy of the descriptor `fd` of the process or thread behind `pidfd`.
pub(crate) fn pidfd_getfd(pidfd: BorrowedFd<'_>, fd: RawFd) -> Result<OwnedFd> {
    // SAFETY: no memory is passed.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), fd, 0) } as c_int)
}

/// A range of another process's memory.
pub(crate) fn remote(address: u64, length: usize) -> libc::iovec {
    libc::iovec {
        iov_base: address as *mut c_void,
        iov_len: length,
    }
}

/// Reads `into` from the memory of the thread `tid`; fails with `EFAULT` unless all of it could be read.
pub(crate) fn read_memory(tid: u32, address: u64, into: &mut [u8]) -> Result<()> {
    read_memory_vectored(tid, &[remote(address, into.len())], into)
}

/// Reads the ranges `from` one after the other into `into`, whose length is their sum.
pub(crate) fn read_memory_vectored(tid: u32, from: &[libc::iovec], into: &mut [u8]) -> Result<()> {
    if into.is_empty() {
        return Ok(());
    }
    let local = libc::iovec {
        iov_base: into.as_mut_ptr().cast(),
        iov_len: into.len(),
    };
    // SAFETY: `local` is a valid, exclusive range; the remote addresses are checked by the kernel.
    let read = check_size(unsafe {
        libc::process_vm_readv(
            tid as libc::pid_t,
            &raw const local,
            1,
            from.as_ptr(),
            from.len() as libc::c_ulong,
            0,
        )
    })?;
    if read == into.len() {
        Ok(())
    } else {
        Err(Errno::FAULT)
    }
}

/// Writes the slices `from`, taken as one stream, to the ranges `to` of the memory of the thread `tid`; fails with
/// `EFAULT` unless all of it could be written.
///
/// The kernel takes at most 1024 ranges in one call; more is `EINVAL`.
pub(crate) fn write_memory_vectored(tid: u32, from: &[&[u8]], to: &[libc::iovec]) -> Result<()> {
    const MOST: usize = 8;
    debug_assert!(from.len() <= MOST);
    let mut local = [libc::iovec {
        iov_base: ptr::null_mut(),
        iov_len: 0,
    }; MOST];
    let mut total = 0;
    for (entry, slice) in local.iter_mut().zip(from) {
        *entry = libc::iovec {
            iov_base: slice.as_ptr().cast_mut().cast(),
            iov_len: slice.len(),
        };
        total += slice.len();
    }
    if total == 0 {
        return Ok(());
    }
    // SAFETY: the local ranges are live slices which the kernel only reads; the remote ones are checked by the kernel.
    let written = check_size(unsafe {
        libc::process_vm_writev(
            tid as libc::pid_t,
            local.as_ptr(),
            from.len() as libc::c_ulong,
            to.as_ptr(),
            to.len() as libc::c_ulong,
            0,
        )
    })?;
    if written == total {
        Ok(())
    } else {
        Err(Errno::FAULT)
    }
}

/// Whether the memory of `tid` may be read: address 0 is never mapped, so `EFAULT` says that only it is missing.
pub(crate) fn check_memory(tid: u32) -> Result<()> {
    match read_memory(tid, 0, &mut [0]) {
        Ok(()) | Err(Errno::FAULT) => Ok(()),
        Err(errno) => Err(errno),
    }
}
