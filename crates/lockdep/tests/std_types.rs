//! The types of `std::sync`: that they do what `std`'s do, poisoning included, and what the validator sees of them.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use lockdep::mpsc::{self, RecvError, RecvTimeoutError, TryRecvError, TrySendError};
use lockdep::{
    Barrier, Condvar, LazyLock, Lockdep, Mutex, Once, OnceLock, ReportKind, RwLock, TryLockError,
};

fn kinds(name: &str) -> Vec<ReportKind> {
    let reports = lockdep::reports();
    let about = reports
        .iter()
        .filter(|report| report.signature().contains(name));
    about.map(|report| report.kind()).collect()
}

fn panics(f: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(f)).is_err()
}

#[test]
fn a_mutex_is_stds() {
    let mut lock = Mutex::from(1);
    assert_eq!(Mutex::<u8>::default().into_inner().unwrap(), 0);
    assert_eq!(
        format!("{lock:?}"),
        format!("{:?}", std::sync::Mutex::new(1))
    );
    {
        let held = lock.lock().unwrap();
        assert_eq!(format!("{held} {held:?}"), "1 1");
    }
    assert!(panics(|| {
        let _held = lock.lock().unwrap();
        panic!();
    }));
    assert!(lock.is_poisoned() && lock.lock().is_err() && lock.get_mut().is_err());
    assert!(matches!(lock.try_lock(), Err(TryLockError::Poisoned(_))));
    *lock.lock().unwrap_or_else(|error| error.into_inner()) = 2;
    lock.clear_poison();
    assert!(!lock.is_poisoned());
    *lock.get_mut().unwrap() += 1;
    let held = lock.lock().unwrap();
    assert!(matches!(lock.try_lock(), Err(TryLockError::WouldBlock)));
    drop(held);
    assert_eq!(lock.into_inner().unwrap(), 3);
}

#[test]
fn a_read_write_lock_is_stds() {
    let mut lock = RwLock::from(1);
    assert_eq!(RwLock::<u8>::default().into_inner().unwrap(), 0);
    assert_eq!(
        format!("{lock:?}"),
        format!("{:?}", std::sync::RwLock::new(1))
    );
    {
        let read = lock.read().unwrap();
        assert_eq!(format!("{read} {read:?}"), "1 1");
        assert!(matches!(lock.try_write(), Err(TryLockError::WouldBlock)));
    }
    assert!(panics(|| {
        let _held = lock.read().unwrap();
        panic!();
    }));
    assert!(!lock.is_poisoned(), "a reader poisons nothing");
    assert!(panics(|| {
        let _held = lock.write().unwrap();
        panic!();
    }));
    assert!(lock.is_poisoned() && lock.read().is_err() && lock.write().is_err());
    assert!(matches!(lock.try_read(), Err(TryLockError::Poisoned(_))));
    lock.clear_poison();
    *lock.get_mut().unwrap() += 1;
    let write = lock.write().unwrap();
    assert_eq!(format!("{write} {write:?}"), "2 2");
    assert!(matches!(lock.try_read(), Err(TryLockError::WouldBlock)));
    drop(write);
    assert_eq!(lock.into_inner().unwrap(), 2);
}

#[test]
fn a_condition_variable_is_stds() {
    let (lock, changed) = (Mutex::new(0), Condvar::default());
    assert_eq!(format!("{changed:?}"), "Condvar { .. }");
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..3 {
                *lock.lock().unwrap() += 1;
                changed.notify_all();
            }
        });
        let held = changed.wait_while(lock.lock().unwrap(), |count| *count < 3);
        assert_eq!(*held.unwrap(), 3);
    });
    let moment = Duration::from_millis(1);
    let (held, result) = changed.wait_timeout(lock.lock().unwrap(), moment).unwrap();
    assert!(result.timed_out());
    let (held, result) = changed.wait_timeout_while(held, moment, |_| true).unwrap();
    assert!(result.timed_out() && *held == 3);
}

#[test]
fn once_is_once() {
    static START: Once = Once::new();
    let mut count = 0;
    START.call_once(|| count += 1);
    START.call_once(|| count += 1);
    assert!(START.is_completed() && count == 1);
    assert!(!START.is_held());

    let failed = Once::named("once that fails");
    assert!(panics(|| failed.call_once(|| panic!())));
    assert!(panics(|| failed.call_once(|| ())), "poisoned");
    failed.call_once_force(|state| assert!(state.is_poisoned()));
    assert!(failed.is_completed());
}

#[test]
fn a_cell_is_filled_once() {
    let mut cell = OnceLock::new();
    assert_eq!(
        (cell.get(), format!("{cell:?}")),
        (None, "OnceLock(<uninit>)".into())
    );
    assert_eq!(cell.get_or_init(|| 1), &1);
    assert_eq!((cell.set(2), cell.get()), (Err(2), Some(&1)));
    assert_eq!(cell.clone(), cell);
    assert_eq!(cell, OnceLock::from(1));
    *cell.get_mut().unwrap() = 3;
    assert_eq!((cell.take(), cell.take()), (Some(3), None));
    assert_eq!((cell.set(4), cell.into_inner()), (Ok(()), Some(4)));
    let cell = OnceLock::<u8>::default();
    assert!(panics(|| {
        cell.get_or_init(|| panic!());
    }));
    assert_eq!(cell.get_or_init(|| 5), &5, "not poisoned");
}

