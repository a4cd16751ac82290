//! A program that is built with `panic = "abort"` and waits for itself: it says why, and ends.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

#[test]
fn who_waits_for_itself_without_unwinding_reports_and_ends() {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("abort");
    let output = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--offline",
            "--example",
            "self_deadlock",
        ])
        .args(["--config", "profile.dev.panic='abort'"])
        // Nobody debugs it, and it is built once.
        .args(["--config", "profile.dev.debug=false", "--target-dir"])
        .env("CARGO_INCREMENTAL", "0")
        .arg(&target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let program = target.join("debug/examples/self_deadlock");
    let output = Command::new(program).output().unwrap();
    let (said, report) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(said, "refused: true\n");
    let headline = "WARNING: possible recursive locking detected";
    assert_eq!(report.matches(headline).count(), 1, "{report}");
    let reason = report.find("taken twice").is_some() && report.contains("panicked at");
    assert!(reason, "{report}");
    assert_eq!(output.status.signal(), Some(6), "SIGABRT: {report}");
}
