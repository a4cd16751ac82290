//! What happens when a thread makes a chain of locks that is not known to be in order.
//!
//! Everything here runs once per new chain, under the graph lock, on a thread that is marked busy meanwhile: locks that the
//! validator itself takes (a report handler's, an allocator's) are not validated from in here. Reports are put together
//! under the graph lock but handed out after it, and before the thread really waits: they come instead of the deadlock.

use std::panic::Location;
use std::sync::Arc;

use crate::chain::{self, Known, Node, Word};
use crate::check::Check;
use crate::class::Map;
use crate::grade::Verdict;
use crate::graph::{self, Context, Graph, Interrupt, limits};
use crate::report::{self, Body, Identity, Report};
use crate::stack::Stack;
use crate::sync::WouldDeadlock;
use crate::thread::{HeldLock, How, Request, Thread, Token};
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
    let limit = limits::max_depth();
    if thread.depth() >= limit {
        thread.untracked.set(thread.untracked.get() + 1);
        warn::limit(thread, limits::DEPTHS, limit);
        return Ok(Token::NONE);
    }
    let attempt = Attempt {
        thread,
        map,
        request,
        site,
        ip,
    };
    if let Some(token) = attempt.known() {
        return Ok(token);
    }
    if let Some(token) = attempt.find_class().and_then(|()| attempt.known()) {
        return Ok(token);
    }
    thread.busy.set(true);
    let (mut reports, mut raised) = (Vec::new(), Vec::new());
    let result = attempt.validate(&mut graph::lock(), &mut reports, &mut raised);
    thread.busy.set(false);
    report::deliver(reports);
    report::raised(raised);
    let (word, node, known) = result?;
    Ok(attempt.push(word, node, known))
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
        let identity = Identity::current();
        let mut graph = graph::lock();
        for next in thread.held_here().filter(|lock| lock.word.is_checked()) {
            let (site, stack) = (Location::caller(), Stack::capture());
            let kept = graph.keep_stack(&stack);
            let read = !next.word.is_write();
            let (graph, reports) = (&mut *graph, &mut reports);
            let mut check = Check {
                graph,
                reports,
                thread,
                next,
                site,
                stack,
                kept,
                identity: identity.clone(),
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
    fn word(&self) -> Word {
        self.request.word(self.thread, self.map)
    }

    fn lock(&self, node: Option<Node>) -> HeldLock {
        HeldLock {
            node: node.unwrap_or(Node::NOWHERE),
            map: self.map.address(),
            ip: self.ip,
            word: self.word(),
        }
    }

    fn push(&self, word: Word, node: Option<Node>, known: Known) -> Token {
        let token = self.thread.push(word, self.map.address(), self.ip, node);
        match known {
            Known::Yes => token,
            Known::AskInstances => Token::NONE,
        }
    }

    /// Takes the lock, if the table knows its chain after all: the thread has not met it, or met others since, or the chain
    /// asks for a look at the instances.
    fn known(&self) -> Option<Token> {
        let word = self.word();
        let look = |from, word| chain::find(from, word).map(|(node, _)| node);
        let from = self.thread.settle(&mut { look })?;
        let (node, state) = chain::find(from, word)?;
        let known = state.known?;
        let next = self.lock(Some(node));
        let met = &self.thread.met;
        if state.asks(met.number()) && !met.contains(from, word, known) {
            self.learn(&next);
        }
        self.remember(from, word, known, node);
        if known == Known::AskInstances {
            let in_order =
                |held: HeldLock| held.word.class() != word.class() || held.map < next.map;
            let addresses = !word.has(Word::BY_ADDRESS) || self.thread.newest().all(in_order);
            if !addresses || self.waits_for_itself(&next).is_some() {
                return None;
            }
        }
        Some(self.push(word, Some(node), known))
    }

    /// A lock that is taken for the first time has yet to find its class. Then its chain may well be one that others of the class
    /// have made: most locks of a machine are new ones of an old class.
    fn find_class(&self) -> Option<()> {
        if self.has_class() {
            return None;
        }
        self.thread.busy.set(true);
        self.map.set_class(graph::lock().resolve(self.map));
        self.thread.busy.set(false);
        self.has_class().then_some(())
    }

    fn has_class(&self) -> bool {
        Word(self.map.word()).class() != 0
    }

    /// The thread has made this step. Not in a signal handler: it may have interrupted the thread while that was looking.
    fn remember(&self, from: Node, word: Word, known: Known, to: Node) {
        if !word.has(Word::IN_HANDLER) {
            self.thread.met.insert(from, word, known, to);
        }
    }

    /// Says who makes a chain that others made before.
    fn learn(&self, next: &HeldLock) {
        self.thread.busy.set(true);
        let raised = graph::lock().learn(self.thread, next, Identity::current);
        self.thread.busy.set(false);
        report::raised(raised);
    }

    /// The lock that the thread holds already, if waiting for this one would be waiting for itself.
    fn waits_for_itself(&self, next: &HeldLock) -> Option<HeldLock> {
        let excludes = |held: &HeldLock| held.word.excludes(next.word);
        let mut held = self.thread.newest();
        held.find(|held| self.request.how == How::Wait && held.is(next.map) && excludes(held))
    }

    /// `kernel/locking/lockdep.c: __lock_acquire`. Gives the lock's word, the node that the chain with it has, if there is room
    /// for one, and what is known of it.
    fn validate(
        &self,
        graph: &mut Graph,
        reports: &mut Vec<Arc<Report>>,
        raised: &mut Vec<Arc<Report>>,
    ) -> Result<(Word, Option<Node>, Known), WouldDeadlock> {
        let from = self
            .thread
            .settle(&mut |from, word| graph.stand(from, word));
        let mut next = self.lock(None);
        let has_class = self.has_class();
        if !has_class {
            next.word = Word(next.word.0 | Word::UNCHECKED);
        }
        graph.ensure_subclass(next.word.class());
        let stack = Stack::capture();
        let kept = graph.keep_stack(&stack);
        let (thread, site) = (self.thread, self.site);
        let mut check = Check {
            graph,
            reports,
            thread,
            next,
            site,
            stack,
            kept,
            identity: Identity::current(),
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
        let twice = thread.newest().any(|held| same_class(held.word, next.word));
        let known = if twice {
            Known::AskInstances
        } else {
            Known::Yes
        };
        let Check {
            stack,
            kept,
            identity,
            ..
        } = check;
        let made = graph::Made { site, stack: kept };
        // A lock without a class is not known by anything that lasts.
        let from = from.filter(|_| has_class);
        let node = from.and_then(|from| graph.add_chain(from, next.word, known, made));
        next.node = node.unwrap_or(Node::NOWHERE);
        *raised = graph.learn(thread, &next, || identity);
        for (what, limit) in graph.take_run_out() {
            let (signature, body) = (format!("limit: {what}"), Body::Limit { what, limit });
            reports.push(report::new(graph, thread, signature, body, stack.clone()));
        }
        if let (Some(from), Some(node)) = (from, node) {
            self.remember(from, next.word, known, node);
        }
        Ok((next.word, node, known))
    }
}

/// Whether two locks are of one class, subclasses not told apart: then they may be one and the same lock.
fn same_class(one: Word, other: Word) -> bool {
    one.class() / graph::SUBCLASSES == other.class() / graph::SUBCLASSES
}
