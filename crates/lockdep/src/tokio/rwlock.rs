//! `tokio::sync::RwLock` with its order checked.

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

/// `tokio::sync::RwLockReadGuard`.
pub type RwLockReadGuard<'a, T> = Guard<tokio::sync::RwLockReadGuard<'a, T>>;
/// `tokio::sync::RwLockWriteGuard`.
pub type RwLockWriteGuard<'a, T> = Guard<tokio::sync::RwLockWriteGuard<'a, T>>;
/// `tokio::sync::OwnedRwLockReadGuard`.
pub type OwnedRwLockReadGuard<T> = OwnedGuard<tokio::sync::RwLockReadGuard<'static, T>, RwLock<T>>;
/// `tokio::sync::OwnedRwLockWriteGuard`.
pub type OwnedRwLockWriteGuard<T> =
    OwnedGuard<tokio::sync::RwLockWriteGuard<'static, T>, RwLock<T>>;

/// `tokio::sync::RwLock` with its order checked. All wait in the order of their coming, so readers are non-recursive.
pub struct RwLock<T> {
    map: Map,
    inner: tokio::sync::RwLock<T>,
}

impl<T> RwLock<T> {
    /// A lock of the class of the calling line.
    #[track_caller]
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self {
            map: Map::new(Class::Site(Location::caller()), Wait::TASK),
            inner: tokio::sync::RwLock::const_new(value),
        }
    }

    /// A lock of the class of all that are called `name`.
    #[must_use]
    pub const fn named(name: &'static str, value: T) -> Self {
        Self {
            map: Map::new(Class::Name(Cow::Borrowed(name)), Wait::TASK),
            inner: tokio::sync::RwLock::const_new(value),
        }
    }

    /// A lock of a given class: `&'static ClassKey`, [`DynamicClass`](crate::DynamicClass) or [`Class`].
    #[must_use]
    pub fn with_class(class: impl Into<Class>, value: T) -> Self {
        Self {
            map: Map::of(class.into(), Wait::TASK),
            inner: tokio::sync::RwLock::const_new(value),
        }
    }

    /// Waits for the lock and takes it for reading. Its order is checked when the future is first polled.
    #[track_caller]
    pub fn read(&self) -> impl Future<Output = RwLockReadGuard<'_, T>> {
        let site = Location::caller();
        async move {
            task::wait(&self.map, Mode::Read, site);
            let inner = task_waits!(
                &self.map,
                Mode::Read,
                site,
                self.inner.try_read().ok(),
                self.inner.read().await
            );
            self.guard(inner, Mode::Read, site)
        }
    }

    /// As [`read`](RwLock::read), if that needs no waiting.
    ///
    /// # Errors
    /// When it does.
    #[track_caller]
    pub fn try_read(&self) -> Result<RwLockReadGuard<'_, T>, TryLockError> {
        let inner = self.inner.try_read()?;
        Ok(self.guard(inner, Mode::Read, Location::caller()))
    }

    /// As [`read`](RwLock::read), with a guard that keeps the lock alive.
    #[track_caller]
    pub fn read_owned(self: Arc<Self>) -> impl Future<Output = OwnedRwLockReadGuard<T>>
    where
        T: 'static,
    {
        let site = Location::caller();
        async move {
            // SAFETY: the guard that comes of it is put beside the `Arc`, and dropped before it.
            let lock = unsafe { guard::borrow(&self) };
            task::wait(&lock.map, Mode::Read, site);
            let inner = task_waits!(
                &lock.map,
                Mode::Read,
                site,
                lock.inner.try_read().ok(),
                lock.inner.read().await
            );
            let guard = lock.guard(inner, Mode::Read, site);
            OwnedGuard { guard, _lock: self }
        }
    }

    /// As [`try_read`](RwLock::try_read), with a guard that keeps the lock alive.
    ///
    /// # Errors
    /// When the lock is not free.
    #[track_caller]
    pub fn try_read_owned(self: Arc<Self>) -> Result<OwnedRwLockReadGuard<T>, TryLockError>
    where
        T: 'static,
    {
        // SAFETY: the guard that comes of it is put beside the `Arc`, and dropped before it.
        let lock = unsafe { guard::borrow(&self) };
        let inner = lock.inner.try_read()?;
        let guard = lock.guard(inner, Mode::Read, Location::caller());
        Ok(OwnedGuard { guard, _lock: self })
    }

    /// As [`read`](RwLock::read), outside of asynchronous code.
    ///
    /// # Panics
    /// In asynchronous code, as `tokio`'s.
    #[track_caller]
    pub fn blocking_read(&self) -> RwLockReadGuard<'_, T> {
        let site = Location::caller();
        task::wait(&self.map, Mode::Read, site);
        let inner = task_waits!(
            &self.map,
            Mode::Read,
            site,
            self.inner.try_read().ok(),
            self.inner.blocking_read()
        );
        self.guard(inner, Mode::Read, site)
    }

    /// Waits for the lock and takes it for writing. Its order is checked when the future is first polled.
    #[track_caller]
    pub fn write(&self) -> impl Future<Output = RwLockWriteGuard<'_, T>> {
        let site = Location::caller();
        async move {
            task::wait(&self.map, Mode::Write, site);
            let inner = task_waits!(
                &self.map,
                Mode::Write,
                site,
                self.inner.try_write().ok(),
                self.inner.write().await
            );
            self.guard(inner, Mode::Write, site)
        }
    }

    /// As [`write`](RwLock::write), if that needs no waiting.
    ///
    /// # Errors
    /// When it does.
    #[track_caller]
    pub fn try_write(&self) -> Result<RwLockWriteGuard<'_, T>, TryLockError> {
        let inner = self.inner.try_write()?;
        Ok(self.guard(inner, Mode::Write, Location::caller()))
    }

    /// As [`write`](RwLock::write), with a guard that keeps the lock alive.
    #[track_caller]
    pub fn write_owned(self: Arc<Self>) -> impl Future<Output = OwnedRwLockWriteGuard<T>>
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
                lock.inner.try_write().ok(),
                lock.inner.write().await
            );
            let guard = lock.guard(inner, Mode::Write, site);
            OwnedGuard { guard, _lock: self }
        }
    }

    /// As [`try_write`](RwLock::try_write), with a guard that keeps the lock alive.
    ///
    /// # Errors
    /// When the lock is not free.
    #[track_caller]
    pub fn try_write_owned(self: Arc<Self>) -> Result<OwnedRwLockWriteGuard<T>, TryLockError>
    where
        T: 'static,
    {
        // SAFETY: the guard that comes of it is put beside the `Arc`, and dropped before it.
        let lock = unsafe { guard::borrow(&self) };
        let inner = lock.inner.try_write()?;
        let guard = lock.guard(inner, Mode::Write, Location::caller());
        Ok(OwnedGuard { guard, _lock: self })
    }

    /// As [`write`](RwLock::write), outside of asynchronous code.
    ///
    /// # Panics
    /// In asynchronous code, as `tokio`'s.
    #[track_caller]
    pub fn blocking_write(&self) -> RwLockWriteGuard<'_, T> {
        let site = Location::caller();
        task::wait(&self.map, Mode::Write, site);
        let inner = task_waits!(
            &self.map,
            Mode::Write,
            site,
            self.inner.try_write().ok(),
            self.inner.blocking_write()
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

impl<T: Default> Default for RwLock<T> {
    #[track_caller]
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    #[track_caller]
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
