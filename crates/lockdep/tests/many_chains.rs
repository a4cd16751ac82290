//! A thread that goes round more chains than it remembers must not count as one that is met for the first time each round.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use lockdep::{DynamicClass, Mutex};

#[test]
fn a_thread_is_asked_once_about_each_of_many_chains() {
    const MANY: usize = 1_000;
    let lock = |_| Mutex::with_class(DynamicClass::new("one of many"), ());
    let locks: Vec<Mutex<()>> = (0..MANY).map(lock).collect();
    // More rounds than questions are asked about a chain.
    for _ in 0..70 {
        locks.iter().for_each(|lock| drop(lock.lock().unwrap()));
    }
    let learning = lockdep::stats().learning_chains;
    assert!(learning >= MANY, "only {learning} chains are learnt about");
}
