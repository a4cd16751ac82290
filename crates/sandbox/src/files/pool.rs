//! Threads for what may wait: reads and writes run drivers' code, and one that waits must not stop the others.
//!
//! A thread is started when all are busy, and ends when it has had nothing to do for a second.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a thread waits for more to do.
const IDLE: Duration = Duration::from_secs(1);

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    idle: usize,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    more: Condvar,
}

/// See the module's text.
#[derive(Default, Clone)]
pub(super) struct Pool(Arc<Shared>);

impl Pool {
    /// Runs `job` on a thread of its own; on this one if there can be no other.
    pub(super) fn run(&self, job: impl FnOnce() + Send + 'static) {
        let mut queue = self.lock();
        queue.jobs.push_back(Box::new(job));
        if queue.idle >= queue.jobs.len() {
            self.0.more.notify_one();
            return;
        }
        drop(queue);
        let pool = self.clone();
        let started = std::thread::Builder::new()
            .name("files".into())
            .spawn(move || pool.work());
        if started.is_err() {
            while let Some(job) = self.next() {
                job();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<Job> {
        self.lock().jobs.pop_front()
    }

    fn work(&self) {
        loop {
            while let Some(job) = self.next() {
                // Its reply tells the caller of the panic by being dropped.
                let _ = catch_unwind(AssertUnwindSafe(job));
            }
            let mut queue = self.lock();
            if !queue.jobs.is_empty() {
                continue;
            }
            queue.idle += 1;
            let (mut queue, waited) = self
                .0
                .more
                .wait_timeout(queue, IDLE)
                .unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
            if waited.timed_out() && queue.jobs.is_empty() {
                return;
            }
        }
    }
}
