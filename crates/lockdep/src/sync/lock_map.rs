//! Pseudo-locks: waits that are no locks, made visible to the validator.
//!
//! Who flushes a work queue waits for the work that runs on it. The kernel tells lockdep so by "taking" a lock that
//! protects nothing, around each work item and for an instant in each flush (`kernel/workqueue.c: process_one_work`,
//! `touch_wq_lockdep_map`). A [`LockMap`] is that lock.

use std::marker::PhantomData;
use std::panic::Location;

use crate::class::{Class, Map, Wait};
use crate::thread::{self, Mode, Release, ip};

/// A lock that protects nothing: it only has a place in the order.
#[derive(Debug)]
pub struct LockMap {
    pub(super) map: Map,
}

/// As long as it lives, the thread counts as holding the [`LockMap`].
#[must_use = "the pseudo-lock is released at once if the guard is not kept"]
#[derive(Debug)]
pub struct LockMapGuard<'a> {
    _release: Release<'a>,
    _not_send: PhantomData<*const ()>,
}

impl LockMap {
    /// A pseudo-lock of the class of the calling line.
    #[track_caller]
    #[must_use]
    pub const fn new() -> Self {
        Self {
            map: Map::new(Class::Site(Location::caller()), Wait::NONE),
        }
    }

    pub(super) const fn of(map: Map) -> Self {
        Self { map }
    }

    /// A pseudo-lock of the class of all locks that are called `name`.
    #[must_use]
    pub const fn named(name: &'static str) -> Self {
        Self {
            map: Map::new(Class::Name(std::borrow::Cow::Borrowed(name)), Wait::NONE),
        }
    }

    /// A pseudo-lock of a given class: `&'static ClassKey`, [`DynamicClass`](crate::DynamicClass) or [`Class`].
    #[must_use]
    pub fn with_class(class: impl Into<Class>) -> Self {
        Self {
            map: Map::of(class.into(), Wait::NONE),
        }
    }

    /// From now on the thread is inside (`lock_map_acquire`): what it takes now is taken under this pseudo-lock.
    #[track_caller]
    #[inline(always)]
    pub fn acquire(&self) -> LockMapGuard<'_> {
        LockMapGuard {
            _release: thread::acquire_map(&self.map, Mode::Write, Location::caller(), ip()),
            _not_send: PhantomData,
        }
    }

    /// As [`acquire`](LockMap::acquire), but as one of many readers, who may nest (`lock_map_acquire_read`).
    #[track_caller]
    #[inline(always)]
    pub fn acquire_read(&self) -> LockMapGuard<'_> {
        LockMapGuard {
            _release: thread::acquire_map(&self.map, Mode::RecursiveRead, Location::caller(), ip()),
            _not_send: PhantomData,
        }
    }

    /// Acquired and released: says that the thread now waits for whoever is inside.
    #[track_caller]
    #[inline(always)]
    pub fn touch(&self) {
        drop(thread::acquire_map(
            &self.map,
            Mode::Write,
            Location::caller(),
            ip(),
        ));
    }
}

impl Default for LockMap {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}
