//! Receives that wait for data, as a blocking socket's do, and sends that wait for the answer.
//!
//! Each keeps a copy of the client's end, so it must go when its caller is gone: killed, or interrupted by a signal
//! and perhaps about to close the socket. And its caller must be interrupted when it has a signal to take ([`pending`]).
//! Of neither the kernel tells the listener, so a waiting receive is looked at, soon at first and then every
//! [`LONGEST_PAUSE`]. Besides, it ends
//! * when the same thread makes another trapped call,
//! * when the thread ends (its pidfd becomes readable, kernel 6.9).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustix::io::Errno;

use super::pending::{self, Pending};
use super::receive::{Progress, Receive};
use super::{Supervisor, Tag};
use crate::sys::{self, Notification};

/// How many receives are waited for without entering epoll.
pub(super) const MOST_RECENT: usize = 8;
/// When a waiting receive is looked at first; each pause is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
/// How often a waiting receive is looked at in the end.
const LONGEST_PAUSE: Duration = Duration::from_millis(32);

/// What a call waits to do when there is data.
#[derive(Debug)]
pub(super) enum Wait {
    /// Receive it.
    Receive(Receive),
    /// Return, for so many bytes have been sent and this is the answer, which the client receives in another call.
    Sent(i64),
}

#[derive(Debug)]
struct Waiting {
    id: u32,
    call: Notification,
    what: Wait,
    fd: OwnedFd,
    slot: u32,
    /// When `SO_RCVTIMEO` ends it.
    deadline: Option<Instant>,
    /// Waits long enough to be in epoll.
    settled: bool,
    /// Becomes readable when the thread ends.
    end: Option<OwnedFd>,
    /// When to look next.
    look: Instant,
    /// The time between the last look and the next.
    pause: Duration,
    /// At the last look there was a signal that another thread may take.
    doubtful: bool,
}

/// All waiting receives.
#[derive(Debug, Default)]
pub(super) struct Parked {
    waiting: Vec<Waiting>,
    next_id: u32,
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
    pub(super) fn timeout(&self) -> i32 {
        let looks = self.waiting.iter().map(|waiting| waiting.look);
        let deadlines = self.waiting.iter().filter_map(|waiting| waiting.deadline);
        let Some(next) = looks.chain(deadlines).min() else {
            return -1;
        };
        // Rounded up: waking early would only mean to sleep again.
        let left = next.saturating_duration_since(Instant::now());
        left.as_micros().div_ceil(1000) as i32
    }
}

impl Supervisor {
    pub(super) fn park(
        &mut self,
        call: Notification,
        what: Wait,
        fd: OwnedFd,
        slot: u32,
        timeout: Option<Duration>,
    ) {
        let now = Instant::now();
        self.parked.next_id = self.parked.next_id.wrapping_add(1);
        self.parked.waiting.push(Waiting {
            id: self.parked.next_id,
            call,
            what,
            fd,
            slot,
            deadline: timeout.map(|timeout| now + timeout),
            settled: false,
            end: None,
            look: now + FIRST_PAUSE,
            pause: FIRST_PAUSE,
            doubtful: false,
        });
        if self.parked.recent().count() > MOST_RECENT {
            let oldest = self
                .parked
                .waiting
                .iter()
                .position(|waiting| !waiting.settled);
            if let Some(oldest) = oldest {
                self.settle(oldest);
            }
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

    /// Whether a sender waits for the answer on this socket.
    pub(super) fn is_held(&self, slot: u32) -> bool {
        self.parked
            .waiting
            .iter()
            .any(|waiting| waiting.slot == slot && matches!(waiting.what, Wait::Sent(_)))
    }

    fn unpark(&mut self, index: usize) -> Waiting {
        let waiting = self.parked.waiting.remove(index);
        if waiting.settled {
            let _ = epoll::delete(&self.epoll, &waiting.fd);
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
        let progress = match &waiting.what {
            Wait::Receive(receive) => {
                self.try_receive(&waiting.call, receive, waiting.fd.as_fd(), waiting.slot)
            }
            Wait::Sent(length) => {
                self.answer(&waiting.call, Ok(*length));
                Progress::Done
            }
        };
        if progress == Progress::MustWait {
            self.parked.waiting.push(waiting);
            return;
        }
        if waiting.settled {
            let _ = epoll::delete(&self.epoll, &waiting.fd);
        }
        waiting.end = None;
    }

    /// Ends receives whose time is over or whose caller has a signal to take, and drops those whose caller is gone.
    pub(super) fn reap_parked(&mut self) {
        if self.parked.waiting.is_empty() {
            return;
        }
        let now = Instant::now();
        for index in (0..self.parked.waiting.len()).rev() {
            let waiting = &self.parked.waiting[index];
            if waiting.deadline.is_some_and(|deadline| deadline <= now) {
                let waiting = self.unpark(index);
                self.answer(&waiting.call, Err(Errno::AGAIN));
            } else if waiting.look <= now {
                self.look_at_parked(index, now);
            }
        }
    }

    fn look_at_parked(&mut self, index: usize, now: Instant) {
        let waiting = &self.parked.waiting[index];
        if !self.still_waits(&waiting.call) {
            self.unpark(index);
            return;
        }
        let pending = pending::of_thread(waiting.call.tid);
        if let (Wait::Sent(length), Pending::Certain | Pending::Perhaps) = (&waiting.what, pending)
        {
            // What is sent is sent; the signal comes after the call.
            let length = *length;
            let waiting = self.unpark(index);
            self.answer(&waiting.call, Ok(length));
            return;
        }
        match pending {
            Pending::Certain => {
                let waiting = self.unpark(index);
                let _ = sys::notif_interrupt(self.listener.as_fd(), waiting.call.id);
                return;
            }
            // Nobody has taken it since: it waits for this thread.
            Pending::Perhaps if waiting.doubtful => {
                let waiting = self.unpark(index);
                self.answer(&waiting.call, Err(Errno::INTR));
                return;
            }
            Pending::Perhaps | Pending::Nothing => {}
        }
        let waiting = &mut self.parked.waiting[index];
        waiting.doubtful = pending == Pending::Perhaps;
        waiting.pause = (waiting.pause * 2).min(LONGEST_PAUSE);
        waiting.look = now + waiting.pause;
        if waiting.pause == LONGEST_PAUSE && !waiting.settled {
            self.settle(index);
        }
    }
}
