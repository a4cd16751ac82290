//! What the validator has to say.

use std::sync::Arc;

/// What a report is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReportKind {
    /// Locks are taken in an order that contradicts an order seen before.
    Circular,
    /// A lock is taken by a thread that holds one of its class already.
    Recursive,
    /// A lock is released that is not held.
    BadUnlock,
}

/// The line of a report that says which kernel speaks, and how to print what depends on it.
#[derive(Clone, Debug)]
pub struct Banner {
    /// As `uname -r` prints it.
    pub release: String,
    /// As it stands behind the release: `#1`.
    pub build: String,
    /// `Not tainted`, or what taints.
    pub taint: String,
    /// Crates that are kernel modules here: their functions are followed by `[name]`.
    pub modules: Vec<String>,
}

impl Default for Banner {
    fn default() -> Self {
        Self {
            release: "7.2.0".into(),
            build: "#1".into(),
            taint: "Not tainted".into(),
            modules: Vec::new(),
        }
    }
}

/// One finding.
#[derive(Debug)]
pub struct Report {
    /// What it is about.
    pub kind: ReportKind,
}

impl Report {
    /// The report as the kernel prints it, without time stamps.
    #[must_use]
    pub fn kernel_text(&self, _banner: &Banner) -> String {
        String::new()
    }
}

/// Every report so far, oldest first.
#[must_use]
pub fn reports() -> Vec<Arc<Report>> {
    Vec::new()
}

/// Who is called, on the thread that caused it, with every report. The default prints it on standard error.
pub fn set_handler(handler: impl Fn(&Arc<Report>) + Send + Sync + 'static) {
    let _ = handler;
}

/// What the calling thread does now, as a line of its reports: `Workqueue: netns cleanup_net`.
pub fn set_task_context(context: Option<String>) {
    let _ = context;
}
