//! What happens with reports, for those who need no handler of their own.

use std::sync::Arc;

use crate::grade::Grade;
use crate::report::{self, Banner, Report};

/// What happens with reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// They are printed on standard error, in the kernel's format with the grade in a line behind.
    Print,
    /// They are only kept: see [`reports`](crate::reports).
    Collect,
    /// They are printed; from this grade on the thread then panics instead of taking the lock.
    /// A thread that is unwinding already only prints.
    Panic(Grade),
}

/// Chooses what happens with reports from now on; takes the place of a handler.
pub fn set_policy(policy: Policy) {
    report::set_handler(move |report| match policy {
        Policy::Print => print(report),
        Policy::Collect => {}
        Policy::Panic(from) => {
            print(report);
            if report.grade().is_none_or(|grade| grade >= from) && !std::thread::panicking() {
                panic!("lockdep: {}", report.signature());
            }
        }
    });
    match policy {
        Policy::Collect => report::set_raise_handler(|_| ()),
        Policy::Print | Policy::Panic(_) => report::set_raise_handler(|report| {
            eprintln!(
                "lockdep: more was seen of {}: {}",
                report.signature(),
                verdict(report)
            );
        }),
    }
}

/// The default.
pub(crate) fn print(report: &Arc<Report>) {
    eprintln!("{}", report.kernel_text(&Banner::default()));
    if report.grade().is_some() {
        eprintln!("lockdep: {}: {}", report.signature(), verdict(report));
    }
}

fn verdict(report: &Report) -> String {
    report.verdict().unwrap_or_default()
}
