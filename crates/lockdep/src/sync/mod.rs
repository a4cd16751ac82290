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
use std::sync::{LockResult, TryLockError, TryLockResult};

/// What an attempt at a lock gave, if the lock was free.
fn free<G>(attempt: TryLockResult<G>) -> Option<LockResult<G>> {
    match attempt {
        Ok(guard) => Some(Ok(guard)),
        Err(TryLockError::Poisoned(poisoned)) => Some(Err(poisoned)),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// The error of the `*_or_deadlock` methods: the calling thread holds the lock itself and would wait for itself for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WouldDeadlock;

impl fmt::Display for WouldDeadlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the calling thread already holds this lock and would wait for itself")
    }
}

impl std::error::Error for WouldDeadlock {}
