//! Medians, and calls timed one by one.

use std::time::Instant;

/// The median; of an even number of values the upper one of the two.
///
/// # Panics
///
/// If there is no value.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The median duration of `count` calls, in nanoseconds, each timed by itself.
pub(crate) fn each<E>(count: usize, mut call: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        call()?;
        times.push(nanoseconds(start));
    }
    Ok(median(times))
}

/// The mean duration of `count` calls, in nanoseconds: for calls shorter than a look at the clock.
pub(crate) fn together<E>(count: usize, mut call: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    let start = Instant::now();
    for _ in 0..count {
        call()?;
    }
    Ok(nanoseconds(start) / count as f64)
}

/// Nanoseconds since `start`.
pub(crate) fn nanoseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e9
}
