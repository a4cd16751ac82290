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

mod mutex;

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

pub use mutex::{WwMutex, WwMutexGuard};

use crate::class::{Class, Map, Wait};
use crate::thread::{self, Mode, Which, ip};
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
