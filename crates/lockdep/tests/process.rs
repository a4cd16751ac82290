//! Where a program does what few programs do: forks with threads, takes locks in signal handlers and in the destructors of
//! thread-local values.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use lockdep::raw::{Acquire, LockdepMap};
use lockdep::signal::Handler;
use lockdep::{Class, DynamicClass, Mutex, ReportKind, Wait};

/// Two locks that nobody has taken before, one under the other.
fn learn() {
    let pair = [(); 2].map(|()| Mutex::with_class(DynamicClass::new("learnt"), ()));
    let _outer = pair[0].lock().unwrap();
    let _inner = pair[1].lock().unwrap();
}

#[test]
fn a_child_of_a_program_with_threads_goes_on() {
    let stop = Arc::new(AtomicBool::new(false));
    let busy: Vec<_> = (0..2)
        .map(|_| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    learn();
                }
            })
        })
        .collect();
    learn();
    let mut hung = 0;
    for _ in 0..40 {
        // SAFETY: the child calls nothing but the validator, the allocator, which the C library makes fit for use after a fork, and
        // `_exit`.
        match unsafe { libc::fork() } {
            0 => {
                // SAFETY: sets a timer: a child that waits for ever is killed.
                unsafe { libc::alarm(20) };
                learn();
                let reports = lockdep::reports();
                let mine = reports
                    .iter()
                    .any(|report| report.classes().contains(&"learnt"));
                // SAFETY: ends the child at once.
                unsafe { libc::_exit(i32::from(mine)) };
            }
            child => {
                let mut status = 0;
                // SAFETY: waits for the child just made; `status` outlives the call.
                assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
                hung += i32::from(status != 0);
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    for thread in busy {
        thread.join().unwrap();
    }
    assert_eq!(hung, 0, "children that did not end well");
}

#[test]
fn a_child_has_an_id_of_its_own_in_reports() {
    lockdep::set_handler(|_| ());
    learn(); // from now on the thread knows who it is
    // SAFETY: as above.
    match unsafe { libc::fork() } {
        0 => {
            let pair = [(); 2].map(|()| Mutex::named("both of a child", ()));
            let _outer = pair[0].lock();
            let _inner = pair[1].lock();
            let reports = lockdep::reports();
            let mine = reports
                .iter()
                .find(|report| report.classes().contains(&"both of a child"));
            let is_me = mine.is_some_and(|report| report.thread().1 == std::process::id() as i32);
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(i32::from(!is_me)) };
        }
        child => {
            let mut status = 0;
            // SAFETY: waits for the child just made; `status` outlives the call.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            assert_eq!(status, 0, "a report of the child names another thread");
        }
    }
}

static IN_HANDLER: LockdepMap = LockdepMap::new(
    Class::Name(std::borrow::Cow::Borrowed("of a handler")),
    Wait::SPIN,
);

extern "C" fn handle(_: libc::c_int) {
    let _handler = Handler::enter();
    let _ = IN_HANDLER.acquire(Acquire::default());
    IN_HANDLER.release();
}

#[test]
fn a_real_handler_is_told_apart_from_what_it_interrupts() {
    lockdep::set_handler(|_| ());
    // SAFETY: the handler is a function that lives for ever; the signal is raised on this thread only, outside the allocator.
    unsafe {
        libc::signal(libc::SIGUSR1, handle as *const () as libc::sighandler_t);
        libc::raise(libc::SIGUSR1);
    }
    let about = |kind| {
        let reports = lockdep::reports();
        reports
            .iter()
            .filter(|report| report.kind() == kind && report.classes() == ["of a handler"])
            .count()
    };
    assert_eq!(about(ReportKind::InconsistentState), 0);
    let _ = IN_HANDLER.acquire(Acquire::default());
    IN_HANDLER.release();
    assert_eq!(about(ReportKind::InconsistentState), 1);
}

#[test]
fn a_destructor_of_a_thread_local_value_may_lock() {
    static OUTER: Mutex<u32> = Mutex::named("destructor outer", 0);
    static INNER: Mutex<u32> = Mutex::named("destructor inner", 0);
    struct Last;
    impl Drop for Last {
        fn drop(&mut self) {
            let mut outer = OUTER.lock().unwrap();
            *INNER.lock().unwrap() += 1;
            *outer += 1;
        }
    }
    thread_local!(static LAST: Last = const { Last });
    for _ in 0..2 {
        // Once before the validator has met the thread, once after.
        thread::spawn(|| LAST.with(|_| ())).join().unwrap();
        thread::spawn(|| {
            LAST.with(|_| ());
            learn();
        })
        .join()
        .unwrap();
    }
    assert_eq!((*OUTER.lock().unwrap(), *INNER.lock().unwrap()), (4, 4));
    let known = lockdep::graph();
    assert!(
        known
            .dependencies()
            .any(|edge| edge == ("destructor outer", "destructor inner"))
    );
    let reports = lockdep::reports();
    assert!(
        !reports
            .iter()
            .any(|report| report.classes().contains(&"destructor outer"))
    );
}
