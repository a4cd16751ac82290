//! Feeds devlink bad input: `./x fuzz`.
//!
//! Three targets. *Datagrams* are the requests of real clients, cut, stretched, spliced and sprinkled with random bytes.
//! *Attributes* are requests for every command with attributes of every number that its policy knows, of right and wrong
//! lengths and values. *Encoder* writes what it likes into a buffer of any size and reads it back. The first two go to a whole
//! machine: generic netlink, devlink and two simulated devices, on each kernel that can be shown.
//!
//! Nothing may panic; every answer must be a row of whole messages; an answer follows every request that can have one; and in
//! the end there is no lock report, no broken rule and no device that cannot be removed.
//!
//! Chance comes from a seed and nothing else, so a failure happens again: it is printed with its seed and its input, and kept in
//! a file. It guides itself by no coverage, which is why the corpus (`corpus/datagrams.hex`) has a request of every kind. The same
//! targets, guided by coverage, are for `cargo fuzz` in the folder `fuzz/` of the repository.

use std::fs;
use std::path::PathBuf;
use std::sync::PoisonError;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Parser;
use netlink::KernelVersion;

use fuzz::machine::Host;
use fuzz::random::Random;
use fuzz::{TRYING, encoder, hex, mutate, requests};

/// Feeds devlink bad input
#[derive(Debug, Parser)]
struct Arguments {
    /// Executions of all targets together
    #[arg(long, default_value_t = 1_000_000)]
    runs: u64,
    /// Where chance begins
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The folder with the requests of real clients
    #[arg(long, default_value = "crates/fuzz/corpus")]
    corpus: PathBuf,
    /// Only write the requests of real clients into this folder, a file each, for `cargo fuzz` to begin with
    #[arg(long)]
    seeds: Option<PathBuf>,
    /// Where the input of a failure is put
    #[arg(long, default_value = "target/fuzz")]
    out: PathBuf,
}

const KERNELS: [KernelVersion; 3] = [
    KernelVersion::V6_1,
    KernelVersion::V6_12,
    KernelVersion::V7_2,
];

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let corpus = read_corpus(&arguments.corpus.join("datagrams.hex"))?;
    if let Some(seeds) = &arguments.seeds {
        fs::create_dir_all(seeds)?;
        for (number, request) in corpus.iter().enumerate() {
            fs::write(seeds.join(format!("request-{number}")), request)?;
        }
        return Ok(());
    }
    keep_what_panics(arguments.out.clone(), arguments.seed);

    let share = arguments.runs / 5;
    let mut done = 0;
    for (number, kernel) in KERNELS.into_iter().enumerate() {
        let mut random = Random::new(arguments.seed + number as u64);
        done += run(
            "datagrams",
            kernel,
            share * 2 / 3,
            || Host::new(kernel),
            |host| host.exchange(&mutate::datagram(&mut random, &corpus)),
        )?;
        let mut random = Random::new(arguments.seed + 100 + number as u64);
        done += run(
            "attributes",
            kernel,
            share * 2 / 3,
            || Host::new(kernel),
            |host| host.exchange(&requests::request(&mut random, kernel)),
        )?;
    }
    let mut random = Random::new(arguments.seed + 200);
    let rest = arguments.runs.saturating_sub(done);
    done += run(
        "encoder",
        KernelVersion::DEFAULT,
        rest,
        || Ok(()),
        |()| encoder::round_trip(&mut random),
    )?;
    println!("{done} executions clean");
    Ok(())
}

/// Tries a target so many times on one machine, which is taken apart afterwards.
fn run<T: Target>(
    name: &str,
    kernel: KernelVersion,
    runs: u64,
    make: impl FnOnce() -> Result<T>,
    mut once: impl FnMut(&T) -> Result<usize>,
) -> Result<u64> {
    let begun = Instant::now();
    let target = make()?;
    let mut answers = 0;
    for execution in 0..runs {
        answers += once(&target).with_context(|| {
            let input = hex(&TRYING.lock().unwrap_or_else(PoisonError::into_inner));
            format!("{name} {kernel}, execution {execution}: {input}")
        })?;
    }
    target.check()?;
    let seconds = begun.elapsed().as_secs_f64();
    println!("{name} {kernel}: {runs} executions, {answers} answers, {seconds:.1} s");
    Ok(runs)
}

/// What is tried.
trait Target {
    /// That all is well after all executions.
    fn check(self) -> Result<()>;
}

impl Target for () {
    fn check(self) -> Result<()> {
        Ok(())
    }
}

impl Target for Host {
    fn check(self) -> Result<()> {
        Host::check(self)
    }
}

fn keep_what_panics(out: PathBuf, seed: u64) {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        usual(panic);
        // Who panics may hold it.
        let Ok(input) = TRYING.try_lock() else {
            return;
        };
        let file = out.join(format!("seed-{seed}.hex"));
        let kept = fs::create_dir_all(&out).and_then(|()| fs::write(&file, hex(&input)));
        eprintln!("seed {seed}, input {}", hex(&input));
        if kept.is_ok() {
            eprintln!("kept in {}", file.display());
        }
    }));
}

/// Lines of hexadecimal digits; `#` begins a remark.
fn read_corpus(file: &PathBuf) -> Result<Vec<Vec<u8>>> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let line = |line: &str| -> Result<Vec<u8>> {
        let digit = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
        let bytes = line.as_bytes().chunks(2).map(|pair| match *pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        });
        let bytes: Option<_> = bytes.collect();
        bytes.with_context(|| format!("{}: not hexadecimal: {line}", file.display()))
    };
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let corpus: Vec<_> = lines.map(line).collect::<Result<_>>()?;
    if corpus.is_empty() {
        bail!("{}: nothing in it", file.display());
    }
    Ok(corpus)
}
