//! Wound/wait mutexes: locks that may be taken in any order, because the youngest gives way (`kernel/locking/ww_mutex.h`).
//!
//! Who needs several locks of a [`WwClass`] takes them in an [`AcquireContext`]. Contexts have an age. When two contexts get
//! in each other's way, the younger one is told so by [`WwError::Deadlock`]: it must release everything that it holds, wait
//! for the lock in question with [`lock_slow`](WwMutex::lock_slow), and begin again. In a *wait/die* class, the younger one
//! is told when it wants what the older one has; in a *wound/wait* class, it is also told when the older one wants what it
//! has, at its next wait.
//!
//! To the validator, a context is a lock that serialises those who take several locks of the class. Locks of other classes
//! are checked against it and them as ever. What the rules for contexts forbid, and types do not, is reported as
//! [`Assertion`](crate::ReportKind::Assertion).
//!
//! ```
//! use lockdep::ww::{WwClass, WwError, WwMutex};
//! static BUFFERS: WwClass = WwClass::wound_wait("buffers");
//! let (a, b) = (WwMutex::new(&BUFFERS, 1), WwMutex::new(&BUFFERS, 2));
//! let context = BUFFERS.context();
//! let mut held_a = a.lock(&context).unwrap();
//! let held_b = loop {
//!     match b.lock(&context) {
//!         Ok(held_b) => break held_b,
//!         Err(WwError::Already) => unreachable!("it is another lock"),
//!         Err(WwError::Deadlock) => {
//!             drop(held_a);
//!             let held_b = b.lock_slow(&context);
//!             held_a = a.lock(&context).unwrap(); // or, if this fails too, the other way round
//!             break held_b;
//!         }
//!     }
//! };
//! context.done();
//! assert_eq!(*held_a + *held_b, 3);
//! ```

use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::class::{Class, Map, Wait};
use crate::thread::{self, Mode, Release, Request, Which, ip};
use crate::timing;
use crate::warn;

/// Locks that are taken together, in whatever order.
#[derive(Debug)]
pub struct WwClass {
    name: &'static str,
    wait_die: bool,
    /// The age of the last context.
    stamp: AtomicU64,
    /// Guards who holds the locks of the class.
    owners: Mutex<()>,
    /// A lock of the class was released, or a context wounded.
    changed: Condvar,
}

impl WwClass {
    /// A class in which older contexts take locks away from younger ones.
    #[must_use]
    pub const fn wound_wait(name: &'static str) -> Self {
        Self::new(name, false)
    }

    /// A class in which younger contexts give way when they come upon older ones.
    #[must_use]
    pub const fn wait_die(name: &'static str) -> Self {
        Self::new(name, true)
    }

    const fn new(name: &'static str, wait_die: bool) -> Self {
        Self {
            name,
            wait_die,
            stamp: AtomicU64::new(0),
            owners: Mutex::new(()),
            changed: Condvar::new(),
        }
    }

    /// A context, younger than all there were (`ww_acquire_init`).
    #[track_caller]
    pub fn context(&self) -> AcquireContext<'_> {
        let map = Map::of(Class::named(format!("{}_acquire", self.name)), Wait::NONE);
        let map = Box::new(map);
        // Ended when the context is dropped.
        std::mem::forget(thread::acquire_map(
            &map,
            Mode::Write,
            Location::caller(),
            ip(),
        ));
        AcquireContext {
            class: self,
            map,
            age: Arc::new(Age {
                stamp: self.stamp.fetch_add(1, Relaxed),
                wounded: AtomicBool::new(false),
                ended: AtomicBool::new(false),
            }),
            held: Cell::new(0),
            done: Cell::new(false),
            contended: Cell::new(0),
            not_send: PhantomData,
        }
    }

    fn owners(&self) -> MutexGuard<'_, ()> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What others may know of a context.
#[derive(Debug)]
struct Age {
    stamp: u64,
    /// An older context waits for something that this one has.
    wounded: AtomicBool,
    /// The context is gone, though locks are still held in it.
    ended: AtomicBool,
}

/// Takes several locks of a class (`struct ww_acquire_ctx`).
///
/// A context ends once, with no lock held in it, and is not used after that:
///
/// ```compile_fail,E0382
/// # static CLASS: lockdep::ww::WwClass = lockdep::ww::WwClass::wait_die("twice");
/// let context = CLASS.context();
/// drop(context);
/// drop(context);
/// ```
/// ```compile_fail,E0505
/// # static CLASS: lockdep::ww::WwClass = lockdep::ww::WwClass::wait_die("early");
/// # let lock = lockdep::ww::WwMutex::new(&CLASS, ());
/// let context = CLASS.context();
/// let held = lock.lock(&context);
/// drop(context);
/// drop(held);
/// ```
/// ```compile_fail,E0382
/// # static CLASS: lockdep::ww::WwClass = lockdep::ww::WwClass::wait_die("stale");
/// # let lock = lockdep::ww::WwMutex::new(&CLASS, ());
/// let context = CLASS.context();
/// drop(context);
/// drop(lock.lock(&context));
/// ```
/// Nor can how many it holds be set to anything else:
///
/// ```compile_fail,E0616
/// # static CLASS: lockdep::ww::WwClass = lockdep::ww::WwClass::wait_die("unbalanced");
/// CLASS.context().held.set(0);
/// ```
#[derive(Debug)]
pub struct AcquireContext<'c> {
    class: &'c WwClass,
    /// In a place of its own, so that the context can be moved.
    map: Box<Map>,
    age: Arc<Age>,
    /// How many locks it holds.
    held: Cell<usize>,
    done: Cell<bool>,
    /// The lock that it must wait for first, after it was told to give way; 0 if there is none.
    contended: Cell<usize>,
    not_send: PhantomData<*const ()>,
}

impl AcquireContext<'_> {
    /// Says that all locks are taken (`ww_acquire_done`).
    #[track_caller]
    pub fn done(&self) {
        if self.done.replace(true) {
            self.wrong("ww_acquire_done of a context that is done: ");
        }
    }

    pub(super) fn map(&self) -> &Map {
        &self.map
    }

    #[track_caller]
    fn wrong(&self, what: &str) {
        report(&self.map, what);
    }
}

/// Reports what the rules for contexts forbid.
#[track_caller]
fn report(map: &Map, what: &str) {
    let at = Location::caller();
    if cfg!(not(feature = "off")) {
        thread::with(|thread| warn::assertion(thread, map, what, at));
    }
}

impl Drop for AcquireContext<'_> {
    #[track_caller]
    fn drop(&mut self) {
        if self.held.get() > 0 {
            self.age.ended.store(true, Relaxed);
            self.wrong("ww_acquire_fini of a context that holds locks: ");
        }
        thread::release(&self.map, Which::Newest);
    }
}

/// Why a lock of a [`WwClass`] was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WwError {
    /// An older context is in the way. Release everything, wait with [`lock_slow`](WwMutex::lock_slow), begin again
    /// (`EDEADLK`).
    Deadlock,
    /// The context holds this lock (`EALREADY`).
    Already,
}

impl fmt::Display for WwError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deadlock => "an older context is in the way of this one",
            Self::Already => "the context already holds this lock",
        })
    }
}

impl std::error::Error for WwError {}

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

    pub(super) fn map(&self) -> &Map {
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
