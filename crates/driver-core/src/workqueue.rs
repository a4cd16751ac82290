//! Work items and the workers that run them (`kernel/workqueue.c`).
//!
//! A [`Work`] is a named function. Queued on a [`Workqueue`], it is run once by one of the machine's workers, threads
//! called `kworker/u4:0`, `kworker/u4:1` and so on, which are started when there is work and nobody idle. A work item
//! never runs twice at the same time, and queueing it while it waits to be run does nothing. An *ordered* queue runs one
//! item at a time, in the order of queueing.
//!
//! To the lock validator, a worker holds two pseudo-locks while it runs an item: `(wq_completion)NAME` and the item's
//! name. Who flushes takes them for an instant. So a thread that flushes while it holds a lock which an item wants is
//! reported, whether or not the item happens to run at that moment. Where such a wait would be for the waiting thread
//! itself, it is reported and then not done: nothing hangs.

mod pool;
mod wait;

use std::any::type_name;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use lockdep::order::{Held, Unlocked};
use lockdep::{Class, DynamicClass, LockMap};

pub use pool::WorkerPool;
use pool::{Queue, Shared, WorkState};

/// What a work item runs: with no lock held.
type Function = Box<dyn FnMut(&mut Held<'_, Unlocked>) + Send>;

/// A queue of work items.
#[derive(Clone)]
pub struct Workqueue {
    inner: Arc<WorkqueueInner>,
}

struct WorkqueueInner {
    name: String,
    map: LockMap,
    shared: Arc<Shared>,
    max_active: usize,
    /// Only touched with the pool's lock held, which is what orders it; its own lock never waits.
    queue: lockdep::Mutex<Queue>,
}

/// How many items of a queue run at once if the queue does not say (`WQ_DFL_ACTIVE`).
const DEFAULT_MAX_ACTIVE: usize = 256;

impl Workqueue {
    /// A queue of which at most `max_active` items run at once; 0 is the default, 256 (`alloc_workqueue`).
    pub fn alloc(pool: &WorkerPool, name: impl Into<String>, max_active: usize) -> Self {
        let name = name.into();
        Workqueue {
            inner: Arc::new(WorkqueueInner {
                map: LockMap::with_class(DynamicClass::new(format!("(wq_completion){name}"))),
                name,
                shared: Arc::clone(pool.shared()),
                max_active: match max_active {
                    0 => DEFAULT_MAX_ACTIVE,
                    max_active => max_active,
                },
                queue: lockdep::Mutex::named("&pwq->lock", Queue::default()),
            }),
        }
    }

    /// A queue that runs one item at a time, in the order of queueing (`alloc_ordered_workqueue`).
    pub fn alloc_ordered(pool: &WorkerPool, name: impl Into<String>) -> Self {
        Workqueue::alloc(pool, name, 1)
    }

    /// The queue's name.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Queues the item (`queue_work`). `false` if it was already waiting to be run, or is being cancelled.
    pub fn queue(&self, work: &Work) -> bool {
        self.inner.shared.queue(&self.inner, &work.inner)
    }

    /// Queues the item once `delay` of the machine's time has passed (`queue_delayed_work`). `false` if it was already
    /// waiting for its time or to be run, or is being cancelled.
    pub fn queue_delayed(&self, work: &Work, delay: Duration) -> bool {
        self.inner
            .shared
            .queue_delayed(&self.inner, &work.inner, delay)
    }

    /// Queues the item once `delay` has passed, whatever it was waiting for before (`mod_delayed_work`). `true` if it
    /// was waiting.
    pub fn mod_delayed(&self, work: &Work, delay: Duration) -> bool {
        let waited = work.cancel();
        self.queue_delayed(work, delay);
        waited
    }

    /// Waits for everything that is queued now (`flush_workqueue`); not for delayed items whose time has not come.
    #[track_caller]
    #[inline(never)]
    pub fn flush(&self) {
        self.inner.map.touch();
        self.inner.shared.flush_queue(&self.inner);
    }
}

impl fmt::Debug for Workqueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workqueue")
            .field("name", &self.inner.name)
            .field("max_active", &self.inner.max_active)
            .finish_non_exhaustive()
    }
}

