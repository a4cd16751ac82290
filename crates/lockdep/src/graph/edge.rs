//! The dependencies: what was taken while what was held, by whom, and from where.

use std::panic::Location;
use std::sync::Arc;

use super::{Graph, limits};
use crate::chain::Word;
use crate::grade::Witness;
use crate::stack::Stack;

/// The place of an edge in the graph.
pub(crate) type EdgeId = u32;

/// Which kinds of locker a dependency was seen with: the kernel's mask of `ER`, `EN`, `SR`, `SN`
/// (`kernel/locking/lockdep.c: __calc_dep_bit`). The first letter: was the first lock held **E**xclusively or **S**hared. The
/// second: was the other one taken as a **R**ecursive reader, or **N**ot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Locker(u8);

impl Locker {
    const SR: u8 = 1 << 0;
    const ER: u8 = 1 << 1;
    const SN: u8 = 1 << 2;
    const EN: u8 = 1 << 3;

    /// Of one observation.
    pub(crate) const fn of(held: Word, taken: Word) -> Self {
        let exclusive = held.is_write() as u8;
        let not_recursive = !taken.is_recursive_read() as u8;
        Self(1 << (exclusive + 2 * not_recursive))
    }

    pub(crate) const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Without what cannot follow a dependency that ends in a recursive reader: no writer waits for one who shares.
    pub(crate) const fn after_recursive_reader(self) -> Self {
        Self(self.0 & (Self::ER | Self::EN))
    }

    /// Whether all that is left ends in a recursive reader.
    pub(crate) const fn ends_in_recursive_reader(self) -> bool {
        self.0 & (Self::SN | Self::EN) == 0
    }

    /// The same dependencies walked the other way: what they end in stands where what they start with stood.
    pub(crate) fn reversed(self) -> Self {
        let reversed = Self::each(self)
            .map(|(exclusive, recursive)| 1_u8 << (u8::from(!recursive) + 2 * u8::from(exclusive)));
        Self(reversed.fold(0, |all, bit| all | bit))
    }

    /// The mask as a number, for files.
    pub(crate) const fn bits(self) -> u8 {
        self.0
    }

    /// The mask of this number.
    pub(crate) const fn from_bits(bits: u8) -> Option<Self> {
        if bits > 0 && bits < 16 {
            Some(Self(bits))
        } else {
            None
        }
    }

    /// What two dependencies in a row amount to.
    pub(crate) fn then(self, next: Self) -> Self {
        let mut both = 0;
        for (exclusive, recursive) in Self::each(self) {
            for (next_exclusive, next_recursive) in Self::each(next) {
                if !recursive || next_exclusive {
                    both |= 1 << (u8::from(exclusive) + 2 * u8::from(!next_recursive));
                }
            }
        }
        Self(both)
    }

    /// Each kind in the mask: whether it starts exclusively, whether it ends in a recursive reader.
    fn each(self) -> impl Iterator<Item = (bool, bool)> {
        [
            (Self::SR, (false, true)),
            (Self::ER, (true, true)),
            (Self::SN, (false, false)),
            (Self::EN, (true, false)),
        ]
        .into_iter()
        .filter(move |(bit, _)| self.0 & bit != 0)
        .map(|(_, kind)| kind)
    }

    /// The kinds by their kernel names.
    pub(crate) fn names(self) -> Vec<&'static str> {
        [
            (Self::ER, "ER"),
            (Self::EN, "EN"),
            (Self::SR, "SR"),
            (Self::SN, "SN"),
        ]
        .into_iter()
        .filter(|(bit, _)| self.0 & bit != 0)
        .map(|(_, name)| name)
        .collect()
    }
}

/// One of the two locks of a dependency, as it was when the dependency was first seen.
#[derive(Clone, Debug)]
pub(crate) struct End {
    /// Address of the lock.
    pub(crate) instance: usize,
    /// The line that took it.
    pub(crate) site: Option<&'static Location<'static>>,
    /// The stack that took it. For the lock that was held: of the first thread that made the same chain of locks.
    pub(crate) stack: Option<Stack>,
}

