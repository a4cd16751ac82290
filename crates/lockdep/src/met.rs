//! The steps that a thread has made before: what makes a known chain cost almost nothing.
//!
//! A chain is validated once, for all threads. But to tell a deadlock from an order that only one thread ever breaks, it
//! must be known who else makes the chain. So the first look goes into this small table of the thread's own, and only who
//! does not find the chain there goes on to the table that all threads share ([`chain`](crate::chain)), and may be asked
//! there to leave a trace. Nothing shared is read or written for a chain that a thread has met.
//!
//! What is remembered of a chain is its last step: from which [`Node`] which lock led to which node. The step is compared
//! whole, and where it leads need not be worked out again.
//!
//! Steps that share a place put each other out; then the shared table answers, out of line.

use std::cell::Cell;

use crate::chain::{ChainKey, Known, Word};

const BITS: u32 = 8;

/// Where a thread stands: at the end of a chain, whose two hashes are put together here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Node(u64);

impl Node {
    /// Where no thread stands.
    const NONE: Self = Self(0);
    /// Of a thread that the validator has not met.
    pub(crate) const UNREGISTERED: Self = Self(u64::MAX);
    /// Of a thread that holds nothing.
    pub(crate) const EMPTY: Self = Self::of(ChainKey::EMPTY);

    /// The end of this chain.
    pub(crate) const fn of(key: ChainKey) -> Self {
        Self(key.first ^ key.second.rotate_left(32))
    }
}

/// The steps that one thread has made, six kilobytes: a lock taken on top of a chain, and where it leads.
///
/// A place is the same index into each of three arrays, which costs no instruction, as a place of three words would.
pub(crate) struct Met {
    from: [Cell<Node>; 1 << BITS],
    word: [Cell<Word>; 1 << BITS],
    to: [Cell<Node>; 1 << BITS],
}

impl Met {
    pub(crate) const fn new() -> Self {
        Self {
            from: [const { Cell::new(Node::NONE) }; 1 << BITS],
            word: [const { Cell::new(Word(0)) }; 1 << BITS],
            to: [const { Cell::new(Node::NONE) }; 1 << BITS],
        }
    }

    /// Where the step leads, if the thread has made it and it is in order without a look at the instances.
    #[inline(always)]
    pub(crate) fn step(&self, from: Node, word: Word) -> Option<Node> {
        let at = place(from, word);
        let known = self.from[at].get() == from && self.word[at].get() == word;
        known.then(|| self.to[at].get())
    }

    /// Whether the thread has made the step.
    pub(crate) fn contains(&self, from: Node, word: Word, known: Known) -> bool {
        self.step(noted(from, known), word).is_some()
    }

    pub(crate) fn insert(&self, from: Node, word: Word, known: Known, to: Node) {
        let from = noted(from, known);
        let at = place(from, word);
        self.from[at].set(from);
        self.word[at].set(word);
        self.to[at].set(to);
    }

    /// From now on every chain is new again.
    pub(crate) fn clear(&self) {
        for from in &self.from {
            from.set(Node::NONE);
        }
    }
}

/// Where a step is looked for.
#[inline(always)]
const fn place(from: Node, word: Word) -> usize {
    let hash = (from.0 ^ word.0).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash >> (64 - BITS)) as usize
}

/// Under what a step from this node is remembered: a step whose instances must be looked at each time, under a node where
/// no thread stands.
fn noted(from: Node, known: Known) -> Node {
    match known {
        Known::Yes => from,
        Known::AskInstances => Node(!from.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_known_only_whole_and_until_it_is_forgotten() {
        let met = Met::new();
        let (from, to, word) = (Node(0x1234_5678), Node(7), Word(8 << Word::CLASS_SHIFT));
        assert_eq!(met.step(from, word), None);
        met.insert(from, word, Known::Yes, to);
        assert_eq!(met.step(from, word), Some(to));
        assert_eq!(met.step(to, word), None);
        assert_eq!(met.step(from, Word(word.0 | Word::TRY)), None);
        met.clear();
        assert_eq!(met.step(from, word), None);
    }

    #[test]
    fn a_step_that_asks_for_a_look_at_the_instances_is_no_known_one() {
        let met = Met::new();
        let (from, word) = (Node(0x1234_5678), Word(8 << Word::CLASS_SHIFT));
        met.insert(from, word, Known::AskInstances, Node(7));
        assert_eq!(met.step(from, word), None);
        assert!(met.contains(from, word, Known::AskInstances));
        assert!(!met.contains(from, word, Known::Yes));
    }
}
