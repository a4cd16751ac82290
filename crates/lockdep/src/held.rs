//! The locks that a thread holds, and what it costs to add one and to take it out again.
//!
//! A lock that is taken gets a [`Token`], which says how deep the stack is with it. A lock whose token is the stack's is the
//! newest one, and to release it is one store; whoever moves entries of the stack changes its token, so that those that were
//! given out before are good for nothing, and their locks are looked up.

use std::cell::Cell;

use crate::chain::{ChainKey, Word};
use crate::met::Node;

/// How many locks a thread may hold before the validator loses sight of the rest. The kernel's `MAX_LOCK_DEPTH` is 48.
pub(crate) const DEPTH: usize = 64;

/// One lock that a thread holds: the kernel's `struct held_lock`.
#[derive(Clone, Copy)]
pub(crate) struct HeldLock {
    /// Of the chain that ends with this lock.
    pub(crate) key: ChainKey,
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
}

/// A place in the stack: what must be stored when a lock is taken. The fields are [`HeldLock`]'s.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    /// Where the thread stands with this lock.
    pub(crate) node: Node,
    pub(crate) map: usize,
    pub(crate) ip: usize,
    pub(crate) word: Word,
}

impl Entry {
    pub(crate) const fn is(&self, map: usize) -> bool {
        self.map & !1 == map
    }
}

/// The stack. A place is the same index into each array, which costs no instruction, as a place of four words would.
pub(crate) struct Stack {
    pub(crate) node: [Cell<Node>; DEPTH + 1],
    pub(crate) map: [Cell<usize>; DEPTH + 1],
    pub(crate) ip: [Cell<usize>; DEPTH + 1],
    pub(crate) word: [Cell<Word>; DEPTH + 1],
}

impl Stack {
    pub(crate) const fn new() -> Self {
        Self {
            node: [const { Cell::new(Node::UNREGISTERED) }; DEPTH + 1],
            map: [const { Cell::new(0) }; DEPTH + 1],
            ip: [const { Cell::new(0) }; DEPTH + 1],
            word: [const { Cell::new(Word(0)) }; DEPTH + 1],
        }
    }

    #[inline(always)]
    pub(crate) fn get(&self, at: usize) -> Entry {
        Entry {
            node: self.node[at].get(),
            map: self.map[at].get(),
            ip: self.ip[at].get(),
            word: self.word[at].get(),
        }
    }

    #[inline(always)]
    pub(crate) fn set(&self, at: usize, entry: Entry) {
        self.node[at].set(entry.node);
        self.map[at].set(entry.map);
        self.ip[at].set(entry.ip);
        self.word[at].set(entry.word);
    }
}

/// How deep the stack is, in the low eight bits, and above them how often its entries were moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token(u64);

impl Token {
    const DEPTH: u64 = 0xff;
    /// Of an empty stack.
    pub(crate) const EMPTY: Self = Self(0);
    /// Of a lock that is not in the stack.
    pub(crate) const NONE: Self = Self(u64::MAX);

    #[inline(always)]
    pub(crate) const fn depth(self) -> usize {
        (self.0 & Self::DEPTH) as usize
    }

    /// With one lock more.
    #[inline(always)]
    pub(crate) const fn push(self) -> Self {
        Self(self.0 + 1)
    }

    /// Without the newest lock.
    #[inline(always)]
    pub(crate) const fn pop(self) -> Self {
        Self(self.0 - 1)
    }

    /// After entries were moved: no token that was given out before is ever equal to this or a later one.
    pub(crate) const fn moved(self, depth: usize) -> Self {
        Self((self.0 | Self::DEPTH) + 1 + depth as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_until_entries_are_moved() {
        let first = Token::EMPTY.push();
        let second = first.push();
        assert_eq!(second.depth(), 2);
        assert_eq!(second.pop(), first);
        let moved = second.moved(1);
        assert_eq!(moved.depth(), 1);
        assert!(moved != first && moved.push() != second && moved.pop() != Token::EMPTY);
        let full = (0..DEPTH).fold(Token::EMPTY, |token, _| token.push());
        assert_eq!(full.depth(), DEPTH);
        assert!(Token::NONE.depth() > DEPTH);
    }
}
