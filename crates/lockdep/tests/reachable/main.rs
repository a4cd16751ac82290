//! Is what the validator says of a program true? Small random programs of locks are run, one thread after the other, so that
//! nothing can deadlock. What is reported is compared with a search of all interleavings of the same program:
//!
//! * where a deadlock can be reached, there is a report, and for each circle of threads that can come about there is a report
//!   about its locks, about some of them, or about them and what its threads take on the way;
//! * where a report is graded *deadlock*, a deadlock can be reached.
//!
//! `LOCKDEP_PROGRAMS=N` tries so many programs, `LOCKDEP_SEED=S` begins with that seed. A failure names the seed and shows
//! the smallest program that still fails.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod explore;
mod program;
mod run;

use std::collections::BTreeMap;
use std::sync::Mutex;

use explore::{Circle, Explorer};
use lockdep::Grade;
use program::{Kind, Op, Program};

/// What became of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// Nothing can happen, and nothing was said.
    Silent,
    /// What can happen was reported.
    Found,
    /// Something was reported that cannot happen in this program; the worst grade that was given, if any.
    Over(Option<Grade>),
    /// A deadlock can be reached and there is no report.
    Miss,
    /// There are reports, but none about one of the circles.
    MissedCircle,
    /// Graded *deadlock*, and there is none.
    Wrong,
}

impl Outcome {
    const fn is_failure(self) -> bool {
        matches!(self, Self::Miss | Self::MissedCircle | Self::Wrong)
    }
}

/// Programs are numbered, and only one runs at a time: reports belong to the one that runs.
static RUNS: Mutex<usize> = Mutex::new(0);

fn run(program: &Program) -> (Vec<(Circle, Option<Grade>)>, Outcome) {
    let reports = {
        let mut runs = RUNS.lock().unwrap();
        *runs += 1;
        run::collect();
        run::reports(program, *runs)
    };
    let reports: Vec<_> = reports
        .iter()
        .map(|report| (run::locks(report), report.grade()))
        .collect();
    let outcome = judge(program, &reports);
    (reports, outcome)
}

fn judge(program: &Program, reports: &[(Circle, Option<Grade>)]) -> Outcome {
    let circles = Explorer::new(program).deadlocks();
    let told = |circle: &Circle| {
        let same = |found: &Circle| found.is_subset(circle) || found.is_superset(circle);
        reports.iter().any(|(found, _)| same(found))
    };
    let worst = reports.iter().filter_map(|&(_, grade)| grade).max();
    match (circles.is_empty(), reports.is_empty()) {
        (true, true) => Outcome::Silent,
        (true, false) if worst >= Some(Grade::Deadlock) => Outcome::Wrong,
        (true, false) => Outcome::Over(worst),
        (false, true) => Outcome::Miss,
        (false, false) if circles.iter().all(told) => Outcome::Found,
        (false, false) => Outcome::MissedCircle,
    }
}

/// The smallest program to be found that fails as this one does.
fn minimise(mut program: Program, outcome: Outcome) -> Program {
    while let Some(smaller) = program
        .smaller()
        .into_iter()
        .find(|smaller| run(smaller).1 == outcome)
    {
        program = smaller;
    }
    program
}

/// Tries `count` programs from `first` on, and says what became of how many.
fn compare(
    first: u64,
    count: u64,
    program_of: impl Fn(u64) -> Program,
) -> BTreeMap<Outcome, usize> {
    let mut outcomes: BTreeMap<Outcome, usize> = BTreeMap::new();
    for seed in first..first + count {
        let program = program_of(seed);
        let (_, outcome) = run(&program);
        *outcomes.entry(outcome).or_default() += 1;
        if outcome.is_failure() {
            let program = minimise(program, outcome);
            let (reports, _) = run(&program);
            let circles = Explorer::new(&program).deadlocks();
            panic!(
                "{outcome:?}, seed {seed}, locks {:?}\n{program}deadlocks {circles:?}\nreports {reports:?}",
                program.locks
            );
        }
    }
    println!("seeds {first} to {}: {outcomes:?}", first + count - 1);
    outcomes
}

fn from_environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

#[test]
fn verdicts_are_those_of_a_search_of_all_interleavings() {
    let first = from_environment("LOCKDEP_SEED", 1);
    let count = from_environment("LOCKDEP_PROGRAMS", 1_500);
    let outcomes = compare(first, count, Program::random);
    if count >= 1_000 {
        for seen in [
            Outcome::Silent,
            Outcome::Found,
            Outcome::Over(Some(Grade::SingleThread)),
        ] {
            assert!(outcomes[&seen] >= 10, "the programs are not very different");
        }
    }
}

/// Programs whose circle was once told only through another one.
#[test]
fn verdicts_of_the_programs_that_were_once_missed() {
    for seed in [
        4019, 5673, 6088, 10_818, 17_892, 18_211, 19_011, 19_072, 32_821,
    ] {
        compare(seed, 1, Program::random);
    }
}

#[test]
fn verdicts_about_upgradable_readers_are_too() {
    let first = from_environment("LOCKDEP_SEED", 1);
    let count = from_environment("LOCKDEP_PROGRAMS", 1_500) / 3;
    compare(first, count, Program::random_upgradable);
}

