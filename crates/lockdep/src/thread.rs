//! Threads: what the calling one holds, and how to start others so that the validator knows when they begin and end.
//!
//! [`spawn`], [`scope`] and [`Builder`] are `std`'s, but what a thread did before it started another, or was joined, counts
//! as over: cycles that could only come about then are graded [`Ordered`](crate::Grade::Ordered).
//!
//! The rest of this module is the way in for every lock type.
//!
//! Each thread has a stack of the locks it holds, in the order of taking (the kernel's `task_struct.held_locks`, here in
//! `held`), and with each lock the node where the thread stands since it took it: the chain that ends with it, in one word.
//! To take a lock is a step from the node on top. If the thread has made the step before (`met`), it is in order, and is
//! known to lead to which node: the lock is pushed, and that is all. Everything else is out of line, in `miss`.
//!
//! All of it is plain cells without a destructor: it works in thread-local destructors too.

use std::cell::Cell;
use std::panic::Location;

use crate::chain::{ChainKey, Word};
use crate::class::Map;
use crate::fork;
use crate::graph;
use crate::held::{Entry, Stack};
use crate::met::{Met, Node};
use crate::miss;
use crate::sync::WouldDeadlock;
use crate::timing;
use crate::warn;

pub(crate) use crate::held::{DEPTH, HeldLock, INTERRUPT, Token};
pub use crate::spawn::{Builder, JoinHandle, Scope, ScopedJoinHandle, scope, spawn};

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
    /// Shared with readers, but by one at a time who may become a writer: `parking_lot`'s upgradable read.
    Upgradable = 3,
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
    /// Mode and flags, as they stand in a [`Word`], and the subclass in the place of the class: two words in all, which a call
    /// passes in registers.
    pub(crate) flags: u64,
    pub(crate) how: How,
}

impl Request {
    #[inline(always)]
    pub(crate) const fn wait(mode: Mode) -> Self {
        Self {
            flags: mode as u64,
            how: How::Wait,
        }
    }

    /// This request while another lock serialises all who take several of the class, which it does if the thread took it
    /// before any of them (`kernel/locking/lockdep.c: check_deadlock`). Reports if it is not held.
    pub(crate) fn nested(mut self, map: &Map, nest: &Map) -> Self {
        if cfg!(feature = "off") {
            return self;
        }
        let late = with(|thread| {
            let Some(at) = thread.held().position(|lock| lock.is(nest.address())) else {
                warn::nest_not_taken(thread, map, nest);
                return false;
            };
            if at == 0 || thread.busy.get() {
                return false;
            }
            if Word(map.word()).class() == 0 {
                thread.busy.set(true);
                map.set_class(graph::lock().resolve(map));
                thread.busy.set(false);
            }
            let class = self.word(thread, map).class();
            let mut before = thread.held().take(at);
            before.any(|lock| lock.word.class() == class)
        });
        if !late {
            self.flags |= Word::NESTED;
        }
        self
    }

    /// The word of an acquisition.
    #[inline(always)]
    pub(crate) fn word(self, thread: &Thread, map: &Map) -> Word {
        Word((map.word() + self.flags) | thread.context.get())
    }
}

/// What the validator knows about a thread.
// In this order, so that all that every acquisition reads is together.
#[repr(C)]
pub(crate) struct Thread {
    /// The newest lock is `held[top.depth()]`.
    top: Cell<Token>,
    /// The flags of a [`Word`] that depend on what the thread is doing: in a signal handler, signals blocked.
    pub(crate) context: Cell<u64>,
    /// Entry 0 stands for "nothing held".
    held: Stack,
    pub(crate) met: Met,
    /// Locks taken beyond [`DEPTH`].
    pub(crate) untracked: Cell<usize>,
    /// The validator itself is at work on this thread: what it takes is not its business.
    pub(crate) busy: Cell<bool>,
}

