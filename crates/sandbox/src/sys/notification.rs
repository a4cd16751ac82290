//! Trapped system calls: the supervisor's end of the filter (`SECCOMP_RET_USER_NOTIF`).

use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::{Result, check};

/// One trapped system call, as the kernel hands it over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Notification {
    pub(crate) id: u64,
    /// The thread that made the call (0: not in our pid namespace).
    pub(crate) tid: u32,
    pub(crate) nr: i64,
    pub(crate) args: [u64; 6],
}

/// `SECCOMP_IOCTL_NOTIF_RECV`. Waits when nothing is pending; `ENOENT`: the caller was interrupted in between.
pub(crate) fn notif_recv(listener: BorrowedFd<'_>) -> Result<Notification> {
    // SAFETY: the structure is plain integers; the kernel demands that it is zeroed and then fills it.
    let raw: libc::seccomp_notif = unsafe {
        let mut raw = mem::zeroed();
        check(libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_RECV,
            &raw mut raw,
        ))?;
        raw
    };
    Ok(Notification {
        id: raw.id,
        tid: raw.pid,
        nr: i64::from(raw.data.nr),
        args: raw.data.args,
    })
}

fn notif_send(listener: BorrowedFd<'_>, mut response: libc::seccomp_notif_resp) -> Result<()> {
    // SAFETY: the structure is complete and lives across the call.
    check(unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_SEND,
            &raw mut response,
        )
    })?;
    Ok(())
}

/// Ends a trapped call with its result. `ENOENT`: a signal has ended it before.
pub(crate) fn notif_answer(listener: BorrowedFd<'_>, id: u64, result: Result<i64>) -> Result<()> {
    let (val, error) = match result {
        Ok(value) => (value, 0),
        Err(errno) => (0, -errno.raw_os_error()),
    };
    notif_send(
        listener,
        libc::seccomp_notif_resp {
            id,
            val,
            error,
            flags: 0,
        },
    )
}

/// Ends a trapped call as a signal does (`ERESTARTSYS`): after the handler it begins again or fails with `EINTR`, as the
/// handler's `SA_RESTART` says. Only for a thread that certainly has a signal to take, or it would see a strange error.
pub(crate) fn notif_interrupt(listener: BorrowedFd<'_>, id: u64) -> Result<()> {
    const ERESTARTSYS: i32 = 512;
    notif_send(
        listener,
        libc::seccomp_notif_resp {
            id,
            val: 0,
            error: -ERESTARTSYS,
            flags: 0,
        },
    )
}

/// Lets the real kernel serve a trapped call.
pub(crate) fn notif_continue(listener: BorrowedFd<'_>, id: u64) -> Result<()> {
    notif_send(
        listener,
        libc::seccomp_notif_resp {
            id,
            val: 0,
            error: 0,
            flags: libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32,
        },
    )
}

/// Whether the trapped call still waits for its answer.
pub(crate) fn notif_valid(listener: BorrowedFd<'_>, id: u64) -> bool {
    // SAFETY: the kernel only reads the number.
    unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_ID_VALID,
            &raw const id,
        ) == 0
    }
}

/// Ends a trapped `socket()` with a copy of `fd` in the caller's table, in one step.
pub(crate) fn notif_add_fd(
    listener: BorrowedFd<'_>,
    id: u64,
    fd: BorrowedFd<'_>,
    close_on_exec: bool,
) -> Result<()> {
    let add = libc::seccomp_notif_addfd {
        id,
        flags: libc::SECCOMP_ADDFD_FLAG_SEND as u32,
        srcfd: fd.as_raw_fd() as u32,
        newfd: 0,
        newfd_flags: if close_on_exec {
            libc::O_CLOEXEC as u32
        } else {
            0
        },
    };
    // SAFETY: the structure is complete and only read by the kernel.
    check(unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_ADDFD,
            &raw const add,
        )
    })?;
    Ok(())
}

/// Wakes the supervisor on the caller's own processor (kernel 6.6); older kernels refuse, which costs only time.
pub(crate) fn notif_sync_wake_up(listener: BorrowedFd<'_>) {
    const SYNC_WAKE_UP: u64 = 1;
    // SAFETY: the argument of this command is the number itself.
    unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS,
            SYNC_WAKE_UP,
        );
    }
}
