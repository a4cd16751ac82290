//! The locks that the calling thread holds, and the way in for every lock type.

use std::cell::RefCell;
use std::panic::Location;

use crate::class::Map;
use crate::sync::WouldDeadlock;

/// How a lock is taken: the kernel's `read` argument of `lock_acquire` (0, 1, 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Exclusively.
    Write,
    /// Shared, but a waiting writer goes first.
    Read,
    /// Shared, and never behind a waiting writer.
    RecursiveRead,
}

/// How a lock came into the thread's hands when it could not wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// By an attempt that fails when the lock is not free.
    Try,
}

struct Held {
    map: usize,
    mode: Mode,
}

thread_local! {
    static HELD: RefCell<Vec<Held>> = const { RefCell::new(Vec::new()) };
}

/// The address of the code that the calling function was inlined into.
#[inline(always)]
pub(crate) fn ip() -> usize {
    0
}

/// Ends the acquisition when dropped.
#[derive(Debug)]
pub(crate) struct Release<'a> {
    map: &'a Map,
}

impl<'a> Release<'a> {
    /// Ends the acquisition now and says of which lock.
    #[inline]
    pub(crate) fn end(self) -> &'a Map {
        self.map
    }
}

impl Drop for Release<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        let address = self.map.address();
        let _ = HELD.try_with(|held| {
            let mut held = held.borrow_mut();
            if let Some(at) = held.iter().rposition(|h| h.map == address) {
                held.remove(at);
            }
        });
    }
}

/// Before a lock is waited for.
#[inline(always)]
pub(crate) fn acquire<'a>(
    map: &'a Map,
    mode: Mode,
    site: &'static Location<'static>,
    ip: usize,
) -> Release<'a> {
    match acquire_or_deadlock(map, mode, site, ip) {
        Ok(release) => release,
        Err(WouldDeadlock) => panic!("{WouldDeadlock}: {:?} at {site}", map.class),
    }
}

/// Before a lock is waited for, when the caller can do without it.
#[inline(always)]
pub(crate) fn acquire_or_deadlock<'a>(
    map: &'a Map,
    mode: Mode,
    _site: &'static Location<'static>,
    _ip: usize,
) -> Result<Release<'a>, WouldDeadlock> {
    let address = map.address();
    let waits = HELD.with(|held| {
        held.borrow()
            .iter()
            .any(|h| h.map == address && (h.mode == Mode::Write || mode == Mode::Write))
    });
    if waits {
        return Err(WouldDeadlock);
    }
    HELD.with(|held| held.borrow_mut().push(Held { map: address, mode }));
    Ok(Release { map })
}

/// Around what is no lock: never panics, because nobody waits in it.
#[inline(always)]
pub(crate) fn acquire_map<'a>(
    map: &'a Map,
    mode: Mode,
    _site: &'static Location<'static>,
    _ip: usize,
) -> Release<'a> {
    HELD.with(|held| {
        held.borrow_mut().push(Held {
            map: map.address(),
            mode,
        })
    });
    Release { map }
}

/// After a lock was taken without waiting.
#[inline(always)]
pub(crate) fn acquired<'a>(
    map: &'a Map,
    mode: Mode,
    _taken: Taken,
    _site: &'static Location<'static>,
    _ip: usize,
) -> Release<'a> {
    HELD.with(|held| {
        held.borrow_mut().push(Held {
            map: map.address(),
            mode,
        })
    });
    Release { map }
}
