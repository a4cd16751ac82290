//! A reader-writer lock: `std::sync::RwLock` with its order checked.
//!
//! `std`'s lock lets a waiting writer go first, so a second read by a thread that reads already can wait for a writer that
//! waits for the first read. Its readers are therefore the kernel's *non-recursive* ones, those of `rw_semaphore`.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::sync::{LockResult, PoisonError, TryLockError, TryLockResult};

use super::{WouldDeadlock, free};
use crate::class::{Class, Map, Wait};
use crate::thread::{self, Checked, Mode, Release, Request, ip};
use crate::timing;

/// `std::sync::RwLock`, poisoning included, whose order with other locks is checked on every acquisition.
pub struct RwLock<T: ?Sized> {
    pub(super) map: Map,
    pub(super) inner: std::sync::RwLock<T>,
}

/// The right to read what an [`RwLock`] protects; ends the acquisition when dropped.
#[must_use = "the lock is released at once if the guard is not kept"]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    inner: Checked<'a, std::sync::RwLockReadGuard<'a, T>>,
}

/// The right to change what an [`RwLock`] protects; ends the acquisition when dropped.
#[must_use = "the lock is released at once if the guard is not kept"]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    inner: Checked<'a, std::sync::RwLockWriteGuard<'a, T>>,
}

