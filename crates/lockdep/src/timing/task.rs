//! The locks of tasks, which no thread holds: each hold is timed by itself.

use std::panic::Location;
use std::time::Instant;

use crate::chain::Word;
use crate::class::Map;
use crate::graph;
use crate::lock_stat::figures::{self, Site};
use crate::thread::{self, Mode};

/// The class of a lock, which the validator need not have met: it does not follow who is no task.
fn class_of(map: &Map) -> u32 {
    if Word(map.word()).class() == 0 && !thread::with(|thread| thread.busy.get()) {
        thread::quietly(|| map.set_class(graph::lock().resolve(map)));
    }
    Word(map.word()).class()
}

/// A task's wait for a lock that is not free.
pub(crate) struct TaskWait {
    class: u32,
    shared: bool,
    site: Site,
    holder: Option<Site>,
    since: Instant,
}

impl TaskWait {
    pub(crate) fn begin(map: &Map, mode: Mode, location: &'static Location<'static>) -> Self {
        Self {
            class: class_of(map),
            shared: mode != Mode::Write,
            site: Site { location, ip: 0 },
            holder: map.point().get(),
            since: Instant::now(),
        }
    }
}

impl Drop for TaskWait {
    /// Also when the task gives up.
    fn drop(&mut self) {
        if self.class != 0 {
            let time = self.since.elapsed();
            figures::waited(self.class, self.shared, time, self.site, self.holder);
        }
    }
}

/// A lock in a task's hands.
#[derive(Debug)]
pub(crate) struct TaskHold {
    class: u32,
    shared: bool,
    since: Instant,
}

impl TaskHold {
    pub(crate) fn begin(map: &Map, mode: Mode, location: &'static Location<'static>) -> Self {
        map.point().set(Site { location, ip: 0 });
        Self {
            class: class_of(map),
            shared: mode != Mode::Write,
            since: Instant::now(),
        }
    }
}

impl Drop for TaskHold {
    fn drop(&mut self) {
        if self.class != 0 {
            figures::held(self.class, self.shared, self.since.elapsed());
        }
    }
}

/// `$attempt` if it gives something, else `$wait`, which is timed.
macro_rules! task_waits {
    ($map:expr, $mode:expr, $site:expr, $attempt:expr, $wait:expr) => {
        match $attempt {
            Some(taken) => taken,
            None => {
                let wait = crate::timing::task::TaskWait::begin($map, $mode, $site);
                let taken = $wait;
                drop(wait);
                taken
            }
        }
    };
}

pub(crate) use task_waits;
