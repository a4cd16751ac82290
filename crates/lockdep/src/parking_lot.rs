//! `parking_lot`'s locks with their order checked: its interface, by the aliases that its own types are.
//!
//! A lock that is made with `Mutex::new` is of the class of the line that takes it first, because `lock_api` cannot know
//! more; one that is made with [`const_mutex`] or [`const_rwlock`] is of the class of the line that makes it. See
//! [`lock_api`](crate::lock_api).
//!
//! `parking_lot::Condvar` is not here: it works with `parking_lot`'s own mutex only.

use lock_api::GetThreadId;
pub use parking_lot::RawThreadId;

pub use crate::lock_api::{RawMutex as CheckedMutex, RawRwLock as CheckedRwLock};

/// `parking_lot::RawMutex` with its order checked.
pub type RawMutex = CheckedMutex<parking_lot::RawMutex>;
/// `parking_lot::RawRwLock` with its order checked.
pub type RawRwLock = CheckedRwLock<parking_lot::RawRwLock>;
/// `parking_lot::RawFairMutex` with its order checked.
pub type RawFairMutex = CheckedMutex<parking_lot::RawFairMutex>;
/// `parking_lot::Mutex`.
pub type Mutex<T> = lock_api::Mutex<RawMutex, T>;
/// `parking_lot::MutexGuard`.
pub type MutexGuard<'a, T> = lock_api::MutexGuard<'a, RawMutex, T>;
/// `parking_lot::MappedMutexGuard`.
pub type MappedMutexGuard<'a, T> = lock_api::MappedMutexGuard<'a, RawMutex, T>;
/// `parking_lot::FairMutex`.
pub type FairMutex<T> = lock_api::Mutex<RawFairMutex, T>;
/// `parking_lot::FairMutexGuard`.
pub type FairMutexGuard<'a, T> = lock_api::MutexGuard<'a, RawFairMutex, T>;
/// `parking_lot::ReentrantMutex`. Only the outermost of a thread's acquisitions is one.
pub type ReentrantMutex<T> = lock_api::ReentrantMutex<RawMutex, RawThreadId, T>;
/// `parking_lot::ReentrantMutexGuard`.
pub type ReentrantMutexGuard<'a, T> = lock_api::ReentrantMutexGuard<'a, RawMutex, RawThreadId, T>;
/// `parking_lot::RwLock`.
pub type RwLock<T> = lock_api::RwLock<RawRwLock, T>;
/// `parking_lot::RwLockReadGuard`.
pub type RwLockReadGuard<'a, T> = lock_api::RwLockReadGuard<'a, RawRwLock, T>;
/// `parking_lot::RwLockUpgradableReadGuard`.
pub type RwLockUpgradableReadGuard<'a, T> = lock_api::RwLockUpgradableReadGuard<'a, RawRwLock, T>;
/// `parking_lot::RwLockWriteGuard`.
pub type RwLockWriteGuard<'a, T> = lock_api::RwLockWriteGuard<'a, RawRwLock, T>;
/// `parking_lot::MappedRwLockReadGuard`.
pub type MappedRwLockReadGuard<'a, T> = lock_api::MappedRwLockReadGuard<'a, RawRwLock, T>;
/// `parking_lot::MappedRwLockWriteGuard`.
pub type MappedRwLockWriteGuard<'a, T> = lock_api::MappedRwLockWriteGuard<'a, RawRwLock, T>;

/// A mutex of the class of the calling line.
#[track_caller]
#[must_use]
pub const fn const_mutex<T>(value: T) -> Mutex<T> {
    Mutex::from_raw(RawMutex::new(), value)
}

/// A fair mutex of the class of the calling line.
#[track_caller]
#[must_use]
pub const fn const_fair_mutex<T>(value: T) -> FairMutex<T> {
    FairMutex::from_raw(RawFairMutex::new(), value)
}

/// A mutex that its holder may take again, of the class of the calling line.
#[track_caller]
#[must_use]
pub const fn const_reentrant_mutex<T>(value: T) -> ReentrantMutex<T> {
    ReentrantMutex::from_raw(RawMutex::new(), RawThreadId::INIT, value)
}

/// A reader-writer lock of the class of the calling line.
#[track_caller]
#[must_use]
pub const fn const_rwlock<T>(value: T) -> RwLock<T> {
    RwLock::from_raw(RawRwLock::new(), value)
}
