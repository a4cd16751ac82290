//! Who is inside a file's handler, and how removal waits for them (`fs/kernfs/dir.c: kernfs_get_active`, `kernfs_drain`).

use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU32, Ordering};

use lockdep::{LockMap, LockMapGuard};

/// Set when the node is removed; the other bits count who is inside.
const REMOVED: u32 = 1 << 31;

thread_local! {
    /// The nodes in whose handlers this thread is, by address.
    static INSIDE: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// Where those who remove wait; one for a whole tree, as nobody waits often.
#[derive(Debug)]
pub(crate) struct Drain {
    mutex: lockdep::Mutex<()>,
    left: lockdep::Condvar,
}

impl Drain {
    pub(crate) const fn new() -> Self {
        Drain {
            mutex: lockdep::Mutex::named("kernfs_root->deactivate_waitq", ()),
            left: lockdep::Condvar::new(),
        }
    }
}

/// A node's active references.
#[derive(Debug, Default)]
pub(crate) struct Active(AtomicU32);

impl Active {
    /// Enters; `None` when the node is removed.
    pub(crate) fn get<'a>(&'a self, drain: &'a Drain, map: &'a LockMap) -> Option<Inside<'a>> {
        let entered = self
            .0
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, |count| {
                (count & REMOVED == 0).then_some(count + 1)
            });
        entered.ok()?;
        INSIDE.with_borrow_mut(|inside| inside.push(self.address()));
        Some(Inside {
            active: self,
            drain,
            _map: map.acquire_read(),
            _not_send: PhantomData,
        })
    }

    pub(crate) fn is_removed(&self) -> bool {
        self.0.load(Ordering::Relaxed) & REMOVED != 0
    }

    /// Lets nobody in any more.
    pub(crate) fn deactivate(&self) {
        self.0.fetch_or(REMOVED, Ordering::AcqRel);
    }

    /// Waits until nobody but the calling thread is inside.
    pub(crate) fn drain(&self, drain: &Drain, map: &LockMap) {
        let address = self.address();
        let own = INSIDE.with_borrow(|inside| inside.iter().filter(|at| **at == address).count());
        if own == 0 {
            map.touch();
        }
        let left = || (self.0.load(Ordering::Acquire) & !REMOVED) as usize <= own;
        if left() {
            return;
        }
        let mut guard = drain.mutex.lock().unwrap_or_else(PoisonError::into_inner);
        while !left() {
            guard = drain
                .left
                .wait(guard)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn put(&self, drain: &Drain) {
        INSIDE.with_borrow_mut(|inside| {
            let address = self.address();
            if let Some(place) = inside.iter().rposition(|at| *at == address) {
                inside.remove(place);
            }
        });
        if self.0.fetch_sub(1, Ordering::Release) & REMOVED != 0 {
            let _guard = drain.mutex.lock().unwrap_or_else(PoisonError::into_inner);
            drain.left.notify_all();
        }
    }
}

/// As long as it lives, the thread is inside the node's handler, and removal waits for it.
#[derive(Debug)]
pub(crate) struct Inside<'a> {
    active: &'a Active,
    drain: &'a Drain,
    _map: LockMapGuard<'a>,
    _not_send: PhantomData<*const ()>,
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.active.put(self.drain);
    }
}
