//! The chains of locks that have been found in order, and the look-up that makes a known chain cost almost nothing.
//!
//! A chain is what a thread holds, in the order of taking: classes, and how each was taken. Its key is built up while locks
//! are taken, so that "is this in order?" is one look into a global table of chains that passed every check before. The
//! kernel does the same with one 64-bit key (`kernel/locking/lockdep.c: lookup_chain_cache`). Here a second, independent
//! 64-bit hash is compared too, so that two chains are not taken for each other.
//!
//! The table is read without a lock and without writing anything that other threads share. It is written only under the
//! graph lock, by one thread at a time.

use std::sync::atomic::{AtomicU64, Ordering};

/// How a lock is taken, and of which class it is, in one word: what chains are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Word(pub(crate) u64);

impl Word {
    /// Bits 0 and 1: the kernel's `read` argument of `lock_acquire`: 0 write, 1 read, 2 recursive read.
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
    first: u64,
    second: u64,
}

impl ChainKey {
    /// No chain's.
    pub(crate) const NONE: Self = Self {
        first: 0,
        second: 0,
    };
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

    /// The key under which a thread notes that it has met a chain whose instances must be looked at each time.
    pub(crate) const fn noted(self) -> Self {
        Self {
            first: self.first,
            second: !self.second,
        }
    }
}

const BITS: u32 = 16;
/// How many chains the table holds before it counts as full.
pub(crate) const CAPACITY: usize = (1 << BITS) / 4 * 3;

struct Slot {
    /// 0 in an empty slot.
    first: AtomicU64,
    second: AtomicU64,
}

static TABLE: [Slot; 1 << BITS] = [const {
    Slot {
        first: AtomicU64::new(0),
        second: AtomicU64::new(0),
    }
}; 1 << BITS];

/// What the table knows about a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// In order.
    Yes,
    /// In order as far as classes go; the instances must be looked at.
    AskInstances,
}

/// In the second word of a slot: it is still of interest who makes the chain.
const LEARNING: u64 = 1;
const ASK_AND_LEARN: u64 = !LEARNING;

/// Looks for the chain in every slot where it may be. Also says whether it is of interest who makes it.
pub(crate) fn find(key: ChainKey) -> Option<(Known, bool)> {
    let mut at = key.home(BITS);
    for _ in 0..TABLE.len() {
        let slot = &TABLE[at];
        // Acquire pairs with the release in `insert`: who sees the first word sees the second one that belongs to it.
        let first = slot.first.load(Ordering::Acquire);
        if first == 0 {
            return None;
        }
        if first == key.first {
            let second = slot.second.load(Ordering::Relaxed);
            match second ^ key.second {
                0 => return Some((Known::Yes, false)),
                LEARNING => return Some((Known::Yes, true)),
                u64::MAX => return Some((Known::AskInstances, false)),
                ASK_AND_LEARN => return Some((Known::AskInstances, true)),
                _ => {}
            }
        }
        at = (at + 1) % TABLE.len();
    }
    None
}

/// Adds a chain. Only for who holds the graph lock, and only while there are fewer than [`CAPACITY`].
pub(crate) fn insert(key: ChainKey, known: Known, learning: bool) {
    if key.first == 0 {
        // Looks like an empty slot. Such a chain, one in 2^64, is validated each time.
        return;
    }
    let second = second(key, known) ^ if learning { LEARNING } else { 0 };
    let mut at = key.home(BITS);
    loop {
        let slot = &TABLE[at];
        if slot.first.load(Ordering::Relaxed) == 0 {
            slot.second.store(second, Ordering::Relaxed);
            slot.first.store(key.first, Ordering::Release);
            return;
        }
        at = (at + 1) % TABLE.len();
    }
}

const fn second(key: ChainKey, known: Known) -> u64 {
    match known {
        Known::Yes => key.second,
        Known::AskInstances => !key.second,
    }
}

/// Enough is known of who makes the chain. Only for who holds the graph lock.
pub(crate) fn saturate(key: ChainKey) {
    let Some((known, _)) = find(key) else { return };
    let mut at = key.home(BITS);
    loop {
        let slot = &TABLE[at];
        let this = second(key, known) ^ LEARNING;
        if slot.first.load(Ordering::Relaxed) == key.first
            && slot.second.load(Ordering::Relaxed) == this
        {
            slot.second.store(this ^ LEARNING, Ordering::Relaxed);
            return;
        }
        if slot.first.load(Ordering::Relaxed) == 0 {
            return;
        }
        at = (at + 1) % TABLE.len();
    }
}

/// Forgets every chain. Only for who holds the graph lock. A reader that runs at the same time sees a chain that is still in
/// order, or none.
pub(crate) fn clear() {
    for slot in &TABLE {
        slot.first.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(class: u64, mode: u64) -> Word {
        Word(class << Word::CLASS_SHIFT | mode)
    }

    #[test]
    fn order_and_mode_are_part_of_the_key() {
        let (a, b) = (word(8, 0), word(16, 0));
        let ab = ChainKey::EMPTY.extend(a).extend(b);
        assert!(ab == ChainKey::EMPTY.extend(a).extend(b));
        assert!(ab != ChainKey::EMPTY.extend(b).extend(a));
        assert!(ab != ChainKey::EMPTY.extend(a).extend(word(16, 2)));
    }

    #[test]
    fn an_unknown_lock_of_an_unknown_thread_is_not_known() {
        for mode in 0..3 {
            assert_eq!(find(ChainKey::UNREGISTERED.extend(word(0, mode))), None);
            assert_eq!(find(ChainKey::EMPTY.extend(word(0, mode))), None);
        }
    }

    #[test]
    fn a_key_is_found_only_with_both_hashes() {
        let key = ChainKey::EMPTY.extend(word(u64::from(u32::MAX), 0));
        assert_eq!(find(key), None);
        insert(key, Known::AskInstances, true);
        assert_eq!(find(key), Some((Known::AskInstances, true)));
        saturate(key);
        assert_eq!(find(key), Some((Known::AskInstances, false)));
        let other = key.extend(word(8, 0));
        insert(other, Known::Yes, true);
        assert_eq!(find(other), Some((Known::Yes, true)));
        saturate(other);
        assert_eq!(find(other), Some((Known::Yes, false)));
        assert_eq!(
            find(ChainKey {
                second: key.second ^ 2,
                ..key
            }),
            None
        );
    }

    #[test]
    fn hundred_thousand_chains_have_as_many_keys() {
        let mut keys = std::collections::HashSet::new();
        for class in 0..100_000_u64 {
            assert!(
                keys.insert(
                    ChainKey::EMPTY
                        .extend(word(8, 0))
                        .extend(word(class * 8, 0))
                )
            );
        }
    }
}
