//! A value that is made when it is first wanted: `std::sync::LazyLock` with its order checked.

use std::fmt;
use std::ops::Deref;
use std::panic::Location;
#[cfg(not(feature = "off"))]
use std::sync::atomic::{AtomicBool, Ordering};

use super::once;
use crate::class::{Class, Map, Wait};

/// `std::sync::LazyLock`, whose order with locks is checked as long as its value is not there: see
/// [`OnceLock`](crate::OnceLock).
pub struct LazyLock<T, F = fn() -> T> {
    pub(super) map: Map,
    /// What `std`'s knows too, but does not say.
    #[cfg(not(feature = "off"))]
    done: AtomicBool,
    inner: std::sync::LazyLock<T, F>,
}

impl<T, F: FnOnce() -> T> LazyLock<T, F> {
    /// A value that `f` makes, of the class of the calling line.
    #[track_caller]
    #[must_use]
    pub const fn new(f: F) -> Self {
        Self::from_map(Map::new(Class::Site(Location::caller()), Wait::SLEEP), f)
    }

    /// A value that `f` makes, of the class of all that are called `name`.
    #[must_use]
    pub const fn named(name: &'static str, f: F) -> Self {
        let class = Class::Name(std::borrow::Cow::Borrowed(name));
        Self::from_map(Map::new(class, Wait::SLEEP), f)
    }

    const fn from_map(map: Map, f: F) -> Self {
        Self {
            map,
            #[cfg(not(feature = "off"))]
            done: AtomicBool::new(false),
            inner: std::sync::LazyLock::new(f),
        }
    }

    /// The value, made now if it is not there; waits if another thread is about it.
    ///
    /// # Panics
    /// When the value's function panics, or did before, and, after the report, when it wants the same value.
    #[track_caller]
    #[inline]
    pub fn force(this: &Self) -> &T {
        #[cfg(not(feature = "off"))]
        // Acquire and release: who sees that the value is there sees the value.
        if !this.done.load(Ordering::Acquire) {
            let _release = once::begin(&this.map, Location::caller());
            let value = std::sync::LazyLock::force(&this.inner);
            this.done.store(true, Ordering::Release);
            return value;
        }
        std::sync::LazyLock::force(&this.inner)
    }
}

impl<T, F: FnOnce() -> T> Deref for LazyLock<T, F> {
    type Target = T;
    #[track_caller]
    #[inline]
    fn deref(&self) -> &T {
        Self::force(self)
    }
}

impl<T: Default> Default for LazyLock<T> {
    #[track_caller]
    fn default() -> Self {
        Self::new(T::default)
    }
}

impl<T: fmt::Debug, F> fmt::Debug for LazyLock<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.inner, f)
    }
}
