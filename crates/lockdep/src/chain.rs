//! The chains of locks that have been found in order, and the look-up that makes a known chain cost almost nothing.
//!
//! A chain is what a thread holds, in the order of taking: classes, and how each was taken. Its key is built up while locks
//! are taken, so that "is this in order?" is one look into a global table of chains that passed every check before. The
//! kernel does the same with one 64-bit key (`kernel/locking/lockdep.c: lookup_chain_cache`). Here a second, independent
//! 64-bit hash is compared too, so that two chains are not taken for each other.
//!
//! The table is read without a lock and without writing anything that other threads share. It is written only under the
//! graph lock, by one thread at a time.

use std::sync::atomic::AtomicU64;

pub(crate) use crate::key::{ChainKey, Word};
pub(crate) use crate::table::Known;
use crate::table::{Slot, Table};

const SLOTS: usize = 1 << 16;
/// How many chains the table holds before it counts as full.
pub(crate) const CAPACITY: usize = SLOTS / 4 * 3;

static TABLE: Table<SLOTS> = Table(
    [const {
        Slot {
            first: AtomicU64::new(0),
            second: AtomicU64::new(0),
        }
    }; SLOTS],
);

/// See [`Table::find`].
pub(crate) fn find(key: ChainKey) -> Option<(Known, bool)> {
    TABLE.find(key)
}

/// See [`Table::insert`].
pub(crate) fn insert(key: ChainKey, known: Known, learning: bool) {
    TABLE.insert(key, known, learning);
}

/// See [`Table::saturate`].
pub(crate) fn saturate(key: ChainKey) {
    TABLE.saturate(key);
}

/// See [`Table::clear`].
pub(crate) fn clear() {
    TABLE.clear();
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
        for class in 0..(if cfg!(miri) { 1_000 } else { 100_000 }) {
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
