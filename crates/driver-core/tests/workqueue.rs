//! Work items: when they run, on which thread, who may wait for them, and what the lock validator makes of it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use driver_core::{DriverCore, ManualClock, SeededRng, Work, Workqueue};

const SOON: Duration = Duration::from_secs(20);

fn machine() -> (Arc<DriverCore>, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new());
    let core = DriverCore::new(clock.clone(), Arc::new(SeededRng::new(1)));
    (core, clock)
}

/// An item that says when it starts, and runs until it is told to end.
fn blocking() -> (Work, Receiver<String>, Sender<()>) {
    let (started_tx, started) = mpsc::channel();
    let (end, end_rx) = mpsc::channel();
    let work = Work::new("blocking_work", move |_held| {
        let name = std::thread::current().name().unwrap_or("").to_owned();
        started_tx.send(name).unwrap();
        let _ = end_rx.recv();
    });
    (work, started, end)
}

#[test]
fn an_item_runs_on_a_named_worker() {
    let (core, _clock) = machine();
    let (work, started, end) = blocking();
    assert!(core.system_wq().queue(&work));
    assert_eq!(started.recv_timeout(SOON).unwrap(), "kworker/u4:0");
    end.send(()).unwrap();
    core.system_wq().flush();
    assert!(!work.is_pending());
}

#[test]
fn queueing_twice_runs_once_but_again_while_running() {
    let (core, _clock) = machine();
    let wq = core.system_wq();
    let (work, started, end) = blocking();
    assert!(wq.queue(&work));
    started.recv_timeout(SOON).unwrap();
    // Running is not waiting: it may be queued once more.
    assert!(wq.queue(&work));
    assert!(!wq.queue(&work));
    assert!(work.is_pending());
    // It never runs twice at the same time.
    assert!(started.recv_timeout(Duration::from_millis(30)).is_err());
    end.send(()).unwrap();
    started.recv_timeout(SOON).unwrap();
    end.send(()).unwrap();
    wq.flush();
    assert!(started.try_recv().is_err());
}

#[test]
fn an_ordered_queue_runs_one_after_the_other() {
    let (core, _clock) = machine();
    let wq = Workqueue::alloc_ordered(core.workers(), "netns");
    let order = Arc::new(Mutex::new(Vec::new()));
    let running = Arc::new(AtomicUsize::new(0));
    let works: Vec<_> = (0..50)
        .map(|number| {
            let (order, running) = (Arc::clone(&order), Arc::clone(&running));
            Work::new("numbered_work", move |_held| {
                assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0);
                std::thread::yield_now();
                order.lock().unwrap().push(number);
                running.fetch_sub(1, Ordering::SeqCst);
            })
        })
        .collect();
    for work in &works {
        assert!(wq.queue(work));
    }
    wq.flush();
    assert_eq!(*order.lock().unwrap(), (0..50).collect::<Vec<_>>());
}

#[test]
fn an_unordered_queue_runs_what_waits_for_each_other() {
    let (core, _clock) = machine();
    let (first_tx, first_rx) = mpsc::channel();
    let (second_tx, second_rx) = mpsc::channel();
    let first = Work::new("first_work", move |_held| {
        second_rx.recv_timeout(SOON).unwrap();
        first_tx.send(()).unwrap();
    });
    let second = Work::new("second_work", move |_held| second_tx.send(()).unwrap());
    core.system_wq().queue(&first);
    core.system_wq().queue(&second);
    first_rx.recv_timeout(SOON).unwrap();
}

#[test]
fn flushing_waits_and_cancelling_removes() {
    let (core, _clock) = machine();
    let wq = Workqueue::alloc_ordered(core.workers(), "cancel");
    let (work, started, end) = blocking();
    let ran = Arc::new(AtomicUsize::new(0));
    let behind = {
        let ran = Arc::clone(&ran);
        Work::new("behind_work", move |_held| {
            ran.fetch_add(1, Ordering::SeqCst);
        })
    };
    wq.queue(&work);
    wq.queue(&behind);
    started.recv_timeout(SOON).unwrap();
    assert!(behind.cancel_sync());
    assert!(!behind.cancel_sync());
    assert!(wq.queue(&behind));
    let waiter = std::thread::spawn(move || (behind.flush(), behind.flush()));
    std::thread::sleep(Duration::from_millis(20));
    assert!(!waiter.is_finished());
    end.send(()).unwrap();
    assert_eq!(waiter.join().unwrap(), (true, false));
    assert_eq!(ran.load(Ordering::SeqCst), 1);

    // Cancelling what runs waits for it, and keeps it from being queued meanwhile.
    wq.queue(&work);
    started.recv_timeout(SOON).unwrap();
    let canceller = {
        let work = work.clone();
        std::thread::spawn(move || work.cancel_sync())
    };
    while wq.queue(&work) {
        // The canceller has not begun.
        work.cancel();
        std::thread::yield_now();
    }
    assert!(!canceller.is_finished());
    end.send(()).unwrap();
    canceller.join().unwrap();
    assert!(wq.queue(&work));
    end.send(()).unwrap();
    wq.flush();
}

