//! The kernel's own test of lockdep (`lib/locking-selftest.c`), case by case and by behaviour.
//!
//! Each case does what the kernel's does, with locks that only the validator sees, and must be reported, or not, as there.
//! `docs/lockdep-selftest.md` shows them all; it is written by this test when `LOCKDEP_SELFTEST_WRITE` is set, and
//! compared by it when not.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod bench;
mod cases;
mod ww;

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use lockdep::{Report, ReportKind};

#[test]
fn every_case_is_judged_as_by_the_kernel() {
    lockdep::set_handler(|_| ());
    let (mut table, mut notes) = (String::new(), String::new());
    let (mut right, mut wrong) = (0, Vec::new());
    for (number, case) in cases::all().iter().enumerate() {
        let reports = bench::run(&format!("{number}"), &case.body);
        let says = |report: &&Arc<Report>| {
            let signature = report.signature();
            case.says.is_none_or(|says| signature.contains(says))
        };
        let report = reports.iter().find(says);
        if report.is_some() == case.reported && reports.is_empty() != case.reported {
            right += 1;
        } else {
            let signatures: Vec<_> = reports.iter().map(|report| report.signature()).collect();
            wrong.push(format!(
                "{} ({}): {signatures:?}",
                case.family, case.variant
            ));
        }
        let kernel = if case.reported { "report" } else { "silent" };
        let here = match (report.map(|report| report.kind()), case.says) {
            (None, _) => "silent".into(),
            (Some(ReportKind::Assertion), Some(says)) => format!("report: {says}"),
            (Some(kind), _) => format!("report: {}", words(kind)),
        };
        if let Some(note) = case.note {
            writeln!(notes, "* Row {}: {note}", number + 1).unwrap();
        }
        writeln!(
            table,
            "| {} | {} | {} | {kernel} | {here} |",
            number + 1,
            case.family,
            case.variant
        )
        .unwrap();
    }
    assert!(
        wrong.is_empty(),
        "{} of {} right, wrong are\n{}",
        right,
        right + wrong.len(),
        wrong.join("\n")
    );
    document(&format!(
        "{HEAD}{right} of {right} right.\n\n{COLUMNS}{table}{NOTES}{notes}"
    ));
}

const HEAD: &str = "# The kernel's selftest of lockdep

The cases of `lib/locking-selftest.c` (6.12), as `crates/lockdep/tests/selftest` does them: hard interrupts are signal
handlers, soft interrupts deferred work, RCU a read-side section. Left out are the three of `local_lock`, which is a lock of a
processor. *Kernel* is what the kernel must do with the case, *here* what the validator did in the last run of the test,
which also writes this file.

";

const COLUMNS: &str =
    "| | case | locks, order of events | kernel | here |\n|---|---|---|---|---|\n";

const NOTES: &str = "
Where a case does what Rust's types refuse, the code in brackets is the compiler's; `compile_fail` examples in the documentation
of `lockdep::ww` prove it.

";

/// The kind of a report in words.
fn words(kind: ReportKind) -> &'static str {
    match kind {
        ReportKind::Circular => "circular dependency",
        ReportKind::Recursive => "recursive locking",
        ReportKind::InconsistentState => "inconsistent lock state",
        ReportKind::SignalInversion => "irq lock inversion",
        ReportKind::SignalUnsafeOrder => "irq-safe to irq-unsafe order",
        ReportKind::InvalidWaitContext => "invalid wait context",
        ReportKind::NestNotTaken => "nested lock not taken",
        ReportKind::BadUnlock => "bad unlock balance",
        ReportKind::HeldLockFreed => "held lock freed",
        ReportKind::StillHeld => "still has locks held",
        ReportKind::Assertion => "assertion",
        ReportKind::Limit => "limit",
        _ => "another",
    }
}

fn document(text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/lockdep-selftest.md");
    if std::env::var_os("LOCKDEP_SELFTEST_WRITE").is_some() {
        std::fs::write(path, text).unwrap();
        return;
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        written, text,
        "docs/lockdep-selftest.md is not what this run gives; set LOCKDEP_SELFTEST_WRITE to write it"
    );
}
