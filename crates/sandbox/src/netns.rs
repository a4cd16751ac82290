//! Real network namespaces: when one that the machine knows is gone, and what happens to the links in it.
//!
//! One thread, the *wire*, lives in a hidden network namespace of its own. There every known namespace gets an id
//! (`RTM_NEWNSID`), for which the kernel tells the wire everything without the namespace being kept alive by it:
//! `RTM_DELNSID` when it is really gone (its name removed, its last process and socket closed), and with
//! `NETLINK_LISTEN_ALL_NSID` each change of a link in it.
//!
//! A namespace is known by its cookie (`SO_NETNS_COOKIE`), never by its inode, which the kernel uses again at once.
//! The wire's thread only answers jobs and reads notifications; it never calls out, so whoever handles an [`Event`] may
//! use it.
//!
//! So what happens to a link is heard a little later than it happens, and somebody's next request might overtake it:
//! [`Wire::settle`] is for whoever must not be behind.

use std::collections::HashMap;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lockdep::Mutex;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

use crate::client::lock;
use crate::error::Error;
use crate::rtnl::{self, Message, Request, Route};
use crate::sys::{self, Result};

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

/// How long [`Wire::settle`] waits for events to be handled, which is a matter of microseconds. If their handler is stuck, those
/// who wait for it shall not be.
const PATIENCE: Duration = Duration::from_secs(2);

/// What goes from the wire's thread to whoever handles events.
enum Heard {
    Event(Event),
    /// What went before has been handled when this is answered.
    Mark(Sender<()>),
}

/// What happens to known namespaces and the links in them. An event counts as handled when the next one is asked for.
pub struct Events {
    heard: Receiver<Heard>,
    unsettled: Arc<AtomicUsize>,
    /// Whether one has been given out that is not yet handled.
    in_hand: bool,
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
struct Announcer {
    heard: Sender<Heard>,
    /// How many events have been sent and are not yet handled, and one more while the wire's thread has a notification in hand.
    unsettled: Arc<AtomicUsize>,
}

impl Announcer {
    fn send(&self, event: Event) {
        self.unsettled.fetch_add(1, Ordering::SeqCst);
        let _ = self.heard.send(Heard::Event(event));
    }
}

/// The state that only the wire's thread uses.
pub(crate) struct Inner {
    pub(crate) route: Route,
    /// A descriptor of the wire's own namespace.
    pub(crate) home: OwnedFd,
    ids: HashMap<u64, i32>,
    cookies: HashMap<i32, u64>,
    next_id: i32,
    events: Announcer,
    notifications: Arc<OwnedFd>,
    /// What a notification is read into.
    buffer: Vec<u8>,
    /// Which namespaces have been made known, shared with all threads.
    known: Arc<Mutex<HashMap<u64, ()>>>,
}

type Job = Box<dyn FnOnce(&mut Inner) + Send>;

/// See the module's text.
pub struct Wire {
    jobs: Mutex<Sender<Job>>,
    /// What the thread needs, until it is started with the first job: many a machine never needs it.
    thread: Mutex<Option<Thread>>,
    bell: Arc<OwnedFd>,
    events: Mutex<Option<Events>>,
    /// The socket that the wire's thread hears notifications on, once it has it.
    notifications: Arc<OnceLock<Arc<OwnedFd>>>,
    unsettled: Arc<AtomicUsize>,
    known: Arc<Mutex<HashMap<u64, ()>>>,
    /// The cookie of the namespace the machine started in; 0: not said. No namespace has this cookie.
    first: AtomicU64,
    /// Links of other namespaces are watched only when somebody wants to know.
    watch_links: Arc<AtomicBool>,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire")
            .field("known", &lock(&self.known).len())
            .finish_non_exhaustive()
    }
}

