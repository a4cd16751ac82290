//! The best layout of a cycle with witnesses, each of which waits for what the next one holds: that is its grade.
//!
//! A witness may stand for several dependencies in a row: who held *A* and *G* when it took *B* held *A*, whatever lies between. The
//! idea is that of GoodLock (Havelund 2000), with the readers of `Documentation/locking/lockdep-design.rst`.
//!
//! A reader does not wait for a reader. It waits for a writer who waits for that reader. So between two readers belongs
//! somebody who was seen to ask for the lock for writing: one more thread, which may hold nothing.

use std::sync::Arc;

use super::{Grade, Instances, Taken, Verdict, Witness};

/// One witness in the place of one or more dependencies in a row.
#[derive(Clone, Copy)]
struct Part<'a> {
    witness: &'a Witness,
    from: &'a Taken,
}

/// After so many steps the best layout found so far has to do.
const STEPS: u32 = 50_000;

struct Search<'a> {
    /// The classes of the cycle.
    nodes: &'a [u32],
    /// Of the dependency from each class to the next.
    witnesses: &'a [&'a [Witness]],
    /// Of each class: those who asked for its locks for writing.
    writers: &'a [&'a [Witness]],
    best: Option<Verdict>,
    steps: u32,
}

/// Grades the cycle of these classes; `witnesses[n]` are those of the dependency from class `n` to the next one, `writers[n]`
/// those who asked for locks of class `n` for writing.
pub(crate) fn grade(nodes: &[u32], witnesses: &[&[Witness]], writers: &[&[Witness]]) -> Verdict {
    let mut search = Search {
        nodes,
        witnesses,
        writers,
        best: None,
        steps: STEPS,
    };
    for end in 0..nodes.len() {
        search.extend(&mut Vec::new(), end, nodes.len(), Grade::Deadlock, &[]);
    }
    search.best.unwrap_or(Verdict::UNSEEN)
}

/// Grades taking a lock of this class under another one: by one thread twice, or by two threads who take two locks in turns.
/// `witnesses` are of those who did so, `writers` of those who asked for locks of the class for writing.
pub(crate) fn grade_recursion(class: u32, witnesses: &[Witness], writers: &[Witness]) -> Verdict {
    let mut search = Search {
        nodes: &[class],
        witnesses: &[],
        writers: &[writers],
        best: None,
        steps: STEPS,
    };
    let parts = |witness: &'_ Witness| -> Vec<Taken> {
        let held = witness.held.iter();
        held.filter(|held| held.class == class).copied().collect()
    };
    let held: Vec<Vec<Taken>> = witnesses.iter().map(parts).collect();
    for (witness, held_one) in witnesses.iter().zip(&held) {
        for from in held_one {
            let one = Part { witness, from };
            if from.instance == witness.taken.instance {
                search.finish(&[one], Grade::Deadlock, &[]);
                continue;
            }
            for (witness, held_two) in witnesses.iter().zip(&held) {
                for from in held_two {
                    let two = Part { witness, from };
                    if from.instance == witness.taken.instance || !waits(two, one) {
                        continue;
                    }
                    let (grade, gate) = one.witness.with(witness);
                    search.finish(&[one, two], grade, gate.as_slice());
                }
            }
        }
    }
    search.best.unwrap_or(Verdict::UNSEEN)
}

impl<'a> Search<'a> {
    /// Lays out the rest of the cycle, backwards: `end` is the dependency in whose end the next part must end, `left` says
    /// how many dependencies are not covered yet.
    fn extend(
        &mut self,
        parts: &mut Vec<Part<'a>>,
        end: usize,
        left: usize,
        grade: Grade,
        gates: &[u32],
    ) {
        if left == 0 {
            self.finish(parts, grade, gates);
            return;
        }
        let count = self.nodes.len();
        for witness in self.witnesses[end] {
            for from in witness.held.iter() {
                let Some(start) = self.nodes.iter().position(|&class| class == from.class) else {
                    continue;
                };
                let length = (end + count - start) % count + 1;
                if length > left || length == count || self.steps == 0 {
                    continue;
                }
                self.steps -= 1;
                let part = Part { witness, from };
                if parts.last().is_some_and(|next| !waits(part, *next)) {
                    continue;
                }
                let (mut worth, mut all) = (grade, gates.to_vec());
                for other in &*parts {
                    let (pair, gate) = witness.with(other.witness);
                    worth = worth.min(pair);
                    all.extend(gate);
                }
                let hope = (worth, Instances::Confirmed);
                if self.best.as_ref().is_some_and(|best| best.rank() >= hope) {
                    continue;
                }
                parts.push(part);
                self.extend(
                    parts,
                    (start + count - 1) % count,
                    left - length,
                    worth,
                    &all,
                );
                parts.pop();
            }
        }
    }

