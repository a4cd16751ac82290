//! Wound/wait mutexes: who gives way, and what the validator says of who breaks the rules.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]
#![cfg(not(feature = "off"))]

use std::sync::{Barrier, LazyLock};
use std::thread;

use lockdep::ww::{WwClass, WwError, WwMutex};
use lockdep::{Mutex, ReportKind};

fn kinds(name: &str) -> Vec<ReportKind> {
    let reports = lockdep::reports();
    let about = reports
        .iter()
        .filter(|report| report.signature().contains(name));
    about.map(|report| report.kind()).collect()
}

#[test]
fn any_order_is_in_order_within_a_context() {
    static CLASS: WwClass = WwClass::wound_wait("ww order");
    let (a, b) = (WwMutex::new(&CLASS, 1), WwMutex::new(&CLASS, 2));
    for (one, other) in [(&a, &b), (&b, &a)] {
        let context = CLASS.context();
        let one = one.lock(&context).unwrap();
        let other = other.lock(&context).unwrap();
        context.done();
        assert_eq!(*one + *other, 3);
    }
    assert_eq!(kinds("ww order"), []);
    assert!(!lockdep::raw::any_held());
}

#[test]
fn a_context_holds_a_lock_once() {
    static CLASS: WwClass = WwClass::wound_wait("ww already");
    let lock = WwMutex::new(&CLASS, ());
    let context = CLASS.context();
    let _held = lock.lock(&context).unwrap();
    assert_eq!(lock.lock(&context).unwrap_err(), WwError::Already);
    assert!(lock.try_lock(Some(&context)).is_none());
    assert_eq!(kinds("ww already"), []);
}

/// Two threads that take two locks in opposite orders, again and again: both must come to an end, whoever gives way.
fn never_deadlocks(class: &'static WwClass) {
    let (a, b) = (WwMutex::new(class, 0), WwMutex::new(class, 0));
    let work = |first: &WwMutex<u32>, second: &WwMutex<u32>| {
        for _ in 0..500 {
            let context = class.context();
            let (mut one, mut other) = (first, second);
            let mut held = one.lock(&context).unwrap();
            loop {
                match other.lock(&context) {
                    Ok(mut also) => {
                        *held += 1;
                        *also += 1;
                        break;
                    }
                    Err(error) => {
                        assert_eq!(error, WwError::Deadlock);
                        drop(held);
                        held = other.lock_slow(&context);
                        (one, other) = (other, one);
                    }
                }
            }
            let _ = one;
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| work(&a, &b));
        scope.spawn(|| work(&b, &a));
    });
    assert_eq!((a.into_inner(), b.into_inner()), (1000, 1000));
}

#[test]
fn wound_wait_never_deadlocks() {
    static CLASS: WwClass = WwClass::wound_wait("ww wounds");
    never_deadlocks(&CLASS);
    assert_eq!(kinds("ww wounds"), []);
}

#[test]
fn wait_die_never_deadlocks() {
    static CLASS: WwClass = WwClass::wait_die("ww dies");
    never_deadlocks(&CLASS);
    assert_eq!(kinds("ww dies"), []);
}

#[test]
fn the_younger_gives_way() {
    static CLASS: WwClass = WwClass::wait_die("ww younger");
    let (a, b) = (WwMutex::new(&CLASS, ()), WwMutex::new(&CLASS, ()));
    let (older_holds, younger_gave_way) = (Barrier::new(2), Barrier::new(2));
    let older = CLASS.context();
    let _held = a.lock(&older).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let younger = CLASS.context();
            let held = b.lock(&younger).unwrap();
            older_holds.wait();
            assert_eq!(a.lock(&younger).unwrap_err(), WwError::Deadlock);
            drop(held);
            younger_gave_way.wait();
        });
        older_holds.wait();
        drop(b.lock(&older).unwrap());
        younger_gave_way.wait();
    });
}

