//! A program that goes on for ever makes classes and ends them: what is kept of them must not grow.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use std::sync::PoisonError;

use lockdep::{DynamicClass, Mutex, ReportKind};

/// What is kept is counted for the whole process: one test at a time.
static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());

#[test]
fn chains_of_ended_classes_are_forgotten_long_before_there_is_no_room() {
    static LASTING: [Mutex<()>; 2] = [Mutex::named("outer", ()), Mutex::named("inner", ())];
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    lockdep::set_handler(|_| ());
    for _ in 0..5_000 {
        let passing = Mutex::with_class(DynamicClass::new("passing"), ());
        let _outer = LASTING[0].lock().unwrap();
        let _passing = passing.lock().unwrap();
        let _inner = LASTING[1].lock().unwrap();
    }
    let stats = lockdep::stats();
    assert!(stats.chains < 1_000, "{} chains are kept", stats.chains);
    assert!(stats.classes < 10, "{} classes are kept", stats.classes);
    // What they taught of the others is not forgotten.
    let _inner = LASTING[1].lock().unwrap();
    let _outer = LASTING[0].lock().unwrap();
    let reports = lockdep::reports();
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].kind(), ReportKind::Circular);
}

/// A device's own class has some hundred chains, with all that is taken above and below it. While a sweep had to be worth its
/// work by the number of classes alone, it never was, and a machine grew by 15 KB a device.
#[test]
fn a_class_may_have_many_chains_and_they_are_still_forgotten() {
    const CLASSES: usize = 400;
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let ten = |side| [0; 10].map(|_| Mutex::with_class(DynamicClass::new(side), ()));
    let (all_outer, all_inner) = (ten("outer"), ten("inner"));
    for _ in 0..CLASSES {
        let passing = Mutex::with_class(DynamicClass::new("busy"), ());
        for outer in &all_outer {
            let _outer = outer.lock().unwrap();
            let _passing = passing.lock().unwrap();
            for inner in &all_inner {
                drop(inner.lock().unwrap());
            }
        }
    }
    let chains = lockdep::stats().chains;
    assert!(
        chains < CLASSES * 110 / 2,
        "of {} chains, {chains} are kept",
        CLASSES * 110
    );
}

/// Most locks of a machine are new ones of an old class: while the first taking of each was validated, a thousand ports cost some
/// three thousand stacks to make.
#[test]
fn a_new_lock_whose_chain_others_have_made_costs_no_stack() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let take = || drop(Mutex::named("one of many", ()).lock().unwrap());
    take();
    let before = lockdep::stats().stacks;
    take(); // from another line, so with another stack
    assert_eq!(lockdep::stats().stacks, before);
}
