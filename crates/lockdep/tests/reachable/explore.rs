//! Every interleaving of a small program: can it come to where somebody waits for ever?
//!
//! The locks are those of the crate's documentation. A writer waits for everybody who is in. A reader waits for a writer
//! who is in, or who waits (`std::sync::RwLock`, the kernel's `rw_semaphore`). A recursive reader waits only for a writer
//! who is in. An upgradable reader waits as a reader, and for an upgradable reader who is in. An attempt fails where the same request would have to wait; then its thread goes on where it would release,
//! and takes nothing until then.
//!
//! Programs have no loops, so a thread that waits for ever shows as a state that has no next one.

use std::collections::{BTreeSet, HashSet};

use lockdep::Mode;

use crate::program::{Op, Program};

/// Where a thread is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Place {
    /// The next step.
    at: u8,
    /// The acquisitions that it has, a bit each.
    has: u16,
    /// It has asked for the lock of its next step and not got it yet.
    waits: bool,
    /// An attempt failed: until this step nothing is taken.
    skips_to: u8,
}

type State = Vec<Place>;

/// The locks that the threads of a deadlock wait for, those of one circle.
pub(crate) type Circle = BTreeSet<usize>;

pub(crate) struct Explorer<'a> {
    program: &'a Program,
    /// Of each thread, for each acquisition: lock and mode.
    taken: Vec<Vec<(usize, Mode)>>,
}

impl<'a> Explorer<'a> {
    pub(crate) fn new(program: &'a Program) -> Self {
        let taken = program.threads.iter().map(|ops| {
            let last = ops.iter().map(|op| op.id() + 1).max().unwrap_or(0);
            let mut taken = vec![(0, Mode::Write); last];
            for op in ops {
                if let Op::Acquire { id, lock, mode, .. } = *op {
                    taken[id] = (lock, mode);
                }
            }
            taken
        });
        Self {
            program,
            taken: taken.collect(),
        }
    }

    /// The circles of every deadlock that can be reached. Empty if none can.
    pub(crate) fn deadlocks(&self) -> BTreeSet<Circle> {
        let start: State = vec![Place::default(); self.program.threads.len()];
        let mut seen = HashSet::from([start.clone()]);
        let mut queue = vec![start];
        let mut circles = BTreeSet::new();
        while let Some(state) = queue.pop() {
            let mut stuck = true;
            let mut done = true;
            for thread in 0..state.len() {
                done &= self.op(&state, thread).is_none();
                if let Some(next) = self.step(&state, thread) {
                    stuck = false;
                    if seen.insert(next.clone()) {
                        queue.push(next);
                    }
                }
            }
            if stuck && !done {
                circles.extend(self.circles(&state));
            }
        }
        circles
    }

    fn op(&self, state: &State, thread: usize) -> Option<Op> {
        self.program.threads[thread]
            .get(usize::from(state[thread].at))
            .copied()
    }

    /// What the thread can do next. Nothing, if it is done or has to wait.
    fn step(&self, state: &State, thread: usize) -> Option<State> {
        let mut next = state.clone();
        let place = &mut next[thread];
        match self.op(state, thread)? {
            Op::Release { id } => {
                place.has &= !(1 << id);
                place.at += 1;
            }
            Op::Acquire { .. } if place.at < place.skips_to => place.at += 1,
            Op::Acquire {
                id,
                lock,
                mode,
                attempt,
            } => {
                let free = self.in_the_way(state, thread, lock, mode).is_empty();
                if free {
                    // Who finds the lock free need not ask first: nobody could tell.
                    place.has |= 1 << id;
                    place.at += 1;
                    place.waits = false;
                } else if attempt {
                    let release = Op::Release { id };
                    let ops = &self.program.threads[thread];
                    let end = ops.iter().position(|&op| op == release);
                    place.skips_to = end.expect("every acquisition is released") as u8;
                } else if !place.waits {
                    place.waits = true;
                } else {
                    return None;
                }
            }
        }
        Some(next)
    }

