//! Locks of `lock_api`, by the example of `parking_lot`'s.

#![cfg(all(feature = "parking_lot", not(feature = "off")))]
#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use lockdep::parking_lot::{
    self, FairMutexGuard, Mutex, RawFairMutex, RawMutex, RawRwLock, RawThreadId, ReentrantMutex,
    RwLock, RwLockReadGuard, RwLockUpgradableReadGuard, RwLockWriteGuard,
};
use lockdep::{Class, DynamicClass, Grade, Instances, ReportKind};

const MOMENT: Duration = Duration::from_millis(1);

fn kinds(name: &str) -> Vec<ReportKind> {
    let reports = lockdep::reports();
    let about = reports
        .iter()
        .filter(|report| report.signature().contains(name));
    about.map(|report| report.kind()).collect()
}

fn mutex(name: &'static str) -> Mutex<u8> {
    Mutex::from_raw(RawMutex::named(name), 0)
}

fn rwlock(name: &'static str) -> RwLock<u8> {
    RwLock::from_raw(RawRwLock::named(name), 0)
}

/// Takes the two, the one under the other, in both orders, on threads of their own.
fn both_orders(one: impl Fn() + Sync, other: impl Fn() + Sync) {
    thread::scope(|scope| {
        scope.spawn(&one).join().unwrap();
        scope.spawn(&other).join().unwrap();
    });
}

#[test]
fn mutexes_invert() {
    let (a, b) = (mutex("pl mutex a"), mutex("pl mutex b"));
    both_orders(
        || {
            let _a = a.lock();
            *b.lock() += 1;
        },
        || {
            let _b = b.lock();
            *a.lock() += 1;
        },
    );
    assert_eq!(kinds("pl mutex"), [ReportKind::Circular]);
}

#[test]
fn an_attempt_closes_no_cycle_but_a_wait_with_a_limit_does() {
    let (a, b) = (mutex("pl try a"), mutex("pl try b"));
    {
        let _a = a.lock();
        let _b = b.lock();
    }
    {
        let _b = b.lock();
        assert!(a.try_lock().is_some());
    }
    assert_eq!(kinds("pl try"), []);
    {
        let _b = b.lock();
        assert!(a.try_lock_for(MOMENT).is_some());
    }
    assert_eq!(kinds("pl try"), [ReportKind::Circular]);
    assert!(!lockdep::raw::any_held());
}

#[test]
fn who_waits_for_itself_with_a_limit_is_reported_and_goes_on() {
    let lock = mutex("pl bounded");
    let held = lock.lock();
    assert!(lock.try_lock_for(MOMENT).is_none());
    assert!(lock.try_lock_until(Instant::now() + MOMENT).is_none());
    assert_eq!(kinds("pl bounded"), [ReportKind::Recursive]);
    drop(held);
    assert!(!lockdep::raw::any_held());
}

#[test]
fn who_waits_for_itself_for_ever_is_told() {
    let lock = mutex("pl itself");
    let _held = lock.lock();
    assert!(catch_unwind(AssertUnwindSafe(|| drop(lock.lock()))).is_err());
    assert_eq!(kinds("pl itself"), [ReportKind::Recursive]);
}

#[test]
fn a_class_is_where_a_lock_is_first_taken_or_made_or_what_it_is_called() {
    fn take(lock: &Mutex<u8>) {
        drop(lock.lock());
    }
    let (one, other) = (Mutex::new(0), Mutex::new(0));
    take(&one);
    let line = line!() - 4;
    let (made, at) = (parking_lot::const_mutex(0), line!());
    take(&made);
    let dynamic = Mutex::from_raw(RawMutex::with_class(DynamicClass::new("pl dynamic")), 0);
    take(&dynamic);
    take(&other);
    let classes: Vec<String> = lockdep::graph()
        .classes
        .iter()
        .map(|class| class.name.to_string())
        .collect();
    let named = |end: &str| classes.iter().filter(|name| name.contains(end)).count();
    assert_eq!(named(&format!("parking_lot.rs:{line}:")), 1, "{classes:?}");
    assert_eq!(named(&format!("parking_lot.rs:{at}:")), 1);
    assert_eq!(named("pl dynamic"), 1);
}

#[test]
fn readers_invert_unless_they_recurse() {
    let locks = |a, b| (rwlock(a), rwlock(b));
    let (a, b) = locks("pl recursive a", "pl recursive b");
    both_orders(
        || {
            let _a = a.read_recursive();
            drop(b.read_recursive());
        },
        || {
            let _b = b.read_recursive();
            drop(a.read_recursive());
        },
    );
    let _outer = a.read();
    drop(a.read_recursive());
    assert_eq!(kinds("pl recursive"), []);
    let (a, b) = locks("pl read a", "pl read b");
    both_orders(
        || {
            let _a = a.read();
            drop(b.read());
        },
        || {
            let _b = b.read();
            drop(a.read());
        },
    );
    assert_eq!(kinds("pl read"), [ReportKind::Circular]);
    let twice = rwlock("pl twice");
    let _outer = twice.read();
    drop(twice.read());
    assert_eq!(
        kinds("pl twice"),
        [ReportKind::Recursive],
        "a writer may come in between"
    );
}

