//! `peer scenario LOCK SCENARIO`: one of eleven short programs, and what the validator says of it.
//!
//! No scenario deadlocks: the threads run one after the other. The question is what is said about the order that was seen.

use std::thread;

use anyhow::{Result, bail};

use crate::family::{self, Family};

/// Plays the scenario with the locks of a peer and prints `silent`, `panic`, or what was reported.
///
/// # Errors
/// When the lock or the scenario is not known.
pub fn play(lock: &str, scenario: &str) -> Result<()> {
    let verdict = match lock {
        "tracing-std" => verdict::<family::TracingStd>(scenario)?,
        "tracing-parking_lot" => verdict::<family::TracingParkingLot>(scenario)?,
        "no_deadlocks" => verdict::<family::NoDeadlocks>(scenario)?,
        "lockdep" => verdict::<family::Ours>(scenario)?,
        #[cfg(feature = "deadlock_detection")]
        "parking_lot-detecting" => verdict::<family::ParkingLot>(scenario)?,
        #[cfg(feature = "deloxide")]
        "deloxide" => verdict::<family::Deloxide>(scenario)?,
        _ => bail!("no validator is called {lock}"),
    };
    println!("{verdict}");
    Ok(())
}

fn verdict<F: Family>(scenario: &str) -> Result<String> {
    F::start()?;
    let panicked = !run::<F>(scenario)?;
    Ok(match F::found() {
        Some(found) => found,
        None if panicked => "panic".to_owned(),
        None => "silent".to_owned(),
    })
}

/// Runs `work` on a thread of its own, to its end. Says whether it got there without a panic.
fn thread(work: impl FnOnce() + Send) -> bool {
    thread::scope(|scope| scope.spawn(work).join().is_ok())
}

/// Takes `outer`, then `inner`, and releases both.
fn nest<F: Family>(outer: &F::Mutex, inner: &F::Mutex) {
    let _outer = F::lock(outer);
    let _inner = F::lock(inner);
}

/// Whether no thread panicked.
fn run<F: Family>(scenario: &str) -> Result<bool> {
    let [a, b, c, gate] = ["a", "b", "c", "gate"].map(F::mutex);
    let [read_a, read_b] = ["rw a", "rw b"].map(F::rwlock);
    Ok(match scenario {
        "abba" => thread(|| nest::<F>(&a, &b)) & thread(|| nest::<F>(&b, &a)),
        "abba-one-thread" => thread(|| {
            nest::<F>(&a, &b);
            nest::<F>(&b, &a);
        }),
        "three-cycle" => {
            thread(|| nest::<F>(&a, &b))
                & thread(|| nest::<F>(&b, &c))
                & thread(|| nest::<F>(&c, &a))
        }
        "readers" => {
            let read = |outer: &F::RwLock, inner: &F::RwLock| {
                let _outer = F::read(outer);
                let _inner = F::read(inner);
            };
            thread(|| read(&read_a, &read_b)) & thread(|| read(&read_b, &read_a))
        }
        "reader-twice" => thread(|| {
            let _outer = F::read(&read_a);
            let _inner = F::read(&read_a);
        }),
        "try-lock" => {
            thread(|| nest::<F>(&a, &b))
                & thread(|| {
                    let _outer = F::lock(&b);
                    let _inner = F::try_lock(&a);
                })
        }
        "gate" => {
            let gated = |outer: &F::Mutex, inner: &F::Mutex| {
                let _gate = F::lock(&gate);
                nest::<F>(outer, inner);
            };
            thread(|| gated(&a, &b)) & thread(|| gated(&b, &a))
        }
        "instances" => {
            // Two objects of one kind, each with locks of the classes a and b.
            let [other_a, other_b] = ["a", "b"].map(F::mutex);
            thread(|| nest::<F>(&a, &b)) & thread(|| nest::<F>(&other_b, &other_a))
        }
        "hand-over-hand" => {
            thread(|| {
                let first = F::lock(&a);
                let _second = F::lock(&b);
                drop(first);
                let _third = F::lock(&c);
            }) & thread(|| nest::<F>(&c, &a))
        }
        "destroyed-between" => {
            let between = F::mortal("between");
            let learnt = thread(|| {
                let _a = F::lock(&a);
                let _between = F::lock(&between);
                let _c = F::lock(&c);
            });
            drop(between);
            learnt & thread(|| nest::<F>(&c, &a))
        }
        "address-reused" => {
            // The new locks are where the old ones were, and have nothing to do with them.
            let mut pair = Box::new(["old x", "old y"].map(F::mortal));
            let before = thread(|| nest::<F>(&pair[0], &pair[1]));
            *pair = ["new x", "new y"].map(F::mortal);
            before & thread(|| nest::<F>(&pair[1], &pair[0]))
        }
        _ => bail!("no scenario is called so"),
    })
}
