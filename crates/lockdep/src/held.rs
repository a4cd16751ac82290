//! The locks that a thread holds, as those see them who ask, and what the guard of a lock keeps of its place among them.

use crate::chain::{Node, Word};

/// How many locks a thread may hold before the validator loses sight of the rest. The kernel's `MAX_LOCK_DEPTH` is 48.
pub(crate) const DEPTH: usize = 128;

/// One lock that a thread holds: the kernel's `struct held_lock`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeldLock {
    /// The chain that ends with this lock.
    pub(crate) node: Node,
    /// Address of the lock's [`Map`](crate::class::Map); one more while the lock is pinned.
    pub(crate) map: usize,
    /// The code that took it.
    pub(crate) ip: usize,
    pub(crate) word: Word,
}

/// In the place of a lock's address: here a signal handler interrupted the thread.
pub(crate) const INTERRUPT: usize = 2;

impl HeldLock {
    /// Whether it is the lock with this address.
    pub(crate) const fn is(&self, map: usize) -> bool {
        self.address() == map
    }

    /// The lock's address.
    pub(crate) const fn address(&self) -> usize {
        self.map & !1
    }

    pub(crate) const fn is_pinned(&self) -> bool {
        self.map & 1 != 0
    }
}

/// Where the thread stood before it took a lock, and where it stood then. If it stands there again when the lock is released,
/// the lock is the newest one, and to release it is to step back.
///
/// That is so because only a step that is known to be in order without a look at the instances has a token, and in such a
/// chain the last lock's class comes only once. A thread that stands at its end holds the lock last: if it held another lock
/// of the class last, it would hold two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) from: Node,
    pub(crate) to: Node,
}

impl Token {
    /// Of a lock that must be looked for when it is released.
    pub(crate) const NONE: Self = Self {
        from: Node::NOWHERE,
        to: Node::NOWHERE,
    };
}
