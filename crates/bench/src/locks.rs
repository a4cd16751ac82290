//! What order checking costs: lock plus unlock of an instrumented mutex against the bare one, nested 1, 2 and 4 deep.

use std::convert::Infallible;
use std::hint::black_box;
use std::sync::PoisonError;

use crate::rows::Row;
use crate::stats::{median, together};

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
        let one = |result: Result<f64, Infallible>| match result {
            Ok(nanoseconds) => nanoseconds / f64::from($depth),
            Err(never) => match never {},
        };
        let (mut checked, mut bare) = (Vec::new(), Vec::new());
        for round in 0..=ROUNDS {
            let with = one(together(NESTS, || {
                nest!($checked, $depth);
                Ok(())
            }));
            let without = one(together(NESTS, || {
                nest!($bare, $depth);
                Ok(())
            }));
            if round > 0 {
                checked.push(with);
                bare.push(without);
            }
        }
        (median(checked), median(bare))
    }};
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
