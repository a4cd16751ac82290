//! Who makes which dependency: the witnesses by which cycles are graded.
//!
//! A new chain of locks leaves a witness with each dependency that it amounts to. After that, every thread that meets the
//! chain for the first time leaves one too, until enough is known of the chain: [`THREADS`] threads, or [`ASKS`] questions.
//! A witness may raise the grade of a cycle that was reported long ago.
//!
//! Each class has witnesses too: of those who asked for its locks for writing, whatever they held, and if it was nothing. A
//! reader waits for a reader only where there is such a one.

use std::sync::Arc;

use super::{Edge, Graph};
use crate::grade::{self, Segment, Taken, Verdict, Witness};
use crate::report::{Identity, Report};
use crate::thread::{HeldLock, Thread};

/// A dependency keeps so many witnesses at most.
const WITNESSES: usize = 12;
/// A class keeps so many writers at most.
const WRITERS: usize = 6;
/// After so many threads have met a chain, the next ones are not asked.
const THREADS: usize = 6;
/// Nor are they after so many questions, whoever was asked.
const ASKS: u32 = 64;

/// A chain of which more is to be learnt.
#[derive(Debug, Default)]
pub(super) struct Learner {
    threads: Vec<u32>,
    asks: u32,
}

impl Learner {
    /// One more thread makes the chain. Says whether that is enough.
    pub(super) fn is_content_with(&mut self, thread: u32) -> bool {
        self.asks += 1;
        if !self.threads.contains(&thread) {
            self.threads.push(thread);
        }
        self.asks >= ASKS || self.threads.len() >= THREADS
    }
}

/// A cycle that was reported.
#[derive(Debug)]
pub(super) struct Cycle {
    /// Its classes in order.
    nodes: Vec<u32>,
    report: Arc<Report>,
}

/// Locks of one class that were taken under each other, which was reported.
#[derive(Debug)]
pub(super) struct Recursion {
    report: Arc<Report>,
    witnesses: Vec<Witness>,
}

impl Graph {
    /// A thread that had not met the chain takes the lock that completes it. Gives the reports whose grade rises.
    pub(crate) fn learn(
        &mut self,
        thread: &Thread,
        next: &HeldLock,
        identity: impl FnOnce() -> Identity,
    ) -> Vec<Arc<Report>> {
        self.note_maker(next.node, Segment::current().thread, thread.met.number());
        self.observe(thread, next, identity)
    }

    /// Leaves a witness with each dependency that this acquisition amounts to, and with the class if it is for writing. Gives the reports whose grade rises.
    fn observe(
        &mut self,
        thread: &Thread,
        next: &HeldLock,
        identity: impl FnOnce() -> Identity,
    ) -> Vec<Arc<Report>> {
        if next.word.is_try() || !next.word.is_checked() {
            return Vec::new();
        }
        let to = next.word.class();
        let mut edges: Vec<_> = thread
            .held_here()
            .filter_map(|held| self.by_ends.get(&(held.word.class(), to)).copied())
            .collect();
        edges.sort_unstable();
        edges.dedup();
        let again = self.recursions.contains_key(&to)
            && thread.held_here().any(|held| held.word.class() == to);
        if edges.is_empty() && !again && !next.word.is_write() {
            return Vec::new();
        }
        let mut held: Vec<Taken> = thread.held_here().map(|held| self.taken(&held)).collect();
        held.reverse();
        let Identity { comm, tid } = identity();
        let witness = Witness {
            run: 0,
            segment: Segment::current(),
            held: held.into(),
            taken: self.taken(next),
            comm,
            tid,
        };
        let mut cycles = std::mem::take(&mut self.ungraded);
        for id in edges {
            let Some(edge) = &mut self.edges[id as usize] else {
                continue;
            };
            if add_witness(&mut edge.witnesses, &witness, WITNESSES) {
                let of = self.cycles_of.get(&(edge.from, edge.to));
                cycles.extend(of.into_iter().flatten());
            }
        }
        if next.word.is_write() && self.add_writer(to, &witness) {
            let before = self.class(to).map_or(&[][..], |class| &class.before);
            let of = before
                .iter()
                .filter_map(|&edge| self.cycles_of.get(&(self.edge(edge).from, to)));
            cycles.extend(of.flatten());
        }
        cycles.sort_unstable();
        cycles.dedup();
        let raised = cycles.into_iter().filter_map(|at| self.regrade(at));
        let mut raised: Vec<_> = raised.collect();
        raised.extend(self.observe_recursion(to, again.then_some(&witness)));
        raised
    }

    /// Somebody took a lock of this class under another one, or for writing. Gives the report, if its grade rises.
    fn observe_recursion(&mut self, class: u32, witness: Option<&Witness>) -> Option<Arc<Report>> {
        let recursion = self.recursions.get_mut(&class)?;
        if let Some(witness) = witness {
            add_witness(&mut recursion.witnesses, witness, WITNESSES);
        }
        let recursion = self.recursions.get(&class)?;
        let verdict = grade::grade_recursion(class, &recursion.witnesses, self.writers(class));
        let name = |class: &u32| crate::report::ClassText::of(self, *class).name;
        let gates = verdict.gates.iter().map(name).collect();
        let raised = recursion.report.raise(&verdict, gates);
        raised.then(|| Arc::clone(&recursion.report))
    }

