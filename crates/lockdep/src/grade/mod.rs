//! How much a finding is worth, first of all a cycle of dependencies: can the threads that were seen really wait for each other?
//!
//! A cycle in the graph of classes says that an order was not kept. Whether that is a deadlock depends on who was seen to
//! do what: one thread cannot wait for itself in two places, threads that all hold one lock besides cannot be where the
//! cycle needs them at the same time, and what ended before another thread began is over. Reports are graded by this
//! rather than dropped, because the next run, or the next thread, may do what this one did not.
//!
//! What is known of a dependency are its *witnesses* ([`Witness`]), and a cycle is graded by laying it out with them ([`grade`]).

mod layout;
mod witness;

use std::fmt;
use std::sync::Arc;

pub(crate) use layout::{grade, grade_recursion};
pub(crate) use witness::{Segment, Taken, Witness};

/// How likely it is that what is reported becomes a deadlock. A greater grade is worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grade {
    /// A part of it was over before another began: a thread was started after it, or joined before.
    Ordered,
    /// Fewer threads were seen than it takes: one did two parts of it, or readers would have to wait for readers, and no other
    /// thread was seen to write between them. More threads that run the same code, or a writer, would be enough.
    SingleThread,
    /// Two parts of it were always done under one lock that both held.
    Gated,
    /// As many threads as it takes were seen, with nothing between them. Or one signal is all that it takes.
    Deadlock,
    /// It is no possibility: a thread was about to wait for itself, or a rule was seen to be broken.
    Certain,
}

/// Whether the parts of a cycle were seen to meet in the same locks, or only in locks of the same classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Instances {
    /// Only the classes are the same.
    ClassOnly,
    /// Each thread was seen waiting for the very lock that the next one was seen holding.
    Confirmed,
}

impl Grade {
    /// As machine-readable output calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ordered => "ordered",
            Self::SingleThread => "single-thread",
            Self::Gated => "gated",
            Self::Deadlock => "deadlock",
            Self::Certain => "certain",
        }
    }
}

impl Grade {
    /// The grade that machine-readable output calls so.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let all = [
            Self::Ordered,
            Self::SingleThread,
            Self::Gated,
            Self::Deadlock,
            Self::Certain,
        ];
        all.into_iter().find(|grade| grade.name() == name)
    }
}

impl Instances {
    pub(crate) fn named(name: &str) -> Option<Self> {
        let all = [Self::ClassOnly, Self::Confirmed];
        all.into_iter().find(|instances| instances.name() == name)
    }

    /// As machine-readable output calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClassOnly => "class-only",
            Self::Confirmed => "confirmed",
        }
    }
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Instances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
/// What a cycle is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) grade: Grade,
    pub(crate) instances: Instances,
    /// The classes of the locks that keep its parts from each other.
    pub(crate) gates: Vec<u32>,
    /// The threads that make it, by name and id, each waiting for what the next one holds or, between two readers, asks for.
    pub(crate) threads: Vec<(Arc<str>, i32)>,
}

impl Verdict {
    /// Of a cycle for which there are no witnesses: a part of it was only concluded.
    pub(crate) const UNSEEN: Self = Self {
        grade: Grade::SingleThread,
        instances: Instances::ClassOnly,
        gates: Vec::new(),
        threads: Vec::new(),
    };

    /// Of a thread that was about to wait for itself for ever.
    pub(crate) const CERTAIN: Self = Self {
        grade: Grade::Certain,
        instances: Instances::Confirmed,
        gates: Vec::new(),
        threads: Vec::new(),
    };

    pub(crate) fn rank(&self) -> (Grade, Instances) {
        (self.grade, self.instances)
    }
}
