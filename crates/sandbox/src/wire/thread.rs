//! The wire's thread: it lives in the hidden namespace, does jobs and reads notifications.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, OnceLock};

use lockdep::Mutex;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::events::{Announcer, Event};
use crate::client::lock;
use crate::netns;
use crate::rtnl::{self, Message, Request, Route};
use crate::sys::{self, Result};

/// What a job does on the thread.
pub(super) type Job = Box<dyn FnOnce(&mut Inner) + Send>;

/// What the wire's thread works with.
pub(super) struct Thread {
    pub(super) jobs: Receiver<Job>,
    pub(super) bell: Arc<OwnedFd>,
    pub(super) events: Announcer,
    pub(super) notifications: Arc<OnceLock<Arc<OwnedFd>>>,
    pub(super) known: Arc<Mutex<HashMap<u64, ()>>>,
    pub(super) watch_links: Arc<AtomicBool>,
}

impl Thread {
    /// Runs until the machine ends.
    pub(super) fn live(self) -> Result<()> {
        sys::unshare(libc::CLONE_NEWNET)?;
        let notifications = Arc::new(sys::netlink_socket(libc::NETLINK_ROUTE)?);
        // Unbound it would have port id 0, and the kernel leaves out whom a notification is from, which is 0, too.
        sys::netlink_bind(notifications.as_fd(), 0, 0)?;
        let join = |group: u32| {
            const NETLINK_ADD_MEMBERSHIP: i32 = 1;
            sys::set_option(
                notifications.as_fd(),
                sys::SOL_NETLINK,
                NETLINK_ADD_MEMBERSHIP,
                &group.to_ne_bytes(),
            )
        };
        join(rtnl::RTNLGRP_NSID)?;
        // A burst of deletions must not overflow; refused where root is not the real one, and then the default serves.
        let _ = sys::set_option(
            notifications.as_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVBUFFORCE,
            &(4_i32 << 20).to_ne_bytes(),
        );
        let requests = sys::netlink_socket(libc::NETLINK_ROUTE)?;
        // Else a dump ignores the attributes of its request, and with them whose ids are asked for.
        const NETLINK_GET_STRICT_CHK: i32 = 12;
        sys::set_option(
            requests.as_fd(),
            sys::SOL_NETLINK,
            NETLINK_GET_STRICT_CHK,
            &1_i32.to_ne_bytes(),
        )?;
        let mut inner = Inner {
            route: Route::new(requests),
            home: netns::open_current()?,
            ids: HashMap::new(),
            cookies: HashMap::new(),
            next_id: 1,
            events: self.events,
            notifications: Arc::clone(&notifications),
            buffer: vec![0; 64 * 1024],
            known: self.known,
        };
        let mut listening_to_all = false;
        let _ = self.notifications.set(Arc::clone(&notifications));
        loop {
            let mut waits = [
                PollFd::new(&self.bell, PollFlags::IN),
                PollFd::new(&notifications, PollFlags::IN),
            ];
            match poll(&mut waits, None) {
                Err(Errno::INTR) => continue,
                other => other?,
            };
            if waits[1].revents().is_empty() {
                let mut count = [0; 8];
                let _ = rustix::io::read(&*self.bell, &mut count);
            } else {
                inner.hear_next()?;
            }
            if !listening_to_all && self.watch_links.load(Ordering::Acquire) {
                listening_to_all = true;
                const NETLINK_LISTEN_ALL_NSID: i32 = 8;
                sys::set_option(
                    notifications.as_fd(),
                    sys::SOL_NETLINK,
                    NETLINK_LISTEN_ALL_NSID,
                    &1_i32.to_ne_bytes(),
                )?;
                join(rtnl::RTNLGRP_LINK)?;
            }
            for job in self.jobs.try_iter() {
                job(&mut inner);
            }
        }
    }
}

