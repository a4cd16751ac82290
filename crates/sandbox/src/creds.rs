//! Whose permission an act needs: credentials of other processes, and acting with no more than theirs.
//!
//! The sandbox does things for its clients that the kernel checks: it opens sockets, joins groups, sends requests. Were
//! it to do so with its own credentials, every client would borrow them. So each such act runs with the *effective
//! capabilities of the client*, set on the one thread that acts ([`with_effective`]).
//!
//! # Whom to believe
//! The kernel stamps each datagram with its sender's process and real user. The capabilities must be read from `/proc`
//! a moment later, when the process may have executed something more powerful, or have ended and its number be another's.
//! [`Credentials::of_sender`] therefore believes what it reads only if the real user still is the stamped one, if no
//! set-user-id or set-group-id program is running (real = effective = saved) and, for users other than root, if no
//! program gained capabilities by its file (then `/proc/PID` belongs to root). Whatever is in doubt has no capability.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;

use rustix::io::Errno;

use crate::sys::{self, Capabilities, Result, Stamp};

/// Which namespace, while somebody keeps it alive (inode numbers are reused).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NamespaceId {
    device: u64,
    inode: u64,
}

impl NamespaceId {
    /// The namespace `kind` (`user`, `net`, …) of a thread or process.
    pub(crate) fn of_process(pid: u32, kind: &str) -> Result<Self> {
        Self::at(&format!("/proc/{pid}/ns/{kind}"))
    }

    /// Our own namespace `kind`.
    pub(crate) fn own(kind: &str) -> Result<Self> {
        Self::at(&format!("/proc/thread-self/ns/{kind}"))
    }

    fn at(path: &str) -> Result<Self> {
        let stat = rustix::fs::stat(path)?;
        Ok(Self {
            device: stat.st_dev,
            inode: stat.st_ino,
        })
    }

    /// The namespace behind a descriptor.
    pub(crate) fn of(namespace: BorrowedFd<'_>) -> Result<Self> {
        let stat = rustix::fs::fstat(namespace)?;
        Ok(Self {
            device: stat.st_dev,
            inode: stat.st_ino,
        })
    }

    pub(crate) fn to_words(self) -> [u64; 2] {
        [self.device, self.inode]
    }

    pub(crate) fn from_words([device, inode]: [u64; 2]) -> Self {
        Self { device, inode }
    }
}

/// The credentials of a thread or process, as `/proc/PID/status` shows them to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    /// The thread's process.
    pub(crate) tgid: u32,
    /// Its number in its own pid namespace.
    pub(crate) own_tgid: u32,
    /// Real, effective, saved and file-system user.
    pub(crate) uids: [u32; 4],
    /// Real, effective, saved and file-system group.
    pub(crate) gids: [u32; 4],
    /// Supplementary groups.
    pub(crate) groups: Vec<u32>,
    pub(crate) caps: Capabilities,
}

impl Credentials {
    /// Reads the credentials of a thread or process.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        Self::read(&format!("/proc/{pid}/status"))
    }

    /// Our own thread's credentials.
    pub(crate) fn own() -> Result<Self> {
        Self::read("/proc/thread-self/status")
    }

    fn read(path: &str) -> Result<Self> {
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
        let file = rustix::fs::open(path, flags, rustix::fs::Mode::empty())?;
        // One read gets all of it, unless the process is in very many groups.
        let mut text = vec![0; 4096];
        let mut length = 0;
        loop {
            let read = rustix::io::read(&file, &mut text[length..])?;
            length += read;
            if read == 0 || length < text.len() {
                break;
            }
            text.resize(2 * length, 0);
        }
        Self::parse(&String::from_utf8_lossy(&text[..length])).ok_or(Errno::PROTO)
    }

    fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .map(str::trim)
        };
        let four = |name| {
            let mut numbers = field(name)?.split_whitespace().map(str::parse);
            let mut next = || numbers.next()?.ok();
            Some([next()?, next()?, next()?, next()?])
        };
        let set = |name| u64::from_str_radix(field(name)?, 16).ok();
        let tgid = field("Tgid")?.parse().ok()?;
        Some(Self {
            tgid,
            own_tgid: field("NStgid")
                .and_then(|chain| chain.split_whitespace().last()?.parse().ok())
                .unwrap_or(tgid),
            uids: four("Uid")?,
            gids: four("Gid")?,
            groups: field("Groups")?
                .split_whitespace()
                .filter_map(|group| group.parse().ok())
                .collect(),
            caps: Capabilities {
                effective: set("CapEff")?,
                permitted: set("CapPrm")?,
                inheritable: set("CapInh")?,
            },
        })
    }

    /// The credentials of the sender of a datagram, or `None` when what `/proc` says now cannot be trusted to be what
    /// was true when it was sent. See the module's text.
    pub(crate) fn of_sender(stamp: Stamp) -> Option<Self> {
        if stamp.pid == 0 {
            return None; // in a pid namespace that we cannot see into
        }
        let directory = fs::metadata(format!("/proc/{}", stamp.pid)).ok()?;
        let now = Self::of(stamp.pid).ok()?;
        let [real, effective, saved, _] = now.uids;
        let unchanged = real == stamp.uid && effective == real && saved == real;
        let [real, effective, saved, _] = now.gids;
        let unchanged = unchanged && real == stamp.gid && effective == real && saved == real;
        let undiluted = stamp.uid == 0 || directory.uid() == stamp.uid;
        (unchanged && undiluted).then_some(now)
    }

    /// Whether a relay socket opened by ourselves would carry exactly these credentials.
    pub(crate) fn same_rights(&self, other: &Self) -> bool {
        self.uids == other.uids
            && self.gids == other.gids
            && self.groups == other.groups
            && self.caps.effective == other.caps.effective
    }
}