    /// Remembers that several locks of a class were held at once, reported now or before under this signature.
    pub(crate) fn add_recursion(&mut self, signature: &str, class: u32, new: Option<&Arc<Report>>) {
        let known = self.by_signature.get(signature);
        let Some(report) = known.or(new.filter(|report| report.signature() == signature)) else {
            return;
        };
        let report = Arc::clone(report);
        self.by_signature
            .insert(signature.to_owned(), Arc::clone(&report));
        self.recursions.entry(class).or_insert(Recursion {
            report,
            witnesses: Vec::new(),
        });
    }

    fn taken(&self, lock: &HeldLock) -> Taken {
        let id = lock.word.class();
        let class = self.class(id);
        Taken {
            class: id,
            instance: lock.address() as u64,
            mode: match lock.word.mode() as u8 {
                1 if class.is_some_and(|class| class.wait.permits) => Taken::PERMIT,
                3 => Taken::UPGRADABLE,
                mode => mode,
            },
            excludes: class.is_some_and(|class| class.wait.outer > 0),
        }
    }

    /// Somebody asks for a lock of this class for writing. Says whether that is something new.
    fn add_writer(&mut self, class: u32, witness: &Witness) -> bool {
        let known = self.writers.entry(class).or_default();
        if known.iter().any(|known| known.says_more_than(witness)) {
            return false;
        }
        known.retain(|known| !witness.says_more_than(known));
        add_witness(known, witness, WRITERS)
    }

    /// Some of those who asked for locks of this class for writing.
    pub(crate) fn writers(&self, class: u32) -> &[Witness] {
        self.writers.get(&class).map_or(&[], Vec::as_slice)
    }

    /// Remembers a cycle that is reported now, or that was reported before under this signature.
    pub(crate) fn add_cycle(
        &mut self,
        signature: &str,
        nodes: Vec<u32>,
        new: Option<&Arc<Report>>,
    ) {
        let known = self.by_signature.get(signature);
        let Some(report) = known.or(new.filter(|report| report.signature() == signature)) else {
            return;
        };
        let report = Arc::clone(report);
        let of_first = ends(&nodes)
            .next()
            .and_then(|ends| self.cycles_of.get(&ends));
        if of_first.is_some_and(|of| of.iter().any(|&at| self.cycles[at].nodes == nodes)) {
            return;
        }
        self.by_signature
            .insert(signature.to_owned(), Arc::clone(&report));
        let at = self.cycles.len();
        self.ungraded.push(at);
        for (from, to) in ends(&nodes) {
            self.cycles_of.entry((from, to)).or_default().push(at);
        }
        self.cycles.push(Cycle { nodes, report });
    }

    /// Grades a cycle again; its report, if the grade rises.
    fn regrade(&mut self, at: usize) -> Option<Arc<Report>> {
        let Cycle { nodes, report } = &self.cycles[at];
        let verdict = self.verdict(nodes);
        let name = |class: &u32| crate::report::ClassText::of(self, *class).name;
        let gates = verdict.gates.iter().map(name).collect();
        report.set_breaks(ends(nodes).filter_map(|ends| self.broken(ends)).collect());
        report.raise(&verdict, gates).then(|| Arc::clone(report))
    }

    /// What a dependency breaks of the declared order.
    pub(crate) fn broken(&self, ends: (u32, u32)) -> Option<String> {
        let edge = self.edge(*self.by_ends.get(&ends)?);
        let level = |id| self.class(id)?.level;
        let (held, taken) = (level(edge.from)?, level(edge.to)?);
        let broken = !edge.descended && !edge.bridge && !held.allows(taken);
        broken.then(|| format!("{} before {} ({})", taken.name, held.name, held.table))
    }

    /// The cycles that were reported: classes in order, and the report.
    pub(crate) fn reported_cycles(&self) -> impl Iterator<Item = (&[u32], &Arc<Report>)> {
        self.cycles
            .iter()
            .map(|cycle| (&*cycle.nodes, &cycle.report))
    }

    fn verdict(&self, nodes: &[u32]) -> Verdict {
        let none: &[Witness] = &[];
        let witnesses: Vec<&[Witness]> = ends(nodes)
            .map(|ends| self.by_ends.get(&ends))
            .map(|id| id.map_or(none, |&id| &self.edge(id).witnesses))
            .collect();
        let writers: Vec<&[Witness]> = nodes.iter().map(|&class| self.writers(class)).collect();
        grade::grade(nodes, &witnesses, &writers)
    }
}

/// The dependencies of a cycle.
fn ends(nodes: &[u32]) -> impl Iterator<Item = (u32, u32)> + '_ {
    let next = nodes.iter().skip(1).chain(nodes.first());
    nodes.iter().copied().zip(next.copied())
}

/// Adds a witness that says something new. When there is no room, it takes the place of one whose thread has another.
fn add_witness(witnesses: &mut Vec<Witness>, witness: &Witness, room: usize) -> bool {
    if witnesses.contains(witness) {
        return false;
    }
    if witnesses.len() < room {
        witnesses.push(witness.clone());
        return true;
    }
    let thread = |at: usize| witnesses[at].segment.thread;
    if (0..room).any(|at| thread(at) == witness.segment.thread) {
        return false;
    }
    let twice = (1..room).rfind(|&at| (0..at).any(|other| thread(other) == thread(at)));
    twice.is_some_and(|at| {
        witnesses[at] = witness.clone();
        true
    })
}

impl Edge {
    /// The witnesses of two dependencies in a row: of the second, where they held the first lock all the while.
    pub(super) fn witnesses_of_both(first: &Self, second: &Self) -> Vec<Witness> {
        let held = |witness: &&Witness| witness.held.iter().any(|held| held.class == first.from);
        second.witnesses.iter().filter(held).cloned().collect()
    }
}
