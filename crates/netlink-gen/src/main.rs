//! Makes `crates/netlink/src/generated/` from `crates/netlink/data/devlink.toml`.
//!
//! Without arguments it writes the files; with `--check` it only tells whether they are what it
//! would write, for continuous integration. Run by `./x generate`.

mod emit;
#[cfg(test)]
mod spec;
mod table;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::table::Table;

fn main() -> Result<()> {
    let check = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--check") => true,
        Some(other) => bail!("unknown argument '{other}': only --check is known"),
    };
    let netlink = Path::new(env!("CARGO_MANIFEST_DIR")).join("../netlink");
    let data = netlink.join("data/devlink.toml");
    let text = fs::read_to_string(&data).with_context(|| format!("reading {}", data.display()))?;
    let table: Table =
        toml::from_str(&text).with_context(|| format!("understanding {}", data.display()))?;
    table.validate()?;
    for (name, text) in emit::files(&table)? {
        let path = netlink.join("src/generated").join(name);
        let text = rustfmt(&text).with_context(|| format!("formatting {name}"))?;
        if check {
            require_fresh(&path, &text)?;
        } else if fs::read_to_string(&path).ok().as_deref() != Some(&text) {
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
            println!("wrote {name}");
        }
    }
    Ok(())
}

fn require_fresh(path: &PathBuf, text: &str) -> Result<()> {
    let found = fs::read_to_string(path).unwrap_or_default();
    ensure!(
        found == text,
        "{} is not what data/devlink.toml makes: run `./x generate`",
        path.display()
    );
    Ok(())
}

fn rustfmt(text: &str) -> Result<String> {
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting rustfmt")?;
    let mut stdin = child
        .stdin
        .take()
        .context("rustfmt has no standard input")?;
    stdin.write_all(text.as_bytes())?;
    drop(stdin);
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "rustfmt refuses the text");
    Ok(String::from_utf8(output.stdout)?)
}
