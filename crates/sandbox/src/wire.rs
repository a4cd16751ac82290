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
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lockdep::Mutex;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

use self::events::{Announcer, Heard};
use self::thread::{Job, Thread};
use crate::client::lock;
use crate::error::Error;
use crate::rtnl::Route;
use crate::sys::{self, Result};

mod events;
mod thread;

pub use events::{Event, Events};
pub(crate) use thread::Inner;

/// How long [`Wire::settle`] waits for events to be handled, which is a matter of microseconds. If their handler is stuck, those
/// who wait for it shall not be.
const PATIENCE: Duration = Duration::from_secs(2);

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
    /// A connection to rtnetlink in the first namespace.
    first_route: Mutex<Option<Route>>,
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
            first_route: Mutex::named("sandbox_first_route", None),
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

    /// Whether a namespace has been made known and has not ended since.
    pub(crate) fn knows(&self, cookie: u64) -> bool {
        lock(&self.known).contains_key(&cookie)
    }

    /// Whether this is the namespace the machine started in, in which every thread but the wire's is.
    pub(crate) fn is_first(&self, cookie: u64) -> bool {
        cookie == self.first.load(Ordering::Relaxed)
    }

    /// Starts the thread, if it is not running.
    pub(crate) fn wake(&self) {
        let waits = lock(&self.thread).is_some();
        if waits {
            self.post(|_| {});
        }
    }

    /// Talks to rtnetlink in the first namespace, in which the calling thread is: one thread at a time.
    ///
    /// # Errors
    /// Those of the talk, and of making a socket.
    pub(crate) fn with_first_route<R>(
        &self,
        talk: impl FnOnce(&mut Route) -> Result<R>,
    ) -> Result<R> {
        let mut kept = lock(&self.first_route);
        let mut route = match kept.take() {
            Some(route) => route,
            None => Route::new(sys::netlink_socket(libc::NETLINK_ROUTE)?),
        };
        let result = talk(&mut route);
        *kept = Some(route);
        result
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
}

/// The job that gives a namespace its id.
fn register(cookie: u64, namespace: OwnedFd) -> Job {
    Box::new(move |inner| {
        if let Err(errno) = inner.register(cookie, namespace.as_fd()) {
            eprintln!("userlink: a network namespace cannot be watched: {errno}");
        }
    })
}
