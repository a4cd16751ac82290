//! A fresh sysfs, with the machine's files in it.
//!
//! `ip netns exec`, `ip -n` and `devlink -N` mount a new sysfs on `/sys` of a mount namespace of their own, and ours would be
//! gone. So who mounts a sysfs does not do it: a helper process does, in the caller's namespaces and with no more rights than the
//! caller has there, and grafts the machine's files before the call returns. What cannot be done in the caller's place is left
//! to the real kernel.
//!
//! There are two ways to mount. `mount(2)` makes a sysfs and attaches it. Newer programs make one with `fsopen(2)` and `fsmount(2)`
//! and attach it with `move_mount(2)`: until then it has no place in which anything could be grafted, so only that call is trapped.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use kernfs::View;
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, StatxFlags};
use rustix::io::Errno;
use rustix::mount::MoveMountFlags;

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

/// The inode and the mode of a sysfs's root (`fs/kernfs/`, `fs/sysfs/mount.c`), which other virtual file systems have, too.
const ROOT_INODE: u64 = 1;
const ROOT_MODE: u32 = libc::S_IFDIR | 0o555;

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
        let [_, path, _, flags, ..] = call.args;
        if flags & OTHER_CALLS != 0 || !is_sysfs() {
            return self.pass_on(call);
        }
        let place = Place {
            directory: None,
            path,
            flags: MoveMountFlags::MOVE_MOUNT_T_SYMLINKS,
        };
        self.mount_sysfs(call, Sysfs::New(flags), place);
    }

    /// `move_mount(2)`
    pub(super) fn move_mount(&mut self, call: &Notification) {
        match self.made_sysfs(call) {
            Ok((sysfs, place)) => self.mount_sysfs(call, sysfs, place),
            Err(_) => self.pass_on(call),
        }
    }

    /// What may be a sysfs, if the call attaches what was made before, and where to. Nothing here waits for the file system, which
    /// may be anybody's, so the answer is not certain.
    fn made_sysfs(&mut self, call: &Notification) -> Result<(Sysfs, Place)> {
        let [from, from_path, to, path, flags, _] = call.args;
        let flags = MoveMountFlags::from_bits_retain(flags as u32);
        let other_calls = MoveMountFlags::MOVE_MOUNT_SET_GROUP | MoveMountFlags::MOVE_MOUNT_BENEATH;
        let mut name = [0];
        if from_path != 0 {
            sys::read_memory(call.tid, from_path, &mut name)?;
        }
        let is_descriptor = flags.contains(MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH) && name == [0];
        if !is_descriptor || flags.intersects(other_calls) {
            return Err(Errno::INVAL);
        }
        let mount = self.threads.descriptor(call.tid, from as i32)?;
        let no_wait = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        let mask = StatxFlags::TYPE | StatxFlags::MODE | StatxFlags::INO;
        let stat = rustix::fs::statx(&mount, "", no_wait, mask)?;
        if (stat.stx_ino, u32::from(stat.stx_mode)) != (ROOT_INODE, ROOT_MODE) {
            return Err(Errno::INVAL);
        }
        let directory = match to as i32 {
            libc::AT_FDCWD => None,
            to => Some(self.threads.descriptor(call.tid, to)?),
        };
        let place = Place {
            directory,
            path,
            flags,
        };
        Ok((Sysfs::Made(mount), place))
    }

    fn mount_sysfs(&mut self, call: &Notification, sysfs: Sysfs, place: Place) {
        let Some(files) = &self.files else {
            return self.pass_on(call);
        };
        // In two steps, so that nobody has to wait for the helper: looking up our files waits for the kernel process.
        match sys::fork() {
            Ok(Fork::Child) => {
                if let Ok(Fork::Child) = sys::fork() {
                    self.help(call, prepare(call.tid, files, sysfs, &place));
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
    fn help(&self, call: &Notification, prepared: Result<Prepared>) -> ! {
        match prepared {
            Ok(prepared) => {
                let result = prepared.mount();
                self.answer(call, result.map(|()| 0));
            }
            Err(_) => self.pass_on(call),
        }
        sys::exit_now(0);
    }
}

/// A sysfs that somebody wants to have.
enum Sysfs {
    /// One that is to be made, with these flags of `mount(2)`.
    New(libc::c_ulong),
    /// One that the caller has made. It has the same descriptor for it.
    Made(OwnedFd),
}

/// Where somebody wants to have it.
struct Place {
    /// Where a relative path begins; `None`: in the working directory.
    directory: Option<OwnedFd>,
    /// The address of the path in the caller's memory.
    path: u64,
    /// How it is to be read: the `MOVE_MOUNT_T_…` are looked at.
    flags: MoveMountFlags,
}

/// Finds out all that can only be found out from our own namespaces, of which the network namespace is left on the way. `files` is the root of the served file system.
fn prepare(tid: u32, files: &OwnedFd, sysfs: Sysfs, place: &Place) -> Result<Prepared> {
    let caller = Credentials::of(tid)?;
    if caller.caps.effective & (1 << sys::CAP_SYS_ADMIN) == 0 {
        return Err(Errno::PERM);
    }
    if let Sysfs::Made(sysfs) = &sysfs {
        graft::check_bare(sysfs.as_fd())?;
    }
    let open = |name: &str| {
        let path = format!("/proc/{tid}/ns/{name}");
        rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
    };
    let net = open("net")?;
    let view = View(netns::cookie_of(net.as_fd())?);
    // Who looks up a view for the first time should be in its namespace.
    sys::setns(net.as_fd(), libc::CLONE_NEWNET)?;
    let foreign = NamespaceId::of_process(tid, "user")? != NamespaceId::own("user")?;
    Ok(Prepared {
        sysfs,
        target: place.open(tid)?,
        copies: Copies::of(files.as_fd(), view)?,
        user: foreign.then(|| open("user")).transpose()?,
        mnt: open("mnt")?,
    })
}

/// All that is needed to mount it, by a thread that is in the caller's network namespace.
struct Prepared {
    sysfs: Sysfs,
    target: OwnedFd,
    copies: Copies,
    user: Option<OwnedFd>,
    mnt: OwnedFd,
}

impl Prepared {
    fn mount(self) -> Result<()> {
        sys::setns(self.mnt.as_fd(), libc::CLONE_NEWNS)?;
        // What a child user namespace owns can be entered from here as well; only there the caller's rights are ours.
        if let Some(user) = &self.user {
            sys::setns(user.as_fd(), libc::CLONE_NEWUSER)?;
        }
        let sysfs = match self.sysfs {
            Sysfs::New(flags) => graft::sysfs(flags)?,
            Sysfs::Made(sysfs) => sysfs,
        };
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

impl Place {
    /// What it means to the caller.
    fn open(&self, tid: u32) -> Result<OwnedFd> {
        let path = path(tid, self.path)?;
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let of_caller =
            |name: &str| rustix::fs::open(format!("/proc/{tid}/{name}"), flags, Mode::empty());
        let (base, resolve) = match (path.first(), &self.directory) {
            (Some(b'/'), _) => (of_caller("root")?, ResolveFlags::IN_ROOT),
            (_, Some(directory)) => (
                directory.try_clone().map_err(|_| Errno::MFILE)?,
                ResolveFlags::empty(),
            ),
            (_, None) => (of_caller("cwd")?, ResolveFlags::empty()),
        };
        if path.is_empty() && self.flags.contains(MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH) {
            return Ok(base);
        }
        let last = match self.flags.contains(MoveMountFlags::MOVE_MOUNT_T_SYMLINKS) {
            true => OFlags::empty(),
            false => OFlags::NOFOLLOW,
        };
        rustix::fs::openat2(&base, path, flags | last, Mode::empty(), resolve)
    }
}