/// The state that only the wire's thread uses.
pub(crate) struct Inner {
    pub(crate) route: Route,
    /// A descriptor of the wire's own namespace.
    pub(crate) home: OwnedFd,
    ids: HashMap<u64, i32>,
    pub(super) cookies: HashMap<i32, u64>,
    next_id: i32,
    pub(super) events: Announcer,
    notifications: Arc<OwnedFd>,
    /// What a notification is read into.
    buffer: Vec<u8>,
    /// Which namespaces have been made known, shared with all threads.
    known: Arc<Mutex<HashMap<u64, ()>>>,
}

impl Inner {
    /// The wire's id of a known namespace.
    pub(crate) fn id(&self, cookie: u64) -> Result<i32> {
        self.ids.get(&cookie).copied().ok_or(Errno::NOENT)
    }

    pub(super) fn register(&mut self, cookie: u64, namespace: BorrowedFd<'_>) -> Result<()> {
        let id = self.next_id;
        let fd = namespace.as_raw_fd();
        let request = Request::new(rtnl::RTM_NEWNSID, 0, rtnl::RTGENMSG)
            .attribute(rtnl::NETNSA_NSID, &id.to_ne_bytes())
            .attribute(rtnl::NETNSA_FD, &fd.to_ne_bytes());
        self.route.call(request, |_| {})?;
        self.next_id += 1;
        self.ids.insert(cookie, id);
        self.cookies.insert(id, cookie);
        // What has happened to its links before is not said any more: here is how they are now.
        let request = Request::new(rtnl::RTM_GETLINK, 0, rtnl::IFINFOMSG)
            .attribute(rtnl::IFLA_TARGET_NETNSID, &id.to_ne_bytes());
        let mut links = Vec::new();
        self.route
            .dump(request, |message| links.push(new_link(cookie, &message)))?;
        for link in links {
            self.events.send(link);
        }
        Ok(())
    }

    fn forget(&mut self, id: i32) {
        if let Some(cookie) = self.cookies.remove(&id) {
            self.ids.remove(&cookie);
            lock(&self.known).remove(&cookie);
            self.events.send(Event::NetGone(cookie));
        }
    }

    /// The id that the namespace `id` (ours) has in the namespace `home` (our id).
    pub(super) fn translate(&mut self, home: i32, id: i32) -> Result<Option<i32>> {
        // Asked the other way round: every id of `home`, with what it is here.
        let mut found = None;
        self.ids_of(home, |there, here| {
            if here == id {
                found = Some(there);
            }
        })?;
        Ok(found)
    }

    /// What the namespace that `home` calls `nsid` is called here.
    pub(super) fn id_from(&mut self, home: i32, nsid: i32) -> Result<Option<i32>> {
        let mut found = None;
        self.ids_of(home, |there, here| {
            if there == nsid {
                found = Some(here);
            }
        })?;
        Ok(found)
    }

    /// All ids that the namespace `home` has given, each with the id here.
    fn ids_of(&mut self, home: i32, mut each: impl FnMut(i32, i32)) -> Result<()> {
        const NETNSA_TARGET_NSID: u16 = 4;
        const NETNSA_CURRENT_NSID: u16 = 5;
        let request = Request::new(rtnl::RTM_GETNSID, 0, rtnl::RTGENMSG)
            .attribute(NETNSA_TARGET_NSID, &home.to_ne_bytes());
        self.route.dump(request, |message| {
            let id = |kind| {
                let value = message.attribute(rtnl::RTGENMSG, kind)?;
                Some(i32::from_ne_bytes(value.try_into().ok()?))
            };
            if let (Some(there), Some(here)) = (id(rtnl::NETNSA_NSID), id(NETNSA_CURRENT_NSID)) {
                each(there, here);
            }
        })
    }

    /// Reads all notifications that have arrived.
    pub(super) fn hear_all(&mut self) -> Result<()> {
        while self.hear_next()? {}
        Ok(())
    }

