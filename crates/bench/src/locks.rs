//! What order checking costs: lock plus unlock of an instrumented mutex against the bare one, nested 1, 2 and 4 deep.

use std::hint::black_box;
use std::sync::PoisonError;

use rustix::time::{ClockId, clock_gettime};

use crate::rows::Row;
use crate::stats::median;

/// Rounds, instrumented and bare in turns.
const ROUNDS: usize = 41;
/// Nests taken and left in a round.
const NESTS: usize = 200_000;
/// The most that a checked pair may cost more than a bare one.
const ADDED: f64 = 3.0;

/// Takes a lock, as code does that has no use for poisoning.
macro_rules! take {
    ($lock:expr) => {
        black_box(&$lock)
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    };
}

/// Takes and leaves a nest `depth` deep; the order is known after the first time.
macro_rules! nest {
    ($locks:expr, 1) => {{
        let _a = take!($locks[0]);
    }};
    ($locks:expr, 2) => {{
        let a = take!($locks[0]);
        let b = take!($locks[1]);
        drop(b);
        drop(a);
    }};
    ($locks:expr, 4) => {{
        let a = take!($locks[0]);
        let b = take!($locks[1]);
        let c = take!($locks[2]);
        let d = take!($locks[3]);
        drop(d);
        drop(c);
        drop(b);
        drop(a);
    }};
}

/// Nanoseconds of one lock-and-unlock pair of a nest, checked and bare.
macro_rules! pair {
    ($checked:expr, $bare:expr, $depth:tt) => {{
        let (mut checked, mut bare) = (Vec::new(), Vec::new());
        for round in 0..=ROUNDS {
            let with = on_cpu(|| nest!($checked, $depth)) / f64::from($depth);
            let without = on_cpu(|| nest!($bare, $depth)) / f64::from($depth);
            if round > 0 {
                checked.push(with);
                bare.push(without);
            }
        }
        (median(checked), median(bare))
    }};
}

/// The mean duration of [`NESTS`] calls in nanoseconds of this thread's processor time: what else runs on the machine is not
/// the lock's cost.
fn on_cpu(mut nest: impl FnMut()) -> f64 {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
    };
    let start = now();
    for _ in 0..NESTS {
        nest();
    }
    (now() - start) / NESTS as f64
}

/// The rows of `./x bench locks`.
pub(crate) fn measure() -> Vec<Row> {
    let checked = [
        lockdep::Mutex::new(0u64),
        lockdep::Mutex::new(0),
        lockdep::Mutex::new(0),
        lockdep::Mutex::new(0),
    ];
    let bare = [const { std::sync::Mutex::new(0u64) }; 4];
    let figures = [
        (1, pair!(checked, bare, 1)),
        (2, pair!(checked, bare, 2)),
        (4, pair!(checked, bare, 4)),
    ];
    figures
        .into_iter()
        .map(|(depth, (value, floor))| Row {
            case: format!("mutex lock + unlock, {depth} deep"),
            value,
            unit: "ns",
            floor,
            against: "std::sync::Mutex",
            target: Some(floor + ADDED),
        })
        .collect()
}
