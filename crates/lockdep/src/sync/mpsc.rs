//! Channels: `std::sync::mpsc` with its waits seen by the validator.
//!
//! To receive is to wait for who sends, and to send into a channel of limited size is to wait for who receives. Who that is
//! is said by a promise ([`Sender::promise`], [`SyncSender::promise`], [`Receiver::promise`]): as long as it lives, what the
//! thread waits for keeps the other side waiting. A thread that holds a lock while it receives, from a sender that takes
//! this lock before it sends, is an inversion like any other. Without promises nothing is reported.
//!
//! ```
//! use lockdep::{Mutex, mpsc};
//! # lockdep::set_handler(|_| ());
//! let state = Mutex::named("state", 0);
//! let (sender, receiver) = mpsc::channel();
//! {
//!     let _promise = sender.promise();
//!     let state = state.lock().unwrap(); // in the sending thread, say
//!     sender.send(*state).unwrap();
//! }
//! let _state = state.lock().unwrap();
//! receiver.recv().unwrap(); // reported: were the sender late, it would wait for the lock held here
//! # assert_eq!(lockdep::reports().len(), 1);
//! ```

use std::fmt;
use std::panic::Location;
pub use std::sync::mpsc::{RecvError, RecvTimeoutError, SendError, TryRecvError, TrySendError};
use std::time::Duration;

use super::event::Event;
use super::lock_map::LockMapGuard;
use crate::class::Class;
use crate::thread::ip;

/// The two things that are waited for.
#[cfg(not(feature = "off"))]
#[derive(Clone, Debug)]
struct Events(std::sync::Arc<(Event, Event)>);

#[cfg(not(feature = "off"))]
impl Events {
    fn new(site: &'static Location<'static>, bounded: bool) -> Self {
        let room = if bounded {
            let name = format!("room in {}:{}", site.file(), site.line());
            Class::named(name)
        } else {
            // Nobody waits for room.
            Class::Site(site)
        };
        Self(std::sync::Arc::new((
            Event::new(Class::Site(site)),
            Event::new(room),
        )))
    }

    fn message(&self) -> &Event {
        &self.0.0
    }

    fn room(&self) -> &Event {
        &self.0.1
    }
}

/// Nobody looks.
#[cfg(feature = "off")]
#[derive(Clone, Debug)]
struct Events;

#[cfg(feature = "off")]
impl Events {
    const fn new(_: &'static Location<'static>, _: bool) -> Self {
        Self
    }

    fn message(&self) -> &Event {
        const { &Event::new(Class::Name(std::borrow::Cow::Borrowed(""))) }
    }

    fn room(&self) -> &Event {
        self.message()
    }
}

/// A channel without limit, of the class of the calling line.
#[track_caller]
#[must_use]
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let events = Events::new(Location::caller(), false);
    let (sender, receiver) = std::sync::mpsc::channel();
    let sender = Sender {
        inner: sender,
        events: events.clone(),
    };
    let receiver = Receiver {
        inner: receiver,
        events,
    };
    (sender, receiver)
}

/// A channel for at most `bound` messages that were not received yet, of the class of the calling line.
#[track_caller]
#[must_use]
pub fn sync_channel<T>(bound: usize) -> (SyncSender<T>, Receiver<T>) {
    let events = Events::new(Location::caller(), true);
    let (sender, receiver) = std::sync::mpsc::sync_channel(bound);
    let sender = SyncSender {
        inner: sender,
        events: events.clone(),
    };
    let receiver = Receiver {
        inner: receiver,
        events,
    };
    (sender, receiver)
}

/// `std::sync::mpsc::Sender`.
pub struct Sender<T> {
    inner: std::sync::mpsc::Sender<T>,
    events: Events,
}

impl<T> Sender<T> {
    /// Sends a message. Never waits.
    ///
    /// # Errors
    /// The message back, if the receiver is gone.
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        self.inner.send(message)
    }

    /// As long as the promise lives, the calling thread is one that the receiver waits for.
    #[track_caller]
    pub fn promise(&self) -> LockMapGuard<'_> {
        self.events.message().promise()
    }
}

/// `std::sync::mpsc::SyncSender`.
pub struct SyncSender<T> {
    inner: std::sync::mpsc::SyncSender<T>,
    events: Events,
}

impl<T> SyncSender<T> {
    /// Sends a message; waits for room.
    ///
    /// # Errors
    /// The message back, if the receiver is gone.
    #[track_caller]
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        let room = self.events.room();
        room.wait(Location::caller(), ip(), || self.inner.send(message))
    }

    /// Sends a message if there is room.
    ///
    /// # Errors
    /// The message back, if there is no room or the receiver is gone.
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        self.inner.try_send(message)
    }

    /// As long as the promise lives, the calling thread is one that the receiver waits for.
    #[track_caller]
    pub fn promise(&self) -> LockMapGuard<'_> {
        self.events.message().promise()
    }
}

/// `std::sync::mpsc::Receiver`.
pub struct Receiver<T> {
    inner: std::sync::mpsc::Receiver<T>,
    events: Events,
}

impl<T> Receiver<T> {
    /// Waits for a message.
    ///
    /// # Errors
    /// When all senders are gone.
    #[track_caller]
    pub fn recv(&self) -> Result<T, RecvError> {
        let message = self.events.message();
        message.wait(Location::caller(), ip(), || self.inner.recv())
    }

    /// Waits for a message, at most for `timeout`.
    ///
    /// # Errors
    /// When all senders are gone, or the time is over.
    #[track_caller]
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        let message = self.events.message();
        message.wait(Location::caller(), ip(), || {
            self.inner.recv_timeout(timeout)
        })
    }

    /// A message, if there is one.
    ///
    /// # Errors
    /// When there is none, or all senders are gone too.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.inner.try_recv()
    }

    /// The messages, waited for, until all senders are gone.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self }
    }

    /// The messages that are there.
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter { receiver: self }
    }

    /// As long as the promise lives, the calling thread is the one that senders wait for when there is no room.
    #[track_caller]
    pub fn promise(&self) -> LockMapGuard<'_> {
        self.events.room().promise()
    }
}

/// `std::sync::mpsc::Iter`.
#[derive(Debug)]
pub struct Iter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// `std::sync::mpsc::TryIter`.
#[derive(Debug)]
pub struct TryIter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// `std::sync::mpsc::IntoIter`.
#[derive(Debug)]
pub struct IntoIter<T> {
    receiver: Receiver<T>,
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;
    #[track_caller]
    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T> Iterator for TryIter<'_, T> {
    type Item = T;
    fn next(&mut self) -> Option<T> {
        self.receiver.try_recv().ok()
    }
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;
    #[track_caller]
    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;
    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;
    fn into_iter(self) -> IntoIter<T> {
        IntoIter { receiver: self }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            events: self.events.clone(),
        }
    }
}

impl<T> Clone for SyncSender<T> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            events: self.events.clone(),
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.inner, f)
    }
}

impl<T> fmt::Debug for SyncSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.inner, f)
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.inner, f)
    }
}
