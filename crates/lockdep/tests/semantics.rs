//! What is an inversion and what is not. Each test has classes of its own, so that they can run side by side.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use lockdep::{
    Class, ClassKey, Condvar, DynamicClass, LockMap, Mutex, Report, ReportKind, RwLock,
    WouldDeadlock,
};

/// The reports that are about a class whose name begins so.
fn reports(prefix: &str) -> Vec<Arc<Report>> {
    lockdep::reports()
        .into_iter()
        .filter(|report| {
            report
                .classes()
                .iter()
                .any(|class| class.starts_with(prefix))
        })
        .collect()
}

fn kinds(prefix: &str) -> Vec<ReportKind> {
    reports(prefix).iter().map(|report| report.kind()).collect()
}

fn on_thread<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    thread::scope(|scope| scope.spawn(f).join().unwrap())
}

fn mutex(name: &str) -> Mutex<()> {
    Mutex::with_class(Class::named(name.to_owned()), ())
}

fn rwlock(name: &str) -> RwLock<()> {
    RwLock::with_class(Class::named(name.to_owned()), ())
}

fn nested(outer: &Mutex<()>, inner: &Mutex<()>) {
    let _outer = outer.lock().unwrap();
    let _inner = inner.lock().unwrap();
}

#[test]
fn one_report_for_each_cycle_whatever_closes_it() {
    let (a, b) = (mutex("abba a"), mutex("abba b"));
    on_thread(|| nested(&a, &b));
    assert_eq!(kinds("abba"), []);
    on_thread(|| nested(&b, &a));
    assert_eq!(kinds("abba"), [ReportKind::Circular]);
    on_thread(|| nested(&b, &a));
    on_thread(|| nested(&a, &b));
    assert_eq!(kinds("abba").len(), 1);
    assert_eq!(
        reports("abba")[0].signature(),
        "circular: abba a --> abba b"
    );
}

#[test]
fn a_cycle_of_three_is_found_and_validation_goes_on() {
    let [a, b, c, d] = ["ring a", "ring b", "ring c", "ring d"].map(mutex);
    nested(&a, &b);
    nested(&b, &c);
    nested(&c, &a);
    assert_eq!(reports("ring")[0].classes(), ["ring a", "ring b", "ring c"]);
    nested(&c, &d);
    nested(&d, &b);
    assert_eq!(kinds("ring").len(), 2);
    assert_eq!(
        reports("ring")[1].signature(),
        "circular: ring b --> ring c --> ring d"
    );
}

#[test]
fn a_cycle_is_one_of_classes_not_of_instances() {
    static PARENT: ClassKey = ClassKey::new("family parent");
    static CHILD: ClassKey = ClassKey::new("family child");
    let pair = || {
        (
            Mutex::with_class(&PARENT, ()),
            Mutex::with_class(&CHILD, ()),
        )
    };
    let (first, second) = (pair(), pair());
    nested(&first.0, &first.1);
    nested(&second.1, &second.0);
    assert_eq!(kinds("family"), [ReportKind::Circular]);
}

#[test]
fn locks_made_by_one_line_are_one_class() {
    let locks: Vec<Mutex<()>> = (0..2).map(|_| Mutex::new(())).collect();
    nested(&locks[0], &locks[1]);
    let report = reports("crates/lockdep/tests/semantics.rs").pop().unwrap();
    assert_eq!(report.kind(), ReportKind::Recursive);
}

#[test]
fn a_try_lock_closes_no_cycle_but_opens_one() {
    let [a, b, c] = ["try a", "try b", "try c"].map(mutex);
    nested(&a, &b);
    let under_b = |taken: bool| {
        let _b = b.lock().unwrap();
        let _a = a.try_lock().unwrap();
        if taken {
            let _c = c.lock().unwrap();
        }
    };
    under_b(false);
    assert_eq!(kinds("try"), [], "an attempt cannot wait");
    under_b(true);
    nested(&c, &a);
    assert_eq!(
        kinds("try"),
        [ReportKind::Circular],
        "but what is taken after it waits under it"
    );
    assert_eq!(reports("try")[0].classes(), ["try a", "try c"]);
}

#[test]
fn readers_of_a_lock_that_prefers_writers_invert() {
    let (a, b) = (rwlock("readers a"), rwlock("readers b"));
    let reads = |one: &RwLock<()>, other: &RwLock<()>| {
        let _one = one.read().unwrap();
        let _other = other.read().unwrap();
    };
    reads(&a, &b);
    reads(&b, &a);
    assert_eq!(kinds("readers"), [ReportKind::Circular]);
}

