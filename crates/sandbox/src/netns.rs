//! Network namespaces from outside: entered for a moment, told apart by their cookies, found by them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::creds::NamespaceId;
use crate::sys::{self, Result};

/// The calling thread's namespace.
pub(crate) fn open_current() -> Result<OwnedFd> {
    rustix::fs::open(
        "/proc/thread-self/ns/net",
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

/// Runs `act` with the calling thread in the network namespace `namespace`.
pub(crate) fn inside<R>(namespace: BorrowedFd<'_>, act: impl FnOnce() -> R) -> Result<R> {
    let home = open_current()?;
    sys::setns(namespace, libc::CLONE_NEWNET)?;
    let result = act();
    // Going on in the wrong namespace would do things to the wrong devices.
    sys::setns(home.as_fd(), libc::CLONE_NEWNET)
        .expect("a thread may return to the namespace it came from");
    Ok(result)
}

/// A netlink socket in the network namespace `namespace`.
pub(crate) fn socket_in(namespace: BorrowedFd<'_>, protocol: i32) -> Result<OwnedFd> {
    inside(namespace, || sys::netlink_socket(protocol))?
}

/// The cookie of a network namespace.
///
/// # Errors
/// `EPERM`: the namespace may not be entered.
pub(crate) fn cookie_of(namespace: BorrowedFd<'_>) -> Result<u64> {
    sys::netns_cookie(socket_in(namespace, libc::NETLINK_ROUTE)?.as_fd())
}

/// Finds a namespace by its cookie among those that have a name or a process, and opens it.
///
/// # Errors
/// `ENOENT`: none of them.
pub fn open_by_cookie(cookie: u64) -> Result<OwnedFd> {
    let paths = |folder: &str, rest: &str| -> Vec<String> {
        std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(format!("{}{rest}", entry.ok()?.path().to_str()?)))
            .collect()
    };
    let named = paths("/run/netns", "");
    let processes = paths("/proc", "/ns/net");
    let mut seen = Vec::new();
    for path in named.into_iter().chain(processes) {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let Ok(namespace) = rustix::fs::open(path, flags, Mode::empty()) else {
            continue;
        };
        let id = NamespaceId::of(namespace.as_fd())?;
        if !seen.contains(&id) {
            seen.push(id);
            if cookie_of(namespace.as_fd()) == Ok(cookie) {
                return Ok(namespace);
            }
        }
    }
    Err(Errno::NOENT)
}