    fn finish(&mut self, parts: &[Part<'a>], grade: Grade, gates: &[u32]) {
        // The parts were laid out backwards: the first one waits for what the last one holds.
        let (Some(&first), Some(&last)) = (parts.first(), parts.last()) else {
            return;
        };
        if !waits(first, last) {
            return;
        }
        let before = parts.iter().skip(1).chain(std::iter::once(&parts[0]));
        let meet = parts
            .iter()
            .zip(before)
            .all(|(part, before)| before.witness.taken.instance == part.from.instance);
        let instances = if meet {
            Instances::Confirmed
        } else {
            Instances::ClassOnly
        };
        let mut layout = Layout {
            parts,
            writers: Vec::new(),
            grade,
            instances,
            gates: gates.to_vec(),
        };
        self.fill(&mut layout);
    }

    /// Puts a writer wherever a reader would wait for a reader, part by part.
    fn fill(&mut self, layout: &mut Layout<'a, '_>) {
        let rank = (layout.grade, layout.instances);
        if self.best.as_ref().is_some_and(|best| best.rank() >= rank) {
            return;
        }
        let at = layout.writers.len();
        let Some(&part) = layout.parts.get(at) else {
            self.best = Some(layout.verdict());
            return;
        };
        let next = layout.parts[at.checked_sub(1).unwrap_or(layout.parts.len() - 1)];
        if !needs_writer(part, next) {
            layout.writers.push(None);
            self.fill(layout);
            layout.writers.pop();
            return;
        }
        let taken = part.witness.taken;
        let node = self.nodes.iter().position(|&class| class == taken.class);
        let known = node.and_then(|node| self.writers.get(node)).copied();
        let known = known.unwrap_or_default().iter().map(Some);
        for writer in known.chain(std::iter::once(None)) {
            if self.steps == 0 {
                return;
            }
            self.steps -= 1;
            let (grade, instances, gates) = (layout.grade, layout.instances, layout.gates.len());
            if let Some(writer) = writer {
                for other in layout.witnesses() {
                    let (pair, gate) = writer.with(other);
                    layout.grade = layout.grade.min(pair);
                    layout.gates.extend(gate);
                }
                let same = (writer.run, writer.taken.instance);
                if same != (part.witness.run, taken.instance) {
                    layout.instances = Instances::ClassOnly;
                }
            } else {
                layout.grade = layout.grade.min(Grade::SingleThread);
            }
            layout.writers.push(writer);
            self.fill(layout);
            layout.writers.pop();
            (layout.grade, layout.instances) = (grade, instances);
            layout.gates.truncate(gates);
        }
    }
}

/// A cycle laid out with parts, and what it is worth so far.
struct Layout<'a, 'p> {
    /// Backwards: each waits for the one before, the first for the last.
    parts: &'p [Part<'a>],
    /// Behind whom the parts wait, as far as they are readers who would wait for readers.
    writers: Vec<Option<&'a Witness>>,
    grade: Grade,
    instances: Instances,
    gates: Vec<u32>,
}

