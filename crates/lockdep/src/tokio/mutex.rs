//! `tokio::sync::Mutex` with its order checked.

use std::borrow::Cow;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use tokio::sync::TryLockError;

use super::guard::{self, Guard, OwnedGuard};
use crate::class::{Class, Map, Wait};
use crate::task;
use crate::thread::Mode;
use crate::timing::task_waits;

/// `tokio::sync::MutexGuard`.
pub type MutexGuard<'a, T> = Guard<tokio::sync::MutexGuard<'a, T>>;
/// `tokio::sync::OwnedMutexGuard`.
pub type OwnedMutexGuard<T> = OwnedGuard<tokio::sync::MutexGuard<'static, T>, Mutex<T>>;

/// `tokio::sync::Mutex` with its order checked.
pub struct Mutex<T> {
    map: Map,
    inner: tokio::sync::Mutex<T>,
}

impl<T> Mutex<T> {
    /// A mutex of the class of the calling line.
    #[track_caller]
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self {
            map: Map::new(Class::Site(Location::caller()), Wait::TASK),
            inner: tokio::sync::Mutex::const_new(value),
        }
    }

    /// A mutex of the class of all that are called `name`.
    #[must_use]
    pub const fn named(name: &'static str, value: T) -> Self {
        Self {
            map: Map::new(Class::Name(Cow::Borrowed(name)), Wait::TASK),
            inner: tokio::sync::Mutex::const_new(value),
        }
    }

    /// A mutex of a given class: `&'static ClassKey`, [`DynamicClass`](crate::DynamicClass) or [`Class`].
    #[must_use]
    pub fn with_class(class: impl Into<Class>, value: T) -> Self {
        Self {
            map: Map::of(class.into(), Wait::TASK),
            inner: tokio::sync::Mutex::const_new(value),
        }
    }

    /// Waits for the lock and takes it. Its order is checked when the future is first polled.
    #[track_caller]
    pub fn lock(&self) -> impl Future<Output = MutexGuard<'_, T>> {
        let site = Location::caller();
        async move {
            task::wait(&self.map, Mode::Write, site);
            let inner = task_waits!(
                &self.map,
                Mode::Write,
                site,
                self.inner.try_lock().ok(),
                self.inner.lock().await
            );
            self.guard(inner, Mode::Write, site)
        }
    }

    /// As [`lock`](Mutex::lock), if that needs no waiting.
    ///
    /// # Errors
    /// When it does.
    #[track_caller]
    pub fn try_lock(&self) -> Result<MutexGuard<'_, T>, TryLockError> {
        let inner = self.inner.try_lock()?;
        Ok(self.guard(inner, Mode::Write, Location::caller()))
    }

    /// As [`lock`](Mutex::lock), with a guard that keeps the lock alive.
    #[track_caller]
    pub fn lock_owned(self: Arc<Self>) -> impl Future<Output = OwnedMutexGuard<T>>
    where
        T: 'static,
    {
        let site = Location::caller();
        async move {
            // SAFETY: the guard that comes of it is put beside the `Arc`, and dropped before it.
            let lock = unsafe { guard::borrow(&self) };
            task::wait(&lock.map, Mode::Write, site);
            let inner = task_waits!(
                &lock.map,
                Mode::Write,
                site,
                lock.inner.try_lock().ok(),
                lock.inner.lock().await
            );
            let guard = lock.guard(inner, Mode::Write, site);
            OwnedGuard { guard, _lock: self }
        }
    }

    /// As [`try_lock`](Mutex::try_lock), with a guard that keeps the lock alive.
    ///
    /// # Errors
    /// When the lock is not free.
    #[track_caller]
    pub fn try_lock_owned(self: Arc<Self>) -> Result<OwnedMutexGuard<T>, TryLockError>
    where
        T: 'static,
    {
        // SAFETY: the guard that comes of it is put beside the `Arc`, and dropped before it.
        let lock = unsafe { guard::borrow(&self) };
        let inner = lock.inner.try_lock()?;
        let guard = lock.guard(inner, Mode::Write, Location::caller());
        Ok(OwnedGuard { guard, _lock: self })
    }

    /// As [`lock`](Mutex::lock), outside of asynchronous code.
    ///
    /// # Panics
    /// In asynchronous code, as `tokio`'s.
    #[track_caller]
    pub fn blocking_lock(&self) -> MutexGuard<'_, T> {
        let site = Location::caller();
        task::wait(&self.map, Mode::Write, site);
        let inner = task_waits!(
            &self.map,
            Mode::Write,
            site,
            self.inner.try_lock().ok(),
            self.inner.blocking_lock()
        );
        self.guard(inner, Mode::Write, site)
    }

    /// The protected value, out of its lock.
    pub fn into_inner(self) -> T {
        self.inner.into_inner()
    }

    /// The protected value; the borrow proves that nobody else has it.
    pub fn get_mut(&mut self) -> &mut T {
        self.inner.get_mut()
    }

    fn guard<G>(&self, inner: G, mode: Mode, site: &'static Location<'static>) -> Guard<G> {
        let _hold = task::hold(&self.map, mode, site);
        Guard { _hold, inner }
    }
}

impl<T: Default> Default for Mutex<T> {
    #[track_caller]
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    #[track_caller]
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
