//! The table of the chains that were found in order: read by every thread at any time, without a lock and without writing
//! anything; written under the graph lock, by one thread at a time.
//!
//! `tests/loom.rs` compiles this file with `loom`'s atomics and tries every order in which readers and the writer can see
//! each other's work.

use crate::atomic::{AtomicU64, Ordering};
use crate::key::ChainKey;

/// A place for one chain.
pub(crate) struct Slot {
    /// 0 in an empty slot.
    pub(crate) first: AtomicU64,
    pub(crate) second: AtomicU64,
}

/// So many places, a power of two. At least one of them stays empty.
pub(crate) struct Table<const SLOTS: usize>(pub(crate) [Slot; SLOTS]);

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

const fn second(key: ChainKey, known: Known) -> u64 {
    match known {
        Known::Yes => key.second,
        Known::AskInstances => !key.second,
    }
}

impl<const SLOTS: usize> Table<SLOTS> {
    /// The slots where a chain may be, the likeliest first.
    fn places(&self, key: ChainKey) -> impl Iterator<Item = &Slot> {
        let home = key.home(SLOTS.trailing_zeros());
        (home..home + SLOTS).map(|at| &self.0[at % SLOTS])
    }

    /// Looks for the chain in every slot where it may be. Also says whether it is of interest who makes it.
    pub(crate) fn find(&self, key: ChainKey) -> Option<(Known, bool)> {
        for slot in self.places(key) {
            // Acquire pairs with the release in `insert`: who sees the first word sees the second one that belongs to it, or
            // one that was stored later.
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
        }
        None
    }

    /// Adds a chain. Only for who holds the graph lock, and only while there is room.
    pub(crate) fn insert(&self, key: ChainKey, known: Known, learning: bool) {
        if key.first == 0 {
            // Looks like an empty slot. Such a chain, one in 2^64, is validated each time.
            return;
        }
        let second = second(key, known) ^ if learning { LEARNING } else { 0 };
        let empty = |slot: &&Slot| slot.first.load(Ordering::Relaxed) == 0;
        if let Some(slot) = self.places(key).find(empty) {
            slot.second.store(second, Ordering::Relaxed);
            slot.first.store(key.first, Ordering::Release);
        }
    }

    /// Enough is known of who makes the chain. Only for who holds the graph lock.
    pub(crate) fn saturate(&self, key: ChainKey) {
        let Some((known, _)) = self.find(key) else {
            return;
        };
        let learning = second(key, known) ^ LEARNING;
        for slot in self.places(key) {
            let first = slot.first.load(Ordering::Relaxed);
            if first == key.first && slot.second.load(Ordering::Relaxed) == learning {
                slot.second.store(learning ^ LEARNING, Ordering::Relaxed);
                return;
            }
            if first == 0 {
                return;
            }
        }
    }

    /// Forgets every chain. Only for who holds the graph lock. A reader that runs at the same time sees a chain that is still
    /// in order, or none.
    pub(crate) fn clear(&self) {
        for slot in &self.0 {
            slot.first.store(0, Ordering::Release);
        }
    }
}