#[test]
fn contexts_do_not_nest_nor_locks_without_one() {
    static CLASS: WwClass = WwClass::wound_wait("ww nested");
    let (a, b) = (WwMutex::new(&CLASS, ()), WwMutex::new(&CLASS, ()));
    {
        let _one = CLASS.context();
        let _other = CLASS.context();
    }
    assert_eq!(kinds("ww nested_acquire"), [ReportKind::Recursive]);
    let _a = a.lock_alone();
    let _b = b.lock_alone();
    assert_eq!(kinds("ww nested_mutex"), [ReportKind::Recursive]);
}

#[test]
fn the_rules_for_contexts() {
    static CLASS: WwClass = WwClass::wound_wait("ww rules");
    static OTHER: WwClass = WwClass::wound_wait("ww others");
    // It is never given up, so it is never given back either.
    static LOCK: LazyLock<WwMutex<()>> = LazyLock::new(|| WwMutex::new(&CLASS, ()));
    let lock = &*LOCK;
    let broken = |what: &str| kinds(what) == [ReportKind::Assertion];
    {
        let context = OTHER.context();
        drop(lock.lock(&context).unwrap());
        assert!(broken("in a context of another class"));
    }
    {
        let context = CLASS.context();
        drop(lock.lock_slow(&context));
        assert!(broken("was not told to give way"));
        context.done();
        context.done();
        assert!(broken("ww_acquire_done of a context that is done"));
        drop(lock.lock(&context).unwrap());
        assert!(broken("ww_mutex_lock in a context that is done"));
        std::mem::forget(lock.lock_slow(&context));
    }
    assert!(broken("ww_acquire_fini of a context that holds locks"));
    lockdep::raw::assert_no_locks_held();
}

#[test]
fn other_locks_are_checked_against_them() {
    static CLASS: WwClass = WwClass::wound_wait("ww mixed");
    let (lock, other) = (WwMutex::new(&CLASS, ()), Mutex::named("ww mixed other", ()));
    {
        let context = CLASS.context();
        let _held = lock.lock(&context).unwrap();
        drop(other.lock().unwrap());
    }
    assert_eq!(kinds("ww mixed"), []);
    let _held = other.lock().unwrap();
    drop(lock.lock_alone());
    assert_eq!(kinds("ww mixed"), [ReportKind::Circular]);
    assert!(lock.try_lock(None).is_some());
}

/// A lock that was taken before the one that serialises others is not serialised by it.
#[test]
fn what_serialises_must_be_held_first() {
    static CLASS: WwClass = WwClass::wound_wait("ww late");
    let [a, b, c] = [(); 3].map(|()| Mutex::named("ww late plain", ()));
    {
        let context = CLASS.context();
        let _a = a.lock_nest_lock(&context).unwrap();
        let _b = b.lock_nest_lock(&context).unwrap();
    }
    assert_eq!(kinds("ww late"), []);
    let _a = a.lock().unwrap();
    let context = CLASS.context();
    drop(c.lock_nest_lock(&context).unwrap());
    let both = [ReportKind::Recursive, ReportKind::Circular];
    assert!(kinds("ww late").iter().all(|kind| both.contains(kind)));
    assert!(kinds("recursion: ww late plain") == [ReportKind::Recursive]);
}

/// To take a lock when one has none makes up for having been wounded, by `try_lock` too.
#[test]
fn who_has_nothing_is_wounded_no_more() {
    static CLASS: WwClass = WwClass::wound_wait("ww healed");
    let [a, b] = [(); 2].map(|()| WwMutex::new(&CLASS, ()));
    let (begun, wanted, given) = (Barrier::new(2), Barrier::new(2), Barrier::new(2));
    let moment = || thread::sleep(std::time::Duration::from_millis(50));
    thread::scope(|scope| {
        scope.spawn(|| {
            let older = CLASS.context();
            begun.wait();
            wanted.wait();
            let _held = a.lock(&older).unwrap();
            given.wait();
            moment();
        });
        begun.wait();
        let younger = CLASS.context();
        let held = a.lock(&younger).unwrap();
        wanted.wait();
        moment();
        drop(held);
        given.wait();
        let _b = b.try_lock(Some(&younger)).unwrap();
        drop(a.lock(&younger).unwrap());
    });
    assert_eq!(kinds("ww healed"), []);
}
