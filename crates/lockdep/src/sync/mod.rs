//! Lock types that report to the validator, with the interface of `std::sync`.

pub(crate) mod barrier;
pub(crate) mod condvar;
pub(crate) mod event;
pub(crate) mod lazy;
pub(crate) mod lock_map;
pub mod mpsc;
pub(crate) mod mutex;
pub(crate) mod nesting;
pub(crate) mod once;
pub(crate) mod rwlock;
pub mod ww;

use std::fmt;

/// The error of the `*_or_deadlock` methods: the calling thread holds the lock itself and would wait for itself for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WouldDeadlock;

impl fmt::Display for WouldDeadlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the calling thread already holds this lock and would wait for itself")
    }
}

impl std::error::Error for WouldDeadlock {}
