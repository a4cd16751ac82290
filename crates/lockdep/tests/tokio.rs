//! Tasks and the locks of `tokio`. The executor is the test itself, so that it says who is polled when, and where.

#![cfg(all(feature = "tokio", not(feature = "off")))]
#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;

use lockdep::raw::any_held;
use lockdep::signal::Handler;
use lockdep::task::track;
use lockdep::tokio::{Mutex, RwLock, Semaphore};
use lockdep::{Lockdep, ReportKind};

fn kinds(name: &str) -> Vec<ReportKind> {
    let reports = lockdep::reports();
    let about = reports
        .iter()
        .filter(|report| report.signature().contains(name));
    about.map(|report| report.kind()).collect()
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Runs a task that never really waits.
fn run<F: Future>(future: F) -> F::Output {
    let mut task = pin!(track(future));
    loop {
        if let Poll::Ready(output) = poll(task.as_mut()) {
            return output;
        }
    }
}

/// Lets others go first, once.
async fn give_way() {
    let mut first = true;
    poll_fn(|context| {
        context.waker().wake_by_ref();
        if std::mem::take(&mut first) {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
}

#[test]
fn tasks_invert() {
    let (a, b) = (Mutex::named("task a", 0), Mutex::named("task b", 0));
    run(async {
        let _a = a.lock().await;
        give_way().await;
        *b.lock().await += 1;
    });
    assert_eq!(kinds("task"), []);
    run(async {
        let _b = b.lock().await;
        *a.lock().await += 1;
    });
    assert_eq!(kinds("task"), [ReportKind::Circular]);
    assert_eq!((a.into_inner(), b.into_inner()), (1, 1));
}

#[test]
fn an_attempt_closes_no_cycle() {
    let (a, b) = (
        Mutex::named("attempt a", ()),
        RwLock::named("attempt b", ()),
    );
    run(async {
        let _a = a.lock().await;
        drop(b.write().await);
    });
    run(async {
        let _b = b.read().await;
        assert!(a.try_lock().is_ok());
        assert!(b.try_write().is_err());
    });
    assert_eq!(kinds("attempt"), []);
}

#[test]
fn what_a_task_holds_is_not_held_by_the_thread_and_goes_with_it() {
    let (a, b) = (Mutex::named("carried a", ()), Mutex::named("carried b", ()));
    let mut task = Box::pin(track(async {
        let _a = a.lock().await;
        assert!(any_held());
        give_way().await;
        assert!(any_held());
        drop(b.lock().await);
    }));
    assert!(poll(task.as_mut()).is_pending());
    assert!(!any_held());
    run(async { drop(b.lock().await) });
    thread::scope(|scope| {
        scope.spawn(|| assert!(poll(task.as_mut()).is_ready()));
    });
    let graph = lockdep::graph();
    let mut edges = graph.dependencies();
    assert!(edges.any(|edge| edge == ("carried a", "carried b")));
    assert_eq!(kinds("carried"), []);
}

#[test]
fn a_task_that_is_given_up_holds_nothing() {
    let (a, b) = (Mutex::named("gone a", ()), Mutex::named("gone b", ()));
    {
        let mut task = pin!(track(async {
            let _a = a.lock().await;
            let _b = b.lock().await;
            std::future::pending::<()>().await;
        }));
        assert!(poll(task.as_mut()).is_pending());
    }
    assert!(a.try_lock().is_ok() && b.try_lock().is_ok() && !any_held());
    assert_eq!(kinds("gone"), []);
    assert_eq!(kinds("bad unlock"), []);
}

#[test]
fn a_guard_may_be_dropped_by_another_task() {
    let (a, b) = (
        Arc::new(Mutex::named("given a", 1)),
        Mutex::named("given b", ()),
    );
    let slot = std::sync::Mutex::new(None);
    let mut giver = Box::pin(track(async {
        *slot.lock().unwrap() = Some(Arc::clone(&a).lock_owned().await);
        give_way().await;
        assert!(!any_held(), "another task released it");
        drop(b.lock().await);
    }));
    assert!(poll(giver.as_mut()).is_pending());
    run(async {
        let guard = slot.lock().unwrap().take().unwrap();
        assert_eq!(*guard, 1);
    });
    assert!(poll(giver.as_mut()).is_ready());
    drop(giver);
    let graph = lockdep::graph();
    assert!(
        !graph
            .dependencies()
            .any(|edge| edge == ("given a", "given b"))
    );
    assert!(a.try_lock().is_ok());
}

#[test]
fn a_blocking_lock_is_not_held_across_an_await() {
    let lock = lockdep::Mutex::named("across", ());
    run(async {
        {
            let _held = lock.lock().unwrap();
        }
        give_way().await;
        assert_eq!(kinds("across"), []);
        let held = lock.lock().unwrap();
        give_way().await;
        assert!(lock.is_held());
        drop(held);
    });
    assert_eq!(kinds("across"), [ReportKind::StillHeld]);
    assert!(!any_held());
}

#[test]
fn who_holds_a_blocking_lock_must_not_wait_for_that_of_a_task() {
    let (blocking, asynchronous) = (
        lockdep::Mutex::named("blocks", ()),
        Mutex::named("suspends", ()),
    );
    run(async {
        let _held = asynchronous.lock().await;
        drop(blocking.lock().unwrap());
    });
    assert_eq!(kinds("wait context: suspends"), []);
    {
        let _held = blocking.lock().unwrap();
        assert!(asynchronous.try_lock().is_ok());
    }
    assert_eq!(kinds("wait context: suspends"), []);
    {
        let _held = blocking.lock().unwrap();
        drop(asynchronous.blocking_lock());
    }
    assert_eq!(
        kinds("wait context: suspends"),
        [ReportKind::InvalidWaitContext]
    );
    let other = Mutex::named("in handler", ());
    let handler = Handler::enter();
    drop(other.blocking_lock());
    drop(handler);
    assert_eq!(
        kinds("wait context: in handler"),
        [ReportKind::InvalidWaitContext]
    );
}

#[test]
fn a_task_that_waits_for_itself_is_reported_and_waits() {
    let lock = Mutex::named("itself", ());
    let mut task = pin!(track(async {
        let _held = lock.lock().await;
        lock.lock().await
    }));
    assert!(poll(task.as_mut()).is_pending());
    assert_eq!(kinds("itself"), [ReportKind::Recursive]);
}

#[test]
fn readers_do_not_recurse() {
    let lock = Arc::new(RwLock::named("shared", 0));
    run(async {
        *Arc::clone(&lock).write_owned().await += 1;
        assert_eq!(*Arc::clone(&lock).try_read_owned().unwrap(), 1);
        let _one = lock.read().await;
        assert_eq!(kinds("shared"), []);
        let _other = lock.read().await;
    });
    assert_eq!(kinds("shared"), [ReportKind::Recursive]);
}

#[test]
fn permits_are_locks() {
    let (permits, lock) = (
        Arc::new(Semaphore::named("permits", 2)),
        Mutex::named("permits lock", ()),
    );
    run(async {
        let permit = permits.acquire().await.unwrap();
        drop(lock.lock().await);
        assert_eq!((permit.num_permits(), permits.available_permits()), (1, 1));
    });
    run(async {
        let _held = lock.lock().await;
        drop(Arc::clone(&permits).acquire_many_owned(2).await.unwrap());
    });
    assert_eq!(kinds("permits"), [ReportKind::Circular]);
    run(async { permits.acquire().await.unwrap().forget() });
    assert_eq!(permits.available_permits(), 1);
    permits.close();
    assert!(permits.is_closed() && run(permits.acquire()).is_err());
    assert!(!any_held());
}

#[test]
fn what_goes_on_at_once_in_a_task_is_tracked_apart() {
    let (a, b) = (Mutex::named("apart a", ()), Mutex::named("apart b", ()));
    run(async {
        let mut one = pin!(track(async {
            let _a = a.lock().await;
            give_way().await;
        }));
        let mut other = pin!(track(async {
            let _b = b.lock().await;
            give_way().await;
        }));
        poll_fn(|context| {
            assert!(one.as_mut().poll(context).is_pending());
            assert!(other.as_mut().poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
    });
    let graph = lockdep::graph();
    assert!(
        !graph
            .dependencies()
            .any(|edge| edge == ("apart a", "apart b"))
    );
}
