//! What has been learnt: the classes, and which was taken while which was held.
//!
//! One lock guards it all. It is taken only when a thread makes a chain of locks that nobody made before; known chains
//! never come here (see [`chain`]).

mod edge;
mod observe;
mod registry;
mod search;
pub(crate) mod snapshot;
mod usage;

use std::collections::{HashMap, HashSet};
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) use edge::{Edge, EdgeId, End, Locker};
pub(crate) use registry::{LockClass, SUBCLASSES};
pub(crate) use usage::{Conflict, Context, Interrupt};

use crate::chain::{self, ChainKey, Known, Word};
use crate::grade::Witness;
use crate::hash::BuildMultiply;
use crate::report::Report;
use crate::stack::{Depot, Stack};
use crate::thread;

/// A map whose hasher can be made in a `const`.
pub(crate) type Table<K, V> = HashMap<K, V, BuildMultiply>;

/// A chain that was found in order.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    /// The chain without its last lock.
    pub(crate) parent: ChainKey,
    /// The last lock.
    pub(crate) word: Word,
    /// The line of the first thread that made the chain.
    pub(crate) site: &'static Location<'static>,
    /// Its stack.
    pub(crate) stack: Stack,
    pub(crate) known: Known,
}

/// Everything that has been learnt.
pub(crate) struct Graph {
    /// By id; classes that have ended leave an empty place, ids are never used twice.
    classes: Vec<Option<Box<LockClass>>>,
    by_key: Table<registry::KeyId, u32>,
    names: Table<String, Vec<u32>>,
    edges: Vec<Option<Edge>>,
    free_edges: Vec<EdgeId>,
    by_ends: Table<(u32, u32), EdgeId>,
    chains: Table<ChainKey, Chain>,
    pub(crate) stacks: Depot,
    /// Of the search that is running: a class marked with it was visited.
    search: u32,
    /// Classes that ended since the chains were last swept.
    ended: usize,
    /// What was reported already.
    pub(crate) reported: HashSet<String, BuildMultiply>,
    /// Chains of which it is of interest who makes them.
    learners: Table<ChainKey, observe::Learner>,
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
}

static GRAPH: Mutex<Graph> = Mutex::new(Graph {
    classes: Vec::new(),
    by_key: HashMap::with_hasher(BuildMultiply::new()),
    names: HashMap::with_hasher(BuildMultiply::new()),
    edges: Vec::new(),
    free_edges: Vec::new(),
    by_ends: HashMap::with_hasher(BuildMultiply::new()),
    chains: HashMap::with_hasher(BuildMultiply::new()),
    stacks: Depot::new(),
    search: 0,
    ended: 0,
    reported: HashSet::with_hasher(BuildMultiply::new()),
    learners: HashMap::with_hasher(BuildMultiply::new()),
    writers: HashMap::with_hasher(BuildMultiply::new()),
    cycles: Vec::new(),
    cycles_of: HashMap::with_hasher(BuildMultiply::new()),
    ungraded: Vec::new(),
    by_signature: HashMap::with_hasher(BuildMultiply::new()),
    recursions: HashMap::with_hasher(BuildMultiply::new()),
});

/// The graph lock. Only for a thread that is marked busy: what the validator allocates under it must not lead back here.
pub(crate) fn lock() -> MutexGuard<'static, Graph> {
    GRAPH.lock().unwrap_or_else(PoisonError::into_inner)
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

impl Graph {
    /// Remembers that a chain is in order; says whether there was room for it.
    pub(crate) fn add_chain(&mut self, chain: Chain) -> bool {
        let key = chain.parent.extend(chain.word);
        let known = chain.known;
        if self.chains.len() >= chain::CAPACITY {
            self.sweep_chains();
        }
        if self.chains.len() >= chain::CAPACITY {
            return false;
        }
        if self.chains.insert(key, chain).is_none() {
            self.learners.insert(key, observe::Learner::default());
            chain::insert(key, known, true);
        }
        true
    }

    /// The chain of this key.
    pub(crate) fn chain(&self, key: ChainKey) -> Option<&Chain> {
        self.chains.get(&key)
    }

    /// Every chain.
    pub(crate) fn chains(&self) -> impl Iterator<Item = &Chain> {
        self.chains.values()
    }

    /// Of how many chains it is still noted who makes them.
    pub(crate) fn learning_count(&self) -> usize {
        self.learners.len()
    }

    /// How many chains are known.
    pub(crate) fn chain_count(&self) -> usize {
        self.chains.len()
    }

    /// Forgets the chains of classes that have ended. They can match no more, they only take room.
    fn sweep_chains(&mut self) {
        /// A sweep looks at every chain; it must be worth that.
        const WORTH: usize = 64;
        if self.ended < WORTH {
            return;
        }
        self.ended = 0;
        let mut alive: Table<ChainKey, bool> = Table::default();
        let keys: Vec<ChainKey> = self.chains.keys().copied().collect();
        for key in keys {
            let mut path = Vec::new();
            let mut at = key;
            let verdict = loop {
                if at == ChainKey::EMPTY {
                    break true;
                }
                if let Some(&known) = alive.get(&at) {
                    break known;
                }
                path.push(at);
                match self.chains.get(&at) {
                    Some(chain) if self.class(chain.word.class()).is_some() => at = chain.parent,
                    _ => break false,
                }
            };
            alive.extend(path.into_iter().map(|key| (key, verdict)));
        }
        self.chains.retain(|key, _| alive.get(key) == Some(&true));
        chain::clear();
        for (&key, chain) in &self.chains {
            chain::insert(key, chain.known, self.is_learning(key));
        }
    }
}