impl<'a> Layout<'a, '_> {
    /// Everybody who takes part.
    fn witnesses(&self) -> Vec<&'a Witness> {
        let parts = self.parts.iter().map(|part| part.witness);
        parts
            .chain(self.writers.iter().flatten().copied())
            .collect()
    }

    fn verdict(&self) -> Verdict {
        let mut gates = self.gates.clone();
        gates.sort_unstable();
        gates.dedup();
        let threads = self.parts.iter().zip(&self.writers).rev();
        let threads = threads.flat_map(|(part, writer)| [Some(part.witness), *writer]);
        Verdict {
            grade: self.grade,
            instances: self.instances,
            gates,
            threads: threads
                .flatten()
                .map(|witness| (Arc::clone(&witness.comm), witness.tid))
                .collect(),
        }
    }
}

/// Whether who takes the last lock of `part` waits for who holds the first lock of `next`: not, if a recursive reader meets
/// a reader.
fn waits(part: Part<'_>, next: Part<'_>) -> bool {
    part.witness.taken.mode != 2 || next.from.mode == 0
}

/// Whether it waits only if a writer waits there already. Who asks for a permit waits for those who have them, and who
/// wants to be able to become a writer, for the one who is.
fn needs_writer(part: Part<'_>, next: Part<'_>) -> bool {
    let (taken, held) = (part.witness.taken.mode, next.from.mode);
    taken != 0 && held != 0 && (taken != held || taken < Taken::PERMIT)
}

#[cfg(test)]
mod tests {
    use super::super::Segment;
    use super::*;

    fn segment(thread: u32, clock: &[(u32, u32)]) -> Segment {
        Segment {
            thread,
            clock: clock.into(),
        }
    }

    fn taken(class: u32, instance: u64) -> Taken {
        Taken {
            class,
            instance,
            mode: 0,
            excludes: true,
        }
    }

    fn witness(thread: u32, locks: &[(u32, u64)]) -> Witness {
        let locks: Vec<Taken> = locks.iter().map(|&(class, at)| taken(class, at)).collect();
        let (&taken, held) = locks.split_last().expect("a witness takes a lock");
        Witness {
            run: 0,
            segment: segment(thread, &[(thread, 1)]),
            held: held.into(),
            taken,
            comm: "test".into(),
            tid: 0,
        }
    }

    /// Of locks that nobody was seen to write.
    fn grade(nodes: &[u32], witnesses: &[&[Witness]]) -> Verdict {
        super::grade(nodes, witnesses, &[])
    }

    fn rank(nodes: &[u32], witnesses: &[&[Witness]]) -> (Grade, Instances) {
        grade(nodes, witnesses).rank()
    }

    #[test]
    fn two_threads_are_a_deadlock_and_one_is_not() {
        let ab = [witness(1, &[(1, 10), (2, 20)])];
        let ba = [witness(2, &[(2, 20), (1, 10)])];
        let same = [witness(1, &[(2, 21), (1, 10)])];
        assert_eq!(
            rank(&[1, 2], &[&ab, &ba]),
            (Grade::Deadlock, Instances::Confirmed)
        );
        assert_eq!(
            rank(&[1, 2], &[&ab, &same]),
            (Grade::SingleThread, Instances::ClassOnly)
        );
        let both = [same[0].clone(), ba[0].clone()];
        assert_eq!(
            rank(&[1, 2], &[&ab, &both]),
            (Grade::Deadlock, Instances::Confirmed),
            "the best counts"
        );
    }

    #[test]
    fn a_gate_is_one_and_the_same_lock_held_by_all_and_by_one_for_writing() {
        let ab = [witness(1, &[(9, 90), (1, 10), (2, 20)])];
        let mut ba = [witness(2, &[(9, 90), (2, 20), (1, 10)])];
        let verdict = grade(&[1, 2], &[&ab, &ba]);
        assert_eq!((verdict.grade, &*verdict.gates), (Grade::Gated, &[9][..]));
        let other = [witness(2, &[(9, 91), (2, 20), (1, 10)])];
        assert_eq!(grade(&[1, 2], &[&ab, &other]).grade, Grade::Deadlock);
        let mut shared = ab.clone();
        shared[0].held = [
            Taken {
                mode: 1,
                ..taken(9, 90)
            },
            taken(1, 10),
        ]
        .into();
        assert_eq!(grade(&[1, 2], &[&shared, &ba]).grade, Grade::Gated);
        ba[0].held = [
            Taken {
                mode: 1,
                ..taken(9, 90)
            },
            taken(2, 20),
        ]
        .into();
        assert_eq!(grade(&[1, 2], &[&shared, &ba]).grade, Grade::Deadlock);
    }

