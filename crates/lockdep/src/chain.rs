//! The chains of locks that have been found in order, and the look-up that makes a known chain cost almost nothing.
//!
//! A chain is what a thread holds, in the order of taking: classes, and how each was taken. While locks are taken, the
//! thread goes from [`Node`] to node of a tree that all threads share, so that "is this in order?" is one look whether the
//! step was made before. The kernel does the same with a 64-bit hash of the chain (`kernel/locking/lockdep.c:
//! lookup_chain_cache`) and trusts that no two chains have the same; here the step itself is compared.
//!
//! The table is read without a lock and without writing anything that other threads share. It is written only under the
//! graph lock, by one thread at a time.

use std::sync::atomic::{AtomicU32, AtomicU64};

pub(crate) use crate::key::{Node, Word};
pub(crate) use crate::table::{Known, State};
use crate::table::{Slot, Table};

// Miri keeps books of every byte.
const SLOTS: usize = if cfg!(miri) { 1 << 10 } else { 1 << 18 };
const HEADS: usize = SLOTS >> 2;
/// How many chains there is room for; the first slot is none.
pub(crate) const CAPACITY: usize = SLOTS - 1;

const _: () = assert!(SLOTS <= Node::SLOTS);

static TABLE: Table<SLOTS, HEADS> = Table {
    heads: [const { AtomicU32::new(0) }; HEADS],
    slots: [const {
        Slot {
            node: AtomicU64::new(0),
            parent: AtomicU64::new(0),
            word: AtomicU64::new(0),
            link: AtomicU64::new(0),
        }
    }; SLOTS],
};

/// See [`Table::find`].
pub(crate) fn find(parent: Node, word: Word) -> Option<(Node, State)> {
    TABLE.find(parent, word)
}

/// See [`Table::last`].
#[inline]
pub(crate) fn last(node: Node) -> Option<(Node, Word)> {
    TABLE.last(node)
}

/// See [`Table::insert`].
pub(crate) fn insert(node: Node, parent: Node, word: Word, state: State) {
    TABLE.insert(node, parent, word, state);
}

/// See [`Table::set`].
pub(crate) fn set(node: Node, state: State) {
    TABLE.set(node, state);
}

/// See [`Table::remove`].
pub(crate) fn remove(node: Node) {
    TABLE.remove(node);
}
