//! The grade of a report, which may rise after the report was made.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};

use super::{Body, Report, task};
use crate::grade::{Grade, Instances, Verdict};

/// What a finding is worth, as far as is known.
#[derive(Clone, Debug)]
pub(crate) struct Graded {
    grade: Grade,
    instances: Instances,
    gates: Vec<String>,
    threads: Vec<(Arc<str>, i32)>,
}

/// Who is called with each report whose grade has risen.
type Handler = dyn Fn(&Arc<Report>) + Send + Sync;

static HANDLER: RwLock<Option<Arc<Handler>>> = RwLock::new(None);

/// Who is called with a report whose grade has risen since it was handed out: because another thread does now what only
/// one did, or does it without the lock that kept the two apart. By default, nobody.
pub fn set_raise_handler(handler: impl Fn(&Arc<Report>) + Send + Sync + 'static) {
    *HANDLER.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(handler));
}

/// Tells of reports whose grade has risen, as far as they were handed out before. Not under the graph lock.
pub(crate) fn raised(reports: Vec<Arc<Report>>) {
    for report in reports {
        let handler = HANDLER
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(handler) = handler {
            task::outside_handler(|| handler(&report));
        }
    }
}

impl Report {
    fn graded(&self) -> Option<Graded> {
        self.graded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How likely it is to become a deadlock; nothing for a limit of the validator's own. It may rise while more is learnt
    /// ([`set_raise_handler`]).
    #[must_use]
    pub fn grade(&self) -> Option<Grade> {
        self.graded().map(|graded| graded.grade)
    }

    /// Whether its parts were seen to meet in the same locks.
    #[must_use]
    pub fn instances(&self) -> Option<Instances> {
        self.graded().map(|graded| graded.instances)
    }

    /// The classes of the locks that keep the parts of a cycle from each other: what makes it [`Grade::Gated`].
    #[must_use]
    pub fn gates(&self) -> Vec<String> {
        self.graded().map_or_else(Vec::new, |graded| graded.gates)
    }

    /// The threads that make the cycle, by name and id: each waits for what the next one holds or, if both only read it, for
    /// a writer between them who waits for the next one.
    #[must_use]
    pub fn cycle_threads(&self) -> Vec<(String, i32)> {
        let threads = self.graded().map_or_else(Vec::new, |graded| graded.threads);
        threads
            .into_iter()
            .map(|(comm, tid)| (comm.to_string(), tid))
            .collect()
    }

    /// What of the declared order ([`order`](crate::order)) the cycle breaks: `Outer before Inner (module)` for each of its
    /// dependencies that goes against the table.
    #[must_use]
    pub fn breaks(&self) -> Vec<String> {
        self.breaks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn set_breaks(&self, breaks: Vec<String>) {
        *self.breaks.lock().unwrap_or_else(PoisonError::into_inner) = breaks;
    }

    /// Grade, gates and broken order in one line; nothing for a limit of the validator's own.
    #[must_use]
    pub fn verdict(&self) -> Option<String> {
        let mut text = self.graded()?.to_string();
        for breaks in self.breaks() {
            text += &format!("; breaks the declared order {breaks}");
        }
        Some(text)
    }

    /// Takes over a grade that is worse than what was known. Says whether a report that was handed out has one now.
    pub(crate) fn raise(&self, verdict: &Verdict, gates: Vec<String>) -> bool {
        let mut graded = self.graded.lock().unwrap_or_else(PoisonError::into_inner);
        let known = graded.as_ref().map(|known| (known.grade, known.instances));
        if known.is_some_and(|known| known >= verdict.rank()) {
            return false;
        }
        *graded = Some(Graded {
            grade: verdict.grade,
            instances: verdict.instances,
            gates,
            threads: verdict.threads.clone(),
        });
        known.is_some() && self.delivered.load(Ordering::Relaxed)
    }
}

impl Graded {
    /// Of what is no matter of who was seen to do what: it happened, or a signal is all that it takes.
    pub(super) fn at_once(body: &Body) -> Option<Self> {
        let (grade, instances) = match body {
            // As their witnesses say.
            Body::Circular { .. } | Body::Recursive { .. } | Body::Limit { .. } => return None,
            Body::Inconsistent { .. } | Body::Inversion { .. } | Body::UnsafeOrder { .. } => {
                (Grade::Deadlock, Instances::ClassOnly)
            }
            Body::WaitContext { .. }
            | Body::NestNotTaken { .. }
            | Body::BadUnlock { .. }
            | Body::HeldFreed { .. }
            | Body::StillHeld
            | Body::Warn { .. } => (Grade::Certain, Instances::Confirmed),
        };
        Some(Self {
            grade,
            instances,
            gates: Vec::new(),
            threads: Vec::new(),
        })
    }
}

impl fmt::Display for Graded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.grade, self.instances)?;
        if !self.gates.is_empty() {
            write!(f, ", under {}", self.gates.join(" and "))?;
        }
        Ok(())
    }
}
