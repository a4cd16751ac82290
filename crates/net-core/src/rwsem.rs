//! `pernet_ops_rwsem`, with waits that end.
//!
//! The lock of the origin: a driver that waits for it with its own locks held, while namespace exit holds it and waits for
//! those locks, waits for ever in a kernel. Here the lock validator reports it and the machine goes on. For a single
//! thread that is easy: the validator knows what it holds. Two threads cannot see each other, so waiting is done at a
//! gate in front of the lock, for a limited time; who gives up there still shows the validator what it wanted, then goes on
//! without it. Past the gate the lock is free.

use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use lock_order::PernetOps;
use lockdep::LockMap;
use lockdep::order::{self, Level};

/// A value that namespaces come and go under (read), or that changes as a whole (write).
pub(crate) struct PernetRwsem<T> {
    gate: Mutex<Gate>,
    opened: Condvar,
    pub(crate) lock: order::RwLock<PernetOps, T>,
    /// Of the lock's class: for who has to give up.
    pub(crate) wanted: LockMap,
}

/// Who is past the gate. A standard mutex: it is the waiting part of a lock that is validated right behind it.
#[derive(Default)]
struct Gate {
    readers: Vec<ThreadId>,
    writer: Option<ThreadId>,
}

/// Read access.
pub(crate) struct ReadGuard<'t, T> {
    pub(crate) value: order::RwLockReadGuard<'t, PernetOps, T>,
    #[expect(dead_code, reason = "its drop opens the gate")]
    pub(crate) past: Past<'t, T>,
}

/// Write access.
pub(crate) struct WriteGuard<'t, T> {
    pub(crate) value: order::RwLockWriteGuard<'t, PernetOps, T>,
    #[expect(dead_code, reason = "its drop opens the gate")]
    pub(crate) past: Past<'t, T>,
}

/// This thread is past the gate. Dropped after the lock.
pub(crate) struct Past<'t, T>(&'t PernetRwsem<T>);

impl<T> Drop for Past<'_, T> {
    fn drop(&mut self) {
        let own = thread::current().id();
        let mut gate = self.0.gate();
        if gate.writer == Some(own) {
            gate.writer = None;
        } else if let Some(position) = gate.readers.iter().position(|reader| *reader == own) {
            gate.readers.swap_remove(position);
        }
        drop(gate);
        self.0.opened.notify_all();
    }
}

impl<T> PernetRwsem<T> {
    pub(crate) fn new(value: T) -> Self {
        PernetRwsem {
            gate: Mutex::default(),
            opened: Condvar::new(),
            lock: order::RwLock::new(value),
            wanted: LockMap::with_class(PernetOps::CLASS()),
        }
    }

    /// Past the gate, for reading; only [`down_read`] calls this.
    pub(crate) fn enter_reader(&self) -> Past<'_, T> {
        let mut gate = self.gate();
        while gate.writer.is_some() {
            gate = self
                .opened
                .wait(gate)
                .unwrap_or_else(PoisonError::into_inner);
        }
        gate.readers.push(thread::current().id());
        Past(self)
    }

    /// Past the gate, for writing; only [`down_write`] calls this.
    pub(crate) fn enter_writer(&self, limit: Duration) -> Entered<'_, T> {
        let own = thread::current().id();
        let gate = self.gate();
        if gate.writer == Some(own) || gate.readers.contains(&own) {
            return Entered::Own;
        }
        let (mut gate, waited) = self
            .opened
            .wait_timeout_while(gate, limit, |gate| {
                gate.writer.is_some() || !gate.readers.is_empty()
            })
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return Entered::TooLong;
        }
        gate.writer = Some(own);
        Entered::Past(Past(self))
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the lock for reading: the guard and the new token. A macro, so that reports name who takes it.
macro_rules! down_read {
    ($rwsem:expr, $held:expr) => {{
        let rwsem = &$rwsem;
        let past = rwsem.enter_reader();
        let (value, held) = rwsem.lock.read($held);
        ($crate::rwsem::ReadGuard { value, past }, held)
    }};
}
pub(crate) use down_read;

/// Takes the lock for writing, or says why not: the calling thread holds it itself, or others have held it for longer than
/// the limit. Either has then been shown to the validator. A macro, so that reports name who takes it.
macro_rules! down_write {
    ($rwsem:expr, $held:expr, $limit:expr) => {{
        let rwsem = &$rwsem;
        match rwsem.enter_writer($limit) {
            $crate::rwsem::Entered::Past(past) => rwsem
                .lock
                .write_or_deadlock($held)
                .map(|(value, held)| ($crate::rwsem::WriteGuard { value, past }, held)),
            // The validator knows that this thread holds the lock, reports it and refuses.
            $crate::rwsem::Entered::Own => match rwsem.lock.write_or_deadlock($held) {
                Ok(_) => Err(lockdep::WouldDeadlock),
                Err(refused) => Err(refused),
            },
            $crate::rwsem::Entered::TooLong => {
                rwsem.wanted.touch();
                Err(lockdep::WouldDeadlock)
            }
        }
    }};
}
pub(crate) use down_write;

/// How an attempt to write ended at the gate.
pub(crate) enum Entered<'t, T> {
    Past(Past<'t, T>),
    /// The thread is past it already.
    Own,
    /// Others did not come back.
    TooLong,
}

impl<T> Deref for ReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Deref for WriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for WriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}
