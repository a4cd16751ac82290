//! The scenarios by which validators are told apart: what must be reported, what must not, and how much it is worth. No
//! deadlock ever happens here; the threads run one after the other. Each test has classes of its own.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use std::sync::Arc;
use std::thread;

use lockdep::raw::{Acquire, LockdepMap};
use lockdep::{
    Class, DynamicClass, Grade, Instances, LockMap, Mode, Mutex, Report, ReportKind, RwLock, Wait,
};

/// The reports that are about a class whose name begins so.
fn reports(prefix: &str) -> Vec<Arc<Report>> {
    let about = |report: &Arc<Report>| {
        report
            .classes()
            .iter()
            .any(|class| class.starts_with(prefix))
    };
    lockdep::reports().into_iter().filter(about).collect()
}

/// The one report about these classes.
fn report(prefix: &str) -> Arc<Report> {
    let mut reports = reports(prefix);
    assert_eq!(reports.len(), 1, "{prefix}: {reports:?}");
    reports.remove(0)
}

fn graded(prefix: &str) -> (Grade, Instances) {
    let report = report(prefix);
    assert_eq!(report.kind(), ReportKind::Circular);
    (report.grade().unwrap(), report.instances().unwrap())
}

fn silent(prefix: &str) {
    let reports = reports(prefix);
    assert!(reports.is_empty(), "{prefix}: {reports:?}");
}

fn on_thread<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    thread::scope(|scope| scope.spawn(f).join().unwrap())
}

fn mutex(name: &str) -> Mutex<()> {
    Mutex::with_class(Class::named(name.to_owned()), ())
}

fn nested(outer: &Mutex<()>, inner: &Mutex<()>) {
    let _outer = outer.lock().unwrap();
    let _inner = inner.lock().unwrap();
}

const REAL: (Grade, Instances) = (Grade::Deadlock, Instances::Confirmed);

#[test]
fn abba_two_threads() {
    let (a, b) = (mutex("abba a"), mutex("abba b"));
    on_thread(|| nested(&a, &b));
    on_thread(|| nested(&b, &a));
    assert_eq!(graded("abba"), REAL);
    assert_eq!(report("abba").cycle_threads().len(), 2);
}

#[test]
fn abba_one_thread_only() {
    let (a, b) = (mutex("alone a"), mutex("alone b"));
    nested(&a, &b);
    nested(&b, &a);
    assert_eq!(graded("alone"), (Grade::SingleThread, Instances::Confirmed));
}

#[test]
fn three_cycle() {
    let [a, b, c] = ["ring a", "ring b", "ring c"].map(mutex);
    on_thread(|| nested(&a, &b));
    on_thread(|| nested(&b, &c));
    on_thread(|| nested(&c, &a));
    assert_eq!(graded("ring"), REAL);
    assert_eq!(report("ring").cycle_threads().len(), 3);
}

#[test]
fn read_read_inversion() {
    let lock = |name: &'static str| RwLock::with_class(Class::named(name), ());
    let (a, b) = (lock("readers a"), lock("readers b"));
    let reads = |one: &RwLock<()>, other: &RwLock<()>| {
        let _one = one.read().unwrap();
        let _other = other.read().unwrap();
    };
    on_thread(|| reads(&a, &b));
    on_thread(|| reads(&b, &a));
    // Reported at once: the next writer makes it a deadlock. But as long as nobody writes, nobody waits, and no more is said.
    assert_eq!(
        graded("readers"),
        (Grade::SingleThread, Instances::Confirmed),
        "no writer was seen"
    );
    on_thread(|| drop(a.write().unwrap()));
    assert_eq!(graded("readers").0, Grade::SingleThread, "nobody writes b");
    on_thread(|| drop(b.write().unwrap()));
    assert_eq!(
        graded("readers"),
        REAL,
        "a writer that waits keeps the second reader out"
    );
    assert_eq!(report("readers").cycle_threads().len(), 4);

    // Readers that no waiting writer keeps out.
    let map = |name: &'static str| LockdepMap::new(Class::named(name), Wait::SLEEP);
    let (a, b) = (map("recursive readers a"), map("recursive readers b"));
    let recursive = Acquire {
        mode: Mode::RecursiveRead,
        ..Acquire::default()
    };
    let reads = |one: &LockdepMap, other: &LockdepMap| {
        one.acquire(recursive).unwrap();
        other.acquire(recursive).unwrap();
        other.release();
        one.release();
    };
    on_thread(|| reads(&a, &b));
    on_thread(|| reads(&b, &a));
    silent("recursive readers");
}

