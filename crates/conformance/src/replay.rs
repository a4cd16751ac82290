//! Plays transcripts, compares, and says what differs.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Error, anyhow, bail};
use clap::Args;

use crate::client;
use crate::compare::{self, Totals, Verdict};
use crate::golden::{Data, Kernel, Transcript};
use crate::known::Known;
use crate::masks::Masks;
use crate::stage::Plan;
use crate::wire::{self, Datagram};

/// The differences that are shown of one thing, in lines.
const SHOWN: usize = 24;

/// Replays what real kernels answered, inside `userlink run`, and compares.
#[derive(Clone, Debug, Args)]
pub struct Replay {
    /// The userlink command to try
    #[arg(long, value_name = "FILE", default_value = "target/release/userlink")]
    pub userlink: PathBuf,

    /// Where the programs of a version of iproute2 are, as VERSION=FOLDER; without it, those in the path if they are of that version
    #[arg(long = "client", value_name = "VERSION=FOLDER")]
    pub clients: Vec<String>,

    /// The folder with the transcripts and the masks
    #[arg(long, value_name = "FOLDER", default_value = "conformance")]
    pub data: PathBuf,

    /// The document that explains what differs
    #[arg(long, value_name = "FILE", default_value = "docs/conformance.md")]
    pub known: PathBuf,

    /// Where results are put
    #[arg(long, value_name = "FOLDER", default_value = "target/conformance")]
    pub out: PathBuf,

    /// Only this kernel's transcripts
    #[arg(long, value_name = "VERSION")]
    pub kernel: Option<String>,

    /// Transcripts that are played at once
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub jobs: usize,

    /// Show differences in full
    #[arg(long)]
    pub full: bool,

    /// Plug the first device in with --device instead of through sysfs
    #[arg(long, hide = true)]
    pub plugged: bool,

    /// Objects: transcripts whose name contains one of these words [default: all]
    #[arg(value_name = "OBJECT")]
    pub objects: Vec<String>,
}

/// A transcript that is to be played.
struct Job {
    kernel: Kernel,
    client: PathBuf,
    transcript: Transcript,
}

impl Replay {
    /// Plays and compares, and prints what there is to say.
    ///
    /// # Errors
    /// What is needed is missing. Differences are no error.
    pub fn run(&self) -> Result<Totals, Error> {
        let data = Data(self.data.clone());
        let masks = Masks::read(&self.data.join("masks.toml"))?;
        let known = Known::read(&self.known)?;
        let (jobs, recorded) = self.jobs(&data)?;
        if jobs.is_empty() {
            bail!("there is no such transcript, or no client to play it with");
        }
        let (next, results) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
        let work = || {
            while let Some((at, job)) = {
                let at = next.fetch_add(1, Ordering::Relaxed);
                jobs.get(at).map(|job| (at, job))
            } {
                let verdicts = self.one(job, &recorded[&job.kernel.version], &masks);
                let mut text = String::new();
                let verdicts = verdicts.unwrap_or_else(|error| {
                    text = format!(
                        "{} {}: {error:#}\n",
                        job.kernel.version, job.transcript.name
                    );
                    Vec::new()
                });
                let totals = self.describe(job, &verdicts, &known, &mut text);
                print!("{text}");
                if let Ok(mut results) = results.lock() {
                    results.insert(at, totals);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                scope.spawn(work);
            }
        });
        let results = results.into_inner().map_err(|_| anyhow!("a thread died"))?;
        Ok(summary(&jobs, &results))
    }

    /// What to play, with the recorded conversations by kernel.
    #[expect(clippy::type_complexity, reason = "two things that are found together")]
    fn jobs(
        &self,
        data: &Data,
    ) -> Result<(Vec<Job>, BTreeMap<String, BTreeMap<String, Vec<Datagram>>>), Error> {
        let (mut jobs, mut recorded) = (Vec::new(), BTreeMap::new());
        for kernel in data.kernels()? {
            if self.kernel.as_ref().is_some_and(|it| *it != kernel.version) {
                continue;
            }
            let client = match self.client(&kernel.client) {
                Ok(client) => client,
                Err(error) => {
                    println!("skipped: kernel {}: {error:#}", kernel.version);
                    continue;
                }
            };
            let text = match &kernel.wire {
                Some(file) => fs::read_to_string(data.0.join("golden").join(file))?,
                None => String::new(),
            };
            recorded.insert(kernel.version.clone(), wire::recorded(&text)?);
            for transcript in data.transcripts(&kernel)? {
                let wanted = |word: &String| transcript.name.contains(word.as_str());
                if self.objects.is_empty() || self.objects.iter().any(wanted) {
                    jobs.push(Job {
                        kernel: kernel.clone(),
                        client: client.clone(),
                        transcript,
                    });
                }
            }
        }
        Ok((jobs, recorded))
    }

