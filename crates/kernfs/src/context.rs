//! What a file's handler is told about the call that it serves.

use std::fmt;
use std::os::fd::OwnedFd;

use lockdep::order::{Held, Unlocked};
use rustix::io::Errno;

use crate::active::Inside;

/// A network namespace as the caller means it.
#[derive(Debug)]
pub struct Netns {
    /// Its identity (`SO_NETNS_COOKIE`).
    pub cookie: u64,
    /// An open file of it, which keeps it alive; tests have none.
    pub fd: Option<OwnedFd>,
}

/// Who reads or writes.
pub trait Caller {
    /// The process; 0 when it is not visible from here.
    fn pid(&self) -> u32;

    /// Its network namespace, now.
    ///
    /// # Errors
    /// `ESRCH` when the process is gone, or what keeps us from looking.
    fn netns(&self) -> Result<Netns, Errno>;

    /// The network namespace that its descriptor `fd` is an open file of (`get_net_ns_by_fd`).
    ///
    /// # Errors
    /// `EBADF` when it has no such descriptor, `EINVAL` when it is something else.
    fn netns_by_fd(&self, fd: i32) -> Result<Netns, Errno>;

    /// Whether it has `CAP_NET_ADMIN` over the network namespace with this cookie, in which it looks at the file
    /// (`ns_capable`).
    fn capable_net_admin(&self, netns: u64) -> bool;
}

/// No process at all: the machine itself, or a test.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nobody;

impl Caller for Nobody {
    fn pid(&self) -> u32 {
        0
    }

    fn netns(&self) -> Result<Netns, Errno> {
        Err(Errno::SRCH)
    }

    fn netns_by_fd(&self, _fd: i32) -> Result<Netns, Errno> {
        Err(Errno::BADF)
    }

    fn capable_net_admin(&self, _netns: u64) -> bool {
        true
    }
}

/// One read or write, as its handler sees it.
pub struct Context<'a> {
    caller: &'a dyn Caller,
    held: Held<'static, Unlocked>,
    offset: u64,
    inside: Option<Inside<'a>>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(caller: &'a dyn Caller, offset: u64, inside: Inside<'a>) -> Self {
        Context {
            caller,
            held: Held::root(),
            offset,
            inside: Some(inside),
        }
    }

    /// The permission to take locks: a handler starts with none held.
    pub fn held(&mut self) -> &mut Held<'static, Unlocked> {
        &mut self.held
    }

    /// Who reads or writes.
    pub fn caller(&self) -> &'a dyn Caller {
        self.caller
    }

    /// Where in the file (`*ppos`).
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// From now on removal of the file does not wait for this call (`sysfs_break_active_protection`). To be called before
    /// taking a lock that is held while the file is removed: what the handler finds under that lock may be gone.
    pub fn break_active_protection(&mut self) {
        self.inside = None;
    }
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("pid", &self.caller.pid())
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}
