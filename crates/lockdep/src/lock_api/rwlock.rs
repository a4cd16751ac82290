//! A raw reader-writer lock that reports to the validator.

use std::borrow::Cow;
use std::panic::Location;

use lock_api::{
    GuardNoSend, RawRwLockDowngrade, RawRwLockFair, RawRwLockRecursive, RawRwLockRecursiveTimed,
    RawRwLockTimed, RawRwLockUpgrade, RawRwLockUpgradeDowngrade, RawRwLockUpgradeFair,
    RawRwLockUpgradeTimed,
};

use super::map::RawMap;
use crate::class::Class;
use crate::thread::{Mode, Which};

/// The raw reader-writer lock `R` with its order checked, for `lock_api::RwLock`.
#[derive(Debug)]
pub struct RawRwLock<R> {
    map: RawMap,
    inner: R,
}

impl<R: lock_api::RawRwLock> RawRwLock<R> {
    /// Of the class of the calling line.
    #[track_caller]
    #[must_use]
    pub const fn new() -> Self {
        Self::of(Class::Site(Location::caller()))
    }

    /// Of the class of all locks that are called `name`.
    #[must_use]
    pub const fn named(name: &'static str) -> Self {
        Self::of(Class::Name(Cow::Borrowed(name)))
    }

    /// Of a given class: `&'static ClassKey`, [`DynamicClass`](crate::DynamicClass) or [`Class`].
    #[must_use]
    pub fn with_class(class: impl Into<Class>) -> Self {
        Self::of(class.into())
    }

    const fn of(class: Class) -> Self {
        Self {
            map: RawMap::given(class),
            inner: R::INIT,
        }
    }
}

impl<R: lock_api::RawRwLock> Default for RawRwLock<R> {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: exclusion is the inner lock's; the validator only looks on.
unsafe impl<R: lock_api::RawRwLock> lock_api::RawRwLock for RawRwLock<R> {
    const INIT: Self = Self {
        map: RawMap::first(),
        inner: R::INIT,
    };
    type GuardMarker = GuardNoSend;

    #[track_caller]
    #[inline]
    fn lock_shared(&self) {
        self.map.wait(Mode::Read);
        self.map
            .take(|| self.inner.try_lock_shared(), || self.inner.lock_shared());
    }

    #[track_caller]
    #[inline]
    fn try_lock_shared(&self) -> bool {
        self.map
            .attempt(Mode::Read, || self.inner.try_lock_shared())
    }

    #[inline]
    unsafe fn unlock_shared(&self) {
        self.map.release(Which::Reader);
        // SAFETY: the caller holds this lock in this way, so the inner one is held so.
        unsafe { self.inner.unlock_shared() }
    }

    #[track_caller]
    #[inline]
    fn lock_exclusive(&self) {
        self.map.wait(Mode::Write);
        self.map.take(
            || self.inner.try_lock_exclusive(),
            || self.inner.lock_exclusive(),
        );
    }

    #[track_caller]
    #[inline]
    fn try_lock_exclusive(&self) -> bool {
        self.map
            .attempt(Mode::Write, || self.inner.try_lock_exclusive())
    }

    #[inline]
    unsafe fn unlock_exclusive(&self) {
        self.map.release(Which::As(Mode::Write));
        // SAFETY: the caller holds this lock in this way, so the inner one is held so.
        unsafe { self.inner.unlock_exclusive() }
    }

    #[inline]
    fn is_locked(&self) -> bool {
        self.inner.is_locked()
    }

    #[inline]
    fn is_locked_exclusive(&self) -> bool {
        self.inner.is_locked_exclusive()
    }
}

// SAFETY: as for `RawRwLock`.
unsafe impl<R: RawRwLockFair> RawRwLockFair for RawRwLock<R> {
    #[inline]
    unsafe fn unlock_shared_fair(&self) {
        self.map.release(Which::Reader);
        // SAFETY: the caller holds this lock in this way, so the inner one is held so.
        unsafe { self.inner.unlock_shared_fair() }
    }

    #[inline]
    unsafe fn unlock_exclusive_fair(&self) {
        self.map.release(Which::As(Mode::Write));
        // SAFETY: the caller holds this lock in this way, so the inner one is held so.
        unsafe { self.inner.unlock_exclusive_fair() }
    }

    #[track_caller]
    #[inline]
    unsafe fn bump_shared(&self) {
        self.map.release(Which::Reader);
        self.map.wait(Mode::Read);
        // SAFETY: the caller holds this lock in this way, so the inner one is held so.
        unsafe { self.inner.bump_shared() }
    }

