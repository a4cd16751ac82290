//! A program that goes on for ever makes classes and ends them: what is kept of them must not grow.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use lockdep::{DynamicClass, Mutex, ReportKind};

#[test]
fn chains_of_ended_classes_are_forgotten_long_before_there_is_no_room() {
    static LASTING: [Mutex<()>; 2] = [Mutex::named("outer", ()), Mutex::named("inner", ())];
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