impl Wire {
    /// The wire, whose thread starts with the first job. It makes its namespace in the background; jobs wait for it.
    pub(crate) fn new() -> std::result::Result<Arc<Self>, Error> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(Error::system("make an eventfd"))?;
        let bell = Arc::new(bell);
        let (jobs, queue) = mpsc::channel();
        let (events, heard) = mpsc::channel();
        let known = Arc::new(Mutex::named("sandbox_known_netns", HashMap::new()));
        let watch_links = Arc::new(AtomicBool::new(false));
        let unsettled = Arc::new(AtomicUsize::new(0));
        let notifications = Arc::new(OnceLock::new());
        let thread = Thread {
            jobs: queue,
            bell: Arc::clone(&bell),
            events: Announcer {
                heard: events,
                unsettled: Arc::clone(&unsettled),
            },
            notifications: Arc::clone(&notifications),
            known: Arc::clone(&known),
            watch_links: Arc::clone(&watch_links),
        };
        let events = Events {
            heard,
            unsettled: Arc::clone(&unsettled),
            in_hand: false,
        };
        Ok(Arc::new(Self {
            jobs: Mutex::named("sandbox_wire_jobs", jobs),
            thread: Mutex::named("sandbox_wire_thread", Some(thread)),
            bell,
            events: Mutex::named("sandbox_wire_events", Some(events)),
            notifications,
            unsettled,
            known,
            first: AtomicU64::new(0),
            watch_links,
        }))
    }

    fn ensure_started(&self) {
        let Some(thread) = lock(&self.thread).take() else {
            return;
        };
        let live = move || {
            if let Err(errno) = thread.live() {
                eprintln!("userlink: network namespaces cannot be watched: {errno}");
            }
        };
        // Without a thread every job fails, as it does when the thread ends.
        let _ = std::thread::Builder::new().name("wire".into()).spawn(live);
    }

    /// What happens to known namespaces and the links in them. The first caller gets the events; those of links are sent
    /// only from then on.
    pub fn events(&self) -> Option<Events> {
        let events = lock(&self.events).take();
        if events.is_some() {
            self.watch_links.store(true, Ordering::Release);
            self.ring();
        }
        events
    }

    /// Waits until all that has happened to known namespaces and the links in them before this call has been handled by
    /// the owner of the [`events`](Self::events). Costs one system call when nothing has happened.
    ///
    /// To be called with no lock held: the handler may want it.
    pub fn settle(&self) {
        if !self.watch_links.load(Ordering::Acquire) {
            return; // nobody handles events
        }
        let Some(notifications) = self.notifications.get() else {
            return; // nothing is known yet
        };
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let mut queue = [PollFd::new(notifications, PollFlags::IN)];
        let is_empty = poll(&mut queue, Some(&now)) == Ok(0);
        // What is not in the queue any more was counted before it was taken out.
        fence(Ordering::SeqCst);
        if is_empty && self.unsettled.load(Ordering::SeqCst) == 0 {
            return;
        }
        let (waiter, settled) = mpsc::channel();
        self.post(move |inner| {
            let _ = inner.hear_all();
            let _ = inner.events.heard.send(Heard::Mark(waiter));
        });
        let _ = settled.recv_timeout(PATIENCE);
    }

    fn ring(&self) {
        let _ = rustix::io::write(&*self.bell, &1_u64.to_ne_bytes());
    }

    /// Runs `job` on the wire's thread, inside its namespace, without waiting for it.
    pub(crate) fn post(&self, job: impl FnOnce(&mut Inner) + Send + 'static) {
        // The thread ends only with the process, or at once when it could not start; then nothing can be watched.
        let _ = lock(&self.jobs).send(Box::new(job));
        self.ensure_started();
        self.ring();
    }

    /// Runs `job` on the wire's thread and returns its result.
    pub(crate) fn run<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Inner) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        let (answer, result) = mpsc::channel();
        self.post(move |inner| {
            let _ = answer.send(job(inner));
        });
        result.recv().map_err(|_| Errno::NODEV)?
    }

    /// Watches a namespace from now on. The descriptor is used in the background and closed then.
    pub fn know(&self, cookie: u64, namespace: BorrowedFd<'_>) {
        if self.is_new(cookie) {
            if let Ok(namespace) = namespace.try_clone_to_owned() {
                self.register(cookie, namespace);
            }
        }
    }

    /// Watches the namespace a socket is in.
    pub(crate) fn know_by_socket(&self, cookie: u64, socket: BorrowedFd<'_>) {
        if self.is_new(cookie) {
            if let Ok(namespace) = sys::netns_of_socket(socket) {
                self.register(cookie, namespace);
            }
        }
    }

    /// Like [`know`](Self::know), for the namespace the machine starts in. It outlives the machine, so nothing is to be
    /// watched there until the machine makes devices or meets other namespaces.
    pub(crate) fn know_first(&self, cookie: u64, namespace: BorrowedFd<'_>) {
        if self.is_new(cookie) {
            if let Ok(namespace) = namespace.try_clone_to_owned() {
                let _ = lock(&self.jobs).send(register(cookie, namespace));
                self.first.store(cookie, Ordering::Relaxed);
            }
        }
    }

    /// Whether this is the namespace the machine started in, in which every thread but the wire's is.
    pub(crate) fn is_first(&self, cookie: u64) -> bool {
        cookie == self.first.load(Ordering::Relaxed)
    }

    fn is_new(&self, cookie: u64) -> bool {
        lock(&self.known).insert(cookie, ()).is_none()
    }

    fn register(&self, cookie: u64, namespace: OwnedFd) {
        self.post(register(cookie, namespace));
    }

    /// The id, in the namespace `home`, of the namespace `cookie`, as `NETNS_ID` attributes show it; `None` if it has
    /// none there.
    ///
    /// # Errors
    /// What rtnetlink says; `ENOENT`: one of the two is not known.
    pub fn id_in(&self, home: u64, cookie: u64) -> Result<Option<i32>> {
        self.run(move |inner| {
            let home = inner.id(home)?;
            let id = inner.id(cookie)?;
            inner.translate(home, id)
        })
    }

    /// The name of the link with the index `index` in the namespace `net`.
    ///
    /// # Errors
    /// `ENODEV`: there is none. `ENOENT`: the namespace is not known.
    pub fn link_name(&self, net: u64, index: u32) -> Result<String> {
        self.run(move |inner| inner.name_by_index(net, index))
    }

    /// The cookie of the namespace that has the id `nsid` in the namespace `home`.
    ///
    /// # Errors
    /// `EINVAL`: no namespace has this id, or none that this machine knows.
    pub fn cookie_by_id(&self, home: u64, nsid: i32) -> Result<u64> {
        self.run(move |inner| {
            let home = inner.id(home)?;
            let id = inner.id_from(home, nsid)?.ok_or(Errno::INVAL)?;
            inner.cookies.get(&id).copied().ok_or(Errno::INVAL)
        })
    }
}