    #[track_caller]
    #[inline]
    unsafe fn bump_exclusive(&self) {
        self.map.release(Which::As(Mode::Write));
        self.map.wait(Mode::Write);
        // SAFETY: the caller holds this lock in this way, so the inner one is held so.
        unsafe { self.inner.bump_exclusive() }
    }
}

// SAFETY: as for `RawRwLock`.
unsafe impl<R: RawRwLockTimed> RawRwLockTimed for RawRwLock<R> {
    type Duration = R::Duration;
    type Instant = R::Instant;

    #[track_caller]
    #[inline]
    fn try_lock_shared_for(&self, timeout: R::Duration) -> bool {
        let attempt = || self.inner.try_lock_shared();
        let wait = || self.inner.try_lock_shared_for(timeout);
        self.map.wait_bounded(Mode::Read, attempt, wait)
    }

    #[track_caller]
    #[inline]
    fn try_lock_shared_until(&self, timeout: R::Instant) -> bool {
        let attempt = || self.inner.try_lock_shared();
        let wait = || self.inner.try_lock_shared_until(timeout);
        self.map.wait_bounded(Mode::Read, attempt, wait)
    }

    #[track_caller]
    #[inline]
    fn try_lock_exclusive_for(&self, timeout: R::Duration) -> bool {
        let attempt = || self.inner.try_lock_exclusive();
        let wait = || self.inner.try_lock_exclusive_for(timeout);
        self.map.wait_bounded(Mode::Write, attempt, wait)
    }

    #[track_caller]
    #[inline]
    fn try_lock_exclusive_until(&self, timeout: R::Instant) -> bool {
        let attempt = || self.inner.try_lock_exclusive();
        let wait = || self.inner.try_lock_exclusive_until(timeout);
        self.map.wait_bounded(Mode::Write, attempt, wait)
    }
}

// SAFETY: as for `RawRwLock`.
unsafe impl<R: RawRwLockRecursive> RawRwLockRecursive for RawRwLock<R> {
    #[track_caller]
    #[inline]
    fn lock_shared_recursive(&self) {
        self.map.wait(Mode::RecursiveRead);
        self.map.take(
            || self.inner.try_lock_shared_recursive(),
            || self.inner.lock_shared_recursive(),
        );
    }

    #[track_caller]
    #[inline]
    fn try_lock_shared_recursive(&self) -> bool {
        self.map.attempt(Mode::RecursiveRead, || {
            self.inner.try_lock_shared_recursive()
        })
    }
}

// SAFETY: as for `RawRwLock`.
unsafe impl<R: RawRwLockRecursiveTimed> RawRwLockRecursiveTimed for RawRwLock<R> {
    #[track_caller]
    #[inline]
    fn try_lock_shared_recursive_for(&self, timeout: R::Duration) -> bool {
        let attempt = || self.inner.try_lock_shared_recursive();
        let wait = || self.inner.try_lock_shared_recursive_for(timeout);
        self.map.wait_bounded(Mode::RecursiveRead, attempt, wait)
    }

    #[track_caller]
    #[inline]
    fn try_lock_shared_recursive_until(&self, timeout: R::Instant) -> bool {
        let attempt = || self.inner.try_lock_shared_recursive();
        let wait = || self.inner.try_lock_shared_recursive_until(timeout);
        self.map.wait_bounded(Mode::RecursiveRead, attempt, wait)
    }
}

// SAFETY: as for `RawRwLock`.
unsafe impl<R: RawRwLockDowngrade> RawRwLockDowngrade for RawRwLock<R> {
    #[track_caller]
    #[inline]
    unsafe fn downgrade(&self) {
        // SAFETY: the caller holds this lock in this way, so the inner one is held so.
        unsafe { self.inner.downgrade() };
        self.map.release(Which::As(Mode::Write));
        self.map.acquired(Mode::Read);
    }
}

// SAFETY: as for `RawRwLock`.
unsafe impl<R: RawRwLockUpgrade> RawRwLockUpgrade for RawRwLock<R> {
    #[track_caller]
    #[inline]
    fn lock_upgradable(&self) {
        self.map.wait(Mode::Upgradable);
        self.map.take(
            || self.inner.try_lock_upgradable(),
            || self.inner.lock_upgradable(),
        );
    }

    #[track_caller]
    #[inline]
    fn try_lock_upgradable(&self) -> bool {
        self.map
            .attempt(Mode::Upgradable, || self.inner.try_lock_upgradable())
    }

    #[inline]
    unsafe fn unlock_upgradable(&self) {
        self.map.release(Which::As(Mode::Upgradable));
        // SAFETY: the caller holds this lock in this way, so the inner one is held so.
        unsafe { self.inner.unlock_upgradable() }
    }

