//! Who sends a request, and what numbers in it mean for that process.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use rustix::io::Errno;

/// A network namespace, by its cookie: unlike the inode number, one is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetId(pub u64);

/// A namespace that stays while this is held (`get_net`, `put_net`).
#[derive(Clone)]
pub struct NetnsRef {
    /// Which namespace.
    pub net: NetId,
    /// Whether the caller has `CAP_NET_ADMIN` in the user namespace that owns it.
    pub capable_net_admin: bool,
    /// What pins it; opaque here.
    pub handle: Arc<dyn Any + Send + Sync>,
}

impl fmt::Debug for NetnsRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetnsRef")
            .field("net", &self.net)
            .field("capable_net_admin", &self.capable_net_admin)
            .finish_non_exhaustive()
    }
}

/// The process that sent a datagram.
///
/// Everything is asked for only when a command needs it: a look-up may cost system calls.
pub trait Caller {
    /// Whether it, and who opened the socket, may administrate (`netlink_capable(CAP_NET_ADMIN)`).
    fn capable_net_admin(&self) -> bool;

    /// The namespace of a file descriptor of the caller.
    ///
    /// # Errors
    /// `EBADF`, or `EINVAL` if it is not a namespace's (`get_net_ns_by_fd`).
    fn netns_by_fd(&self, fd: u32) -> Result<NetnsRef, Errno>;

    /// The namespace of a process, by its number in the caller's pid namespace.
    ///
    /// # Errors
    /// `ESRCH` (`get_net_ns_by_pid`).
    fn netns_by_pid(&self, pid: u32) -> Result<NetnsRef, Errno>;

    /// The namespace that the socket's namespace calls `nsid`.
    ///
    /// # Errors
    /// `EINVAL` if it calls none so (`get_net_ns_by_id`).
    fn netns_by_id(&self, nsid: u32) -> Result<NetnsRef, Errno>;
}
