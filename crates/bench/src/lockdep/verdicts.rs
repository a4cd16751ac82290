//! What lockdep and its peers say of eleven short programs: `docs/lockdep-peers.md` is what this module prints.
//!
//! Each validator plays each scenario in a process of its own. Nothing in the table is written by hand but the right
//! answers, which the scenarios have by themselves.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};

/// Where the table goes, from the top of the repository.
const DOCUMENT: &str = "docs/lockdep-peers.md";

/// What a validator should do.
#[derive(Clone, Copy, PartialEq)]
enum Right {
    Report,
    Silence,
    /// Report if a reader waits behind a waiting writer, silence if readers recurse.
    ByReaders,
}

/// A scenario: what `peer scenario` calls it, what happens in it, the right answer, what a validator that grades its
/// reports should call it, and why that is right.
struct Scenario {
    id: &'static str,
    what: &'static str,
    right: Right,
    grade: Option<&'static str>,
    answer: &'static str,
}

const fn scenario(
    id: &'static str,
    what: &'static str,
    right: Right,
    grade: Option<&'static str>,
    answer: &'static str,
) -> Scenario {
    Scenario {
        id,
        what,
        right,
        grade,
        answer,
    }
}

const SCENARIOS: [Scenario; 11] = [
    scenario(
        "abba",
        "A, B against B, A, by two threads",
        Right::Report,
        Some("deadlock"),
        "report",
    ),
    scenario(
        "abba-one-thread",
        "A, B and then B, A, by one thread",
        Right::Report,
        Some("single-thread"),
        "report, low: a single thread",
    ),
    scenario(
        "three-cycle",
        "A, B; B, C; C, A, by three threads",
        Right::Report,
        Some("deadlock"),
        "report",
    ),
    scenario(
        "readers",
        "two reader-writer locks read in both orders",
        Right::ByReaders,
        // Low: nobody in the scenario writes, so nobody waits yet.
        Some("single-thread"),
        "report if a reader waits behind a waiting writer; low, as none was seen",
    ),
    scenario(
        "reader-twice",
        "one reader-writer lock read twice by one thread",
        Right::ByReaders,
        Some("single-thread"),
        "report if a reader waits behind a waiting writer; low, as none was seen",
    ),
    scenario(
        "try-lock",
        "A, B against B, try A",
        Right::Silence,
        None,
        "silent: a try-lock does not wait",
    ),
    scenario(
        "gate",
        "A, B against B, A, both under G",
        Right::Report,
        Some("gated"),
        "report, low: gated by G",
    ),
    scenario(
        "instances",
        "A, B of one object against B, A of another of its kind",
        Right::Report,
        Some("deadlock"),
        "report: the classes are inverted",
    ),
    scenario(
        "hand-over-hand",
        "A, B, release A, C against C, A",
        Right::Report,
        Some("single-thread"),
        "report, low: A-B and B-C are of one thread",
    ),
    scenario(
        "destroyed-between",
        "A, M, C; M destroyed; C, A",
        Right::Report,
        Some("deadlock"),
        "report: A before C was seen",
    ),
    scenario(
        "address-reused",
        "X, Y; both destroyed; two others made in their place, taken in reverse",
        Right::Silence,
        None,
        "silent: other locks",
    ),
];

/// How a validator is run and understood.
enum Way {
    /// `peer scenario ID`, which prints the verdict itself.
    Peer(&'static str),
    /// A program of `peers/c`, behind `before`; it said something if `sign` is in what it printed.
    C {
        before: &'static [&'static str],
        program: &'static str,
        sign: &'static str,
    },
}

/// A validator, and whether the readers of its locks recurse.
struct Validator {
    name: &'static str,
    way: Way,
    recursive_readers: bool,
}

const fn peer(name: &'static str, id: &'static str) -> Validator {
    Validator {
        name,
        way: Way::Peer(id),
        recursive_readers: false,
    }
}

const VALIDATORS: [Validator; 10] = [
    peer("lockdep", "lockdep"),
    peer("tracing-mutex stdsync", "tracing-std"),
    peer("tracing-mutex parkinglot", "tracing-parking_lot"),
    peer("deloxide, order graph", "deloxide"),
    peer("parking_lot deadlock_detection", "parking_lot-detecting"),
    peer("no_deadlocks", "no_deadlocks"),
    Validator {
        name: "absl::Mutex",
        way: Way::C {
            before: &[],
            program: "scenarios-absl",
            sign: "otential Mutex deadlock",
        },
        recursive_readers: false,
    },
    Validator {
        name: "TSan",
        way: Way::C {
            before: &[],
            program: "scenarios-tsan",
            sign: "lock-order-inversion",
        },
        recursive_readers: true,
    },
    Validator {
        name: "Helgrind",
        way: Way::C {
            before: &["valgrind", "--tool=helgrind", "--error-exitcode=66"],
            program: "scenarios",
            sign: "lock order \"",
        },
        recursive_readers: true,
    },
    Validator {
        name: "DRD",
        way: Way::C {
            before: &["valgrind", "--tool=drd", "--error-exitcode=66"],
            program: "scenarios",
            sign: "Thread ",
        },
        recursive_readers: true,
    },
];

