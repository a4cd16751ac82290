//! A raw mutex that reports to the validator.

use std::borrow::Cow;
use std::panic::Location;

use lock_api::{GuardNoSend, RawMutexFair, RawMutexTimed};

use super::map::RawMap;
use crate::class::Class;
use crate::thread::{Mode, Which};

/// The raw mutex `R` with its order checked, for `lock_api::Mutex` and `lock_api::ReentrantMutex`.
#[derive(Debug)]
pub struct RawMutex<R> {
    map: RawMap,
    inner: R,
}

impl<R: lock_api::RawMutex> RawMutex<R> {
    /// Of the class of the calling line.
    #[track_caller]
    #[must_use]
    pub const fn new() -> Self {
        Self::of(Class::Site(Location::caller()))
    }

    /// Of the class of all locks that are called `name`.
    #[must_use]
    pub const fn named(name: &'static str) -> Self {
        Self::of(Class::Name(Cow::Borrowed(name)))
    }

    /// Of a given class: `&'static ClassKey`, [`DynamicClass`](crate::DynamicClass) or [`Class`].
    #[must_use]
    pub fn with_class(class: impl Into<Class>) -> Self {
        Self::of(class.into())
    }

    const fn of(class: Class) -> Self {
        Self {
            map: RawMap::given(class),
            inner: R::INIT,
        }
    }
}

impl<R: lock_api::RawMutex> Default for RawMutex<R> {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: exclusion is the inner lock's; the validator only looks on.
unsafe impl<R: lock_api::RawMutex> lock_api::RawMutex for RawMutex<R> {
    const INIT: Self = Self {
        map: RawMap::first(),
        inner: R::INIT,
    };
    type GuardMarker = GuardNoSend;

    #[track_caller]
    #[inline]
    fn lock(&self) {
        self.map.wait(Mode::Write);
        self.map
            .take(|| self.inner.try_lock(), || self.inner.lock());
    }

    #[track_caller]
    #[inline]
    fn try_lock(&self) -> bool {
        self.map.attempt(Mode::Write, || self.inner.try_lock())
    }

    #[inline]
    unsafe fn unlock(&self) {
        self.map.release(Which::Newest);
        // SAFETY: the caller holds this lock, so the inner one is held.
        unsafe { self.inner.unlock() }
    }

    #[inline]
    fn is_locked(&self) -> bool {
        self.inner.is_locked()
    }
}

// SAFETY: as for `RawMutex`.
unsafe impl<R: RawMutexFair> RawMutexFair for RawMutex<R> {
    #[inline]
    unsafe fn unlock_fair(&self) {
        self.map.release(Which::Newest);
        // SAFETY: the caller holds this lock, so the inner one is held.
        unsafe { self.inner.unlock_fair() }
    }

    #[track_caller]
    #[inline]
    unsafe fn bump(&self) {
        self.map.release(Which::Newest);
        self.map.wait(Mode::Write);
        // SAFETY: the caller holds this lock, so the inner one is held.
        unsafe { self.inner.bump() }
    }
}

// SAFETY: as for `RawMutex`.
unsafe impl<R: RawMutexTimed> RawMutexTimed for RawMutex<R> {
    type Duration = R::Duration;
    type Instant = R::Instant;

    #[track_caller]
    #[inline]
    fn try_lock_for(&self, timeout: R::Duration) -> bool {
        let attempt = || self.inner.try_lock();
        let wait = || self.inner.try_lock_for(timeout);
        self.map.wait_bounded(Mode::Write, attempt, wait)
    }

    #[track_caller]
    #[inline]
    fn try_lock_until(&self, timeout: R::Instant) -> bool {
        let attempt = || self.inner.try_lock();
        let wait = || self.inner.try_lock_until(timeout);
        self.map.wait_bounded(Mode::Write, attempt, wait)
    }
}
