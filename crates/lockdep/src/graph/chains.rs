//! Who has which slot of the table of chains, and what is kept of a chain beside its place in the tree.

use std::collections::VecDeque;
use std::panic::Location;

use super::observe::Learner;
use super::{Graph, limits};
use crate::chain::{self, Known, Node, State, Word};
use crate::stack::Stack;

/// Who was the first to make a chain.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    /// The line that took the last lock.
    pub(crate) site: &'static Location<'static>,
    pub(crate) stack: Stack,
}

/// What is kept of a chain.
#[derive(Debug)]
struct Chain {
    node: Node,
    /// Nothing if it is what was left when others were released.
    made: Option<Made>,
    /// As long as more is to be learnt.
    learner: Option<Box<Learner>>,
}

/// The slots of the table of chains.
#[derive(Debug)]
pub(super) struct Chains {
    /// By slot.
    slots: Vec<Option<Chain>>,
    /// Slots that were given up, the longest time ago first: who stands at such a chain, because it was forgotten to hold a
    /// lock that is no more, can tell what it holds as long as possible.
    free: VecDeque<u32>,
    serial: u64,
    /// How many chains were found in order.
    made: usize,
    /// How many classes ended since the chains were last swept.
    pub(super) ended: usize,
    /// How many chains the last sweep left.
    left: usize,
}

impl Chains {
    pub(super) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: VecDeque::new(),
            serial: 0,
            made: 0,
            ended: 0,
            left: 0,
        }
    }

    fn get(&self, node: Node) -> Option<&Chain> {
        let chain = self.slots.get(node.slot())?.as_ref()?;
        (chain.node == node).then_some(chain)
    }

    fn get_mut(&mut self, node: Node) -> Option<&mut Chain> {
        let chain = self.slots.get_mut(node.slot())?.as_mut()?;
        (chain.node == node).then_some(chain)
    }

    /// How many chains have a slot.
    fn count(&self) -> usize {
        // Slot 0 is none.
        self.slots.len().saturating_sub(1) - self.free.len()
    }

    /// A sweep must be worth its work: so many classes have ended.
    const WORTH: usize = 64;

    /// Whether it costs little to look at all chains, before there is no room: there are half as many more as the last sweep
    /// left, so each of the new ones has paid for three looks. How many chains a class leaves does not matter; with many locks
    /// of other classes above and below its own, it is a hundred and more.
    fn are_worth_a_sweep(&self) -> bool {
        self.ended >= Self::WORTH && self.count() >= self.left + self.left / 2
    }

    /// A new node, `depth` locks deep.
    fn add(&mut self, depth: usize) -> Option<Node> {
        if self.serial + 1 >= Node::SERIALS {
            return None;
        }
        if self.slots.is_empty() {
            self.slots.push(None); // slot 0 stands for none
        }
        let slot = self.free.pop_front().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() as u32 - 1
        });
        self.serial += 1;
        let node = Node::new(self.serial, slot, depth);
        self.slots[node.slot()] = Some(Chain {
            node,
            made: None,
            learner: None,
        });
        Some(node)
    }
}

impl Graph {
    /// The node that is one lock further than `from`: a place to stand, if nothing else. Nothing if there is no room.
    pub(crate) fn stand(&mut self, from: Node, word: Word) -> Option<Node> {
        if let Some((node, _)) = chain::find(from, word) {
            return Some(node);
        }
        let limit = self.limits.chains;
        if self.chains.count() >= limit || self.chains.are_worth_a_sweep() {
            self.sweep_chains();
        }
        if self.chains.count() >= limit {
            self.run_out(limits::CHAINS, limit);
            return None;
        }
        let node = self.chains.add(usize::from(from.depth()) + 1)?;
        chain::insert(node, from, word, State::LEFT);
        Some(node)
    }

    /// Remembers that a chain was checked. Its node, if there is room for it.
    pub(crate) fn add_chain(
        &mut self,
        from: Node,
        word: Word,
        known: Known,
        made: Made,
    ) -> Option<Node> {
        let node = self.stand(from, word)?;
        let chain = self.chains.get_mut(node)?;
        if chain.made.is_none() {
            chain.made = Some(made);
            chain.learner = Some(Box::default());
            self.chains.made += 1;
            let state = State {
                known: Some(known),
                learning: true,
                asked: 0,
            };
            chain::set(node, state);
        }
        Some(node)
    }

    /// Who was the first to make this chain.
    pub(crate) fn made(&self, node: Node) -> Option<&Made> {
        self.chains.get(node)?.made.as_ref()
    }

    /// Every chain that was found in order, oldest lock first.
    pub(crate) fn chains(&self) -> impl Iterator<Item = Vec<Word>> {
        let made = self.chains.slots.iter().flatten();
        made.filter(|chain| chain.made.is_some()).map(|chain| {
            let mut at = chain.node;
            let mut words = Vec::new();
            while let Some((parent, word)) = chain::last(at) {
                words.push(word);
                at = parent;
            }
            words.reverse();
            words
        })
    }

    /// Of how many chains it is still noted who makes them.
    pub(crate) fn learning_count(&self) -> usize {
        let chains = self.chains.slots.iter().flatten();
        chains.filter(|chain| chain.learner.is_some()).count()
    }

    /// How many chains were found in order.
    pub(crate) fn chain_count(&self) -> usize {
        self.chains.made
    }

    /// A thread, which remembers under the number `asked`, makes a chain that it had not made before. Afterwards perhaps no more
    /// threads are asked.
    pub(super) fn note_maker(&mut self, node: Node, thread: u32, asked: u32) {
        let Some(chain) = self.chains.get_mut(node) else {
            return;
        };
        let Some(learner) = &mut chain.learner else {
            return;
        };
        let learning = !learner.is_content_with(thread);
        if !learning {
            chain.learner = None;
        }
        let found = chain::last(node).and_then(|(from, word)| chain::find(from, word));
        if let Some((_, State { known, .. })) = found {
            let state = State {
                known,
                learning,
                asked,
            };
            chain::set(node, state);
        }
    }

    /// Forgets the chains of classes that have ended. They can match no more, they only take room.
    fn sweep_chains(&mut self) {
        if self.chains.ended < Chains::WORTH {
            return;
        }
        self.chains.ended = 0;
        let mut nodes: Vec<Node> = self
            .chains
            .slots
            .iter()
            .flatten()
            .map(|chain| chain.node)
            .collect();
        nodes.sort_unstable_by_key(|node| node.depth());
        for node in nodes {
            // A chain whose beginning was swept has no parent any more; what begins with an interruption stays.
            let lives = chain::last(node).is_some_and(|(parent, word)| {
                let parent = parent == Node::EMPTY || self.chains.get(parent).is_some();
                parent && (word.class() == 0 || self.class(word.class()).is_some())
            });
            if !lives {
                chain::remove(node);
                let chain = self.chains.slots[node.slot()].take();
                self.chains.made -= usize::from(chain.is_some_and(|chain| chain.made.is_some()));
                self.chains.free.push_back(node.slot() as u32);
            }
        }
        self.chains.left = self.chains.count();
    }
}
