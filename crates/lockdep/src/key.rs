//! What chains are made of, and what stands for a whole chain.

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
    /// The largest class id.
    pub(crate) const MAX_CLASS: u32 = (1 << 31) - 1;
    /// Of every lock, so that no lock's word is 0, which is what an empty place looks like.
    pub(crate) const LOCK: u64 = 1 << 63;

    pub(crate) const fn class(self) -> u32 {
        (self.0 >> Self::CLASS_SHIFT) as u32 & Self::MAX_CLASS
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

/// Where a thread stands: the chain of locks that it holds, by number. No two chains ever have the same one.
///
/// From the low bits: how many locks the chain has (8), its slot in the table (20), and a serial number (34), so that a slot
/// that is used again gives other nodes than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(transparent)]
pub(crate) struct Node(pub(crate) u64);

impl Node {
    const SLOT_SHIFT: u32 = 8;
    const SERIAL_SHIFT: u32 = 28;
    /// The table cannot have more slots.
    pub(crate) const SLOTS: usize = 1 << (Self::SERIAL_SHIFT - Self::SLOT_SHIFT);
    /// There are so many serial numbers.
    pub(crate) const SERIALS: u64 = 1 << 34;
    const LOOSE: u64 = 1 << 62;

    /// Of a thread that the validator has not met.
    pub(crate) const UNREGISTERED: Self = Self(0);
    /// Of a thread that holds nothing.
    pub(crate) const EMPTY: Self = Self(1 << 63);
    /// Where no thread ever stands.
    pub(crate) const NOWHERE: Self = Self(u64::MAX);

    /// Of the chain in this slot.
    pub(crate) const fn new(serial: u64, slot: u32, depth: usize) -> Self {
        debug_assert!(serial > 0 && serial < Self::SERIALS && depth < 256);
        Self(
            serial << Self::SERIAL_SHIFT | (slot as u64) << Self::SLOT_SHIFT | (depth as u8 as u64),
        )
    }

    /// Of a chain of so many locks that has no slot. Only this one is not unique.
    pub(crate) const fn loose(depth: usize) -> Self {
        Self(Self::LOOSE | (depth as u8 as u64))
    }

    /// Whether it is of a chain that has no slot.
    #[inline(always)]
    pub(crate) const fn is_loose(self) -> bool {
        self.0 & Self::LOOSE != 0
    }

    /// How many locks the chain has.
    #[inline(always)]
    pub(crate) const fn depth(self) -> u8 {
        self.0 as u8
    }

    /// The slot of a chain that has one.
    pub(crate) const fn slot(self) -> usize {
        (self.0 >> Self::SLOT_SHIFT) as usize & (Self::SLOTS - 1)
    }

    /// A number of so many bits in which steps differ that differ in the node or the lock.
    #[inline(always)]
    pub(crate) const fn hash(self, word: Word, bits: u32) -> usize {
        let hash = (self.0 ^ word.0).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (hash >> (64 - bits)) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_says_where_and_how_deep_it_is() {
        let node = Node::new(Node::SERIALS - 1, Node::SLOTS as u32 - 1, 200);
        assert_eq!(
            (node.slot(), node.depth(), node.is_loose()),
            (Node::SLOTS - 1, 200, false)
        );
        assert!(node != Node::new(Node::SERIALS - 2, Node::SLOTS as u32 - 1, 200));
        let loose = Node::loose(7);
        assert!(loose.is_loose() && loose.depth() == 7);
        assert!(Node::EMPTY.depth() == 0 && !Node::EMPTY.is_loose());
    }
}
