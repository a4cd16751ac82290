//! The rules: what must be true of a lock that is taken under others.

use std::cmp::Ordering;
use std::panic::Location;
use std::sync::Arc;

use crate::chain::Word;
use crate::class::Wait;
use crate::graph::{Conflict, Context, Edge, EdgeId, End, Graph, Interrupt, Locker};
use crate::order::LevelInfo;
use crate::report::{self, Body, ClassText, Identity, Link, LockText, Report, UsageLink};
use crate::stack::Stack;
use crate::thread::{HeldLock, Thread};

/// A lock that is about to be taken, or was taken by an attempt, and whose chain is new.
pub(crate) struct Check<'a> {
    pub(crate) graph: &'a mut Graph,
    pub(crate) reports: &'a mut Vec<Arc<Report>>,
    pub(crate) thread: &'a Thread,
    pub(crate) next: HeldLock,
    pub(crate) site: &'static Location<'static>,
    pub(crate) stack: Stack,
    /// The same, for what is remembered.
    pub(crate) kept: Stack,
    /// Who takes it.
    pub(crate) identity: Identity,
}

/// What holding a lock of the same class already amounts to.
enum Recursion {
    /// There is none, or it is in order.
    None,
    /// A lock that serialises all who take several of the class is held.
    Serialised,
    /// A deadlock, if the two were the same lock; with what the comparison of the two said, if the class has one.
    Deadlock(HeldLock, Option<Ordering>),
}

