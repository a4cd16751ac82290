//! The kernel's own tests of netdevsim and devlink, unmodified, inside `userlink run`: `./x selftests`.
//!
//! The scripts are taken from a kernel's source tree at run time. Each is played in a stage of its own, as a transcript is; it says
//! itself which of its functions passed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, bail};
use clap::Args;

use crate::client;
use crate::compare;
use crate::golden::{Data, Kernel, Mode, Status, Step, Transcript};
use crate::play::Played;
use crate::stage::{Plan, TREE};

/// The tests that must pass.
const WANTED: [&str; 3] = ["devlink.sh", "devlink_in_netns.sh", "devlink_trap.sh"];
/// Those that are tried as far as they go. `peer.sh` and `nsim.py` go to their end; `psample.sh` wants a program that Debian has
/// not, and samples from a generic netlink family that this machine has not.
const TRIED: [&str; 3] = ["peer.sh", "psample.sh", "nsim.py"];
/// How long a script may take, in seconds.
const PATIENCE: u64 = 400;

/// Runs the kernel's own selftests inside `userlink run`.
#[derive(Clone, Debug, Args)]
pub struct Selftests {
    /// The userlink command to try
    #[arg(long, value_name = "FILE", default_value = "target/debug/userlink")]
    pub userlink: PathBuf,

    /// Where the programs of a version of iproute2 are, as VERSION=FOLDER
    #[arg(long = "client", value_name = "VERSION=FOLDER")]
    pub clients: Vec<String>,

    /// The kernel's source tree: FOLDER for all kernels, or KERNEL=FOLDER
    #[arg(long = "tree", value_name = "[KERNEL=]FOLDER")]
    pub trees: Vec<String>,

    /// The folder with the list of kernels
    #[arg(long, value_name = "FOLDER", default_value = "conformance")]
    pub data: PathBuf,

    /// Where results are put
    #[arg(long, value_name = "FOLDER", default_value = "target/selftests")]
    pub out: PathBuf,

    /// Only this kernel
    #[arg(long, value_name = "VERSION")]
    pub kernel: Option<String>,

    /// Scripts whose name contains one of these words [default: all]
    #[arg(value_name = "SCRIPT")]
    pub scripts: Vec<String>,
}

/// What one function of a script came to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Verdict {
    name: String,
    /// `OK`, `FAIL`, `SKIP` or `XFAIL`.
    result: String,
    /// What it said.
    notes: Vec<String>,
}

/// What a script came to.
struct Outcome {
    verdicts: Vec<Verdict>,
    status: String,
    took: f64,
    /// The last lines it printed.
    tail: Vec<String>,
}

impl Selftests {
    /// Runs them and prints the table. Returns whether all that must pass did.
    ///
    /// # Errors
    /// A stage cannot be built.
    pub fn run(&self) -> Result<bool, Error> {
        let (mut passed, mut failed) = (0, 0);
        for kernel in Data(self.data.clone()).kernels()? {
            if self.kernel.as_ref().is_some_and(|it| *it != kernel.version) {
                continue;
            }
            let Some(tree) = self.tree(&kernel.version) else {
                println!(
                    "skipped: kernel {}: there is no source tree (--tree)",
                    kernel.version
                );
                continue;
            };
            let client = match client::find(&self.clients, &kernel.selftests_client, &self.out) {
                Ok(client) => client,
                Err(error) => {
                    println!("skipped: kernel {}: {error:#}", kernel.version);
                    continue;
                }
            };
            println!(
                "kernel {}, iproute2 {}",
                kernel.version, kernel.selftests_client
            );
            for script in WANTED.into_iter().chain(TRIED).filter(|it| self.wants(it)) {
                let wanted = WANTED.contains(&script);
                if find(&tree, script).is_none() {
                    println!("  {script:22} not in this tree");
                    failed += usize::from(wanted);
                    continue;
                }
                let outcome = self.one(&kernel, &client, &tree, script)?;
                let bad = describe(script, &outcome);
                if wanted {
                    passed += outcome
                        .verdicts
                        .iter()
                        .filter(|it| it.result == "OK")
                        .count();
                    failed += bad;
                }
            }
        }
        println!("{passed} passed, {failed} failed");
        Ok(failed == 0 && passed > 0)
    }

    fn wants(&self, script: &str) -> bool {
        self.scripts.is_empty()
            || self
                .scripts
                .iter()
                .any(|word| script.contains(word.as_str()))
    }

    fn tree(&self, kernel: &str) -> Option<PathBuf> {
        self.trees
            .iter()
            .find_map(|tree| match tree.split_once('=') {
                Some((named, folder)) => (named == kernel).then(|| PathBuf::from(folder)),
                None => Some(PathBuf::from(tree)),
            })
    }

