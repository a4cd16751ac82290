//! Opens the real generic netlink socket of a client socket, with the caller's credentials in the caller's network
//! namespace.
//!
//! The kernel asks of an administrative request that both who *opened* the socket and who *sends* have the capability
//! (`net/netlink/af_netlink.c: __netlink_ns_capable`). So the socket must be the caller's, not the supervisor's. Most
//! callers have exactly the supervisor's credentials; then it opens the socket itself. For all others a forked helper
//! enters the caller's namespaces, takes its user, groups and effective capabilities, opens the socket and passes it back.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use crate::creds::{Credentials, NamespaceId};
use crate::sys::{self, Capabilities, Fork, Result};

/// The supervisor's own identity, with which callers are compared.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) creds: Credentials,
    pub(crate) userns: NamespaceId,
    netns: NamespaceId,
    /// The way back after a visit to another network namespace.
    home: OwnedFd,
}

impl Own {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            creds: Credentials::own()?,
            userns: NamespaceId::own("user")?,
            netns: NamespaceId::own("net")?,
            home: open_namespace("/proc/thread-self/ns/net")?,
        })
    }
}

fn open_namespace(path: &str) -> Result<OwnedFd> {
    rustix::fs::open(
        path,
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )
}

/// Opens the relay socket, of this netlink protocol, of the thread `tid`, whose credentials and user namespace are given.
///
/// Fails when the caller's namespaces cannot be entered; its devlink works then, but no other family.
pub(crate) fn open_relay(
    own: &Own,
    tid: u32,
    caller: &Credentials,
    userns: NamespaceId,
    protocol: i32,
) -> Result<OwnedFd> {
    if userns != own.userns || !caller.same_rights(&own.creds) {
        return open_as_caller(own, tid, userns, protocol);
    }
    if NamespaceId::of_process(tid, "net")? == own.netns {
        return open_here(protocol);
    }
    let netns = open_namespace(&format!("/proc/{tid}/ns/net"))?;
    sys::setns(netns.as_fd(), libc::CLONE_NEWNET)?;
    let relay = open_here(protocol);
    // Staying in the wrong namespace would be worse than ending.
    sys::setns(own.home.as_fd(), libc::CLONE_NEWNET)
        .expect("the supervisor may enter its own namespace");
    relay
}

/// A kernel may be built without InfiniBand. Then a socket that nobody speaks through stands for the namespace and the port id
/// ([`ClientSocket::has_upstream`](crate::ClientSocket::has_upstream)).
fn open_here(protocol: i32) -> Result<OwnedFd> {
    match sys::netlink_socket(protocol) {
        Err(Errno::PROTONOSUPPORT) if protocol == libc::NETLINK_RDMA => {
            sys::netlink_socket(libc::NETLINK_GENERIC)
        }
        opened => opened,
    }
}

/// Opens the socket in a helper that becomes the caller.
fn open_as_caller(own: &Own, tid: u32, userns: NamespaceId, protocol: i32) -> Result<OwnedFd> {
    let netns = open_namespace(&format!("/proc/{tid}/ns/net"))?;
    let foreign = if userns == own.userns {
        None
    } else {
        Some(open_namespace(&format!("/proc/{tid}/ns/user"))?)
    };
    let (ours, theirs) = sys::seqpacket_pair()?;
    match sys::fork()? {
        Fork::Child => {
            let result = become_and_open(
                tid,
                netns.as_fd(),
                foreign.as_ref().map(AsFd::as_fd),
                protocol,
            );
            let sent = match &result {
                Ok(relay) => sys::send_with_fds(theirs.as_fd(), &[0], &[relay.as_fd()]),
                Err(errno) => {
                    sys::send_with_fds(theirs.as_fd(), &[errno.raw_os_error() as u8], &[])
                }
            };
            sys::exit_now(i32::from(sent.is_err()));
        }
        Fork::Parent(helper) => {
            drop(theirs);
            let mut code = [0_u8];
            let answer = sys::recv_message(ours.as_fd(), &mut code, 0);
            sys::wait(helper, 0)?;
            match answer?.fds.pop() {
                Some(relay) => Ok(relay),
                None if code[0] != 0 => Err(Errno::from_raw_os_error(i32::from(code[0]))),
                None => Err(Errno::IO),
            }
        }
    }
}

/// Runs in the helper: becomes the caller as far as the kernel's checks can tell, and opens the socket.
fn become_and_open(
    tid: u32,
    netns: BorrowedFd<'_>,
    userns: Option<BorrowedFd<'_>>,
    protocol: i32,
) -> Result<OwnedFd> {
    // A namespace that a child user namespace owns can be entered only from there, one of ours only from here.
    let entered = sys::setns(netns, libc::CLONE_NEWNET);
    if let Some(userns) = userns {
        sys::setns(userns, libc::CLONE_NEWUSER)?;
    }
    if entered.is_err() {
        sys::setns(netns, libc::CLONE_NEWNET)?;
    }
    // Read here, because users are numbered by the reader's user namespace.
    let caller = Credentials::of(tid)?;
    take_identity(&caller);
    let own = sys::capget()?;
    let effective = caller.caps.effective & own.permitted;
    sys::capset(Capabilities {
        effective,
        permitted: effective,
        inheritable: 0,
    })?;
    open_here(protocol)
}

/// Takes user and groups. A number that our user namespace does not map cannot be taken; the capabilities, which are
/// what the kernel checks on such a socket, are taken afterwards in any case.
fn take_identity(caller: &Credentials) {
    let _ = sys::prctl(libc::PR_SET_KEEPCAPS, 1);
    let [real, effective, saved, _] = caller.gids;
    // SAFETY: raw calls on the helper's only thread; they read live memory only.
    unsafe {
        libc::syscall(
            libc::SYS_setgroups,
            caller.groups.len(),
            caller.groups.as_ptr(),
        );
        libc::syscall(libc::SYS_setresgid, real, effective, saved);
        let [real, effective, saved, _] = caller.uids;
        libc::syscall(libc::SYS_setresuid, real, effective, saved);
    }
}
