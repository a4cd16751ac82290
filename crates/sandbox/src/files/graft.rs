//! Mounts parts of the served file system where programs look for them.
//!
//! `/sys/bus` gets a tmpfs in which the real buses are bound back and ours stand beside them; `/sys/kernel/debug` is
//! covered, and so is `/sys/class/net`, where the server shows the real network devices beside ours. Everything is mounted by descriptor, never by path: what is held open stays reachable when something is mounted
//! over it, and a descriptor means the same in every mount namespace.
//!
//! The root of the served file system is mounted at `/sys/bus` first and covered at once. There nobody sees it, but parts
//! of it can be copied: Linux before 6.15 copies only mounts that are part of the namespace. A sysfs with nothing in it that
//! covers anything is hidden there, too: who makes a user namespace inside may only mount a sysfs if one is wholly visible
//! outside (`fs/namespace.c: mnt_already_visible`).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use kernfs::View;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags};

use super::ATTRIBUTES;
use crate::sys::Result;

/// `SYSFS_MAGIC` (`include/uapi/linux/magic.h`).
const SYSFS_MAGIC: i64 = 0x6265_6572;

/// The empty directory of each view.
pub(super) const EMPTY: &str = "empty";

/// A place in the tree as it is now.
fn hold(directory: BorrowedFd<'_>, path: &str) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(directory, path, flags, Mode::empty())
}

/// The root of the sysfs that is mounted at `path`.
///
/// # Errors
/// `ENODEV` when there is none.
pub(crate) fn open_sysfs(path: &str) -> Result<OwnedFd> {
    let sys = hold(rustix::fs::CWD, path)?;
    match rustix::fs::fstatfs(&sys)?.f_type as i64 {
        SYSFS_MAGIC => Ok(sys),
        _ => Err(Errno::NODEV),
    }
}

/// A copy of the mount at `directory`/`path` from there down, mounted nowhere yet.
fn copy(directory: BorrowedFd<'_>, path: &str, recursive: bool) -> Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    rustix::mount::open_tree(directory, path, flags)
}

/// Mounts what is mounted nowhere yet.
pub(crate) fn attach(mount: BorrowedFd<'_>, directory: BorrowedFd<'_>, path: &str) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(mount, "", directory, path, flags)
}

/// Grafts for the first time: with the file system itself, which is hidden under `/sys/bus`. The result is its root.
pub(super) fn first(sys: BorrowedFd<'_>, root: BorrowedFd<'_>, view: View) -> Result<OwnedFd> {
    let buses = Buses::hold(sys)?;
    attach(root, sys, "bus")?;
    let root = rustix::io::fcntl_dupfd_cloexec(root, 0)?;
    // Where it cannot be had, user namespaces inside cannot have one either.
    let _ = sysfs(0).and_then(|sysfs| {
        let empty = format!("{}/{EMPTY}", view.0);
        attach(sysfs.as_fd(), root.as_fd(), &empty)
    });
    let copies = Copies::of(root.as_fd(), view)?;
    // The stage goes over the root of what was mounted a moment ago.
    put(sys, root.as_fd(), "", &buses, &copies)?;
    Ok(root)
}

/// Grafts onto a fresh sysfs, whose root is `sys`, in the calling thread's mount namespace.
pub(crate) fn again(sys: BorrowedFd<'_>, copies: &Copies) -> Result<()> {
    put(sys, sys, "bus", &Buses::hold(sys)?, copies)
}

