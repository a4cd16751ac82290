//! The validator for locks of your own making: what the kernel's `lock_acquire` and `lock_release` are for its locks.
//!
//! Put a [`LockdepMap`] into the lock, call [`acquire`](LockdepMap::acquire) before waiting for it and
//! [`release`](LockdepMap::release) before giving it up. Nothing here locks anything.

use std::panic::Location;

use crate::chain::Word;
use crate::class::{Class, Map, Wait};
use crate::sync::WouldDeadlock;
use crate::thread::{self, How, Mode, Request, Which, ip};
use crate::timing;
use crate::warn;

/// The validator's part of a lock (`include/linux/lockdep_types.h: struct lockdep_map`).
#[derive(Debug)]
pub struct LockdepMap {
    pub(crate) map: Map,
}

/// One way of taking a lock: the arguments of the kernel's `lock_acquire`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Acquire<'a> {
    /// Exclusively or not.
    pub mode: Mode,
    /// The lock is in the thread's hands already, by an attempt that could not wait.
    pub attempt: bool,
    /// Tells locks of one class apart that are always taken in the order of this number, 0 to 7
    /// (`mutex_lock_nested`). Greater numbers count as 7.
    pub subclass: u8,
    /// The lock that serialises all who take several locks of the class (`mutex_lock_nest_lock`).
    pub nest: Option<&'a LockdepMap>,
}

impl LockdepMap {
    /// For a lock of this class that is waited for in this way.
    #[must_use]
    pub const fn new(class: Class, wait: Wait) -> Self {
        Self {
            map: Map::new(class, wait),
        }
    }

    /// Several locks of the class may be held at once if they are taken in the order of their addresses.
    #[must_use]
    pub const fn by_address(class: Class, wait: Wait) -> Self {
        Self {
            map: Map::by_address(class, wait),
        }
    }

    /// Several locks of the class may be held at once if those of smaller rank are taken first.
    ///
    /// # Panics
    /// When the rank is not less than 2^20 - 1.
    #[must_use]
    pub const fn ranked(class: Class, wait: Wait, rank: u32) -> Self {
        Self {
            map: Map::ranked(class, wait, rank),
        }
    }

    /// The lock is about to be waited for, or, with `attempt`, was just taken.
    ///
    /// # Errors
    /// [`WouldDeadlock`], after the report, when the thread holds this very lock and would wait for itself. The lock does
    /// not count as taken then.
    #[track_caller]
    #[inline]
    pub fn acquire(&self, acquire: Acquire<'_>) -> Result<(), WouldDeadlock> {
        let mut request = Request {
            flags: acquire.mode as u64 | u64::from(acquire.subclass.min(7)) << Word::CLASS_SHIFT,
            how: How::Wait,
        };
        if acquire.attempt {
            request.flags |= Word::TRY;
            request.how = How::Try;
        }
        if let Some(nest) = acquire.nest {
            request = request.nested(&self.map, &nest.map);
        }
        // Ended by `release`.
        std::mem::forget(thread::try_acquire(
            &self.map,
            request,
            Location::caller(),
            ip(),
        )?);
        Ok(())
    }

    /// The lock is not free: after [`acquire`](LockdepMap::acquire), before the wait (`lock_contended`). Only the feature
    /// `lock_stat` wants to know.
    #[inline]
    pub fn contended(&self) {
        timing::contended(&self.map);
    }

    /// The lock is in the thread's hands: after [`contended`](LockdepMap::contended) and the wait (`lock_acquired`).
    #[inline]
    pub fn acquired(&self) {
        timing::acquired(&self.map);
    }

    /// The lock is about to be given up.
    #[inline]
    pub fn release(&self) {
        thread::release(&self.map, Which::Newest);
    }

    /// The lock is about to be given up as it was taken in this mode: for locks that a thread can hold in two modes at once,
    /// and give up in any order. [`release`](LockdepMap::release) ends the newest hold, whatever its mode.
    #[inline]
    pub fn release_as(&self, mode: Mode) {
        thread::release(&self.map, Which::As(mode));
    }

    /// Whether the calling thread holds it in this way.
    #[must_use]
    pub fn is_held_as(&self, mode: Mode) -> bool {
        self.map.is_held(Some(mode))
    }

    /// Says that the lock must not be released before [`unpin`](LockdepMap::unpin) (`lock_pin_lock`).
    #[track_caller]
    pub fn pin(&self) {
        if !thread::with(|thread| thread.pin(self.map.address(), true)) {
            let at = Location::caller();
            thread::with(|thread| {
                warn::assertion(thread, &self.map, "pinning an unheld lock ", at);
            });
        }
    }

    /// Takes back [`pin`](LockdepMap::pin).
    #[track_caller]
    pub fn unpin(&self) {
        if !thread::with(|thread| thread.pin(self.map.address(), false)) {
            let at = Location::caller();
            let what = "unpinning an unpinned lock ";
            thread::with(|thread| warn::assertion(thread, &self.map, what, at));
        }
    }
}

/// Whether the calling thread holds any lock that the validator knows of.
#[must_use]
pub fn any_held() -> bool {
    thread::with(|thread| thread.newest().next().is_some())
}

/// Reports if the calling thread holds a lock: for a boundary that must not be crossed with one
/// (`kernel/locking/lockdep.c: debug_check_no_locks_held`).
pub fn assert_no_locks_held() {
    thread::with(|thread| {
        if thread.newest().next().is_some() {
            warn::still_held(thread);
        }
    });
}
