//! More than one lock of a class at once, and what a thread may say of what it holds.
//!
//! Two locks of one class under each other look like one lock taken twice. Where there is an order among them, one of these
//! says which: a subclass (parent and child), or a lock that serialises all who take several.

use std::panic::Location;
use std::sync::{LockResult, PoisonError};

use super::lazy::LazyLock;
use super::lock_map::LockMap;
use super::mutex::{Mutex, MutexGuard};
use super::once::{Once, OnceLock};
use super::rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use super::ww::{AcquireContext, WwMutex};
use crate::chain::Word;
use crate::class::Map;
use crate::raw::LockdepMap;
use crate::thread::{self, Mode, Release, Request, ip};
use crate::warn;

/// A lock that can serialise others, or that something can be said of: every lock of this crate.
pub trait Lockdep: sealed::HasMap {
    /// Whether the calling thread holds the lock.
    fn is_held(&self) -> bool {
        self.map().is_held(None)
    }

    /// Reports if the calling thread does not hold the lock (`lockdep_assert_held`).
    #[track_caller]
    fn assert_held(&self) {
        check(self.map(), self.map().is_held(None), "lockdep_assert_held");
    }

    /// Reports if the calling thread does not hold the lock exclusively (`lockdep_assert_held_write`).
    #[track_caller]
    fn assert_held_write(&self) {
        let held = self.map().is_held(Some(Mode::Write));
        check(self.map(), held, "lockdep_assert_held_write");
    }

    /// Reports if the calling thread does not hold the lock as a reader (`lockdep_assert_held_read`).
    #[track_caller]
    fn assert_held_read(&self) {
        let held = [Mode::Read, Mode::RecursiveRead, Mode::Upgradable]
            .iter()
            .any(|&mode| self.map().is_held(Some(mode)));
        check(self.map(), held, "lockdep_assert_held_read");
    }

    /// Reports if the calling thread holds the lock (`lockdep_assert_not_held`).
    #[track_caller]
    fn assert_not_held(&self) {
        check(
            self.map(),
            !self.map().is_held(None),
            "lockdep_assert_not_held",
        );
    }
}

#[track_caller]
fn check(map: &Map, holds: bool, what: &str) {
    if !holds {
        let at = Location::caller();
        thread::with(|thread| warn::assertion(thread, map, what, at));
    }
}

pub(crate) mod sealed {
    use crate::class::Map;

    /// A lock that the validator knows.
    pub trait HasMap {
        #[doc(hidden)]
        fn map(&self) -> &Map;
    }
}

impl<T: ?Sized> sealed::HasMap for Mutex<T> {
    fn map(&self) -> &Map {
        &self.map
    }
}

impl<T: ?Sized> sealed::HasMap for RwLock<T> {
    fn map(&self) -> &Map {
        &self.map
    }
}

impl<T: ?Sized> sealed::HasMap for WwMutex<T> {
    fn map(&self) -> &Map {
        self.map()
    }
}

impl<T: ?Sized> Lockdep for WwMutex<T> {}

impl sealed::HasMap for AcquireContext<'_> {
    fn map(&self) -> &Map {
        self.map()
    }
}

/// An ordinary lock may be nested under a context, as under a lock.
impl Lockdep for AcquireContext<'_> {}

impl sealed::HasMap for LockMap {
    fn map(&self) -> &Map {
        &self.map
    }
}

impl sealed::HasMap for LockdepMap {
    fn map(&self) -> &Map {
        &self.map
    }
}

impl sealed::HasMap for Once {
    fn map(&self) -> &Map {
        &self.map
    }
}

impl<T> sealed::HasMap for OnceLock<T> {
    fn map(&self) -> &Map {
        &self.map
    }
}

impl<T, F> sealed::HasMap for LazyLock<T, F> {
    fn map(&self) -> &Map {
        &self.map
    }
}

impl Lockdep for Once {}
impl<T> Lockdep for OnceLock<T> {}
impl<T, F> Lockdep for LazyLock<T, F> {}
impl<T: ?Sized> Lockdep for Mutex<T> {}
impl<T: ?Sized> Lockdep for RwLock<T> {}
impl Lockdep for LockMap {}
impl Lockdep for LockdepMap {}

