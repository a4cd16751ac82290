//! The validator's part of a raw lock.

#[cfg(not(feature = "off"))]
use std::{mem, panic::Location, sync::OnceLock};

#[cfg(not(feature = "off"))]
use crate::class::{Class, Map, Wait};
#[cfg(not(feature = "off"))]
use crate::thread::{self, How, Mode, Request, Which, ip};
#[cfg(not(feature = "off"))]
use crate::timing;

#[cfg(feature = "off")]
pub(super) use off::RawMap;

/// The class is either given or found out by who takes the lock first.
#[cfg(not(feature = "off"))]
#[derive(Debug)]
pub(super) enum RawMap {
    Given(Map),
    First(OnceLock<Map>),
}

#[cfg(not(feature = "off"))]
impl RawMap {
    pub(super) const fn first() -> Self {
        Self::First(OnceLock::new())
    }

    pub(super) const fn given(class: Class) -> Self {
        Self::Given(Map::new(class, Wait::SLEEP))
    }

    /// The map, which nobody else needs: the lock was never taken, or is of a given class.
    pub(super) fn known(&self) -> Option<&Map> {
        match self {
            Self::Given(map) => Some(map),
            Self::First(map) => map.get(),
        }
    }

    #[inline]
    fn at(&self, site: &'static Location<'static>) -> &Map {
        match self {
            Self::Given(map) => map,
            Self::First(map) => map.get_or_init(|| Map::new(Class::Site(site), Wait::SLEEP)),
        }
    }

    /// Before the lock is waited for.
    #[track_caller]
    #[inline]
    pub(super) fn wait(&self, mode: Mode) {
        let site = Location::caller();
        // Ended by `release`.
        mem::forget(thread::acquire(self.at(site), mode, site, ip()));
    }

    /// Takes the lock that the validator was asked for by [`wait`](RawMap::wait).
    #[inline]
    pub(super) fn take(&self, attempt: impl FnOnce() -> bool, wait: impl FnOnce()) {
        match self.known() {
            Some(map) if cfg!(feature = "lock_stat") => {
                timing::waited(map, || attempt().then_some(()), wait);
            }
            _ => wait(),
        }
    }

    /// Waits for the lock, but not for ever.
    #[track_caller]
    #[inline]
    pub(super) fn wait_bounded(
        &self,
        mode: Mode,
        attempt: impl FnOnce() -> bool,
        wait: impl FnOnce() -> bool,
    ) -> bool {
        let site = Location::caller();
        let request = Request {
            how: How::Pseudo,
            ..Request::wait(mode)
        };
        // Never an error: who does not wait for ever does not wait for itself for ever.
        let map = self.at(site);
        let release = thread::try_acquire(map, request, site, ip());
        let taken = timing::waited_perhaps(map, attempt, wait);
        if taken {
            mem::forget(release);
        }
        taken
    }

    /// Takes the lock if it is free.
    #[track_caller]
    #[inline]
    pub(super) fn attempt(&self, mode: Mode, attempt: impl FnOnce() -> bool) -> bool {
        let taken = attempt();
        if taken {
            self.acquired(mode);
        }
        taken
    }

    /// After the lock was taken without waiting.
    #[track_caller]
    #[inline]
    pub(super) fn acquired(&self, mode: Mode) {
        let site = Location::caller();
        mem::forget(thread::acquired(self.at(site), mode, site, ip()));
    }

    /// Before the lock is given up.
    #[inline]
    pub(super) fn release(&self, which: Which) {
        if let Some(map) = self.known() {
            thread::release(map, which);
        }
    }
}

/// Nothing.
#[cfg(feature = "off")]
mod off {
    use crate::class::Class;
    use crate::thread::{Mode, Which};

    #[derive(Debug)]
    pub(in crate::lock_api) struct RawMap;

    impl RawMap {
        pub(in crate::lock_api) const fn first() -> Self {
            Self
        }

        pub(in crate::lock_api) const fn given(class: Class) -> Self {
            std::mem::forget(class);
            Self
        }

        pub(in crate::lock_api) fn wait(&self, _: Mode) {}

        pub(in crate::lock_api) fn take(&self, _: impl FnOnce() -> bool, wait: impl FnOnce()) {
            wait();
        }

        pub(in crate::lock_api) fn wait_bounded(
            &self,
            _: Mode,
            _: impl FnOnce() -> bool,
            wait: impl FnOnce() -> bool,
        ) -> bool {
            wait()
        }

        pub(in crate::lock_api) fn attempt(&self, _: Mode, attempt: impl FnOnce() -> bool) -> bool {
            attempt()
        }

        pub(in crate::lock_api) fn acquired(&self, _: Mode) {}

        pub(in crate::lock_api) fn release(&self, _: Which) {}
    }
}