    fn client(&self, version: &str) -> Result<PathBuf, Error> {
        client::find(&self.clients, version, &self.out)
    }

    fn one(
        &self,
        job: &Job,
        recorded: &BTreeMap<String, Vec<Datagram>>,
        masks: &Masks,
    ) -> Result<Vec<Verdict>, Error> {
        let Job {
            kernel,
            client,
            transcript,
        } = job;
        let work = self.out.join(&kernel.version).join(&transcript.name);
        fs::create_dir_all(&work)?;
        let guest = self.data.join("guest");
        let mut plan = Plan::new(&self.userlink, client, kernel, transcript, &guest, &work)?;
        plan.device.clone_from(&transcript.device);
        if let (true, Some(step)) = (self.plugged, transcript.steps.get(1)) {
            if step.command == "echo \"10 4\" > /sys/bus/netdevsim/new_device" {
                plan.device = Some("netdevsim@10,ports=4".into());
                plan.skip.push(step.n);
            }
        }
        let status = plan.perform()?;
        if !status.success() && !plan.host.join("played.jsonl").exists() {
            let log = fs::read_to_string(plan.host.join("log")).unwrap_or_default();
            bail!("the stage could not be played: {}", log.trim());
        }
        compare::compare(transcript, &plan.skip, recorded, masks, &plan.host)
    }

    /// Describes the differences of a transcript.
    fn describe(&self, job: &Job, verdicts: &[Verdict], known: &Known, out: &mut String) -> Totals {
        let mut totals = Totals::default();
        let (kernel, name) = (&job.kernel.version, &job.transcript.name);
        for verdict in verdicts {
            if verdict.is_equal() {
                totals.equal += 1;
                continue;
            }
            totals.different += 1;
            let explained = known.explains(kernel, name, &verdict.what);
            totals.unexplained += usize::from(!explained);
            *out += &format!(
                "{kernel} {name} {}{}: {}\n",
                verdict.what,
                if explained { " (explained)" } else { "" },
                verdict.command
            );
            if explained && !self.full {
                continue;
            }
            let shown = if self.full { usize::MAX } else { SHOWN };
            let lines: Vec<&str> = verdict.difference.lines().collect();
            for line in lines.iter().take(shown) {
                let cut = if self.full { line.len() } else { 400 };
                *out += &format!("{}\n", line.chars().take(cut).collect::<String>());
            }
            if lines.len() > shown {
                *out += &format!("    … {} more lines\n", lines.len() - shown);
            }
        }
        totals
    }
}

/// The table, and the last line.
fn summary(jobs: &[Job], results: &BTreeMap<usize, Totals>) -> Totals {
    let mut sum = Totals::default();
    let mut rows: BTreeMap<&str, BTreeMap<&str, Totals>> = BTreeMap::new();
    let mut kernels: Vec<&str> = Vec::new();
    for (at, totals) in results {
        let kernel = jobs[*at].kernel.version.as_str();
        if !kernels.contains(&kernel) {
            kernels.push(kernel);
        }
        rows.entry(&jobs[*at].transcript.name)
            .or_default()
            .insert(kernel, *totals);
        sum.equal += totals.equal;
        sum.different += totals.different;
        sum.unexplained += totals.unexplained;
    }
    print!("\n{:28}", "equal/total");
    kernels.iter().for_each(|kernel| print!("{kernel:>12}"));
    println!();
    for (name, row) in rows {
        print!("{name:28}");
        for kernel in &kernels {
            let cell = row.get(kernel).map_or_else(String::new, |it| {
                format!("{}/{}", it.equal, it.equal + it.different)
            });
            print!("{cell:>12}");
        }
        println!();
    }
    println!("{} equal, {} different", sum.equal, sum.different);
    sum
}
