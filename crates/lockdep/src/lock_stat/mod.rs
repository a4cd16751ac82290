//! How long locks are waited for and held, class by class: what the kernel's `/proc/lock_stat` shows
//! (`Documentation/locking/lockstat.rst`).
//!
//! With the feature `lock_stat` every lock type of this crate measures itself. [`stat`] gives the figures,
//! [`reset`] begins anew. Printed, the figures are a table in the format of the kernel's file, so that what reads that file
//! reads this one; [`to_json`](LockStat::to_json) is for everything else.
//!
//! ```
//! use lockdep::{Mutex, lock_stat};
//! use std::{thread, time::Duration};
//!
//! static QUEUE: Mutex<u32> = Mutex::named("queue", 0);
//! let held = QUEUE.lock().unwrap();
//! thread::scope(|scope| {
//!     scope.spawn(|| *QUEUE.lock().unwrap() += 1); // waits
//!     thread::sleep(Duration::from_millis(20));
//!     drop(held);
//! });
//! let stat = lock_stat::stat();
//! let queue = stat.class("queue").unwrap();
//! assert_eq!((queue.write.wait.count, queue.write.hold.count), (1, 2));
//! assert!(queue.write.wait.max <= queue.write.hold.max);
//! assert_eq!(queue.contention_points[0].location.file(), file!());
//! println!("{stat}");
//! ```
//!
//! # What counts
//! * An *acquisition* counts when the lock is given up: only then is known how long it was held. A failed attempt counts
//!   nothing, a wait that ends without the lock (with a time limit, or of a task that is dropped) is a contention without an
//!   acquisition.
//! * A *contention* is an acquisition that found the lock taken. To know, a lock is tried before it is waited for.
//! * A *contention point* is the line that waited; a *contending point* the line that took the lock last before that.
//! * The holder's time begins when it has the lock and ends before it is really released.
//! * [`Condvar`](crate::Condvar), [`Barrier`](crate::Barrier), channels: each wait is a contention of their class, as long
//!   as the wait. What the mutex of a condition variable is waited for afterwards counts as held.
//! * [`Once`](crate::Once), [`OnceLock`](crate::OnceLock), [`LazyLock`](crate::LazyLock): who initialises holds them,
//!   others who come meanwhile wait.
//! * Pseudo-locks ([`LockMap`](crate::LockMap)) are held and never waited for, as in the kernel.
//! * [`raw::LockdepMap`](crate::raw::LockdepMap) is held from `acquire` to `release`; say `contended` and `acquired` in
//!   between, where you wait.
//! * A lock whose order is not checked (`novalidate`) is measured all the same. Beyond 64 locks of one thread at once, and in
//!   a signal handler that interrupts a measurement, nothing is measured.
//! * When a [`DynamicClass`](crate::DynamicClass) ends, its figures are gone, as in the kernel.
//!
//! The columns `con-bounces` and `acq-bounces` of the kernel's file count moves between processors, which a program does not
//! see: they are 0. With the feature `off` there are no figures.

pub(crate) mod figures;
mod text;

use std::panic::Location;
use std::time::Duration;

use crate::graph;
use crate::thread;

/// How often something took time, and how much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// How often.
    pub count: u64,
    /// The least time, zero if there is none.
    pub min: Duration,
    /// The most.
    pub max: Duration,
    /// All together.
    pub total: Duration,
}

impl Times {
    /// The mean, zero if there is none.
    #[must_use]
    pub fn avg(&self) -> Duration {
        let nanos = self.total.as_nanos().checked_div(self.count.into());
        Duration::from_nanos(nanos.unwrap_or(0).try_into().unwrap_or(u64::MAX))
    }

    fn add(&mut self, time: Duration) {
        self.merge(&Self {
            count: 1,
            min: time,
            max: time,
            total: time,
        });
    }

    fn merge(&mut self, other: &Self) {
        if self.count == 0 || (other.count > 0 && other.min < self.min) {
            self.min = other.min;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
        self.total = self.total.saturating_add(other.total);
    }
}

/// What was measured of one way of taking locks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kind {
    /// Contentions: how long the lock was waited for.
    pub wait: Times,
    /// Acquisitions: how long it was held.
    pub hold: Times,
}

/// A line, and how often it was that one.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// Where.
    pub location: &'static Location<'static>,
    /// An address in the code of the first acquisition that was made there; 0 if it is not known.
    pub ip: usize,
    /// How often.
    pub count: u64,
}

/// What was measured of one class.
#[derive(Clone, Debug)]
pub struct ClassStat {
    /// The name that reports print.
    pub name: String,
    /// Of who takes the locks exclusively.
    pub write: Kind,
    /// Of who shares them.
    pub read: Kind,
    /// Where they were waited for, most often first.
    pub contention_points: Vec<Point>,
    /// Who had them then, most often first.
    pub contending_points: Vec<Point>,
}

impl ClassStat {
    /// How often a lock of the class was waited for.
    #[must_use]
    pub fn contentions(&self) -> u64 {
        self.write.wait.count + self.read.wait.count
    }
}

/// What was measured since the program began, or since the last [`reset`].
#[derive(Clone, Debug, Default)]
pub struct LockStat {
    /// The classes of which there is anything, those that were waited for most often first.
    pub classes: Vec<ClassStat>,
}

impl LockStat {
    /// The first class of this name.
    #[must_use]
    pub fn class(&self, name: &str) -> Option<&ClassStat> {
        self.classes.iter().find(|class| class.name == name)
    }
}

fn points(mut sites: figures::Sites) -> Vec<Point> {
    sites.sort_by_key(|&(site, count)| (std::cmp::Reverse(count), *site.location));
    let point = |(site, count): (figures::Site, u64)| Point {
        location: site.location,
        ip: site.ip,
        count,
    };
    sites.into_iter().map(point).collect()
}

/// The figures of all threads, with what they hold now not counted yet.
#[must_use]
pub fn stat() -> LockStat {
    let mut table = figures::sum();
    let mut classes: Vec<ClassStat> = thread::quietly(|| {
        let graph = graph::lock();
        let named = graph.classes().filter_map(|(id, class)| {
            let figures = table.remove(&id)?;
            let kind = |at: usize| Kind {
                wait: figures.wait[at],
                hold: figures.hold[at],
            };
            Some(ClassStat {
                name: class.display_name(),
                write: kind(0),
                read: kind(1),
                contention_points: points(figures.waiters),
                contending_points: points(figures.holders),
            })
        });
        named.collect()
    });
    classes.sort_by_key(|class| std::cmp::Reverse(class.contentions()));
    LockStat { classes }
}

/// Forgets what was measured so far. What is held or waited for at this moment counts when it is over, from its beginning.
pub fn reset() {
    figures::clear();
}
