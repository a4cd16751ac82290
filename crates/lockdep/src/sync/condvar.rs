//! A condition variable for [`Mutex`](crate::Mutex).

use std::fmt;
use std::panic::Location;
use std::sync::{LockResult, PoisonError, WaitTimeoutResult};
use std::time::Duration;

use super::event::Event;
use super::lock_map::LockMapGuard;
use super::mutex::MutexGuard;
use crate::class::Class;
use crate::thread::{self, Mode, ip};

/// `std::sync::Condvar` for [`Mutex`](crate::Mutex). To wait is to release the mutex and to take it again, and is checked as that.
/// A wait with another lock held that a thread takes which has [promised](Condvar::promise) to notify is an inversion.
pub struct Condvar {
    event: Event,
    inner: std::sync::Condvar,
}

impl Condvar {
    /// A condition variable that nobody waits for, of the class of the calling line.
    #[track_caller]
    #[must_use]
    pub const fn new() -> Self {
        Self {
            event: Event::new(Class::Site(Location::caller())),
            inner: std::sync::Condvar::new(),
        }
    }

    /// A condition variable that nobody waits for, of the class of all that are called `name`.
    #[must_use]
    pub const fn named(name: &'static str) -> Self {
        Self {
            event: Event::new(Class::Name(std::borrow::Cow::Borrowed(name))),
            inner: std::sync::Condvar::new(),
        }
    }

    /// As long as the promise lives, the calling thread is one that will notify: who waits here waits for what it waits for.
    #[track_caller]
    pub fn promise(&self) -> LockMapGuard<'_> {
        self.event.promise()
    }

    /// Releases the mutex, waits to be notified, and takes the mutex again.
    ///
    /// # Errors
    /// The guard in a [`PoisonError`] when a thread panicked while it held the mutex.
    #[track_caller]
    #[inline]
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        let site = Location::caller();
        let (release, inner) = guard.into_parts();
        let map = release.end();
        let result = self.event.wait(site, ip(), || self.inner.wait(inner));
        let release = thread::acquire(map, Mode::Write, site, ip());
        match result {
            Ok(inner) => Ok(MutexGuard::from_parts(release, inner)),
            Err(poisoned) => Err(PoisonError::new(MutexGuard::from_parts(
                release,
                poisoned.into_inner(),
            ))),
        }
    }

    /// Waits until `condition` says false.
    ///
    /// # Errors
    /// The guard in a [`PoisonError`] when a thread panicked while it held the mutex.
    #[track_caller]
    #[inline]
    pub fn wait_while<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<MutexGuard<'a, T>> {
        while condition(&mut guard) {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    /// Waits to be notified, at most for `timeout`.
    ///
    /// # Errors
    /// The guard in a [`PoisonError`] when a thread panicked while it held the mutex.
    #[track_caller]
    #[inline]
    pub fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let site = Location::caller();
        let (release, inner) = guard.into_parts();
        let map = release.end();
        let result = self
            .event
            .wait(site, ip(), || self.inner.wait_timeout(inner, timeout));
        let release = thread::acquire(map, Mode::Write, site, ip());
        match result {
            Ok((inner, timed_out)) => Ok((MutexGuard::from_parts(release, inner), timed_out)),
            Err(poisoned) => {
                let (inner, timed_out) = poisoned.into_inner();
                Err(PoisonError::new((
                    MutexGuard::from_parts(release, inner),
                    timed_out,
                )))
            }
        }
    }

    /// Waits until `condition` says false, at most for `timeout`.
    ///
    /// # Errors
    /// The guard in a [`PoisonError`] when a thread panicked while it held the mutex.
    #[track_caller]
    #[inline]
    pub fn wait_timeout_while<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
        condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let site = Location::caller();
        let (release, inner) = guard.into_parts();
        let map = release.end();
        let result = self.event.wait(site, ip(), || {
            self.inner.wait_timeout_while(inner, timeout, condition)
        });
        let release = thread::acquire(map, Mode::Write, site, ip());
        match result {
            Ok((inner, timed_out)) => Ok((MutexGuard::from_parts(release, inner), timed_out)),
            Err(poisoned) => {
                let (inner, timed_out) = poisoned.into_inner();
                Err(PoisonError::new((
                    MutexGuard::from_parts(release, inner),
                    timed_out,
                )))
            }
        }
    }

    /// Wakes one thread that waits.
    pub fn notify_one(&self) {
        self.inner.notify_one();
    }

    /// Wakes every thread that waits.
    pub fn notify_all(&self) {
        self.inner.notify_all();
    }
}

impl Default for Condvar {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.inner, f)
    }
}
