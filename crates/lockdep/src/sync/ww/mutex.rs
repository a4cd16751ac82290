//! The lock itself, and the right to use what it protects.

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};

use super::{AcquireContext, Age, WwClass, WwError, report};
use crate::class::{Class, Map, Wait};
use crate::thread::{self, Mode, Release, Request, ip};
use crate::timing;

/// Who holds a lock.
#[derive(Debug)]
enum Owner {
    Nobody,
    /// Somebody without a context.
    Alone,
    Context(Arc<Age>),
}

/// A lock of a [`WwClass`] (`struct ww_mutex`). It is not poisoned.
///
/// Who holds it cannot be set from outside:
///
/// ```compile_fail,E0616
/// # static CLASS: lockdep::ww::WwClass = lockdep::ww::WwClass::wait_die("owner");
/// # let lock = lockdep::ww::WwMutex::new(&CLASS, ());
/// let owner = lock.owner.get();
/// ```
pub struct WwMutex<T: ?Sized> {
    map: Map,
    class: &'static WwClass,
    /// Guarded by the class.
    owner: UnsafeCell<Owner>,
    value: UnsafeCell<T>,
}

// SAFETY: the value is used by who holds the lock, one at a time; the owner, under the class's mutex.
unsafe impl<T: ?Sized + Send> Send for WwMutex<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send> Sync for WwMutex<T> {}

/// The right to use what a [`WwMutex`] protects. It is given up once:
///
/// ```compile_fail,E0382
/// # static CLASS: lockdep::ww::WwClass = lockdep::ww::WwClass::wait_die("released");
/// # let lock = lockdep::ww::WwMutex::new(&CLASS, ());
/// let held = lock.lock_alone();
/// drop(held);
/// drop(held);
/// ```
#[must_use = "the lock is released at once if the guard is not kept"]
pub struct WwMutexGuard<'a, T: ?Sized> {
    lock: &'a WwMutex<T>,
    context: Option<&'a AcquireContext<'a>>,
    // Dropped by hand, before the lock is released.
    release: Option<Release<'a>>,
    not_send: PhantomData<*const ()>,
}

impl<T> WwMutex<T> {
    /// A lock of this class.
    #[must_use]
    pub fn new(class: &'static WwClass, value: T) -> Self {
        let name = Class::named(format!("{}_mutex", class.name));
        Self {
            map: Map::of(name, Wait::SLEEP),
            class,
            owner: UnsafeCell::new(Owner::Nobody),
            value: UnsafeCell::new(value),
        }
    }