thread_local! {
    static THREAD: Thread = const {
        Thread {
            top: Cell::new(Token::EMPTY),
            context: Cell::new(0),
            held: Stack::new(),
            met: Met::new(),
            untracked: Cell::new(0),
            busy: Cell::new(false),
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
            if thread.depth() > 0 {
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
        (1..=self.depth()).map(|at| {
            let Entry { map, ip, word, .. } = self.held.get(at);
            let key = self.key_at(at);
            HeldLock { key, map, ip, word }
        })
    }

    /// How many locks are held.
    #[inline(always)]
    pub(crate) fn depth(&self) -> usize {
        self.top.get().depth().min(DEPTH)
    }

    /// The key of the chain that the thread holds.
    pub(crate) fn key(&self) -> ChainKey {
        self.key_at(self.depth())
    }

    /// The key of the chain of the oldest so many locks.
    fn key_at(&self, depth: usize) -> ChainKey {
        let base = match self.held.node[0].get() {
            Node::UNREGISTERED => ChainKey::UNREGISTERED,
            _ => ChainKey::EMPTY,
        };
        let words = self.held.word[1..=depth].iter();
        words.fold(base, |key, word| key.extend(word.get()))
    }

    /// Where the thread stands.
    pub(crate) fn node(&self) -> Node {
        self.held.node[self.depth()].get()
    }

    /// Makes the thread known to the validator, unless it is; a thread that is not known holds nothing.
    pub(crate) fn register(&self) {
        if self.held.node[0].get() == Node::UNREGISTERED {
            self.held.node[0].set(Node::EMPTY);
            fork::prepare();
            // Where thread-local values are being destroyed there is no looking at the end any more.
            let _ = EXIT.try_with(|_| ());
        }
    }

    /// Adds a lock on top, if there is room.
    pub(crate) fn push(&self, lock: HeldLock) -> Token {
        let HeldLock { key, map, ip, word } = lock;
        let top = self.top.get();
        if top.depth() >= DEPTH {
            return Token::NONE;
        }
        let node = Node::of(key);
        let entry = Entry {
            node,
            map,
            ip,
            word,
        };
        self.held.set(top.depth() + 1, entry);
        self.top.set(top.push());
        top.push()
    }

    /// Takes a lock on top if that is a step that the thread has made before.
    #[inline(always)]
    fn push_known(&self, map: &Map, request: Request, ip: usize) -> Option<Token> {
        if cfg!(feature = "off") {
            return Some(Token::NONE);
        }
        let word = request.word(self, map);
        let top = self.top.get();
        let depth = top.depth();
        if depth >= DEPTH {
            return None;
        }
        let node = self.met.step(self.held.node[depth].get(), word)?;
        let map = map.address();
        let entry = Entry {
            node,
            map,
            ip,
            word,
        };
        self.held.set(depth + 1, entry);
        self.top.set(top.push());
        Some(top.push())
    }

    #[cfg(feature = "tokio")]
    /// Takes out what is above the oldest so many locks.
    pub(crate) fn truncate(&self, depth: usize) {
        if depth < self.depth() {
            self.top.set(self.top.get().moved(depth));
        }
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
        }) != Token::NONE
    }

    /// Takes out the newest entry of this address and brings the nodes of the newer ones up to date
    /// (`kernel/locking/lockdep.c: reacquire_held_locks`). Says whether there was one.
    pub(crate) fn remove(&self, map: usize) -> bool {
        let (top, depth) = (self.top.get(), self.depth());
        let Some(at) = (1..=depth).rev().find(|&at| self.held.get(at).is(map)) else {
            return false;
        };
        if at == depth {
            self.top.set(top.pop());
            return true;
        }
        let mut key = self.key_at(at - 1);
        for at in at..depth {
            let newer = self.held.get(at + 1);
            key = key.extend(newer.word);
            let node = Node::of(key);
            self.held.set(at, Entry { node, ..newer });
        }
        self.top.set(top.moved(depth - 1));
        true
    }

    /// Marks the newest entry of this lock as pinned, or takes the mark away. Says whether the lock is held and was not so before.
    pub(crate) fn pin(&self, map: usize, pinned: bool) -> bool {
        let depth = self.depth();
        let entry = (1..=depth).rev().find(|&at| self.held.get(at).is(map));
        entry.is_some_and(|at| {
            let before = self.held.map[at].replace(map | usize::from(pinned));
            let changed = (before != map) != pinned;
            // Whoever releases it must look.
            self.top.set(self.top.get().moved(depth));
            changed
        })
    }
}

/// A lock's memory is given back: no thread can tell of others what they hold, but of itself it can.
#[inline]
pub(crate) fn freed(map: &Map) {
    with(|thread| {
        if thread.depth() > 0 {
            freed_slow(thread, map);
        }
    });
}

#[cold]
#[inline(never)]
fn freed_slow(thread: &Thread, map: &Map) {
    if let Some(lock) = thread.held().find(|lock| lock.is(map.address())) {
        warn::held_lock_freed(thread, &lock, size_of_val(map));
        timing::freed(map);
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
    #[cfg(not(feature = "off"))]
    token: Token,
    #[cfg(feature = "off")]
    map: std::marker::PhantomData<&'a Map>,
}

impl<'a> Release<'a> {
    #[inline(always)]
    #[cfg_attr(feature = "off", expect(unused))]
    fn of(map: &'a Map, token: Token) -> Self {
        Self {
            #[cfg(not(feature = "off"))]
            map,
            #[cfg(not(feature = "off"))]
            token,
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
        timing::end(self.map);
        with(|thread| {
            if thread.top.get() == self.token {
                thread.top.set(self.token.pop());
            } else {
                release_slow(thread, self.map);
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
    if cfg!(feature = "off") {
        return;
    }
    timing::end(map);
    with(|thread| {
        let top = thread.top.get();
        match thread.held.map.get(top.depth()) {
            Some(newest) if newest.get() == map.address() => thread.top.set(top.pop()),
            _ => release_slow(thread, map),
        }
    });
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
    let request = Request::wait(mode);
    let token = with(|thread| match thread.push_known(map, request, ip) {
        Some(token) => token,
        None => miss::acquire_or_panic(thread, map, request, site, ip),
    });
    timing::begin(map, request, site, ip);
    Release::of(map, token)
}

/// Before a lock is waited for, when the caller can do without it; and every acquisition that is out of the ordinary.
#[inline(always)]
pub(crate) fn try_acquire<'a>(
    map: &'a Map,
    request: Request,
    site: &'static Location<'static>,
    ip: usize,
) -> Result<Release<'a>, WouldDeadlock> {
    let token = with(|thread| match thread.push_known(map, request, ip) {
        Some(token) => Ok(token),
        None => miss::acquire(thread, map, request, site, ip),
    })?;
    timing::begin(map, request, site, ip);
    Ok(Release::of(map, token))
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
        how: How::Try,
    };
    acquire_unfailing(map, request, site, ip)
}

/// Only who waits in a real lock can wait for itself.
#[inline(always)]
fn acquire_unfailing<'a>(
    map: &'a Map,
    request: Request,
    site: &'static Location<'static>,
    ip: usize,
) -> Release<'a> {
    let token = with(|thread| match thread.push_known(map, request, ip) {
        Some(token) => token,
        None => miss::acquire(thread, map, request, site, ip).unwrap_or(Token::NONE),
    });
    timing::begin(map, request, site, ip);
    Release::of(map, token)
}
