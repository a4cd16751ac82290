//! The log of the simulated machine, in the kernel's format.
//!
//! A record is a level, a time since boot and a text that may have several lines; shown, every line carries the
//! record's stamp, as a lock report does in a real log. The ring is bounded by the size of its texts: the oldest
//! records go first, and a reader that comes too late is told how many it has missed (`kernel/printk`).
//!
//! The log uses the standard library's locks, not `lockdep`'s. It is where a lock report is written, from inside the
//! acquisition that caused it; it calls nobody while it holds its lock.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Clock;

/// How serious a record is (`include/linux/kern_levels.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Level {
    /// The system is unusable.
    Emerg = 0,
    /// Action must be taken at once.
    Alert = 1,
    /// Critical conditions.
    Crit = 2,
    /// Errors.
    Err = 3,
    /// Warnings.
    Warning = 4,
    /// Normal but significant.
    Notice = 5,
    /// Informational.
    Info = 6,
    /// For who debugs.
    Debug = 7,
}

/// One record of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Position in the log, from 0, never reused.
    pub seq: u64,
    /// When it was written, since boot.
    pub time: Duration,
    /// How serious it is.
    pub level: Level,
    /// The text, without a trailing newline.
    pub text: Arc<str>,
}

impl fmt::Display for Record {
    /// `[    1.234567] text`, one stamp a line, no trailing newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, line) in self.text.split('\n').enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(
                f,
                "[{:5}.{:06}] {line}",
                self.time.as_secs(),
                self.time.subsec_micros()
            )?;
        }
        Ok(())
    }
}

/// What a reader gets: the records from its position on.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The records, oldest first.
    pub records: Vec<Record>,
    /// Where to go on reading.
    pub next: u64,
    /// How many records had already been dropped from the ring.
    pub lost: u64,
}

/// The log: a bounded ring of records.
#[derive(Debug)]
pub struct Klog {
    clock: Arc<dyn Clock>,
    capacity: usize,
    ring: Mutex<Ring>,
    written: Condvar,
}

#[derive(Debug, Default)]
struct Ring {
    records: VecDeque<Record>,
    bytes: usize,
    next: u64,
    closed: bool,
}

/// What a record costs besides its text; keeps a flood of empty lines bounded.
const RECORD_OVERHEAD: usize = 64;

impl Klog {
    /// The ring holds this many bytes of text unless [`with_capacity`](Klog::with_capacity) says otherwise.
    pub const DEFAULT_CAPACITY: usize = 1 << 20;

