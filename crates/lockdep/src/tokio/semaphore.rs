//! `tokio::sync::Semaphore` with its order checked.

use std::borrow::Cow;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use tokio::sync::{AcquireError, TryAcquireError};

use super::guard::{self, Guard, OwnedGuard};
use crate::class::{Class, Map, Wait};
use crate::task;
use crate::thread::Mode;
use crate::timing::task_waits;

/// `tokio::sync::SemaphorePermit`.
pub type SemaphorePermit<'a> = Guard<tokio::sync::SemaphorePermit<'a>>;
/// `tokio::sync::OwnedSemaphorePermit`.
pub type OwnedSemaphorePermit = OwnedGuard<tokio::sync::SemaphorePermit<'static>, Semaphore>;

/// `tokio::sync::Semaphore` with its order checked. Who holds permits and waits for more of them waits for others who may do
/// the same: to take permits is to take a lock, whichever number of them there is.
pub struct Semaphore {
    map: Map,
    inner: tokio::sync::Semaphore,
}

impl Semaphore {
    /// A semaphore of the class of the calling line.
    #[track_caller]
    #[must_use]
    pub const fn new(permits: usize) -> Self {
        Self {
            map: Map::new(Class::Site(Location::caller()), Wait::PERMIT),
            inner: tokio::sync::Semaphore::const_new(permits),
        }
    }

    /// A semaphore of the class of all that are called `name`.
    #[must_use]
    pub const fn named(name: &'static str, permits: usize) -> Self {
        Self {
            map: Map::new(Class::Name(Cow::Borrowed(name)), Wait::PERMIT),
            inner: tokio::sync::Semaphore::const_new(permits),
        }
    }

    /// A semaphore of a given class: `&'static ClassKey`, [`DynamicClass`](crate::DynamicClass) or [`Class`].
    #[must_use]
    pub fn with_class(class: impl Into<Class>, permits: usize) -> Self {
        Self {
            map: Map::of(class.into(), Wait::PERMIT),
            inner: tokio::sync::Semaphore::const_new(permits),
        }
    }

