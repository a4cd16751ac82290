//! The transcripts, and the machines they were taken on.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error};
use serde::{Deserialize, Serialize};

/// `conformance/kernels.toml`.
#[derive(Debug, Deserialize)]
pub struct Kernels {
    /// One for each kernel.
    pub kernel: Vec<Kernel>,
}

/// A kernel whose answers are there.
#[derive(Clone, Debug, Deserialize)]
pub struct Kernel {
    /// As `userlink run --kernel` takes it.
    pub version: String,
    /// The folder of its transcripts below `golden`.
    pub golden: String,
    /// What `uname -r` said.
    pub release: String,
    /// The version of iproute2 that asked.
    pub client: String,
    /// The version of iproute2 that its own selftests are run with.
    pub selftests_client: String,
    /// The file of its datagrams below `golden`, if they were captured.
    pub wire: Option<String>,
}

/// The folder `conformance`.
#[derive(Clone, Debug)]
pub struct Data(pub PathBuf);

impl Data {
    /// The kernels.
    ///
    /// # Errors
    /// The file cannot be read, or is malformed.
    pub fn kernels(&self) -> Result<Vec<Kernel>, Error> {
        let path = self.0.join("kernels.toml");
        let text = read(&path)?;
        let kernels: Kernels = toml::from_str(&text).with_context(|| path.display().to_string())?;
        Ok(kernels.kernel)
    }

    /// The transcripts of a kernel, in their order.
    ///
    /// # Errors
    /// A file cannot be read, or is malformed.
    pub fn transcripts(&self, kernel: &Kernel) -> Result<Vec<Transcript>, Error> {
        let mut paths = Vec::new();
        for kind in ["golden", "mlx5"] {
            let folder = self.0.join(kind).join(&kernel.golden);
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(_) if kind != "golden" => continue,
                Err(error) => return Err(error).context(folder.display().to_string()),
            };
            let entries = entries.filter_map(|entry| Some(entry.ok()?.path()));
            paths.extend(entries.filter(|path| path.extension().is_some_and(|end| end == "jsonl")));
        }
        paths.sort();
        paths.iter().map(|path| Transcript::read(path)).collect()
    }
}

/// The commands of one list, with what they printed.
#[derive(Clone, Debug)]
pub struct Transcript {
    /// The file's name: `03-reload`.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
    /// What is plugged in from the start, if anything.
    pub device: Option<String>,
    /// The commands.
    pub steps: Vec<Step>,
}

impl Transcript {
    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read, or is malformed.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let (mut steps, mut plugged) = (Vec::new(), None);
        for line in read(path)?.lines() {
            let line: Line =
                serde_json::from_str(line).with_context(|| path.display().to_string())?;
            match line {
                Line::Step(step) => steps.push(step),
                Line::Comment { device, .. } => plugged = plugged.or(device),
            }
        }
        Ok(Self {
            name: path
                .file_stem()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default(),
            path: path.to_path_buf(),
            device: plugged,
            steps,
        })
    }

    /// The object it is about: the name without the number.
    pub fn object(&self) -> &str {
        self.name
            .split_once('-')
            .map_or(&self.name, |(_, name)| name)
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Step(Step),
    Comment {
        #[serde(rename = "comment")]
        _comment: String,
        #[serde(default)]
        device: Option<String>,
    },
}

/// One command and what came of it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Step {
    /// Its number, from 1.
    pub n: u32,
    /// How it was executed.
    pub mode: Mode,
    /// What the shell was given.
    #[serde(rename = "cmd")]
    pub command: String,
    /// How it ended.
    pub rc: Status,
    /// What it printed.
    pub stdout: String,
    /// What it complained.
    pub stderr: String,
    /// Where it is known from, when no real machine was asked: a function of the kernel, a document, the subject of a mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// How long it may take, in seconds, if that is not what all may.
    #[serde(default)]
    pub timeout: Option<u64>,
}

impl Step {
    /// The name under which the step's datagrams were captured.
    pub fn captured(&self) -> Option<&str> {
        let rest = self.command.strip_prefix("bash /host/pcap.sh ")?;
        rest.split_whitespace().next()
    }
}

/// How a command is executed.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Its output goes to pipes.
    Pipe,
    /// It has a terminal, where both outputs are one.
    Tty,
    /// As `Pipe`; the transcripts' machine also traced the system calls, which are not part of the transcript.
    Wire,
}

/// An exit status, negative for a signal, or why there is none.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Status {
    /// The status.
    Code(i32),
    /// `timeout`.
    Other(String),
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_machine_was_asked_has_a_source() {
        let data = Data(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance"));
        let kernels = data.kernels().expect("the file is ours");
        for kernel in &kernels {
            let transcripts = data.transcripts(kernel).expect("the files are ours");
            let asked_nobody = |one: &&Transcript| one.device.is_some();
            let cards: Vec<_> = transcripts.iter().filter(asked_nobody).collect();
            assert!(!cards.is_empty(), "no card on {}", kernel.version);
            for transcript in cards {
                for step in &transcript.steps {
                    let source = step.source.as_deref().unwrap_or_default();
                    assert!(source.len() > 3, "{} {}", transcript.name, step.n);
                }
            }
        }
    }
}
