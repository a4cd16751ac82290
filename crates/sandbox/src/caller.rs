//! Who sent a request: what it may do, and which network namespaces it means.

use std::cell::OnceCell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;

use crate::client::ClientSocket;
use crate::creds::{self, Credentials, NamespaceId};
use crate::sys::{self, Result, Stamp};

/// The sender of one datagram.
///
/// # What it may do
/// An administrative command of a family like devlink needs `CAP_NET_ADMIN` in the machine's user namespace
/// ([`administers_machine`](Sender::administers_machine)), as the real kernel asks for it in the initial one
/// (`net/netlink/genetlink.c`, `GENL_ADMIN_PERM`); here the machine may itself be inside a user namespace, whose root is the
/// machine's root. Over a network namespace, the capabilities count *in the user namespace that owns it*, effective in the sender at
/// the time of the request: as in `security/commoncap.c: cap_capable`, those in an ancestor user namespace count, and so does having
/// made one of the user namespaces in between.
///
/// Nothing is looked up before it is asked for: most requests need no permission.
#[derive(Debug)]
pub struct Sender {
    stamp: Stamp,
    socket: Arc<ClientSocket>,
    known: OnceCell<Option<Known>>,
}

#[derive(Debug)]
struct Known {
    creds: Credentials,
    userns: NamespaceId,
}

impl Sender {
    pub(crate) fn of(stamp: Stamp, socket: Arc<ClientSocket>) -> Self {
        Self {
            stamp,
            socket,
            known: OnceCell::new(),
        }
    }

    /// The sending process, in the pid namespace of the machine; 0: not visible from there.
    pub fn pid(&self) -> u32 {
        self.stamp.pid
    }

    /// The sender's real user, in the user namespace of the machine.
    pub fn uid(&self) -> u32 {
        self.stamp.uid
    }

    /// The sender's real group, in the user namespace of the machine.
    pub fn gid(&self) -> u32 {
        self.stamp.gid
    }

    fn known(&self) -> Option<&Known> {
        self.known
            .get_or_init(|| {
                let userns = NamespaceId::of_process(self.stamp.pid, "user").ok()?;
                let creds = Credentials::of_sender(self.stamp)?;
                Some(Known { creds, userns })
            })
            .as_ref()
    }

    /// The capabilities the sender has over `namespace`.
    fn capabilities_over(&self, namespace: BorrowedFd<'_>) -> u64 {
        self.known().map_or(0, |known| {
            let euid = known.creds.uids[1];
            creds::capabilities_over(namespace, known.userns, known.creds.caps.effective, euid)
        })
    }

    /// Whether the sender may administer the socket's network namespace; see the type's text.
    pub fn capable_net_admin(&self) -> bool {
        self.socket
            .netns()
            .is_ok_and(|netns| self.may_administer(netns.as_fd()))
    }

    /// Whether the sender has `CAP_NET_ADMIN` over the whole machine: in the machine's own user namespace, which is to it what the
    /// initial one is to a real kernel. The root of a user namespace below it has not, whatever network namespaces it owns.
    pub fn administers_machine(&self) -> bool {
        self.known().is_some_and(|known| {
            NamespaceId::own("user") == Ok(known.userns)
                && known.creds.caps.effective & (1 << sys::CAP_NET_ADMIN) != 0
        })
    }

    fn may_administer(&self, netns: BorrowedFd<'_>) -> bool {
        self.capabilities_over(netns) & (1 << sys::CAP_NET_ADMIN) != 0
    }

    /// The effective capabilities with which a request of this sender is relayed.
    ///
    /// In our own user namespace these are the sender's. In another one they count only over namespaces which that one
    /// owns, and only if the socket was opened there too: then the kernel's own check of the opener keeps them from
    /// counting anywhere else. The opener's socket keeps its user namespace alive, so the comparison is sound.
    pub(crate) fn relay_capabilities(
        &self,
        relay: BorrowedFd<'_>,
        opener_userns: NamespaceId,
    ) -> u64 {
        let Some(known) = self.known() else {
            return 0;
        };
        if NamespaceId::own("user") == Ok(known.userns) {
            return known.creds.caps.effective;
        }
        if known.userns != opener_userns {
            return 0;
        }
        sys::netns_of_socket(relay).map_or(0, |netns| self.capabilities_over(netns.as_fd()))
    }

    /// The network namespace behind a descriptor of the sender (`DEVLINK_ATTR_NETNS_FD`).
    ///
    /// # Errors
    /// `EBADF`: no such descriptor. `EINVAL`: it is not of a network namespace.
    pub fn netns_by_fd(&self, fd: u32) -> Result<NetnsRef> {
        let pidfd = sys::pidfd_open(self.stamp.pid, false)?;
        let fd = i32::try_from(fd).map_err(|_| Errno::BADF)?;
        let namespace = sys::pidfd_getfd(pidfd.as_fd(), fd)?;
        self.netns_ref(namespace)
    }

