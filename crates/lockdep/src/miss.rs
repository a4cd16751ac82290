//! What happens when a thread makes a chain of locks that is not known to be in order.
//!
//! Everything here runs once per new chain, under the graph lock, on a thread that is marked busy meanwhile: locks that the
//! validator itself takes (a report handler's, an allocator's) are not validated from in here. Reports are put together
//! under the graph lock but handed out after it, and before the thread really waits: they come instead of the deadlock.

use std::panic::Location;
use std::sync::Arc;

use crate::chain::{self, Known, Word};
use crate::check::Check;
use crate::class::Map;
use crate::grade::Verdict;
use crate::graph::{self, Context, Graph, Interrupt};
use crate::met::Node;
use crate::report::{self, Body, Report};
use crate::stack::Stack;
use crate::sync::WouldDeadlock;
use crate::thread::{DEPTH, HeldLock, How, Request, Thread, Token};
use crate::warn;

/// As [`acquire`], for a lock that is really waited for.
#[cold]
#[inline(never)]
pub(crate) fn acquire_or_panic(
    thread: &Thread,
    map: &Map,
    request: Request,
    site: &'static Location<'static>,
    ip: usize,
) -> Token {
    acquire(thread, map, request, site, ip)
        .unwrap_or_else(|error| panic!("{error} ({:?}, {site})", map.class()))
}

/// Validates and pushes a lock that the thread cannot be seen to have taken before where it stands.
#[cold]
#[inline(never)]
pub(crate) fn acquire(
    thread: &Thread,
    map: &Map,
    request: Request,
    site: &'static Location<'static>,
    ip: usize,
) -> Result<Token, WouldDeadlock> {
    thread.register();
    if thread.busy.get() {
        thread.untracked.set(thread.untracked.get() + 1);
        return Ok(Token::NONE);
    }
    if thread.depth() >= DEPTH {
        thread.untracked.set(thread.untracked.get() + 1);
        warn::limit(thread, "MAX_LOCK_DEPTH", DEPTH);
        return Ok(Token::NONE);
    }
    let attempt = Attempt {
        thread,
        map,
        request,
        site,
        ip,
    };
    if let Some(lock) = attempt.known() {
        return Ok(thread.push(lock));
    }
    thread.busy.set(true);
    let (mut reports, mut raised) = (Vec::new(), Vec::new());
    let result = attempt.validate(&mut graph::lock(), &mut reports, &mut raised);
    thread.busy.set(false);
    report::deliver(reports);
    report::raised(raised);
    Ok(thread.push(result?))
}

/// Hard or only soft interrupts are open again: the locks that the thread holds can be interrupted from now on
/// (`kernel/locking/lockdep.c: mark_held_locks`).
#[track_caller]
pub(crate) fn interrupts_opened(thread: &Thread, hard: bool) {
    if thread.held_here().next().is_none() || thread.busy.replace(true) {
        return;
    }
    let mut reports = Vec::new();
    {
        let mut graph = graph::lock();
        for next in thread.held_here().filter(|lock| lock.word.is_checked()) {
            let (site, stack) = (Location::caller(), graph.stacks.keep(Stack::capture()));
            let read = !next.word.is_write();
            let (graph, reports) = (&mut *graph, &mut reports);
            let mut check = Check {
                graph,
                reports,
                thread,
                next,
                site,
                stack,
            };
            if hard {
                check.mark(Context {
                    interrupt: Interrupt::Handler,
                    open: true,
                    read,
                });
            }
            if thread.context.get() & Word::DEFERRED_BLOCKED == 0 {
                check.mark(Context {
                    interrupt: Interrupt::Deferred,
                    open: true,
                    read,
                });
            }
        }
    }
    thread.busy.set(false);
    report::deliver(reports);
}

/// One attempt to take a lock.
struct Attempt<'a> {
    thread: &'a Thread,
    map: &'a Map,
    request: Request,
    site: &'static Location<'static>,
    ip: usize,
}

