//! Is there a way from one class to another that can carry a deadlock?
//!
//! A path is *strong* when no dependency that ends in a recursive reader is followed by one whose first lock is only
//! shared: there nobody would wait for anybody. The kernel proves in `Documentation/locking/lockdep-design.rst` that a
//! cycle is a deadlock if and only if it is strong. A class can be reached in two states, behind a recursive reader or not,
//! and the second state leads wherever the first does; so each class is visited at most twice.
//!
//! Walked backwards, the same holds with the roles exchanged: what a dependency starts with then decides what may come
//! next.

use std::collections::VecDeque;

use super::{EdgeId, Graph, LockClass};

/// Which way to walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// To what was taken while the class was held.
    Forwards,
    /// To what was held while the class was taken.
    Backwards,
}

/// A class that the search has come to.
struct Visit {
    class: u32,
    /// Where it came from: index of the visit, and the edge. None for the start.
    from: Option<(usize, EdgeId)>,
    /// All that leads here ends in a recursive reader, or, backwards, starts shared: the kernel's `only_xr`.
    weak: bool,
}

const WEAK: u8 = 1;
const ANY: u8 = 3;

impl Graph {
    /// The shortest strong path from `start` to `target`, as its edges in order.
    ///
    /// `start_is_recursive_reader` and `target_is_exclusive` say how the two locks are taken in the dependency
    /// target → start that would close the cycle.
    pub(crate) fn find_path(
        &mut self,
        start: u32,
        start_is_recursive_reader: bool,
        target: u32,
        target_is_exclusive: bool,
    ) -> Option<Vec<EdgeId>> {
        let found = |id, _: &LockClass, weak: bool| id == target && (target_is_exclusive || !weak);
        self.search(Direction::Forwards, start, start_is_recursive_reader, found)
    }

    /// The shortest strong path from `start` to the first class for which `found` says so, given its id and whether all
    /// that leads there is weak: the edges in the order of the walk.
    pub(crate) fn search(
        &mut self,
        direction: Direction,
        start: u32,
        start_is_weak: bool,
        mut found: impl FnMut(u32, &LockClass, bool) -> bool,
    ) -> Option<Vec<EdgeId>> {
        self.search = self.search.wrapping_add(1);
        self.visit(start, if start_is_weak { WEAK } else { ANY });
        let mut visits = vec![Visit {
            class: start,
            from: None,
            weak: start_is_weak,
        }];
        let mut queue = VecDeque::from([0]);
        while let Some(at) = queue.pop_front() {
            let Visit {
                class: id, weak, ..
            } = visits[at];
            let Some(class) = self.class(id) else {
                continue;
            };
            if found(id, class, weak) {
                return Some(Self::path(&visits, at));
            }
            let edges = match direction {
                Direction::Forwards => class.after.clone(),
                Direction::Backwards => class.before.clone(),
            };
            for edge_id in edges {
                let edge = self.edge(edge_id);
                if edge.reported {
                    continue;
                }
                let (to, lockers) = match direction {
                    Direction::Forwards => (edge.to, edge.lockers),
                    Direction::Backwards => (edge.from, edge.lockers.reversed()),
                };
                let lockers = if weak {
                    lockers.after_recursive_reader()
                } else {
                    lockers
                };
                if lockers.is_none() {
                    continue;
                }
                let weak = lockers.ends_in_recursive_reader();
                if self.visit(to, if weak { WEAK } else { ANY }) {
                    queue.push_back(visits.len());
                    visits.push(Visit {
                        class: to,
                        from: Some((at, edge_id)),
                        weak,
                    });
                }
            }
        }
        None
    }

    /// Marks a class as visited; false if this search has nothing new to find there.
    fn visit(&mut self, id: u32, state: u8) -> bool {
        let search = self.search;
        let Some(class) = self.class_mut(id) else {
            return false;
        };
        let seen = if class.mark.0 == search {
            class.mark.1
        } else {
            0
        };
        class.mark = (search, seen | state);
        seen & state != state
    }

    fn path(visits: &[Visit], mut at: usize) -> Vec<EdgeId> {
        let mut path = Vec::new();
        while let Some((from, edge)) = visits[at].from {
            path.push(edge);
            at = from;
        }
        path.reverse();
        path
    }
}