#[test]
fn recursive_readers_invert_only_against_a_writer() {
    let [a, b, c] =
        ["maps a", "maps b", "maps c"].map(|name| LockMap::with_class(Class::named(name)));
    let reads = |one: &LockMap, other: &LockMap| {
        let _one = one.acquire_read();
        let _other = other.acquire_read();
    };
    reads(&a, &b);
    reads(&b, &a);
    assert_eq!(kinds("maps"), [], "nobody waits for anybody");
    {
        let _b = b.acquire();
        let _a = a.acquire();
    }
    assert_eq!(
        kinds("maps").len(),
        1,
        "a writer of both waits for the readers of either"
    );
    {
        let _c = c.acquire_read();
        let _again = c.acquire_read();
    }
    assert_eq!(kinds("maps").len(), 1, "recursive readers may recurse");
}

#[test]
fn a_dependency_is_not_lost_behind_a_recursive_reader() {
    let (a, c) = (mutex("behind a"), mutex("behind c"));
    let map = LockMap::with_class(Class::named("behind map"));
    {
        let _a = a.lock().unwrap();
        let _map = map.acquire_read();
        let _c = c.lock().unwrap();
    }
    nested(&c, &a);
    assert_eq!(kinds("behind"), [ReportKind::Circular]);
}

#[test]
fn who_would_wait_for_itself_is_told_and_does_not_wait() {
    let lock = mutex("self mutex");
    let held = lock.lock().unwrap();
    assert_eq!(lock.lock_or_deadlock().err(), Some(WouldDeadlock));
    let panicked = catch_unwind(AssertUnwindSafe(|| drop(lock.lock().unwrap())));
    let message = panicked.unwrap_err().downcast::<String>().unwrap();
    assert!(
        message.contains("would wait for itself") && message.contains("self mutex"),
        "{message}"
    );
    drop(held);
    assert_eq!(
        kinds("self mutex"),
        [ReportKind::Recursive],
        "told once, stopped each time"
    );
    drop(lock.lock().unwrap());
}

#[test]
fn a_reader_that_wants_to_write_would_wait_for_itself() {
    let lock = rwlock("upgrade");
    {
        let _read = lock.read().unwrap();
        assert!(lock.write_or_deadlock().is_err());
        assert!(lock.try_write().is_err());
    }
    {
        let _write = lock.write().unwrap();
        assert!(lock.read_or_deadlock().is_err());
    }
    assert!(lock.write_or_deadlock().is_ok());
}

#[test]
fn instances_of_a_dynamic_class_may_nest_and_are_told_apart() {
    let instance = || Mutex::with_class(DynamicClass::new("dynamic lock"), ());
    let (parent, child) = (instance(), instance());
    nested(&parent, &child);
    assert_eq!(kinds("dynamic"), []);
    nested(&child, &parent);
    assert_eq!(
        reports("dynamic")[0].classes(),
        ["dynamic lock", "dynamic lock#2"]
    );
}

#[test]
fn what_was_learnt_through_a_class_outlives_it() {
    let (a, c) = (mutex("bridge a"), mutex("bridge c"));
    {
        let middle = Mutex::with_class(DynamicClass::new("bridge middle"), ());
        let _a = a.lock().unwrap();
        let _middle = middle.lock().unwrap();
        let _c = c.lock().unwrap();
    }
    assert!(
        !lockdep::graph()
            .classes
            .iter()
            .any(|class| class.name == "bridge middle")
    );
    nested(&c, &a);
    assert_eq!(kinds("bridge"), [ReportKind::Circular]);
}

#[test]
fn an_address_used_again_is_not_the_lock_that_was_there() {
    let fixed = mutex("reuse fixed");
    let mut place = Some(Mutex::with_class(DynamicClass::new("reuse one"), ()));
    nested(&fixed, place.as_ref().unwrap());
    place = Some(Mutex::with_class(DynamicClass::new("reuse one"), ()));
    nested(place.as_ref().unwrap(), &fixed);
    assert_eq!(kinds("reuse"), []);
}

