//! The locks that the calling thread holds, and the way in for every lock type.
//!
//! Each thread has a stack of the locks it holds, in the order of taking, and with each lock the key of the chain that ends
//! with it (the kernel's `task_struct.held_locks`). Taking a lock extends the key, looks it up among the chains that are
//! known to be in order, and pushes; releasing the newest lock is one store. Everything else is out of line, in
//! [`miss`](crate::miss).
//!
//! The stack is plain cells without a destructor: it works in thread-local destructors too.

use std::cell::Cell;
use std::panic::Location;

use crate::chain::{self, ChainKey, Word};
use crate::class::Map;
use crate::miss;
use crate::sync::WouldDeadlock;

/// How many locks a thread may hold before the validator loses sight of the rest. The kernel's `MAX_LOCK_DEPTH` is 48.
pub(crate) const DEPTH: usize = 64;

/// How a lock is taken: the kernel's `read` argument of `lock_acquire`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Mode {
    /// Exclusively.
    Write = 0,
    /// Shared, but a waiting writer goes first.
    Read = 1,
    /// Shared, and never behind a waiting writer.
    RecursiveRead = 2,
}

/// What taking a lock can lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// The thread waits until it has the lock.
    Wait,
    /// The thread has the lock: it was free.
    Try,
    /// There is nothing to wait in: the lock is a pseudo-lock.
    Pseudo,
}

/// One lock that a thread holds: the kernel's `struct held_lock`.
#[derive(Clone, Copy)]
pub(crate) struct HeldLock {
    /// Of the chain that ends with this lock.
    pub(crate) key: ChainKey,
    /// Address of the lock's [`Map`].
    pub(crate) map: usize,
    /// The code that took it.
    pub(crate) ip: usize,
    pub(crate) word: Word,
}

impl HeldLock {
    const NONE: Self = Self {
        key: ChainKey::UNREGISTERED,
        map: 0,
        ip: 0,
        word: Word(0),
    };
}

/// What the validator knows about a thread.
pub(crate) struct Thread {
    /// How many locks are held: the newest is `held[depth]`.
    pub(crate) depth: Cell<usize>,
    /// Entry 0 stands for "nothing held".
    pub(crate) held: [Cell<HeldLock>; DEPTH + 1],
    /// Locks taken beyond [`DEPTH`].
    pub(crate) untracked: Cell<usize>,
    /// The validator itself is at work on this thread: what it takes is not its business.
    pub(crate) busy: Cell<bool>,
}

thread_local! {
    static THREAD: Thread = const {
        Thread {
            depth: Cell::new(0),
            held: [const { Cell::new(HeldLock::NONE) }; DEPTH + 1],
            untracked: Cell::new(0),
            busy: Cell::new(false),
        }
    };
}

impl Thread {
    /// The locks held, oldest first.
    pub(crate) fn held(
        &self,
    ) -> impl DoubleEndedIterator<Item = HeldLock> + ExactSizeIterator + '_ {
        let depth = self.depth.get().min(DEPTH);
        self.held[1..=depth].iter().map(Cell::get)
    }

    /// The key of the chain that the thread holds.
    pub(crate) fn key(&self) -> ChainKey {
        self.held[self.depth.get().min(DEPTH)].get().key
    }

    /// Makes the thread known to the validator; it must hold nothing.
    pub(crate) fn register(&self) {
        self.held[0].set(HeldLock {
            key: ChainKey::EMPTY,
            ..HeldLock::NONE
        });
    }

    pub(crate) fn is_registered(&self) -> bool {
        self.held[0].get().key != ChainKey::UNREGISTERED
    }

    /// Adds a lock on top. The caller has made sure that there is room.
    #[inline(always)]
    pub(crate) fn push(&self, lock: HeldLock) {
        let depth = self.depth.get();
        if let Some(slot) = self.held.get(depth + 1) {
            slot.set(lock);
            self.depth.set(depth + 1);
        }
    }

    /// Takes out a lock that is not the newest and brings the keys of the newer ones up to date
    /// (`kernel/locking/lockdep.c: reacquire_held_locks`). Says whether the lock was held.
    fn remove(&self, map: usize) -> bool {
        let depth = self.depth.get().min(DEPTH);
        let Some(at) = (1..=depth).rev().find(|&at| self.held[at].get().map == map) else {
            return false;
        };
        for at in at..depth {
            let mut lock = self.held[at + 1].get();
            lock.key = self.held[at - 1].get().key.extend(lock.word);
            self.held[at].set(lock);
        }
        self.depth.set(depth - 1);
        true
    }
}

/// Runs `f` with the calling thread's state.
#[inline(always)]
pub(crate) fn with<R>(f: impl FnOnce(&Thread) -> R) -> R {
    THREAD.with(f)
}

