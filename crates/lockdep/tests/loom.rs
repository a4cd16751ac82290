//! The lock-free table of chains, compiled with `loom`'s atomics: every order in which threads can run, and every value that the
//! memory model lets them see, is tried.
//!
//! The held stack needs no such test: it is cells of one thread that no other thread can reach.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod atomic {
    pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};
}
#[allow(dead_code, reason = "the table needs the keys only")]
#[path = "../src/key.rs"]
mod key;
#[path = "../src/table.rs"]
mod table;

use loom::sync::Arc;
use loom::thread;

use atomic::AtomicU64;
use key::ChainKey;
use table::{Known, Slot, Table};

fn table() -> Arc<Table<4>> {
    let slot = |_| Slot {
        first: AtomicU64::new(0),
        second: AtomicU64::new(0),
    };
    Arc::new(Table(std::array::from_fn(slot)))
}

/// Two chains that want the same place.
const ONE: ChainKey = ChainKey {
    first: 3,
    second: 0x1111_0000,
};
const OTHER: ChainKey = ChainKey {
    first: 5,
    second: 0x2222_0000,
};
/// A chain that nobody validated and that differs from a known one in half of its key.
const NEVER: ChainKey = ChainKey {
    second: 0x3333_0000,
    ..ONE
};

#[test]
fn a_reader_sees_a_whole_chain_or_none() {
    loom::model(|| {
        let table = table();
        let writer = thread::spawn({
            let table = Arc::clone(&table);
            move || {
                table.insert(ONE, Known::Yes, false);
                table.insert(OTHER, Known::AskInstances, true);
            }
        });
        let other = table.find(OTHER);
        assert!([None, Some((Known::AskInstances, true))].contains(&other));
        let one = table.find(ONE);
        assert!([None, Some((Known::Yes, false))].contains(&one));
        assert!(other.is_none() || one.is_some(), "it was there before");
        assert_eq!(table.find(NEVER), None);
        writer.join().unwrap();
        assert_eq!(table.find(ONE), Some((Known::Yes, false)));
        assert_eq!(table.find(OTHER), Some((Known::AskInstances, true)));
    });
}

#[test]
fn what_is_still_to_be_learnt_of_a_chain_does_not_unmake_it() {
    loom::model(|| {
        let table = table();
        table.insert(ONE, Known::AskInstances, true);
        table.insert(OTHER, Known::Yes, true);
        let writer = thread::spawn({
            let table = Arc::clone(&table);
            move || {
                table.saturate(ONE);
                table.saturate(OTHER);
            }
        });
        let (known, _) = table.find(ONE).unwrap();
        assert_eq!(known, Known::AskInstances);
        let (known, _) = table.find(OTHER).unwrap();
        assert_eq!(known, Known::Yes);
        writer.join().unwrap();
        assert_eq!(table.find(ONE), Some((Known::AskInstances, false)));
        assert_eq!(table.find(OTHER), Some((Known::Yes, false)));
    });
}

#[test]
fn a_reader_is_not_misled_while_the_table_is_swept() {
    loom::model(|| {
        let table = table();
        table.insert(ONE, Known::Yes, false);
        table.insert(OTHER, Known::Yes, false);
        // The first chain has ended; the second one moves into its place.
        let writer = thread::spawn({
            let table = Arc::clone(&table);
            move || {
                table.clear();
                table.insert(OTHER, Known::Yes, false);
            }
        });
        assert_eq!(table.find(NEVER), None);
        assert!([None, Some((Known::Yes, false))].contains(&table.find(OTHER)));
        assert!([None, Some((Known::Yes, false))].contains(&table.find(ONE)));
        writer.join().unwrap();
        assert_eq!(table.find(ONE), None);
        assert_eq!(table.find(OTHER), Some((Known::Yes, false)));
    });
}
