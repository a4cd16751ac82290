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
use lockdep::order::{self, Before, Held, Level};
use lockdep::{LockMap, WouldDeadlock};

/// A value that namespaces come and go under (read), or that changes as a whole (write).
pub(crate) struct PernetRwsem<T> {
    gate: Mutex<Gate>,
    opened: Condvar,
    lock: order::RwLock<PernetOps, T>,
    /// Of the lock's class: for who has to give up.
    wanted: LockMap,
}

/// Who is past the gate. A standard mutex: it is the waiting part of a lock that is validated right behind it.
#[derive(Default)]
struct Gate {
    readers: Vec<ThreadId>,
    writer: Option<ThreadId>,
}

/// Read access.
pub(crate) struct ReadGuard<'t, T> {
    value: order::RwLockReadGuard<'t, PernetOps, T>,
    _past: Past<'t, T>,
}

/// Write access.
pub(crate) struct WriteGuard<'t, T> {
    value: order::RwLockWriteGuard<'t, PernetOps, T>,
    _past: Past<'t, T>,
}

/// This thread is past the gate. Dropped after the lock.
struct Past<'t, T>(&'t PernetRwsem<T>);

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
            wanted: LockMap::with_class(PernetOps::CLASS),
        }
    }

    /// Takes the lock for reading (`down_read`).
    #[track_caller]
    #[inline(always)]
    pub(crate) fn read<'t, H: Before<PernetOps>>(
        &'t self,
        held: &'t mut Held<'_, H>,
    ) -> (ReadGuard<'t, T>, Held<'t, PernetOps>) {
        let past = self.enter_reader();
        let (value, held) = self.lock.read(held);
        (ReadGuard { value, _past: past }, held)
    }

    /// Takes the lock for writing (`down_write`), or says why not: the calling thread holds it itself, or others have held it
    /// for longer than `limit`. Either has then been shown to the validator.
    #[track_caller]
    #[inline(always)]
    pub(crate) fn write<'t, H: Before<PernetOps>>(
        &'t self,
        held: &'t mut Held<'_, H>,
        limit: Duration,
    ) -> Result<(WriteGuard<'t, T>, Held<'t, PernetOps>), WouldDeadlock> {
        match self.enter_writer(limit) {
            Entered::Past(past) => {
                let (value, held) = self.lock.write_or_deadlock(held)?;
                Ok((WriteGuard { value, _past: past }, held))
            }
            // The validator knows that this thread holds the lock, reports it and refuses.
            Entered::Own => match self.lock.write_or_deadlock(held) {
                Ok(_) => Err(WouldDeadlock),
                Err(refused) => Err(refused),
            },
            Entered::TooLong => {
                self.wanted.touch();
                Err(WouldDeadlock)
            }
        }
    }

    fn enter_reader(&self) -> Past<'_, T> {
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

    fn enter_writer(&self, limit: Duration) -> Entered<'_, T> {
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

/// How an attempt to write ended at the gate.
enum Entered<'t, T> {
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