impl Attempt<'_> {
    fn lock(&self) -> HeldLock {
        let word = self.request.word(self.thread, self.map);
        let key = self.thread.key().extend(word);
        HeldLock {
            key,
            map: self.map.address(),
            ip: self.ip,
            word,
        }
    }

    /// The lock, if the table knows its chain after all: in another slot, or as one that asks for a look at the instances.
    fn known(&self) -> Option<HeldLock> {
        let next = self.lock();
        let (known, learning) = chain::find(next.key)?;
        let (met, from) = (&self.thread.met, self.thread.node());
        if learning && !met.contains(from, next.word, known) {
            self.learn(&next);
        }
        met.insert(from, next.word, known, Node::of(next.key));
        match known {
            Known::Yes => Some(next),
            Known::AskInstances => {
                let in_order =
                    |held: HeldLock| held.word.class() != next.word.class() || held.map < next.map;
                let addresses =
                    !next.word.has(Word::BY_ADDRESS) || self.thread.held().all(in_order);
                (addresses && self.waits_for_itself(&next).is_none()).then_some(next)
            }
        }
    }

    /// Says who makes a chain that others made before.
    fn learn(&self, next: &HeldLock) {
        self.thread.busy.set(true);
        let raised = graph::lock().learn(self.thread, next);
        self.thread.busy.set(false);
        report::raised(raised);
    }

    /// The lock that the thread holds already, if waiting for this one would be waiting for itself.
    fn waits_for_itself(&self, next: &HeldLock) -> Option<HeldLock> {
        let excludes = |held: &HeldLock| held.word.excludes(next.word);
        let mut held = self.thread.held();
        held.rfind(|held| self.request.how == How::Wait && held.is(next.map) && excludes(held))
    }

    /// `kernel/locking/lockdep.c: __lock_acquire`.
    fn validate(
        &self,
        graph: &mut Graph,
        reports: &mut Vec<Arc<Report>>,
        raised: &mut Vec<Arc<Report>>,
    ) -> Result<HeldLock, WouldDeadlock> {
        self.map.set_class(graph.resolve(self.map));
        let next = self.lock();
        graph.ensure_subclass(next.word.class());
        let stack = graph.stacks.keep(Stack::capture());
        let (thread, site) = (self.thread, self.site);
        let mut check = Check {
            graph,
            reports,
            thread,
            next,
            site,
            stack,
        };
        if let Some(prev) = self.waits_for_itself(&next) {
            check.report_recursion(&prev, "self-deadlock");
            if let Some(report) = check.reports.last() {
                report.raise(&Verdict::CERTAIN, Vec::new());
            }
            return Err(WouldDeadlock);
        }
        if next.word.is_checked() {
            check.run();
        }
        let twice = thread.held().any(|held| same_class(held.word, next.word));
        let known = if twice {
            Known::AskInstances
        } else {
            Known::Yes
        };
        let Check { stack, .. } = check;
        let (parent, word) = (thread.key(), next.word);
        let room = graph.add_chain(graph::Chain {
            parent,
            word,
            site,
            stack: stack.clone(),
            known,
        });
        if !room && graph.reported.insert("limit: MAX_LOCKDEP_CHAINS".into()) {
            let (what, limit) = ("MAX_LOCKDEP_CHAINS", chain::CAPACITY);
            let body = Body::Limit { what, limit };
            reports.push(report::new(
                graph,
                thread,
                format!("limit: {what}"),
                body,
                stack,
            ));
        }
        *raised = graph.learn(thread, &next);
        let (from, to) = (thread.node(), Node::of(next.key));
        thread.met.insert(from, word, known, to);
        Ok(next)
    }
}

/// Whether two locks are of one class, subclasses not told apart: then they may be one and the same lock.
fn same_class(one: Word, other: Word) -> bool {
    one.class() / graph::SUBCLASSES == other.class() / graph::SUBCLASSES
}
