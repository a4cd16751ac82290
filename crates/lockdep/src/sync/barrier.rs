//! A place where threads wait for each other: `std::sync::Barrier` as a wait that the validator sees.

use std::fmt;
use std::panic::Location;
use std::sync::BarrierWaitResult;

use super::event::Event;
use super::lock_map::LockMapGuard;
use crate::class::Class;
use crate::thread::ip;

/// `std::sync::Barrier`. To wait with a lock that another one takes who has [promised](Barrier::promise) to come is a deadlock.
pub struct Barrier {
    event: Event,
    inner: std::sync::Barrier,
}

impl Barrier {
    /// A barrier for `n` threads, of the class of the calling line.
    #[track_caller]
    #[must_use]
    pub const fn new(n: usize) -> Self {
        Self {
            event: Event::new(Class::Site(Location::caller())),
            inner: std::sync::Barrier::new(n),
        }
    }

    /// A barrier for `n` threads, of the class of all barriers that are called `name`.
    #[must_use]
    pub const fn named(name: &'static str, n: usize) -> Self {
        Self {
            event: Event::new(Class::Name(std::borrow::Cow::Borrowed(name))),
            inner: std::sync::Barrier::new(n),
        }
    }

    /// Waits until all `n` threads are here.
    #[track_caller]
    pub fn wait(&self) -> BarrierWaitResult {
        self.event
            .wait(Location::caller(), ip(), || self.inner.wait())
    }

    /// As long as the promise lives, the calling thread is one of those who come here: what it waits for elsewhere, who is
    /// here already waits for too.
    #[track_caller]
    pub fn promise(&self) -> LockMapGuard<'_> {
        self.event.promise()
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.inner, f)
    }
}
