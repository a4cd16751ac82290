//! Waits for something that another thread does, as pseudo-locks.
//!
//! Who waits for a message, a notification or the last one at a barrier waits for whoever sends, notifies or comes. The
//! validator cannot know who that will be. It learns it from a *promise*: as long as the promise lives, the thread is one of
//! those who are waited for, and what it waits for meanwhile keeps the others waiting too. So the promise counts as a lock
//! that is held, and the wait as taking it for an instant (as `kernel/workqueue.c` does with work and who flushes it).
//! Without promises, a wait closes no cycle.

use std::panic::Location;

use super::lock_map::{LockMap, LockMapGuard};
use crate::chain::Word;
use crate::class::{Class, Map, Wait};
use crate::thread::{self, How, Mode, Request, Which};
use crate::timing;

/// What threads wait for, and others promise.
#[derive(Debug)]
pub(crate) struct Event {
    lock: LockMap,
}

impl Event {
    /// Who waits sleeps; who has promised may do anything.
    const WAIT: Wait = Wait {
        outer: Wait::SLEEP.outer,
        ..Wait::NONE
    };

    pub(crate) const fn new(class: Class) -> Self {
        Self {
            lock: LockMap::of(Map::new(class, Self::WAIT)),
        }
    }

    /// The calling thread is one of those who are waited for. Several may be, hence a reader.
    #[track_caller]
    pub(crate) fn promise(&self) -> LockMapGuard<'_> {
        self.lock.acquire_read()
    }

    /// Says that the calling thread is about to wait in `wait`, and lets it. If the thread has itself promised what it waits for
    /// (the others at a barrier), to wait is to keep the promise, which holds again afterwards.
    #[inline]
    pub(crate) fn wait<R>(
        &self,
        site: &'static Location<'static>,
        ip: usize,
        wait: impl FnOnce() -> R,
    ) -> R {
        let map = &self.lock.map;
        let mut promises = Promises {
            map,
            count: 0,
            site,
            ip,
        };
        while map.is_held(None) {
            thread::release(map, Which::Newest);
            promises.count += 1;
        }
        // Events of one class are in no order: who passes on what it receives waits for one and has promised another.
        let request = Request {
            flags: Mode::Write as u64 | Word::NESTED,
            how: How::Pseudo,
        };
        let seen = thread::try_acquire(map, request, site, ip);
        timing::void(map);
        drop(seen);
        timing::event(map, site, wait)
    }
}

/// Promises to be made again after a wait, also when it panics.
struct Promises<'a> {
    map: &'a Map,
    count: usize,
    site: &'static Location<'static>,
    ip: usize,
}

impl Drop for Promises<'_> {
    fn drop(&mut self) {
        for _ in 0..self.count {
            let mode = Mode::RecursiveRead;
            // Ended by the guard of the promise.
            std::mem::forget(thread::acquired(self.map, mode, self.site, self.ip));
        }
    }
}
