//! The real kernel as judge of commands that nobody has thought of: `./x conformance --oracle`.
//!
//! A list of commands is made by chance, of which the seed is printed: iproute2's, the shell's into sysfs and debugfs, and raw
//! messages from the wire tables, right ones and wrong ones, most often about things that are there. The list is played twice at
//! once: on a real kernel in QEMU and on the stage, inside `userlink run`. Both must print the same, but for what
//! `conformance/masks.toml` names. A list with a difference is made as short as it can be and printed as a transcript.
//!
//! | module | is |
//! |---|---|
//! | `model` | what the generator believes of the machine, and the words it knows |
//! | `lines` | command lines |
//! | `scripts` | lines that do what scripts do |
//! | `raw` | raw messages |
//! | `guest` | the real kernel |
//! | `shrink` | makes a list shorter |

mod guest;
mod lines;
mod model;
mod random;
mod raw;
mod scripts;
mod shrink;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Error, anyhow, bail};
use clap::Args;
use netlink::KernelVersion;

use self::guest::Guest;
use self::model::Model;
use self::random::Random;
use self::raw::Raw;
use crate::client;
use crate::compare::{self, Totals, Verdict};
use crate::golden::{Data, Kernel, Mode, Status, Step, Transcript};
use crate::masks::Masks;
use crate::play::Played;
use crate::stage::Plan;

/// How long a command may take, in seconds.
const PATIENCE: u64 = 60;

/// Asks the real kernel, in QEMU, what it answers to commands made by chance, and compares.
#[derive(Clone, Debug, Args)]
pub struct Oracle {
    /// The userlink command to try
    #[arg(long, value_name = "FILE", default_value = "target/debug/userlink")]
    pub userlink: PathBuf,

    /// Where the programs of a version of iproute2 are, as VERSION=FOLDER
    #[arg(long = "client", value_name = "VERSION=FOLDER")]
    pub clients: Vec<String>,

    /// Where the machines are that `conformance/kernel.sh` makes
    #[arg(long, value_name = "FOLDER", default_value = "target/debian")]
    pub machines: PathBuf,

    /// The folder with the kernels, the masks and the helpers
    #[arg(long, value_name = "FOLDER", default_value = "conformance")]
    pub data: PathBuf,

    /// Where results are put
    #[arg(long, value_name = "FOLDER", default_value = "target/oracle")]
    pub out: PathBuf,

    /// Only this kernel
    #[arg(long, value_name = "VERSION")]
    pub kernel: Option<String>,

    /// Where chance begins [default: what the clock says]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// Commands in a list
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub commands: usize,

    /// Lists, each with the next seed
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub lists: u64,

    /// How often a list with a difference is played again to make it shorter
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub tries: usize,

    /// Ask no other release of a kernel than the one that the transcripts were taken from
    #[arg(long)]
    pub recorded: bool,

    /// Commands to play instead, one a line
    #[arg(long, value_name = "FILE")]
    pub list: Option<PathBuf>,
}