    /// Reads the next notification; false: there is none.
    fn hear_next(&mut self) -> Result<bool> {
        // Before it leaves the queue, so that it is always seen in one of the two places.
        self.events.unsettled.fetch_add(1, Ordering::SeqCst);
        let mut buffer = std::mem::take(&mut self.buffer);
        let received =
            sys::recv_message(self.notifications.as_fd(), &mut buffer, libc::MSG_DONTWAIT);
        let heard = match received {
            Ok(received) => {
                let datagram = &buffer[..received.length.min(buffer.len())];
                self.hear(received.nsid, datagram);
                Ok(true)
            }
            Err(Errno::NOBUFS) => self.look_again().map(|()| true),
            Err(Errno::INTR) => Ok(true),
            Err(Errno::AGAIN) => Ok(false),
            Err(errno) => Err(errno),
        };
        self.buffer = buffer;
        self.events.unsettled.fetch_sub(1, Ordering::SeqCst);
        heard
    }

    /// Notifications were lost: which namespaces still have their id?
    fn look_again(&mut self) -> Result<()> {
        let mut alive = Vec::new();
        let request = Request::new(rtnl::RTM_GETNSID, 0, rtnl::RTGENMSG);
        self.route.dump(request, |message| {
            let id = message.attribute(rtnl::RTGENMSG, rtnl::NETNSA_NSID);
            alive.extend(id.and_then(|id| Some(i32::from_ne_bytes(id.try_into().ok()?))));
        })?;
        let gone: Vec<i32> = self
            .cookies
            .keys()
            .copied()
            .filter(|id| !alive.contains(id))
            .collect();
        for id in gone {
            self.forget(id);
        }
        Ok(())
    }

    /// A notification.
    fn hear(&mut self, nsid: Option<i32>, datagram: &[u8]) {
        for message in Message::all(datagram) {
            match message.kind {
                rtnl::RTM_DELNSID if nsid.is_none() => {
                    let id = message
                        .attribute(rtnl::RTGENMSG, rtnl::NETNSA_NSID)
                        .and_then(|id| Some(i32::from_ne_bytes(id.try_into().ok()?)));
                    if let Some(id) = id {
                        self.forget(id);
                    }
                }
                rtnl::RTM_NEWLINK | rtnl::RTM_DELLINK => {
                    if let Some((id, &net)) = nsid.and_then(|id| Some((id, self.cookies.get(&id)?)))
                    {
                        let event = self.link_event(id, net, &message);
                        self.events.send(event);
                    }
                }
                _ => {}
            }
        }
    }

    fn link_event(&mut self, id: i32, net: u64, message: &Message<'_>) -> Event {
        let index = message.word(4);
        let word = |kind| {
            let value = message.attribute(rtnl::IFINFOMSG, kind)?;
            Some(u32::from_ne_bytes(value.try_into().ok()?))
        };
        if message.kind == rtnl::RTM_NEWLINK {
            return new_link(net, message);
        }
        let destination = word(rtnl::IFLA_NEW_NETNSID)
            .and_then(|there| self.id_from(id, there as i32).ok().flatten())
            .and_then(|here| self.cookies.get(&here));
        if let Some(&to) = destination {
            let new_index = word(rtnl::IFLA_NEW_IFINDEX).unwrap_or(index);
            return Event::LinkMoved {
                net,
                index,
                to,
                new_index,
            };
        }
        Event::LinkGone {
            net,
            index,
            name: message.name(),
        }
    }
}

/// A link as a message describes it.
fn new_link(net: u64, message: &Message<'_>) -> Event {
    let attribute = |kind| message.attribute(rtnl::IFINFOMSG, kind);
    let mtu =
        attribute(rtnl::IFLA_MTU).and_then(|mtu| Some(u32::from_ne_bytes(mtu.try_into().ok()?)));
    Event::Link {
        net,
        index: message.word(4),
        name: message.name(),
        flags: message.word(8),
        mtu,
        address: attribute(rtnl::IFLA_ADDRESS).unwrap_or_default().to_vec(),
    }
}
