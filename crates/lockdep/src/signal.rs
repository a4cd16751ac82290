//! Signal handlers, which are to a thread what hard interrupts are to a processor.
//!
//! A handler runs between any two instructions of the thread that it interrupts. A lock that it waits for must not be held
//! by that thread: it would never be released. So a lock that is taken in handlers must be taken elsewhere only while
//! signals are blocked, and no lock may be taken under it that is taken with signals open. The validator cannot see
//! handlers; tell it: a [`Handler`] as the first thing in a handler, a [`Blocked`] where the thread has blocked the signals
//! (`pthread_sigmask`).
//!
//! A chain that a handler makes for the first time is validated on the spot, which allocates memory and takes a lock. If the
//! handler interrupted the validator itself, its locks are not validated.

use std::marker::PhantomData;

use crate::chain::Word;
use crate::thread::{self, INTERRUPT};

/// As long as it lives, the thread counts as being in a signal handler.
#[derive(Debug)]
#[must_use = "the handler counts as left at once if the value is not kept"]
pub struct Handler {
    context: u64,
    marked: bool,
    not_send: PhantomData<*const ()>,
}

impl Handler {
    /// Says that a signal handler has begun.
    pub fn enter() -> Self {
        thread::with(|thread| {
            thread.register();
            let flags = Word::IN_HANDLER | Word::BLOCKED;
            let context = thread.context.replace(thread.context.get() | flags);
            Self {
                context,
                marked: thread.interrupt(),
                not_send: PhantomData,
            }
        })
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        thread::with(|thread| {
            if self.marked {
                thread.remove(INTERRUPT);
            }
            thread.context.set(self.context);
        });
    }
}

/// As long as it lives, the thread counts as having its signals blocked.
#[derive(Debug)]
#[must_use = "signals count as open again at once if the value is not kept"]
pub struct Blocked {
    context: u64,
    not_send: PhantomData<*const ()>,
}

impl Blocked {
    /// Says that signals have been blocked.
    pub fn enter() -> Self {
        thread::with(|thread| {
            let context = thread.context.replace(thread.context.get() | Word::BLOCKED);
            Self {
                context,
                not_send: PhantomData,
            }
        })
    }
}

impl Drop for Blocked {
    /// What is held now can be interrupted from now on.
    #[track_caller]
    fn drop(&mut self) {
        thread::with(|thread| {
            thread.context.set(self.context);
            if self.context & Word::BLOCKED == 0 {
                crate::miss::signals_opened(thread);
            }
        });
    }
}