fn put(
    sys: BorrowedFd<'_>,
    bus: BorrowedFd<'_>,
    path: &str,
    buses: &Buses,
    copies: &Copies,
) -> Result<()> {
    let stage = tmpfs()?;
    attach(stage.as_fd(), bus, path)?;
    let mode = Mode::from_raw_mode(0o755);
    for (name, bus) in &buses.0 {
        // A bus that cannot be shown again is left out: better than no buses of ours.
        let _ = rustix::fs::mkdirat(&stage, name, mode)
            .and_then(|()| attach(copy(bus.as_fd(), "", true)?.as_fd(), stage.as_fd(), name));
    }
    for bus in &copies.buses {
        // A bus that is really there is shown with our devices among its own, and with our drivers in place of its own.
        match rustix::fs::mkdirat(&stage, bus.name, mode) {
            Ok(()) => attach(bus.whole.as_fd(), stage.as_fd(), bus.name)?,
            Err(Errno::EXIST) => {
                let devices = format!("{}/devices", bus.name);
                attach(bus.devices.as_fd(), stage.as_fd(), &devices)?;
                let drivers = format!("{}/drivers", bus.name);
                attach(bus.drivers.as_fd(), stage.as_fd(), &drivers)?;
            }
            Err(errno) => return Err(errno),
        }
    }
    // A kernel may be built without debugfs, and so without a place for it.
    for (path, part) in [
        ("kernel/debug", &copies.debugfs),
        ("class/net", &copies.class_net),
    ] {
        match attach(part.as_fd(), sys, path) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// A fresh sysfs of the calling thread's network namespace.
pub(crate) fn sysfs(flags: libc::c_ulong) -> Result<OwnedFd> {
    let context = rustix::mount::fsopen("sysfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    if flags & libc::MS_RDONLY != 0 {
        rustix::mount::fsconfig_set_flag(context.as_fd(), "ro")?;
    }
    rustix::mount::fsconfig_create(context.as_fd())?;
    let attributes = attributes(flags);
    rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

fn tmpfs() -> Result<OwnedFd> {
    let context = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_string(context.as_fd(), "mode", "755")?;
    rustix::mount::fsconfig_create(context.as_fd())?;
    rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, ATTRIBUTES)
}

/// The real buses, as they were.
struct Buses(Vec<(String, OwnedFd)>);

impl Buses {
    fn hold(sys: BorrowedFd<'_>) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(sys, "bus", flags, Mode::empty())?;
        let mut buses = Vec::new();
        for entry in rustix::fs::Dir::read_from(&folder)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            if entry.file_type() == FileType::Directory && !name.starts_with('.') {
                buses.push((name.to_owned(), hold(folder.as_fd(), name)?));
            }
        }
        Ok(Buses(buses))
    }
}

/// The buses of a machine.
const BUSES: [&str; 3] = ["netdevsim", "pci", "auxiliary"];

/// A bus, its devices alone, and its drivers alone.
#[derive(Debug)]
struct Bus {
    name: &'static str,
    whole: OwnedFd,
    devices: OwnedFd,
    drivers: OwnedFd,
}

/// Parts of the served file system as one network namespace sees them, mounted nowhere yet. They are made in the mount
/// namespace that the file system is part of, and can be mounted in any.
#[derive(Debug)]
pub(crate) struct Copies {
    buses: Vec<Bus>,
    debugfs: OwnedFd,
    class_net: OwnedFd,
}

impl Copies {
    pub(crate) fn of(root: BorrowedFd<'_>, view: View) -> Result<Self> {
        // From here on each look-up is one step, not four: each is a question to the server.
        let root = hold(root, &view.0.to_string())?;
        let bus = hold(root.as_fd(), "sys/bus")?;
        let part = |path: &str| copy(root.as_fd(), path, false);
        Ok(Copies {
            buses: BUSES
                .into_iter()
                .map(|name| {
                    let bus = hold(bus.as_fd(), name)?;
                    Ok(Bus {
                        name,
                        whole: copy(bus.as_fd(), "", false)?,
                        devices: copy(bus.as_fd(), "devices", false)?,
                        drivers: copy(bus.as_fd(), "drivers", false)?,
                    })
                })
                .collect::<Result<_>>()?,
            debugfs: part("debug")?,
            class_net: part("sys/class/net")?,
        })
    }
}

/// What `mount(2)` says of a mount, as `fsmount(2)` wants it.
fn attributes(flags: libc::c_ulong) -> MountAttrFlags {
    let pairs = [
        (libc::MS_RDONLY, MountAttrFlags::MOUNT_ATTR_RDONLY),
        (libc::MS_NOSUID, MountAttrFlags::MOUNT_ATTR_NOSUID),
        (libc::MS_NODEV, MountAttrFlags::MOUNT_ATTR_NODEV),
        (libc::MS_NOEXEC, MountAttrFlags::MOUNT_ATTR_NOEXEC),
        (libc::MS_NOATIME, MountAttrFlags::MOUNT_ATTR_NOATIME),
    ];
    let wanted = pairs.iter().filter(|(flag, _)| flags & flag != 0);
    wanted.fold(MountAttrFlags::empty(), |all, (_, attribute)| {
        all | *attribute
    })
}