    /// The threads that a request has to wait for; the thread itself can be one.
    fn in_the_way(&self, state: &State, thread: usize, lock: usize, mode: Mode) -> Vec<usize> {
        let has = |other: usize, excludes: &dyn Fn(Mode) -> bool| {
            let mut taken = self.taken[other].iter().enumerate();
            taken.any(|(id, &(of, mode))| {
                state[other].has & (1 << id) != 0 && of == lock && excludes(mode)
            })
        };
        let waits_to_write = |other: usize| {
            let op = self.op(state, other);
            let writes =
                |op| matches!(op, Op::Acquire { lock: of, mode: Mode::Write, .. } if of == lock);
            other != thread && state[other].waits && op.is_some_and(writes)
        };
        let others = 0..state.len();
        others
            .filter(|&other| match mode {
                Mode::Write => has(other, &|_| true),
                Mode::Read => has(other, &|mode| mode == Mode::Write) || waits_to_write(other),
                Mode::Upgradable => {
                    has(other, &|mode| {
                        matches!(mode, Mode::Write | Mode::Upgradable)
                    }) || waits_to_write(other)
                }
                Mode::RecursiveRead => has(other, &|mode| mode == Mode::Write),
            })
            .collect()
    }

    /// The circles in a state where nobody can do anything.
    fn circles(&self, state: &State) -> BTreeSet<Circle> {
        let mut circles = BTreeSet::new();
        for thread in 0..state.len() {
            self.follow(state, &mut vec![thread], &mut circles);
        }
        circles
    }

    fn follow(&self, state: &State, path: &mut Vec<usize>, circles: &mut BTreeSet<Circle>) {
        let thread = *path.last().expect("a path has a start");
        let Some(Op::Acquire { lock, mode, .. }) = self.op(state, thread) else {
            return;
        };
        for other in self.in_the_way(state, thread, lock, mode) {
            if let Some(start) = path.iter().position(|&thread| thread == other) {
                let locks = path[start..]
                    .iter()
                    .map(|&thread| match self.op(state, thread) {
                        Some(Op::Acquire { lock, .. }) => lock,
                        _ => unreachable!("who waits has something to wait for"),
                    });
                circles.insert(locks.collect());
                continue;
            }
            path.push(other);
            self.follow(state, path, circles);
            path.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Kind;

    fn reachable(threads: &[&str]) -> Vec<Vec<usize>> {
        let program = Program::parse(&[Kind::Recursive; 4], threads);
        let circles = Explorer::new(&program).deadlocks();
        circles
            .into_iter()
            .map(|circle| circle.into_iter().collect())
            .collect()
    }

    #[test]
    fn the_search_knows_what_everybody_knows() {
        let none: [Vec<usize>; 0] = [];
        assert_eq!(reachable(&["A B -B -A", "B A -A -B"]), [[0, 1]]);
        assert_eq!(reachable(&["A B -B -A", "A B -B -A"]), none);
        assert_eq!(reachable(&["A B -B -A B A -A -B"]), none, "one thread");
        assert_eq!(
            reachable(&["C A B -B -A -C", "C B A -A -B -C"]),
            none,
            "a gate"
        );
        assert_eq!(reachable(&["A B? -B -A", "B A -A -B"]), none, "an attempt");
        assert_eq!(reachable(&["A A -A -A"]), [[0]], "itself");
        let three = ["A B -B -A", "B C -C -B", "C A -A -C"];
        assert_eq!(reachable(&three), [[0, 1, 2]]);
    }

    #[test]
    fn the_search_knows_readers() {
        let none: [Vec<usize>; 0] = [];
        assert_eq!(
            reachable(&["rA rB -B -A", "rB rA -A -B"]),
            none,
            "nobody writes"
        );
        assert_eq!(
            reachable(&["rA rB -B -A", "rB rA -A -B", "A -A", "B -B"]),
            [[0, 1]]
        );
        assert_eq!(
            reachable(&["RA RB -B -A", "RB RA -A -B", "A -A", "B -B"]),
            none
        );
        assert_eq!(reachable(&["rA rA -A -A", "A -A"]), [[0]]);
        assert_eq!(reachable(&["rA RA -A -A", "A -A"]), none);
        assert_eq!(reachable(&["A RB -B -A", "B RA -A -B"]), [[0, 1]]);
        assert_eq!(reachable(&["RA B -B -A", "B RA -A -B"]), none);
        assert_eq!(reachable(&["uA uB -B -A", "uB uA -A -B"]), [[0, 1]]);
        assert_eq!(reachable(&["uA uB -B -A", "rB rA -A -B"]), none);
        assert_eq!(reachable(&["uA uA -A -A"]), [[0]], "itself");
    }
}
