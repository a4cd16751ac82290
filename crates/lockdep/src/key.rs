//! What chains are made of, and the keys by which they are known.

/// How a lock is taken, and of which class it is, in one word: what chains are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Word(pub(crate) u64);

impl Word {
    /// Bits 0 and 1: the kernel's `read` argument of `lock_acquire`: 0 write, 1 read, 2 recursive read; and 3, a read of which
    /// there is one at a time.
    pub(crate) const MODE: u64 = 3;
    /// Taken by an attempt that would have failed rather than wait.
    pub(crate) const TRY: u64 = 1 << 2;
    /// Of a lock whose order is not checked.
    pub(crate) const UNCHECKED: u64 = 1 << 3;
    /// Of a lock whose class allows several to be held at once, in the order of their addresses.
    pub(crate) const BY_ADDRESS: u64 = 1 << 4;
    /// Taken under a lock that serialises all who take several of this class.
    pub(crate) const NESTED: u64 = 1 << 5;
    /// Taken in a signal handler.
    pub(crate) const IN_HANDLER: u64 = 1 << 6;
    /// Taken while no signal handler can run on the thread.
    pub(crate) const BLOCKED: u64 = 1 << 7;
    /// Taken in deferred work.
    pub(crate) const IN_DEFERRED: u64 = 1 << 28;
    /// Taken while no deferred work can run on the thread.
    pub(crate) const DEFERRED_BLOCKED: u64 = 1 << 29;
    /// The signal handler is a thread of its own.
    pub(crate) const THREADED: u64 = 1 << 30;
    /// Held by an asynchronous task, which may keep it while it waits.
    #[cfg(feature = "tokio")]
    pub(crate) const TASK: u64 = 1 << 31;
    /// Where the rank begins that orders locks of one class: 20 bits, 0 for none.
    pub(crate) const RANK_SHIFT: u32 = 8;
    /// The largest rank.
    pub(crate) const MAX_RANK: u32 = (1 << 20) - 1;
    /// Where the class id begins.
    pub(crate) const CLASS_SHIFT: u32 = 32;

    pub(crate) const fn class(self) -> u32 {
        (self.0 >> Self::CLASS_SHIFT) as u32
    }

    pub(crate) const fn mode(self) -> u64 {
        self.0 & Self::MODE
    }

    pub(crate) const fn is_write(self) -> bool {
        self.mode() == 0
    }

    pub(crate) const fn is_recursive_read(self) -> bool {
        self.mode() == 2
    }

    pub(crate) const fn is_upgradable(self) -> bool {
        self.mode() == 3
    }

    /// Whether two of one lock keep each other out.
    pub(crate) const fn excludes(self, other: Self) -> bool {
        self.is_write() || other.is_write() || (self.is_upgradable() && other.is_upgradable())
    }

    pub(crate) const fn is_try(self) -> bool {
        self.0 & Self::TRY != 0
    }

    pub(crate) const fn has(self, flag: u64) -> bool {
        self.0 & flag != 0
    }

    pub(crate) const fn rank(self) -> u32 {
        (self.0 >> Self::RANK_SHIFT) as u32 & Self::MAX_RANK
    }

    pub(crate) const fn is_checked(self) -> bool {
        self.0 & Self::UNCHECKED == 0
    }
}

/// Two independent hashes of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ChainKey {
    pub(crate) first: u64,
    pub(crate) second: u64,
}

impl ChainKey {
    /// Of a thread that the validator has not met: no chain that starts here is ever in the table. Not
    /// zero, because a lock of an unknown class, taken for writing, would keep it so, and zero is
    /// what an empty slot looks like.
    pub(crate) const UNREGISTERED: Self = Self {
        first: u64::MAX,
        second: u64::MAX,
    };
    /// Of a thread that holds nothing.
    pub(crate) const EMPTY: Self = Self {
        first: 0x6c6f_636b_6465_7031,
        second: 0x7573_6572_6c69_6e6a,
    };

    /// The key of the chain that becomes longer by one lock.
    #[inline(always)]
    pub(crate) const fn extend(self, word: Word) -> Self {
        let first = (self.first.rotate_left(32) ^ word.0).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let second = (self.second.rotate_left(29) ^ word.0).wrapping_mul(0xd6e8_feb8_6659_fd93);
        Self { first, second }
    }

    /// The place of the chain in a table of so many bits.
    #[inline(always)]
    pub(crate) const fn home(self, bits: u32) -> usize {
        (self.first >> (64 - bits)) as usize
    }
}
