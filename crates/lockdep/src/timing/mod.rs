//! What locks say of themselves while `lock_stat` measures: since when they are held or waited for, and by which line.
//!
//! Each thread has a small stack of its own of what it holds, beside the validator's: a lock is put on it when the thread
//! asks for it, starts counting anew when it has been waited for, and is timed when it is taken off. What comes of it goes
//! into the thread's own figures ([`figures`](crate::lock_stat)). The kernel does the same with the fields
//! `waittime_stamp` and `holdtime_stamp` of `struct held_lock` (`kernel/locking/lockdep.c: __lock_contended`,
//! `__lock_acquired`, `lock_release_holdtime`).
//!
//! All of it is plain cells without a destructor, as the validator's stack is, so that it works in thread-local destructors.

use std::cell::Cell;
use std::panic::Location;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use crate::chain::Word;
use crate::class::Map;
use crate::lock_stat::figures::{self, Site};
use crate::thread::{DEPTH, How, Request};

/// Who took a lock last.
#[derive(Debug)]
pub(crate) struct Point {
    site: AtomicPtr<Location<'static>>,
    ip: AtomicUsize,
}

impl Point {
    pub(crate) const fn new() -> Self {
        Self {
            site: AtomicPtr::new(ptr::null_mut()),
            ip: AtomicUsize::new(0),
        }
    }

    fn set(&self, site: Site) {
        self.site
            .store(ptr::from_ref(site.location).cast_mut(), Relaxed);
        self.ip.store(site.ip, Relaxed);
    }

    fn get(&self) -> Option<Site> {
        let site = self.site.load(Relaxed);
        // SAFETY: the pointer is null, or was made of a reference that lives for ever.
        let location = unsafe { site.as_ref() }?;
        let ip = self.ip.load(Relaxed);
        Some(Site { location, ip })
    }
}

/// One lock that a thread holds or waits for.
#[derive(Clone, Copy)]
struct Hold {
    map: usize,
    class: u32,
    shared: bool,
    site: Site,
    /// Held since then; nothing if that does not count.
    since: Option<Instant>,
    /// Waited for since then, and whose hands it was in.
    waits: Option<(Instant, Option<Site>)>,
}

struct Holds {
    depth: Cell<usize>,
    holds: [Cell<Option<Hold>>; DEPTH],
}

thread_local! {
    static HOLDS: Holds = const {
        Holds {
            depth: Cell::new(0),
            holds: [const { Cell::new(None) }; DEPTH],
        }
    };
}

impl Holds {
    fn push(&self, hold: Hold) {
        // What does not fit is not measured.
        if let Some(place) = self.holds.get(self.depth.get()) {
            // First the room, then the entry: a signal handler that comes between uses the room above.
            self.depth.set(self.depth.get() + 1);
            place.set(Some(hold));
        }
    }

    fn find(&self, map: usize) -> Option<usize> {
        let places = self.holds[..self.depth.get()].iter();
        places
            .map(Cell::get)
            .rposition(|hold| hold.is_some_and(|hold| hold.map == map))
    }

    /// Changes the newest entry of this lock.
    fn change(&self, map: &Map, change: impl FnOnce(&mut Hold)) {
        let Some(at) = self.find(map.address()) else {
            return;
        };
        if let Some(mut hold) = self.holds[at].get() {
            change(&mut hold);
            self.holds[at].set(Some(hold));
        }
    }

    /// Takes out the newest entry of this lock.
    fn take(&self, map: &Map) -> Option<Hold> {
        let at = self.find(map.address())?;
        let hold = self.holds[at].get();
        let last = self.depth.get() - 1;
        for at in at..last {
            self.holds[at].set(self.holds[at + 1].get());
        }
        self.depth.set(last);
        hold
    }
}

/// The class of what is asked for; 0 if the validator does not know it.
fn class_of(map: &Map, request: Request) -> u32 {
    Word(map.word() + request.flags).class()
}