/// A work item (`struct work_struct`, and `struct delayed_work`: every item may also be queued with a delay). Clones are
/// the same item.
#[derive(Clone)]
pub struct Work {
    inner: Arc<WorkInner>,
}

struct WorkInner {
    name: &'static str,
    /// The function as reports name it.
    function_name: String,
    map: LockMap,
    /// Locked by the worker that runs the item, of which there is never more than one. A standard mutex: were it
    /// validated, every item would seem to nest what it takes in one more lock.
    function: Mutex<Function>,
    /// The workers that the item was first queued with, and so belongs to.
    shared: OnceLock<Arc<Shared>>,
    /// Only touched with the pool's lock held.
    state: lockdep::Mutex<WorkState>,
}

impl Work {
    /// An item that runs `function` (`INIT_WORK`). Items of one name are of one lock class. Reports name the function
    /// by its type's name; of a closure, that is the function around it.
    pub fn new<F>(name: &'static str, function: F) -> Self
    where
        F: FnMut(&mut Held<'_, Unlocked>) + Send + 'static,
    {
        Work::boxed(name, function_name::<F>(), Box::new(function))
    }

    /// An item that runs `function` on `object`, or does nothing once the object is gone: for an object that owns its
    /// own work items.
    pub fn on<T, F>(name: &'static str, object: Weak<T>, function: F) -> Self
    where
        T: Send + Sync + 'static,
        F: Fn(&Arc<T>, &mut Held<'_, Unlocked>) + Send + 'static,
    {
        Work::boxed(
            name,
            function_name::<F>(),
            Box::new(move |held| {
                if let Some(object) = object.upgrade() {
                    function(&object, held);
                }
            }),
        )
    }

    fn boxed(name: &'static str, function_name: String, function: Function) -> Self {
        Work {
            inner: Arc::new(WorkInner {
                name,
                function_name,
                map: LockMap::with_class(Class::named(name)),
                function: Mutex::new(function),
                shared: OnceLock::new(),
                state: lockdep::Mutex::named("&work->data", WorkState::default()),
            }),
        }
    }

    /// The item's name.
    pub fn name(&self) -> &'static str {
        self.inner.name
    }

    /// Whether the item waits for its time or to be run (`work_pending`).
    pub fn is_pending(&self) -> bool {
        self.inner
            .shared
            .get()
            .is_some_and(|shared| shared.is_pending(&self.inner))
    }

    /// Waits until the item, if it waits or runs, has run (`flush_work`); one that waits for its time is queued at once
    /// (`flush_delayed_work`). `true` if there was something to wait for.
    #[track_caller]
    #[inline(never)]
    pub fn flush(&self) -> bool {
        self.inner.map.touch();
        match self.inner.shared.get() {
            Some(shared) => shared.flush_work(&self.inner),
            None => false,
        }
    }

    /// Makes the item not wait any more (`cancel_work`), without waiting for a run that has begun. `true` if it waited.
    pub fn cancel(&self) -> bool {
        self.inner
            .shared
            .get()
            .is_some_and(|shared| shared.cancel(&self.inner))
    }

    /// Makes the item not wait any more and waits for a run that has begun (`cancel_work_sync`): afterwards it neither
    /// waits nor runs. It cannot be queued meanwhile. `true` if it waited.
    #[track_caller]
    #[inline(never)]
    pub fn cancel_sync(&self) -> bool {
        self.inner.map.touch();
        match self.inner.shared.get() {
            Some(shared) => shared.cancel_sync(&self.inner),
            None => false,
        }
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work")
            .field("name", &self.inner.name)
            .field("function", &self.inner.function_name)
            .finish_non_exhaustive()
    }
}

/// The last word of a function's path; of a closure's, that of the function it stands in.
fn function_name<F>() -> String {
    type_name::<F>()
        .split("::")
        .filter(|part| !part.starts_with("{{"))
        .last()
        .unwrap_or("?")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named_function(_held: &mut Held<'_, Unlocked>) {}

    #[test]
    fn functions_are_named_as_in_a_report() {
        assert_eq!(
            Work::new("w", named_function).inner.function_name,
            "named_function"
        );
        assert_eq!(
            Work::new("w", |_| ()).inner.function_name,
            "functions_are_named_as_in_a_report"
        );
    }
}
