//! Lock classes: what the validator reasons about instead of single locks.
//!
//! As in the kernel, a rule learnt on one lock holds for every lock of its class. A class is known by the place where
//! its locks are constructed (the default), by a name, by a static [`ClassKey`], or by a [`DynamicClass`] that belongs to
//! one object and ends with it (`lockdep_register_key` in `kernel/locking/lockdep.c`). The numeric id of a class is
//! handed out on first use, by the graph; ids are never used twice, so that whatever was remembered about a class that
//! has ended can never be mistaken for knowledge about a new one.

use std::borrow::Cow;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::chain::Word;
use crate::graph;
use crate::order::LevelInfo;
use crate::thread::{self, Mode};
#[cfg(not(feature = "off"))]
use crate::timing;

/// The name and identity of a lock class, for a `static`.
///
/// ```
/// use lockdep::{ClassKey, Mutex};
/// static QUEUE: ClassKey = ClassKey::new("queue->lock");
/// let a = Mutex::with_class(&QUEUE, 1);
/// let b = Mutex::with_class(&QUEUE, 2); // the same class as `a`
/// # let _ = (a.lock().is_ok(), b.lock().is_ok());
/// ```
pub struct ClassKey {
    name: &'static str,
    id: AtomicU32,
}

impl ClassKey {
    /// A class that reports call `name`.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            id: AtomicU32::new(0),
        }
    }

    /// The name that reports print.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn cached_id(&self) -> &AtomicU32 {
        &self.id
    }
}

impl fmt::Debug for ClassKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClassKey({})", self.name)
    }
}

/// A class that belongs to one object and ends when the last handle and the last lock of it are gone.
///
/// Several dynamic classes may have one name: reports print the second of them as `name#2`. When a class ends, what was
/// learnt *through* it stays known: its predecessors are connected with its successors.
#[derive(Clone)]
pub struct DynamicClass(Arc<DynamicKey>);

struct DynamicKey {
    name: Cow<'static, str>,
    id: AtomicU32,
}

impl DynamicClass {
    /// A new class, different from every other one, that reports call `name`.
    #[must_use]
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        Self(Arc::new(DynamicKey {
            name: name.into(),
            id: AtomicU32::new(0),
        }))
    }

    /// The name that reports print, without the `#N` that tells namesakes apart.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    pub(crate) fn cached_id(&self) -> &AtomicU32 {
        &self.0.id
    }
}

impl fmt::Debug for DynamicClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DynamicClass({})", self.0.name)
    }
}

impl Drop for DynamicKey {
    fn drop(&mut self) {
        let id = *self.id.get_mut();
        if id != 0 {
            graph::unregister(id);
        }
    }
}

/// What a lock's class is made of; every constructor called `with_class` takes one.
#[derive(Clone, Debug)]
pub enum Class {
    /// The place in the source where the lock was constructed.
    Site(&'static Location<'static>),
    /// All locks of this name, wherever they are constructed.
    Name(Cow<'static, str>),
    /// A static key.
    Key(&'static ClassKey),
    /// The key of a level of a declared order. It is behind a function because a constant may not refer to a static that
    /// changes before Rust 1.87, and a level's constants are all that a `const fn` can see of it.
    Level(fn() -> &'static ClassKey),
    /// A key that belongs to one object.
    Dynamic(DynamicClass),
}

impl Class {
    /// The class of all locks of this name.
    #[must_use]
    pub fn named(name: impl Into<Cow<'static, str>>) -> Self {
        Self::Name(name.into())
    }
}

impl From<&'static ClassKey> for Class {
    fn from(key: &'static ClassKey) -> Self {
        Self::Key(key)
    }
}

impl From<DynamicClass> for Class {
    fn from(class: DynamicClass) -> Self {
        Self::Dynamic(class)
    }
}

impl From<&DynamicClass> for Class {
    fn from(class: &DynamicClass) -> Self {
        Self::Dynamic(class.clone())
    }
}

#[cfg(feature = "off")]
pub use crate::off::Map;

/// How whoever has to wait for a lock waits, in the kernel's numbers (`include/linux/lockdep_types.h:
/// enum lockdep_wait_type`). Under a lock, only locks may be taken whose way of waiting is not
/// greater than the lock's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// What the lock needs from what is held around it.
    pub(crate) outer: u8,
    /// What it allows to be taken under it.
    pub(crate) inner: u8,
    /// Who shares waits for others who do: there is only so much to share.
    pub(crate) permits: bool,
}

impl Wait {
    /// Not a lock: takes no part in this rule. Work queues and other pseudo-locks.
    pub const NONE: Self = Self::both(0);
    /// Never waits, but allows no sleep: a read-side critical section as of RCU.
    pub const READ_SECTION: Self = Self {
        outer: 1,
        ..Self::both(3)
    };
    /// As [`READ_SECTION`](Wait::READ_SECTION), and must not be preempted.
    pub const READ_SECTION_PINNED: Self = Self {
        outer: 1,
        ..Self::both(2)
    };
    /// Spins. All that a signal handler may take.
    pub const SPIN: Self = Self::both(2);
    /// Spins, or sleeps where the whole program is built to preempt it: the kernel's `spinlock_t`.
    pub const SPIN_OR_SLEEP: Self = Self::both(3);
    /// Puts the thread to sleep: mutex, read-write lock.
    pub const SLEEP: Self = Self::both(4);
    /// Suspends an asynchronous task; not to be waited for by who blocks the task's thread.
    pub const TASK: Self = Self::both(5);
    /// As [`TASK`](Wait::TASK), and there are only so many who can have it at once.
    #[cfg(feature = "tokio")]
    pub(crate) const PERMIT: Self = Self {
        permits: true,
        ..Self::TASK
    };