impl Oracle {
    /// Plays the lists on every kernel that is there.
    ///
    /// # Errors
    /// What is needed is missing. Differences are no error.
    pub fn run(&self) -> Result<Totals, Error> {
        let seed = self.seed.unwrap_or_else(|| {
            let now = std::time::SystemTime::now();
            let since = now.duration_since(std::time::UNIX_EPOCH);
            since.map_or(1, |since| since.as_secs())
        });
        let masks = Masks::read(&self.data.join("masks.toml"))?;
        let (mut totals, mut failed) = (Totals::default(), None);
        for kernel in Data(self.data.clone()).kernels()? {
            if self.kernel.as_ref().is_some_and(|it| *it != kernel.version) {
                continue;
            }
            let machine = self.machines.join(format!("kernel-{}", kernel.version));
            let client = client::find(&self.clients, &kernel.client, &self.out);
            let reason = guest::refused(&machine).or(crate::stage::refused());
            let client = match (reason, client) {
                (None, Ok(client)) => client,
                (Some(reason), _) => {
                    println!("skipped: real kernel {}: {reason}", kernel.version);
                    continue;
                }
                (None, Err(error)) => {
                    println!("skipped: real kernel {}: {error:#}", kernel.version);
                    continue;
                }
            };
            let (release, recorded) = (guest::release(&machine), &kernel.release);
            if self.recorded && release != *recorded {
                println!(
                    "skipped: real kernel {}: the machine has {release}, to be asked is {recorded}",
                    kernel.version
                );
                continue;
            }
            let guest = Guest { machine, client };
            let sides = Sides {
                oracle: self,
                masks: &masks,
                kernel,
                guest,
            };
            for seed in seed..seed + self.lists {
                // The next machine may start: an emulated one has time-outs of its own, which are short where much else goes on.
                if let Err(error) = sides.list(seed, &mut totals) {
                    println!("{error:#}");
                    failed = Some(error);
                }
            }
        }
        if let (Some(error), 0) = (failed, totals.equal + totals.different) {
            return Err(error);
        }
        println!("{} equal, {} different", totals.equal, totals.different);
        Ok(totals)
    }
}

/// The commands of a seed.
fn commands(seed: u64, kernel: KernelVersion, number: usize) -> Vec<String> {
    let (mut random, mut model) = (Random::new(seed), Model::default());
    let raw = Raw::new(kernel);
    let mut all = vec![match random.one_in(2) {
        true => scripts::devices(&mut model, &mut random),
        false => lines::new_device(&mut model, &mut random),
    }];
    if random.one_in(2) {
        all.extend(lines::with_functions(&mut model));
    }
    while all.len() < number {
        if random.one_in(24) {
            all.push(scripts::line(&mut model, &mut random));
            continue;
        }
        let line = match random.one_in(3) {
            true => raw.line(&model, &mut random),
            false => lines::line(&mut model, &mut random),
        };
        all.push(match random.one_in(8) {
            true => lines::heard(&line),
            false => line,
        });
    }
    all
}

/// A kernel, in QEMU and here.
struct Sides<'a> {
    oracle: &'a Oracle,
    masks: &'a Masks,
    kernel: Kernel,
    guest: Guest,
}