/// A request for a lock of a subclass; subclasses above 7 count as 7.
const fn subclass(mode: Mode, subclass: u8) -> Request {
    let mut request = Request::wait(mode);
    let subclass = if subclass < 7 { subclass as u64 } else { 7 };
    request.flags |= subclass << Word::CLASS_SHIFT;
    request
}

/// Acquires, or panics instead of waiting for itself.
#[track_caller]
#[inline]
fn acquire(map: &Map, request: Request) -> Release<'_> {
    match thread::try_acquire(map, request, Location::caller(), ip()) {
        Ok(release) => release,
        Err(error) => panic!("{error} ({:?}, {})", map.class(), Location::caller()),
    }
}

impl<T: ?Sized> Mutex<T> {
    /// As [`lock`](Mutex::lock), for a lock that is taken under others of its class, which have smaller subclasses
    /// (`mutex_lock_nested`). There are subclasses 0 (that of `lock`) to 7.
    ///
    /// # Errors
    /// The guard in a [`PoisonError`] when a thread panicked while it held the lock.
    ///
    /// # Panics
    /// As [`lock`](Mutex::lock).
    #[track_caller]
    #[inline]
    pub fn lock_nested(&self, nesting: u8) -> LockResult<MutexGuard<'_, T>> {
        self.finish(acquire(&self.map, subclass(Mode::Write, nesting)))
    }

    /// As [`lock`](Mutex::lock), for one of several locks of a class that are all taken while `nest` is held, which
    /// serialises those who do so (`mutex_lock_nest_lock`). Reports if `nest` is not held, and if one of the several was
    /// taken before it.
    ///
    /// # Errors
    /// The guard in a [`PoisonError`] when a thread panicked while it held the lock.
    ///
    /// # Panics
    /// As [`lock`](Mutex::lock).
    #[track_caller]
    #[inline]
    pub fn lock_nest_lock(&self, nest: &impl Lockdep) -> LockResult<MutexGuard<'_, T>> {
        let request = Request::wait(Mode::Write).nested(&self.map, nest.map());
        self.finish(acquire(&self.map, request))
    }

    fn finish<'a>(&'a self, release: Release<'a>) -> LockResult<MutexGuard<'a, T>> {
        match self.wait() {
            Ok(inner) => Ok(MutexGuard::from_parts(release, inner)),
            Err(poisoned) => {
                let inner = poisoned.into_inner();
                Err(PoisonError::new(MutexGuard::from_parts(release, inner)))
            }
        }
    }
}

impl<T: ?Sized> RwLock<T> {
    /// As [`read`](RwLock::read), for a lock of a subclass (`down_read_nested`).
    ///
    /// # Errors
    /// The guard in a [`PoisonError`] when a thread panicked while it held the lock for writing.
    ///
    /// # Panics
    /// As [`read`](RwLock::read).
    #[track_caller]
    #[inline]
    pub fn read_nested(&self, nesting: u8) -> LockResult<RwLockReadGuard<'_, T>> {
        self.finish_read(acquire(&self.map, subclass(Mode::Read, nesting)))
    }

    /// As [`write`](RwLock::write), for a lock of a subclass (`down_write_nested`).
    ///
    /// # Errors
    /// The guard in a [`PoisonError`] when a thread panicked while it held the lock for writing.
    ///
    /// # Panics
    /// As [`write`](RwLock::write).
    #[track_caller]
    #[inline]
    pub fn write_nested(&self, nesting: u8) -> LockResult<RwLockWriteGuard<'_, T>> {
        self.finish_write(acquire(&self.map, subclass(Mode::Write, nesting)))
    }

    /// As [`write`](RwLock::write), for one of several locks of a class that are all taken while `nest` is held
    /// (`down_write_nest_lock`). Reports if `nest` is not held, and if one of the several was taken before it.
    ///
    /// # Errors
    /// The guard in a [`PoisonError`] when a thread panicked while it held the lock for writing.
    ///
    /// # Panics
    /// As [`write`](RwLock::write).
    #[track_caller]
    #[inline]
    pub fn write_nest_lock(&self, nest: &impl Lockdep) -> LockResult<RwLockWriteGuard<'_, T>> {
        let request = Request::wait(Mode::Write).nested(&self.map, nest.map());
        self.finish_write(acquire(&self.map, request))
    }
}
