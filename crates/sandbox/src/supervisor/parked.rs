//! Receives that wait for data, as a blocking socket's do.
//!
//! Each keeps a copy of the client's end, so it must go when its caller is gone: killed, or interrupted by a signal
//! and perhaps about to close the socket. The kernel does not tell the listener, so a waiting receive is dropped
//! * when the same thread makes another trapped call,
//! * when the thread ends (its pidfd becomes readable, kernel 6.9),
//! * at the latest with the next look at all of them, [`LOOK`] after the last.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustix::io::Errno;

use super::receive::{Progress, Receive};
use super::{Supervisor, Tag};
use crate::sys::Notification;

/// How many receives are waited for without entering epoll.
pub(super) const MOST_RECENT: usize = 8;
/// How often the waiting receives are looked at.
const LOOK: Duration = Duration::from_millis(100);

#[derive(Debug)]
struct Waiting {
    id: u32,
    call: Notification,
    receive: Receive,
    fd: OwnedFd,
    slot: u32,
    /// When `SO_RCVTIMEO` ends it.
    deadline: Option<Instant>,
    /// Waits long enough to be in epoll.
    settled: bool,
    /// Becomes readable when the thread ends.
    end: Option<OwnedFd>,
}

/// All waiting receives.
#[derive(Debug, Default)]
pub(super) struct Parked {
    waiting: Vec<Waiting>,
    next_id: u32,
    next_look: Option<Instant>,
}

impl Parked {
    /// Those that wait outside epoll.
    pub(super) fn recent(&self) -> impl Iterator<Item = (u32, BorrowedFd<'_>)> {
        self.waiting
            .iter()
            .filter(|waiting| !waiting.settled)
            .map(|waiting| (waiting.id, waiting.fd.as_fd()))
    }

    /// How long the loop may sleep, in milliseconds; -1: for ever.
    pub(super) fn timeout(&self, now: Instant) -> i32 {
        let deadlines = self.waiting.iter().filter_map(|waiting| waiting.deadline);
        match deadlines.chain(self.next_look).min() {
            None => -1,
            // Rounded up: waking early would only mean to sleep again.
            Some(next) => next
                .saturating_duration_since(now)
                .as_micros()
                .div_ceil(1000) as i32,
        }
    }
}

impl Supervisor {
    pub(super) fn park(
        &mut self,
        call: Notification,
        receive: Receive,
        fd: OwnedFd,
        slot: u32,
        timeout: Option<Duration>,
    ) {
        let now = Instant::now();
        self.parked.next_id = self.parked.next_id.wrapping_add(1);
        self.parked.next_look.get_or_insert(now + LOOK);
        self.parked.waiting.push(Waiting {
            id: self.parked.next_id,
            call,
            receive,
            fd,
            slot,
            deadline: timeout.map(|timeout| now + timeout),
            settled: false,
            end: None,
        });
        if self.parked.recent().count() > MOST_RECENT
            && let Some(oldest) = self
                .parked
                .waiting
                .iter()
                .position(|waiting| !waiting.settled)
        {
            self.settle(oldest);
        }
    }

    /// Moves a waiting receive into epoll.
    fn settle(&mut self, index: usize) {
        let waiting = &mut self.parked.waiting[index];
        let tag = Tag::Parked.with(waiting.id);
        if epoll::add(&self.epoll, &waiting.fd, tag, epoll::EventFlags::IN).is_err() {
            return;
        }
        waiting.settled = true;
        waiting.end = self.threads.end_of(waiting.call.tid);
        if let Some(end) = &waiting.end {
            let _ = epoll::add(&self.epoll, end, tag, epoll::EventFlags::IN);
        }
    }

    fn unpark(&mut self, index: usize) -> Waiting {
        let waiting = self.parked.waiting.remove(index);
        if waiting.settled {
            let _ = epoll::delete(&self.epoll, &waiting.fd);
        }
        if self.parked.waiting.is_empty() {
            self.parked.next_look = None;
        }
        waiting
    }

    /// A thread that makes a new call does not wait in an old one.
    pub(super) fn unpark_thread(&mut self, tid: u32) {
        while let Some(index) = self
            .parked
            .waiting
            .iter()
            .position(|waiting| waiting.call.tid == tid)
        {
            self.unpark(index);
        }
    }

    /// Data came for a waiting receive, or its thread ended.
    pub(super) fn resume(&mut self, id: u32) {
        let Some(index) = self
            .parked
            .waiting
            .iter()
            .position(|waiting| waiting.id == id)
        else {
            return;
        };
        let waiting = &self.parked.waiting[index];
        if !self.still_waits(&waiting.call) {
            self.unpark(index);
            return;
        }
        let mut waiting = self.parked.waiting.swap_remove(index);
        let progress = self.try_receive(
            &waiting.call,
            &waiting.receive,
            waiting.fd.as_fd(),
            waiting.slot,
        );
        if progress == Progress::MustWait {
            self.parked.waiting.push(waiting);
            return;
        }
        if waiting.settled {
            let _ = epoll::delete(&self.epoll, &waiting.fd);
        }
        waiting.end = None;
        if self.parked.waiting.is_empty() {
            self.parked.next_look = None;
        }
    }

    /// Ends receives whose time is over, drops those whose caller is gone, and settles the rest.
    pub(super) fn reap_parked(&mut self) {
        let Some(look) = self.parked.next_look else {
            return;
        };
        let now = Instant::now();
        while let Some(index) = (self.parked.waiting.iter())
            .position(|waiting| waiting.deadline.is_some_and(|deadline| deadline <= now))
        {
            let waiting = self.unpark(index);
            self.answer(&waiting.call, Err(Errno::AGAIN));
        }
        if now < look {
            return;
        }
        for index in (0..self.parked.waiting.len()).rev() {
            if !self.still_waits(&self.parked.waiting[index].call) {
                self.unpark(index);
            } else if !self.parked.waiting[index].settled {
                self.settle(index);
            }
        }
        self.parked.next_look = (!self.parked.waiting.is_empty()).then(|| now + LOOK);
    }
}
