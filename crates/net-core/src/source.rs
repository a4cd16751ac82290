//! Where namespaces come from: the real ones in a running machine, made-up ones in tests.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;

use crate::net::NetId;

/// A reference to a namespace that keeps the namespace alive (an open file of it, `get_net`).
pub trait NetnsHandle: Send + Sync + fmt::Debug {
    /// Which namespace.
    fn id(&self) -> NetId;

    /// The open file, if it is a real namespace.
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// Who knows the namespaces.
pub trait NamespaceSource: Send + Sync {
    /// A namespace has become known to the machine. From now on the source watches it, without keeping it alive, and
    /// calls [`NetCore::net_gone`](crate::NetCore::net_gone) once when it is gone. Called with no lock held that the
    /// source could want.
    ///
    /// # Errors
    /// Any: the namespace then counts as unknown and its end will not be noticed.
    fn watch(&self, namespace: &dyn NetnsHandle) -> Result<(), Errno>;

    /// The id by which `net` knows `peer`, given out now if there was none (`peernet2id_alloc`); `None` if this source
    /// leaves the ids to the machine's own table.
    fn peernet2id_alloc(&self, _net: NetId, _peer: NetId) -> Option<i32> {
        None
    }
}

/// The namespace that a file's handler was told of.
impl NetnsHandle for kernfs::Netns {
    fn id(&self) -> NetId {
        NetId(self.cookie)
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().map(AsFd::as_fd)
    }
}
