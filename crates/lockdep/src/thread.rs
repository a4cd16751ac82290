//! Threads: what the calling one holds, and how to start others so that the validator knows when they begin and end.
//!
//! [`spawn`], [`scope`] and [`Builder`] are `std`'s, but what a thread did before it started another, or was joined, counts
//! as over: cycles that could only come about then are graded [`Ordered`](crate::Grade::Ordered).
//!
//! The rest of this module is the way in for every lock type.
//!
//! Each thread has a stack of the locks it holds, in the order of taking, and with each lock the key of the chain that ends
//! with it (the kernel's `task_struct.held_locks`). Taking a lock extends the key, looks it up among the chains that are
//! known to be in order, and pushes; releasing the newest lock is one store. Everything else is out of line, in
//! `miss`.
//!
//! The stack is plain cells without a destructor: it works in thread-local destructors too.

use std::cell::Cell;
use std::panic::Location;

use crate::chain::{ChainKey, Word};
use crate::class::Map;
use crate::fork;
use crate::met::Met;
use crate::miss;
use crate::sync::WouldDeadlock;
use crate::warn;

pub use crate::spawn::{Builder, JoinHandle, Scope, ScopedJoinHandle, scope, spawn};

/// How many locks a thread may hold before the validator loses sight of the rest. The kernel's `MAX_LOCK_DEPTH` is 48.
pub(crate) const DEPTH: usize = 64;

/// How a lock is taken: the kernel's `read` argument of `lock_acquire`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u64)]
pub enum Mode {
    /// Exclusively.
    #[default]
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

/// One way of taking a lock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    /// Mode and flags, as they stand in a [`Word`].
    pub(crate) flags: u64,
    pub(crate) subclass: u32,
    pub(crate) how: How,
}

impl Request {
    #[inline(always)]
    pub(crate) const fn wait(mode: Mode) -> Self {
        Self {
            flags: mode as u64,
            subclass: 0,
            how: How::Wait,
        }
    }

    /// The word of an acquisition.
    #[inline(always)]
    pub(crate) fn word(self, thread: &Thread, map: &Map) -> Word {
        let subclass = u64::from(self.subclass) << Word::CLASS_SHIFT;
        Word((map.word() + subclass) | self.flags | thread.context.get())
    }
}

/// One lock that a thread holds: the kernel's `struct held_lock`.
#[derive(Clone, Copy)]
pub(crate) struct HeldLock {
    /// Of the chain that ends with this lock.
    pub(crate) key: ChainKey,
    /// Address of the lock's [`Map`]; one more while the lock is pinned.
    pub(crate) map: usize,
    /// The code that took it.
    pub(crate) ip: usize,
    pub(crate) word: Word,
}

/// In the place of a lock's address: here a signal handler interrupted the thread.
pub(crate) const INTERRUPT: usize = 2;

impl HeldLock {
    const NONE: Self = Self {
        key: ChainKey::UNREGISTERED,
        map: 0,
        ip: 0,
        word: Word(0),
    };

    /// Whether it is the lock with this address.
    pub(crate) const fn is(&self, map: usize) -> bool {
        self.address() == map
    }

    /// The lock's address.
    pub(crate) const fn address(&self) -> usize {
        self.map & !1
    }
}

/// What the validator knows about a thread.
pub(crate) struct Thread {
    /// How many locks are held: the newest is `held[depth]`.
    pub(crate) depth: Cell<usize>,
    /// The flags of a [`Word`] that depend on what the thread is doing: in a signal handler, signals blocked.
    pub(crate) context: Cell<u64>,
    /// Entry 0 stands for "nothing held".
    held: [Cell<HeldLock>; DEPTH + 1],
    /// Locks taken beyond [`DEPTH`].
    pub(crate) untracked: Cell<usize>,
    /// The validator itself is at work on this thread: what it takes is not its business.
    pub(crate) busy: Cell<bool>,
    pub(crate) met: Met,
}

thread_local! {
    static THREAD: Thread = const {
        Thread {
            depth: Cell::new(0),
            context: Cell::new(0),
            held: [const { Cell::new(HeldLock::NONE) }; DEPTH + 1],
            untracked: Cell::new(0),
            busy: Cell::new(false),
            met: Met::new(),
        }
    };
    /// Looks at the end of the thread whether it still holds locks.
    static EXIT: Exit = const { Exit };
}

/// Its destructor runs when the thread ends.
struct Exit;

impl Drop for Exit {
    fn drop(&mut self) {
        with(|thread| {
            if thread.depth.get() > 0 {
                warn::still_held(thread);
            }
        });
    }
}

