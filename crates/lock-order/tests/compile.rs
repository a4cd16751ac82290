//! What the declared order refuses does not compile, and the message names both levels.
//!
//! Each file under `refused` is compiled and must fail with the text of its `//~` line; each under `accepted` must compile, or the
//! refusals would prove nothing. Only the message is compared, not the whole output, so that a new compiler does not matter.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The newest library of this name next to this test: the one that cargo has just built for it.
fn library(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let prefix = format!("lib{name}-");
    std::fs::read_dir(test.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "rlib")
        })
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with(&prefix)
        })
        .max_by_key(|path| path.metadata().unwrap().modified().unwrap())
        .unwrap_or_else(|| panic!("no library of {name}"))
}

fn compile(source: &Path) -> Output {
    let out = tempfile(source);
    let test = std::env::current_exe().unwrap();
    let output = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args([
            "--edition",
            "2024",
            "--crate-type",
            "lib",
            "--emit",
            "metadata",
            "-o",
        ])
        .arg(&out)
        .arg("-L")
        .arg(format!("dependency={}", test.parent().unwrap().display()))
        .arg("--extern")
        .arg(format!("lockdep={}", library("lockdep").display()))
        .arg("--extern")
        .arg(format!("lock_order={}", library("lock_order").display()))
        .arg(source)
        .output()
        .unwrap();
    let _ = std::fs::remove_file(out);
    output
}

/// Where the result of a compilation goes: a name of its own for each source of each run.
fn tempfile(source: &Path) -> PathBuf {
    let name = source.file_stem().unwrap().to_str().unwrap();
    std::env::temp_dir().join(format!("lock-order-{}-lib{name}.rmeta", std::process::id()))
}

fn sources(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(folder);
    let mut sources: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    sources.sort();
    sources
}

#[test]
fn what_the_order_refuses_does_not_compile() {
    let sources = sources("refused");
    assert!(!sources.is_empty());
    for source in sources {
        let text = std::fs::read_to_string(&source).unwrap();
        let wanted = text
            .lines()
            .find_map(|line| line.strip_prefix("//~ "))
            .unwrap();
        let output = compile(&source);
        let messages = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{} compiles", source.display());
        assert!(
            messages.contains(wanted),
            "{}: no {wanted:?} in:\n{messages}",
            source.display()
        );
    }
}

#[test]
fn what_the_order_allows_compiles() {
    let sources = sources("accepted");
    assert!(!sources.is_empty());
    for source in sources {
        let output = compile(&source);
        let messages = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{}:\n{messages}", source.display());
    }
}
