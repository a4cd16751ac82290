//! What happens when a thread makes a chain of locks that is not known to be in order.
//!
//! Everything here runs once per new chain, under the graph lock, on a thread that is marked busy meanwhile: locks that the
//! validator itself takes (a report handler's, an allocator's) are not validated from in here. Reports are put together
//! under the graph lock but handed out after it, and before the thread really waits: they come instead of the deadlock.

use std::panic::Location;
use std::sync::Arc;

use crate::chain::{self, Known, Word};
use crate::class::Map;
use crate::graph::{self, Chain, Edge, End, Graph, Locker};
use crate::order::LevelInfo;
use crate::report::{self, Body, Link, LockText, Report, Task};
use crate::stack::Stack;
use crate::sync::WouldDeadlock;
use crate::thread::{DEPTH, HeldLock, How, Mode, Thread};

/// As [`acquire`], for a lock that is really waited for.
#[cold]
#[inline(never)]
pub(crate) fn acquire_or_panic(
    thread: &Thread,
    map: &Map,
    mode: Mode,
    site: &'static Location<'static>,
    ip: usize,
) {
    if let Err(error) = acquire(thread, map, mode, How::Wait, site, ip) {
        panic!("{error} ({:?}, {site})", map.class);
    }
}

/// Validates and pushes a lock whose chain is not in the first place of the table.
#[cold]
#[inline(never)]
pub(crate) fn acquire(
    thread: &Thread,
    map: &Map,
    mode: Mode,
    how: How,
    site: &'static Location<'static>,
    ip: usize,
) -> Result<(), WouldDeadlock> {
    if !thread.is_registered() {
        thread.register();
    }
    if thread.busy.get() || thread.depth.get() >= DEPTH {
        thread.untracked.set(thread.untracked.get() + 1);
        return Ok(());
    }
    let attempt = Attempt {
        thread,
        map,
        mode,
        how,
        site,
        ip,
    };
    if let Some(lock) = attempt.known() {
        thread.push(lock);
        return Ok(());
    }
    thread.busy.set(true);
    let mut reports = Vec::new();
    let result = attempt.validate(&mut graph::lock(), &mut reports);
    thread.busy.set(false);
    report::deliver(reports);
    thread.push(result?);
    Ok(())
}

/// A lock is released that the thread does not hold.
#[cold]
pub(crate) fn bad_unlock(thread: &Thread, map: &Map) {
    if thread.busy.replace(true) {
        return;
    }
    let mut reports = Vec::new();
    {
        let mut graph = graph::lock();
        let id = graph.resolve(map);
        let body = Body::BadUnlock {
            lock: report::ClassText::of(&graph, id),
        };
        let signature = format!("bad unlock: {}", report::plain_name(&graph, id));
        if graph.reported.insert(signature.clone()) {
            reports.push(report::new(
                &graph,
                thread,
                signature,
                body,
                Stack::capture(),
            ));
        }
    }
    thread.busy.set(false);
    report::deliver(reports);
}

/// One attempt to take a lock.
struct Attempt<'a> {
    thread: &'a Thread,
    map: &'a Map,
    mode: Mode,
    how: How,
    site: &'static Location<'static>,
    ip: usize,
}