    /// An empty log that stamps with `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Klog::with_capacity(clock, Klog::DEFAULT_CAPACITY)
    }

    /// An empty log that keeps at most `capacity` bytes, but always the newest record.
    pub fn with_capacity(clock: Arc<dyn Clock>, capacity: usize) -> Arc<Self> {
        Arc::new(Klog {
            clock,
            capacity,
            ring: Mutex::new(Ring::default()),
            written: Condvar::new(),
        })
    }

    /// Writes a record. Trailing newlines are dropped.
    pub fn log(&self, level: Level, text: fmt::Arguments<'_>) {
        let text = match text.as_str() {
            Some(text) => text.trim_end_matches('\n').into(),
            None => text.to_string().trim_end_matches('\n').into(),
        };
        self.append(level, text);
    }

    fn append(&self, level: Level, text: Arc<str>) {
        let mut ring = self.ring();
        // The stamp is taken under the lock, so that stamps never go backwards in the log.
        let time = self.clock.now();
        let seq = ring.next;
        ring.next += 1;
        ring.bytes += text.len() + RECORD_OVERHEAD;
        ring.records.push_back(Record {
            seq,
            time,
            level,
            text,
        });
        while ring.bytes > self.capacity && ring.records.len() > 1 {
            if let Some(old) = ring.records.pop_front() {
                ring.bytes -= old.text.len() + RECORD_OVERHEAD;
            }
        }
        drop(ring);
        self.written.notify_all();
    }

    /// The records from position `from` on that are still in the ring.
    pub fn read(&self, from: u64) -> Batch {
        Self::batch(&self.ring(), from)
    }

    /// Like [`read`](Klog::read), but waits until there is something, the log is closed or `timeout` (of real time)
    /// has passed.
    pub fn wait(&self, from: u64, timeout: Duration) -> Batch {
        let (ring, _) = self
            .written
            .wait_timeout_while(self.ring(), timeout, |ring| {
                ring.next <= from && !ring.closed
            })
            .unwrap_or_else(PoisonError::into_inner);
        Self::batch(&ring, from)
    }

    /// No more records will be waited for: every [`wait`](Klog::wait) returns at once from now on.
    pub fn close(&self) {
        self.ring().closed = true;
        self.written.notify_all();
    }

    /// Whether [`close`](Klog::close) has been called.
    pub fn is_closed(&self) -> bool {
        self.ring().closed
    }

    /// The whole log as text, a newline after each line.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for record in &self.ring().records {
            text.push_str(&record.to_string());
            text.push('\n');
        }
        text
    }

    fn batch(ring: &Ring, from: u64) -> Batch {
        let oldest = ring.records.front().map_or(ring.next, |record| record.seq);
        let skip = usize::try_from(from.saturating_sub(oldest)).unwrap_or(usize::MAX);
        Batch {
            records: ring.records.iter().skip(skip).cloned().collect(),
            next: ring.next.max(from),
            lost: oldest.saturating_sub(from),
        }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

macro_rules! levels {
    ($($method:ident $level:ident $kernel:literal;)*) => {
        impl Klog {
            $(
                #[doc = concat!("Writes a record of level ", stringify!($level), " (`", $kernel, "`).")]
                pub fn $method(&self, text: fmt::Arguments<'_>) {
                    self.log(Level::$level, text);
                }
            )*
        }
    };
}

levels! {
    emerg Emerg "pr_emerg";
    alert Alert "pr_alert";
    crit Crit "pr_crit";
    err Err "pr_err";
    warn Warning "pr_warn";
    notice Notice "pr_notice";
    info Info "pr_info";
    debug Debug "pr_debug";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    fn log_at(micros: u64) -> (Arc<ManualClock>, Arc<Klog>) {
        let clock = Arc::new(ManualClock::new());
        clock.advance(Duration::from_micros(micros));
        let log = Klog::new(Arc::clone(&clock) as Arc<dyn Clock>);
        (clock, log)
    }

    #[test]
    fn the_stamp_is_the_kernels() {
        let (clock, log) = log_at(1_234_567);
        log.info(format_args!("one\n"));
        clock.advance(Duration::from_secs(99_999));
        log.warn(format_args!("two {}", 2));
        assert_eq!(log.text(), "[    1.234567] one\n[100000.234567] two 2\n");
    }

    #[test]
    fn every_line_of_a_record_is_stamped() {
        let (_clock, log) = log_at(5);
        log.warn(format_args!("a\n\nb\n"));
        assert_eq!(
            log.text(),
            "[    0.000005] a\n[    0.000005] \n[    0.000005] b\n"
        );
    }

    #[test]
    fn a_reader_goes_on_where_it_stopped() {
        let (_clock, log) = log_at(0);
        log.info(format_args!("a"));
        let first = log.read(0);
        assert_eq!((first.records.len(), first.next, first.lost), (1, 1, 0));
        assert!(log.read(first.next).records.is_empty());
        log.info(format_args!("b"));
        assert_eq!(&*log.read(first.next).records[0].text, "b");
    }

    #[test]
    fn the_ring_drops_the_oldest_and_says_how_many() {
        let clock = Arc::new(ManualClock::new());
        let log = Klog::with_capacity(clock, 3 * (RECORD_OVERHEAD + 4));
        for number in 0..10 {
            log.info(format_args!("{number:04}"));
        }
        let batch = log.read(2);
        assert_eq!(batch.lost, 5);
        let texts: Vec<_> = batch.records.iter().map(|r| r.text.to_string()).collect();
        assert_eq!(texts, ["0007", "0008", "0009"]);
    }

    #[test]
    fn a_waiter_is_woken_by_a_record_and_by_the_end() {
        let (_clock, log) = log_at(0);
        let waiter = {
            let log = Arc::clone(&log);
            std::thread::spawn(move || {
                let first = log.wait(0, Duration::from_secs(60));
                let second = log.wait(first.next, Duration::from_secs(60));
                (first.records.len(), second.records.len())
            })
        };
        log.info(format_args!("hello"));
        log.close();
        assert_eq!(waiter.join().unwrap(), (1, 0));
    }
}
