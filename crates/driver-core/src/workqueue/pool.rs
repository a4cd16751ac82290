//! The workers, what they run next, and who waits for it.
//!
//! One lock, the pool's, orders everything: an item's and a queue's state are only looked at under it. Nothing foreign
//! is called or dropped while it is held: an item's function may own the last reference to an object whose end comes
//! back here.

use std::any::Any;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use lockdep::order::Held;
use lockdep::{Condvar, Mutex, MutexGuard};

use super::{WorkInner, WorkqueueInner};
use crate::bus::lock;
use crate::clock::{Clock, Tick};
use crate::klog::Klog;

/// The workers of one machine. Dropping it ends them, once what is queued has been run.
pub struct WorkerPool {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    me: Weak<Shared>,
    clock: Arc<dyn Clock>,
    klog: Arc<Klog>,
    pool: Mutex<Pool>,
    /// There is an item to run, or no more will come.
    more_work: Condvar,
    /// An item has run.
    pub(super) done: Condvar,
    /// The earliest timer has changed, or no more will come.
    timer_changed: Condvar,
    /// Whether the clock ticks us; if not, a thread waits for the timers.
    driven: AtomicBool,
}

#[derive(Default)]
pub(super) struct Pool {
    pub(super) worklist: VecDeque<Item>,
    pub(super) timers: BTreeMap<(Duration, u64), Item>,
    timer_thread: bool,
    idle: usize,
    pub(super) next_seq: u64,
    next_worker: usize,
    threads: Vec<JoinHandle<()>>,
    stopping: bool,
}

/// An item on a queue.
pub(super) struct Item {
    pub(super) queue: Arc<WorkqueueInner>,
    work: Arc<WorkInner>,
    pub(super) seq: u64,
}

/// What a queue knows of its items.
#[derive(Default)]
pub(super) struct Queue {
    /// How many are on the pool's list or running.
    active: usize,
    /// Those for which there is no room yet.
    pub(super) inactive: VecDeque<Item>,
    /// The sequence numbers of those that have not run to their end.
    pub(super) outstanding: BTreeSet<u64>,
}

/// What an item waits for, and who runs it.
#[derive(Default)]
pub(super) struct WorkState {
    pub(super) pending: Option<Pending>,
    pub(super) running: Option<(u64, Weak<WorkqueueInner>)>,
    pub(super) cancelling: usize,
}

#[derive(Clone)]
pub(super) enum Pending {
    Timer(Duration, u64),
    Queued(u64, Weak<WorkqueueInner>),
}

thread_local! {
    /// The queue, the item and the sequence number that this worker runs, by address.
    pub(super) static CURRENT: Cell<Option<(usize, usize, u64)>> = const { Cell::new(None) };
}

pub(super) fn address<T>(object: &Arc<T>) -> usize {
    Arc::as_ptr(object) as usize
}

impl WorkerPool {
    /// Workers that run on this clock and report to this log. None is started before there is work.
    pub fn new(clock: Arc<dyn Clock>, klog: Arc<Klog>) -> Arc<Self> {
        let shared = Arc::new_cyclic(|me| Shared {
            me: Weak::clone(me),
            clock,
            klog,
            pool: Mutex::named("&pool->lock", Pool::default()),
            more_work: Condvar::new(),
            done: Condvar::new(),
            timer_changed: Condvar::new(),
            driven: AtomicBool::new(false),
        });
        let tick: Weak<dyn Tick> = shared.me.clone();
        let driven = shared.clock.drive(tick);
        shared.driven.store(driven, Ordering::Relaxed);
        Arc::new(WorkerPool { shared })
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Ends the workers, after they have run what is queued; what waits for its time is dropped. From then on nothing
    /// can be queued. Called from a work item, it does not wait for that item.
    pub fn stop(&self) {
        self.shared.stop();
    }
}

impl Drop for WorkerPool {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl fmt::Debug for WorkerPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pool = self.shared.lock();
        f.debug_struct("WorkerPool")
            .field("workers", &pool.next_worker)
            .field("idle", &pool.idle)
            .field("waiting", &pool.worklist.len())
            .finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Pool> {
        lock(&self.pool)
    }

    pub(super) fn queue(&self, queue: &Arc<WorkqueueInner>, work: &Arc<WorkInner>) -> bool {
        let mut pool = self.lock();
        if !self.may_queue(&pool, work) {
            return false;
        }
        self.insert(&mut pool, queue, work);
        self.kick(&mut pool);
        true
    }

