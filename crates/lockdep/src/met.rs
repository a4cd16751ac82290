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
use std::sync::atomic::{AtomicU32, Ordering};

use crate::chain::{Known, Node, State, Word};

const BITS: u32 = 8;

/// The steps that one thread has made, six kilobytes: a lock taken on top of a chain, and where it leads. All zeros at first,
/// which is no step: no lock's word is 0.
///
/// A place is the same index into each of three arrays, which costs no instruction, as a place of three words would.
pub(crate) struct Met {
    from: [Cell<Node>; 1 << BITS],
    word: [Cell<Word>; 1 << BITS],
    to: [Cell<Node>; 1 << BITS],
    /// See [`Met::number`].
    number: Cell<u32>,
}

/// How many memories have a number.
static NUMBERS: AtomicU32 = AtomicU32::new(0);

impl Met {
    pub(crate) const fn new() -> Self {
        Self {
            from: [const { Cell::new(Node(0)) }; 1 << BITS],
            word: [const { Cell::new(Word(0)) }; 1 << BITS],
            to: [const { Cell::new(Node(0)) }; 1 << BITS],
            number: Cell::new(0),
        }
    }

    /// A number that no other memory has, nor this one before it was last cleared; 0 if there are no more. With a chain that is
    /// still learnt about stands the last such number that was asked: so who has made more chains than there are places here
    /// is not asked again and again.
    pub(crate) fn number(&self) -> u32 {
        if self.number.get() == 0 {
            let next = |used: u32| (used < State::MAX_ASKED).then_some(used + 1);
            let used = NUMBERS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
            self.number.set(used.map_or(0, |used| used + 1));
        }
        self.number.get()
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
        self.number.set(0);
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
    fn a_memory_has_a_number_of_its_own_until_it_is_cleared() {
        let (one, other) = (Met::new(), Met::new());
        let number = one.number();
        assert!(number != 0 && number == one.number() && number != other.number());
        one.clear();
        assert_ne!(one.number(), number);
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
