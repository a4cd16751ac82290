//! Where the programs of a version of iproute2 are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Error, bail};

/// The folder with the programs of iproute2 `version`: a given one, or that of a `devlink` in the path.
pub(crate) fn find(given: &[String], version: &str, out: &Path) -> Result<PathBuf, Error> {
    for client in given {
        let (named, folder) = client
            .split_once('=')
            .with_context(|| format!("--client {client}: not VERSION=FOLDER"))?;
        if named == version {
            return Ok(PathBuf::from(folder));
        }
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    for folder in std::env::split_paths(&path) {
        let program = folder.join("devlink");
        let Ok(said) = Command::new(&program).arg("-V").output() else {
            continue;
        };
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        if said.trim().ends_with(&format!("iproute2-{version}")) {
            return alone(version, &program.canonicalize()?, out);
        }
    }
    bail!("there is no devlink of iproute2 {version} here")
}

/// A folder with nothing in it but the client: its own folder may hold the whole system.
fn alone(version: &str, program: &Path, out: &Path) -> Result<PathBuf, Error> {
    let folder = out.join("client").join(version);
    fs::create_dir_all(&folder)?;
    fs::copy(program, folder.join("devlink"))?;
    Ok(folder)
}
