//! The rules beside the order of classes: nesting within a class, ways of waiting, signal handlers, and what must be true
//! when a lock is released, given back or left.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use std::sync::Arc;
use std::thread;

use lockdep::raw::{Acquire, LockdepMap, any_held, assert_no_locks_held};
use lockdep::signal::{Blocked, Deferred, DeferredBlocked, Handler};
use lockdep::{
    Banner, Class, DynamicClass, LockMap, Lockdep, Mode, Mutex, Report, ReportKind, RwLock, Wait,
};

fn reports(prefix: &str) -> Vec<Arc<Report>> {
    lockdep::reports()
        .into_iter()
        .filter(|report| report.signature().contains(prefix))
        .collect()
}

fn kinds(prefix: &str) -> Vec<ReportKind> {
    reports(prefix).iter().map(|report| report.kind()).collect()
}

fn text(prefix: &str) -> String {
    reports(prefix)[0].kernel_text(&Banner::default())
}

fn mutex(name: &'static str) -> Mutex<()> {
    Mutex::named(name, ())
}

fn map(name: &'static str, wait: Wait) -> LockdepMap {
    LockdepMap::new(Class::named(name), wait)
}

fn write() -> Acquire<'static> {
    Acquire::default()
}

fn read() -> Acquire<'static> {
    Acquire {
        mode: Mode::RecursiveRead,
        ..Acquire::default()
    }
}

#[test]
fn subclasses_of_a_class_are_an_order_of_their_own() {
    let (parent, child) = (mutex("subclass lock"), mutex("subclass lock"));
    {
        let _parent = parent.lock().unwrap();
        let _child = child.lock_nested(1).unwrap();
    }
    assert_eq!(kinds("subclass"), []);
    {
        let _child = child.lock_nested(1).unwrap();
        let _parent = parent.lock().unwrap();
    }
    assert_eq!(kinds("subclass"), [ReportKind::Circular]);
    assert!(
        text("subclass").contains("(subclass lock/1){+.+.}-{4:4}"),
        "{}",
        text("subclass")
    );
}

#[test]
fn one_lock_in_two_subclasses_is_still_one_lock() {
    let lock = mutex("twice in classes");
    let _held = lock.lock().unwrap();
    let again = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        drop(lock.lock_nested(1).unwrap());
    }));
    assert!(again.is_err());
}

#[test]
fn a_nest_lock_serialises_and_must_be_held() {
    let nest = mutex("nest outer");
    let (one, other) = (mutex("nest inner"), mutex("nest inner"));
    {
        let _nest = nest.lock().unwrap();
        let _one = one.lock_nest_lock(&nest).unwrap();
        let _other = other.lock_nest_lock(&nest).unwrap();
    }
    assert_eq!(kinds("nest inner"), []);
    drop(one.lock_nest_lock(&nest).unwrap());
    assert_eq!(kinds("nest inner"), [ReportKind::NestNotTaken]);
    let text = text("nest lock: nest inner");
    assert!(
        text.contains("WARNING: Nested lock was not taken"),
        "{text}"
    );
    assert!(
        text.contains("but this task is not holding:\nnest outer"),
        "{text}"
    );
}

#[test]
fn ranks_order_locks_of_one_class() {
    let locks = [1, 2, 3].map(|rank| Mutex::ranked(Class::named("ranked"), rank, ()));
    {
        let _first = locks[0].lock().unwrap();
        let _second = locks[1].lock().unwrap();
        let _third = locks[2].lock().unwrap();
    }
    assert_eq!(kinds("ranked"), []);
    let _second = locks[1].lock().unwrap();
    let _first = locks[0].lock().unwrap();
    assert_eq!(kinds("ranked"), [ReportKind::Recursive]);
    assert!(text("ranked").contains("and the lock comparison function returns 1:"));
}

