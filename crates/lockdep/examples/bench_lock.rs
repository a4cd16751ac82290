//! What the validator costs on the known path: lock plus unlock of a checked mutex against the bare one, at depth 1, 2, 4.
//!
//! Prints rows of JSON: `value` and `floor` are nanoseconds of thread CPU time per pair, both measured in this run, in turns.

use std::hint::black_box;

const ROUNDS: usize = 61;
const NESTS: u64 = 100_000;
/// At most so many nanoseconds more than the bare lock.
const TARGET: f64 = 3.0;

/// Takes and releases a nest of locks many times; nanoseconds per lock-and-unlock pair.
macro_rules! nest {
    ($locks:expr, $($at:literal)+) => {{
        let start = cpu_time();
        for _ in 0..NESTS {
            nest!(@take $locks, $($at)+);
        }
        let pairs = NESTS * [$($at),+].len() as u64;
        (cpu_time() - start) / pairs as f64
    }};
    (@take $locks:expr, $at:literal $($rest:literal)*) => {
        let guard = black_box(&$locks[$at]).lock().expect("no thread panics here");
        nest!(@take $locks, $($rest)*);
        drop(guard);
    };
    (@take $locks:expr,) => {};
}

fn main() {
    // With a second thread alive no library takes a short cut for single-threaded programs.
    let _alive = std::thread::spawn(|| std::thread::sleep(std::time::Duration::from_secs(3600)));
    let checked: [lockdep::Mutex<u64>; 4] = std::array::from_fn(|at| {
        lockdep::Mutex::with_class(lockdep::Class::named(format!("bench {at}")), 0)
    });
    let bare: [std::sync::Mutex<u64>; 4] = std::array::from_fn(|_| std::sync::Mutex::new(0));
    let rows = [
        (1, compare(|| nest!(checked, 0), || nest!(bare, 0))),
        (2, compare(|| nest!(checked, 0 1), || nest!(bare, 0 1))),
        (
            4,
            compare(|| nest!(checked, 0 1 2 3), || nest!(bare, 0 1 2 3)),
        ),
    ];
    println!("[");
    for (at, (depth, (value, floor))) in rows.iter().enumerate() {
        let target = floor + TARGET;
        println!(
            r#"{{"case":"Mutex lock+unlock, depth {depth}","value":{value:.2},"unit":"ns","floor":{floor:.2},"ratio":{:.3},"target":{target:.2},"ok":{}}}{}"#,
            value / floor,
            *value <= target,
            if at + 1 < rows.len() { "," } else { "" }
        );
    }
    println!("]");
}

/// Medians of the two, measured in turns.
fn compare(mut one: impl FnMut() -> f64, mut other: impl FnMut() -> f64) -> (f64, f64) {
    let (mut ones, mut others) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let (a, b) = (one(), other());
        if round > 0 {
            ones.push(a);
            others.push(b);
        }
    }
    (median(ones), median(others))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// CPU time of this thread in nanoseconds.
fn cpu_time() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}