impl Thread {
    /// The locks held, oldest first.
    pub(crate) fn held(&self) -> impl DoubleEndedIterator<Item = HeldLock> + '_ {
        self.entries().filter(|lock| lock.map != INTERRUPT)
    }

    /// The locks held, newest first, as far as the thread took them where it is now: in the signal handler, or outside.
    pub(crate) fn held_here(&self) -> impl Iterator<Item = HeldLock> + '_ {
        self.entries()
            .rev()
            .take_while(|lock| lock.map != INTERRUPT)
    }

    fn entries(&self) -> impl DoubleEndedIterator<Item = HeldLock> + '_ {
        let depth = self.depth.get().min(DEPTH);
        self.held[1..=depth].iter().map(Cell::get)
    }

    /// The key of the chain that the thread holds.
    pub(crate) fn key(&self) -> ChainKey {
        self.held[self.depth.get().min(DEPTH)].get().key
    }

    /// Makes the thread known to the validator, unless it is; a thread that is not known holds nothing.
    pub(crate) fn register(&self) {
        if self.held[0].get().key == ChainKey::UNREGISTERED {
            self.held[0].set(HeldLock {
                key: ChainKey::EMPTY,
                ..HeldLock::NONE
            });
            fork::prepare();
            // Where thread-local values are being destroyed there is no looking at the end any more.
            let _ = EXIT.try_with(|_| ());
        }
    }

    /// Adds a lock on top, if there is room.
    #[inline(always)]
    pub(crate) fn push(&self, lock: HeldLock) -> bool {
        let depth = self.depth.get();
        let Some(slot) = self.held.get(depth + 1) else {
            return false;
        };
        slot.set(lock);
        self.depth.set(depth + 1);
        true
    }

    /// A signal handler begins: what it takes is taken under nothing that is held now. Says whether there was room to note it.
    pub(crate) fn interrupt(&self) -> bool {
        let word = Word(Word::IN_HANDLER);
        let key = self.key().extend(word);
        self.push(HeldLock {
            key,
            map: INTERRUPT,
            ip: 0,
            word,
        })
    }

    /// Takes out the newest entry of this address and brings the keys of the newer ones up to date
    /// (`kernel/locking/lockdep.c: reacquire_held_locks`). Says whether there was one.
    pub(crate) fn remove(&self, map: usize) -> bool {
        let depth = self.depth.get().min(DEPTH);
        let Some(at) = (1..=depth).rev().find(|&at| self.held[at].get().is(map)) else {
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

    /// Marks the newest entry of this lock as pinned, or takes the mark away. Says whether the lock is held and was not so before.
    pub(crate) fn pin(&self, map: usize, pinned: bool) -> bool {
        let depth = self.depth.get().min(DEPTH);
        let entry = (1..=depth).rev().find(|&at| self.held[at].get().is(map));
        entry.is_some_and(|at| {
            let mut lock = self.held[at].get();
            let changed = (lock.map != map) != pinned;
            lock.map = map | usize::from(pinned);
            self.held[at].set(lock);
            changed
        })
    }
}

/// Reports if the lock that serialises others is not held.
pub(crate) fn require_nest(map: &Map, nest: &Map) {
    with(|thread| {
        if !thread.held().any(|lock| lock.is(nest.address())) {
            warn::nest_not_taken(thread, map, nest);
        }
    });
}

/// A lock's memory is given back: no thread can tell of others what they hold, but of itself it can.
#[inline]
pub(crate) fn freed(map: &Map) {
    with(|thread| {
        if thread.depth.get() > 0 {
            freed_slow(thread, map);
        }
    });
}

#[cold]
#[inline(never)]
fn freed_slow(thread: &Thread, map: &Map) {
    if let Some(lock) = thread.held().find(|lock| lock.is(map.address())) {
        warn::held_lock_freed(thread, &lock, size_of_val(map));
        // What is there next is another lock.
        thread.remove(map.address());
    }
}

/// Runs `f` with the calling thread's state.
///
/// All that std is given to run is one instruction, because `LocalKey::with` becomes a call as soon as what it runs is larger.
#[inline(always)]
pub(crate) fn with<R>(f: impl FnOnce(&Thread) -> R) -> R {
    let thread = THREAD.with(std::ptr::from_ref);
    // SAFETY: a thread-local value that is constant at first and has no destructor is there until its thread ends. `f` runs
    // on that thread, and cannot keep the reference.
    f(unsafe { &*thread })
}

// What `with` relies on.
const _: () = assert!(!std::mem::needs_drop::<Thread>());

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
    #[cfg(all(target_arch = "x86_64", not(miri), not(feature = "off")))]
    {
        let ip: usize;
        // SAFETY: reads the instruction pointer; touches neither memory, stack nor flags.
        unsafe {
            std::arch::asm!("lea {}, [rip]", out(reg) ip, options(nomem, nostack, preserves_flags));
        };
        ip
    }
    #[cfg(all(target_arch = "aarch64", not(miri), not(feature = "off")))]
    {
        let ip: usize;
        // SAFETY: reads the instruction pointer; touches neither memory, stack nor flags.
        unsafe {
            std::arch::asm!("adr {}, .", out(reg) ip, options(nomem, nostack, preserves_flags))
        };
        ip
    }
    #[cfg(any(
        miri,
        feature = "off",
        not(any(target_arch = "x86_64", target_arch = "aarch64"))
    ))]
    0
}

