//! A little of what `./x fuzz` does, with every test run.

use std::process::Command;

#[test]
fn thirty_thousand_executions_are_clean() {
    let mut fuzz = Command::new(env!("CARGO_BIN_EXE_fuzz"));
    fuzz.args(["--runs", "30000", "--seed", "7", "--corpus", "corpus"]);
    fuzz.args(["--out", env!("CARGO_TARGET_TMPDIR")]);
    let ran = fuzz.current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let ran = ran.expect("the program was built for this test");
    let said = String::from_utf8_lossy(&ran.stdout);
    let wrong = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}{wrong}");
    assert!(said.ends_with("30000 executions clean\n"), "{said}{wrong}");
}
