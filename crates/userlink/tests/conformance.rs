//! A bounded part of `./x conformance`: the transcripts that take no time, for every kernel whose client is installed.
//!
//! A difference that `docs/conformance.md` does not explain fails.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use conformance::cli;
use conformance::replay::Replay;

/// Transcripts without waiting in them.
const QUICK: [&str; 6] = [
    "02-param",
    "05-resource",
    "06-region",
    "09-rate",
    "13-pcap",
    "mlx5",
];

/// The clients that `./x` has got from Debian, beside the machine's own.
fn clients(out: &Path) -> Vec<String> {
    let got = out.ancestors().nth(2).map(|target| target.join("debian"));
    let versions = ["6.1.0", "7.2.0"].into_iter().filter_map(|version| {
        let folder = got.as_ref()?.join(format!("iproute2-{version}"));
        let there = folder.join("devlink").exists();
        there.then(|| format!("{version}={}", folder.display()))
    });
    versions.collect()
}

fn main() -> ExitCode {
    // The stage starts this program again, with words of its own.
    let words: Vec<_> = std::env::args_os().collect();
    if words
        .get(1)
        .is_some_and(|word| word == "stage" || word == "play")
    {
        return cli::main(words);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("conformance");
    let replay = Replay {
        userlink: env!("CARGO_BIN_EXE_userlink").into(),
        clients: clients(&out),
        data: root.join("conformance"),
        known: root.join("docs/conformance.md"),
        out,
        kernel: None,
        jobs: 2,
        full: false,
        plugged: false,
        objects: QUICK.map(String::from).into(),
    };
    if let Some(reason) = conformance::stage::refused() {
        eprintln!("skipped: conformance: {reason}");
        println!("test result: ok. 1 passed; 0 failed; 0 ignored");
        return ExitCode::SUCCESS;
    }
    match replay.run() {
        Ok(totals) => {
            let explained = totals.different - totals.unexplained;
            let verdict = if totals.unexplained == 0 {
                "ok"
            } else {
                "FAILED"
            };
            println!(
                "test result: {verdict}. {} passed; {} failed; {explained} ignored",
                totals.equal, totals.unexplained
            );
            ExitCode::from(u8::from(totals.unexplained > 0))
        }
        Err(error) => {
            println!("{error:#}\ntest result: FAILED. 0 passed; 1 failed; 0 ignored");
            ExitCode::FAILURE
        }
    }
}