impl<T> RwLock<T> {
    /// A lock of the class of the calling line.
    #[track_caller]
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self::from_map(
            Map::new(Class::Site(Location::caller()), Wait::SLEEP),
            value,
        )
    }

    /// A lock of the class of all locks that are called `name`.
    #[must_use]
    pub const fn named(name: &'static str, value: T) -> Self {
        Self::from_map(
            Map::new(Class::Name(std::borrow::Cow::Borrowed(name)), Wait::SLEEP),
            value,
        )
    }

    /// A lock of a given class: `&'static ClassKey`, [`DynamicClass`](crate::DynamicClass) or [`Class`].
    #[must_use]
    pub fn with_class(class: impl Into<Class>, value: T) -> Self {
        Self::from_map(Map::of(class.into(), Wait::SLEEP), value)
    }

    /// A lock that is listed among the locks held but whose order is never checked
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
            inner: std::sync::RwLock::new(value),
        }
    }

    /// The protected value, out of its lock.
    ///
    /// # Errors
    /// The value in a [`PoisonError`] when a thread panicked while it held the lock for writing.
    pub fn into_inner(self) -> LockResult<T> {
        self.inner.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits for the lock and takes it for reading, after its order has been checked.
    ///
    /// # Errors
    /// The guard in a [`PoisonError`] when a thread panicked while it held the lock for writing.
    ///
    /// # Panics
    /// When the calling thread holds this lock for writing: after the report, instead of waiting for itself for ever.
    #[track_caller]
    #[inline(always)]
    pub fn read(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        let release = thread::acquire(&self.map, Mode::Read, Location::caller(), ip());
        self.finish_read(release)
    }

    /// As [`read`](RwLock::read), but says so instead of panicking when the calling thread would wait for itself.
    ///
    /// # Errors
    /// [`WouldDeadlock`], after the report.
    #[track_caller]
    #[inline(always)]
    pub fn read_or_deadlock(&self) -> Result<LockResult<RwLockReadGuard<'_, T>>, WouldDeadlock> {
        let release = thread::try_acquire(
            &self.map,
            Request::wait(Mode::Read),
            Location::caller(),
            ip(),
        )?;
        Ok(self.finish_read(release))
    }

    /// Waits for the lock and takes it for writing, after its order has been checked.
    ///
    /// # Errors
    /// The guard in a [`PoisonError`] when a thread panicked while it held the lock for writing.
    ///
    /// # Panics
    /// When the calling thread holds this lock already: after the report, instead of waiting for itself for ever.
    #[track_caller]
    #[inline(always)]
    pub fn write(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        let release = thread::acquire(&self.map, Mode::Write, Location::caller(), ip());
        self.finish_write(release)
    }

    /// As [`write`](RwLock::write), but says so instead of panicking when the calling thread would wait for itself.
    ///
    /// # Errors
    /// [`WouldDeadlock`], after the report.
    #[track_caller]
    #[inline(always)]
    pub fn write_or_deadlock(&self) -> Result<LockResult<RwLockWriteGuard<'_, T>>, WouldDeadlock> {
        let release = thread::try_acquire(
            &self.map,
            Request::wait(Mode::Write),
            Location::caller(),
            ip(),
        )?;
        Ok(self.finish_write(release))
    }

    /// Takes the lock for reading if that needs no waiting.
    ///
    /// # Errors
    /// As `std::sync::RwLock::try_read`.
    #[track_caller]
    #[inline(always)]
    pub fn try_read(&self) -> TryLockResult<RwLockReadGuard<'_, T>> {
        let taken = |inner| {
            let release = thread::acquired(&self.map, Mode::Read, Location::caller(), ip());
            RwLockReadGuard {
                inner: Checked::new(inner, release),
            }
        };
        match self.inner.try_read() {
            Ok(inner) => Ok(taken(inner)),
            Err(TryLockError::Poisoned(poisoned)) => Err(TryLockError::Poisoned(PoisonError::new(
                taken(poisoned.into_inner()),
            ))),
            Err(TryLockError::WouldBlock) => Err(TryLockError::WouldBlock),
        }
    }

    /// Takes the lock for writing if that needs no waiting.
    ///
    /// # Errors
    /// As `std::sync::RwLock::try_write`.
    #[track_caller]
    #[inline(always)]
    pub fn try_write(&self) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        let taken = |inner| {
            let release = thread::acquired(&self.map, Mode::Write, Location::caller(), ip());
            RwLockWriteGuard {
                inner: Checked::new(inner, release),
            }
        };
        match self.inner.try_write() {
            Ok(inner) => Ok(taken(inner)),
            Err(TryLockError::Poisoned(poisoned)) => Err(TryLockError::Poisoned(PoisonError::new(
                taken(poisoned.into_inner()),
            ))),
            Err(TryLockError::WouldBlock) => Err(TryLockError::WouldBlock),
        }
    }

    /// Whether a thread panicked while it held the lock for writing.
    pub fn is_poisoned(&self) -> bool {
        self.inner.is_poisoned()
    }

    /// Forgets that a thread panicked while it held the lock for writing.
    pub fn clear_poison(&self) {
        self.inner.clear_poison();
    }

    /// The protected value; no locking is needed, the borrow proves that nobody else has it.
    ///
    /// # Errors
    /// The value in a [`PoisonError`] when a thread panicked while it held the lock for writing.
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        self.inner.get_mut()
    }

    #[inline(always)]
    pub(super) fn finish_read<'a>(
        &'a self,
        release: Release<'a>,
    ) -> LockResult<RwLockReadGuard<'a, T>> {
        let taken = timing::waited(
            &self.map,
            || free(self.inner.try_read()),
            || self.inner.read(),
        );
        match taken {
            Ok(inner) => Ok(RwLockReadGuard {
                inner: Checked::new(inner, release),
            }),
            Err(poisoned) => Err(PoisonError::new(RwLockReadGuard {
                inner: Checked::new(poisoned.into_inner(), release),
            })),
        }
    }

    #[inline(always)]
    pub(super) fn finish_write<'a>(
        &'a self,
        release: Release<'a>,
    ) -> LockResult<RwLockWriteGuard<'a, T>> {
        let taken = timing::waited(
            &self.map,
            || free(self.inner.try_write()),
            || self.inner.write(),
        );
        match taken {
            Ok(inner) => Ok(RwLockWriteGuard {
                inner: Checked::new(inner, release),
            }),
            Err(poisoned) => Err(PoisonError::new(RwLockWriteGuard {
                inner: Checked::new(poisoned.into_inner(), release),
            })),
        }
    }
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.inner, f)
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