#[test]
fn read_read_same_thread() {
    let lock = RwLock::with_class(Class::named("reread"), ());
    {
        let _one = lock.read().unwrap();
        let _other = lock.read().unwrap();
    }
    let report = report("reread");
    assert_eq!(
        (report.kind(), report.grade()),
        (ReportKind::Recursive, Some(Grade::SingleThread))
    );

    let map = LockMap::with_class(Class::named("recursive reread"));
    {
        let _one = map.acquire_read();
        let _other = map.acquire_read();
    }
    silent("recursive reread");
}

#[test]
fn try_lock_inversion() {
    let (a, b) = (mutex("attempt a"), mutex("attempt b"));
    on_thread(|| nested(&a, &b));
    on_thread(|| {
        let _b = b.lock().unwrap();
        let _a = a.try_lock().unwrap();
    });
    silent("attempt");
}

#[test]
fn gate_locked_abba() {
    let [gate, a, b] = ["gate", "gated a", "gated b"].map(mutex);
    on_thread(|| {
        let _gate = gate.lock().unwrap();
        nested(&a, &b);
    });
    on_thread(|| {
        let _gate = gate.lock().unwrap();
        nested(&b, &a);
    });
    assert_eq!(graded("gated"), (Grade::Gated, Instances::Confirmed));
    assert_eq!(report("gated").gates(), ["gate"]);
}

#[test]
fn class_inversion_across_instances() {
    let pair = || (mutex("family parent"), mutex("family child"));
    let (first, second) = (pair(), pair());
    on_thread(|| nested(&first.0, &first.1));
    on_thread(|| nested(&second.1, &second.0));
    assert_eq!(graded("family"), (Grade::Deadlock, Instances::ClassOnly));
}

#[test]
fn hand_over_hand() {
    let [a, b, c] = ["hand a", "hand b", "hand c"].map(mutex);
    on_thread(|| {
        let first = a.lock().unwrap();
        let second = b.lock().unwrap();
        drop(first);
        let _third = c.lock().unwrap();
        drop(second);
    });
    on_thread(|| nested(&c, &a));
    assert_eq!(
        graded("hand").0,
        Grade::SingleThread,
        "one thread would have to be in two places"
    );
}

#[test]
fn destroyed_in_the_middle() {
    let (a, c) = (mutex("middle a"), mutex("middle c"));
    {
        let middle = Mutex::with_class(DynamicClass::new("middle"), ());
        on_thread(|| {
            let _a = a.lock().unwrap();
            let _middle = middle.lock().unwrap();
            let _c = c.lock().unwrap();
        });
    }
    on_thread(|| nested(&c, &a));
    assert_eq!(graded("middle a"), REAL);
}

#[test]
fn address_reuse_after_destroy() {
    let fixed = mutex("reuse fixed");
    let lock = || Some(Mutex::with_class(DynamicClass::new("reuse one"), ()));
    let mut place = lock();
    let address = std::ptr::from_ref(&place).addr();
    on_thread(|| nested(&fixed, place.as_ref().unwrap()));
    place = lock();
    assert_eq!(address, std::ptr::from_ref(&place).addr());
    on_thread(|| nested(place.as_ref().unwrap(), &fixed));
    silent("reuse");
}

// What lies beyond the eleven: how a grade comes about, and how it rises.

#[test]
fn what_was_over_before_a_thread_began_is_ordered() {
    let (a, b) = (mutex("forked a"), mutex("forked b"));
    nested(&a, &b);
    lockdep::thread::scope(|scope| {
        scope.spawn(|| nested(&b, &a)).join().unwrap();
    });
    assert_eq!(graded("forked"), (Grade::Ordered, Instances::Confirmed));
    nested(&a, &b);
    assert_eq!(graded("forked").0, Grade::Ordered, "the thread is over");
    lockdep::thread::scope(|scope| {
        let other = scope.spawn(|| nested(&b, &a));
        nested(&a, &b);
        other.join().unwrap();
    });
    assert_eq!(graded("forked"), REAL, "both at once");
}

