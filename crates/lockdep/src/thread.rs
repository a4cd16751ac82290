//! Threads: what the calling one holds, and how to start others so that the validator knows when they begin and end.
//!
//! [`spawn`], [`scope`] and [`Builder`] are `std`'s, but what a thread did before it started another, or was joined, counts
//! as over: cycles that could only come about then are graded [`Ordered`](crate::Grade::Ordered).
//!
//! The rest of this module is the validator's own. A thread stands at a node of the tree of chains: that says which locks it
//! holds, as far as classes go. Beside it are the addresses of the locks and of the code that took them (the kernel's
//! `task_struct.held_locks`). To take a lock is a step from the node. If the thread has made the step before (`met`), it is
//! in order, and is known to lead to which node: the lock's address is written down, and that is all. Everything else is out
//! of line, in `miss`.
//!
//! A chain that has no slot in the tree is *loose*: the table is full, or a signal handler or an unusual release made it and
//! nobody has looked yet. Then its last lock is written down here, and every step from it is out of line.
//!
//! All of it is plain cells without a destructor: it works in thread-local destructors too. And all of it is zeros at first,
//! so that a program that has many threads need not store what it looks like at the start.

use std::cell::Cell;

pub(crate) use crate::acquire::{
    Checked, Release, acquire, acquire_map, acquired, ip, release, try_acquire,
};
use crate::chain::{self, Node, Word};
use crate::class::Map;
use crate::fork;
pub(crate) use crate::held::{DEPTH, HeldLock, INTERRUPT, Token};
use crate::met::Met;
pub use crate::request::Mode;
pub(crate) use crate::request::{How, Request, Which};
pub use crate::spawn::{Builder, JoinHandle, Scope, ScopedJoinHandle, scope, spawn};
use crate::timing;
use crate::warn;

/// A place for every depth that a node can have, so that an index needs no check.
const PLACES: usize = 256;

const _: () = assert!(DEPTH < PLACES);

/// What the validator knows about a thread.
// In this order, so that all that every acquisition reads is together.
#[repr(C)]
pub(crate) struct Thread {
    /// Where it stands.
    at: Cell<Node>,
    /// The flags of a [`Word`] that depend on what the thread is doing: in a signal handler, signals blocked.
    pub(crate) context: Cell<u64>,
    /// The validator itself is at work on this thread: what it takes is not its business.
    pub(crate) busy: Cell<bool>,
    /// Locks taken beyond [`DEPTH`], or while the validator was at work.
    pub(crate) untracked: Cell<usize>,
    /// Of the lock that is so many deep: its address, one more while it is pinned.
    map: [Cell<usize>; PLACES],
    /// The code that took it.
    ip: [Cell<usize>; PLACES],
    pub(crate) met: Met,
    /// Of a loose chain of so many locks: the chain without its last lock, and that lock.
    loose: [Cell<(Node, Word)>; DEPTH + 1],
}

thread_local! {
    static THREAD: Thread = const {
        Thread {
            at: Cell::new(Node::UNREGISTERED),
            context: Cell::new(0),
            busy: Cell::new(false),
            untracked: Cell::new(0),
            map: [const { Cell::new(0) }; PLACES],
            ip: [const { Cell::new(0) }; PLACES],
            met: Met::new(),
            loose: [const { Cell::new((Node(0), Word(0))) }; DEPTH + 1],
        }
    };
    /// Looks at the end of the thread whether it still holds locks.
    static EXIT: Exit = const { Exit };
}

