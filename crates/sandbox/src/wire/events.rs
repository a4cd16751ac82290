//! What the wire hears, and the way it takes to whoever handles it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender};
#[cfg(test)]
use std::time::Duration;

/// What the wire has heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The namespace with this cookie does not exist any more.
    NetGone(u64),
    /// A link is new in a namespace or has changed.
    Link {
        /// The namespace.
        net: u64,
        /// The interface index there.
        index: u32,
        /// The name there.
        name: String,
        /// `IFF_…` flags.
        flags: u32,
        /// The largest payload, in bytes, if the kernel says.
        mtu: Option<u32>,
        /// The hardware address.
        address: Vec<u8>,
    },
    /// A link has moved from one namespace to another that the machine knows, too.
    LinkMoved {
        /// The namespace it left.
        net: u64,
        /// The interface index it had there.
        index: u32,
        /// The namespace it is in now.
        to: u64,
        /// The interface index it has there.
        new_index: u32,
    },
    /// A link has left a namespace: deleted, or moved where the machine does not see it.
    LinkGone {
        /// The namespace.
        net: u64,
        /// The interface index it had there.
        index: u32,
        /// The name it had there.
        name: String,
    },
}

/// What goes from the wire's thread to whoever handles events.
pub(super) enum Heard {
    Event(Event),
    /// What went before has been handled when this is answered.
    Mark(Sender<()>),
}

/// What happens to known namespaces and the links in them. An event counts as handled when the next one is asked for.
pub struct Events {
    pub(super) heard: Receiver<Heard>,
    pub(super) unsettled: Arc<AtomicUsize>,
    /// Whether one has been given out that is not yet handled.
    pub(super) in_hand: bool,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

impl Events {
    /// The next event that has been sent within `patience`.
    #[cfg(test)]
    pub(crate) fn next_within(&mut self, patience: Duration) -> Option<Event> {
        self.next_from(|heard| heard.recv_timeout(patience).ok())
    }

    fn next_from(&mut self, receive: impl Fn(&Receiver<Heard>) -> Option<Heard>) -> Option<Event> {
        if std::mem::take(&mut self.in_hand) {
            self.unsettled.fetch_sub(1, Ordering::SeqCst);
        }
        loop {
            match receive(&self.heard)? {
                Heard::Event(event) => {
                    self.in_hand = true;
                    return Some(event);
                }
                // Who waited may have lost patience.
                Heard::Mark(waiter) => _ = waiter.send(()),
            }
        }
    }
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        self.next_from(|heard| heard.recv().ok())
    }
}

/// The way to the handler of events.
pub(super) struct Announcer {
    pub(super) heard: Sender<Heard>,
    /// How many events have been sent and are not yet handled, and one more while the wire's thread has a notification in hand.
    pub(super) unsettled: Arc<AtomicUsize>,
}

impl Announcer {
    pub(super) fn send(&self, event: Event) {
        self.unsettled.fetch_add(1, Ordering::SeqCst);
        let _ = self.heard.send(Heard::Event(event));
    }
}
