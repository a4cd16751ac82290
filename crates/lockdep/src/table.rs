//! The table of the chains that were found in order: read by every thread at any time, without a lock and without writing
//! anything; written under the graph lock, by one thread at a time.
//!
//! It is a tree: a chain is the chain without its last lock, by its [`Node`], and that lock. So the comparison of two words
//! is a comparison of whole chains, and nothing rests on a hash but where to look first. A slot that is given up and used
//! again gives another node; who was reading it finds out.
//!
//! `tests/loom.rs` compiles this file with `loom`'s atomics and tries every order in which readers and the writer can see
//! each other's work. There and here, only the writer's own loads are relaxed.

use crate::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::key::{Node, Word};

/// A place for one chain.
pub(crate) struct Slot {
    /// The chain's own number; 0 while the slot is being filled.
    pub(crate) node: AtomicU64,
    /// The chain without its last lock.
    pub(crate) parent: AtomicU64,
    /// The last lock.
    pub(crate) word: AtomicU64,
    /// The next slot whose chain is looked for from the same head, 0 for none, and above it the [`State`].
    pub(crate) link: AtomicU64,
}

/// So many slots, the first of which is never used, and so many heads of lists of them, a power of two.
pub(crate) struct Table<const SLOTS: usize, const HEADS: usize> {
    pub(crate) heads: [AtomicU32; HEADS],
    pub(crate) slots: [Slot; SLOTS],
}

/// What the table knows about a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// In order.
    Yes,
    /// In order as far as classes go; the instances must be looked at.
    AskInstances,
}

/// What is noted with a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// Nothing if nobody has taken the chain's last lock on top of the others: it is what was left when others were released.
    pub(crate) known: Option<Known>,
    /// It is still of interest who makes the chain.
    pub(crate) learning: bool,
    /// Who was the last to be asked, by the number of a thread's memory ([`met`](crate::met)); 0 for nobody.
    pub(crate) asked: u32,
}

impl State {
    /// Of a chain that was left over.
    pub(crate) const LEFT: Self = Self {
        known: None,
        learning: false,
        asked: 0,
    };
    /// The largest number that `asked` has room for.
    pub(crate) const MAX_ASKED: u32 = (1 << 29) - 1;
    const SHIFT: u32 = 32;
    const ASKED_SHIFT: u32 = 3;

    const fn link(self, next: u32) -> u64 {
        let known = match self.known {
            None => 0,
            Some(Known::Yes) => 1,
            Some(Known::AskInstances) => 2,
        };
        let learning = (self.learning as u64) << 2;
        let asked = (self.asked as u64) << Self::ASKED_SHIFT;
        (known | learning | asked) << Self::SHIFT | next as u64
    }

    const fn of(link: u64) -> Self {
        let bits = link >> Self::SHIFT;
        Self {
            known: match bits & 3 {
                0 => None,
                1 => Some(Known::Yes),
                _ => Some(Known::AskInstances),
            },
            learning: bits & 4 != 0,
            asked: (bits >> Self::ASKED_SHIFT) as u32,
        }
    }

    /// Whether it is of interest that this memory's thread makes the chain.
    pub(crate) const fn asks(self, memory: u32) -> bool {
        self.learning && (memory == 0 || self.asked != memory)
    }
}

impl<const SLOTS: usize, const HEADS: usize> Table<SLOTS, HEADS> {
    fn head(&self, parent: Node, word: Word) -> &AtomicU32 {
        &self.heads[parent.hash(word, HEADS.trailing_zeros())]
    }

    /// Looks for the chain that is one lock longer than `parent`.
    pub(crate) fn find(&self, parent: Node, word: Word) -> Option<(Node, State)> {
        let mut at = self.head(parent, word).load(Ordering::Acquire);
        // While slots are given up and used again, a reader may be led from list to list; not for ever.
        for _ in 0..SLOTS {
            let slot = self.slots.get(at as usize).filter(|_| at != 0)?;
            let node = slot.node.load(Ordering::Acquire);
            // Acquire pairs with the releases in `insert`: who sees any value of a slot's next life sees, at the second look,
            // that its node has gone.
            let same = slot.parent.load(Ordering::Acquire) == parent.0
                && slot.word.load(Ordering::Acquire) == word.0;
            let link = slot.link.load(Ordering::Acquire);
            if same && node != 0 && slot.node.load(Ordering::Acquire) == node {
                return Some((Node(node), State::of(link)));
            }
            at = link as u32;
        }
        None
    }

    /// The chain without its last lock, and that lock. Nothing if the chain's slot was used again for another one.
    #[inline]
    pub(crate) fn last(&self, node: Node) -> Option<(Node, Word)> {
        let slot = self.slots.get(node.slot())?;
        if slot.node.load(Ordering::Acquire) != node.0 {
            return None;
        }
        let parent = slot.parent.load(Ordering::Acquire);
        let word = slot.word.load(Ordering::Acquire);
        let still = slot.node.load(Ordering::Acquire) == node.0;
        still.then_some((Node(parent), Word(word)))
    }

    /// Puts a chain into its node's slot, which is in no list. Only for who holds the graph lock.
    pub(crate) fn insert(&self, node: Node, parent: Node, word: Word, state: State) {
        let head = self.head(parent, word);
        let slot = &self.slots[node.slot()];
        slot.node.store(0, Ordering::Relaxed);
        slot.parent.store(parent.0, Ordering::Release);
        slot.word.store(word.0, Ordering::Release);
        let first = head.load(Ordering::Relaxed);
        slot.link.store(state.link(first), Ordering::Release);
        slot.node.store(node.0, Ordering::Release);
        head.store(node.slot() as u32, Ordering::Release);
    }

    /// Notes something else with a chain. Only for who holds the graph lock.
    pub(crate) fn set(&self, node: Node, state: State) {
        let slot = &self.slots[node.slot()];
        if slot.node.load(Ordering::Relaxed) == node.0 {
            let next = slot.link.load(Ordering::Relaxed) as u32;
            slot.link.store(state.link(next), Ordering::Release);
        }
    }

    /// Takes a chain out of its list, so that it is not found any more. Until its slot is used again, who stands there can
    /// still tell where that is. Only for who holds the graph lock.
    pub(crate) fn remove(&self, node: Node) {
        let own = &self.slots[node.slot()];
        let [parent, word] = [&own.parent, &own.word].map(|own| own.load(Ordering::Relaxed));
        let slot = node.slot() as u32;
        let next = own.link.load(Ordering::Relaxed) as u32;
        let head = self.head(Node(parent), Word(word));
        let mut at = head.load(Ordering::Relaxed);
        if at == slot {
            head.store(next, Ordering::Release);
            return;
        }
        while at != 0 {
            let before = &self.slots[at as usize].link;
            let link = before.load(Ordering::Relaxed);
            if link as u32 == slot {
                before.store(State::of(link).link(next), Ordering::Release);
                return;
            }
            at = link as u32;
        }
    }
}
