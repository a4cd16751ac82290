//! Asynchronous tasks: what a task holds goes with it from thread to thread.
//!
//! Between two polls, a thread runs other tasks. What a task holds then must not count as held by them, and must count
//! again when the task goes on, on whichever thread. [`track`] sees to that: give the executor `track(future)` instead of
//! `future`. Where one task does several things at once (`join!`, `select!`), track each of them, too: otherwise what the
//! one takes while the other holds something looks like taken under it.
//!
//! A lock for which a thread sleeps must not be held from one poll to the next: who waits for it stops a thread that the
//! task may need to go on. That is reported as [`StillHeld`](crate::ReportKind::StillHeld) at the end of the poll. And who
//! holds such a lock must not wait for the lock of a task ([`Wait::TASK`](crate::Wait::TASK)).

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use crate::chain::Word;
use crate::class::Map;
#[cfg(not(feature = "off"))]
use crate::thread::How;
use crate::thread::{self, HeldLock, Mode, Request, Which, ip};
use crate::timing;
use crate::warn;

/// What others do to a task's locks.
#[derive(Debug, Default)]
pub(crate) struct Owner {
    /// The locks of the task that were released outside of it.
    released: Mutex<Vec<usize>>,
}

thread_local! {
    /// The task that runs on the thread.
    static CURRENT: Cell<Option<Arc<Owner>>> = const { Cell::new(None) };
}

/// The task that runs on the thread.
fn current() -> Option<Arc<Owner>> {
    let running = |cell: &Cell<Option<Arc<Owner>>>| {
        let owner = cell.take();
        cell.set(owner.clone());
        owner
    };
    CURRENT.try_with(running).ok().flatten()
}

/// A task whose locks are its own.
#[must_use = "futures do nothing unless polled"]
pub struct Tracked<F> {
    /// Nothing only while it is dropped.
    future: Option<Pin<Box<F>>>,
    held: Vec<HeldLock>,
    owner: Arc<Owner>,
}

/// Makes a future a task of its own for the validator, which keeps what it holds apart from what the threads hold that poll it.
/// What a thread holds while it polls counts as held around the task.
pub fn track<F: Future>(future: F) -> Tracked<F> {
    Tracked {
        future: Some(Box::pin(future)),
        held: Vec::new(),
        owner: Arc::default(),
    }
}

impl<F: Future> Future for Tracked<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Self {
            future,
            held,
            owner,
        } = &mut *self;
        let running = Running::resume(held, owner);
        let future = future.as_mut().expect("there until it is dropped");
        let result = future.as_mut().poll(context);
        if result.is_pending() {
            running.look();
        }
        result
    }
}

impl<F> Drop for Tracked<F> {
    fn drop(&mut self) {
        // What the future holds is released by the task that holds it.
        let _running = Running::resume(&mut self.held, &self.owner);
        self.future = None;
    }
}

impl<F> fmt::Debug for Tracked<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracked")
            .field("held", &self.held.len())
            .finish_non_exhaustive()
    }
}

/// As long as it lives, the thread holds what the task holds.
struct Running<'a> {
    held: &'a mut Vec<HeldLock>,
    owner: &'a Arc<Owner>,
    /// How many locks the thread held before.
    base: usize,
    /// The task within which this one is polled.
    outer: Option<Arc<Owner>>,
}

impl<'a> Running<'a> {
    fn resume(held: &'a mut Vec<HeldLock>, owner: &'a Arc<Owner>) -> Self {
        owner.forget_released(held);
        let base = thread::with(|thread| {
            thread.register();
            let base = thread.depth();
            for lock in held.drain(..) {
                thread.push_again(&lock);
            }
            base
        });
        let outer = CURRENT
            .try_with(|cell| cell.replace(Some(Arc::clone(owner))))
            .ok()
            .flatten();
        Self {
            held,
            owner,
            base,
            outer,
        }
    }

    /// Reports what must not be held from one poll to the next.
    fn look(&self) {
        thread::with(|thread| {
            let own = thread.held().skip(self.base);
            if own.into_iter().any(|lock| !lock.word.has(Word::TASK)) {
                warn::held_across_await(thread, self.base);
            }
        });
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        thread::with(|thread| {
            self.held.extend(thread.held().skip(self.base));
            thread.truncate(self.base);
        });
        self.owner.forget_released(self.held);
        let _ = CURRENT.try_with(|cell| cell.set(self.outer.take()));
    }
}

impl Owner {
    fn forget_released(&self, held: &mut Vec<HeldLock>) {
        let mut released = self.released.lock().unwrap_or_else(PoisonError::into_inner);
        for address in released.drain(..) {
            if let Some(at) = held.iter().rposition(|lock| lock.is(address)) {
                held.remove(at);
            }
        }
    }
}

/// A task's hold on a lock for which tasks wait. It may be dropped on any thread, in any task.
#[derive(Debug)]
pub(crate) struct Hold {
    #[cfg(not(feature = "off"))]
    address: usize,
    /// Nothing if no task that the validator knows took the lock: then it is not followed.
    #[cfg(not(feature = "off"))]
    owner: Option<Arc<Owner>>,
    #[cfg(all(feature = "lock_stat", not(feature = "off")))]
    _time: timing::task::TaskHold,
}

/// Before a task waits for a lock, or a thread does.
#[inline]
pub(crate) fn wait(map: &Map, mode: Mode, site: &'static std::panic::Location<'static>) {
    // A task that waits for itself is reported. It is not the thread that waits, and perhaps not for ever.
    let seen = thread::try_acquire(map, Request::wait(mode), site, ip());
    timing::void(map);
    drop(seen);
}

/// After a lock was taken.
#[cfg(feature = "off")]
pub(crate) fn hold(_: &Map, _: Mode, _: &'static std::panic::Location<'static>) -> Hold {
    Hold {}
}

/// After a lock was taken.
#[cfg(not(feature = "off"))]
#[inline]
pub(crate) fn hold(map: &Map, mode: Mode, site: &'static std::panic::Location<'static>) -> Hold {
    let owner = current();
    if owner.is_some() {
        let request = Request {
            flags: mode as u64 | Word::TRY | Word::TASK,
            how: How::Try,
        };
        // Ended by the drop of the hold.
        std::mem::forget(thread::try_acquire(map, request, site, ip()));
        // It is the task that holds the lock, not the thread.
        timing::freed(map);
    }
    Hold {
        address: map.address(),
        owner,
        #[cfg(feature = "lock_stat")]
        _time: timing::task::TaskHold::begin(map, mode, site),
    }
}

#[cfg(not(feature = "off"))]
impl Drop for Hold {
    fn drop(&mut self) {
        let Some(owner) = &self.owner else {
            return;
        };
        if current().is_some_and(|current| Arc::ptr_eq(&current, owner)) {
            thread::with(|thread| thread.remove(self.address, Which::Newest));
        } else {
            let mut released = owner
                .released
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            released.push(self.address);
        }
    }
}
