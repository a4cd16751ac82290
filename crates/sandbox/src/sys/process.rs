//! Our own processes: made, replaced, ended.

use std::ffi::{CString, c_int};
use std::ptr;

use rustix::io::Errno;

use super::{Result, check, last};

/// `fork`, for a process that has only one thread.
pub(crate) enum Fork {
    Child,
    Parent(libc::pid_t),
}

/// Forks. The caller has only one thread, so the child may do anything.
pub(crate) fn fork() -> Result<Fork> {
    // SAFETY: the crate forks only from single-threaded processes, so no lock is left held in the child.
    match check(unsafe { libc::fork() })? {
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(pid)),
    }
}

/// Ends the process at once, without destructors or exit handlers.
pub(crate) fn exit_now(status: c_int) -> ! {
    // SAFETY: does not return.
    unsafe { libc::_exit(status) }
}

/// `kill`.
pub(crate) fn kill(pid: libc::pid_t, signal: c_int) -> Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::kill(pid, signal) })?;
    Ok(())
}

/// Waits for a child; `None` with `WNOHANG` when it still runs. The raw wait status otherwise.
pub(crate) fn wait(pid: libc::pid_t, flags: c_int) -> Result<Option<c_int>> {
    let mut status = 0;
    loop {
        // SAFETY: the kernel writes one int.
        match check(unsafe { libc::waitpid(pid, &raw mut status, flags) }) {
            Ok(0) => return Ok(None),
            Ok(_) => return Ok(Some(status)),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// `prctl` with one numeric argument.
pub(crate) fn prctl(option: c_int, value: libc::c_ulong) -> Result<()> {
    // SAFETY: used only with options whose argument is a number.
    check(unsafe { libc::prctl(option, value, 0_u64, 0_u64, 0_u64) })?;
    Ok(())
}

/// Replaces the process image; returns only on failure.
pub(crate) fn exec(program: &[CString]) -> Errno {
    let mut pointers: Vec<_> = program.iter().map(|word| word.as_ptr()).collect();
    pointers.push(ptr::null());
    // SAFETY: a null-terminated array of NUL-terminated strings, alive across the call.
    unsafe { libc::execvp(pointers[0], pointers.as_ptr()) };
    last()
}

/// Raises the soft limit of open descriptors to the hard one and returns the old limits.
pub(crate) fn raise_open_files() -> Option<libc::rlimit> {
    let mut old = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the kernel writes and then reads one rlimit.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut old) != 0 {
            return None;
        }
        let new = libc::rlimit {
            rlim_cur: old.rlim_max,
            rlim_max: old.rlim_max,
        };
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const new);
    }
    Some(old)
}

/// Gives a child back the limits its parent was started with.
pub(crate) fn restore_open_files(old: libc::rlimit) {
    // SAFETY: the kernel reads one rlimit.
    unsafe {
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const old);
    }
}
