//! What was really seen, held against what was declared.

use std::fmt;
use std::panic::Location;
use std::sync::{Mutex, PoisonError};

use crate::graph::{self, Edge};
use crate::thread;

/// One use of [`Held::against_declared_order`](super::Held::against_declared_order).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Escape {
    /// The reason that the code gives.
    pub why: &'static str,
    /// Where it stands.
    pub site: &'static Location<'static>,
}

static ESCAPES: Mutex<Vec<Escape>> = Mutex::new(Vec::new());

pub(super) fn record_escape(why: &'static str, site: &'static Location<'static>) {
    let mut escapes = ESCAPES.lock().unwrap_or_else(PoisonError::into_inner);
    let escape = Escape { why, site };
    if !escapes.contains(&escape) {
        escapes.push(escape);
    }
}

/// Every place that left the declared order in this run, each once.
#[must_use]
pub fn escapes() -> Vec<Escape> {
    ESCAPES
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}

/// An observed dependency between two declared levels that the table does not allow.
#[derive(Clone, Debug)]
pub struct OrderViolation {
    /// What was held: name of the class.
    pub held: String,
    /// Its level.
    pub held_level: &'static str,
    /// The line that took it.
    pub held_at: Option<&'static Location<'static>>,
    /// What was taken under it: name of the class.
    pub taken: String,
    /// Its level.
    pub taken_level: &'static str,
    /// The line that took it.
    pub taken_at: Option<&'static Location<'static>>,
    /// Name of the thread that was seen first.
    pub thread: String,
}

impl fmt::Display for OrderViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |site: Option<&'static Location<'static>>| {
            site.map_or_else(String::new, |site| format!(" at {site}"))
        };
        write!(
            f,
            "{} was taken{} by {} while {} was held{}: the declared order is {} before {}",
            self.taken,
            place(self.taken_at),
            self.thread,
            self.held,
            place(self.held_at),
            self.taken_level,
            self.held_level,
        )
    }
}

/// Every observed dependency between two declared levels of one table that goes against the table, whichever way the code
/// came there: a dependency made behind [`Held::against_declared_order`](super::Held::against_declared_order) is listed like
/// any other. Allowed are dependencies from a level to a later one, within a level that `nests`, and those that came about by
/// a declared descent.
#[must_use]
pub fn check_observed() -> Vec<OrderViolation> {
    thread::quietly(|| {
        let graph = graph::lock();
        let violation = |edge: &Edge| {
            let (held, taken) = (graph.class(edge.from)?, graph.class(edge.to)?);
            let (held_level, taken_level) = (held.level?, taken.level?);
            let allowed = held_level.allows(taken_level) || edge.descended;
            (!allowed).then(|| OrderViolation {
                held: held.display_name(),
                held_level: held_level.name,
                held_at: edge.held.site,
                taken: taken.display_name(),
                taken_level: taken_level.name,
                taken_at: edge.taken.site,
                thread: edge.comm.to_string(),
            })
        };
        graph
            .edges()
            .filter(|edge| !edge.bridge)
            .filter_map(violation)
            .collect()
    })
}