/// The place above the locks that were held when a signal handler began: perhaps it was just being filled.
#[derive(Debug)]
pub(crate) struct Interrupted {
    map: usize,
    ip: usize,
    loose: (Node, Word),
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
    /// The locks held, newest first, and where handlers interrupted the thread.
    fn entries(&self) -> impl Iterator<Item = HeldLock> + '_ {
        let mut at = self.at.get();
        std::iter::from_fn(move || {
            let depth = at.depth();
            let node = self.in_tree(at).unwrap_or(at);
            let (parent, word) = (depth > 0).then(|| self.last(at))?;
            at = parent;
            let place = usize::from(depth);
            Some(HeldLock {
                node,
                map: self.map[place].get(),
                ip: self.ip[place].get(),
                word,
            })
        })
    }

    /// The locks held, newest first.
    pub(crate) fn newest(&self) -> impl Iterator<Item = HeldLock> + '_ {
        self.entries().filter(|lock| lock.map != INTERRUPT)
    }

    /// The locks held, oldest first.
    pub(crate) fn held(&self) -> impl DoubleEndedIterator<Item = HeldLock> {
        let newest: Vec<HeldLock> = self.newest().collect();
        newest.into_iter().rev()
    }

    /// The locks held, newest first, as far as the thread took them where it is now: in the signal handler, or outside.
    pub(crate) fn held_here(&self) -> impl Iterator<Item = HeldLock> + '_ {
        self.entries().take_while(|lock| lock.map != INTERRUPT)
    }

    /// How many locks are held.
    #[inline(always)]
    pub(crate) fn depth(&self) -> usize {
        usize::from(self.at.get().depth())
    }

    /// A chain without its last lock, and that lock.
    fn last(&self, at: Node) -> (Node, Word) {
        let known = if at.is_loose() {
            Some(self.loose[usize::from(at.depth())].get())
        } else {
            chain::last(at)
        };
        // The chain of a class that has ended, and the slot was used again: a lock that nobody can release was given back by
        // another thread. Nothing can be said of what is held here any more but where it lies.
        known.unwrap_or_else(|| {
            let parent = match at.depth() {
                0 | 1 => Node::EMPTY,
                depth => Node::new(1, 0, usize::from(depth) - 1),
            };
            (parent, Word(Word::LOCK | Word::UNCHECKED))
        })
    }

    /// The node of a chain that the thread holds or a beginning of it, if it has one.
    fn in_tree(&self, at: Node) -> Option<Node> {
        if !at.is_loose() {
            return Some(at);
        }
        let (parent, word) = self.last(at);
        let (node, _) = chain::find(self.in_tree(parent)?, word)?;
        Some(node)
    }

    /// Where in the tree the thread stands. `step` finds the node that is one lock further, or makes it. If the chain was
    /// loose and need not be, it is not any more.
    pub(crate) fn settle(&self, step: &mut dyn FnMut(Node, Word) -> Option<Node>) -> Option<Node> {
        let (stands, node) = self.settle_at(self.at.get(), step)?;
        self.at.set(stands);
        Some(node)
    }

    fn settle_at(
        &self,
        at: Node,
        step: &mut dyn FnMut(Node, Word) -> Option<Node>,
    ) -> Option<(Node, Node)> {
        if !at.is_loose() {
            let there = at == Node::EMPTY || chain::last(at).is_some();
            return there.then_some((at, at));
        }
        let place = usize::from(at.depth());
        let (parent, word) = self.loose[place].get();
        let (stands, node) = self.settle_at(parent, step)?;
        self.loose[place].set((stands, word));
        let next = step(node, word)?;
        let stays = stands != node || self.map[place].get() & 1 != 0;
        Some((if stays { at } else { next }, next))
    }

    /// Makes the thread known to the validator, unless it is; a thread that is not known holds nothing.
    pub(crate) fn register(&self) {
        if self.at.get() == Node::UNREGISTERED {
            self.at.set(Node::EMPTY);
            fork::prepare();
            // Where thread-local values are being destroyed there is no looking at the end any more.
            let _ = EXIT.try_with(|_| ());
        }
    }

    /// Puts a lock on top, which leads to `node` in the tree.
    pub(crate) fn push(&self, word: Word, map: usize, ip: usize, node: Option<Node>) -> Token {
        let from = self.at.get();
        let depth = usize::from(from.depth()) + 1;
        if depth > DEPTH {
            return Token::NONE;
        }
        let loose = from.is_loose() || map & 1 != 0;
        let to = node.filter(|_| !loose).unwrap_or_else(|| {
            self.loose[depth].set((from, word));
            Node::loose(depth)
        });
        self.map[depth].set(map);
        self.ip[depth].set(ip);
        self.at.set(to);
        if to.is_loose() {
            return Token::NONE;
        }
        Token { from, to }
    }

    /// Puts a lock on top that was held before, elsewhere or further up.
    pub(crate) fn push_again(&self, lock: &HeldLock) {
        let from = self.at.get();
        let node = if from.is_loose() {
            None
        } else {
            chain::find(from, lock.word).map(|(node, _)| node)
        };
        self.push(lock.word, lock.map, lock.ip, node);
    }

    /// Takes a lock on top if that is a step that the thread has made before.
    // No step leads deeper than `DEPTH`: see `miss`.
    #[inline(always)]
    pub(crate) fn push_known(&self, map: &Map, request: Request, ip: usize) -> Option<Token> {
        if cfg!(feature = "off") {
            return Some(Token::NONE);
        }
        let word = request.word(self, map);
        let from = self.at.get();
        let to = self.met.step(from, word)?;
        let place = usize::from(to.depth());
        self.map[place].set(map.address());
        self.ip[place].set(ip);
        self.at.set(to);
        Some(Token { from, to })
    }

    /// Takes the lock of this token out, if that is only to step back.
    #[inline(always)]
    pub(crate) fn step_back(&self, token: Token) -> bool {
        let newest = self.at.get() == token.to;
        if newest {
            self.at.set(token.from);
        }
        newest
    }

    /// Takes the newest lock out if it is the one with this address, taken so, and not pinned.
    #[inline]
    pub(crate) fn pop(&self, map: usize, which: Which) -> bool {
        let at = self.at.get();
        if self.map[usize::from(at.depth())].get() != map || at.depth() == 0 {
            return false;
        }
        let (parent, word) = self.last(at);
        let newest = which.can_be(word);
        if newest {
            self.at.set(parent);
        }
        newest
    }

    /// Takes out what is above the oldest so many locks.
    #[cfg(feature = "tokio")]
    pub(crate) fn truncate(&self, depth: usize) {
        while self.depth() > depth {
            self.at.set(self.last(self.at.get()).0);
        }
    }

    /// A signal handler begins: what it takes is taken under nothing that is held now. Nothing if there was no room to note it.
    pub(crate) fn interrupt(&self) -> Option<Interrupted> {
        let place = self.depth() + 1;
        let interrupted = (place <= DEPTH).then(|| Interrupted {
            map: self.map[place].get(),
            ip: self.ip[place].get(),
            loose: self.loose[place].get(),
        })?;
        self.push_again(&HeldLock {
            node: Node::NOWHERE,
            map: INTERRUPT,
            ip: 0,
            word: Word(Word::IN_HANDLER),
        });
        Some(interrupted)
    }

    /// A signal handler ends.
    pub(crate) fn resume(&self, interrupted: &Interrupted) {
        self.remove(INTERRUPT, Which::Newest);
        let place = self.depth() + 1;
        if place <= DEPTH {
            self.map[place].set(interrupted.map);
            self.ip[place].set(interrupted.ip);
            self.loose[place].set(interrupted.loose);
        }
    }

    /// Takes out the newest entry of this address that was taken so and puts the newer ones in order
    /// (`kernel/locking/lockdep.c: reacquire_held_locks`). Says whether there was one.
    pub(crate) fn remove(&self, map: usize, which: Which) -> bool {
        let mut at = self.at.get();
        let mut newer: [Word; DEPTH + 1] = [Word(0); DEPTH + 1];
        while at.depth() > 0 {
            let place = usize::from(at.depth());
            let (parent, word) = self.last(at);
            if self.map[place].get() & !1 == map && which.can_be(word) {
                let top = self.depth();
                self.at.set(parent);
                for (place, &word) in newer.iter().enumerate().take(top + 1).skip(place + 1) {
                    self.push_again(&HeldLock {
                        node: Node::NOWHERE,
                        map: self.map[place].get(),
                        ip: self.ip[place].get(),
                        word,
                    });
                }
                return true;
            }
            newer[place] = word;
            at = parent;
        }
        false
    }

    /// Marks the newest entry of this lock as pinned, or takes the mark away. Says whether the lock is held and was not so before.
    pub(crate) fn pin(&self, map: usize, pinned: bool) -> bool {
        let Some(lock) = self.newest().find(|lock| lock.is(map)) else {
            return false;
        };
        // Who releases it or what was taken after it must look.
        let newer: Vec<HeldLock> = self.entries().take_while(|lock| !lock.is(map)).collect();
        self.remove(map, Which::Newest);
        for _ in &newer {
            self.at.set(self.last(self.at.get()).0);
        }
        let changed = HeldLock {
            map: map | usize::from(pinned),
            ..lock
        };
        for lock in std::iter::once(&changed).chain(newer.iter().rev()) {
            self.push_again(lock);
        }
        lock.is_pinned() != pinned
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
        thread.remove(map.address(), Which::Newest);
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
