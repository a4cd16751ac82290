//! Who waits for work items, and who calls them off.
//!
//! A wait that could never end, because the waiting thread itself runs what it would wait for, is not done: the touch of
//! the pseudo-lock, before, has reported it.

use std::sync::{Arc, PoisonError};

use super::pool::{CURRENT, Item, Pending, Pool, Shared, address};
use super::{WorkInner, WorkqueueInner};
use crate::bus::lock;

impl Shared {
    pub(super) fn is_pending(&self, work: &WorkInner) -> bool {
        let _pool = self.lock();
        lock(&work.state).pending.is_some()
    }

    pub(super) fn flush_queue(&self, queue: &Arc<WorkqueueInner>) {
        let mut pool = self.lock();
        let limit = pool.next_seq;
        // Reported by the caller's touch of the pseudo-lock; to wait for oneself, or for what comes after oneself on an
        // ordered queue, would never end.
        let own = CURRENT
            .get()
            .filter(|(current, ..)| *current == address(queue))
            .map(|(.., seq)| seq);
        if own.is_some() && queue.max_active == 1 {
            return;
        }
        while lock(&queue.queue)
            .outstanding
            .range(..limit)
            .any(|seq| Some(*seq) != own)
        {
            pool = self.done.wait(pool).unwrap_or_else(PoisonError::into_inner);
        }
    }

    #[track_caller]
    pub(super) fn flush_work(&self, work: &Arc<WorkInner>) -> bool {
        let mut pool = self.lock();
        let pending = lock(&work.state).pending.clone();
        let (target, queue) = match pending {
            Some(Pending::Timer(deadline, seq)) => {
                let Some(item) = pool.timers.remove(&(deadline, seq)) else {
                    return false;
                };
                let target = pool.next_seq;
                self.insert(&mut pool, &item.queue, work);
                self.kick(&mut pool);
                (target, Some(Arc::clone(&item.queue)))
            }
            Some(Pending::Queued(seq, queue)) => (seq, queue.upgrade()),
            None => match lock(&work.state).running.clone() {
                Some((seq, queue)) => (seq, queue.upgrade()),
                None => return false,
            },
        };
        let current = CURRENT.get();
        if let Some(queue) = queue.filter(|queue| queue.max_active == 1) {
            drop(pool);
            // As the kernel: to flush an item is to wait for the whole of an ordered queue before it.
            queue.map.touch();
            if current.is_some_and(|(current, ..)| current == address(&queue)) {
                return false;
            }
            pool = self.lock();
        }
        if current.is_some_and(|(_, current, _)| current == address(work)) {
            return false;
        }
        loop {
            let waiting = {
                let state = lock(&work.state);
                matches!(state.running, Some((seq, _)) if seq == target)
                    || matches!(state.pending, Some(Pending::Queued(seq, _)) if seq == target)
            };
            if !waiting {
                return true;
            }
            pool = self.done.wait(pool).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(super) fn cancel(&self, work: &Arc<WorkInner>) -> bool {
        let mut pool = self.lock();
        let removed = self.remove_pending(&mut pool, work);
        drop(pool);
        let was_pending = removed.is_some();
        if was_pending {
            self.done.notify_all();
        }
        was_pending
    }

    /// Takes a waiting item off the timers or its queue. What is returned is to be dropped without the pool's lock.
    fn remove_pending(&self, pool: &mut Pool, work: &Arc<WorkInner>) -> Option<Item> {
        let pending = lock(&work.state).pending.take()?;
        match pending {
            Pending::Timer(deadline, seq) => pool.timers.remove(&(deadline, seq)),
            Pending::Queued(seq, queue) => {
                if let Some(position) = pool.worklist.iter().position(|item| item.seq == seq) {
                    let item = pool.worklist.remove(position)?;
                    Self::settle(pool, &item);
                    self.kick(pool);
                    return Some(item);
                }
                let queue = queue.upgrade()?;
                let mut state = lock(&queue.queue);
                let position = state.inactive.iter().position(|item| item.seq == seq)?;
                state.outstanding.remove(&seq);
                state.inactive.remove(position)
            }
        }
    }

    pub(super) fn cancel_sync(&self, work: &Arc<WorkInner>) -> bool {
        let mut pool = self.lock();
        lock(&work.state).cancelling += 1;
        let removed = self.remove_pending(&mut pool, work);
        let own = CURRENT
            .get()
            .is_some_and(|(_, current, _)| current == address(work));
        while !own && lock(&work.state).running.is_some() {
            pool = self.done.wait(pool).unwrap_or_else(PoisonError::into_inner);
        }
        lock(&work.state).cancelling -= 1;
        drop(pool);
        self.done.notify_all();
        removed.is_some()
    }
}
