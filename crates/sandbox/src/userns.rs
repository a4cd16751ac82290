//! The ordinary user's way: namespaces of one's own, in which one is root.
//!
//! The supervisor enters them before it forks, so the kernel process and the command are inside too, and the network
//! namespace the command starts in is the machine's first. Root needs none of this: the caller's own namespaces serve.

use std::fs;
use std::os::fd::AsFd;

use rustix::io::Errno;

use crate::error::Error;
use crate::{mounts, sys};

/// Whether this process may do everything a machine needs where it is.
pub(crate) fn is_privileged() -> bool {
    let needed = 1 << sys::CAP_SYS_ADMIN | 1 << sys::CAP_NET_ADMIN;
    sys::capget().is_ok_and(|caps| caps.effective & needed == needed)
}

/// Enters new user, mount and network namespaces as their root, with `lo` up and room for `ip netns add`.
pub(crate) fn enter() -> Result<(), Error> {
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    sys::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWNET).map_err(refused)?;
    let write = |file: &str, text: String| {
        fs::write(format!("/proc/self/{file}"), text)
            .map_err(|error| refused(Errno::from_io_error(&error).unwrap_or(Errno::PERM)))
    };
    write("setgroups", "deny".into())?;
    write("uid_map", format!("0 {uid} 1"))?;
    write("gid_map", format!("0 {gid} 1"))?;
    loopback_up().map_err(|errno| step("bring up lo in a network namespace of your own", errno))?;
    mounts::prepare().map_err(|errno| step("mount a tmpfs in a mount namespace of your own", errno))
}

/// A step that only fails when something took away the capabilities that a new user namespace gives.
fn step(step: &'static str, errno: Errno) -> Error {
    if matches!(errno, Errno::PERM | Errno::ACCESS) && restricted_by_apparmor() {
        return refused(errno);
    }
    Error::Namespaces { step, errno }
}

fn setting(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn restricted_by_apparmor() -> bool {
    setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == Some(1)
}

/// Finds the setting that refuses user namespaces.
fn refused(errno: Errno) -> Error {
    let remedy = if setting("/proc/sys/kernel/unprivileged_userns_clone") == Some(0) {
        "set them free with `sysctl kernel.unprivileged_userns_clone=1`"
    } else if setting("/proc/sys/user/max_user_namespaces") == Some(0) {
        "allow some with `sysctl user.max_user_namespaces=15000`"
    } else if restricted_by_apparmor() {
        "set them free with `sysctl kernel.apparmor_restrict_unprivileged_userns=0`"
    } else {
        match errno {
            Errno::INVAL | Errno::NOSYS => "use a kernel built with CONFIG_USER_NS",
            Errno::NOSPC | Errno::USERS => "raise `sysctl user.max_user_namespaces`",
            _ => "in a container, allow unshare(2) (e.g. `--security-opt seccomp=unconfined`)",
        }
    };
    Error::NoUserNamespace { errno, remedy }
}

fn loopback_up() -> sys::Result<()> {
    let socket = rustix::net::socket_with(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )?;
    crate::rtnl::set_up(socket.as_fd(), "lo")
}
