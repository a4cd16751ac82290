//! Findings that are known and accepted: named one by one, never by a class alone, and listed when nothing needs them any
//! more.
//!
//! A list is text, a line an entry:
//!
//! ```text
//! # why it is harmless
//! signature circular: queue --> table
//! edge queue -> table at src/flush.rs:120
//! ```
//!
//! `signature` accepts one finding ([`Report::signature`]). `edge` accepts every cycle in which the second lock is taken under
//! the first *at that line*: the same order made anywhere else is still reported. Of the path its end is enough; the line
//! number may be left out.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::record::Record;
use crate::report::Report;

/// A list of accepted findings.
#[derive(Debug, Default)]
pub struct Suppressions(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    what: What,
    used: AtomicUsize,
}

#[derive(Debug, PartialEq, Eq)]
enum What {
    Signature(String),
    Edge {
        from: String,
        to: String,
        site: String,
    },
}

/// A line of a list that says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadSuppression {
    /// Its number, from 1.
    pub line: usize,
    /// The line.
    pub text: String,
}

impl fmt::Display for BadSuppression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, text } = self;
        write!(
            f,
            "line {line}: {text:?} is neither \"signature SIGNATURE\" nor \"edge FROM -> TO at FILE:LINE\""
        )
    }
}

impl std::error::Error for BadSuppression {}

/// A dependency of a cycle: what was held, what was taken, and where.
pub(crate) type Step = (String, String, Option<String>);

static LIST: Mutex<Option<Arc<Suppressions>>> = Mutex::new(None);

/// From now on, accepts what the list names: such reports are neither kept nor handed out.
pub fn suppress(list: Suppressions) {
    *LIST.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(list));
}

/// The entries of the list in force that accepted nothing so far. At the end of a run: those that can go.
#[must_use]
pub fn unused_suppressions() -> Vec<String> {
    let list = LIST.lock().unwrap_or_else(PoisonError::into_inner).clone();
    list.map_or_else(Vec::new, |list| list.unused())
}

/// Whether the list in force accepts a report.
pub(crate) fn accepts(report: &Report) -> bool {
    let list = LIST.lock().unwrap_or_else(PoisonError::into_inner).clone();
    list.is_some_and(|list| list.accepts(report.signature(), &report.steps()))
}

impl Suppressions {
    /// Reads a list.
    ///
    /// # Errors
    /// The first line that says nothing.
    pub fn parse(text: &str) -> Result<Self, BadSuppression> {
        let mut list = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let what = What::parse(line).ok_or_else(|| BadSuppression {
                line: at + 1,
                text: line.to_owned(),
            })?;
            let used = AtomicUsize::new(0);
            list.push(Entry { what, used });
        }
        Ok(Self(list))
    }

    /// The entries that accepted nothing so far.
    #[must_use]
    pub fn unused(&self) -> Vec<String> {
        let unused = self
            .0
            .iter()
            .filter(|entry| entry.used.load(Ordering::Relaxed) == 0);
        unused.map(|entry| entry.what.to_string()).collect()
    }

    fn accepts(&self, signature: &str, steps: &[Step]) -> bool {
        let mut accepted = false;
        for entry in self
            .0
            .iter()
            .filter(|entry| entry.what.accepts(signature, steps))
        {
            entry.used.fetch_add(1, Ordering::Relaxed);
            accepted = true;
        }
        accepted
    }
}

impl What {
    fn parse(line: &str) -> Option<Self> {
        if let Some(signature) = line.strip_prefix("signature ") {
            return Some(Self::Signature(signature.trim().to_owned()));
        }
        let (classes, site) = line.strip_prefix("edge ")?.rsplit_once(" at ")?;
        let (from, to) = classes.split_once(" -> ")?;
        Some(Self::Edge {
            from: from.trim().to_owned(),
            to: to.trim().to_owned(),
            site: Some(site.trim().to_owned()).filter(|site| !site.is_empty())?,
        })
    }

    fn accepts(&self, signature: &str, steps: &[Step]) -> bool {
        match self {
            Self::Signature(accepted) => accepted == signature,
            Self::Edge { from, to, site } => steps.iter().any(|(held, taken, at)| {
                held == from && taken == to && at.as_deref().is_some_and(|at| is_at(at, site))
            }),
        }
    }
}

/// Whether a line is the one that the list means: the end of its path, with or without its number.
fn is_at(line: &str, meant: &str) -> bool {
    let file = line.rsplit_once(':').map_or(line, |(file, _)| file);
    [line, file].into_iter().any(|place| {
        let before = place.strip_suffix(meant);
        before.is_some_and(|before| before.is_empty() || before.ends_with('/'))
    })
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signature(signature) => write!(f, "signature {signature}"),
            Self::Edge { from, to, site } => write!(f, "edge {from} -> {to} at {site}"),
        }
    }
}

impl Record {
    /// Takes out the findings that the list accepts; says how many.
    pub fn suppress(&mut self, list: &Suppressions) -> usize {
        let before = self.findings.len();
        let Self {
            edges,
            classes,
            findings,
            ..
        } = self;
        findings.retain(|finding| {
            let step = |&at: &usize| {
                let edge = &edges[at];
                let name = |class: usize| classes[class].name.clone();
                (name(edge.from), name(edge.to), edge.taken.site.clone())
            };
            let steps: Vec<Step> = finding.cycle.iter().map(step).collect();
            !list.accepts(&finding.signature, &steps)
        });
        before - findings.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(site: &str) -> Step {
        ("queue".into(), "table".into(), Some(site.into()))
    }

    #[test]
    fn an_edge_is_accepted_only_where_the_list_says() {
        let list = Suppressions::parse(
            "# why\n\nedge queue -> table at src/flush.rs:120\nsignature circular: a --> b\n",
        );
        let list = list.expect("two entries");
        assert!(!list.accepts("x", &[step("crates/x/src/flush.rs:121")]));
        assert!(!list.accepts("x", &[step("notsrc/flush.rs:120")]));
        assert_eq!(list.unused().len(), 2);
        assert!(list.accepts("x", &[step("crates/x/src/flush.rs:120")]));
        assert_eq!(list.unused(), ["signature circular: a --> b"]);
        assert!(list.accepts("circular: a --> b", &[]));
        assert!(list.unused().is_empty());
    }

    #[test]
    fn a_line_that_says_nothing_is_named() {
        for line in [
            "edge queue -> table",
            "edge queue at src/flush.rs",
            "class queue",
        ] {
            let error = Suppressions::parse(&format!("# why\n{line}")).expect_err(line);
            assert_eq!((error.line, &*error.text), (2, line));
        }
    }
}
