//! Network namespaces from outside: entered for a moment, told apart by their cookies, found by them or by an id.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::creds::NamespaceId;
use crate::rtnl::{self, Request, Route};
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

/// The namespaces that have a name or a process, each once, opened.
fn all() -> impl Iterator<Item = OwnedFd> {
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
    named.into_iter().chain(processes).filter_map(move |path| {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let namespace = rustix::fs::open(path, flags, Mode::empty()).ok()?;
        let id = NamespaceId::of(namespace.as_fd()).ok()?;
        let is_new = !seen.contains(&id);
        is_new.then(|| {
            seen.push(id);
            namespace
        })
    })
}

/// Finds a namespace by its cookie among those that have a name or a process, and opens it.
///
/// # Errors
/// `ENOENT`: none of them.
pub fn open_by_cookie(cookie: u64) -> Result<OwnedFd> {
    let mut all = all();
    let found = all.find(|namespace| cookie_of(namespace.as_fd()) == Ok(cookie));
    found.ok_or(Errno::NOENT)
}

/// Finds a namespace by the id that it has in the namespace `home`, among those that have a name or a process, and opens it.
///
/// # Errors
/// `EINVAL`: none of them. Those of entering `home`.
pub(crate) fn open_by_id(home: BorrowedFd<'_>, id: i32) -> Result<OwnedFd> {
    let mut route = Route::new(socket_in(home, libc::NETLINK_ROUTE)?);
    let mut id_of = |namespace: BorrowedFd<'_>| {
        let request = Request::new(rtnl::RTM_GETNSID, 0, rtnl::RTGENMSG)
            .attribute(rtnl::NETNSA_FD, &namespace.as_raw_fd().to_ne_bytes());
        let mut id = None;
        route.call(request, |message| {
            let value = message.attribute(rtnl::RTGENMSG, rtnl::NETNSA_NSID);
            id = value
                .and_then(|value| value.try_into().ok())
                .map(i32::from_ne_bytes);
        })?;
        Ok(id)
    };
    let mut all = all();
    let found = all.find(|namespace| id_of(namespace.as_fd()) == Ok::<_, Errno>(Some(id)));
    found.ok_or(Errno::INVAL)
}
