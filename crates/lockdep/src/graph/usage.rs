//! In which contexts the locks of a class are taken, and what must not come together.
//!
//! A signal handler interrupts a thread between any two instructions, as a hard interrupt does in the kernel. A lock that
//! is taken in a handler must therefore never be taken where that handler could interrupt the holder, directly or through a
//! lock that is taken under it (`kernel/locking/lockdep.c: mark_lock_irq`, `check_irq_usage`). Readers only conflict with
//! writers.

use super::search::Direction;
use super::{EdgeId, Graph, LockClass};
use crate::chain::Word;
use crate::stack::Stack;

/// A context in which a lock is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Context {
    /// In a signal handler, exclusively.
    InHandler = 0,
    /// In a signal handler, for reading.
    InHandlerRead = 1,
    /// Where a signal handler could interrupt the holder, exclusively.
    Open = 2,
    /// Where a signal handler could interrupt the holder, for reading.
    OpenRead = 3,
}

impl Context {
    pub(crate) const ALL: [Self; 4] = [
        Self::InHandler,
        Self::InHandlerRead,
        Self::Open,
        Self::OpenRead,
    ];

    const fn bit(self) -> u8 {
        1 << self as u8
    }

    pub(crate) const fn is_open(self) -> bool {
        self as u8 & 2 != 0
    }

    /// The contexts that conflict with this one, those of writers first: a reader only with writers.
    const fn conflicts(self) -> [Option<Self>; 2] {
        match self {
            Self::InHandler => [Some(Self::Open), Some(Self::OpenRead)],
            Self::InHandlerRead => [Some(Self::Open), None],
            Self::Open => [Some(Self::InHandler), Some(Self::InHandlerRead)],
            Self::OpenRead => [Some(Self::InHandler), None],
        }
    }

    /// As the kernel's reports call it (`kernel/locking/lockdep.c: usage_str`).
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::InHandler => "IN-HARDIRQ-W",
            Self::InHandlerRead => "IN-HARDIRQ-R",
            Self::Open => "HARDIRQ-ON-W",
            Self::OpenRead => "HARDIRQ-ON-R",
        }
    }
}

/// Readers and writers together.
const IN_HANDLER: u8 = Context::InHandler.bit() | Context::InHandlerRead.bit();
const OPEN: u8 = Context::Open.bit() | Context::OpenRead.bit();
const READ: u8 = Context::InHandlerRead.bit() | Context::OpenRead.bit();

/// The contexts in which a class was used, each with the stack of the first time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage {
    bits: u8,
    stacks: [Option<Stack>; 4],
}

impl Usage {
    pub(crate) const fn has(&self, context: Context) -> bool {
        self.bits & context.bit() != 0
    }

    pub(crate) const fn stack(&self, context: Context) -> Option<&Stack> {
        self.stacks[context as usize].as_ref()
    }

    /// The bits that count behind a weak path: there readers wait for nobody.
    const fn behind(&self, weak: bool) -> u8 {
        if weak { self.bits & !READ } else { self.bits }
    }

    /// The four characters of `kernel/locking/lockdep.c: get_usage_chars`: hard interrupt for writing and for reading, soft
    /// interrupt for writing and for reading. There are no soft interrupts in user space: their columns only say that none
    /// were blocked.
    pub(crate) const fn characters(&self) -> [char; 4] {
        [
            Self::character(self.has(Context::InHandler), self.has(Context::Open)),
            Self::character(
                self.has(Context::InHandlerRead),
                self.has(Context::OpenRead),
            ),
            Self::character(false, self.has(Context::Open)),
            Self::character(false, self.has(Context::OpenRead)),
        ]
    }

    const fn character(in_handler: bool, open: bool) -> char {
        match (in_handler, open) {
            (false, false) => '.',
            (false, true) => '+',
            (true, false) => '-',
            (true, true) => '?',
        }
    }
}

/// What is wrong with a new context of a class.
#[derive(Clone, Debug)]
pub(crate) enum Conflict {
    /// The class itself was used in a context that conflicts with it.
    Same { old: Context },
    /// Another class that is connected with it was.
    Other {
        class: u32,
        /// The way from the one that is used in handlers to the one that is not safe there.
        path: Vec<EdgeId>,
    },
}

/// A dependency that would connect a class used in handlers with one that is not safe there.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) safe: (u32, Context),
    pub(crate) unsafe_: (u32, Context),
    /// From the safe class to the lock that is held.
    pub(crate) before: Vec<EdgeId>,
    /// From the lock that is taken to the unsafe class.
    pub(crate) after: Vec<EdgeId>,
}

impl Graph {
    /// Remembers that a class is used in this context; says what is wrong with that when it is so for the first time.
    pub(crate) fn mark(&mut self, word: Word, context: Context, stack: &Stack) -> Option<Conflict> {
        let id = word.class();
        let class = self.class_mut(id)?;
        if class.usage.has(context) {
            return None;
        }
        class.usage.bits |= context.bit();
        class.usage.stacks[context as usize] = Some(stack.clone());
        let conflicts = context.conflicts();
        let mut conflicts = conflicts.into_iter().flatten();
        if let Some(old) = conflicts.find(|&other| class.usage.has(other)) {
            return Some(Conflict::Same { old });
        }
        // Who is open must not be reached from one that handlers use; whom handlers use must not reach one that is open.
        let (direction, mask, weak) = match context {
            Context::Open | Context::OpenRead => {
                (Direction::Backwards, IN_HANDLER, !word.is_write())
            }
            Context::InHandler | Context::InHandlerRead => {
                (Direction::Forwards, OPEN, word.is_recursive_read())
            }
        };
        self.conflict(id, direction, mask, weak)
    }

    fn conflict(
        &mut self,
        id: u32,
        direction: Direction,
        mask: u8,
        weak: bool,
    ) -> Option<Conflict> {
        let mut other = id;
        let found = |at: u32, class: &LockClass, weak: bool| {
            other = at;
            at != id && class.usage.behind(weak) & mask != 0
        };
        let mut path = self.search(direction, id, weak, found)?;
        if direction == Direction::Backwards {
            path.reverse();
        }
        Some(Conflict::Other { class: other, path })
    }

    /// Whether a new dependency would connect a class that handlers use with one that is open
    /// (`kernel/locking/lockdep.c: check_irq_usage`).
    pub(crate) fn connection(
        &mut self,
        (from, from_is_shared): (u32, bool),
        (to, to_is_recursive_reader): (u32, bool),
    ) -> Option<Connection> {
        let safe =
            |_: u32, class: &LockClass, weak: bool| class.usage.behind(weak) & IN_HANDLER != 0;
        let mut before = self.search(Direction::Backwards, from, from_is_shared, safe)?;
        let open = |_: u32, class: &LockClass, weak: bool| class.usage.behind(weak) & OPEN != 0;
        let after = self.search(Direction::Forwards, to, to_is_recursive_reader, open)?;
        let first = before.last().map_or(from, |&edge| self.edge(edge).from);
        let last = after.last().map_or(to, |&edge| self.edge(edge).to);
        before.reverse();
        let used = |id: u32, wanted: [Context; 2]| {
            let usage = &self.class(id)?.usage;
            wanted.into_iter().find(|&context| usage.has(context))
        };
        let safe = used(first, [Context::InHandler, Context::InHandlerRead])?;
        let open = used(last, [Context::Open, Context::OpenRead])?;
        Some(Connection {
            safe: (first, safe),
            unsafe_: (last, open),
            before,
            after,
        })
    }
}