impl Sides<'_> {
    /// Plays the list of a seed and says what differs.
    fn list(&self, seed: u64, totals: &mut Totals) -> Result<(), Error> {
        let version = &self.kernel.version;
        let commands = match &self.oracle.list {
            Some(file) => fs::read_to_string(file)?
                .lines()
                .map(String::from)
                .collect(),
            None => {
                let version: KernelVersion = version.parse()?;
                commands(seed, version, self.oracle.commands)
            }
        };
        println!("kernel {version}: seed {seed}, {} commands", commands.len());
        let (transcript, verdicts) = self.play(&commands)?;
        let kept = self.oracle.out.join(version).join(format!("{seed}.jsonl"));
        write(&kept, &transcript.steps)?;
        let different: Vec<&Verdict> = verdicts.iter().filter(|it| !it.is_equal()).collect();
        totals.equal += verdicts.len() - different.len();
        totals.different += different.len();
        totals.unexplained += different.len();
        for verdict in &different {
            println!(
                "{version} seed {seed}, step {}: {}",
                verdict.what, verdict.command
            );
            print!("{}", verdict.difference);
        }
        let Some(first) = different.first() else {
            return Ok(());
        };
        let last: usize = first.what.parse()?;
        let mut last_transcript = None;
        let shortest = shrink::shrink(commands[..last].to_vec(), self.oracle.tries, |commands| {
            let Ok((transcript, verdicts)) = self.play(commands) else {
                return false;
            };
            let differs = verdicts.len() == commands.len()
                && verdicts.last().is_some_and(|it| !it.is_equal());
            if differs {
                last_transcript = Some(transcript);
            }
            differs
        });
        if let Some(transcript) = last_transcript {
            let kept = kept.with_extension("short.jsonl");
            write(&kept, &transcript.steps)?;
            println!(
                "the first of these with {} commands ({}):",
                shortest.len(),
                kept.display()
            );
            print!("{}", fs::read_to_string(kept)?);
        }
        Ok(())
    }

    /// Plays commands on both sides at once. The transcript is the real kernel's, as far as it came.
    fn play(&self, commands: &[String]) -> Result<(Transcript, Vec<Verdict>), Error> {
        let work = self.oracle.out.join(&self.kernel.version).join("work");
        let list = work.join("transcript.jsonl");
        let mut transcript = Transcript {
            device: None,
            name: "oracle".into(),
            path: list.clone(),
            steps: steps(commands),
        };
        write(&list, &transcript.steps)?;
        let real = work.join("real");
        if real.exists() {
            fs::remove_dir_all(&real)?;
        }
        fs::create_dir_all(&real)?;
        let helpers = self.oracle.data.join("guest");
        for entry in fs::read_dir(&helpers)? {
            let entry = entry?;
            fs::copy(entry.path(), real.join(entry.file_name()))?;
        }
        fs::copy(&list, real.join("transcript.jsonl"))?;
        let patience = Duration::from_secs(60 + 4 * commands.len() as u64);
        let (client, userlink) = (&self.guest.client, &self.oracle.userlink);
        let plan = Plan::new(userlink, client, &self.kernel, &transcript, &helpers, &work)?;
        let (played, ours) = thread::scope(|scope| {
            let played = scope.spawn(|| self.guest.play(&real, patience));
            let ours = plan.perform();
            (
                played
                    .join()
                    .unwrap_or_else(|_| Err(anyhow!("a thread died"))),
                ours,
            )
        });
        ours?;
        let answers = compare::results(&real.join("played.jsonl"))?;
        if answers.is_empty() {
            let console = fs::read(real.join("console")).unwrap_or_default();
            let console = String::from_utf8_lossy(&console).into_owned();
            let last = console.lines().last().unwrap_or_default();
            bail!("the real kernel played nothing: {last}");
        }
        if let Err(error) = played {
            println!("{error:#}");
        }
        let in_time = |answer: &&Played| answer.rc != Status::Other("timeout".into());
        let answer = |step: &Step| answers.get(&step.n).filter(in_time);
        let unanswered = transcript.steps.iter().position(|it| answer(it).is_none());
        if let Some(at) = unanswered {
            // What was ended half-way leaves something else on both sides.
            let command = &transcript.steps[at].command;
            println!(
                "the real kernel gave no answer in time; compared is what precedes: {command}"
            );
            transcript.steps.truncate(at);
        }
        for step in &mut transcript.steps {
            if let Some(answer) = answers.get(&step.n) {
                step.rc.clone_from(&answer.rc);
                step.stdout.clone_from(&answer.stdout);
                step.stderr.clone_from(&answer.stderr);
            }
        }
        let verdicts =
            compare::compare(&transcript, &[], &BTreeMap::new(), self.masks, &plan.host)?;
        Ok((transcript, verdicts))
    }
}

fn steps(commands: &[String]) -> Vec<Step> {
    let step = |(at, command): (usize, &String)| Step {
        source: None,
        n: at as u32 + 1,
        mode: Mode::Pipe,
        command: command.clone(),
        rc: Status::Code(0),
        stdout: String::new(),
        stderr: String::new(),
        timeout: Some(PATIENCE),
    };
    commands.iter().enumerate().map(step).collect()
}

fn write(path: &Path, steps: &[Step]) -> Result<(), Error> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut text = String::new();
    for step in steps {
        text += &serde_json::to_string(step)?;
        text.push('\n');
    }
    fs::write(path, text).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_always_the_same_list() {
        for kernel in KernelVersion::SUPPORTED {
            let list = commands(7, kernel, 300);
            assert_eq!(list, commands(7, kernel, 300));
            assert_ne!(list, commands(8, kernel, 300));
            assert!(list.iter().any(|line| line.contains("genl.py")));
            // One line is one line, and a filled template has no gaps.
            assert!(list.iter().all(|line| !line.contains(['\n', '{', '}'])));
        }
    }
}
