//! What a mount namespace of the machine's own needs. For an ordinary user: a writable `/run/netns`, and `/sys` of the new
//! network namespace. For root: a `/sys` in which nothing that is mounted is seen outside.
//!
//! `/run` belongs to the real root, so `ip netns add` could not make its folder there. A tmpfs covers it, and all that
//! was there is bound back in. Nothing of this is seen outside the mount namespace.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags};

use crate::sys::{self, Result};

/// Prepares the calling process's own mount namespace.
pub(crate) fn prepare() -> Result<()> {
    // Mounts from outside may come in, ours never get out.
    rustix::mount::mount_change(
        "/",
        MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC,
    )?;
    let run = fs::canonicalize("/var/run").unwrap_or_else(|_| PathBuf::from("/run"));
    let netns = run.join("netns");
    if netns.is_dir() {
        tmpfs(&netns)?;
    } else if run.is_dir() {
        cover(&run)?;
    }
    // Where the machine does not allow it, /sys goes on showing the outer namespace's devices.
    let _ = own_sysfs(Path::new("/sys"));
    Ok(())
}

/// Gives the calling process a mount namespace of its own in which only `/sys` is its own: what is mounted elsewhere, like
/// the namespaces of `ip netns add`, goes in and out as before.
pub(crate) fn own_sys() -> Result<()> {
    sys::unshare(libc::CLONE_NEWNS)?;
    rustix::mount::mount_change(
        "/sys",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )
}

fn tmpfs(target: &Path) -> Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount("tmpfs", target, "tmpfs", flags, c"mode=755")
}

/// A place in the tree as it is now, which stays reachable when something is mounted over it.
fn hold(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
}

fn bind_back(held: &OwnedFd, target: &Path) -> Result<()> {
    let source = format!("/proc/self/fd/{}", held.as_raw_fd());
    rustix::mount::mount_bind_recursive(source, target)
}

/// Covers a directory with a tmpfs that shows the same entries.
fn cover(directory: &Path) -> Result<()> {
    let mut entries = Vec::new();
    if let Ok(list) = fs::read_dir(directory) {
        for path in list.filter_map(|entry| Some(entry.ok()?.path())) {
            if let Ok(held) = hold(&path) {
                entries.push((path, held));
            }
        }
    }
    tmpfs(directory)?;
    for (path, held) in entries {
        let Ok(stat) = rustix::fs::fstat(&held) else {
            continue;
        };
        // An entry that cannot be shown again is left out: nothing here needs it.
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let _ = fs::create_dir(&path).map(|()| bind_back(&held, &path));
            }
            FileType::Symlink => {
                if let Ok(target) = rustix::fs::readlinkat(&held, "", Vec::new()) {
                    let _ = rustix::fs::symlink(target, &path);
                }
            }
            _ => {
                let _ = fs::write(&path, []).map(|()| bind_back(&held, &path));
            }
        }
    }
    Ok(())
}

/// Mounts the sysfs of our own network namespace, and on it what was mounted in the old one.
fn own_sysfs(sys: &Path) -> Result<()> {
    let mut inner = Vec::new();
    for path in mount_points_below(sys) {
        if !inner
            .iter()
            .any(|(outer, _): &(PathBuf, _)| path.starts_with(outer))
        {
            let held = hold(&path)?;
            inner.push((path, held));
        }
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("sysfs", sys, "sysfs", flags, None)?;
    for (path, held) in inner {
        let _ = bind_back(&held, &path);
    }
    Ok(())
}

/// The mount points below `top`, outer before inner.
fn mount_points_below(top: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut points: Vec<PathBuf> = table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(PathBuf::from)
        .filter(|point| point.starts_with(top) && point != top)
        .collect();
    points.sort();
    points.dedup();
    points
}
