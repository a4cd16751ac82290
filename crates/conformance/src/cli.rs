//! The command line.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::oracle::Oracle;
use crate::play;
use crate::replay::Replay;
use crate::selftests::Selftests;
use crate::stage::Plan;

#[derive(Debug, Parser)]
#[command(
    name = "conformance",
    max_term_width = 100,
    args_conflicts_with_subcommands = true
)]
struct Cli {
    #[command(flatten)]
    replay: Replay,
    #[command(subcommand)]
    inside: Option<Inside>,
}

#[derive(Debug, Subcommand)]
enum Inside {
    /// Runs the kernel's own selftests inside `userlink run`
    Selftests(Selftests),
    /// Compares with a real kernel in QEMU, over commands made by chance
    Oracle(Oracle),
    /// Builds the stage (in new namespaces)
    #[command(hide = true)]
    Stage(Plan),
    /// Executes the commands (in the stage)
    #[command(hide = true)]
    Play {
        #[arg(long)]
        skip: Vec<u32>,
        transcript: PathBuf,
    },
}

/// Does what the command line says.
pub fn main(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = Cli::parse_from(words);
    let done = match cli.inside {
        Some(Inside::Selftests(selftests)) => selftests.run(),
        Some(Inside::Oracle(oracle)) => oracle.run().map(|totals| totals.unexplained == 0),
        Some(Inside::Stage(plan)) => plan.enter().map(|()| true),
        Some(Inside::Play { skip, transcript }) => play::play(
            &transcript,
            &skip,
            Path::new("/host/wire.pcap"),
            Path::new("/host/played.jsonl"),
        )
        .map(|()| true),
        None => cli.replay.run().map(|totals| totals.unexplained == 0),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("conformance: {error:#}");
            ExitCode::from(2)
        }
    }
}