#[test]
fn locks_that_are_not_validated_are_only_listed() {
    let (a, b) = (Mutex::novalidate("novalidate a", ()), mutex("novalidate b"));
    nested(&a, &b);
    nested(&b, &a);
    assert_eq!(kinds("novalidate"), []);
    let other = Mutex::novalidate("novalidate a", ());
    nested(&a, &other);
    assert_eq!(kinds("novalidate"), []);
    let _held = a.lock().unwrap();
    assert!(
        a.lock_or_deadlock().is_err(),
        "but nobody is left to wait for itself"
    );
}

#[test]
fn guards_may_be_dropped_in_any_order() {
    let [a, b, c] = ["order a", "order b", "order c"].map(mutex);
    let first = a.lock().unwrap();
    let second = b.lock().unwrap();
    drop(first);
    let third = c.lock().unwrap();
    drop(second);
    drop(third);
    let graph = lockdep::graph();
    let mut edges: Vec<_> = graph
        .dependencies()
        .filter(|(from, _)| from.starts_with("order"))
        .collect();
    edges.sort_unstable();
    assert_eq!(edges, [("order a", "order b"), ("order b", "order c")]);
}

#[test]
fn to_flush_a_queue_is_to_wait_for_its_work() {
    let (lock, queue) = (
        mutex("flush lock"),
        LockMap::with_class(Class::named("flush queue")),
    );
    on_thread(|| {
        let _work = queue.acquire();
        drop(lock.lock().unwrap());
    });
    let _held = lock.lock().unwrap();
    queue.touch();
    assert_eq!(kinds("flush"), [ReportKind::Circular]);
}

#[test]
fn a_condition_is_waited_for_without_the_mutex() {
    let lock = Arc::new((Mutex::named("condition", false), Condvar::new()));
    let other = Arc::clone(&lock);
    let waker = thread::spawn(move || {
        *other.0.lock().unwrap() = true;
        other.1.notify_one();
    });
    let guard = lock
        .1
        .wait_while(lock.0.lock().unwrap(), |ready| !*ready)
        .unwrap();
    assert!(
        *guard && lock.0.lock_or_deadlock().is_err(),
        "held again after the wait"
    );
    drop(guard);
    waker.join().unwrap();
    drop(lock.0.lock().unwrap());
}

#[test]
fn a_panic_poisons_as_with_std() {
    let lock = Mutex::named("poison", 1);
    let _ = catch_unwind(AssertUnwindSafe(|| {
        let _guard = lock.lock().unwrap();
        panic!("on purpose");
    }));
    assert!(lock.is_poisoned());
    assert_eq!(*lock.lock().unwrap_err().into_inner(), 1);
    lock.clear_poison();
    assert_eq!(lock.into_inner().unwrap(), 1);
}

#[test]
fn a_handler_may_lock_and_is_not_called_for_its_own_reports() {
    // In a process of its own: the handler is everybody's.
    const CHILD: &str = "LOCKDEP_TEST_HANDLER";
    if std::env::var_os(CHILD).is_none() {
        let this = "a_handler_may_lock_and_is_not_called_for_its_own_reports";
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", this])
            .env(CHILD, "1")
            .output()
            .unwrap();
        assert!(
            status.status.success(),
            "{}",
            String::from_utf8_lossy(&status.stdout)
        );
        return;
    }
    static CALLS: Mutex<Vec<String>> = Mutex::named("handler calls", Vec::new());
    let (a, b) = (mutex("handler a"), mutex("handler b"));
    nested(&a, &b);
    on_thread(|| {
        let _calls = CALLS.lock().unwrap();
        let _b = b.lock().unwrap();
    });
    lockdep::set_handler(|report| CALLS.lock().unwrap().push(report.signature().to_owned()));
    nested(&b, &a);
    assert_eq!(
        *CALLS.lock().unwrap(),
        ["circular: handler a --> handler b"]
    );
    let signatures: Vec<String> = lockdep::reports()
        .iter()
        .map(|report| report.signature().to_owned())
        .collect();
    assert_eq!(signatures[0], "circular: handler a --> handler b");
    assert!(
        signatures[1].contains("handler calls"),
        "its own inversion is kept: {signatures:?}"
    );
}

#[test]
fn more_locks_than_can_be_followed_are_still_locks() {
    let locks: Vec<Mutex<()>> = (0..80).map(|at| mutex(&format!("deep {at}"))).collect();
    let guards: Vec<_> = locks.iter().map(|lock| lock.lock().unwrap()).collect();
    drop(guards);
    nested(&locks[0], &locks[1]);
    assert!(!kinds("deep").contains(&ReportKind::BadUnlock));
}