const SILENT: &str = "silent";

impl Validator {
    /// What it says of the scenario.
    fn verdict(&self, programs: &Path, scenario: &Scenario) -> Result<String> {
        match &self.way {
            Way::Peer(id) => {
                let mut command = Command::new(programs.join(super::peer::program(id)));
                let output = run(command.args(["scenario", id, scenario.id]))?;
                let said = String::from_utf8_lossy(&output.stdout);
                // deloxide begins with a picture of its name.
                let said = said.trim().lines().last().unwrap_or_default().to_owned();
                ensure!(
                    output.status.success() && !said.is_empty(),
                    "{}, {}: {}\n{}",
                    self.name,
                    scenario.id,
                    output.status,
                    String::from_utf8_lossy(&output.stderr)
                );
                Ok(said)
            }
            Way::C {
                before,
                program,
                sign,
            } => {
                let (tool, arguments) = before.split_first().unzip();
                let program = programs.join(program);
                let mut command = match (tool, arguments) {
                    (Some(tool), Some(arguments)) => {
                        let mut command = Command::new(tool);
                        command.args(arguments).arg(program);
                        command
                    }
                    _ => Command::new(program),
                };
                let output = run(command.arg(scenario.id))?;
                let said = String::from_utf8_lossy(&output.stderr);
                // 66 is the exit status of a finding.
                ensure!(
                    matches!(output.status.code(), Some(0 | 66)),
                    "{}, {}: {}\n{said}",
                    self.name,
                    scenario.id,
                    output.status
                );
                Ok(if said.contains(sign) {
                    "report"
                } else {
                    SILENT
                }
                .to_owned())
            }
        }
    }

    /// Whether it grades what it reports.
    fn grades(&self) -> bool {
        matches!(self.way, Way::Peer("lockdep"))
    }

    /// Whether the verdict is a report where it should be, of the right grade if it has one, and silence elsewhere.
    fn is_right(&self, scenario: &Scenario, verdict: &str) -> bool {
        let should_report = match scenario.right {
            Right::Report => true,
            Right::Silence => false,
            Right::ByReaders => !self.recursive_readers,
        };
        let graded = scenario.grade.filter(|_| self.grades());
        should_report == (verdict != SILENT) && graded.is_none_or(|grade| verdict.contains(grade))
    }
}

fn run(command: &mut Command) -> Result<Output> {
    command
        .output()
        .with_context(|| format!("{command:?} (`./x bench lockdep-peers` builds it)"))
}

/// Plays everything, and writes and prints the table.
pub(crate) fn write(programs: &Path) -> Result<()> {
    let document = document(programs)?;
    if let Some(folder) = Path::new(DOCUMENT).parent() {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    std::fs::write(DOCUMENT, &document).context(DOCUMENT)?;
    println!("{document}\nwritten to {DOCUMENT}");
    Ok(())
}

fn document(programs: &Path) -> Result<String> {
    let mut text = String::from(
        "# lockdep beside its peers: what each says\n\n\
         <!-- Written by `./x bench lockdep-peers`, which plays the scenarios (peers/src/scenario.rs, peers/c/scenarios.cc). -->\n\n\
         In none of these programs does anything deadlock: the threads run one after the other. The question is what a validator\n\
         says of the order that it saw. A verdict is ~~struck out~~ where it is silence about what can deadlock, noise about what\n\
         cannot, or of the wrong grade. lockdep alone grades its reports (`deadlock`, `gated`, `single-thread`, `ordered`) and\n\
         says whether the same locks were seen to meet (`confirmed`) or others of their classes; the peers are not held to it.\n\
         The locks of std, parking_lot and absl let a reader wait behind a waiting writer; those of pthreads, as TSan, Helgrind\n\
         and DRD see them here, do not, so that the right answers about readers differ. parking_lot's `deadlock_detection` and\n\
         no_deadlocks look for deadlocks that have happened, and DRD does not look at order: they are silent by design. What\n\
         each costs is measured by `./x bench lockdep`.\n\n| scenario | right answer |",
    );
    for validator in &VALIDATORS {
        write!(text, " {} |", validator.name)?;
    }
    writeln!(text, "\n{}", "|---".repeat(2 + VALIDATORS.len()) + "|")?;
    let mut right = [0; VALIDATORS.len()];
    for scenario in &SCENARIOS {
        write!(text, "| {} | {} |", scenario.what, scenario.answer)?;
        for (validator, right) in VALIDATORS.iter().zip(&mut right) {
            let verdict = validator.verdict(programs, scenario)?;
            if validator.is_right(scenario, &verdict) {
                *right += 1;
                write!(text, " {verdict} |")?;
            } else {
                write!(text, " ~~{verdict}~~ |")?;
            }
        }
        text.push('\n');
    }
    write!(text, "| as it should be | |")?;
    for right in right {
        write!(text, " {right} of {} |", SCENARIOS.len())?;
    }
    text.push('\n');
    Ok(text)
}