#[test]
fn to_upgrade_is_to_wait_for_readers() {
    let (lock, inner) = (rwlock("pl upgrade"), mutex("pl upgrade inner"));
    {
        let upgradable = lock.upgradable_read();
        let mut write = RwLockUpgradableReadGuard::upgrade(upgradable);
        *write += 1;
        let upgradable = RwLockWriteGuard::downgrade_to_upgradable(write);
        let write = RwLockUpgradableReadGuard::try_upgrade(upgradable).unwrap();
        let read = RwLockWriteGuard::downgrade(write);
        assert_eq!(*read, 1);
    }
    assert!(!lockdep::raw::any_held());
    {
        let _read = lock.read();
        drop(inner.lock());
    }
    assert_eq!(kinds("pl upgrade"), []);
    let upgradable = lock.upgradable_read();
    let _inner = inner.lock();
    drop(RwLockUpgradableReadGuard::upgrade(upgradable));
    assert_eq!(
        kinds("pl upgrade"),
        [ReportKind::Circular],
        "a reader that wants the inner lock never leaves"
    );
}

/// Who holds a lock in two ways and gives up the older hold keeps the newer one, and the other way round.
#[test]
fn a_guard_ends_its_own_hold() {
    let grade = |name: &'static str, keeps_upgradable: bool| {
        let (lock, inner) = (rwlock(name), mutex("pl two ways inner"));
        both_orders(
            || {
                if keeps_upgradable {
                    let read = lock.read_recursive();
                    let _upgradable = lock.upgradable_read();
                    drop(read);
                    drop(inner.lock());
                } else {
                    let upgradable = lock.upgradable_read();
                    let _read = lock.read_recursive();
                    drop(upgradable);
                    drop(inner.lock());
                }
            },
            || {
                let _inner = inner.lock();
                drop(lock.upgradable_read());
            },
        );
        let reports = lockdep::reports();
        let circle = reports.iter().find(|report| {
            report.kind() == ReportKind::Circular && report.signature().contains(name)
        });
        circle.unwrap().grade()
    };
    let upgradable = grade("pl two ways upgradable", true);
    assert_eq!(upgradable, Some(Grade::Deadlock), "one waits for the other");
    let read = grade("pl two ways read", false);
    assert_eq!(read, Some(Grade::SingleThread), "nobody writes");
}

#[test]
fn an_upgrade_that_fails_keeps_the_read() {
    let lock = rwlock("pl kept");
    let read = lock.read_recursive();
    thread::scope(|scope| {
        scope.spawn(|| {
            let upgradable = lock.upgradable_read();
            let kept = RwLockUpgradableReadGuard::try_upgrade(upgradable).unwrap_err();
            let kept = RwLockUpgradableReadGuard::try_upgrade_for(kept, MOMENT).unwrap_err();
            assert!(lockdep::raw::any_held());
            drop(kept);
            assert!(!lockdep::raw::any_held());
        });
    });
    drop(read);
    assert_eq!(kinds("pl kept"), []);
}

#[test]
fn fair_and_reentrant_ones_too() {
    let fair = parking_lot::FairMutex::from_raw(RawFairMutex::named("pl fair"), 0);
    FairMutexGuard::unlock_fair(fair.lock());
    let mut held = fair.lock();
    FairMutexGuard::bump(&mut held);
    drop(held);
    let again = ReentrantMutex::from_raw(
        RawMutex::with_class(Class::named("pl reentrant")),
        RawThreadId,
        0,
    );
    let _one = again.lock();
    let _other = again.lock();
    assert_eq!(kinds("pl reentrant"), []);
    let write = rwlock("pl bump");
    RwLockReadGuard::bump(&mut write.read());
    RwLockWriteGuard::unlock_fair(write.write());
    assert_eq!(kinds("bad unlock"), []);
}

/// Two threads that take two upgradable reads in opposite orders wait for each other, though nobody writes: seen with the
/// locks themselves, by threads that give up in time.
#[test]
fn two_upgradable_readers_do_deadlock_and_are_graded_so() {
    let (a, b) = (rwlock("upgradable A"), rwlock("upgradable B"));
    let meeting = Barrier::new(2);
    let both_wait = |held: &RwLock<u8>, wanted: &RwLock<u8>| {
        let _held = held.upgradable_read();
        meeting.wait();
        let failed = wanted.try_upgradable_read_for(100 * MOMENT).is_none();
        meeting.wait();
        failed
    };
    let (one, two) = thread::scope(|scope| {
        let one = scope.spawn(|| both_wait(&a, &b));
        let two = both_wait(&b, &a);
        (one.join().unwrap(), two)
    });
    assert!(one && two, "each waits for what the other one has");

    let reports = lockdep::reports();
    let signature = "circular: upgradable A --> upgradable B";
    let report = reports
        .iter()
        .find(|report| report.signature() == signature);
    let report = report.unwrap();
    assert_eq!(report.grade(), Some(Grade::Deadlock));
    assert_eq!(report.instances(), Some(Instances::Confirmed));
}

#[test]
fn an_upgradable_read_under_itself_waits_for_itself() {
    let lock = rwlock("upgradable twice");
    let held = lock.upgradable_read();
    let again = catch_unwind(AssertUnwindSafe(|| drop(lock.upgradable_read())));
    assert!(again.is_err());
    drop(held);
    assert_eq!(kinds("upgradable twice"), [ReportKind::Recursive]);
}
