//! The machine's sysfs and debugfs as the process tree sees them: one served file system, grafted over the real ones.
//!
//! A FUSE server in the kernel process shows the two trees ([`server`]). Its file system is mounted once and stays hidden;
//! parts of it are mounted where the tree looks ([`graft`]): over `/sys/bus` and `/sys/devices`, with the machine's beside the
//! real ones, and over `/sys/kernel/debug` and `/sys/class/net`. Each mount belongs to a network namespace, as sysfs mounts do, so the file system has a
//! directory for each namespace's view of the trees.
//!
//! When the kernel process ends, for whatever reason, the connection to it breaks and every access fails with `ENOTCONN`.

mod caller;
pub(crate) mod graft;
mod inodes;
mod pool;
mod real;
mod server;
mod views;

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;

use fuser::{Config, Session, SessionACL};
use kernfs::{Dir, View};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

use crate::error::Error;
use crate::sys::Result;
use crate::wire::Wire;

/// What no mount of ours allows.
const ATTRIBUTES: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID
    .union(MountAttrFlags::MOUNT_ATTR_NODEV)
    .union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

/// The two trees.
#[derive(Debug, Clone)]
pub(crate) struct Trees {
    pub(crate) sysfs: Dir,
    pub(crate) debugfs: Dir,
}

/// Serves the trees and grafts them into the calling process's mount namespace, as seen from the network namespace `view`.
/// The result is the root of the served file system.
///
/// # Errors
/// [`Error::NoFuse`] when `/dev/fuse` cannot be used, [`Error::NoGraft`] when nothing can be mounted.
pub(crate) fn serve(
    trees: Trees,
    wire: Arc<Wire>,
    view: View,
) -> std::result::Result<OwnedFd, Error> {
    let sys = graft::open_sysfs("/sys").map_err(Error::NoGraft)?;
    let real = graft::Real::hold(sys.as_fd()).map_err(Error::NoGraft)?;
    real.make_places(&trees.sysfs);
    let root = mount(trees, wire).map_err(Error::NoFuse)?;
    graft::first(sys.as_fd(), root.as_fd(), &real, view).map_err(Error::NoGraft)
}

/// Makes the file system, mounted nowhere yet, and starts its server.
fn mount(trees: Trees, wire: Arc<Wire>) -> Result<OwnedFd> {
    let device = rustix::fs::open("/dev/fuse", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    let context = rustix::mount::fsopen("fuse", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let set =
        |key: &str, value: &str| rustix::mount::fsconfig_set_string(context.as_fd(), key, value);
    set("source", "userlink")?;
    set("fd", &device.as_raw_fd().to_string())?;
    set("rootmode", "40000")?;
    set("user_id", "0")?;
    set("group_id", "0")?;
    rustix::mount::fsconfig_set_flag(context.as_fd(), "allow_other")?;
    rustix::mount::fsconfig_set_flag(context.as_fd(), "default_permissions")?;
    rustix::mount::fsconfig_create(context.as_fd())?;

    let mut config = Config::default();
    config.acl = SessionACL::All;
    let server = server::Server::new(trees, wire);
    let views = Arc::clone(&server.views);
    let broken = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    let session = Session::from_fd(server, device, SessionACL::All, config).map_err(broken)?;
    // It is set only here.
    let _ = views.notifier.set(session.notifier());
    std::thread::Builder::new()
        .name("fuse".into())
        .spawn(move || session.run())
        .map_err(broken)?;
    rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, ATTRIBUTES)
}