/// The job that gives a namespace its id.
fn register(cookie: u64, namespace: OwnedFd) -> Job {
    Box::new(move |inner| {
        if let Err(errno) = inner.register(cookie, namespace.as_fd()) {
            eprintln!("userlink: a network namespace cannot be watched: {errno}");
        }
    })
}

impl Inner {
    /// The wire's id of a known namespace.
    pub(crate) fn id(&self, cookie: u64) -> Result<i32> {
        self.ids.get(&cookie).copied().ok_or(Errno::NOENT)
    }

    fn register(&mut self, cookie: u64, namespace: BorrowedFd<'_>) -> Result<()> {
        let id = self.next_id;
        let fd = std::os::fd::AsRawFd::as_raw_fd(&namespace);
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
    fn translate(&mut self, home: i32, id: i32) -> Result<Option<i32>> {
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
    fn id_from(&mut self, home: i32, nsid: i32) -> Result<Option<i32>> {
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
    fn hear_all(&mut self) -> Result<()> {
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

/// What the wire's thread works with.
struct Thread {
    jobs: Receiver<Job>,
    bell: Arc<OwnedFd>,
    events: Announcer,
    notifications: Arc<OnceLock<Arc<OwnedFd>>>,
    known: Arc<Mutex<HashMap<u64, ()>>>,
    watch_links: Arc<AtomicBool>,
}

impl Thread {
    /// Runs until the machine ends.
    fn live(self) -> Result<()> {
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
            home: open_home()?,
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

impl Inner {
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
}

fn open_home() -> Result<OwnedFd> {
    rustix::fs::open(
        "/proc/thread-self/ns/net",
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )
}

/// Runs `act` with the calling thread in the network namespace `namespace`.
pub(crate) fn inside<R>(namespace: BorrowedFd<'_>, act: impl FnOnce() -> R) -> Result<R> {
    let home = open_home()?;
    sys::setns(namespace, libc::CLONE_NEWNET)?;
    let result = act();
    // Going on in the wrong namespace would do things to the wrong devices.
    sys::setns(home.as_fd(), libc::CLONE_NEWNET)
        .expect("a thread may return to the namespace it came from");
    Ok(result)
}

/// A netlink socket in the network namespace `namespace`.
pub(crate) fn socket_in(namespace: BorrowedFd<'_>, protocol: i32) -> Result<OwnedFd> {
    inside(namespace, || sys::netlink_socket(protocol))?
}

/// The cookie of a network namespace.
///
/// # Errors
/// `EPERM`: the namespace may not be entered.
pub fn cookie_of(namespace: BorrowedFd<'_>) -> Result<u64> {
    sys::netns_cookie(socket_in(namespace, libc::NETLINK_ROUTE)?.as_fd())
}

/// Finds a namespace by its cookie among those that have a name or a process, and opens it.
///
/// # Errors
/// `ENOENT`: none of them.
pub fn open_by_cookie(cookie: u64) -> Result<OwnedFd> {
    let paths = |folder: &str, rest: &str| -> Vec<String> {
        std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(format!("{}{rest}", entry.ok()?.path().to_str()?)))
            .collect()
    };
    let named = paths("/run/netns", "");
    let processes = paths("/proc", "/ns/net");
    let mut seen = Vec::new();
    for path in named.into_iter().chain(processes) {
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
        let Ok(namespace) = rustix::fs::open(path, flags, rustix::fs::Mode::empty()) else {
            continue;
        };
        let id = crate::creds::NamespaceId::of(namespace.as_fd())?;
        if !seen.contains(&id) {
            seen.push(id);
            if cookie_of(namespace.as_fd()) == Ok(cookie) {
                return Ok(namespace);
            }
        }
    }
    Err(Errno::NOENT)
}
