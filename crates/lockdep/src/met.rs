//! The chains of locks that a thread has met before: what makes a known chain cost almost nothing.
//!
//! A chain is validated once, for all threads. But to tell a deadlock from an order that only one thread ever breaks, it
//! must be known who else makes the chain. So the first look goes into this small table of the thread's own, and only who
//! does not find the chain there goes on to the table that all threads share ([`chain`](crate::chain)), and may be asked
//! there to leave a trace. Nothing shared is read or written for a chain that a thread has met.
//!
//! Chains that share a place put each other out; then the shared table answers, out of line.

use std::cell::Cell;

use crate::chain::ChainKey;

const BITS: u32 = 8;

/// The chains that one thread has met, four kilobytes.
pub(crate) struct Met([Cell<ChainKey>; 1 << BITS]);

impl Met {
    pub(crate) const fn new() -> Self {
        Self([const { Cell::new(ChainKey::NONE) }; 1 << BITS])
    }

    #[inline(always)]
    fn place(&self, key: ChainKey) -> &Cell<ChainKey> {
        &self.0[key.home(BITS)]
    }

    /// Whether the thread has met the chain.
    #[inline(always)]
    pub(crate) fn contains(&self, key: ChainKey) -> bool {
        self.place(key).get() == key
    }

    pub(crate) fn insert(&self, key: ChainKey) {
        self.place(key).set(key);
    }

    /// From now on every chain is new again.
    pub(crate) fn clear(&self) {
        for place in &self.0 {
            place.set(ChainKey::NONE);
        }
    }
}
