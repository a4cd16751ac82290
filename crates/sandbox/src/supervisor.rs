//! The supervisor: answers the trapped system calls of the process tree.
//!
//! One thread, one loop, no devices: if this process died, every trapped call of every program in the tree would fail,
//! so it is small and does nothing that can wait for a client or for the kernel process. What it must remember of a
//! client socket stands in [`socket::Socket`], found by the socket's cookie: that identity survives `dup`, `fork`, `exec` and
//! descriptor passing, which a (process, number) pair would not.
//!
//! The supervisor never keeps the client's end of a pair, or the kernel process would not learn that the client closed
//! it. The one exception, calls that wait for data, is reaped as soon as the caller is gone ([`parked`]).

mod dummy;
mod mount;
mod names;
mod options;
mod parked;
mod pending;
mod receive;
mod send;
mod socket;
mod threads;

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;

use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::io::Errno;

use crate::dummy::Dummies;
use crate::error::Error;
use crate::opener::Own;
use crate::slots::Slots;
use crate::sys::{self, Notification, Result};
use parked::Parked;
use receive::Buffer;
use socket::Socket;
use threads::Threads;

/// Something the owner of the supervisor asked to hear about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A signal arrived.
    Signal,
    /// The kernel process said something or ended.
    Kernel,
}

/// What an epoll entry stands for, in its upper 32 bits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tag {
    Signal,
    Kernel,
    /// The client closed its end; the lower bits are the slot.
    Socket,
    /// A waiting receive can go on, or its thread is gone; the lower bits are the slot it has among the parked.
    Parked,
}

impl Tag {
    fn with(self, number: u32) -> epoll::EventData {
        epoll::EventData::new_u64((self as u64) << 32 | u64::from(number))
    }

    fn of(data: epoll::EventData) -> (Self, u32) {
        let tag = match data.u64() >> 32 {
            0 => Self::Signal,
            1 => Self::Kernel,
            2 => Self::Socket,
            _ => Self::Parked,
        };
        (tag, data.u64() as u32)
    }
}

/// What the supervisor is told when it is made.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The multicast groups of our own families.
    pub(crate) groups: Range<u32>,
    /// The message type and the command of requests during which their sender waits.
    pub(crate) slow_requests: Vec<(u16, u8)>,
    /// See [`Options::dummy0`](crate::Options::dummy0).
    pub(crate) dummy0: bool,
}

/// Whose socket a trapped call is about.
enum ClientEnd {
    /// A client's end of ours, with its slot.
    Ours(OwnedFd, u32),
    /// A client's end behind which nobody is any more.
    Abandoned,
    /// Anybody else's: the real kernel serves it.
    Foreign,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Supervisor {
    settings: Settings,
    listener: OwnedFd,
    /// Where new sockets are announced; `None` once the kernel process is gone.
    kernel: Option<OwnedFd>,
    epoll: OwnedFd,
    slots: Slots,
    own: Own,
    threads: Threads,
    /// By slot.
    sockets: HashMap<u32, Socket>,
    /// Slot of the socket with this cookie.
    by_cookie: HashMap<u64, u32>,
    next_slot: u32,
    /// The last abstract name given to an end.
    next_name: u32,
    /// What was already said about clients that cannot be served.
    said: HashSet<i32>,
    /// Cookies of sockets that the kernel process has given up while the client still has them: it died, or panicked.
    abandoned: HashSet<u64>,
    dummies: Dummies,
    /// The root of the served file system, if there is one.
    files: Option<OwnedFd>,
    parked: Parked,
    buffer: Buffer,
    /// No process has the filter any more.
    deserted: bool,
}

impl Supervisor {
    /// A supervisor for the filter behind `listener` that announces its sockets on `kernel`.
    pub(crate) fn new(
        settings: Settings,
        listener: OwnedFd,
        kernel: OwnedFd,
        slots: Slots,
        files: Option<OwnedFd>,
    ) -> std::result::Result<Self, Error> {
        sys::notif_sync_wake_up(listener.as_fd());
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)
            .map_err(Error::system("make an epoll instance"))?;
        let supervisor = Self {
            dummies: Dummies::new(settings.dummy0),
            settings,
            listener,
            epoll,
            slots,
            own: Own::new().map_err(Error::system("read /proc/self"))?,
            threads: Threads::new(),
            sockets: HashMap::new(),
            by_cookie: HashMap::new(),
            next_slot: 0,
            next_name: std::process::id() << 12,
            said: HashSet::new(),
            abandoned: HashSet::new(),
            files,
            parked: Parked::default(),
            buffer: Buffer::new(),
            deserted: false,
            kernel: None,
        };
        supervisor
            .watch(kernel.as_fd(), Event::Kernel)
            .map_err(Error::system("watch the kernel process"))?;
        Ok(Self {
            kernel: Some(kernel),
            ..supervisor
        })
    }