#[test]
fn joined_threads_are_ordered() {
    let (a, b) = (Arc::new(mutex("joined a")), Arc::new(mutex("joined b")));
    let spawn = |one: &Arc<Mutex<()>>, other: &Arc<Mutex<()>>| {
        let (one, other) = (Arc::clone(one), Arc::clone(other));
        lockdep::thread::spawn(move || nested(&one, &other))
    };
    spawn(&a, &b).join().unwrap();
    spawn(&b, &a).join().unwrap();
    assert_eq!(graded("joined").0, Grade::Ordered);
    let (one, other) = (spawn(&a, &b), spawn(&b, &a));
    one.join().unwrap();
    other.join().unwrap();
    assert_eq!(graded("joined"), REAL);
}

#[test]
fn a_second_thread_raises_the_grade_of_a_known_order() {
    let (a, b) = (mutex("raise a"), mutex("raise b"));
    nested(&a, &b);
    nested(&b, &a);
    assert_eq!(graded("raise").0, Grade::SingleThread);
    let before = report("raise");
    on_thread(|| nested(&b, &a));
    assert_eq!(graded("raise"), REAL);
    assert!(Arc::ptr_eq(&before, &report("raise")), "the same report");
}

#[test]
fn a_way_round_the_gate_raises_the_grade() {
    let [gate, a, b] = ["round gate", "round a", "round b"].map(mutex);
    let gated = |one: &Mutex<()>, other: &Mutex<()>| {
        let _gate = gate.lock().unwrap();
        nested(one, other);
    };
    on_thread(|| gated(&a, &b));
    on_thread(|| gated(&b, &a));
    assert_eq!(graded("round a").0, Grade::Gated);
    on_thread(|| nested(&b, &a));
    assert_eq!(graded("round a"), REAL);
}

#[test]
fn a_lock_in_between_does_not_hide_who_holds_the_first() {
    let [a, g, b] = ["between a", "between g", "between b"].map(mutex);
    on_thread(|| {
        let _a = a.lock().unwrap();
        nested(&g, &b);
    });
    on_thread(|| nested(&b, &a));
    assert_eq!(graded("between"), REAL);
}

#[test]
fn a_gate_that_only_readers_take_keeps_nobody_out() {
    let gate = RwLock::with_class(Class::named("open gate"), ());
    let (a, b) = (mutex("open a"), mutex("open b"));
    let gated = |one: &Mutex<()>, other: &Mutex<()>| {
        let _gate = gate.read().unwrap();
        nested(one, other);
    };
    on_thread(|| gated(&a, &b));
    on_thread(|| gated(&b, &a));
    assert_eq!(graded("open a"), REAL);
}

/// Two locks of one class under each other: as a cycle of two.
#[test]
fn locks_of_one_class_are_graded_as_a_cycle() {
    let pair = |class: &'static str| [(); 2].map(|()| Mutex::with_class(Class::named(class), ()));
    let graded = |class| {
        let report = report(class);
        assert_eq!(report.kind(), ReportKind::Recursive);
        (report.grade(), report.instances())
    };
    let [x, y] = pair("one thread, one class");
    on_thread(|| {
        nested(&x, &y);
        nested(&y, &x);
    });
    let (grade, _) = graded("one thread, one class");
    assert_eq!(grade, Some(Grade::SingleThread));

    let [x, y] = pair("two threads, one class");
    on_thread(|| nested(&x, &y));
    on_thread(|| nested(&x, &y));
    let (grade, _) = graded("two threads, one class");
    assert_eq!(grade, Some(Grade::Gated), "the first one keeps them apart");
    on_thread(|| nested(&y, &x));
    let both = (Some(Grade::Deadlock), Some(Instances::Confirmed));
    assert_eq!(graded("two threads, one class"), both, "it has risen");

    let [x, y] = pair("others, one class");
    let [v, w] = pair("others, one class");
    on_thread(|| nested(&x, &y));
    on_thread(|| nested(&v, &w));
    let others = (Some(Grade::Deadlock), Some(Instances::ClassOnly));
    assert_eq!(graded("others, one class"), others);
}