impl Check<'_> {
    pub(crate) fn run(&mut self) {
        let word = self.next.word;
        if !word.is_try() {
            self.wait_context();
        }
        self.mark_usage();
        if word.is_try() {
            return;
        }
        match self.recursion() {
            Recursion::None => self.add_dependencies(),
            Recursion::Serialised => {}
            Recursion::Deadlock(prev, order) => {
                let what = match order {
                    None => "recursion".into(),
                    Some(order) => format!("recursion, order {order:?}"),
                };
                let signature = self.report_recursion(&prev, &what);
                let class = word.class();
                self.graph
                    .add_recursion(&signature, class, self.reports.last());
                self.add_dependencies();
            }
        }
    }

    /// Nobody may wait in a way that what is held around does not allow
    /// (`kernel/locking/lockdep.c: check_wait_context`).
    fn wait_context(&mut self) {
        /// What code may do that holds nothing.
        const ANYTHING: u8 = u8::MAX;
        let wait = |id| self.graph.class(id).map_or(0, |class| class.wait.inner);
        let word = self.next.word;
        let context = match (word.has(Word::IN_HANDLER), word.has(Word::THREADED)) {
            (true, false) => Wait::SPIN.inner,
            (true, true) => Wait::SPIN_OR_SLEEP.inner,
            _ if word.has(Word::IN_DEFERRED) => Wait::SPIN_OR_SLEEP.inner,
            _ => ANYTHING,
        };
        let held = self.thread.held_here().map(|held| wait(held.word.class()));
        let allowed = held.filter(|&inner| inner > 0).fold(context, u8::min);
        let Some(class) = self.graph.class(self.next.word.class()) else {
            return;
        };
        if class.wait.outer > allowed {
            let signature = format!("wait context: {}", class.name);
            let lock = LockText::tried(self.graph, &self.next, self.site);
            self.report(signature, Body::WaitContext { lock, context });
        }
    }

    /// `kernel/locking/lockdep.c: mark_usage`.
    fn mark_usage(&mut self) {
        let word = self.next.word;
        let read = !word.is_write();
        let (hard, soft) = (Interrupt::Handler, Interrupt::Deferred);
        let mut mark = |interrupt, open| {
            self.mark(Context {
                interrupt,
                open,
                read,
            });
        };
        if word.has(Word::IN_HANDLER) && !word.is_try() {
            mark(hard, false);
        }
        if word.has(Word::IN_DEFERRED) && !word.is_try() {
            mark(soft, false);
        }
        if !word.has(Word::BLOCKED) {
            mark(hard, true);
            if !word.has(Word::DEFERRED_BLOCKED) {
                mark(soft, true);
            }
        }
    }

    /// Remembers a context of the lock's class and reports what is wrong with it.
    pub(crate) fn mark(&mut self, context: Context) {
        let stack = self.kept.clone();
        let id = self.next.word.class();
        let Some(conflict) = self.graph.mark(self.next.word, context, &stack) else {
            return;
        };
        let name = report::plain_name(self.graph, id);
        let lock = LockText::tried(self.graph, &self.next, self.site);
        match conflict {
            Conflict::Same { old } => {
                let class = self.graph.class(id);
                let registered = class.and_then(|class| class.usage.stack(old).cloned());
                let (old, new) = (old.name(), context.name());
                let state = state_of(&self.next);
                let body = Body::Inconsistent {
                    lock,
                    old,
                    new,
                    registered,
                    state,
                };
                self.report(format!("inconsistent: {name}"), body);
            }
            Conflict::Other { class: other, path } => {
                let other_name = report::plain_name(self.graph, other);
                let signature = format!("inversion: {name}, {other_name}");
                let body = Body::Inversion {
                    lock,
                    other: ClassText::of(self.graph, other),
                    other_is_safe: context.open,
                    interrupt: context.interrupt.name(),
                    path: self.usage_links(&path),
                };
                self.report(signature, body);
            }
        }
    }

    /// A lock of the same class that the thread holds, where that is not allowed
    /// (`kernel/locking/lockdep.c: check_deadlock`).
    fn recursion(&self) -> Recursion {
        let next = &self.next;
        for held in self
            .thread
            .held()
            .filter(|held| held.word.class() == next.word.class())
        {
            if next.word.is_recursive_read() && !held.word.is_write() {
                continue;
            }
            let order = compare(&held, next);
            if order == Some(Ordering::Less) {
                continue;
            }
            if next.word.has(Word::NESTED) {
                return Recursion::Serialised;
            }
            return Recursion::Deadlock(held, order);
        }
        Recursion::None
    }

    /// Goes back over the locks held and adds a dependency from each, until one that has dependencies of its own which say
    /// the rest (`kernel/locking/lockdep.c: check_prevs_add`). A try-lock has none. A recursive reader's say less: the path
    /// through it is not a strong one for who follows it shared. And a dependency that closes a cycle says nothing more,
    /// because no search follows it, be it that of the new lock or one among those held. In these cases the walk goes on,
    /// where the kernel's stops; in the last one only to find cycles that are about other classes than those reported.
    fn add_dependencies(&mut self) {
        let mut between: Vec<&'static LevelInfo> = Vec::new();
        let closed = self.closed_by_held();
        let mut told = false;
        let thread = self.thread;
        for prev in thread.held_here() {
            if prev.word.is_checked() && prev.word.class() != self.next.word.class() {
                let followed = self.add_dependency(&prev, &between, told);
                if followed && !prev.word.is_try() && !prev.word.is_recursive_read() {
                    if !closed {
                        break;
                    }
                    told = true;
                }
            }
            between.extend(
                self.graph
                    .class(prev.word.class())
                    .and_then(|class| class.level),
            );
        }
    }

    /// Whether a cycle was closed when the locks that are held now were taken: then searches do not follow all that lies
    /// between them.
    fn closed_by_held(&mut self) -> bool {
        if self.graph.reported_cycles().next().is_none() {
            return false;
        }
        let here = self.thread.held_here();
        let held: Vec<HeldLock> = here.filter(|held| held.word.is_checked()).collect();
        held.iter().enumerate().any(|(at, newer)| {
            held[at + 1..].iter().any(|older| {
                let edge = self.graph.find_edge(older.word.class(), newer.word.class());
                let lockers = Locker::of(older.word, newer.word);
                edge.is_some_and(|edge| edge.reported || !edge.lockers.contains(lockers))
            })
        })
    }

    /// Whether a cycle is about nothing but classes of one that was reported: what follows from that one, most likely.
    fn is_told(&self, path: &[EdgeId]) -> bool {
        let start = self.next.word.class();
        let mut cycles = self.graph.reported_cycles();
        cycles.any(|(classes, _)| {
            let in_it = |&edge: &EdgeId| classes.contains(&self.graph.edge(edge).to);
            classes.contains(&start) && path.iter().all(in_it)
        })
    }

    /// `kernel/locking/lockdep.c: check_prev_add`. Says whether searches follow the dependency. With `told`, the dependency
    /// follows from others, of which one closed a cycle: what follows from that cycle is not reported again.
    fn add_dependency(
        &mut self,
        prev: &HeldLock,
        between: &[&'static LevelInfo],
        told: bool,
    ) -> bool {
        let next = self.next;
        let (from, to) = (prev.word.class(), next.word.class());
        let lockers = Locker::of(prev.word, next.word);
        let descended = descended(self.graph, from, to, between);
        if let Some(edge) = self.graph.find_edge(from, to) {
            edge.descended &= descended;
            if edge.lockers.contains(lockers) {
                return !edge.reported;
            }
        }
        let reader = next.word.is_recursive_read();
        let path = self.graph.find_path(to, reader, from, prev.word.is_write());
        if let Some(path) = &path {
            if told && self.is_told(path) {
                return false;
            }
            self.report_cycle(prev, path);
        } else {
            self.interrupts(prev, Interrupt::Handler);
            self.interrupts(prev, Interrupt::Deferred);
        }
        match self.graph.find_edge(from, to) {
            // A kind of locker that closes a cycle is not added to an edge that searches follow.
            Some(edge) if edge.reported || path.is_none() => {
                edge.lockers = edge.lockers.with(lockers);
                !edge.reported
            }
            Some(_) => false,
            None => {
                self.add_edge(prev, lockers, path.is_some(), descended);
                path.is_none()
            }
        }
    }

    fn add_edge(&mut self, prev: &HeldLock, lockers: Locker, reported: bool, descended: bool) {
        let next = &self.next;
        let held = self.graph.made(prev.node).cloned();
        let Identity { comm, tid } = self.identity.clone();
        self.graph.add_edge(Edge {
            from: prev.word.class(),
            to: next.word.class(),
            lockers,
            held: End {
                instance: prev.map & !1,
                site: held.as_ref().map(|chain| chain.site),
                stack: held.map(|chain| chain.stack),
            },
            taken: End {
                instance: next.map,
                site: Some(self.site),
                stack: Some(self.kept.clone()),
            },
            comm,
            tid,
            reported,
            descended,
            bridge: false,
            witnesses: Vec::new(),
        });
    }

    /// Whether the new dependency connects a lock that interrupts take with one that is not safe there.
    fn interrupts(&mut self, prev: &HeldLock, interrupt: Interrupt) {
        let (from, to) = (prev.word, self.next.word);
        let Some(found) = self.graph.connection(
            interrupt,
            (from.class(), !from.is_write()),
            (to.class(), to.is_recursive_read()),
        ) else {
            return;
        };
        let end = |graph: &Graph, (id, context): (u32, Context)| {
            let stack = graph
                .class(id)
                .and_then(|class| class.usage.stack(context).cloned());
            (ClassText::of(graph, id), stack)
        };
        let names = [found.safe.0, found.unsafe_.0].map(|id| report::plain_name(self.graph, id));
        let body = Body::UnsafeOrder {
            trying: LockText::tried(self.graph, &self.next, self.site),
            holding: LockText::of(self.graph, prev),
            interrupt: interrupt.name(),
            safe: end(self.graph, found.safe),
            unsafe_: end(self.graph, found.unsafe_),
            before: self.usage_links(&found.before),
            after: self.usage_links(&found.after),
        };
        self.report(
            format!("{} order: {} --> {}", interrupt.name(), names[0], names[1]),
            body,
        );
    }

    /// Says under which signature.
    pub(crate) fn report_recursion(&mut self, prev: &HeldLock, what: &str) -> String {
        let name = report::plain_name(self.graph, self.next.word.class());
        let body = Body::Recursive {
            trying: LockText::tried(self.graph, &self.next, self.site),
            holding: LockText::of(self.graph, prev),
            compared: compare(prev, &self.next).map(|order| order as i32),
        };
        let signature = format!("{what}: {name}");
        self.report(signature.clone(), body);
        signature
    }

    fn report_cycle(&mut self, prev: &HeldLock, path: &[EdgeId]) {
        let graph = &*self.graph;
        let start = std::iter::once(self.next.word.class());
        let ids = start.chain(path.iter().map(|&edge| graph.edge(edge).to));
        let ids: Vec<u32> = ids.collect();
        let names = ids
            .iter()
            .map(|&id| report::plain_name(graph, id))
            .collect();
        let first = Link::start(graph, &self.next, &self.stack);
        let edges = path.iter().map(|&edge| Link::of(graph, graph.edge(edge)));
        let body = Body::Circular {
            trying: LockText::tried(graph, &self.next, self.site),
            holding: LockText::of(graph, prev),
            links: std::iter::once(first).chain(edges).collect(),
        };
        let signature = report::cycle_signature(names);
        self.report(signature.clone(), body);
        self.graph.add_cycle(&signature, ids, self.reports.last());
    }

    /// The classes along a path, with what is known of each.
    fn usage_links(&self, path: &[EdgeId]) -> Vec<UsageLink> {
        let graph = &*self.graph;
        let first = path
            .first()
            .map(|&edge| UsageLink::of(graph, graph.edge(edge).from, None));
        let rest = path.iter().map(|&edge| {
            let edge = graph.edge(edge);
            UsageLink::of(graph, edge.to, edge.taken.stack.clone())
        });
        first.into_iter().chain(rest).collect()
    }

    /// Makes a report, unless the same finding was reported before.
    fn report(&mut self, signature: String, body: Body) {
        if self.graph.reported.insert(signature.clone()) {
            let stack = self.stack.clone();
            self.reports
                .push(report::new(self.graph, self.thread, signature, body, stack));
        }
    }
}

/// `HC SC HE SE`: in a hard and in a soft interrupt, open to hard and to soft interrupts.
fn state_of(lock: &HeldLock) -> [u8; 4] {
    let has = |flag| u8::from(lock.word.has(flag));
    let open = |flag| u8::from(!lock.word.has(flag));
    [
        has(Word::IN_HANDLER),
        has(Word::IN_DEFERRED),
        open(Word::BLOCKED),
        open(Word::DEFERRED_BLOCKED),
    ]
}

/// What the order within a class says of two locks of it; nothing if the class has none.
fn compare(held: &HeldLock, next: &HeldLock) -> Option<Ordering> {
    if next.word.has(Word::BY_ADDRESS) {
        return Some((held.map & !1).cmp(&next.map));
    }
    match (held.word.rank(), next.word.rank()) {
        (0, _) | (_, 0) => None,
        (held, next) => Some(held.cmp(&next)),
    }
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