#[test]
fn addresses_order_locks_of_one_class() {
    let locks = [(); 3].map(|()| RwLock::by_address(Class::named("addressed"), ()));
    for _ in 0..2 {
        let _first = locks[0].write().unwrap();
        let _second = locks[1].read().unwrap();
        let _third = locks[2].write().unwrap();
    }
    assert_eq!(kinds("addressed"), []);
    let _second = locks[1].write().unwrap();
    let _first = locks[0].write().unwrap();
    assert_eq!(kinds("addressed"), [ReportKind::Recursive]);
}

#[test]
fn who_spins_must_not_sleep() {
    let (spin, sleep) = (map("wait spin", Wait::SPIN), map("wait sleep", Wait::SLEEP));
    let other = map("wait other", Wait::SPIN);
    let _ = sleep.acquire(write());
    let _ = other.acquire(write());
    other.release();
    sleep.release();
    assert_eq!(kinds("wait sleep"), []);
    let _ = spin.acquire(write());
    let _ = sleep.acquire(Acquire {
        attempt: true,
        ..write()
    });
    sleep.release();
    assert_eq!(kinds("wait sleep"), [], "an attempt does not wait");
    let _ = sleep.acquire(write());
    sleep.release();
    spin.release();
    assert_eq!(kinds("wait sleep"), [ReportKind::InvalidWaitContext]);
    let text = text("wait sleep");
    assert!(text.contains("[ BUG: Invalid wait context ]"), "{text}");
    assert!(text.contains("(wait sleep){+.+.}-{4:4}"), "{text}");
    assert!(text.contains("context-{5:5}"), "{text}");
    assert!(text.contains("(wait spin){+.+.}-{2:2}"), "{text}");
}

#[test]
fn a_handler_may_spin_but_not_sleep() {
    let lock = mutex("handler sleeps");
    let handler = Handler::enter();
    drop(lock.lock().unwrap());
    drop(handler);
    assert!(kinds("handler sleeps").contains(&ReportKind::InvalidWaitContext));
}

#[test]
fn a_lock_of_handlers_is_not_taken_with_signals_open() {
    let lock = map("signal same", Wait::SPIN);
    {
        let _handler = Handler::enter();
        let _ = lock.acquire(write());
        lock.release();
    }
    {
        let _blocked = Blocked::enter();
        let _ = lock.acquire(write());
        lock.release();
    }
    assert_eq!(kinds("signal same"), []);
    let _ = lock.acquire(write());
    lock.release();
    assert_eq!(kinds("signal same"), [ReportKind::InconsistentState]);
    let text = text("signal same");
    assert!(
        text.contains("inconsistent {IN-HARDIRQ-W} -> {HARDIRQ-ON-W} usage."),
        "{text}"
    );
    assert!(text.contains("[HC0[0]:SC0[0]:HE1:SE1] takes:"), "{text}");
    assert!(text.contains("(signal same){?...}-{2:2}"), "{text}");
    assert!(
        text.contains("  <Interrupt>\n    lock(signal same);"),
        "{text}"
    );
}

#[test]
fn a_lock_of_deferred_work_is_not_taken_where_such_work_can_run() {
    let lock = map("deferred same", Wait::SPIN);
    {
        let _deferred = Deferred::enter();
        let _ = lock.acquire(write());
        lock.release();
    }
    {
        let _blocked = DeferredBlocked::enter();
        let _ = lock.acquire(write());
        lock.release();
    }
    assert_eq!(kinds("deferred same"), []);
    let _ = lock.acquire(write());
    lock.release();
    let text = text("deferred same");
    assert!(
        text.contains("inconsistent {IN-SOFTIRQ-W} -> {SOFTIRQ-ON-W} usage."),
        "{text}"
    );
    assert!(text.contains("(deferred same){+.?.}-{2:2}"), "{text}");
}

