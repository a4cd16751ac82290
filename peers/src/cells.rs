//! What is measured of each lock: a cell is one figure, taken in short rounds.
//!
//! Single-threaded cells are told in CPU time of the thread, so that a busy machine does not count as the lock's cost.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::time::{ClockId, clock_gettime};

use crate::locks::Lock;

/// How many locks the cells with many of them have.
pub const MANY: usize = 100_000;

/// One round of a cell.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// CPU nanoseconds of one lock-and-unlock pair; of one edge, where edges are made.
    pub cpu: f64,
    /// Nanoseconds of one pair by the clock on the wall.
    pub wall: f64,
    /// The share of that time in which a thread could have run but had no processor.
    pub delayed: f64,
}

/// The locks of one peer, made when a cell first asks for them.
pub struct Cells<L: Lock> {
    /// On cache lines of their own: two threads that use different nests share nothing.
    nests: [Apart<[L; 4]>; 2],
    many: Vec<L>,
}

#[repr(align(256))]
struct Apart<T>(T);

/// CPU time of the calling thread.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.try_into().expect("CPU time is positive"),
        time.tv_nsec.try_into().expect("and its nanoseconds fit"),
    )
}

/// For how long the calling thread could have run but had no processor, as far as the kernel tells
/// (`Documentation/scheduler/sched-stats.rst`).
fn delay() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = told.split(' ').nth(1).and_then(|field| field.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

/// Times `work`, which makes `pairs` pairs.
fn time(pairs: usize, work: impl FnOnce()) -> Round {
    let (delayed, wall, start) = (delay(), Instant::now(), cpu());
    work();
    let (cpu, wall, delayed) = (cpu() - start, wall.elapsed(), delay() - delayed);
    let each = |time: Duration| time.as_secs_f64() * 1e9 / pairs as f64;
    Round {
        cpu: each(cpu),
        wall: each(wall),
        delayed: delayed.as_secs_f64() / wall.as_secs_f64(),
    }
}

/// Takes two locks, one under the other.
#[inline(always)]
fn two<L: Lock>(outer: &L, inner: &L) {
    let a = outer.lock();
    let b = inner.lock();
    drop(b);
    drop(a);
}

impl<L: Lock> Default for Cells<L> {
    fn default() -> Self {
        Self {
            nests: [Apart(L::nest()), Apart(L::nest())],
            many: Vec::new(),
        }
    }
}

impl<L: Lock> Cells<L> {
    /// A round of the cell called `name`: `count` times what it repeats.
    ///
    /// # Errors
    /// When no cell is called so.
    pub fn round(&mut self, name: &str, count: usize) -> Result<Round> {
        Ok(match name {
            "depth-1" => self.depth_1(count),
            "depth-2" => self.depth_2(count),
            "depth-4" => self.depth_4(count),
            "many-depth-1" => self.many_depth_1(count),
            "many-depth-2" => self.many_depth_2(count),
            "private" => self.two_threads(count, [0, 1]),
            "shared" => self.two_threads(count, [0, 0]),
            "edge" => Self::edge(count),
            _ => bail!("no cell is called {name}"),
        })
    }

    #[inline(never)]
    fn depth_1(&self, count: usize) -> Round {
        let nest = &self.nests[0].0;
        time(count, || {
            for _ in 0..count {
                let _a = black_box(&nest[0]).lock();
            }
        })
    }

    #[inline(never)]
    fn depth_2(&self, count: usize) -> Round {
        let nest = &self.nests[0].0;
        time(2 * count, || {
            for _ in 0..count {
                two(black_box(&nest[0]), black_box(&nest[1]));
            }
        })
    }

    #[inline(never)]
    fn depth_4(&self, count: usize) -> Round {
        let nest = &self.nests[0].0;
        time(4 * count, || {
            for _ in 0..count {
                let a = black_box(&nest[0]).lock();
                let b = black_box(&nest[1]).lock();
                let c = black_box(&nest[2]).lock();
                let d = black_box(&nest[3]).lock();
                drop(d);
                drop(c);
                drop(b);
                drop(a);
            }
        })
    }

    /// One lock after the other.
    #[inline(never)]
    fn many_depth_1(&mut self, count: usize) -> Round {
        self.fill();
        let many = &self.many[..];
        time(count, || {
            for lock in many.iter().cycle().take(count) {
                let _a = black_box(lock).lock();
            }
        })
    }

    /// One lock after the other, each under the same outer one.
    #[inline(never)]
    fn many_depth_2(&mut self, count: usize) -> Round {
        self.fill();
        let (outer, many) = (&self.nests[0].0[0], &self.many[..]);
        time(2 * count, || {
            for lock in many.iter().cycle().take(count) {
                two(black_box(outer), black_box(lock));
            }
        })
    }

    fn fill(&mut self) {
        if self.many.is_empty() {
            self.many.extend((0..MANY).map(|_| L::new()));
        }
    }

    /// Two threads at once, each on its nest, two deep.
    #[inline(never)]
    fn two_threads(&self, count: usize, nests: [usize; 2]) -> Round {
        let start = Barrier::new(2);
        let rounds = std::thread::scope(|scope| {
            nests
                .map(|nest| {
                    let (nest, start) = (&self.nests[nest].0, &start);
                    scope.spawn(move || {
                        two(&nest[0], &nest[1]); // this thread is met for the first time
                        start.wait();
                        time(2 * count, || {
                            for _ in 0..count {
                                two(black_box(&nest[0]), black_box(&nest[1]));
                            }
                        })
                    })
                })
                .map(|thread| thread.join().expect("the peers find nothing wrong here"))
        });
        Round {
            cpu: (rounds[0].cpu + rounds[1].cpu) / 2.0,
            wall: (rounds[0].wall + rounds[1].wall) / 2.0,
            delayed: rounds[0].delayed.max(rounds[1].delayed),
        }
    }

    /// An order that was never seen: two new locks, of two new classes, nested once.
    #[inline(never)]
    fn edge(count: usize) -> Round {
        // Never dropped: forgetting a lock is another figure.
        let locks: &[[L; 2]] = (0..count).map(|_| L::fresh()).collect::<Vec<_>>().leak();
        time(count, || {
            for [outer, inner] in locks {
                two(outer, inner);
            }
        })
    }
}