    /// Waits for a permit. Its order is checked when the future is first polled.
    ///
    /// # Errors
    /// When the semaphore is closed.
    #[track_caller]
    pub fn acquire(&self) -> impl Future<Output = Result<SemaphorePermit<'_>, AcquireError>> {
        let site = Location::caller();
        async move {
            task::wait(&self.map, Mode::Read, site);
            let inner = task_waits!(
                &self.map,
                Mode::Read,
                site,
                self.inner.try_acquire().ok().map(Ok),
                self.inner.acquire().await
            )?;
            Ok(self.guard(inner, Mode::Read, site))
        }
    }

    /// As [`acquire`](Semaphore::acquire), if that needs no waiting.
    ///
    /// # Errors
    /// When it does, or the semaphore is closed.
    #[track_caller]
    pub fn try_acquire(&self) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        let inner = self.inner.try_acquire()?;
        Ok(self.guard(inner, Mode::Read, Location::caller()))
    }

    /// As [`acquire`](Semaphore::acquire), with a guard that keeps the lock alive.
    ///
    /// # Errors
    /// When the semaphore is closed.
    #[track_caller]
    pub fn acquire_owned(
        self: Arc<Self>,
    ) -> impl Future<Output = Result<OwnedSemaphorePermit, AcquireError>> {
        let site = Location::caller();
        async move {
            // SAFETY: the guard that comes of it is put beside the `Arc`, and dropped before it.
            let lock = unsafe { guard::borrow(&self) };
            task::wait(&lock.map, Mode::Read, site);
            let inner = task_waits!(
                &lock.map,
                Mode::Read,
                site,
                lock.inner.try_acquire().ok().map(Ok),
                lock.inner.acquire().await
            )?;
            let guard = lock.guard(inner, Mode::Read, site);
            Ok(OwnedGuard { guard, _lock: self })
        }
    }

    /// As [`try_acquire`](Semaphore::try_acquire), with a guard that keeps the lock alive.
    ///
    /// # Errors
    /// When the lock is not free, or the semaphore is closed.
    #[track_caller]
    pub fn try_acquire_owned(self: Arc<Self>) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        // SAFETY: the guard that comes of it is put beside the `Arc`, and dropped before it.
        let lock = unsafe { guard::borrow(&self) };
        let inner = lock.inner.try_acquire()?;
        let guard = lock.guard(inner, Mode::Read, Location::caller());
        Ok(OwnedGuard { guard, _lock: self })
    }

    /// Waits for several permits. Its order is checked when the future is first polled.
    ///
    /// # Errors
    /// When the semaphore is closed.
    #[track_caller]
    pub fn acquire_many(
        &self,
        permits: u32,
    ) -> impl Future<Output = Result<SemaphorePermit<'_>, AcquireError>> {
        let site = Location::caller();
        async move {
            task::wait(&self.map, Mode::Read, site);
            let inner = task_waits!(
                &self.map,
                Mode::Read,
                site,
                self.inner.try_acquire_many(permits).ok().map(Ok),
                self.inner.acquire_many(permits).await
            )?;
            Ok(self.guard(inner, Mode::Read, site))
        }
    }

    /// As [`acquire_many`](Semaphore::acquire_many), if that needs no waiting.
    ///
    /// # Errors
    /// When it does, or the semaphore is closed.
    #[track_caller]
    pub fn try_acquire_many(&self, permits: u32) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        let inner = self.inner.try_acquire_many(permits)?;
        Ok(self.guard(inner, Mode::Read, Location::caller()))
    }

    /// As [`acquire_many`](Semaphore::acquire_many), with a guard that keeps the lock alive.
    ///
    /// # Errors
    /// When the semaphore is closed.
    #[track_caller]
    pub fn acquire_many_owned(
        self: Arc<Self>,
        permits: u32,
    ) -> impl Future<Output = Result<OwnedSemaphorePermit, AcquireError>> {
        let site = Location::caller();
        async move {
            // SAFETY: the guard that comes of it is put beside the `Arc`, and dropped before it.
            let lock = unsafe { guard::borrow(&self) };
            task::wait(&lock.map, Mode::Read, site);
            let inner = task_waits!(
                &lock.map,
                Mode::Read,
                site,
                lock.inner.try_acquire_many(permits).ok().map(Ok),
                lock.inner.acquire_many(permits).await
            )?;
            let guard = lock.guard(inner, Mode::Read, site);
            Ok(OwnedGuard { guard, _lock: self })
        }
    }

    /// As [`try_acquire_many`](Semaphore::try_acquire_many), with a guard that keeps the lock alive.
    ///
    /// # Errors
    /// When the lock is not free, or the semaphore is closed.
    #[track_caller]
    pub fn try_acquire_many_owned(
        self: Arc<Self>,
        permits: u32,
    ) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        // SAFETY: the guard that comes of it is put beside the `Arc`, and dropped before it.
        let lock = unsafe { guard::borrow(&self) };
        let inner = lock.inner.try_acquire_many(permits)?;
        let guard = lock.guard(inner, Mode::Read, Location::caller());
        Ok(OwnedGuard { guard, _lock: self })
    }

    /// How many permits can be had.
    pub fn available_permits(&self) -> usize {
        self.inner.available_permits()
    }

    /// Adds permits.
    ///
    /// # Panics
    /// When there are more than `tokio::sync::Semaphore::MAX_PERMITS`.
    pub fn add_permits(&self, permits: usize) {
        self.inner.add_permits(permits);
    }

    /// Takes away up to so many permits; says how many it were.
    pub fn forget_permits(&self, permits: usize) -> usize {
        self.inner.forget_permits(permits)
    }

    /// No permit can be had from now on.
    pub fn close(&self) {
        self.inner.close();
    }

    /// Whether it is closed.
    pub fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    fn guard<G>(&self, inner: G, mode: Mode, site: &'static Location<'static>) -> Guard<G> {
        let _hold = task::hold(&self.map, mode, site);
        Guard { _hold, inner }
    }
}

impl Guard<tokio::sync::SemaphorePermit<'_>> {
    /// The permits are not given back.
    pub fn forget(self) {
        // The validator's hold ends nevertheless.
        self.inner.forget();
    }

    /// How many permits it is.
    pub fn num_permits(&self) -> usize {
        self.inner.num_permits()
    }
}

impl OwnedSemaphorePermit {
    /// The permits are not given back.
    pub fn forget(self) {
        self.guard.forget();
    }

    /// How many permits it is.
    pub fn num_permits(&self) -> usize {
        self.guard.num_permits()
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