/// Ends the acquisition when dropped.
#[derive(Debug)]
pub(crate) struct Release<'a> {
    #[cfg(not(feature = "off"))]
    map: &'a Map,
    #[cfg(feature = "off")]
    map: std::marker::PhantomData<&'a Map>,
}

impl<'a> Release<'a> {
    #[inline(always)]
    fn of(#[cfg_attr(feature = "off", expect(unused))] map: &'a Map) -> Self {
        Self {
            #[cfg(not(feature = "off"))]
            map,
            #[cfg(feature = "off")]
            map: std::marker::PhantomData,
        }
    }

    /// Ends the acquisition now and says of which lock.
    #[inline(always)]
    pub(crate) fn end(self) -> &'a Map {
        #[cfg(not(feature = "off"))]
        return self.map;
        #[cfg(feature = "off")]
        &Map
    }
}

#[cfg(not(feature = "off"))]
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
    let address = map.address();
    if let Some(lock) = thread.held().rfind(|lock| lock.is(address)) {
        if lock.map != address {
            warn::releasing_pinned(thread, &lock);
        }
        thread.remove(address);
        return;
    }
    match thread.untracked.get() {
        0 => warn::bad_unlock(thread, map),
        untracked => thread.untracked.set(untracked - 1),
    }
}

/// Ends an acquisition for which there is no [`Release`].
#[inline]
pub(crate) fn release(map: &Map) {
    drop(Release::of(map));
}

/// Pushes the lock if the chain that it makes is known to be in order.
#[inline(always)]
fn push_known(thread: &Thread, map: &Map, request: Request, ip: usize) -> bool {
    if cfg!(feature = "off") {
        return true;
    }
    let depth = thread.depth.get();
    let word = request.word(thread, map);
    if depth < DEPTH {
        let key = thread.held[depth].get().key.extend(word);
        if thread.met.contains(key) {
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
        if !push_known(thread, map, Request::wait(mode), ip) {
            miss::acquire_or_panic(thread, map, Request::wait(mode), site, ip);
        }
    });
    Release::of(map)
}

/// Before a lock is waited for, when the caller can do without it; and every acquisition that is out of the ordinary.
#[inline(always)]
pub(crate) fn try_acquire<'a>(
    map: &'a Map,
    request: Request,
    site: &'static Location<'static>,
    ip: usize,
) -> Result<Release<'a>, WouldDeadlock> {
    with(|thread| {
        if push_known(thread, map, request, ip) {
            return Ok(());
        }
        miss::acquire(thread, map, request, site, ip)
    })?;
    Ok(Release::of(map))
}

/// Around what is no lock.
#[inline(always)]
pub(crate) fn acquire_map<'a>(
    map: &'a Map,
    mode: Mode,
    site: &'static Location<'static>,
    ip: usize,
) -> Release<'a> {
    let request = Request {
        how: How::Pseudo,
        ..Request::wait(mode)
    };
    acquire_unfailing(map, request, site, ip)
}

/// After a lock was taken without waiting.
#[inline(always)]
pub(crate) fn acquired<'a>(
    map: &'a Map,
    mode: Mode,
    site: &'static Location<'static>,
    ip: usize,
) -> Release<'a> {
    let request = Request {
        flags: mode as u64 | Word::TRY,
        subclass: 0,
        how: How::Try,
    };
    acquire_unfailing(map, request, site, ip)
}

#[inline(always)]
fn acquire_unfailing<'a>(
    map: &'a Map,
    request: Request,
    site: &'static Location<'static>,
    ip: usize,
) -> Release<'a> {
    with(|thread| {
        if !push_known(thread, map, request, ip) {
            // Only who waits in a real lock can wait for itself.
            let _ = miss::acquire(thread, map, request, site, ip);
        }
    });
    Release::of(map)
}