impl Attempt<'_> {
    fn lock(&self) -> HeldLock {
        let how = if self.how == How::Try { Word::TRY } else { 0 };
        let word = Word(self.map.word() | self.mode as u64 | how);
        HeldLock {
            key: self.thread.key().extend(word),
            map: self.map.address(),
            ip: self.ip,
            word,
        }
    }

    /// The lock, if the table knows its chain after all: in another slot, or as one that asks for a look at the instances.
    fn known(&self) -> Option<HeldLock> {
        let lock = self.lock();
        match chain::find(lock.key)? {
            Known::Yes => Some(lock),
            Known::AskInstances => self.waits_for_itself(&lock).is_none().then_some(lock),
        }
    }

    /// The lock that the thread holds already, if waiting for this one would be waiting for itself.
    fn waits_for_itself(&self, next: &HeldLock) -> Option<HeldLock> {
        let excludes = |held: &HeldLock| held.word.is_write() || next.word.is_write();
        self.thread
            .held()
            .rfind(|held| self.how == How::Wait && held.map == next.map && excludes(held))
    }

    /// `kernel/locking/lockdep.c: validate_chain`.
    fn validate(
        &self,
        graph: &mut Graph,
        reports: &mut Vec<Arc<Report>>,
    ) -> Result<HeldLock, WouldDeadlock> {
        let id = graph.resolve(self.map);
        self.map.set_class(id);
        let next = self.lock();
        graph.mark_usage(next.word);
        let stack = graph.stacks.keep(Stack::capture());

        if let Some(prev) = self.waits_for_itself(&next) {
            self.report_recursion(graph, reports, &prev, &next, &stack, "self-deadlock");
            return Err(WouldDeadlock);
        }
        let twice = self
            .thread
            .held()
            .any(|held| same_class(held.word, next.word));
        if next.word.is_checked() && self.how != How::Try {
            if let Some(prev) = self.recursion(&next) {
                self.report_recursion(graph, reports, &prev, &next, &stack, "recursion");
            }
            self.add_dependencies(graph, reports, &next, &stack);
        }
        let known = if twice {
            Known::AskInstances
        } else {
            Known::Yes
        };
        let (parent, word, site) = (self.thread.key(), next.word, self.site);
        graph.add_chain(Chain {
            parent,
            word,
            site,
            stack,
            known,
        });
        Ok(next)
    }

    /// A lock of the same class that the thread holds, where that is not allowed
    /// (`kernel/locking/lockdep.c: check_deadlock`).
    fn recursion(&self, next: &HeldLock) -> Option<HeldLock> {
        self.thread.held().find(|held| {
            let readers = next.word.is_recursive_read() && !held.word.is_write();
            held.word.class() == next.word.class() && !readers
        })
    }

    /// Goes back over the locks held and adds a dependency from each, until one that has dependencies of its own which say
    /// the rest (`kernel/locking/lockdep.c: check_prevs_add`). A try-lock has none. A recursive reader's say less: the path
    /// through it is not a strong one for who follows it shared, so the walk goes on, where the kernel's stops.
    fn add_dependencies(
        &self,
        graph: &mut Graph,
        reports: &mut Vec<Arc<Report>>,
        next: &HeldLock,
        stack: &Stack,
    ) {
        let mut between: Vec<&'static LevelInfo> = Vec::new();
        for prev in self.thread.held().rev() {
            if prev.word.is_checked() && prev.word.class() != next.word.class() {
                self.add_dependency(graph, reports, &prev, next, stack, &between);
                if !prev.word.is_try() && !prev.word.is_recursive_read() {
                    break;
                }
            }
            between.extend(graph.class(prev.word.class()).and_then(|class| class.level));
        }
    }

    /// `kernel/locking/lockdep.c: check_prev_add`.
    fn add_dependency(
        &self,
        graph: &mut Graph,
        reports: &mut Vec<Arc<Report>>,
        prev: &HeldLock,
        next: &HeldLock,
        stack: &Stack,
        between: &[&'static LevelInfo],
    ) {
        let (from, to) = (prev.word.class(), next.word.class());
        let lockers = Locker::of(prev.word, next.word);
        let descended = descended(graph, from, to, between);
        if let Some(edge) = graph.find_edge(from, to) {
            edge.descended &= descended;
            if edge.lockers.contains(lockers) {
                return;
            }
        }
        let path = graph.find_path(
            to,
            next.word.is_recursive_read(),
            from,
            prev.word.is_write(),
        );
        if let Some(path) = &path {
            self.report_cycle(graph, reports, prev, next, path, stack);
        }
        match graph.find_edge(from, to) {
            // A kind of locker that closes a cycle is not added to an edge that searches follow.
            Some(edge) if edge.reported || path.is_none() => {
                edge.lockers = edge.lockers.with(lockers);
            }
            Some(_) => {}
            None => {
                let held = graph.chain(prev.key).cloned();
                let task = Task::current();
                graph.add_edge(Edge {
                    from,
                    to,
                    lockers,
                    held: End {
                        instance: prev.map,
                        site: held.as_ref().map(|chain| chain.site),
                        stack: held.map(|chain| chain.stack),
                    },
                    taken: End {
                        instance: next.map,
                        site: Some(self.site),
                        stack: Some(stack.clone()),
                    },
                    comm: task.comm,
                    tid: task.tid,
                    reported: path.is_some(),
                    descended,
                    bridge: false,
                });
            }
        }
    }

    fn report_recursion(
        &self,
        graph: &mut Graph,
        reports: &mut Vec<Arc<Report>>,
        prev: &HeldLock,
        next: &HeldLock,
        stack: &Stack,
        what: &str,
    ) {
        let signature = format!("{what}: {}", report::plain_name(graph, next.word.class()));
        if graph.reported.insert(signature.clone()) {
            let body = Body::Recursive {
                trying: LockText::tried(graph, next, self.site),
                holding: LockText::of(graph, prev),
            };
            reports.push(report::new(
                graph,
                self.thread,
                signature,
                body,
                stack.clone(),
            ));
        }
    }

    fn report_cycle(
        &self,
        graph: &mut Graph,
        reports: &mut Vec<Arc<Report>>,
        prev: &HeldLock,
        next: &HeldLock,
        path: &[graph::EdgeId],
        stack: &Stack,
    ) {
        let ids =
            std::iter::once(next.word.class()).chain(path.iter().map(|&edge| graph.edge(edge).to));
        let signature =
            report::cycle_signature(ids.map(|id| report::plain_name(graph, id)).collect());
        if !graph.reported.insert(signature.clone()) {
            return;
        }
        let first = Link::start(graph, next, stack);
        let links = std::iter::once(first)
            .chain(path.iter().map(|&edge| Link::of(graph, graph.edge(edge))));
        let body = Body::Circular {
            trying: LockText::tried(graph, next, self.site),
            holding: LockText::of(graph, prev),
            links: links.collect(),
        };
        reports.push(report::new(
            graph,
            self.thread,
            signature,
            body,
            stack.clone(),
        ));
    }
}

/// Whether two locks are of one class, subclasses not told apart: then they may be one and the same lock.
fn same_class(one: Word, other: Word) -> bool {
    one.class() / graph::SUBCLASSES == other.class() / graph::SUBCLASSES
}

/// Whether a dependency between two declared levels came about by going on to another object, as the table allows.
fn descended(graph: &Graph, from: u32, to: u32, between: &[&'static LevelInfo]) -> bool {
    let level = |id| graph.class(id).and_then(|class| class.level);
    let (Some(from), Some(to)) = (level(from), level(to)) else {
        return false;
    };
    from.descends_to.is_some_and(|start| {
        between
            .iter()
            .any(|level| level.table == from.table && level.rank >= start && level.rank <= to.rank)
    })
}

impl Graph {
    /// Remembers in which contexts the class is used (`kernel/locking/lockdep.c: mark_usage`).
    fn mark_usage(&mut self, word: Word) {
        let Some(class) = self.class_mut(word.class()) else {
            return;
        };
        if word.is_checked() {
            class.usage.write_open |= word.is_write();
            class.usage.read_open |= !word.is_write();
        }
    }
}