/// The thread asks for a lock, or has it by an attempt.
#[inline]
pub(crate) fn begin(map: &Map, request: Request, location: &'static Location<'static>, ip: usize) {
    let class = class_of(map, request);
    if class == 0 {
        return;
    }
    let site = Site { location, ip };
    if request.how == How::Try {
        map.point().set(site);
    }
    let hold = Hold {
        map: map.address(),
        class,
        shared: !Word(request.flags).is_write(),
        site,
        since: Some(Instant::now()),
        waits: None,
    };
    HOLDS.with(|holds| holds.push(hold));
}

/// The lock that the thread asks for is not free (`lock_contended`).
#[inline(never)]
pub(crate) fn contended(map: &Map) {
    let holder = map.point().get();
    HOLDS.with(|holds| holds.change(map, |hold| hold.waits = Some((Instant::now(), holder))));
}

/// The thread has the lock that it asked for (`lock_acquired`).
#[inline]
pub(crate) fn acquired(map: &Map) {
    HOLDS.with(|holds| {
        holds.change(map, |hold| {
            map.point().set(hold.site);
            if hold.waits.is_some() {
                hold.since = Some(end_of_wait(hold));
            }
        });
    });
}

/// Notes a wait that is over, and says when that was.
fn end_of_wait(hold: &mut Hold) -> Instant {
    let now = Instant::now();
    if let Some((since, holder)) = hold.waits.take() {
        let time = now.saturating_duration_since(since);
        figures::waited(hold.class, hold.shared, time, hold.site, holder);
    }
    now
}

/// The thread does not get the lock that it asked for, or asked for it only to be seen.
#[inline]
pub(crate) fn void(map: &Map) {
    HOLDS.with(|holds| {
        holds.change(map, |hold| {
            hold.since = None;
            if hold.waits.is_some() {
                end_of_wait(hold);
            }
        });
    });
}

/// The lock is given up.
#[inline]
pub(crate) fn end(map: &Map) {
    let Some(mut hold) = HOLDS.with(|holds| holds.take(map)) else {
        return;
    };
    if hold.waits.is_some() {
        end_of_wait(&mut hold);
    } else if let Some(since) = hold.since {
        figures::held(hold.class, hold.shared, since.elapsed());
    }
}

/// The memory of a lock is given back, which some thread may never have released.
#[inline]
pub(crate) fn freed(map: &Map) {
    HOLDS.with(|holds| holds.take(map));
}

/// The thread initialises a value, unless another one was about it: then it waits.
pub(crate) fn once(map: &Map) {
    HOLDS.with(|holds| {
        holds.change(map, |hold| match map.point().get() {
            None => map.point().set(hold.site),
            holder => hold.waits = hold.since.map(|since| (since, holder)),
        });
    });
}

/// The thread waits for what another one does.
pub(crate) fn event<R>(
    map: &Map,
    location: &'static Location<'static>,
    wait: impl FnOnce() -> R,
) -> R {
    let class = Word(map.word()).class();
    let since = Instant::now();
    let result = wait();
    if class != 0 {
        let site = Site { location, ip: 0 };
        figures::waited(class, false, since.elapsed(), site, map.point().get());
    }
    result
}

/// Takes a lock that the thread has asked for: by `attempt` if it is free, else by `wait`, which is timed.
#[inline(always)]
pub(crate) fn waited<R>(
    map: &Map,
    attempt: impl FnOnce() -> Option<R>,
    wait: impl FnOnce() -> R,
) -> R {
    let taken = match attempt() {
        Some(taken) => taken,
        None => {
            contended(map);
            wait()
        }
    };
    acquired(map);
    taken
}

/// As [`waited`], where both say whether they took the lock.
#[inline(always)]
pub(crate) fn waited_perhaps(
    map: &Map,
    attempt: impl FnOnce() -> bool,
    wait: impl FnOnce() -> bool,
) -> bool {
    let taken = attempt() || {
        contended(map);
        wait()
    };
    if taken {
        acquired(map);
    } else {
        void(map);
    }
    taken
}

#[cfg(feature = "tokio")]
pub(crate) mod task;

#[cfg(feature = "tokio")]
pub(crate) use task::task_waits;