    pub(super) fn queue_delayed(
        &self,
        queue: &Arc<WorkqueueInner>,
        work: &Arc<WorkInner>,
        delay: Duration,
    ) -> bool {
        if delay.is_zero() {
            return self.queue(queue, work);
        }
        let mut pool = self.lock();
        if !self.may_queue(&pool, work) {
            return false;
        }
        let deadline = self.clock.now() + delay;
        let seq = pool.next_seq();
        lock(&work.state).pending = Some(Pending::Timer(deadline, seq));
        pool.timers.insert(
            (deadline, seq),
            Item {
                queue: Arc::clone(queue),
                work: Arc::clone(work),
                seq,
            },
        );
        if !self.driven.load(Ordering::Relaxed) && !pool.timer_thread {
            pool.timer_thread = self.spawn(&mut pool, "timers".to_owned(), Shared::timer_thread);
        }
        drop(pool);
        self.timer_changed.notify_all();
        true
    }

    /// Whether the item is free to be queued here. An item stays with the machine that it was first queued on.
    fn may_queue(&self, pool: &Pool, work: &Arc<WorkInner>) -> bool {
        let Some(me) = self.me.upgrade() else {
            return false;
        };
        let home = work.shared.get_or_init(|| me);
        let state = lock(&work.state);
        std::ptr::eq(&**home, self)
            && !pool.stopping
            && state.pending.is_none()
            && state.cancelling == 0
    }

    pub(super) fn insert(
        &self,
        pool: &mut Pool,
        queue: &Arc<WorkqueueInner>,
        work: &Arc<WorkInner>,
    ) {
        let seq = pool.next_seq();
        lock(&work.state).pending = Some(Pending::Queued(seq, Arc::downgrade(queue)));
        let item = Item {
            queue: Arc::clone(queue),
            work: Arc::clone(work),
            seq,
        };
        let mut state = lock(&queue.queue);
        state.outstanding.insert(seq);
        if state.active < queue.max_active {
            state.active += 1;
            pool.worklist.push_back(item);
        } else {
            state.inactive.push_back(item);
        }
    }

    /// If there is an item to run, wakes an idle worker, or starts one. The worker that takes an item kicks again, so
    /// that waking one sleeper twice loses nothing.
    pub(super) fn kick(&self, pool: &mut Pool) {
        if pool.runnable().is_none() {
            return;
        }
        if pool.idle > 0 {
            self.more_work.notify_one();
            return;
        }
        let name = format!("kworker/u4:{}", pool.next_worker);
        if self.spawn(pool, name, Shared::worker_main) {
            pool.next_worker += 1;
        }
    }

    fn spawn(&self, pool: &mut Pool, name: String, main: fn(&Shared)) -> bool {
        let Some(me) = self.me.upgrade() else {
            return false;
        };
        match thread::Builder::new().name(name).spawn(move || main(&me)) {
            Ok(handle) => {
                pool.threads.push(handle);
                true
            }
            // What is queued waits for the next worker that becomes free.
            Err(error) => {
                self.klog.err(format_args!(
                    "workqueue: failed to create a worker: {error}"
                ));
                false
            }
        }
    }

    /// A worker's life. What an item panics with is caught here, at the bottom of the stack, where it is in the way of
    /// no report.
    fn worker_main(&self) {
        let mut running = None;
        while let Err(payload) = catch_unwind(AssertUnwindSafe(|| self.worker_thread(&mut running)))
        {
            let Some(item) = running.take() else {
                break;
            };
            self.klog.crit(format_args!(
                "workqueue: {} {} panicked: {}",
                item.queue.name,
                item.work.function_name,
                panic_text(&*payload)
            ));
            self.finish(item);
        }
        // Others may be asleep although nothing will come.
        self.more_work.notify_all();
    }

    /// Runs what there is to run, until nothing will come. `running` is what it runs at the moment.
    #[inline(never)]
    fn worker_thread(&self, running: &mut Option<Item>) {
        let mut pool = self.lock();
        loop {
            if let Some(item) = pool.take_runnable() {
                self.kick(&mut pool);
                drop(pool);
                self.process_one_work(running.insert(item));
                if let Some(item) = running.take() {
                    self.finish(item);
                }
                pool = self.lock();
            } else if pool.stopping && pool.worklist.is_empty() {
                break;
            } else {
                pool.idle += 1;
                pool = self
                    .more_work
                    .wait(pool)
                    .unwrap_or_else(PoisonError::into_inner);
                pool.idle -= 1;
            }
        }
    }

