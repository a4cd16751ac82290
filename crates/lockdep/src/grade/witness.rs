//! Who was seen to make a dependency: one acquisition, with its thread, all that the thread held, and the thread's place in the
//! order of forks and joins.

use std::sync::Arc;

use super::Grade;

/// A thread, and its place in the order of forks and joins: for each thread that it has heard of, up to which epoch what
/// that thread did is over. Sorted by thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) thread: u32,
    pub(crate) clock: Arc<[(u32, u32)]>,
}

impl Segment {
    /// How far this segment knows a thread.
    pub(crate) fn knows(&self, thread: u32) -> u32 {
        self.clock
            .binary_search_by_key(&thread, |&(thread, _)| thread)
            .map_or(0, |at| self.clock[at].1)
    }

    /// Whether all of it was over when the other one began.
    pub(super) fn is_before(&self, other: &Self) -> bool {
        other.knows(self.thread) >= self.knows(self.thread)
    }
}

/// One lock in somebody's hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) class: u32,
    /// Tells locks of one class apart.
    pub(crate) instance: u64,
    /// The kernel's `read` argument of `lock_acquire`, or one of the two below.
    pub(crate) mode: u8,
    /// It keeps others out: pseudo-locks do not.
    pub(crate) excludes: bool,
}

impl Taken {
    /// Shared, as long as there is something left to share.
    pub(crate) const PERMIT: u8 = 3;
    /// Shared with readers, of whom one at a time may become a writer.
    pub(crate) const UPGRADABLE: u8 = 4;

    /// Whether two who have it so keep each other out.
    pub(super) fn keeps_out(&self, other: &Self) -> bool {
        let upgradable = Self::UPGRADABLE;
        self.mode == 0 || other.mode == 0 || (self.mode, other.mode) == (upgradable, upgradable)
    }
}

/// One acquisition that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Witness {
    /// Of several runs, which one.
    pub(crate) run: usize,
    pub(crate) segment: Segment,
    /// What was held, oldest first.
    pub(crate) held: Arc<[Taken]>,
    pub(crate) taken: Taken,
    /// Name and id of the thread.
    pub(crate) comm: Arc<str>,
    pub(crate) tid: i32,
}

impl Witness {
    /// A lock that both hold, so that they cannot be where they are at the same time.
    pub(super) fn gate(&self, other: &Self) -> Option<u32> {
        let excludes = |a: &Taken, b: &Taken| {
            a.excludes && (a.class, a.instance) == (b.class, b.instance) && a.keeps_out(b)
        };
        self.held
            .iter()
            .find(|a| other.held.iter().any(|b| excludes(a, b)))
            .map(|gate| gate.class)
    }

    /// Whether it says all that the other one says: the same thread takes the same lock, and holds no more.
    pub(crate) fn says_more_than(&self, other: &Self) -> bool {
        (self.run, &self.segment, self.taken) == (other.run, &other.segment, other.taken)
            && self.held.iter().all(|held| other.held.contains(held))
    }

    /// How much the two are worth as parts of one cycle, and the lock that keeps them apart.
    pub(super) fn with(&self, other: &Self) -> (Grade, Option<u32>) {
        let (one, two) = (&self.segment, &other.segment);
        let gate = self.gate(other);
        if one.thread == two.thread {
            (Grade::SingleThread, gate)
        } else if one.is_before(two) || two.is_before(one) {
            (Grade::Ordered, gate)
        } else if gate.is_some() {
            (Grade::Gated, gate)
        } else {
            (Grade::Deadlock, None)
        }
    }
}
