//! More chains than the validator remembers: one report says so, and checking goes on. In a process of its own, because the
//! chains are everybody's.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use lockdep::{Class, DynamicClass, LockMap, Mutex, ReportKind};

fn kinds() -> Vec<ReportKind> {
    lockdep::reports()
        .iter()
        .map(|report| report.kind())
        .collect()
}

#[test]
fn when_chains_run_out_checking_goes_on() {
    lockdep::set_handler(|_| ());
    // Every subset of sixteen classes, taken in their order, is a chain of its own.
    let maps: Vec<LockMap> = (0..16)
        .map(|at| LockMap::with_class(Class::named(format!("map {at}"))))
        .collect();
    for subset in 0..1_u32 << 16 {
        let chosen = maps
            .iter()
            .enumerate()
            .filter(|(at, _)| subset >> at & 1 != 0);
        let _held: Vec<_> = chosen.map(|(_, map)| map.acquire()).collect();
    }
    assert_eq!(kinds(), [ReportKind::Limit]);
    let text = lockdep::reports()[0].kernel_text(&lockdep::Banner::default());
    assert!(
        text.starts_with("BUG: MAX_LOCKDEP_CHAINS too low!\n"),
        "{text}"
    );

    let (a, b) = (Mutex::named("late a", ()), Mutex::named("late b", ()));
    for (outer, inner) in [(&a, &b), (&b, &a)] {
        let _outer = outer.lock().unwrap();
        let _inner = inner.lock().unwrap();
    }
    assert_eq!(kinds(), [ReportKind::Limit, ReportKind::Circular]);
    let _held = a.lock().unwrap();
    assert!(a.lock_or_deadlock().is_err());
    assert_eq!(kinds().len(), 3);

    // A class that comes and goes leaves room for the next one.
    for _ in 0..1000 {
        drop(
            Mutex::with_class(DynamicClass::new("passing"), ())
                .lock()
                .unwrap(),
        );
    }
    assert_eq!(kinds().len(), 3);
}
