//! Initialisation that happens once: `std::sync::Once` and `OnceLock` with their order checked.
//!
//! The one who initialises holds a pseudo-lock while it does, and whoever comes before it is ready takes that lock, because
//! it waits. So an initialiser that takes a lock which others hold when they want the value is an inversion, and one that
//! wants its own value is reported instead of waiting for itself for ever. When the value is there nobody waits any more, and
//! nothing is checked.

use std::fmt;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::sync::OnceState;

use crate::class::{Class, Map, Wait};
use crate::thread::{self, Mode, Release, ip};
use crate::timing;

/// `std::sync::Once`, whose order with locks is checked as long as it is not done.
pub struct Once {
    pub(super) map: Map,
    inner: std::sync::Once,
}

#[expect(clippy::new_without_default, reason = "`std`'s has none")]
impl Once {
    /// Of the class of the calling line.
    #[track_caller]
    #[must_use]
    pub const fn new() -> Self {
        Self {
            map: Map::new(Class::Site(Location::caller()), Wait::SLEEP),
            inner: std::sync::Once::new(),
        }
    }

    /// Of the class of all that are called `name`.
    #[must_use]
    pub const fn named(name: &'static str) -> Self {
        Self {
            map: Map::new(Class::Name(std::borrow::Cow::Borrowed(name)), Wait::SLEEP),
            inner: std::sync::Once::new(),
        }
    }

    /// Calls `f` if nobody did before; waits if another thread is about it.
    ///
    /// # Panics
    /// When a call panicked before, and, after the report, when it is called from within `f`.
    #[track_caller]
    #[inline]
    pub fn call_once<F: FnOnce()>(&self, f: F) {
        if self.inner.is_completed() {
            return;
        }
        let _release = begin(&self.map, Location::caller());
        self.inner.call_once(f);
    }

    /// As [`call_once`](Once::call_once), but also after a call that panicked.
    ///
    /// # Panics
    /// After the report, when it is called from within `f`.
    #[track_caller]
    #[inline]
    pub fn call_once_force<F: FnOnce(&OnceState)>(&self, f: F) {
        if self.inner.is_completed() {
            return;
        }
        let _release = begin(&self.map, Location::caller());
        self.inner.call_once_force(f);
    }

    /// Whether a call has returned.
    #[inline]
    pub fn is_completed(&self) -> bool {
        self.inner.is_completed()
    }
}

/// Before the calling thread initialises, or waits for who does.
#[inline]
pub(super) fn begin<'a>(map: &'a Map, site: &'static Location<'static>) -> Release<'a> {
    let release = thread::acquire(map, Mode::Write, site, ip());
    timing::once(map);
    release
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.inner, f)
    }
}

impl UnwindSafe for Once {}
impl RefUnwindSafe for Once {}

/// `std::sync::OnceLock`, whose order with locks is checked as long as it is empty.
pub struct OnceLock<T> {
    pub(super) map: Map,
    inner: std::sync::OnceLock<T>,
}

impl<T> OnceLock<T> {
    /// An empty cell of the class of the calling line.
    #[track_caller]
    #[must_use]
    pub const fn new() -> Self {
        Self::from_map(Map::new(Class::Site(Location::caller()), Wait::SLEEP))
    }

    /// An empty cell of the class of all that are called `name`.
    #[must_use]
    pub const fn named(name: &'static str) -> Self {
        let class = Class::Name(std::borrow::Cow::Borrowed(name));
        Self::from_map(Map::new(class, Wait::SLEEP))
    }

    /// An empty cell of a given class: `&'static ClassKey`, [`DynamicClass`](crate::DynamicClass) or [`Class`].
    #[must_use]
    pub fn with_class(class: impl Into<Class>) -> Self {
        Self::from_map(Map::of(class.into(), Wait::SLEEP))
    }

    const fn from_map(map: Map) -> Self {
        Self {
            map,
            inner: std::sync::OnceLock::new(),
        }
    }

    /// The value, if it is there. Never waits.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        self.inner.get()
    }

    /// The value, if it is there, to change.
    #[inline]
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.inner.get_mut()
    }

    /// Puts the value in; waits if another thread is about it.
    ///
    /// # Errors
    /// The value back, if there was one.
    ///
    /// # Panics
    /// After the report, when it is called by who initialises the same cell.
    #[track_caller]
    #[inline]
    pub fn set(&self, value: T) -> Result<(), T> {
        if self.inner.get().is_some() {
            return Err(value);
        }
        let _release = begin(&self.map, Location::caller());
        self.inner.set(value)
    }

    /// The value; `f` makes it if it is not there. Waits if another thread is about it.
    ///
    /// # Panics
    /// When `f` does, and, after the report, when `f` wants the same value.
    #[track_caller]
    #[inline]
    pub fn get_or_init<F: FnOnce() -> T>(&self, f: F) -> &T {
        if let Some(value) = self.inner.get() {
            return value;
        }
        let _release = begin(&self.map, Location::caller());
        self.inner.get_or_init(f)
    }

    /// The value, out of its cell.
    #[inline]
    pub fn into_inner(self) -> Option<T> {
        self.inner.into_inner()
    }

    /// The value, out of the cell, which is empty then.
    #[inline]
    pub fn take(&mut self) -> Option<T> {
        self.inner.take()
    }
}

impl<T> Default for OnceLock<T> {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.inner, f)
    }
}

impl<T: Clone> Clone for OnceLock<T> {
    /// A cell of the class of the calling line, with the same value.
    #[track_caller]
    fn clone(&self) -> Self {
        Self {
            map: Map::new(Class::Site(Location::caller()), Wait::SLEEP),
            inner: self.inner.clone(),
        }
    }
}

impl<T> From<T> for OnceLock<T> {
    #[track_caller]
    fn from(value: T) -> Self {
        Self {
            map: Map::new(Class::Site(Location::caller()), Wait::SLEEP),
            inner: value.into(),
        }
    }
}

impl<T: PartialEq> PartialEq for OnceLock<T> {
    fn eq(&self, other: &Self) -> bool {
        self.inner == other.inner
    }
}

impl<T: Eq> Eq for OnceLock<T> {}