    fn one(
        &self,
        kernel: &Kernel,
        client: &Path,
        tree: &Path,
        script: &str,
    ) -> Result<Outcome, Error> {
        let work = self.out.join(&kernel.version).join(script);
        fs::create_dir_all(&work)?;
        let transcript = list(&work, &find(tree, script).context("no such script")?)?;
        let guest = self.data.join("guest");
        let mut plan = Plan::new(&self.userlink, client, kernel, &transcript, &guest, &work)?;
        plan.tree = Some(selftests_of(tree).canonicalize()?);
        plan.perform()?;
        let mut played = compare::results(&plan.host.join("played.jsonl"))?;
        let Some(last) = played.pop_last().map(|(_, played)| played) else {
            let log = fs::read_to_string(plan.host.join("log")).unwrap_or_default();
            bail!("the stage could not be played: {}", log.trim());
        };
        Ok(outcome(&last))
    }
}

/// The folder of all selftests in a source tree, which may be that folder itself.
fn selftests_of(tree: &Path) -> PathBuf {
    let inside = tree.join("tools/testing/selftests");
    if inside.is_dir() {
        inside
    } else {
        tree.to_path_buf()
    }
}

/// Where a script lies below the folder of all selftests.
fn find(tree: &Path, script: &str) -> Option<PathBuf> {
    let below = match script {
        "nsim.py" => Path::new("net/lib/py").join(script),
        _ => Path::new("drivers/net/netdevsim").join(script),
    };
    selftests_of(tree).join(&below).exists().then_some(below)
}

/// The commands that run a script: one file of firmware is not there, as on the machines whose results are known.
fn list(work: &Path, script: &Path) -> Result<Transcript, Error> {
    let (folder, name) = (script.parent().context("no folder")?, script.file_name());
    let name = name.context("no name")?.to_string_lossy();
    let run = match name.ends_with(".py") {
        true => format!(
            "cd {TREE}/{} && python3 /host/nsim_try.py",
            folder.display()
        ),
        false => format!(
            "cd {TREE}/{} && REQUIRE_MZ=no bash ./{name}",
            folder.display()
        ),
    };
    let step = |n, command: String| Step {
        source: None,
        n,
        mode: Mode::Pipe,
        command,
        rc: Status::Code(0),
        stdout: String::new(),
        stderr: String::new(),
        timeout: Some(PATIENCE),
    };
    let steps = vec![
        step(1, "rm -f /lib/firmware/empty.bin".into()),
        step(2, run),
    ];
    let path = work.join("list.jsonl");
    let mut text = String::new();
    for step in &steps {
        text += &serde_json::to_string(step)?;
        text.push('\n');
    }
    fs::write(&path, text)?;
    Ok(Transcript {
        device: None,
        name: name.into_owned(),
        path,
        steps,
    })
}

fn outcome(played: &Played) -> Outcome {
    let mut tail: Vec<String> = Vec::new();
    for text in [&played.stdout, &played.stderr] {
        let mut last: Vec<_> = text.lines().rev().take(4).map(String::from).collect();
        last.reverse();
        tail.extend(last);
    }
    Outcome {
        verdicts: verdicts(&played.stdout),
        status: match &played.rc {
            Status::Code(code) => format!("status {code}"),
            Status::Other(word) => word.clone(),
        },
        took: played.took,
        tail,
    }
}

/// `TEST: NAME      [ OK ]`, and indented what there is to say about it.
fn verdicts(printed: &str) -> Vec<Verdict> {
    let mut all: Vec<Verdict> = Vec::new();
    for line in printed.lines() {
        if let Some((name, result)) = line
            .strip_prefix("TEST: ")
            .and_then(|rest| rest.trim_end().strip_suffix(']')?.rsplit_once('['))
        {
            all.push(Verdict {
                name: name.trim().into(),
                result: result.trim().into(),
                notes: Vec::new(),
            });
        } else if let (Some(verdict), Some(note)) = (all.last_mut(), line.strip_prefix('\t')) {
            verdict.notes.push(note.into());
        }
    }
    all
}

/// Prints what came of a script and returns how many of its functions failed; a script that says nothing failed once.
fn describe(script: &str, outcome: &Outcome) -> usize {
    let Outcome {
        verdicts,
        status,
        took,
        tail,
    } = outcome;
    let bad = verdicts.iter().filter(|it| it.result != "OK").count();
    let good = match verdicts.len() {
        0 => String::new(), // one that does not speak of functions
        all => format!("{} of {all} functions good, ", all - bad),
    };
    println!("  {script:22} {good}{status}, {took:.0} s");
    for verdict in verdicts {
        println!("    {:40} {}", verdict.name, verdict.result);
        verdict
            .notes
            .iter()
            .for_each(|note| println!("        {note}"));
    }
    let silent = status != "status 0" && bad == 0;
    if silent {
        tail.iter().for_each(|line| println!("        {line}"));
    }
    bad + usize::from(silent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_read() {
        let printed = "noise\nTEST: fw flash test                 [FAIL]\n\tFailed to flash\nTEST: params test   [ OK ]\n";
        let all = verdicts(printed);
        assert_eq!(all.len(), 2);
        assert_eq!(
            (all[0].name.as_str(), all[0].result.as_str()),
            ("fw flash test", "FAIL")
        );
        assert_eq!(all[0].notes, ["Failed to flash"]);
        assert_eq!(all[1].result, "OK");
    }
}