    /// The protected value, out of its lock.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> WwMutex<T> {
    /// Takes the lock in a context (`ww_mutex_lock`).
    ///
    /// # Errors
    /// See [`WwError`].
    ///
    /// # Panics
    /// When the calling thread holds the lock without the context: after the report, instead of waiting for itself for ever.
    #[track_caller]
    pub fn lock<'a>(
        &'a self,
        context: &'a AcquireContext<'a>,
    ) -> Result<WwMutexGuard<'a, T>, WwError> {
        self.check(context);
        let owners = self.class.owners();
        // SAFETY: the class's mutex is held.
        let stale = match unsafe { &*self.owner.get() } {
            Owner::Context(age) if Arc::ptr_eq(age, &context.age) => return Err(WwError::Already),
            Owner::Context(age) => age.ended.load(Relaxed),
            _ => false,
        };
        drop(owners);
        if stale {
            report(&self.map, "ww_mutex_lock of a lock of an ended context: ");
        }
        self.give_way(context, "ww_mutex_lock");
        let release = self.acquire(Some(context));
        if !self.wait_timed(Some(context), context.held.get() > 0) {
            context.contended.set(self.map.address());
            return Err(WwError::Deadlock);
        }
        Ok(self.taken(Some(context), release))
    }

    /// Waits for the lock that the context gave way for (`ww_mutex_lock_slow`). The context must hold nothing.
    ///
    /// # Panics
    /// When the calling thread holds the lock: after the report, instead of waiting for itself for ever.
    #[track_caller]
    pub fn lock_slow<'a>(&'a self, context: &'a AcquireContext<'a>) -> WwMutexGuard<'a, T> {
        self.check(context);
        if context.contended.get() == 0 {
            report(
                &self.map,
                "ww_mutex_lock_slow of a context that was not told to give way: ",
            );
        }
        self.give_way(context, "ww_mutex_lock_slow");
        let release = self.acquire(Some(context));
        self.wait_timed(Some(context), false);
        self.taken(Some(context), release)
    }

    /// Takes the lock without a context, as an ordinary mutex.
    ///
    /// # Panics
    /// When the calling thread holds the lock: after the report, instead of waiting for itself for ever.
    #[track_caller]
    pub fn lock_alone(&self) -> WwMutexGuard<'_, T> {
        let release = self.acquire(None);
        self.wait_timed(None, false);
        self.taken(None, release)
    }

    /// Takes the lock if it is free, in a context or without (`ww_mutex_trylock`).
    #[track_caller]
    pub fn try_lock<'a>(
        &'a self,
        context: Option<&'a AcquireContext<'a>>,
    ) -> Option<WwMutexGuard<'a, T>> {
        if let Some(context) = context {
            self.check(context);
        }
        if !self.take(context) {
            return None;
        }
        if let Some(context) = context {
            self.give_way(context, "ww_mutex_trylock");
        }
        let release = thread::acquired(&self.map, Mode::Write, Location::caller(), ip());
        Some(self.taken(context, release))
    }

    /// The protected value; the borrow proves that nobody else has it.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    pub(in crate::sync) fn map(&self) -> &Map {
        &self.map
    }

    /// What a context may not do.
    #[track_caller]
    fn check(&self, context: &AcquireContext<'_>) {
        if !std::ptr::eq(context.class, self.class) {
            report(
                &self.map,
                "ww_mutex_lock in a context of another class than ",
            );
        }
        if context.done.get() {
            report(&self.map, "ww_mutex_lock in a context that is done: ");
        }
    }

    /// What a context must do that was told to give way: release everything, and take the lock in question first
    /// (`kernel/locking/ww_mutex.h: ww_mutex_lock_acquired`).
    #[track_caller]
    fn give_way(&self, context: &AcquireContext<'_>, how: &str) {
        let contended = context.contended.get();
        if contended == 0 {
            return;
        }
        if contended != self.map.address() {
            let what = format!("{how} of another lock than the context gave way for: ");
            report(&self.map, &what);
        }
        if context.held.get() > 0 {
            let what = format!("{how} of a context that gives way and still holds locks: ");
            report(&self.map, &what);
        }
    }

    #[track_caller]
    fn acquire(&self, context: Option<&AcquireContext<'_>>) -> Release<'_> {
        let mut request = Request::wait(Mode::Write);
        if let Some(context) = context {
            request = request.nested(&self.map, &context.map);
        }
        match thread::try_acquire(&self.map, request, Location::caller(), ip()) {
            Ok(release) => release,
            Err(error) => panic!("{error} ({:?}, {})", self.map.class(), Location::caller()),
        }
    }

    fn take(&self, context: Option<&AcquireContext<'_>>) -> bool {
        let _owners = self.class.owners();
        // SAFETY: the class's mutex is held.
        let owner = unsafe { &mut *self.owner.get() };
        if !matches!(owner, Owner::Nobody) {
            return false;
        }
        *owner = context.map_or(Owner::Alone, |context| {
            if context.held.get() == 0 {
                // It holds nothing that anybody could want.
                context.age.wounded.store(false, Relaxed);
            }
            Owner::Context(Arc::clone(&context.age))
        });
        true
    }

    fn wait_timed(&self, context: Option<&AcquireContext<'_>>, gives_way: bool) -> bool {
        timing::waited_perhaps(
            &self.map,
            || self.take(context),
            || self.wait(context, gives_way),
        )
    }

    /// Waits until the lock is taken, or, if it may give way, until an older context is in the way. Says which.
    fn wait(&self, context: Option<&AcquireContext<'_>>, gives_way: bool) -> bool {
        let mut owners = self.class.owners();
        loop {
            // SAFETY: the class's mutex is held.
            let owner = unsafe { &mut *self.owner.get() };
            match (&*owner, context) {
                (Owner::Nobody, None) => {
                    *owner = Owner::Alone;
                    return true;
                }
                (Owner::Nobody, Some(context)) => {
                    if !gives_way {
                        // It holds nothing that anybody could want.
                        context.age.wounded.store(false, Relaxed);
                    }
                    *owner = Owner::Context(Arc::clone(&context.age));
                    return true;
                }
                (Owner::Context(other), Some(context)) => {
                    let older = other.stamp < context.age.stamp;
                    let wounded = context.age.wounded.load(Relaxed);
                    if gives_way && (wounded || (self.class.wait_die && older)) {
                        return false;
                    }
                    if !self.class.wait_die && !older && !other.wounded.swap(true, Relaxed) {
                        self.class.changed.notify_all();
                    }
                }
                (Owner::Alone, Some(context)) => {
                    if gives_way && context.age.wounded.load(Relaxed) {
                        return false;
                    }
                }
                (_, None) => {}
            }
            owners = self
                .class
                .changed
                .wait(owners)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn taken<'a>(
        &'a self,
        context: Option<&'a AcquireContext<'a>>,
        release: Release<'a>,
    ) -> WwMutexGuard<'a, T> {
        if let Some(context) = context {
            context.held.set(context.held.get() + 1);
            context.contended.set(0);
        }
        WwMutexGuard {
            lock: self,
            context,
            release: Some(release),
            not_send: PhantomData,
        }
    }
}

impl<T: ?Sized> Drop for WwMutexGuard<'_, T> {
    fn drop(&mut self) {
        self.release = None;
        if let Some(context) = self.context {
            context.held.set(context.held.get() - 1);
        }
        let _owners = self.lock.class.owners();
        // SAFETY: the class's mutex is held.
        unsafe { *self.lock.owner.get() = Owner::Nobody };
        self.lock.class.changed.notify_all();
    }
}

// SAFETY: shared, the guard gives out shared references to the value only.
unsafe impl<T: ?Sized + Sync> Sync for WwMutexGuard<'_, T> {}

impl<T: ?Sized> Deref for WwMutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the guard holds the lock.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for WwMutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard holds the lock, and is borrowed exclusively.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for WwMutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized> fmt::Debug for WwMutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WwMutex")
            .field("class", &self.class.name)
            .finish_non_exhaustive()
    }
}
