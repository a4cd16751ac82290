//! Findings that are not about the order of locks: releases of what is not held, memory given back, limits.

use std::panic::Location;

use crate::class::Map;
use crate::graph;
use crate::report::{self, Body, ClassText, LockText};
use crate::stack::Stack;
use crate::thread::{HeldLock, Thread};

/// Puts a report together outside a validation and hands it out, unless it was made before.
fn report(thread: &Thread, signature: impl FnOnce(&mut graph::Graph) -> (String, Body)) {
    if thread.busy.replace(true) {
        return;
    }
    let mut reports = Vec::new();
    {
        let mut graph = graph::lock();
        let (signature, body) = signature(&mut graph);
        if graph.reported.insert(signature.clone()) {
            let stack = Stack::capture();
            reports.push(report::new(&graph, thread, signature, body, stack));
        }
    }
    thread.busy.set(false);
    report::deliver(reports);
}

/// A lock is released that the thread does not hold.
#[cold]
pub(crate) fn bad_unlock(thread: &Thread, map: &Map) {
    report(thread, |graph| {
        let id = graph.resolve(map);
        let lock = ClassText::of(graph, id);
        (
            format!("bad unlock: {}", report::plain_name(graph, id)),
            Body::BadUnlock { lock },
        )
    });
}

/// The memory of a lock is given back that the thread holds (`debug_check_no_locks_freed`).
#[cold]
pub(crate) fn held_lock_freed(thread: &Thread, lock: &HeldLock, size: usize) {
    report(thread, |graph| {
        let name = report::plain_name(graph, lock.word.class());
        let lock = LockText::of(graph, lock);
        (
            format!("held lock freed: {name}"),
            Body::HeldFreed { lock, size },
        )
    });
}

/// A thread ends, or comes to a declared boundary, and holds locks (`debug_check_no_locks_held`).
#[cold]
pub(crate) fn still_held(thread: &Thread) {
    report(thread, |graph| {
        let names: Vec<String> = thread
            .held()
            .map(|lock| report::plain_name(graph, lock.word.class()))
            .collect();
        (format!("still held: {}", names.join(", ")), Body::StillHeld)
    });
}

/// A task lets go of its thread and holds locks for which threads sleep, above the first ones.
#[cfg(feature = "tokio")]
#[cold]
pub(crate) fn held_across_await(thread: &Thread, above: usize) {
    report(thread, |graph| {
        let own = thread.held().skip(above);
        let names: Vec<String> = own
            .filter(|lock| !lock.word.has(crate::chain::Word::TASK))
            .map(|lock| report::plain_name(graph, lock.word.class()))
            .collect();
        let signature = format!("held across .await: {}", names.join(", "));
        (signature, Body::StillHeld)
    });
}

/// A lock is taken under a lock that should serialise all who take several of its class, but that lock is not held.
#[cold]
pub(crate) fn nest_not_taken(thread: &Thread, map: &Map, nest: &Map) {
    report(thread, |graph| {
        let (lock, nest) = (graph.resolve(map), graph.resolve(nest));
        let signature = format!("nest lock: {}", report::plain_name(graph, lock));
        let (lock, nest) = (ClassText::of(graph, lock), ClassText::of(graph, nest));
        (
            signature,
            Body::NestNotTaken {
                address: map.address(),
                lock,
                nest,
            },
        )
    });
}

/// A pinned lock is released.
#[cold]
pub(crate) fn releasing_pinned(thread: &Thread, lock: &HeldLock) {
    report(thread, |graph| {
        let name = report::plain_name(graph, lock.word.class());
        (
            format!("pinned: {name}"),
            Body::Warn {
                text: "releasing a pinned lock".into(),
                at: None,
            },
        )
    });
}

/// Something that the program said of its locks is not so.
#[cold]
#[inline(never)]
pub(crate) fn assertion(thread: &Thread, map: &Map, what: &str, at: &'static Location<'static>) {
    report(thread, |graph| {
        let id = graph.resolve(map);
        let text = format!("{what}({})", ClassText::of(graph, id).name);
        (format!("{text} at {at}"), Body::Warn { text, at: Some(at) })
    });
}

/// One of the validator's limits is reached; it goes on with what it knows.
#[cold]
pub(crate) fn limit(thread: &Thread, what: &'static str, limit: usize) {
    report(thread, |_| {
        (format!("limit: {what}"), Body::Limit { what, limit })
    });
}
