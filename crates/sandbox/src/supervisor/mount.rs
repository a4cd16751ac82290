//! A fresh sysfs, with the machine's files in it.
//!
//! `ip netns exec`, `ip -n` and `devlink -N` mount a new sysfs on `/sys` of a mount namespace of their own, and ours would be
//! gone. So who mounts a sysfs does not do it: a helper process does, in the caller's namespaces and with no more rights than the
//! caller has there, and grafts the machine's files before the call returns. What cannot be done in the caller's place is left
//! to the real kernel.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use kernfs::View;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::Supervisor;
use crate::creds::{Credentials, NamespaceId};
use crate::files::graft::{self, Copies};
use crate::netns;
use crate::sys::{self, Fork, Notification, Result};

/// The type of file system that is looked for, as it lies in the caller's memory.
const SYSFS: &[u8; 6] = b"sysfs\0";

/// The longest path (`PATH_MAX`).
const PATH_MAX: usize = 4096;

/// Flags of calls that mount nothing new.
const OTHER_CALLS: libc::c_ulong = libc::MS_REMOUNT
    | libc::MS_BIND
    | libc::MS_MOVE
    | libc::MS_SHARED
    | libc::MS_PRIVATE
    | libc::MS_SLAVE
    | libc::MS_UNBINDABLE;

/// `struct mount_attr` (`include/uapi/linux/mount.h`).
#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

impl Supervisor {
    /// `mount(2)`
    pub(super) fn mount(&mut self, call: &Notification) {
        let is_sysfs = || {
            let mut name = [0; SYSFS.len()];
            sys::read_memory(call.tid, call.args[2], &mut name).is_ok() && name == *SYSFS
        };
        let Some(files) = &self.files else {
            return self.pass_on(call);
        };
        let flags = call.args[3] as libc::c_ulong;
        if flags & OTHER_CALLS != 0 || !is_sysfs() {
            return self.pass_on(call);
        }
        // In two steps, so that nobody has to wait for the helper: looking up our files waits for the kernel process.
        match sys::fork() {
            Ok(Fork::Child) => {
                if let Ok(Fork::Child) = sys::fork() {
                    self.help(call, Sysfs { files, flags });
                }
                sys::exit_now(0);
            }
            Ok(Fork::Parent(child)) => {
                let _ = sys::wait(child, 0);
            }
            Err(_) => self.pass_on(call),
        }
    }

    /// Runs in the helper.
    fn help(&self, call: &Notification, sysfs: Sysfs<'_>) -> ! {
        match sysfs.prepare(call) {
            Ok(prepared) => {
                let result = prepared.mount();
                self.answer(call, result.map(|()| 0));
            }
            Err(_) => self.pass_on(call),
        }
        sys::exit_now(0);
    }
}

/// A sysfs that somebody wants to mount.
struct Sysfs<'a> {
    /// The root of the served file system.
    files: &'a OwnedFd,
    flags: libc::c_ulong,
}

impl Sysfs<'_> {
    /// Finds out all that can only be found out from our own namespaces.
    fn prepare(self, call: &Notification) -> Result<Prepared> {
        let tid = call.tid;
        let caller = Credentials::of(tid)?;
        if caller.caps.effective & (1 << sys::CAP_SYS_ADMIN) == 0 {
            return Err(Errno::PERM);
        }
        let open = |name: &str| {
            let path = format!("/proc/{tid}/ns/{name}");
            rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        };
        let net = open("net")?;
        let view = View(netns::cookie_of(net.as_fd())?);
        let foreign = NamespaceId::of_process(tid, "user")? != NamespaceId::own("user")?;
        Ok(Prepared {
            target: target(tid, &path(tid, call.args[1])?)?,
            copies: Copies::of(self.files.as_fd(), view)?,
            user: foreign.then(|| open("user")).transpose()?,
            mnt: open("mnt")?,
            net,
            flags: self.flags,
        })
    }
}

/// All that is needed to mount it.
struct Prepared {
    target: OwnedFd,
    copies: Copies,
    user: Option<OwnedFd>,
    mnt: OwnedFd,
    net: OwnedFd,
    flags: libc::c_ulong,
}

impl Prepared {
    fn mount(&self) -> Result<()> {
        let enter = || {
            sys::setns(self.net.as_fd(), libc::CLONE_NEWNET)?;
            sys::setns(self.mnt.as_fd(), libc::CLONE_NEWNS)
        };
        // What a child user namespace owns can be entered from here as well; only there the caller's rights are ours.
        enter()?;
        if let Some(user) = &self.user {
            sys::setns(user.as_fd(), libc::CLONE_NEWUSER)?;
        }
        let sysfs = graft::sysfs(self.flags)?;
        graft::attach(sysfs.as_fd(), self.target.as_fd(), "")?;
        make_private(sysfs.as_fd());
        // The sysfs is there, as the caller wanted it: better without our files than not at all.
        let _ = graft::again(sysfs.as_fd(), &self.copies);
        Ok(())
    }
}

/// What is mounted on it from here on stays here.
fn make_private(mount: BorrowedFd<'_>) {
    let attributes = MountAttr {
        attr_set: 0,
        attr_clr: 0,
        propagation: libc::MS_PRIVATE,
        userns_fd: 0,
    };
    // SAFETY: the kernel reads the structure and the empty path, both alive for the call.
    unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<MountAttr>(),
        );
    }
}

/// A path in the caller's memory.
fn path(tid: u32, mut address: u64) -> Result<Vec<u8>> {
    let mut path = Vec::new();
    while path.len() < PATH_MAX {
        // Never across a page border: the next page may not be there.
        let mut part = vec![0; 256 - address as usize % 256];
        sys::read_memory(tid, address, &mut part)?;
        if let Some(end) = part.iter().position(|byte| *byte == 0) {
            path.extend(&part[..end]);
            return Ok(path);
        }
        address += part.len() as u64;
        path.extend(part);
    }
    Err(Errno::NAMETOOLONG)
}

/// The place that a path means to the caller.
fn target(tid: u32, path: &[u8]) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let base = |name: &str| rustix::fs::open(format!("/proc/{tid}/{name}"), flags, Mode::empty());
    let (base, resolve) = match path.first() {
        Some(b'/') => (base("root")?, ResolveFlags::IN_ROOT),
        _ => (base("cwd")?, ResolveFlags::empty()),
    };
    rustix::fs::openat2(&base, path, flags, Mode::empty(), resolve)
}