    /// The network namespace of a process, numbered in the sender's pid namespace (`DEVLINK_ATTR_NETNS_PID`).
    ///
    /// # Errors
    /// `ESRCH`: no such process.
    pub fn netns_by_pid(&self, pid: u32) -> Result<NetnsRef> {
        let ours = self.translate_pid(pid)?;
        let namespace = open(&format!("/proc/{ours}/ns/net")).map_err(|_| Errno::SRCH)?;
        self.netns_ref(namespace)
    }

    /// The pid, in our pid namespace, of the process that is `pid` in the sender's.
    fn translate_pid(&self, pid: u32) -> Result<u32> {
        const NS_GET_TGID_FROM_PIDNS: libc::Ioctl = 0x8004_b707 as libc::Ioctl;
        if NamespaceId::of_process(self.stamp.pid, "pid") == NamespaceId::own("pid") {
            return Ok(pid);
        }
        let pidns = open(&format!("/proc/{}/ns/pid", self.stamp.pid)).map_err(|_| Errno::SRCH)?;
        // SAFETY: the argument of this command is the number itself (kernel 6.11).
        let ours = sys::check(unsafe {
            libc::ioctl(
                std::os::fd::AsRawFd::as_raw_fd(&pidns),
                NS_GET_TGID_FROM_PIDNS,
                u64::from(pid),
            )
        });
        match ours {
            Ok(ours) => Ok(ours as u32),
            Err(Errno::NOTTY) => self.translate_pid_by_proc(pid),
            Err(_) => Err(Errno::SRCH),
        }
    }

    /// Before 6.11: the process whose pid, as deep in its chain as the sender's namespace is, is the wanted one.
    fn translate_pid_by_proc(&self, pid: u32) -> Result<u32> {
        let chain = |pid: u32| -> Option<Vec<u32>> {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("NSpid:"))?;
            line.split_whitespace()
                .map(|pid| pid.parse().ok())
                .collect()
        };
        let depth = chain(self.stamp.pid).ok_or(Errno::SRCH)?.len();
        let pidns = NamespaceId::of_process(self.stamp.pid, "pid")?;
        let entries = std::fs::read_dir("/proc").map_err(|_| Errno::SRCH)?;
        entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .find(|&candidate| {
                chain(candidate).is_some_and(|chain| chain.get(depth - 1) == Some(&pid))
                    && NamespaceId::of_process(candidate, "pid") == Ok(pidns)
            })
            .ok_or(Errno::SRCH)
    }

    fn netns_ref(&self, namespace: OwnedFd) -> Result<NetnsRef> {
        match sys::namespace_kind(namespace.as_fd()) {
            Ok(libc::CLONE_NEWNET) => {}
            _ => return Err(Errno::INVAL),
        }
        let socket = crate::netns::socket_in(namespace.as_fd(), libc::NETLINK_ROUTE)?;
        Ok(NetnsRef {
            cookie: sys::netns_cookie(socket.as_fd())?,
            capable_net_admin: self.may_administer(namespace.as_fd()),
            namespace,
        })
    }

    /// The network namespace that has the id `nsid` in the socket's own (`DEVLINK_ATTR_NETNS_ID`).
    ///
    /// # Errors
    /// `EINVAL`: no namespace has this id, or it has neither a name nor a process.
    pub fn netns_by_id(&self, nsid: i32) -> Result<NetnsRef> {
        let home = self.socket.netns()?;
        self.netns_ref(crate::netns::open_by_id(home.as_fd(), nsid)?)
    }
}

fn open(path: &str) -> Result<OwnedFd> {
    rustix::fs::open(
        path,
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )
}

/// A network namespace that a request names; alive while this is, as with the kernel's `get_net`.
#[derive(Debug)]
pub struct NetnsRef {
    cookie: u64,
    capable_net_admin: bool,
    namespace: OwnedFd,
}

impl NetnsRef {
    /// Its cookie (`SO_NETNS_COOKIE`).
    pub fn cookie(&self) -> u64 {
        self.cookie
    }

    /// Whether the sender may administer this namespace, too.
    pub fn capable_net_admin(&self) -> bool {
        self.capable_net_admin
    }

    /// The namespace's descriptor, which keeps it alive.
    pub fn into_namespace(self) -> OwnedFd {
        self.namespace
    }

    /// A descriptor of the namespace.
    pub fn namespace(&self) -> BorrowedFd<'_> {
        self.namespace.as_fd()
    }
}
