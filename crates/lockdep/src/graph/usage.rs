//! In which contexts the locks of a class are taken, and what must not come together.
//!
//! A signal handler interrupts a thread between any two instructions, as a hard interrupt does in the kernel; deferred work
//! interrupts it where it lets go, as a soft interrupt does. A lock that is taken in either must never be taken where it
//! could interrupt the holder, directly or through a lock that is taken under it
//! (`kernel/locking/lockdep.c: mark_lock_irq`, `check_irq_usage`). Readers only conflict with writers.

use super::search::Direction;
use super::{EdgeId, Graph, LockClass};
use crate::chain::Word;
use crate::stack::Stack;

/// What interrupts a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interrupt {
    /// A signal handler: the kernel's hard interrupt.
    Handler = 0,
    /// Deferred work: the kernel's soft interrupt.
    Deferred = 1,
}

impl Interrupt {
    /// As the kernel's reports call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Handler => "HARDIRQ",
            Self::Deferred => "SOFTIRQ",
        }
    }
}

/// A context in which a lock is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Context {
    pub(crate) interrupt: Interrupt,
    /// Where the interrupt could come while the lock is held; else: in the interrupt.
    pub(crate) open: bool,
    pub(crate) read: bool,
}

impl Context {
    /// Every context, those of hard interrupts first.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        [Interrupt::Handler, Interrupt::Deferred]
            .into_iter()
            .flat_map(|interrupt| {
                [(false, false), (false, true), (true, false), (true, true)].map(|(open, read)| {
                    Self {
                        interrupt,
                        open,
                        read,
                    }
                })
            })
    }

    const fn index(self) -> usize {
        self.interrupt as usize * 4 + self.open as usize * 2 + self.read as usize
    }

    const fn bit(self) -> u8 {
        1 << self.index()
    }

    /// The contexts that conflict with this one, those of writers first: a reader only with writers.
    fn conflicts(self) -> impl Iterator<Item = Self> {
        let other = Self {
            open: !self.open,
            read: false,
            ..self
        };
        [
            other,
            Self {
                read: true,
                ..other
            },
        ]
        .into_iter()
        .take(if self.read { 1 } else { 2 })
    }

    /// Readers and writers, in this interrupt or open to it.
    const fn mask(interrupt: Interrupt, open: bool) -> u8 {
        let writers = Self {
            interrupt,
            open,
            read: false,
        };
        let readers = Self {
            interrupt,
            open,
            read: true,
        };
        writers.bit() | readers.bit()
    }

    /// As the kernel's reports call it (`kernel/locking/lockdep.c: usage_str`).
    pub(crate) const fn name(self) -> &'static str {
        match (self.interrupt, self.open, self.read) {
            (Interrupt::Handler, false, false) => "IN-HARDIRQ-W",
            (Interrupt::Handler, false, true) => "IN-HARDIRQ-R",
            (Interrupt::Handler, true, false) => "HARDIRQ-ON-W",
            (Interrupt::Handler, true, true) => "HARDIRQ-ON-R",
            (Interrupt::Deferred, false, false) => "IN-SOFTIRQ-W",
            (Interrupt::Deferred, false, true) => "IN-SOFTIRQ-R",
            (Interrupt::Deferred, true, false) => "SOFTIRQ-ON-W",
            (Interrupt::Deferred, true, true) => "SOFTIRQ-ON-R",
        }
    }
}

/// The bits of all readers.
const READ: u8 = 0b1010_1010;

/// The contexts in which a class was used, each with the stack of the first time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage {
    bits: u8,
    stacks: [Option<Stack>; 8],
}

impl Usage {
    pub(crate) const fn has(&self, context: Context) -> bool {
        self.bits & context.bit() != 0
    }

    pub(crate) const fn stack(&self, context: Context) -> Option<&Stack> {
        self.stacks[context.index()].as_ref()
    }

    /// The bits that count behind a weak path: there readers wait for nobody.
    const fn behind(&self, weak: bool) -> u8 {
        if weak { self.bits & !READ } else { self.bits }
    }

    /// The four characters of `kernel/locking/lockdep.c: get_usage_chars`: hard interrupt for writing and for reading, soft
    /// interrupt for writing and for reading.
    pub(crate) fn characters(&self) -> [char; 4] {
        let character = |interrupt, read| {
            let has = |open| {
                self.has(Context {
                    interrupt,
                    open,
                    read,
                })
            };
            Self::character(has(false), has(true))
        };
        let (hard, soft) = (Interrupt::Handler, Interrupt::Deferred);
        [
            character(hard, false),
            character(hard, true),
            character(soft, false),
            character(soft, true),
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
        class.usage.stacks[context.index()] = Some(stack.clone());
        if let Some(old) = context.conflicts().find(|&other| class.usage.has(other)) {
            return Some(Conflict::Same { old });
        }
        // Who is open must not be reached from one that interrupts use; whom they use must not reach one that is open.
        let mask = Context::mask(context.interrupt, !context.open);
        let (direction, weak) = if context.open {
            (Direction::Backwards, !word.is_write())
        } else {
            (Direction::Forwards, word.is_recursive_read())
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
        interrupt: Interrupt,
        (from, from_is_shared): (u32, bool),
        (to, to_is_recursive_reader): (u32, bool),
    ) -> Option<Connection> {
        let safe = in_context(Context::mask(interrupt, false));
        let mut before = self.search(Direction::Backwards, from, from_is_shared, safe)?;
        let open = in_context(Context::mask(interrupt, true));
        let after = self.search(Direction::Forwards, to, to_is_recursive_reader, open)?;
        let first = before.last().map_or(from, |&edge| self.edge(edge).from);
        let last = after.last().map_or(to, |&edge| self.edge(edge).to);
        before.reverse();
        let used = |id: u32, open: bool| {
            let usage = &self.class(id)?.usage;
            let of = |read| Context {
                interrupt,
                open,
                read,
            };
            [of(false), of(true)]
                .into_iter()
                .find(|&context| usage.has(context))
        };
        let (safe, open) = (used(first, false)?, used(last, true)?);
        Some(Connection {
            safe: (first, safe),
            unsafe_: (last, open),
            before,
            after,
        })
    }
}

/// Whether a class was used in one of these contexts.
fn in_context(mask: u8) -> impl FnMut(u32, &LockClass, bool) -> bool {
    move |_, class, weak| class.usage.behind(weak) & mask != 0
}