    /// Reports `event` from [`Supervisor::step`] whenever `fd` is readable.
    pub(crate) fn watch(&self, fd: BorrowedFd<'_>, event: Event) -> Result<()> {
        let tag = match event {
            Event::Signal => Tag::Signal,
            Event::Kernel => Tag::Kernel,
        };
        epoll::add(&self.epoll, fd, tag.with(0), epoll::EventFlags::IN)
    }

    /// Waits for something to do and does it; returns what is for the owner.
    pub(crate) fn step(&mut self) -> Result<Vec<Event>> {
        // The kernel's table of what to wait for: the listener, everything in epoll, and the receives that have just
        // begun to wait, for which entering and leaving epoll would cost more than the wait.
        let mut waits = Vec::with_capacity(2 + parked::MOST_RECENT);
        let entry = |fd: BorrowedFd<'_>, events| libc::pollfd {
            fd: fd.as_raw_fd(),
            events,
            revents: 0,
        };
        let listen = if self.deserted { 0 } else { libc::POLLIN };
        waits.push(entry(self.epoll.as_fd(), libc::POLLIN));
        waits.push(entry(self.listener.as_fd(), listen));
        if self.deserted {
            waits.truncate(1);
        }
        let fixed = waits.len();
        waits.extend(self.parked.recent().map(|(_, fd)| entry(fd, libc::POLLIN)));
        let timeout = self.parked.timeout();
        // SAFETY: the array is live and exclusively ours for the call.
        let ready = sys::check(unsafe {
            libc::poll(waits.as_mut_ptr(), waits.len() as libc::nfds_t, timeout)
        });
        match ready {
            Err(Errno::INTR) => return Ok(Vec::new()),
            Err(errno) => return Err(errno),
            Ok(_) => {}
        }
        if waits.len() > fixed {
            let ready: Vec<u32> = self
                .parked
                .recent()
                .zip(&waits[fixed..])
                .filter(|(_, wait)| wait.revents != 0)
                .map(|((id, _), _)| id)
                .collect();
            for id in ready {
                self.resume(id);
            }
        }
        if !self.deserted {
            if waits[1].revents & libc::POLLIN != 0 {
                self.notification();
            } else if waits[1].revents & libc::POLLHUP != 0 {
                self.deserted = true;
            }
        }
        let events = if waits[0].revents == 0 {
            Vec::new()
        } else {
            self.epoll_events()?
        };
        self.reap_parked();
        Ok(events)
    }

    fn epoll_events(&mut self) -> Result<Vec<Event>> {
        let mut entries = [const { std::mem::MaybeUninit::<epoll::Event>::uninit() }; 32];
        let zero = rustix::event::Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let (entries, _) = epoll::wait(&self.epoll, &mut entries, Some(&zero))?;
        let mut events = Vec::new();
        for entry in entries {
            match Tag::of(entry.data) {
                (Tag::Signal, _) => events.push(Event::Signal),
                (Tag::Kernel, _) => events.push(Event::Kernel),
                (Tag::Socket, slot) => self.closed(slot),
                (Tag::Parked, id) => self.resume(id),
            }
        }
        Ok(events)
    }

    /// The control connection to the kernel process, while it lives.
    pub(crate) fn kernel(&self) -> Option<BorrowedFd<'_>> {
        self.kernel.as_ref().map(AsFd::as_fd)
    }

    /// Whether no process is left that has the filter.
    pub(crate) fn is_deserted(&self) -> bool {
        let mut wait = [PollFd::new(&self.listener, PollFlags::empty())];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        self.deserted || poll(&mut wait, Some(&now)).is_ok_and(|ready| ready > 0)
    }

    /// Ends the supervisor and all it has open but the connection to the kernel process.
    pub(crate) fn into_kernel(self) -> Option<OwnedFd> {
        self.kernel
    }

    /// The kernel process is gone: shuts all sockets down, so that no client waits for an answer for ever, and sends
    /// new ones to the real kernel.
    pub(crate) fn kernel_gone(&mut self) {
        if let Some(kernel) = self.kernel.take() {
            let _ = epoll::delete(&self.epoll, &kernel);
        }
        for socket in self.sockets.values() {
            let _ = rustix::net::shutdown(&socket.end, rustix::net::Shutdown::Both);
        }
    }

    fn notification(&mut self) {
        let Ok(call) = sys::notif_recv(self.listener.as_fd()) else {
            return; // the caller was interrupted or killed before we looked
        };
        let counters = self.slots.counters();
        counters.notifications.fetch_add(1, Ordering::Relaxed);
        self.unpark_thread(call.tid);
        match call.nr {
            libc::SYS_socket => self.socket(&call),
            libc::SYS_mount => self.mount(&call),
            libc::SYS_move_mount => self.move_mount(&call),
            libc::SYS_recvmsg | libc::SYS_recvmmsg | libc::SYS_recvfrom => self.receive(&call),
            libc::SYS_sendto => self.send(&call),
            libc::SYS_sendmsg => self.send_message(&call),
            libc::SYS_bind => self.on_ours(&call, Self::bind),
            libc::SYS_connect => self.on_ours(&call, Self::connect),
            libc::SYS_getsockname => self.on_ours(&call, Self::getsockname),
            libc::SYS_getpeername => self.on_ours(&call, Self::getpeername),
            libc::SYS_setsockopt => self.on_ours(&call, Self::setsockopt),
            libc::SYS_getsockopt => self.on_ours(&call, Self::getsockopt),
            _ => self.pass_on(&call),
        }
    }

    /// Answers a call on one of our sockets; `handle` returns `None` for what the pair itself answers rightly.
    fn on_ours(
        &mut self,
        call: &Notification,
        handle: impl FnOnce(&mut Self, &Notification, u32) -> Option<Result<i64>>,
    ) {
        let answer = match self.client_end(call) {
            ClientEnd::Ours(_, slot) => handle(self, call, slot),
            ClientEnd::Abandoned => Some(Err(Errno::CONNREFUSED)),
            ClientEnd::Foreign => None,
        };
        match answer {
            Some(result) => {
                self.answer(call, result);
            }
            None => self.pass_on(call),
        }
    }

    /// Whose socket the call is about. The descriptor is to be dropped soon: see the module.
    fn client_end(&mut self, call: &Notification) -> ClientEnd {
        if self.sockets.is_empty() && self.abandoned.is_empty() {
            return ClientEnd::Foreign; // no end of ours is open anywhere
        }
        let mut find = || {
            let fd = self
                .threads
                .descriptor(call.tid, call.args[0] as i32)
                .ok()?;
            let cookie = sys::socket_cookie(fd.as_fd()).ok()?;
            Some((fd, cookie))
        };
        match find() {
            None => ClientEnd::Foreign,
            Some((fd, cookie)) => match self.by_cookie.get(&cookie) {
                Some(&slot) => ClientEnd::Ours(fd, slot),
                None if self.abandoned.contains(&cookie) => ClientEnd::Abandoned,
                None => ClientEnd::Foreign,
            },
        }
    }

    /// Ends a trapped call; false when it had been interrupted.
    fn answer(&self, call: &Notification, result: Result<i64>) -> bool {
        sys::notif_answer(self.listener.as_fd(), call.id, result).is_ok()
    }

    /// Hands a trapped call to the real kernel.
    fn pass_on(&self, call: &Notification) {
        let counters = self.slots.counters();
        counters.continued.fetch_add(1, Ordering::Relaxed);
        let _ = sys::notif_continue(self.listener.as_fd(), call.id);
    }

    fn still_waits(&self, call: &Notification) -> bool {
        sys::notif_valid(self.listener.as_fd(), call.id)
    }
}
