//! A condition variable for [`Mutex`](crate::Mutex).

use std::panic::Location;
use std::sync::{LockResult, PoisonError, WaitTimeoutResult};
use std::time::Duration;

use super::mutex::MutexGuard;
use crate::thread::{self, Mode, ip};

/// `std::sync::Condvar` for [`Mutex`](crate::Mutex). To wait is to release the mutex and to take it again, and is checked as that.
#[derive(Debug, Default)]
pub struct Condvar {
    inner: std::sync::Condvar,
}

impl Condvar {
    /// A condition variable that nobody waits for.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            inner: std::sync::Condvar::new(),
        }
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
        let result = self.inner.wait(inner);
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
        let result = self.inner.wait_timeout(inner, timeout);
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
        let result = self.inner.wait_timeout_while(inner, timeout, condition);
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
