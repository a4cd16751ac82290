//! Anybody does anything, in any state of any device: eight threads send every command of devlink with good and bad
//! attributes, write to the files of sysfs and debugfs, make, move, reload, unbind and remove devices, and load and unload
//! modules, all at random, on each kernel that the machine can show, and something goes wrong with the adapter now and then.
//! Half of the commands are for what there is at that moment. Nothing panics or hangs; at the end every command has been carried
//! out and every one has been refused, nothing has been reported, nothing is left, and the observed lock order is the declared one.
//!
//! Each thread's choices come from the seed alone, which is printed; what becomes of them is up to the others.
//! `USERLINK_STATE_MACHINE_SEED` sets the seed, and `USERLINK_STATE_MACHINE_SECONDS` for how long it goes on.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

#[path = "state_machine/actor.rs"]
mod actor;
#[path = "state_machine/aim.rs"]
mod aim;
#[path = "state_machine/chore.rs"]
mod chore;
#[path = "state_machine/dictionary.rs"]
mod dictionary;
mod drivers;
#[path = "state_machine/requests.rs"]
mod requests;
#[path = "state_machine/tally.rs"]
mod tally;
#[path = "state_machine/watchdog.rs"]
mod watchdog;
#[path = "state_machine/world.rs"]
mod world;

use std::env;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use netlink::KernelVersion;

use actor::Actor;
use dictionary::Dictionary;
use watchdog::Watchdog;
use world::World;

const THREADS: u64 = 8;
/// For how long the test runs in the suite, all kernels together.
const SECONDS: u64 = 12;
/// A thread that has done so much does not wait any longer for a command that has never been carried out.
const MOST: u64 = 20_000;
/// A thread that has taken so long for one step hangs.
const HANGS: Duration = Duration::from_secs(90);

fn number(variable: &str) -> Option<u64> {
    let value = env::var(variable).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{variable} is no number: {value}")),
    )
}

fn run(kernel: KernelVersion, seed: u64, duration: Duration) {
    let threads = world::threads();
    let dictionary = Dictionary::learn(kernel);
    let world = World::new(kernel);
    let watchdog = Watchdog::start(HANGS);
    let end = Instant::now() + duration;
    let steps: u64 = thread::scope(|scope| {
        let actors: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (world, dictionary) = (&world, &dictionary);
                let pulse = watchdog.pulse(format!("thread {thread}"));
                let actor = move || {
                    // The seeds of the threads are far apart.
                    let mut actor = Actor::new(world, dictionary, seed.wrapping_add(thread << 32));
                    let mut steps = 0;
                    while Instant::now() < end || steps < MOST && !world.tally.is_complete(kernel) {
                        actor.step(&pulse);
                        steps += 1;
                    }
                    pulse.done();
                    steps
                };
                let thread = thread::Builder::new().name(format!("actor/{thread}"));
                thread.spawn_scoped(scope, actor).unwrap()
            })
            .collect();
        let steps = actors.into_iter().map(|actor| actor.join().unwrap());
        steps.sum()
    });
    let (done, refused) = world.tally.totals();
    println!("{kernel:?}: {steps} steps, {done} commands were carried out, {refused} refused");
    let missing = world.tally.missing(kernel);
    let pulse = watchdog.pulse("the end".to_owned());
    pulse.beat(|| "taking the machine apart".to_owned());
    world.end();
    pulse.done();
    watchdog.stop();
    assert!(missing.is_empty(), "seed {seed}, never: {missing:#?}");
    world::until_threads(threads);
}

#[test]
fn anybody_does_anything_and_nothing_is_left() {
    let seed = number("USERLINK_STATE_MACHINE_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        u64::from(now.subsec_nanos())
    });
    println!("seed {seed}");
    let seconds = number("USERLINK_STATE_MACHINE_SECONDS").unwrap_or(SECONDS);
    let each = Duration::from_secs(seconds) / KernelVersion::SUPPORTED.len() as u32;
    for kernel in KernelVersion::SUPPORTED {
        run(kernel, seed, each);
    }
}