#[test]
fn a_lazy_value_is_made_when_wanted() {
    static VALUE: LazyLock<Vec<u8>> = LazyLock::new(|| vec![1, 2]);
    assert_eq!(format!("{VALUE:?}"), "LazyLock(<uninit>)");
    assert_eq!((VALUE.len(), LazyLock::force(&VALUE).len()), (2, 2));
    assert_eq!(**LazyLock::<String>::default(), *"");
    let failed: LazyLock<u8> = LazyLock::new(|| panic!());
    assert!(panics(|| {
        LazyLock::force(&failed);
    }));
    assert!(panics(|| {
        LazyLock::force(&failed);
    }));
}

#[test]
fn a_barrier_has_one_leader() {
    let barrier = Barrier::new(3);
    let leaders = thread::scope(|scope| {
        let threads = [(); 3].map(|()| scope.spawn(|| barrier.wait().is_leader()));
        threads.map(|thread| thread.join().unwrap())
    });
    assert_eq!(leaders.into_iter().filter(|&leader| leader).count(), 1);
}

#[test]
fn channels_are_stds() {
    let (sender, receiver) = mpsc::channel();
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    let moment = Duration::from_millis(1);
    assert_eq!(
        receiver.recv_timeout(moment),
        Err(RecvTimeoutError::Timeout)
    );
    thread::spawn({
        let sender = sender.clone();
        move || (1..5).for_each(|n| sender.send(n).unwrap())
    });
    assert_eq!(receiver.iter().take(3).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(receiver.recv(), Ok(4));
    sender.send(5).unwrap();
    assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [5]);
    drop(sender);
    assert_eq!(receiver.recv(), Err(RecvError));
    assert_eq!(receiver.into_iter().next(), None);

    let (sender, receiver) = mpsc::sync_channel(1);
    sender.try_send(1).unwrap();
    assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
    thread::scope(|scope| {
        let sender = sender.clone();
        scope.spawn(move || sender.send(2).unwrap());
        assert_eq!((&receiver).into_iter().take(2).collect::<Vec<_>>(), [1, 2]);
    });
    drop(receiver);
    assert!(sender.send(3).is_err());
}

#[test]
fn they_are_as_safe_to_share_and_to_unwind_through() {
    fn all<T: Send + Sync + UnwindSafe + RefUnwindSafe>() {}
    all::<Mutex<u8>>();
    all::<RwLock<u8>>();
    all::<Condvar>();
    all::<Once>();
    all::<OnceLock<u8>>();
    all::<LazyLock<u8>>();
    all::<Barrier>();
    fn sent<T: Send>() {}
    sent::<mpsc::Sender<u8>>();
    sent::<mpsc::SyncSender<u8>>();
    sent::<mpsc::Receiver<u8>>();
}

#[test]
#[cfg_attr(feature = "off", ignore = "nothing is checked")]
fn an_initialiser_that_takes_a_lock_of_who_wants_the_value_is_an_inversion() {
    let lock = Mutex::named("lazy lock", ());
    let value = OnceLock::named("lazy value");
    let other = OnceLock::named("lazy value");
    value.get_or_init(|| drop(lock.lock().unwrap()));
    assert_eq!(kinds("lazy lock"), []);
    let _held = lock.lock().unwrap();
    value.get().unwrap();
    value.get_or_init(|| ());
    assert_eq!(kinds("lazy lock"), [], "nobody waits for what is there");
    other.get_or_init(|| ());
    assert_eq!(kinds("lazy lock"), [ReportKind::Circular]);
}

#[test]
#[cfg_attr(feature = "off", ignore = "nothing is checked")]
fn an_initialiser_that_wants_its_own_value_is_told() {
    static VALUE: LazyLock<u8> = LazyLock::named("own lazy", || *VALUE);
    assert!(panics(|| {
        LazyLock::force(&VALUE);
    }));
    let cell = OnceLock::named("own cell");
    assert!(panics(|| {
        cell.get_or_init(|| *cell.get_or_init(|| 1));
    }));
    let once = Once::named("own once");
    assert!(panics(|| once.call_once(|| once.call_once(|| ()))));
    for name in ["own lazy", "own cell", "own once"] {
        assert_eq!(kinds(name), [ReportKind::Recursive], "{name}");
    }
}

#[test]
#[cfg_attr(feature = "off", ignore = "nothing is checked")]
fn who_promises_a_message_must_not_want_what_the_receiver_holds() {
    let lock = Mutex::named("mail lock", ());
    let (sender, receiver) = mpsc::channel();
    let send = |promised: bool| {
        let _promise = promised.then(|| sender.promise());
        drop(lock.lock().unwrap());
        sender.send(()).unwrap();
    };
    let receive = || {
        let _held = lock.lock().unwrap();
        receiver.recv().unwrap();
    };
    send(false);
    receive();
    assert_eq!(
        kinds("mail"),
        [],
        "without a promise, nobody knows who sends"
    );
    send(true);
    receive();
    assert_eq!(kinds("mail"), [ReportKind::Circular]);
}

