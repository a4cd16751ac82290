//! What has been learnt: the classes, and which was taken while which was held.
//!
//! One lock guards it all. It is taken only when a thread makes a chain of locks that nobody made before; known chains
//! never come here (see [`chain`](crate::chain)).

mod chains;
mod edge;
pub(crate) mod limits;
mod observe;
mod registry;
mod search;
pub(crate) mod snapshot;
mod usage;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chains::Chains;
pub(crate) use chains::Made;
pub(crate) use edge::{Edge, EdgeId, End, Locker};
use limits::Limits;
pub(crate) use registry::{LockClass, SUBCLASSES};
pub(crate) use usage::{Conflict, Context, Interrupt};

use crate::grade::Witness;
use crate::hash::BuildMultiply;
use crate::report::Report;
use crate::stack::{Depot, Stack};
use crate::thread;

/// A map whose hasher can be made in a `const`.
pub(crate) type Table<K, V> = HashMap<K, V, BuildMultiply>;

/// Everything that has been learnt.
pub(crate) struct Graph {
    /// How many classes there are.
    class_count: usize,
    /// By id; classes that have ended leave an empty place, ids are never used twice.
    classes: Vec<Option<Box<LockClass>>>,
    by_key: Table<registry::KeyId, u32>,
    names: Table<String, Vec<u32>>,
    edges: Vec<Option<Edge>>,
    free_edges: Vec<EdgeId>,
    by_ends: Table<(u32, u32), EdgeId>,
    chains: Chains,
    pub(crate) stacks: Depot,
    /// Of the search that is running: a class marked with it was visited.
    search: u32,
    /// What was reported already.
    pub(crate) reported: HashSet<String, BuildMultiply>,
    /// Of each class, some of those who asked for its locks for writing.
    writers: Table<u32, Vec<Witness>>,
    /// The cycles that were reported, and in which of them a dependency takes part.
    cycles: Vec<observe::Cycle>,
    cycles_of: Table<(u32, u32), Vec<usize>>,
    /// Cycles that are about to be graded for the first time.
    ungraded: Vec<usize>,
    by_signature: Table<String, Arc<Report>>,
    /// The classes of which several were held at once, out of any order.
    recursions: Table<u32, observe::Recursion>,
    pub(crate) limits: Limits,
    /// What has run out and was not reported yet.
    run_out: Vec<(&'static str, usize)>,
}

static GRAPH: Mutex<Graph> = Mutex::new(Graph {
    class_count: 0,
    classes: Vec::new(),
    by_key: HashMap::with_hasher(BuildMultiply::new()),
    names: HashMap::with_hasher(BuildMultiply::new()),
    edges: Vec::new(),
    free_edges: Vec::new(),
    by_ends: HashMap::with_hasher(BuildMultiply::new()),
    chains: Chains::new(),
    stacks: Depot::new(),
    search: 0,
    reported: HashSet::with_hasher(BuildMultiply::new()),
    writers: HashMap::with_hasher(BuildMultiply::new()),
    cycles: Vec::new(),
    cycles_of: HashMap::with_hasher(BuildMultiply::new()),
    ungraded: Vec::new(),
    by_signature: HashMap::with_hasher(BuildMultiply::new()),
    recursions: HashMap::with_hasher(BuildMultiply::new()),
    limits: Limits::DEFAULT,
    run_out: Vec::new(),
});

/// The graph lock. Only for a thread that is marked busy: what the validator allocates under it must not lead back here.
pub(crate) fn lock() -> MutexGuard<'static, Graph> {
    GRAPH.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Graph {
    /// The stored stack that equals this one; an empty one if there is no room.
    pub(crate) fn keep_stack(&mut self, stack: &Stack) -> Stack {
        let limit = self.limits.stacks;
        self.stacks.keep(stack, limit).unwrap_or_else(|| {
            self.run_out(limits::STACKS, limit);
            Stack::none()
        })
    }
}

/// Ends a class: see [`Graph::unregister`].
pub(crate) fn unregister(base: u32) {
    thread::with(|thread| {
        // A class that ends inside the validator (in a report handler, say) stays: its id is never used again, so it can do no harm.
        if !thread.busy.replace(true) {
            lock().unregister(base);
            thread.busy.set(false);
        }
    });
}