/// A dependency: `to` was taken while `from` was held.
#[derive(Clone, Debug)]
pub(crate) struct Edge {
    pub(crate) from: u32,
    pub(crate) to: u32,
    pub(crate) lockers: Locker,
    pub(crate) held: End,
    pub(crate) taken: End,
    /// Name and id of the thread that was seen first.
    pub(crate) comm: Arc<str>,
    pub(crate) tid: i32,
    /// It closed a cycle that was reported: it is listed but leads no search, or each cycle would be found many times.
    pub(crate) reported: bool,
    /// Each time it was seen, a lock of the level that the first lock's level may descend to was held in between.
    pub(crate) descended: bool,
    /// It was not seen itself: it stands for a class that has ended.
    pub(crate) bridge: bool,
    /// Some of the acquisitions that made it.
    pub(crate) witnesses: Vec<Witness>,
}

impl Graph {
    pub(crate) fn edge(&self, id: EdgeId) -> &Edge {
        self.edges[id as usize]
            .as_ref()
            .expect("edge ids in class lists and searches are those of live edges")
    }

    /// Every edge.
    pub(crate) fn edges(&self) -> impl Iterator<Item = &Edge> {
        self.edges.iter().flatten()
    }

    pub(crate) fn find_edge(&mut self, from: u32, to: u32) -> Option<&mut Edge> {
        let &id = self.by_ends.get(&(from, to))?;
        self.edges[id as usize].as_mut()
    }

    /// Adds an edge between two classes that have none yet, if there is room.
    pub(crate) fn add_edge(&mut self, edge: Edge) {
        let limit = self.limits.dependencies;
        if self.by_ends.len() >= limit {
            self.run_out(limits::DEPENDENCIES, limit);
            return;
        }
        let (from, to) = (edge.from, edge.to);
        let id = match self.free_edges.pop() {
            Some(id) => {
                self.edges[id as usize] = Some(edge);
                id
            }
            None => {
                self.edges.push(Some(edge));
                EdgeId::try_from(self.edges.len() - 1)
                    .expect("fewer than 2^32 edges fit into memory")
            }
        };
        self.by_ends.insert((from, to), id);
        if let Some(class) = self.class_mut(from) {
            class.after.push(id);
        }
        if let Some(class) = self.class_mut(to) {
            class.before.push(id);
        }
    }

    pub(super) fn remove_edge(&mut self, id: EdgeId) {
        let Some(edge) = self.edges[id as usize].take() else {
            return;
        };
        self.free_edges.push(id);
        self.by_ends.remove(&(edge.from, edge.to));
        if let Some(class) = self.class_mut(edge.from) {
            class.after.retain(|&other| other != id);
        }
        if let Some(class) = self.class_mut(edge.to) {
            class.before.retain(|&other| other != id);
        }
    }

    /// Connects what stands before a class with what stands after it.
    pub(super) fn bridge(&mut self, id: u32) {
        let Some(class) = self.class(id) else { return };
        let live = |ids: &[EdgeId]| -> Vec<Edge> {
            ids.iter()
                .map(|&id| self.edge(id))
                .filter(|edge| !edge.reported)
                .cloned()
                .collect()
        };
        let (before, after) = (live(&class.before), live(&class.after));
        for first in &before {
            for second in &after {
                let lockers = first.lockers.then(second.lockers);
                if lockers.is_none() || first.from == second.to {
                    continue;
                }
                if let Some(edge) = self.find_edge(first.from, second.to) {
                    edge.lockers = edge.lockers.with(lockers);
                    continue;
                }
                self.add_edge(Edge {
                    from: first.from,
                    to: second.to,
                    lockers,
                    held: first.held.clone(),
                    taken: second.taken.clone(),
                    comm: second.comm.clone(),
                    tid: second.tid,
                    reported: false,
                    descended: first.descended || second.descended,
                    bridge: true,
                    witnesses: Edge::witnesses_of_both(first, second),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recursive_reader_is_not_followed_by_who_shares() {
        let (write, read, recursive) = (Word(0), Word(1), Word(2));
        let to_recursive = Locker::of(write, recursive);
        assert_eq!(to_recursive.names(), ["ER"]);
        assert_eq!(Locker::of(read, write).names(), ["SN"]);
        assert_eq!(Locker::of(recursive, read).names(), ["SN"]);
        assert!(to_recursive.then(Locker::of(read, write)).is_none());
        assert_eq!(to_recursive.then(Locker::of(write, write)).names(), ["EN"]);
        assert!(Locker::of(read, write).after_recursive_reader().is_none());
    }
}