#[test]
#[cfg_attr(feature = "off", ignore = "nothing is checked")]
fn who_promises_to_receive_must_not_want_what_a_sender_holds() {
    let lock = Mutex::named("room lock", ());
    let (sender, receiver) = mpsc::sync_channel(4);
    {
        let _held = lock.lock().unwrap();
        sender.send(()).unwrap();
    }
    assert_eq!(kinds("room lock"), []);
    {
        let _promise = receiver.promise();
        drop(lock.lock().unwrap());
        receiver.recv().unwrap();
    }
    assert_eq!(kinds("room lock"), [ReportKind::Circular]);
    let (unbounded, _receiver) = mpsc::channel();
    let _held = lock.lock().unwrap();
    unbounded.send(()).unwrap();
    assert_eq!(kinds("room lock").len(), 1);
}

#[test]
#[cfg_attr(feature = "off", ignore = "nothing is checked")]
fn who_promises_to_come_must_not_want_what_is_held_at_the_barrier() {
    let lock = Mutex::named("gate lock", ());
    let barrier = Barrier::named("gate", 1);
    for _ in 0..2 {
        let _promise = barrier.promise();
        barrier.wait();
        assert!(lock.try_lock().is_ok());
    }
    {
        let _promise = barrier.promise();
        drop(lock.lock().unwrap());
        barrier.wait();
    }
    assert_eq!(kinds("gate"), [], "to come is no inversion");
    let _held = lock.lock().unwrap();
    barrier.wait();
    assert_eq!(kinds("gate"), [ReportKind::Circular]);
}

#[test]
#[cfg_attr(feature = "off", ignore = "nothing is checked")]
fn who_promises_to_notify_must_not_want_what_the_waiter_holds() {
    let (outer, lock) = (Mutex::named("bell outer", ()), Mutex::named("bell", false));
    let bell = Condvar::named("bell rings");
    thread::scope(|scope| {
        scope.spawn(|| {
            let _promise = bell.promise();
            drop(outer.lock().unwrap());
            *lock.lock().unwrap() = true;
            bell.notify_one();
        });
    });
    assert_eq!(
        kinds("bell"),
        [],
        "the mutex itself is released by who waits"
    );
    let _outer = outer.lock().unwrap();
    let moment = Duration::from_millis(1);
    drop(bell.wait_timeout(lock.lock().unwrap(), moment).unwrap());
    assert_eq!(kinds("bell"), [ReportKind::Circular]);
    let promise = bell.promise();
    drop(bell.wait_timeout(lock.lock().unwrap(), moment).unwrap());
    drop(promise);
    assert_eq!(
        kinds("bad unlock"),
        [],
        "a promise holds again after a wait"
    );
}

#[test]
#[cfg_attr(feature = "off", ignore = "nothing is checked")]
fn who_promises_to_end_must_not_want_what_is_held_by_who_joins() {
    let lock = Mutex::named("join lock", ());
    let promising = || lockdep::thread::Builder::new().promise();
    let work = || drop(lock.lock().unwrap());
    lockdep::thread::scope(|scope| {
        let thread = lockdep::thread::Builder::new().spawn_scoped(scope, work);
        thread.unwrap().join().unwrap();
        let thread = promising().spawn_scoped(scope, work).unwrap();
        thread.join().unwrap();
    });
    assert_eq!(kinds("join lock"), []);
    let idle = promising().spawn(|| ()).unwrap();
    let _held = lock.lock().unwrap();
    idle.join().unwrap();
    assert_eq!(kinds("join lock"), [ReportKind::Circular]);
}

#[test]
#[cfg_attr(feature = "off", ignore = "nothing is checked")]
fn the_end_of_a_scope_is_a_wait() {
    let lock = Mutex::named("scope lock", ());
    let promising = || lockdep::thread::Builder::new().promise();
    let run = |work: &(dyn Fn() + Sync)| {
        lockdep::thread::scope(|scope| {
            promising().spawn_scoped(scope, work).unwrap();
        });
    };
    run(&|| drop(lock.lock().unwrap()));
    assert_eq!(kinds("scope lock"), []);
    let held = lock.lock().unwrap();
    // Long enough to be there still when the scope begins to wait for it.
    run(&|| thread::sleep(Duration::from_millis(200)));
    drop(held);
    assert_eq!(kinds("scope lock"), [ReportKind::Circular]);
}

#[test]
#[cfg_attr(feature = "off", ignore = "nothing is checked")]
fn a_line_of_workers_that_pass_on_what_they_receive_is_in_order() {
    let ends: Vec<_> = (0..4).map(|_| mpsc::channel()).collect();
    ends[0].0.send(1).unwrap();
    for (from, to) in ends.iter().zip(&ends[1..]) {
        let _promise = to.0.promise();
        to.0.send(from.1.recv().unwrap() + 1).unwrap();
    }
    assert_eq!(ends[3].1.recv(), Ok(4));
    assert_eq!(kinds("recursion: crates/lockdep/tests/std_types.rs"), []);
}