#[test]
fn a_delayed_item_waits_for_the_machines_time() {
    let (core, clock) = machine();
    let wq = core.system_wq();
    let runs = Arc::new(AtomicUsize::new(0));
    let work = {
        let runs = Arc::clone(&runs);
        Work::new("delayed_work", move |_held| {
            runs.fetch_add(1, Ordering::SeqCst);
        })
    };
    assert!(wq.queue_delayed(&work, Duration::from_millis(100)));
    assert!(!wq.queue_delayed(&work, Duration::from_millis(1)));
    assert!(!wq.queue(&work));
    clock.advance(Duration::from_millis(99));
    wq.flush();
    assert_eq!(runs.load(Ordering::SeqCst), 0);
    clock.advance(Duration::from_millis(1));
    wq.flush();
    assert_eq!(runs.load(Ordering::SeqCst), 1);

    // A new time replaces the old one; a flush does not wait for it; a cancel ends it.
    assert!(!wq.mod_delayed(&work, Duration::from_secs(1)));
    assert!(wq.mod_delayed(&work, Duration::from_secs(2)));
    clock.advance(Duration::from_millis(1500));
    wq.flush();
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    assert!(work.flush());
    assert_eq!(runs.load(Ordering::SeqCst), 2);
    assert!(wq.queue_delayed(&work, Duration::from_secs(1)));
    assert!(work.cancel_sync());
    clock.advance(Duration::from_secs(10));
    wq.flush();
    assert_eq!(runs.load(Ordering::SeqCst), 2);
}

#[test]
fn real_time_passes_by_itself() {
    let core = DriverCore::real_time(1);
    let (tx, rx) = mpsc::channel();
    let begin = core.clock().now();
    let clock = Arc::clone(core.clock());
    let work = Work::new("timed_work", move |_held| tx.send(clock.now()).unwrap());
    core.system_wq()
        .queue_delayed(&work, Duration::from_millis(30));
    let ran = rx.recv_timeout(SOON).unwrap();
    assert!(ran - begin >= Duration::from_millis(30));
}

#[test]
fn a_panic_is_logged_and_the_worker_lives_on() {
    let (core, _clock) = machine();
    let wq = Workqueue::alloc_ordered(core.workers(), "fragile");
    let mut first = true;
    let work = Work::new("fragile_work", move |_held| {
        assert!(!std::mem::take(&mut first), "this item is broken");
    });
    wq.queue(&work);
    wq.flush();
    assert_eq!(
        core.klog().text(),
        "[    0.000000] workqueue: fragile a_panic_is_logged_and_the_worker_lives_on panicked: \
         this item is broken\n"
    );
    wq.queue(&work);
    wq.flush();
    assert_eq!(core.klog().read(1).records.len(), 0);
}

#[test]
fn stopping_runs_what_is_queued_and_refuses_more() {
    let (core, clock) = machine();
    let wq = Workqueue::alloc_ordered(core.workers(), "last");
    let runs = Arc::new(AtomicUsize::new(0));
    let works: Vec<_> = (0..10)
        .map(|_| {
            let runs = Arc::clone(&runs);
            Work::new("last_work", move |_held| {
                runs.fetch_add(1, Ordering::SeqCst);
            })
        })
        .collect();
    for work in &works {
        wq.queue(work);
    }
    let late = works[0].clone();
    core.workers().stop();
    assert_eq!(runs.load(Ordering::SeqCst), 10);
    assert!(!wq.queue(&late));
    assert!(!wq.queue_delayed(&late, Duration::from_secs(1)));
    clock.advance(Duration::from_secs(2));
    wq.flush();
    assert_eq!(runs.load(Ordering::SeqCst), 10);
}

#[test]
fn a_machine_may_end_from_its_own_work() {
    struct Owner {
        done: Sender<()>,
        core: Mutex<Option<Arc<DriverCore>>>,
    }
    let (core, _clock) = machine();
    let (done, done_rx) = mpsc::channel();
    let owner = Arc::new(Owner {
        done,
        core: Mutex::new(Some(Arc::clone(&core))),
    });
    let work = Work::on("end_work", Arc::downgrade(&owner), |owner, _held| {
        drop(owner.core.lock().unwrap().take());
        owner.done.send(()).unwrap();
    });
    let wq = core.system_wq().clone();
    drop(core);
    wq.queue(&work);
    done_rx.recv_timeout(SOON).unwrap();
    assert!(!wq.queue(&work));
}