    const fn both(wait: u8) -> Self {
        Self {
            outer: wait,
            inner: wait,
            permits: false,
        }
    }
}

/// The validator's part of a lock: which class it is of. The kernel's `struct lockdep_map`.
#[doc(hidden)]
#[cfg(not(feature = "off"))]
// In this order, so that the word is next to the lock, which comes after the map: most often they share a cache line.
#[repr(C)]
pub struct Map {
    class: Class,
    level: Option<&'static LevelInfo>,
    wait: Wait,
    /// The class id (0 while the lock has never been taken) and what else of the lock is part of every chain.
    word: AtomicU64,
    point: timing::Point,
}

#[cfg(not(feature = "off"))]
impl Map {
    pub(crate) const fn new(class: Class, wait: Wait) -> Self {
        Self::with_word(class, wait, 0, None)
    }

    pub(crate) const fn novalidate(class: Class, wait: Wait) -> Self {
        Self::with_word(class, wait, Word::UNCHECKED, None)
    }

    pub(crate) const fn leveled(class: Class, wait: Wait, level: &'static LevelInfo) -> Self {
        let word = if level.novalidate { Word::UNCHECKED } else { 0 };
        Self::with_word(class, wait, word, Some(level))
    }

    /// Allows several locks of the class to be held at once, in the order of their addresses.
    pub(crate) const fn by_address(class: Class, wait: Wait) -> Self {
        Self::with_word(class, wait, Word::BY_ADDRESS, None)
    }

    /// Allows several locks of the class to be held at once, smaller ranks first.
    pub(crate) const fn ranked(class: Class, wait: Wait, rank: u32) -> Self {
        assert!(
            rank < Word::MAX_RANK,
            "the rank of a lock must be less than 2^20 - 1"
        );
        Self::with_word(class, wait, ((rank + 1) as u64) << Word::RANK_SHIFT, None)
    }

    const fn with_word(
        class: Class,
        wait: Wait,
        word: u64,
        level: Option<&'static LevelInfo>,
    ) -> Self {
        Self {
            word: AtomicU64::new(word | Word::LOCK),
            wait,
            class,
            level,
            point: timing::Point::new(),
        }
    }

    /// As [`new`](Map::new), where the class may have to be dropped.
    pub(crate) fn of(class: Class, wait: Wait) -> Self {
        Self::new(class, wait)
    }

    pub(crate) fn class(&self) -> &Class {
        &self.class
    }

    pub(crate) fn wait(&self) -> Wait {
        self.wait
    }

    /// Who took the lock last, as far as that is measured.
    #[cfg(feature = "lock_stat")]
    pub(crate) fn point(&self) -> &timing::Point {
        &self.point
    }

    pub(crate) fn level(&self) -> Option<&'static LevelInfo> {
        self.level
    }

    /// What every acquisition of this lock has in common. The class in it is 0 if it is not known yet.
    #[inline(always)]
    pub(crate) fn word(&self) -> u64 {
        self.word.load(Relaxed)
    }

    /// Whether the order of this lock is checked.
    pub(crate) fn is_checked(&self) -> bool {
        Word(self.word()).is_checked()
    }

    /// Whether the calling thread holds it, in any way or in this one.
    pub(crate) fn is_held(&self, mode: Option<Mode>) -> bool {
        let as_wanted = |held: Word| mode.is_none_or(|mode| held.mode() == mode as u64);
        thread::with(|thread| {
            thread
                .newest()
                .any(|lock| lock.is(self.address()) && as_wanted(lock.word))
        })
    }

    /// Remembers the class, so that the next acquisition need not ask.
    pub(crate) fn set_class(&self, id: u32) {
        self.word
            .fetch_or(u64::from(id) << Word::CLASS_SHIFT, Relaxed);
    }

    /// What a report prints as the address of the lock.
    #[inline(always)]
    pub(crate) fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

#[cfg(not(feature = "off"))]
impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map")
            .field("class", &self.class)
            .finish_non_exhaustive()
    }
}

#[cfg(not(feature = "off"))]
impl Drop for Map {
    fn drop(&mut self) {
        thread::freed(self);
    }
}