#[test]
fn to_open_signals_is_to_use_what_is_held_with_signals_open() {
    let lock = map("signal opened", Wait::SPIN);
    {
        let _handler = Handler::enter();
        let _ = lock.acquire(write());
        lock.release();
    }
    let blocked = Blocked::enter();
    let _ = lock.acquire(write());
    assert_eq!(kinds("signal opened"), []);
    drop(blocked);
    assert_eq!(kinds("signal opened"), [ReportKind::InconsistentState]);
    lock.release();
}

#[test]
fn readers_in_handlers_conflict_with_writers_only() {
    let lock = map("signal readers", Wait::SPIN);
    {
        let _handler = Handler::enter();
        let _ = lock.acquire(read());
        lock.release();
    }
    let _ = lock.acquire(read());
    lock.release();
    assert_eq!(kinds("signal readers"), []);
    let _ = lock.acquire(write());
    lock.release();
    assert_eq!(kinds("signal readers"), [ReportKind::InconsistentState]);
}

#[test]
fn no_open_lock_is_taken_under_a_lock_of_handlers() {
    let (safe, middle, open) = (
        map("connect safe", Wait::SPIN),
        map("connect middle", Wait::SPIN),
        map("connect open", Wait::SPIN),
    );
    {
        let _handler = Handler::enter();
        let _ = safe.acquire(write());
        safe.release();
    }
    let _ = open.acquire(write());
    open.release();
    let _blocked = Blocked::enter();
    let _ = middle.acquire(write());
    let _ = open.acquire(write());
    open.release();
    middle.release();
    assert_eq!(kinds("connect"), []);
    let _ = safe.acquire(write());
    let _ = middle.acquire(write());
    middle.release();
    safe.release();
    assert_eq!(kinds("connect"), [ReportKind::SignalUnsafeOrder]);
    let text = text("connect");
    assert!(
        text.contains("WARNING: HARDIRQ-safe -> HARDIRQ-unsafe lock order detected"),
        "{text}"
    );
    assert!(
        text.contains(" (connect safe){-...}-{2:2} -> (connect middle){....}-{2:2}"),
        "{text}"
    );
    assert!(
        text.contains("Chain exists of:\n  connect safe --> connect middle --> connect open"),
        "{text}"
    );
}

#[test]
fn a_change_of_use_may_invert_an_old_order() {
    let (first, second) = (
        map("invert first", Wait::SPIN),
        map("invert second", Wait::SPIN),
    );
    {
        let _blocked = Blocked::enter();
        let _ = first.acquire(write());
        let _ = second.acquire(write());
        second.release();
        first.release();
    }
    let _ = second.acquire(write());
    second.release();
    assert_eq!(kinds("invert"), []);
    {
        let _handler = Handler::enter();
        let _ = first.acquire(write());
        first.release();
    }
    assert_eq!(kinds("invert"), [ReportKind::SignalInversion]);
    let text = text("invert");
    assert!(
        text.contains("WARNING: possible irq lock inversion dependency detected"),
        "{text}"
    );
    assert!(
        text.contains(
            "but this lock took another, HARDIRQ-unsafe lock in the past:\n (invert second)"
        ),
        "{text}"
    );
    assert!(
        text.contains("-> (invert first){-...}-{2:2} {\n   IN-HARDIRQ-W at:\n"),
        "{text}"
    );
}

#[test]
fn what_a_handler_takes_is_not_taken_under_what_it_interrupts() {
    let (outer, inner) = (mutex("interrupt outer"), map("interrupt inner", Wait::SPIN));
    {
        let _outer = outer.lock().unwrap();
        let _handler = Handler::enter();
        let _ = inner.acquire(write());
        inner.release();
    }
    let graph = lockdep::graph();
    assert!(
        !graph
            .dependencies()
            .any(|edge| edge == ("interrupt outer", "interrupt inner"))
    );
}

#[test]
fn a_handler_that_wants_what_it_interrupts_would_wait_for_ever() {
    let lock = map("interrupt same", Wait::SPIN);
    let _ = lock.acquire(write());
    let handler = Handler::enter();
    assert!(lock.acquire(write()).is_err());
    drop(handler);
    lock.release();
}

