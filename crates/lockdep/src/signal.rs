//! Signal handlers, which are to a thread what hard interrupts are to a processor, and deferred work, its soft interrupts.
//!
//! A handler runs between any two instructions of the thread that it interrupts. A lock that it waits for must not be held
//! by that thread: it would never be released. So a lock that is taken in handlers must be taken elsewhere only while
//! signals are blocked, and no lock may be taken under it that is taken with signals open. Deferred work is code that a
//! thread runs where it lets go, whatever it is doing: the callbacks of an event loop that is run from within, destructors of
//! a garbage list, the work of the thread that calls `poll`. For its locks the same holds, with deferral in the place of
//! signals.
//!
//! The validator cannot see any of this; tell it: a [`Handler`] as the first thing in a handler, a [`Blocked`] where the thread
//! has blocked the signals (`pthread_sigmask`), a [`Deferred`] around deferred work, a [`DeferredBlocked`] where none can run.
//!
//! A chain that a handler makes for the first time is validated on the spot, which allocates memory and takes a lock. If the
//! handler interrupted the validator itself, its locks are not validated.

use std::marker::PhantomData;

use crate::chain::Word;
use crate::miss;
use crate::thread::{self, Interrupted};

/// Flags of the thread's context that are set as long as this lives, whatever is set and cleared in between.
#[derive(Debug)]
struct Flags {
    /// Those that were not set before.
    own: u64,
    not_send: PhantomData<*const ()>,
}

impl Flags {
    fn set(flags: u64) -> Self {
        thread::with(|thread| {
            let before = thread.context.replace(thread.context.get() | flags);
            Self {
                own: flags & !before,
                not_send: PhantomData,
            }
        })
    }

    /// Takes the flags back; says which are set now.
    fn clear(&mut self) -> u64 {
        thread::with(|thread| {
            let now = thread.context.get() & !std::mem::take(&mut self.own);
            thread.context.set(now);
            now
        })
    }
}

impl Drop for Flags {
    fn drop(&mut self) {
        self.clear();
    }
}

/// What is taken as long as this lives is taken under nothing that was held before.
#[derive(Debug)]
struct Entry {
    /// Nothing if there was no room for a mark.
    interrupted: Option<Interrupted>,
    // After the mark is gone, the flags go.
    flags: Flags,
}

impl Entry {
    fn new(flags: u64) -> Self {
        let interrupted = thread::with(|thread| {
            thread.register();
            thread.interrupt()
        });
        Self {
            interrupted,
            flags: Flags::set(flags),
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let _ = &self.flags;
        if let Some(interrupted) = &self.interrupted {
            thread::with(|thread| thread.resume(interrupted));
        }
    }
}

/// As long as it lives, the thread counts as being in a signal handler.
#[derive(Debug)]
#[must_use = "the handler counts as left at once if the value is not kept"]
pub struct Handler {
    _entry: Entry,
}

impl Handler {
    /// Says that a signal handler has begun.
    pub fn enter() -> Self {
        Self {
            _entry: Entry::new(Word::IN_HANDLER | Word::BLOCKED),
        }
    }

    /// Says that the handling of a signal has begun on a thread that is there for that (`sigwait`, `signalfd`): it may wait
    /// as deferred work may, but interrupts like a handler.
    pub fn on_own_thread() -> Self {
        Self {
            _entry: Entry::new(Word::IN_HANDLER | Word::BLOCKED | Word::THREADED),
        }
    }
}

/// As long as it lives, the thread counts as doing deferred work.
#[derive(Debug)]
#[must_use = "the work counts as done at once if the value is not kept"]
pub struct Deferred {
    _entry: Entry,
}

impl Deferred {
    /// Says that deferred work has begun.
    pub fn enter() -> Self {
        Self {
            _entry: Entry::new(Word::IN_DEFERRED | Word::DEFERRED_BLOCKED),
        }
    }
}

/// As long as it lives, the thread counts as having its signals blocked.
#[derive(Debug)]
#[must_use = "signals count as open again at once if the value is not kept"]
pub struct Blocked {
    flags: Flags,
}

impl Blocked {
    /// Says that signals have been blocked.
    pub fn enter() -> Self {
        Self {
            flags: Flags::set(Word::BLOCKED),
        }
    }
}

impl Drop for Blocked {
    /// What is held now can be interrupted from now on.
    #[track_caller]
    fn drop(&mut self) {
        opened(&mut self.flags, true);
    }
}

/// As long as it lives, no deferred work can run on the thread.
#[derive(Debug)]
#[must_use = "deferred work counts as possible again at once if the value is not kept"]
pub struct DeferredBlocked {
    flags: Flags,
}

impl DeferredBlocked {
    /// Says that no deferred work can run from now on.
    pub fn enter() -> Self {
        Self {
            flags: Flags::set(Word::DEFERRED_BLOCKED),
        }
    }
}

impl Drop for DeferredBlocked {
    /// What is held now can be interrupted from now on.
    #[track_caller]
    fn drop(&mut self) {
        opened(&mut self.flags, false);
    }
}

/// Hard interrupts, or only soft ones, can come again, unless they are blocked further out.
#[track_caller]
fn opened(flags: &mut Flags, hard: bool) {
    if flags.own == 0 {
        return;
    }
    // Soft interrupts come only where hard ones can.
    if flags.clear() & Word::BLOCKED == 0 {
        thread::with(|thread| miss::interrupts_opened(thread, hard));
    }
}