/// Runs `f` with the calling thread marked busy, for code that takes the graph lock.
pub(crate) fn quietly<R>(f: impl FnOnce() -> R) -> R {
    /// Back to how it was, also when `f` panics.
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            with(|thread| thread.busy.set(self.0));
        }
    }
    let _restore = Restore(with(|thread| thread.busy.replace(true)));
    f()
}

/// The address of the code that the calling function was inlined into: with it, a report can name the function that took a
/// lock without anything being looked up when the lock is taken.
#[inline(always)]
pub(crate) fn ip() -> usize {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        let ip: usize;
        // SAFETY: reads the instruction pointer; touches neither memory, stack nor flags.
        unsafe {
            std::arch::asm!("lea {}, [rip]", out(reg) ip, options(nomem, nostack, preserves_flags));
        };
        ip
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    {
        let ip: usize;
        // SAFETY: reads the instruction pointer; touches neither memory, stack nor flags.
        unsafe {
            std::arch::asm!("adr {}, .", out(reg) ip, options(nomem, nostack, preserves_flags))
        };
        ip
    }
    #[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
    0
}

/// Ends the acquisition when dropped.
#[derive(Debug)]
pub(crate) struct Release<'a> {
    map: &'a Map,
}

impl<'a> Release<'a> {
    /// Ends the acquisition now and says of which lock.
    #[inline(always)]
    pub(crate) fn end(self) -> &'a Map {
        self.map
    }
}

impl Drop for Release<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        let map = self.map.address();
        with(|thread| {
            let depth = thread.depth.get();
            match thread.held.get(depth) {
                Some(newest) if newest.get().map == map => thread.depth.set(depth.wrapping_sub(1)),
                _ => release_slow(thread, self.map),
            }
        });
    }
}

#[cold]
#[inline(never)]
fn release_slow(thread: &Thread, map: &Map) {
    if thread.remove(map.address()) {
        return;
    }
    match thread.untracked.get() {
        0 => miss::bad_unlock(thread, map),
        untracked => thread.untracked.set(untracked - 1),
    }
}

/// Pushes the lock if the chain that it makes is known to be in order.
#[inline(always)]
fn push_known(thread: &Thread, map: &Map, flags: u64, ip: usize) -> bool {
    let depth = thread.depth.get();
    let word = Word(map.word() | flags);
    if depth < DEPTH {
        let key = thread.held[depth].get().key.extend(word);
        if chain::is_known(key) {
            thread.held[depth + 1].set(HeldLock {
                key,
                map: map.address(),
                ip,
                word,
            });
            thread.depth.set(depth + 1);
            return true;
        }
    }
    false
}

/// Before a lock is waited for.
///
/// # Panics
/// When the thread would wait for itself for ever.
#[inline(always)]
pub(crate) fn acquire<'a>(
    map: &'a Map,
    mode: Mode,
    site: &'static Location<'static>,
    ip: usize,
) -> Release<'a> {
    with(|thread| {
        if !push_known(thread, map, mode as u64, ip) {
            miss::acquire_or_panic(thread, map, mode, site, ip);
        }
    });
    Release { map }
}

/// Before a lock is waited for, when the caller can do without it.
#[inline(always)]
pub(crate) fn acquire_or_deadlock<'a>(
    map: &'a Map,
    mode: Mode,
    site: &'static Location<'static>,
    ip: usize,
) -> Result<Release<'a>, WouldDeadlock> {
    with(|thread| {
        if push_known(thread, map, mode as u64, ip) {
            return Ok(());
        }
        miss::acquire(thread, map, mode, How::Wait, site, ip)
    })?;
    Ok(Release { map })
}

/// Around what is no lock.
#[inline(always)]
pub(crate) fn acquire_map<'a>(
    map: &'a Map,
    mode: Mode,
    site: &'static Location<'static>,
    ip: usize,
) -> Release<'a> {
    acquire_unfailing(map, mode, 0, How::Pseudo, site, ip)
}

/// After a lock was taken without waiting.
#[inline(always)]
pub(crate) fn acquired<'a>(
    map: &'a Map,
    mode: Mode,
    site: &'static Location<'static>,
    ip: usize,
) -> Release<'a> {
    acquire_unfailing(map, mode, Word::TRY, How::Try, site, ip)
}

#[inline(always)]
fn acquire_unfailing<'a>(
    map: &'a Map,
    mode: Mode,
    flags: u64,
    how: How,
    site: &'static Location<'static>,
    ip: usize,
) -> Release<'a> {
    with(|thread| {
        if !push_known(thread, map, mode as u64 | flags, ip) {
            // Only who waits in a real lock can wait for itself.
            let _ = miss::acquire(thread, map, mode, how, site, ip);
        }
    });
    Release { map }
}