/// Runs `act` on this thread with at most the effective capabilities `effective`, then takes the thread's own back.
///
/// The permitted set stays, so the way back is always open; capabilities that `own` does not permit are not gained.
pub(crate) fn with_effective<R>(
    own: Capabilities,
    effective: u64,
    act: impl FnOnce() -> R,
) -> Result<R> {
    let wanted = effective & own.permitted;
    if wanted == own.effective {
        return Ok(act());
    }
    sys::capset(Capabilities {
        effective: wanted,
        ..own
    })?;
    /// Also a panic in `act` must not leave the thread without its capabilities.
    struct Restore(Capabilities);
    impl Drop for Restore {
        fn drop(&mut self) {
            sys::capset(self.0).expect("a thread may always use what it is permitted");
        }
    }
    let restore = Restore(own);
    let result = act();
    drop(restore);
    Ok(result)
}

/// Whether `userns` is the user namespace that owns `namespace` (of any kind) or an ancestor of that one, as far up as
/// we may look, which is our own user namespace.
///
/// `effective` capabilities held in such a user namespace count in `namespace` (`security/commoncap.c: cap_capable`);
/// so does being the user who made one of the user namespaces on the way, which the third argument, the effective user
/// in *our* user namespace, decides: then all capabilities count.
pub(crate) fn capabilities_over(
    namespace: BorrowedFd<'_>,
    userns: NamespaceId,
    effective: u64,
    euid: u32,
) -> u64 {
    let mut next = sys::related_namespace(namespace, libc::NS_GET_USERNS);
    while let Ok(current) = next {
        if NamespaceId::of(current.as_fd()) == Ok(userns) {
            return effective;
        }
        next = sys::related_namespace(current.as_fd(), libc::NS_GET_PARENT);
        if let Ok(parent) = &next {
            let owner = sys::namespace_owner(current.as_fd());
            if NamespaceId::of(parent.as_fd()) == Ok(userns) && owner == Ok(euid) {
                return !0;
            }
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_own_credentials() {
        let own = Credentials::own().unwrap();
        assert_eq!(own.tgid, std::process::id());
        assert_eq!(own.caps, sys::capget().unwrap());
        assert_eq!(own.uids[1], rustix::process::geteuid().as_raw());
    }

    #[test]
    fn a_sender_that_is_somebody_else_now_is_not_believed() {
        let own = Credentials::own().unwrap();
        let stamp = Stamp {
            pid: own.tgid,
            uid: own.uids[0],
            gid: own.gids[0],
        };
        assert_eq!(
            Credentials::of_sender(stamp).map(|c| c.tgid),
            Some(own.tgid)
        );
        let other = Stamp {
            uid: own.uids[0] + 1,
            ..stamp
        };
        assert_eq!(Credentials::of_sender(other), None);
        assert_eq!(Credentials::of_sender(Stamp { pid: 0, ..stamp }), None);
    }

    #[test]
    fn capabilities_come_back_after_the_act() {
        let own = sys::capget().unwrap();
        let during = with_effective(own, 0, || sys::capget().unwrap()).unwrap();
        assert_eq!(during.effective, 0);
        assert_eq!(during.permitted, own.permitted);
        assert_eq!(sys::capget().unwrap(), own);
    }

    #[test]
    fn capabilities_count_in_our_own_network_namespace() {
        let net = fs::File::open("/proc/thread-self/ns/net").unwrap();
        let userns = NamespaceId::own("user").unwrap();
        let elsewhere = NamespaceId::own("net").unwrap();
        // A test run in a user namespace of its own, but not in a network namespace, cannot see the owner.
        if sys::related_namespace(net.as_fd(), libc::NS_GET_USERNS).is_ok() {
            assert_eq!(capabilities_over(net.as_fd(), userns, 5, 0), 5);
        }
        assert_eq!(capabilities_over(net.as_fd(), elsewhere, 5, u32::MAX), 0);
    }
}