    /// Waits for the readers to leave, with all that was taken since.
    #[track_caller]
    #[inline]
    unsafe fn upgrade(&self) {
        self.map.release(Which::As(Mode::Upgradable));
        self.map.wait(Mode::Write);
        self.map.take(
            // SAFETY: the caller holds this lock in this way, so the inner one is held so.
            || unsafe { self.inner.try_upgrade() },
            // SAFETY: as above; the attempt, if there was one, has changed nothing.
            || unsafe { self.inner.upgrade() },
        );
    }

    #[track_caller]
    #[inline]
    unsafe fn try_upgrade(&self) -> bool {
        // SAFETY: the caller holds this lock in this way, so the inner one is held so.
        let upgraded = unsafe { self.inner.try_upgrade() };
        if upgraded {
            self.map.release(Which::As(Mode::Upgradable));
            self.map.acquired(Mode::Write);
        }
        upgraded
    }
}

// SAFETY: as for `RawRwLock`.
unsafe impl<R: RawRwLockUpgradeFair> RawRwLockUpgradeFair for RawRwLock<R> {
    #[inline]
    unsafe fn unlock_upgradable_fair(&self) {
        self.map.release(Which::As(Mode::Upgradable));
        // SAFETY: the caller holds this lock in this way, so the inner one is held so.
        unsafe { self.inner.unlock_upgradable_fair() }
    }

    #[track_caller]
    #[inline]
    unsafe fn bump_upgradable(&self) {
        self.map.release(Which::As(Mode::Upgradable));
        self.map.wait(Mode::Upgradable);
        // SAFETY: the caller holds this lock in this way, so the inner one is held so.
        unsafe { self.inner.bump_upgradable() }
    }
}

// SAFETY: as for `RawRwLock`.
unsafe impl<R: RawRwLockUpgradeDowngrade> RawRwLockUpgradeDowngrade for RawRwLock<R> {
    #[track_caller]
    #[inline]
    unsafe fn downgrade_upgradable(&self) {
        // SAFETY: the caller holds this lock in this way, so the inner one is held so.
        unsafe { self.inner.downgrade_upgradable() };
        self.map.release(Which::As(Mode::Upgradable));
        self.map.acquired(Mode::Read);
    }

    #[track_caller]
    #[inline]
    unsafe fn downgrade_to_upgradable(&self) {
        // SAFETY: the caller holds this lock in this way, so the inner one is held so.
        unsafe { self.inner.downgrade_to_upgradable() };
        self.map.release(Which::As(Mode::Write));
        self.map.acquired(Mode::Upgradable);
    }
}

// SAFETY: as for `RawRwLock`.
unsafe impl<R: RawRwLockUpgradeTimed> RawRwLockUpgradeTimed for RawRwLock<R> {
    #[track_caller]
    #[inline]
    fn try_lock_upgradable_for(&self, timeout: R::Duration) -> bool {
        let attempt = || self.inner.try_lock_upgradable();
        let wait = || self.inner.try_lock_upgradable_for(timeout);
        self.map.wait_bounded(Mode::Upgradable, attempt, wait)
    }

    #[track_caller]
    #[inline]
    fn try_lock_upgradable_until(&self, timeout: R::Instant) -> bool {
        let attempt = || self.inner.try_lock_upgradable();
        let wait = || self.inner.try_lock_upgradable_until(timeout);
        self.map.wait_bounded(Mode::Upgradable, attempt, wait)
    }

    #[track_caller]
    #[inline]
    unsafe fn try_upgrade_for(&self, timeout: R::Duration) -> bool {
        self.map.release(Which::As(Mode::Upgradable));
        // SAFETY: the caller holds this lock in this way, so the inner one is held so.
        let attempt = || unsafe { self.inner.try_upgrade() };
        // SAFETY: as above; the attempt, if there was one, has changed nothing.
        let wait = || unsafe { self.inner.try_upgrade_for(timeout) };
        let upgraded = self.map.wait_bounded(Mode::Write, attempt, wait);
        if !upgraded {
            self.map.acquired(Mode::Upgradable);
        }
        upgraded
    }

    #[track_caller]
    #[inline]
    unsafe fn try_upgrade_until(&self, timeout: R::Instant) -> bool {
        self.map.release(Which::As(Mode::Upgradable));
        // SAFETY: the caller holds this lock in this way, so the inner one is held so.
        let attempt = || unsafe { self.inner.try_upgrade() };
        // SAFETY: as above; the attempt, if there was one, has changed nothing.
        let wait = || unsafe { self.inner.try_upgrade_until(timeout) };
        let upgraded = self.map.wait_bounded(Mode::Write, attempt, wait);
        if !upgraded {
            self.map.acquired(Mode::Upgradable);
        }
        upgraded
    }
}
