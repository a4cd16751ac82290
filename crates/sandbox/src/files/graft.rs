//! Mounts parts of the served file system where programs look for them.
//!
//! `/sys/bus`, `/sys/class` and `/sys/devices` are covered by ours, in which each real bus, class and device has a place, where it
//! is bound back. Of the classes that are ours, too, the server shows the real devices beside ours. `/sys/kernel/debug` is covered.
//! Everything is mounted by descriptor, never by path: what is held open stays reachable when something is mounted
//! over it, and a descriptor means the same in every mount namespace.
//!
//! The root of the served file system is mounted at `/sys/bus` first and covered at once. There nobody sees it, but parts
//! of it can be copied: Linux before 6.15 copies only mounts that are part of the namespace. A sysfs with nothing in it that
//! covers anything is hidden there, too: who makes a user namespace inside may only mount a sysfs if one is wholly visible
//! outside (`fs/namespace.c: mnt_already_visible`).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use kernfs::{Dir, MOUNT_POINT_MODE, View};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags};

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
    check_sysfs(sys.as_fd())?;
    Ok(sys)
}

fn check_sysfs(file: BorrowedFd<'_>) -> Result<()> {
    match rustix::fs::fstatfs(file)?.f_type as i64 {
        SYSFS_MAGIC => Ok(()),
        _ => Err(Errno::NODEV),
    }
}

/// Whether `sys` is the root of a sysfs on which nothing of ours is mounted.
///
/// # Errors
/// What says that it is not.
pub(crate) fn check_bare(sys: BorrowedFd<'_>) -> Result<()> {
    check_sysfs(sys)?;
    check_sysfs(hold(sys, "bus")?.as_fd())
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
pub(super) fn first(
    sys: BorrowedFd<'_>,
    root: BorrowedFd<'_>,
    real: &Real,
    view: View,
) -> Result<OwnedFd> {
    attach(root, sys, "bus")?;
    let root = rustix::io::fcntl_dupfd_cloexec(root, 0)?;
    // Where it cannot be had, user namespaces inside cannot have one either.
    let _ = sysfs(0).and_then(|sysfs| {
        let empty = format!("{}/{EMPTY}", view.0);
        attach(sysfs.as_fd(), root.as_fd(), &empty)
    });
    let copies = Copies::of(root.as_fd(), view)?;
    // The buses go over the root of what was mounted a moment ago.
    put(sys, root.as_fd(), "", real, &copies)?;
    Ok(root)
}

/// Grafts onto a fresh sysfs, whose root is `sys`, in the calling thread's mount namespace.
pub(crate) fn again(sys: BorrowedFd<'_>, copies: &Copies) -> Result<()> {
    put(sys, sys, "bus", &Real::hold(sys)?, copies)
}

fn put(
    sys: BorrowedFd<'_>,
    bus: BorrowedFd<'_>,
    path: &str,
    real: &Real,
    copies: &Copies,
) -> Result<()> {
    attach(copies.bus.as_fd(), bus, path)?;
    attach(copies.class.as_fd(), sys, "class")?;
    attach(copies.devices.as_fd(), sys, "devices")?;
    // A kernel may be built without debugfs, and so without a place for it.
    match attach(copies.debugfs.as_fd(), sys, "kernel/debug") {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno),
    }
    bind_back(&real.buses, copies.bus.as_fd());
    bind_back(&real.classes, copies.class.as_fd());
    bind_back(&real.devices, copies.devices.as_fd());
    Ok(())
}

/// Binds each real directory that has a place in ours, and what is in one that has the name of ours: one that cannot be shown
/// again is left out, which is better than none of ours.
fn bind_back(real: &[RealDir], ours: BorrowedFd<'_>) {
    for RealDir { name, dir, inside } in real {
        let Ok(place) = hold(ours, name) else {
            continue;
        };
        let is_free = rustix::fs::fstat(&place)
            .is_ok_and(|stat| stat.st_mode & 0o777 == u32::from(MOUNT_POINT_MODE));
        if is_free {
            let _ = copy(dir.as_fd(), "", true)
                .and_then(|copy| attach(copy.as_fd(), place.as_fd(), ""));
        } else {
            bind_back(inside, place.as_fd());
        }
    }
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

/// The real buses, classes and devices, as they were before anything covered them.
pub(super) struct Real {
    buses: Vec<RealDir>,
    classes: Vec<RealDir>,
    devices: Vec<RealDir>,
}

struct RealDir {
    name: String,
    dir: OwnedFd,
    /// What is in it, if others may be among it.
    inside: Vec<RealDir>,
}

impl Real {
    pub(super) fn hold(sys: BorrowedFd<'_>) -> Result<Self> {
        let buses = real_dirs(sys, "bus")?;
        let classes = real_dirs(sys, "class")?;
        let mut devices = real_dirs(sys, "devices")?;
        // A host bridge may have devices of ours on its bus.
        for bridge in devices.iter_mut().filter(|dir| dir.name.starts_with("pci")) {
            bridge.inside = real_dirs(bridge.dir.as_fd(), ".")?;
        }
        Ok(Real {
            buses,
            classes,
            devices,
        })
    }

    /// Makes a place for each of them that has no namesake among ours.
    pub(super) fn make_places(&self, sysfs: &Dir) {
        for (name, real) in [
            ("bus", &self.buses),
            ("class", &self.classes),
            ("devices", &self.devices),
        ] {
            if let Some(dir) = sysfs.dir(name) {
                make_places(real, &dir);
            }
        }
    }
}

fn make_places(real: &[RealDir], ours: &Dir) {
    for RealDir { name, inside, .. } in real {
        if ours.create_mount_point(name.clone()) == Err(Errno::EXIST) {
            if let Some(namesake) = ours.dir(name) {
                make_places(inside, &namesake);
            }
        }
    }
}

fn real_dirs(directory: BorrowedFd<'_>, path: &str) -> Result<Vec<RealDir>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(directory, path, flags, Mode::empty())?;
    let mut dirs = Vec::new();
    for entry in rustix::fs::Dir::read_from(&folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else {
            continue;
        };
        if entry.file_type() == FileType::Directory && !name.starts_with('.') {
            dirs.push(RealDir {
                name: name.to_owned(),
                dir: hold(folder.as_fd(), name)?,
                inside: Vec::new(),
            });
        }
    }
    Ok(dirs)
}

/// Parts of the served file system as one network namespace sees them, mounted nowhere yet. They are made in the mount
/// namespace that the file system is part of, and can be mounted in any.
#[derive(Debug)]
pub(crate) struct Copies {
    bus: OwnedFd,
    devices: OwnedFd,
    debugfs: OwnedFd,
    class: OwnedFd,
}

impl Copies {
    pub(crate) fn of(root: BorrowedFd<'_>, view: View) -> Result<Self> {
        // From here on each look-up is one step, not four: each is a question to the server.
        let root = hold(root, &view.0.to_string())?;
        let part = |path: &str| copy(root.as_fd(), path, false);
        Ok(Copies {
            bus: part("sys/bus")?,
            devices: part("sys/devices")?,
            debugfs: part("debug")?,
            class: part("sys/class")?,
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
