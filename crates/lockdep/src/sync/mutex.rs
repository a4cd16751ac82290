//! A mutual exclusion lock: `std::sync::Mutex` with its order checked.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::sync::{LockResult, PoisonError, TryLockError, TryLockResult};

use super::{WouldDeadlock, free};
use crate::class::{Class, Map, Wait};
use crate::thread::{self, Checked, Mode, Release, Request, ip};
use crate::timing;

/// `std::sync::Mutex`, poisoning included, whose order with other locks is checked on every acquisition.
///
/// A lock that is constructed with [`new`](Mutex::new) is of the class of its construction site: every lock made by that
/// line obeys the same order.
pub struct Mutex<T: ?Sized> {
    pub(super) map: Map,
    pub(super) inner: std::sync::Mutex<T>,
}

/// The right to use what a [`Mutex`] protects; ends the acquisition when dropped.
#[must_use = "the lock is released at once if the guard is not kept"]
pub struct MutexGuard<'a, T: ?Sized> {
    inner: Checked<'a, std::sync::MutexGuard<'a, T>>,
}

impl<T> Mutex<T> {
    /// A mutex of the class of the calling line.
    #[track_caller]
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self::from_map(
            Map::new(Class::Site(Location::caller()), Wait::SLEEP),
            value,
        )
    }

    /// A mutex of the class of all locks that are called `name`.
    #[must_use]
    pub const fn named(name: &'static str, value: T) -> Self {
        Self::from_map(
            Map::new(Class::Name(std::borrow::Cow::Borrowed(name)), Wait::SLEEP),
            value,
        )
    }

    /// A mutex of a given class: `&'static ClassKey`, [`DynamicClass`](crate::DynamicClass) or [`Class`].
    #[must_use]
    pub fn with_class(class: impl Into<Class>, value: T) -> Self {
        Self::from_map(Map::of(class.into(), Wait::SLEEP), value)
    }

    /// A mutex that is listed among the locks held but whose order is never checked
    /// (`include/linux/lockdep.h: lockdep_set_novalidate_class`).
    #[must_use]
    pub const fn novalidate(name: &'static str, value: T) -> Self {
        Self::from_map(
            Map::novalidate(Class::Name(std::borrow::Cow::Borrowed(name)), Wait::SLEEP),
            value,
        )
    }

    /// A lock of a class of which several may be held at once, if they are taken in the order of their addresses.
    #[must_use]
    pub fn by_address(class: impl Into<Class>, value: T) -> Self {
        Self::from_map(Map::by_address(class.into(), Wait::SLEEP), value)
    }

    /// A lock of a class of which several may be held at once, if those of smaller rank are taken first: the
    /// user's own comparison (`lock_set_cmp_fn`).
    ///
    /// # Panics
    /// When the rank is not less than 2^20 - 1.
    #[must_use]
    pub fn ranked(class: impl Into<Class>, rank: u32, value: T) -> Self {
        Self::from_map(Map::ranked(class.into(), Wait::SLEEP, rank), value)
    }

    pub(crate) const fn from_map(map: Map, value: T) -> Self {
        Self {
            map,
            inner: std::sync::Mutex::new(value),
        }
    }

    /// The protected value, out of its lock.
    ///
    /// # Errors
    /// The value in a [`PoisonError`] when a thread panicked while it held the lock.
    pub fn into_inner(self) -> LockResult<T> {
        self.inner.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits for the lock and takes it, after its order has been checked.
    ///
    /// # Errors
    /// The guard in a [`PoisonError`] when a thread panicked while it held the lock.
    ///
    /// # Panics
    /// When the calling thread holds this lock already: after the report, instead of waiting for itself for ever.
    #[track_caller]
    #[inline(always)]
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        let release = thread::acquire(&self.map, Mode::Write, Location::caller(), ip());
        match self.wait() {
            Ok(inner) => Ok(MutexGuard::from_parts(release, inner)),
            Err(poisoned) => Err(PoisonError::new(MutexGuard::from_parts(
                release,
                poisoned.into_inner(),
            ))),
        }
    }

    /// As [`lock`](Mutex::lock), but says so instead of panicking when the calling thread holds this lock already.
    ///
    /// # Errors
    /// [`WouldDeadlock`], after the report, when the calling thread would wait for itself for ever.
    #[track_caller]
    #[inline(always)]
    pub fn lock_or_deadlock(&self) -> Result<LockResult<MutexGuard<'_, T>>, WouldDeadlock> {
        let release = thread::try_acquire(
            &self.map,
            Request::wait(Mode::Write),
            Location::caller(),
            ip(),
        )?;
        Ok(match self.wait() {
            Ok(inner) => Ok(MutexGuard::from_parts(release, inner)),
            Err(poisoned) => Err(PoisonError::new(MutexGuard::from_parts(
                release,
                poisoned.into_inner(),
            ))),
        })
    }

    /// Takes the lock if it is free. Cannot wait, so it can close no cycle; locks taken under it are checked as usual.
    ///
    /// # Errors
    /// As `std::sync::Mutex::try_lock`.
    #[track_caller]
    #[inline(always)]
    pub fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        let taken = |inner| {
            let release = thread::acquired(&self.map, Mode::Write, Location::caller(), ip());
            MutexGuard::from_parts(release, inner)
        };
        match self.inner.try_lock() {
            Ok(inner) => Ok(taken(inner)),
            Err(TryLockError::Poisoned(poisoned)) => Err(TryLockError::Poisoned(PoisonError::new(
                taken(poisoned.into_inner()),
            ))),
            Err(TryLockError::WouldBlock) => Err(TryLockError::WouldBlock),
        }
    }

    /// Whether a thread panicked while it held the lock.
    pub fn is_poisoned(&self) -> bool {
        self.inner.is_poisoned()
    }

    /// Forgets that a thread panicked while it held the lock.
    pub fn clear_poison(&self) {
        self.inner.clear_poison();
    }

    /// The protected value; no locking is needed, the borrow proves that nobody else has it.
    ///
    /// # Errors
    /// The value in a [`PoisonError`] when a thread panicked while it held the lock.
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        self.inner.get_mut()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits for the lock that the validator has been asked for.
    #[inline(always)]
    pub(super) fn wait(&self) -> LockResult<std::sync::MutexGuard<'_, T>> {
        timing::waited(
            &self.map,
            || free(self.inner.try_lock()),
            || self.inner.lock(),
        )
    }
}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    #[inline(always)]
    pub(crate) fn into_parts(self) -> (Release<'a>, std::sync::MutexGuard<'a, T>) {
        self.inner.into_parts()
    }

    #[inline(always)]
    pub(crate) fn from_parts(release: Release<'a>, inner: std::sync::MutexGuard<'a, T>) -> Self {
        Self {
            inner: Checked::new(inner, release),
        }
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.inner, f)
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
