//! With the feature `off` every type is as large as the plain one, guards included, and the validator hears of nothing.

#![cfg(feature = "off")]
#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use std::sync as plain;

use lockdep::mpsc;

/// That each type is laid out like the plain one.
macro_rules! same {
    ($($checked:ty = $plain:ty),* $(,)?) => {
        $(assert_eq!(
            (size_of::<$checked>(), align_of::<$checked>()),
            (size_of::<$plain>(), align_of::<$plain>()),
            stringify!($checked)
        );)*
    };
}

#[test]
fn types_are_as_large_as_the_plain_ones() {
    same! {
        lockdep::Mutex<u64> = plain::Mutex<u64>,
        lockdep::MutexGuard<'_, u64> = plain::MutexGuard<'_, u64>,
        lockdep::RwLock<u8> = plain::RwLock<u8>,
        lockdep::RwLockReadGuard<'_, u8> = plain::RwLockReadGuard<'_, u8>,
        lockdep::RwLockWriteGuard<'_, u8> = plain::RwLockWriteGuard<'_, u8>,
        lockdep::Condvar = plain::Condvar,
        lockdep::Once = plain::Once,
        lockdep::OnceLock<u64> = plain::OnceLock<u64>,
        lockdep::LazyLock<u64> = plain::LazyLock<u64>,
        lockdep::Barrier = plain::Barrier,
        mpsc::Sender<u8> = plain::mpsc::Sender<u8>,
        mpsc::SyncSender<u8> = plain::mpsc::SyncSender<u8>,
        mpsc::Receiver<u8> = plain::mpsc::Receiver<u8>,
        lockdep::LockMap = (),
        lockdep::LockMapGuard<'_> = (),
        lockdep::raw::LockdepMap = (),
    }
}

#[cfg(feature = "parking_lot")]
#[test]
fn parking_lots_are_as_large_as_the_plain_ones() {
    use lockdep::parking_lot::{FairMutex, MutexGuard, RwLock, RwLockReadGuard};
    same! {
        // One byte and the value.
        lockdep::parking_lot::Mutex<u8> = [u8; 2],
        FairMutex<u8> = [u8; 2],
        RwLock<usize> = [usize; 2],
        MutexGuard<'_, u8> = usize,
        RwLockReadGuard<'_, usize> = usize,
    }
}

#[cfg(feature = "tokio")]
#[test]
fn tokios_are_as_large_as_the_plain_ones() {
    same! {
        lockdep::tokio::MutexGuard<'_, u8> = usize,
        lockdep::tokio::OwnedMutexGuard<u8> = [usize; 2],
    }
    assert_eq!(
        size_of::<lockdep::tokio::Mutex<usize>>() - size_of::<lockdep::tokio::Semaphore>(),
        size_of::<usize>()
    );
}

#[test]
fn the_validator_hears_of_nothing() {
    let (a, b) = (lockdep::Mutex::named("a", 1), lockdep::Mutex::new(2));
    {
        let _a = a.lock().unwrap();
        let _b = b.lock().unwrap();
        assert!(!lockdep::raw::any_held());
    }
    let _b = b.lock().unwrap();
    let _a = a.lock().unwrap();
    assert!(lockdep::reports().is_empty());
    assert!(lockdep::graph().classes.is_empty());
}
