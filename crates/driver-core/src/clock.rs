//! Time, as the simulated machine sees it.
//!
//! Nobody in the core asks the operating system for the time: a [`Clock`] is injected, so that a test decides when a
//! second has passed and a log line carries the stamp that the test expects. [`RealClock`] is the one of a running
//! machine, [`VirtualClock`] one on which sleeping takes no time, [`ManualClock`] stands still until it is told to advance.
//!
//! The clocks use the standard library's locks, not `lockdep`'s: the log stamps its lines with them, also the lines of
//! a lock report, and a lock report must not take a validated lock.

use std::fmt;
use std::sync::{Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Something that wants to be called after virtual time has moved.
pub trait Tick: Send + Sync {
    /// Time has moved. Called on the thread that moved it, with no lock of the clock held.
    fn tick(&self);
}

/// The machine's clock.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Time since the machine started (`ktime_get`): monotonic.
    fn now(&self) -> Duration;

    /// Time since the Unix epoch (`ktime_get_real`).
    fn wall(&self) -> Duration;

    /// Blocks the calling thread for `duration` of this clock's time (`msleep`).
    fn sleep(&self, duration: Duration);

    /// Asks to be ticked whenever the time is moved. Returns `false` if this clock runs by itself too and the caller has to
    /// wait for its deadlines on its own.
    fn drive(&self, target: Weak<dyn Tick>) -> bool;
}

/// The time of the operating system; the machine starts when the clock is made.
#[derive(Debug)]
pub struct RealClock {
    boot: Instant,
}

impl RealClock {
    /// A clock that reads zero now.
    pub fn new() -> Self {
        RealClock {
            boot: Instant::now(),
        }
    }
}

impl Default for RealClock {
    fn default() -> Self {
        RealClock::new()
    }
}

impl Clock for RealClock {
    fn now(&self) -> Duration {
        self.boot.elapsed()
    }

    fn wall(&self) -> Duration {
        // A system clock before 1970 reads as 1970.
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }

    fn drive(&self, _target: Weak<dyn Tick>) -> bool {
        false
    }
}

/// Those who asked to be ticked.
#[derive(Default)]
struct Driven(Mutex<Vec<Weak<dyn Tick>>>);

impl Driven {
    fn add(&self, target: Weak<dyn Tick>) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(target);
    }

    fn tick(&self) {
        let targets: Vec<_> = {
            let mut driven = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            driven.retain(|target| target.strong_count() > 0);
            driven.iter().filter_map(Weak::upgrade).collect()
        };
        for target in targets {
            target.tick();
        }
    }
}

/// The time of the operating system, and what was skipped of it: whoever sleeps on this clock moves it on by as much instead
/// and returns at once, so two who sleep at the same time move it on by both. [`advance`](Self::advance) skips for who sleeps
/// elsewhere. Timers expire when it has passed their deadline, by itself or by a skip.
pub struct VirtualClock {
    real: RealClock,
    skipped: Mutex<Duration>,
    driven: Driven,
}

impl VirtualClock {
    /// A clock that reads zero now.
    pub fn new() -> Self {
        VirtualClock {
            real: RealClock::new(),
            skipped: Mutex::new(Duration::ZERO),
            driven: Driven::default(),
        }
    }

    /// Moves the time on by `by`, and queues the work of expired timers before it returns.
    pub fn advance(&self, by: Duration) {
        {
            let mut skipped = self.skipped.lock().unwrap_or_else(PoisonError::into_inner);
            *skipped = skipped.saturating_add(by);
        }
        self.driven.tick();
    }

    fn skipped(&self) -> Duration {
        *self.skipped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for VirtualClock {
    fn default() -> Self {
        VirtualClock::new()
    }
}

impl fmt::Debug for VirtualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VirtualClock")
            .field("now", &self.now())
            .field("skipped", &self.skipped())
            .finish_non_exhaustive()
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Duration {
        self.real.now().saturating_add(self.skipped())
    }

    fn wall(&self) -> Duration {
        self.real.wall().saturating_add(self.skipped())
    }

    fn sleep(&self, duration: Duration) {
        self.advance(duration);
    }

    fn drive(&self, target: Weak<dyn Tick>) -> bool {
        self.driven.add(target);
        false
    }
}

/// A clock that stands still until [`advance`](ManualClock::advance) moves it.
pub struct ManualClock {
    now: Mutex<Duration>,
    moved: Condvar,
    driven: Driven,
}

impl ManualClock {
    /// A clock that reads zero.
    pub fn new() -> Self {
        ManualClock {
            now: Mutex::new(Duration::ZERO),
            moved: Condvar::new(),
            driven: Driven::default(),
        }
    }

    /// Moves the time forward by `by`, wakes sleepers and queues the work of expired timers before it returns.
    pub fn advance(&self, by: Duration) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) += by;
        self.moved.notify_all();
        self.driven.tick();
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        ManualClock::new()
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualClock")
            .field("now", &self.now())
            .finish_non_exhaustive()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Duration {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wall(&self) -> Duration {
        self.now()
    }

    fn sleep(&self, duration: Duration) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let deadline = *now + duration;
        while *now < deadline {
            now = self.moved.wait(now).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn drive(&self, target: Weak<dyn Tick>) -> bool {
        self.driven.add(target);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_manual_clock_stands_still() {
        let clock = ManualClock::new();
        assert_eq!(clock.now(), Duration::ZERO);
        clock.advance(Duration::from_millis(1500));
        assert_eq!(clock.now(), Duration::from_millis(1500));
    }

    #[test]
    fn sleeping_on_a_virtual_clock_takes_no_time_and_time_passes() {
        let (clock, began) = (VirtualClock::new(), Instant::now());
        let wall = clock.wall();
        clock.sleep(Duration::from_secs(3600));
        assert!(began.elapsed() < Duration::from_secs(60));
        assert!(clock.now() >= Duration::from_secs(3600));
        assert!(clock.wall() - wall >= Duration::from_secs(3600));
        let now = clock.now();
        std::thread::sleep(Duration::from_millis(2));
        assert!(clock.now() >= now + Duration::from_millis(2));
        clock.advance(Duration::MAX);
        assert_eq!(clock.now(), Duration::MAX);
    }

    #[test]
    fn a_sleeper_wakes_when_its_time_has_come() {
        let clock = Arc::new(ManualClock::new());
        let sleeper = {
            let clock = Arc::clone(&clock);
            std::thread::spawn(move || {
                clock.sleep(Duration::from_secs(2));
                clock.now()
            })
        };
        // Whenever the sleeper starts, two seconds later it must be awake.
        while !sleeper.is_finished() {
            clock.advance(Duration::from_secs(1));
            std::thread::yield_now();
        }
        assert!(sleeper.join().unwrap() >= Duration::from_secs(2));
    }
}
