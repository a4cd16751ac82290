//! What locks say to [`lock_stat`](https://docs.rs/lockdep) where nobody measures: nothing, and no code comes of it.

use std::panic::Location;

use crate::class::Map;
use crate::thread::Request;

/// Who took a lock last: nobody asks.
#[cfg(not(feature = "off"))]
#[derive(Debug)]
pub(crate) struct Point;

#[cfg(not(feature = "off"))]
impl Point {
    pub(crate) const fn new() -> Self {
        Self
    }
}

#[inline(always)]
pub(crate) fn begin(_: &Map, _: Request, _: &'static Location<'static>, _: usize) {}

#[inline(always)]
pub(crate) fn contended(_: &Map) {}

#[inline(always)]
pub(crate) fn acquired(_: &Map) {}

#[inline(always)]
pub(crate) fn void(_: &Map) {}

#[inline(always)]
pub(crate) fn end(_: &Map) {}

#[inline(always)]
pub(crate) fn freed(_: &Map) {}

#[inline(always)]
pub(crate) fn once(_: &Map) {}

#[inline(always)]
pub(crate) fn event<R>(_: &Map, _: &'static Location<'static>, wait: impl FnOnce() -> R) -> R {
    wait()
}

#[inline(always)]
pub(crate) fn waited<R>(_: &Map, _: impl FnOnce() -> Option<R>, wait: impl FnOnce() -> R) -> R {
    wait()
}

#[inline(always)]
pub(crate) fn waited_perhaps(
    _: &Map,
    _: impl FnOnce() -> bool,
    wait: impl FnOnce() -> bool,
) -> bool {
    wait()
}

/// What a task waits for: only the wait.
#[cfg(feature = "tokio")]
macro_rules! task_waits {
    ($map:expr, $mode:expr, $site:expr, $attempt:expr, $wait:expr) => {
        $wait
    };
}

#[cfg(feature = "tokio")]
pub(crate) use task_waits;
