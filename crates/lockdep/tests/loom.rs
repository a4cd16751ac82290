//! The lock-free table of chains, compiled with `loom`'s atomics: every order in which threads can run, and every value that the
//! memory model lets them see, is tried.
//!
//! The held stack needs no such test: it is cells of one thread that no other thread can reach.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

/// `loom`'s atomics. Its search (0.7) overlooks a store that its thread prepares by a load of the same atomic: of the accesses
/// by other threads that might as well have come later, it keeps in mind only those since that load. Here only the writer
/// loads relaxed, what it has stored itself; so such a load may as well be a read-modify-write, which is not overlooked.
mod atomic {
    pub(crate) use loom::sync::atomic::Ordering;

    macro_rules! atomic {
        ($name:ident, $number:ty) => {
            pub(crate) struct $name(loom::sync::atomic::$name);

            impl $name {
                pub(crate) fn new(value: $number) -> Self {
                    Self(loom::sync::atomic::$name::new(value))
                }

                pub(crate) fn load(&self, order: Ordering) -> $number {
                    match order {
                        Ordering::Relaxed => self.0.fetch_or(0, order),
                        _ => self.0.load(order),
                    }
                }

                pub(crate) fn store(&self, value: $number, order: Ordering) {
                    self.0.store(value, order);
                }
            }
        };
    }
    atomic!(AtomicU32, u32);
    atomic!(AtomicU64, u64);
}
#[allow(dead_code, reason = "the table needs little of it")]
#[path = "../src/key.rs"]
mod key;
#[allow(dead_code, reason = "nobody is left over here")]
#[path = "../src/table.rs"]
mod table;

use loom::sync::Arc;
use loom::thread;

use atomic::{AtomicU32, AtomicU64};
use key::{Node, Word};
use table::{Known, Slot, State, Table};

/// With one head: every two chains want the same place.
fn table() -> Arc<Table<4, 2>> {
    let slot = |_| Slot {
        node: AtomicU64::new(0),
        parent: AtomicU64::new(0),
        word: AtomicU64::new(0),
        link: AtomicU64::new(0),
    };
    Arc::new(Table {
        heads: std::array::from_fn(|_| AtomicU32::new(0)),
        slots: std::array::from_fn(slot),
    })
}

/// Two locks that are looked for from the same head, under nothing.
const ONE: Word = Word(Word::LOCK | 8 << Word::CLASS_SHIFT);
const OTHER: Word = Word(Word::LOCK | 24 << Word::CLASS_SHIFT);
/// A lock that nobody takes, looked for from the same head too.
const NEVER: Word = Word(Word::LOCK | 40 << Word::CLASS_SHIFT);

const YES: State = State {
    known: Some(Known::Yes),
    learning: false,
    asked: 0,
};
const ASK: State = State {
    known: Some(Known::AskInstances),
    learning: true,
    asked: 7,
};

#[test]
fn the_locks_are_looked_for_from_the_same_head() {
    let head = |word| Node::EMPTY.hash(word, 1);
    assert_eq!(head(ONE), head(OTHER));
    assert_eq!(head(ONE), head(NEVER));
}

#[test]
fn a_reader_sees_a_whole_chain_or_none() {
    loom::model(|| {
        let table = table();
        let (one, other) = (Node::new(1, 1, 1), Node::new(2, 2, 1));
        let writer = thread::spawn({
            let table = Arc::clone(&table);
            move || {
                table.insert(one, Node::EMPTY, ONE, YES);
                table.insert(other, Node::EMPTY, OTHER, ASK);
            }
        });
        let found = table.find(Node::EMPTY, OTHER);
        assert!([None, Some((other, ASK))].contains(&found));
        let before = table.find(Node::EMPTY, ONE);
        assert!([None, Some((one, YES))].contains(&before));
        assert!(found.is_none() || before.is_some(), "it was there before");
        assert_eq!(table.find(Node::EMPTY, NEVER), None);
        writer.join().unwrap();
        assert_eq!(table.find(Node::EMPTY, ONE), Some((one, YES)));
        assert_eq!(table.find(Node::EMPTY, OTHER), Some((other, ASK)));
        assert_eq!(table.last(other), Some((Node::EMPTY, OTHER)));
    });
}

#[test]
fn what_is_noted_with_a_chain_does_not_unmake_it() {
    loom::model(|| {
        let table = table();
        let one = Node::new(1, 1, 1);
        table.insert(one, Node::EMPTY, ONE, ASK);
        let enough = State {
            learning: false,
            ..ASK
        };
        let writer = thread::spawn({
            let table = Arc::clone(&table);
            move || table.set(one, enough)
        });
        let (node, state) = table.find(Node::EMPTY, ONE).unwrap();
        assert!(node == one && [ASK, enough].contains(&state));
        writer.join().unwrap();
        assert_eq!(table.find(Node::EMPTY, ONE), Some((one, enough)));
    });
}

/// A chain ends and its slot is used again, while `read` looks. Every order in which a thread is stopped twice at most, or there
/// would be millions.
fn change_hands(read: impl Fn(&Table<4, 2>, Node, Node) + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(move || {
        let table = table();
        let (one, again) = (Node::new(1, 1, 1), Node::new(2, 1, 1));
        table.insert(one, Node::EMPTY, ONE, YES);
        let writer = thread::spawn({
            let table = Arc::clone(&table);
            move || {
                table.remove(one);
                table.insert(again, Node::EMPTY, NEVER, ASK);
            }
        });
        read(&table, one, again);
        writer.join().unwrap();
        assert_eq!(table.last(again), Some((Node::EMPTY, NEVER)));
    });
}

#[test]
fn a_chain_that_ends_is_found_whole_or_not_at_all() {
    change_hands(|table, one, _| {
        let found = table.find(Node::EMPTY, ONE);
        assert!([None, Some((one, YES))].contains(&found));
    });
}

#[test]
fn a_chain_in_a_used_slot_is_not_taken_for_the_one_before() {
    change_hands(|table, _, again| {
        let found = table.find(Node::EMPTY, NEVER);
        assert!([None, Some((again, ASK))].contains(&found));
    });
}

#[test]
fn who_stands_at_an_ended_chain_is_told_no_other_one() {
    change_hands(|table, one, _| {
        let last = table.last(one);
        assert!([None, Some((Node::EMPTY, ONE))].contains(&last));
    });
}

#[test]
fn a_chain_before_one_that_ends_is_found_all_the_while() {
    loom::model(|| {
        let table = table();
        let (one, other) = (Node::new(1, 1, 1), Node::new(2, 2, 1));
        table.insert(one, Node::EMPTY, ONE, YES);
        table.insert(other, Node::EMPTY, OTHER, YES);
        let writer = thread::spawn({
            let table = Arc::clone(&table);
            move || table.remove(one)
        });
        assert_eq!(table.find(Node::EMPTY, OTHER), Some((other, YES)));
        writer.join().unwrap();
        assert_eq!(table.find(Node::EMPTY, ONE), None);
    });
}
