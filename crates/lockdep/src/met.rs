//! The steps that a thread has made before: what makes a known chain cost almost nothing.
//!
//! A chain is validated once, for all threads. But to tell a deadlock from an order that only one thread ever breaks, it
//! must be known who else makes the chain. So the first look goes into this small table of the thread's own, and only who
//! does not find the chain there goes on to the table that all threads share ([`chain`](crate::chain)), and may be asked
//! there to leave a trace. Nothing shared is read or written for a chain that a thread has met.
//!
//! What is remembered of a chain is its last step: from which [`Node`] which lock led to which node. The step is compared
//! whole, and where it leads need not be worked out again. Nodes and classes are never used twice, so a step stays true.
//!
//! Steps that share a place put each other out; then the shared table answers, out of line.

use std::cell::Cell;

use crate::chain::{Known, Node, Word};

const BITS: u32 = 8;

/// The steps that one thread has made, six kilobytes: a lock taken on top of a chain, and where it leads. All zeros at first,
/// which is no step: no lock's word is 0.
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
            from: [const { Cell::new(Node(0)) }; 1 << BITS],
            word: [const { Cell::new(Word(0)) }; 1 << BITS],
            to: [const { Cell::new(Node(0)) }; 1 << BITS],
        }
    }

    /// Where the step leads, if the thread has made it and it is in order without a look at the instances.
    #[inline(always)]
    pub(crate) fn step(&self, from: Node, word: Word) -> Option<Node> {
        let at = from.hash(word, BITS);
        let known = self.from[at].get() == from && self.word[at].get() == word;
        known.then(|| self.to[at].get())
    }

    /// Whether the thread has made the step.
    pub(crate) fn contains(&self, from: Node, word: Word, known: Known) -> bool {
        self.step(noted(from, known), word).is_some()
    }

    pub(crate) fn insert(&self, from: Node, word: Word, known: Known, to: Node) {
        let from = noted(from, known);
        let at = from.hash(word, BITS);
        self.from[at].set(from);
        self.word[at].set(word);
        self.to[at].set(to);
    }

    /// From now on every chain is new again.
    pub(crate) fn clear(&self) {
        for word in &self.word {
            word.set(Word(0));
        }
    }
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

    const LOCK: Word = Word(Word::LOCK | 8 << Word::CLASS_SHIFT);

    #[test]
    fn a_step_is_known_only_whole_and_until_it_is_forgotten() {
        let met = Met::new();
        let (from, to) = (Node::new(5, 6, 1), Node::new(7, 8, 2));
        assert_eq!(met.step(from, LOCK), None);
        met.insert(from, LOCK, Known::Yes, to);
        assert_eq!(met.step(from, LOCK), Some(to));
        assert_eq!(met.step(to, LOCK), None);
        assert_eq!(met.step(from, Word(LOCK.0 | Word::TRY)), None);
        met.clear();
        assert_eq!(met.step(from, LOCK), None);
    }

    #[test]
    fn a_step_that_asks_for_a_look_at_the_instances_is_no_known_one() {
        let met = Met::new();
        let from = Node::new(5, 6, 1);
        met.insert(from, LOCK, Known::AskInstances, Node::new(7, 8, 2));
        assert_eq!(met.step(from, LOCK), None);
        assert!(met.contains(from, LOCK, Known::AskInstances));
        assert!(!met.contains(from, LOCK, Known::Yes));
    }

    #[test]
    fn a_thread_that_was_not_met_has_met_nothing() {
        let met = Met::new();
        for mode in 0..3 {
            assert_eq!(met.step(Node::UNREGISTERED, Word(Word::LOCK | mode)), None);
        }
    }
}