#[test]
fn only_what_is_held_can_be_released() {
    let lock = map("unlock twice", Wait::SPIN);
    let _ = lock.acquire(write());
    lock.release();
    lock.release();
    assert_eq!(kinds("unlock twice"), [ReportKind::BadUnlock]);
    let text = text("unlock twice");
    assert!(
        text.contains("is trying to release lock (unlock twice) at:\n"),
        "{text}"
    );
    assert!(
        text.contains("but there are no more locks to release!"),
        "{text}"
    );
}

#[test]
fn a_lock_is_not_given_back_while_it_is_held() {
    let lock = Box::new(mutex("freed lock"));
    std::mem::forget(lock.lock().unwrap());
    drop(lock);
    assert_eq!(kinds("freed lock"), [ReportKind::HeldLockFreed]);
    assert!(text("freed lock").contains("with a lock still held there!"));
    assert!(!any_held());
}

#[test]
fn a_thread_ends_without_locks() {
    let lock = Arc::new(mutex("exit lock"));
    let other = Arc::clone(&lock);
    let thread = thread::Builder::new().name("forgetful".into());
    thread
        .spawn(move || std::mem::forget(other.lock().unwrap()))
        .unwrap()
        .join()
        .unwrap();
    assert_eq!(kinds("exit lock"), [ReportKind::StillHeld]);
    assert_eq!(reports("exit lock")[0].thread().0, "forgetful");
    let text = text("exit lock");
    assert!(
        text.contains("WARNING: forgetful/") && text.contains(" still has locks held!"),
        "{text}"
    );
}

#[test]
fn a_boundary_is_crossed_without_locks() {
    assert_no_locks_held();
    let lock = mutex("boundary lock");
    let held = lock.lock().unwrap();
    assert!(any_held());
    assert_no_locks_held();
    assert_eq!(kinds("boundary lock"), [ReportKind::StillHeld]);
    drop(held);
}

#[test]
fn what_is_said_of_a_lock_is_checked() {
    let lock = RwLock::named("asserted", ());
    {
        let _read = lock.read().unwrap();
        lock.assert_held();
        lock.assert_held_read();
        assert!(lock.is_held());
    }
    lock.assert_not_held();
    assert_eq!(kinds("asserted"), []);
    let _read = lock.read().unwrap();
    lock.assert_held_write();
    lock.assert_not_held();
    assert_eq!(kinds("asserted"), [ReportKind::Assertion; 2]);
    let text = text("asserted");
    assert!(
        text.contains("lockdep_assert_held_write(asserted)"),
        "{text}"
    );
    assert!(text.contains("tests/rules.rs:"), "{text}");
}

#[test]
fn a_pinned_lock_is_not_released() {
    let lock = map("pinned lock", Wait::SLEEP);
    let _ = lock.acquire(write());
    lock.pin();
    lock.unpin();
    lock.release();
    assert_eq!(kinds("pinned lock"), []);
    let _ = lock.acquire(write());
    lock.pin();
    assert!(lock.is_held());
    lock.release();
    assert_eq!(kinds("pinned lock"), [ReportKind::Assertion]);
    assert!(!lock.is_held());
}

#[test]
fn the_depth_that_can_be_followed_is_said_once() {
    let maps: Vec<LockMap> = (0..130)
        .map(|_| LockMap::with_class(DynamicClass::new("depth")))
        .collect();
    let guards: Vec<_> = maps.iter().map(LockMap::acquire).collect();
    drop(guards);
    assert_eq!(kinds("MAX_LOCK_DEPTH"), [ReportKind::Limit]);
    assert!(text("MAX_LOCK_DEPTH").contains("BUG: MAX_LOCK_DEPTH too low!"));
    assert!(!any_held());
}