    #[inline(never)]
    fn process_one_work(&self, item: &Item) {
        let _queue = item.queue.map.acquire();
        let _work = item.work.map.acquire();
        lockdep::set_task_context(Some(format!(
            "Workqueue: {} {}",
            item.queue.name, item.work.function_name
        )));
        CURRENT.set(Some((address(&item.queue), address(&item.work), item.seq)));
        // Poisoned by a panic of an earlier run, which has been logged.
        let mut function = item
            .work
            .function
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        function(&mut Held::root());
    }

    /// The item has run, or panicked.
    fn finish(&self, item: Item) {
        CURRENT.set(None);
        lockdep::set_task_context(None);
        let mut pool = self.lock();
        lock(&item.work.state).running = None;
        Self::settle(&mut pool, &item);
        drop(pool);
        self.done.notify_all();
        // It may be the last reference to the item, and so to what its function owns.
        drop(item);
    }

    /// An item is off its queue, run or cancelled: makes room for the next one.
    pub(super) fn settle(pool: &mut Pool, item: &Item) {
        let mut queue = lock(&item.queue.queue);
        queue.outstanding.remove(&item.seq);
        queue.active -= 1;
        if let Some(next) = queue.inactive.pop_front() {
            queue.active += 1;
            pool.worklist.push_back(next);
        }
    }

    /// Queues every item whose time has come.
    fn run_timers(&self, pool: &mut Pool) -> Vec<Item> {
        let now = self.clock.now();
        let later = pool.timers.split_off(&(now, u64::MAX));
        let expired = std::mem::replace(&mut pool.timers, later);
        let mut fired = Vec::new();
        for item in expired.into_values() {
            self.insert(pool, &item.queue, &item.work);
            fired.push(item);
        }
        self.kick(pool);
        fired
    }

    fn timer_thread(&self) {
        let mut pool = self.lock();
        while !pool.stopping {
            let fired = self.run_timers(&mut pool);
            let next = pool.timers.keys().next().map(|(deadline, _)| *deadline);
            if !fired.is_empty() {
                drop(pool);
                drop(fired);
                pool = self.lock();
                continue;
            }
            pool = match next {
                None => self
                    .timer_changed
                    .wait(pool)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let timeout = deadline.saturating_sub(self.clock.now());
                    self.timer_changed
                        .wait_timeout(pool, timeout)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }

    fn stop(&self) {
        let mut pool = self.lock();
        pool.stopping = true;
        let timers = std::mem::take(&mut pool.timers);
        for item in timers.values() {
            lock(&item.work.state).pending = None;
        }
        let threads = std::mem::take(&mut pool.threads);
        drop(pool);
        drop(timers);
        self.more_work.notify_all();
        self.timer_changed.notify_all();
        for handle in threads {
            // A worker that ends the machine from within an item cannot wait for itself; it ends with its loop.
            if handle.thread().id() != thread::current().id() {
                // A worker's panic has been logged and its item is accounted for.
                let _ = handle.join();
            }
        }
    }
}

impl Tick for Shared {
    fn tick(&self) {
        let mut pool = self.lock();
        let fired = self.run_timers(&mut pool);
        drop(pool);
        drop(fired);
        // A clock that runs by itself has skipped: the next deadline is nearer than the waiting thread thinks.
        self.timer_changed.notify_all();
    }
}

impl Pool {
    fn next_seq(&mut self) -> u64 {
        let seq = self.next_seq;
        self.next_seq += 1;
        seq
    }

    /// The first item that nobody runs already.
    fn runnable(&self) -> Option<usize> {
        self.worklist
            .iter()
            .position(|item| lock(&item.work.state).running.is_none())
    }

    /// Takes that item off the list: from here on it runs.
    fn take_runnable(&mut self) -> Option<Item> {
        let position = self.runnable()?;
        let item = self.worklist.remove(position)?;
        let mut state = lock(&item.work.state);
        state.pending = None;
        state.running = Some((item.seq, Arc::downgrade(&item.queue)));
        drop(state);
        Some(item)
    }
}

fn panic_text(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no text)")
}
