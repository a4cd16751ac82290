//! `userlink lockdep merge`, over the runs of a crate whose tests see half an inversion each.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::machine::{Machine, Who};

/// A folder of its own for a test.
fn folder(name: &str) -> PathBuf {
    let folder =
        std::env::temp_dir().join(format!("userlink-lockdep-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a temporary directory can be written");
    folder
}

fn merge(args: &[&dyn AsRef<std::ffi::OsStr>]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_userlink"));
    command.args(["lockdep", "merge"]);
    for arg in args {
        command.arg(arg.as_ref());
    }
    command.output().expect("userlink starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The graph files of the demo's tests. They are built beside this program, out of a copy, with the versions of its own
/// dependencies: nothing is fetched, and nothing is written into the source tree.
fn demo(graphs: &Path) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (source, copy) = (
        root.join("demo/lockdep-merge"),
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("lockdep-merge"),
    );
    for folder in ["src", "tests"] {
        fs::create_dir_all(copy.join(folder)).expect("the target directory can be written");
    }
    for file in ["src/lib.rs", "tests/selling.rs", "tests/auditing.rs"] {
        fs::copy(source.join(file), copy.join(file)).expect("the demo is there");
    }
    fs::copy(root.join("Cargo.lock"), copy.join("Cargo.lock")).expect("the workspace has one");
    let manifest = fs::read_to_string(source.join("Cargo.toml")).expect("the demo is there");
    let crates = root
        .join("crates")
        .canonicalize()
        .expect("this crate is in it");
    let manifest = manifest.replace("../../crates", crates.to_str().expect("a path in UTF-8"));
    fs::write(copy.join("Cargo.toml"), manifest).expect("the target directory can be written");
    let ran = Command::new(env!("CARGO"))
        .args(["test", "--offline", "--quiet", "--tests", "--manifest-path"])
        .arg(copy.join("Cargo.toml"))
        .args(["--config", "profile.dev.debug='line-tables-only'"])
        .env("CARGO_TARGET_DIR", copy.join("target"))
        .env("CARGO_INCREMENTAL", "0")
        .env("LOCKDEP_GRAPH", graphs)
        .output()
        .expect("cargo starts");
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    assert!(
        !text(&ran.stderr).contains("circular"),
        "no test sees it all"
    );
    let files = fs::read_dir(graphs).expect("the tests made it");
    let mut files: Vec<PathBuf> = files
        .map(|file| file.expect("it can be read").path())
        .collect();
    files.sort();
    files
}

#[test]
fn halves_of_an_inversion_in_two_tests_are_put_together() {
    let folder = folder("halves");
    let files = demo(&folder.join("graphs"));
    assert_eq!(
        files.len(),
        2,
        "a file for each test that takes locks: {files:?}"
    );
    for file in &files {
        let half = merge(&[file]);
        assert_eq!(
            (half.status.code(), text(&half.stderr)),
            (Some(0), String::new())
        );
        assert!(
            text(&half.stdout).contains("1 runs, 2 classes, 1 dependencies, 0 cycles"),
            "{}",
            text(&half.stdout)
        );
    }

    let both = merge(&[&folder.join("graphs")]);
    let out = text(&both.stdout);
    assert_eq!(both.status.code(), Some(1), "{out}{}", text(&both.stderr));
    for line in [
        "circular: stock --> till [deadlock, class-only]",
        "  no run saw all of it",
        "  till was taken while stock was held, by what_is_sold_is",
        "  stock was taken while till was held, by nothing_is_lost",
        "2 runs, 2 classes, 2 dependencies, 1 cycles",
    ] {
        assert!(out.contains(line), "no {line:?} in:\n{out}");
    }
    assert!(
        out.contains("lockdep-merge/src/lib.rs:") || out.contains("taken at src/lib.rs:"),
        "{out}"
    );
    assert!(out.contains("lockdep_merge::Shop::audit"), "{out}");

    let html = folder.join("page.html");
    let json = merge(&[&files[0], &files[1], &"--json", &"-", &"--html", &html]);
    assert!(text(&json.stdout).starts_with("{\"version\":1,") && json.status.code() == Some(1));
    assert!(
        fs::read_to_string(&html)
            .expect("it is written")
            .contains("stock")
    );

    let list = folder.join("accepted");
    fs::write(
        &list,
        "signature circular: stock --> till\nsignature circular: x --> y\n",
    )
    .expect("it can be written");
    let accepted = merge(&[&files[0], &files[1], &"--suppress", &list]);
    assert_eq!(accepted.status.code(), Some(0));
    assert!(text(&accepted.stderr).contains("not needed: signature circular: x --> y"));

    // Damage is told with the name of the file and the place in it.
    let whole = fs::read(&files[0]).expect("it was read before");
    let damaged = folder.join("damaged");
    for (bytes, place) in [
        (
            &whole[..whole.len() - 3],
            format!(
                "byte {}: ",
                whole[..whole.len() - 3]
                    .iter()
                    .rposition(|&byte| byte == b'\n')
                    .map_or(0, |at| at + 1)
            ),
        ),
        (&b"lockdep-graph 2\n"[..], "byte 0: version 2".into()),
        (&b"\x7fELF"[..], "byte 0: ".into()),
    ] {
        fs::write(&damaged, bytes).expect("it can be written");
        let refused = merge(&[&files[1], &damaged]);
        let error = text(&refused.stderr);
        assert_eq!(
            (refused.status.code(), error.lines().count()),
            (Some(2), 1),
            "{error}"
        );
        assert!(
            error.contains(&format!("{}: {place}", damaged.display())),
            "{error}"
        );
    }
    let missing = merge(&[&folder.join("nothing")]);
    assert_eq!(missing.status.code(), Some(2), "{}", text(&missing.stderr));
    fs::remove_dir_all(&folder).expect("it was made here");
}

#[test]
fn the_graph_of_a_run_can_be_merged() {
    let file = std::env::temp_dir().join(format!("userlink-lock-graph-{}", std::process::id()));
    let _ = fs::remove_file(&file);
    let Some(machine) = Machine::new(Who::User) else {
        return;
    };
    let path = file.to_str().expect("a temporary directory named in UTF-8");
    let machine = machine.with(&["--lock-graph", path]);
    machine.run("devlink dev show").good();
    let merged = merge(&[&file]);
    let said = text(&merged.stdout) + &text(&merged.stderr);
    let _ = fs::remove_file(&file);
    assert_eq!(merged.status.code(), Some(0), "{said}");
    assert!(
        said.contains("1 runs, ") && said.contains(" 0 cycles"),
        "{said}"
    );
}