    #[test]
    fn a_witness_stands_for_several_dependencies_in_a_row() {
        // A thread takes 1, 3, 2; another 2, 1. Seen edge by edge the first one does two of three.
        let first = [witness(1, &[(1, 10), (3, 30)])];
        let second = [witness(1, &[(1, 10), (3, 30), (2, 20)])];
        let back = [witness(2, &[(2, 20), (1, 10)])];
        assert_eq!(
            rank(&[1, 3, 2], &[&first, &second, &back]),
            (Grade::Deadlock, Instances::Confirmed)
        );
        let apart = [witness(1, &[(3, 30), (2, 20)])];
        assert_eq!(
            rank(&[1, 3, 2], &[&first, &apart, &back]),
            (Grade::SingleThread, Instances::Confirmed)
        );
    }

    #[test]
    fn what_was_over_before_the_other_began_is_ordered() {
        let mut ab = [witness(1, &[(1, 10), (2, 20)])];
        let mut ba = [witness(2, &[(2, 20), (1, 10)])];
        ba[0].segment = segment(2, &[(1, 1), (2, 1)]);
        assert_eq!(grade(&[1, 2], &[&ab, &ba]).grade, Grade::Ordered);
        ab[0].segment = segment(1, &[(1, 2)]);
        assert_eq!(grade(&[1, 2], &[&ab, &ba]).grade, Grade::Deadlock);
    }

    #[test]
    fn a_recursive_reader_waits_for_no_reader() {
        let read = |witness: &mut Witness, mode| {
            witness.taken.mode = mode;
            witness.held = witness
                .held
                .iter()
                .map(|&held| Taken { mode, ..held })
                .collect();
        };
        let mut ab = [witness(1, &[(1, 10), (2, 20)])];
        let mut ba = [witness(2, &[(2, 20), (1, 10)])];
        read(&mut ab[0], 2);
        read(&mut ba[0], 2);
        assert_eq!(grade(&[1, 2], &[&ab, &ba]), Verdict::UNSEEN);
        read(&mut ab[0], 1);
        read(&mut ba[0], 1);
        assert_eq!(grade(&[1, 2], &[&ab, &ba]).grade, Grade::SingleThread);

        // Behind writers it does.
        let (a, b) = ([witness(3, &[(1, 10)])], [witness(4, &[(2, 20)])]);
        let with = |a: &[Witness], b: &[Witness]| super::grade(&[1, 2], &[&ab, &ba], &[a, b]);
        let verdict = with(&a, &b);
        assert_eq!(verdict.rank(), (Grade::Deadlock, Instances::Confirmed));
        assert_eq!(verdict.threads.len(), 4);
        assert_eq!(with(&a, &[]).grade, Grade::SingleThread);
        let mut same = b.clone();
        same[0].segment = a[0].segment.clone();
        assert_eq!(with(&a, &same).grade, Grade::SingleThread);
        let other = [witness(4, &[(2, 21)])];
        assert_eq!(
            with(&a, &other).rank(),
            (Grade::Deadlock, Instances::ClassOnly)
        );
        let gated = [witness(4, &[(1, 10), (2, 20)])];
        let verdict = with(&a, &gated);
        assert_eq!((verdict.grade, &*verdict.gates), (Grade::Gated, &[1][..]));
        let mut late = b.clone();
        late[0].segment = segment(4, &[(1, 1), (4, 1)]);
        assert_eq!(with(&a, &late).grade, Grade::SingleThread);

        // Where only so many can share there is no need of one.
        read(&mut ab[0], Taken::PERMIT);
        read(&mut ba[0], Taken::PERMIT);
        assert_eq!(grade(&[1, 2], &[&ab, &ba]).grade, Grade::Deadlock);
    }

    #[test]
    fn a_cycle_without_witnesses_is_not_called_a_deadlock() {
        assert_eq!(grade(&[1, 2], &[&[], &[]]), Verdict::UNSEEN);
    }
}
