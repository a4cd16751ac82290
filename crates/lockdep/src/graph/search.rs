//! Is there a way from one class to another that can carry a deadlock?
//!
//! A path is *strong* when no dependency that ends in a recursive reader is followed by one whose first lock is only shared:
//! there nobody would wait for anybody. The kernel proves in `Documentation/locking/lockdep-design.rst` that a cycle is a
//! deadlock if and only if it is strong. A class can be reached in two states, behind a recursive reader or not, and the
//! second state leads wherever the first does; so each class is visited at most twice.

use std::collections::VecDeque;

use super::{EdgeId, Graph};

/// A class that the search has come to.
struct Visit {
    class: u32,
    /// Where it came from: index of the visit, and the edge. None for the start.
    from: Option<(usize, EdgeId)>,
    /// All that leads here ends in a recursive reader: the kernel's `only_xr`.
    behind_recursive_reader: bool,
}

const BEHIND_READER: u8 = 1;
const BEHIND_ANY: u8 = 3;

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
        self.search = self.search.wrapping_add(1);
        self.visit(
            start,
            if start_is_recursive_reader {
                BEHIND_READER
            } else {
                BEHIND_ANY
            },
        );
        let mut visits = vec![Visit {
            class: start,
            from: None,
            behind_recursive_reader: start_is_recursive_reader,
        }];
        let mut queue = VecDeque::from([0]);
        while let Some(at) = queue.pop_front() {
            let Visit {
                class,
                behind_recursive_reader,
                ..
            } = visits[at];
            if class == target && (target_is_exclusive || !behind_recursive_reader) {
                return Some(Self::path(&visits, at));
            }
            let after = self.class(class).map_or(0, |class| class.after.len());
            for index in 0..after {
                let Some(id) = self.class(class).map(|class| class.after[index]) else {
                    break;
                };
                let edge = self.edge(id);
                if edge.reported {
                    continue;
                }
                let lockers = match behind_recursive_reader {
                    true => edge.lockers.after_recursive_reader(),
                    false => edge.lockers,
                };
                if lockers.is_none() {
                    continue;
                }
                let (to, behind) = (edge.to, lockers.ends_in_recursive_reader());
                if self.visit(to, if behind { BEHIND_READER } else { BEHIND_ANY }) {
                    queue.push_back(visits.len());
                    visits.push(Visit {
                        class: to,
                        from: Some((at, id)),
                        behind_recursive_reader: behind,
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
