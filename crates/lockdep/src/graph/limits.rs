//! How much the validator remembers.
//!
//! What goes beyond a limit is said once, in one report, and checking goes on with what is known: a lock of a class too many
//! is listed among those held and not checked; a dependency too many is searched for cycles that it closes and then
//! forgotten; a chain too many is checked each time it is made; locks that are too deep are not followed; and where there
//! is no room for one more stack, reports do without it. When classes end, there is room again.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::Graph;
use crate::chain;
use crate::thread::{self, DEPTH};

/// How much the validator remembers at most, of what there is at one time; what is beyond is said in one report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Classes, subclasses counted. 262,144 by default; the kernel's `MAX_LOCKDEP_KEYS` is 8,192.
    pub classes: usize,
    /// Dependencies. 1,048,576 by default; the kernel's `MAX_LOCKDEP_ENTRIES` is 32,768.
    pub dependencies: usize,
    /// Chains of locks. 262,143 by default, which is the most; the kernel's `MAX_LOCKDEP_CHAINS` is 65,536.
    pub chains: usize,
    /// Distinct stacks. 262,144 by default.
    pub stacks: usize,
    /// Locks that one thread holds. 128 by default, which is the most; the kernel's `MAX_LOCK_DEPTH` is 48.
    pub depth: usize,
}

impl Limits {
    pub(super) const DEFAULT: Self = Self {
        classes: 1 << 18,
        dependencies: 1 << 20,
        chains: chain::CAPACITY,
        stacks: 1 << 18,
        depth: DEPTH,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Asked for without the graph lock.
static MAX_DEPTH: AtomicUsize = AtomicUsize::new(DEPTH);

/// Sets other limits. What has been learnt stays, also if it is more. A thread may find its place deeper than the new limit
/// where it has been before.
pub fn set_limits(limits: Limits) {
    thread::quietly(|| {
        let depth = limits.depth.min(DEPTH);
        MAX_DEPTH.store(depth, Relaxed);
        super::lock().limits = Limits {
            chains: limits.chains.min(chain::CAPACITY),
            depth,
            ..limits
        };
    });
}

/// How many locks of one thread are followed.
pub(crate) fn max_depth() -> usize {
    MAX_DEPTH.load(Relaxed)
}

/// The kernel's names of what can run out.
pub(crate) const CLASSES: &str = "MAX_LOCKDEP_KEYS";
pub(super) const DEPENDENCIES: &str = "MAX_LOCKDEP_ENTRIES";
pub(super) const CHAINS: &str = "MAX_LOCKDEP_CHAINS";
pub(super) const STACKS: &str = "MAX_STACK_TRACE_ENTRIES";
pub(crate) const DEPTHS: &str = "MAX_LOCK_DEPTH";

impl Graph {
    /// Something has run out. It is reported by whoever learns something next.
    pub(super) fn run_out(&mut self, what: &'static str, limit: usize) {
        if self.reported.insert(format!("limit: {what}")) {
            self.run_out.push((what, limit));
        }
    }

    /// What has run out and was not reported yet.
    pub(crate) fn take_run_out(&mut self) -> Vec<(&'static str, usize)> {
        std::mem::take(&mut self.run_out)
    }
}
