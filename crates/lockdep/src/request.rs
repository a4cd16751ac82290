//! How a lock is asked for.

use crate::chain::Word;
use crate::class::Map;
use crate::graph;
use crate::thread::{Thread, with};
use crate::warn;

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

/// Which of a thread's holds of a lock ends, if it has several.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which {
    /// The newest, as the kernel's `lock_release` has it.
    Newest,
    /// The newest in this mode.
    As(Mode),
    /// The newest of a reader of either kind: both are given up in the same way.
    #[cfg(feature = "lock_api")]
    Reader,
}

impl Which {
    /// Whether it can be the one that was taken so.
    #[inline(always)]
    pub(crate) const fn can_be(self, word: Word) -> bool {
        match self {
            Self::Newest => true,
            Self::As(mode) => word.mode() == mode as u64,
            #[cfg(feature = "lock_api")]
            Self::Reader => {
                let mode = word.mode();
                mode == Mode::Read as u64 || mode == Mode::RecursiveRead as u64
            }
        }
    }
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
            if !thread.newest().any(|lock| lock.is(nest.address())) {
                warn::nest_not_taken(thread, map, nest);
                return false;
            }
            if thread.busy.get() {
                return false;
            }
            if Word(map.word()).class() == 0 {
                thread.busy.set(true);
                map.set_class(graph::lock().resolve(map));
                thread.busy.set(false);
            }
            let class = self.word(thread, map).class();
            let mut before = thread.held().take_while(|lock| !lock.is(nest.address()));
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