/// Who holds a lock in two modes gives up either one first.
#[test]
fn the_hold_that_ends_is_the_one_that_was_meant() {
    compare(23_624, 1, Program::random_upgradable);
    let outcome = |first: &str| {
        let threads = [first, "B uA -A -B"];
        let mut program = Program::parse(&[Kind::Recursive; 2], &threads);
        // The older hold of A, where `parse` has the newest.
        let older = program.threads[0].iter_mut().find_map(|op| match op {
            Op::Release { id } => Some(id),
            Op::Acquire { .. } => None,
        });
        *older.unwrap() = 0;
        let Some(Op::Release { id }) = program.threads[0].last_mut() else {
            panic!("every acquisition is released");
        };
        *id = 1;
        run(&program).1
    };
    assert_eq!(outcome("RA uA -A B -B -A"), Outcome::Found);
    let single = Outcome::Over(Some(Grade::SingleThread));
    assert_eq!(outcome("uA RA -A B -B -A"), single);
}

/// Who wants to be able to become a writer waits for who is: no writer is needed.
#[test]
fn upgradable_readers_are_a_deadlock_by_themselves() {
    let grade = |threads: &[&str]| {
        let (reports, outcome) = run(&Program::parse(&[Kind::Recursive; 3], threads));
        assert!(!outcome.is_failure(), "{outcome:?}, {reports:?}");
        reports.iter().filter_map(|&(_, grade)| grade).max()
    };
    let deadlock = Some(Grade::Deadlock);
    assert_eq!(grade(&["uA uB -B -A", "uB uA -A -B"]), deadlock);
    let mixed = ["uA uB -B -A", "uB rA -A -B"];
    assert_eq!(grade(&mixed), Some(Grade::SingleThread), "no writer");
    let gated = ["uC uA uB -B -A -C", "uC uB uA -A -B -C"];
    assert_eq!(grade(&gated), Some(Grade::Gated), "one at a time");
    assert_eq!(grade(&["uA uA -A -A"]), Some(Grade::Certain), "itself");
}

/// Who reads twice waits for himself only behind a writer.
#[test]
fn reading_twice_is_a_deadlock_only_with_a_writer() {
    let grade = |threads: &[&str]| {
        let (reports, outcome) = run(&Program::parse(&[Kind::RwLock; 3], threads));
        assert!(!outcome.is_failure(), "{outcome:?}, {reports:?}");
        reports.iter().filter_map(|&(_, grade)| grade).max()
    };
    assert_eq!(grade(&["rA rA -A -A"]), Some(Grade::SingleThread));
    assert_eq!(grade(&["rA rA -A -A", "A -A"]), Some(Grade::Deadlock));
    assert_eq!(grade(&["A -A", "rA rA -A -A"]), Some(Grade::Deadlock));
    let gated = ["B rA rA -A -A -B", "B A -A -B"];
    assert_eq!(grade(&gated), Some(Grade::Gated));
    assert_eq!(grade(&["A A -A -A"]), Some(Grade::Certain));
}

/// A -> C and C -> A are a circle, so searches do not follow the second. B -> A must not be left to it.
#[test]
fn a_reported_dependency_hides_no_other_one() {
    let threads = ["A C -C B -B -A", "B D C A -A -C -D -B"];
    let (reports, outcome) = run(&Program::parse(&[Kind::Mutex; 4], &threads));
    assert_eq!(outcome, Outcome::Found, "{reports:?}");
}

/// B -> A and A -> B are a circle, so searches do not follow the second one from B. B -> D must not be left to A -> D.
#[test]
fn a_reported_dependency_among_those_held_hides_no_other_one() {
    let threads = ["rA B -B D -A B -B -D", "B rA rD -D -A -B"];
    let kinds = [Kind::RwLock, Kind::Mutex, Kind::Mutex, Kind::RwLock];
    let (reports, outcome) = run(&Program::parse(&kinds, &threads));
    assert_eq!(outcome, Outcome::Found, "{reports:?}");
}

/// But what follows from a circle that was reported is not reported as one of its own.
#[test]
fn what_follows_from_a_circle_is_not_reported_again() {
    let threads = ["A B C D -D -C -B -A", "D A B C -C -B -A -D"];
    let (reports, outcome) = run(&Program::parse(&[Kind::Mutex; 4], &threads));
    assert_eq!((reports.len(), outcome), (1, Outcome::Found), "{reports:?}");
}

/// Who reads waits for who reads only behind a writer, and that writer must be a thread of its own.
#[test]
fn readers_are_a_deadlock_only_with_writers_between_them() {
    let grade = |threads: &[&str]| {
        let (reports, outcome) = run(&Program::parse(&[Kind::RwLock; 3], threads));
        assert!(!outcome.is_failure(), "{outcome:?}, {reports:?}");
        reports.iter().filter_map(|&(_, grade)| grade).max()
    };
    let single = Some(Grade::SingleThread);
    assert_eq!(grade(&["rB C -C -B", "C rB -B -C"]), single, "no writer");
    let own = ["B -B rB C -C -B", "C rB -B -C"];
    assert_eq!(grade(&own), single, "the writer is one of the two");
    let gated = ["rB C -C -B", "A C rB -B -C -A", "A B -B -A"];
    assert_eq!(grade(&gated), Some(Grade::Gated), "nor can it wait there");
    let real = ["rB C -C -B", "C rB -B -C", "B -B"];
    assert_eq!(grade(&real), Some(Grade::Deadlock));
}
