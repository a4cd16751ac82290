//! Directories of the real sysfs whose links are shown among ours: devices of a bus, network devices of a namespace.
//!
//! A sysfs is mounted for each look, nowhere, and is gone with its descriptor: so no namespace is kept alive.

use std::os::fd::{AsFd, OwnedFd};

use kernfs::{Caller, View};
use rustix::fs::{Mode, OFlags};

use super::caller::Requester;
use super::graft;
use crate::netns;

/// That of the network devices.
pub(super) const CLASS_NET: &str = "class/net";

/// Which directories these are.
pub(super) const SHARED: [&str; 4] = [
    CLASS_NET,
    "class/infiniband",
    "bus/pci/devices",
    "bus/auxiliary/devices",
];

/// The directory in the sysfs that belongs to `view`. Mostly that is the requester's own namespace.
fn open(requester: Requester, view: View, path: &str) -> Option<OwnedFd> {
    let own = requester.netns().ok()?;
    let namespace = match own.fd {
        Some(fd) if own.cookie == view.0 => fd,
        _ => netns::open_by_cookie(view.0).ok()?,
    };
    let sysfs = netns::inside(namespace.as_fd(), || graft::sysfs(0))
        .ok()?
        .ok()?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(&sysfs, path, flags, Mode::empty()).ok()
}

/// What the link of that name says, if there is one.
pub(super) fn link(requester: Requester, view: View, path: &str, name: &str) -> Option<Vec<u8>> {
    let folder = open(requester, view, path)?;
    let target = rustix::fs::readlinkat(&folder, name, Vec::new()).ok()?;
    Some(target.into_bytes())
}

/// The names of all links.
pub(super) fn links(requester: Requester, view: View, path: &str) -> Vec<String> {
    let entries =
        open(requester, view, path).and_then(|folder| rustix::fs::Dir::read_from(&folder).ok());
    entries
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.file_name().to_str().ok()?.to_owned()))
        .filter(|name| !name.starts_with('.'))
        .collect()
}
