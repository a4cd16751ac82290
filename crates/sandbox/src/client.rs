//! A client socket, seen from the kernel process: a thread that receives, and the ways to answer.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lockdep::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::announce::Announcement;
use crate::caller::Sender;
use crate::creds::Credentials;
use crate::relay::Pump;
use crate::service::Service;
use crate::slots::{Slot, Slots, SocketOptions};
use crate::sys::{self, Result, Stamp};

/// Room for the longest request; a pair's default limit is below it. Only touched pages cost memory.
const LONGEST_REQUEST: usize = 256 * 1024;

/// How long an answer waits for room while the client goes on sending instead of reading.
const PATIENCE: Duration = Duration::from_secs(1);

/// One generic netlink socket of a client.
///
/// It may outlive the client's socket, in lists of subscribers for instance; then sending fails with `ECONNREFUSED` and
/// nothing of the client's is kept alive by it: neither its namespace nor its memory.
#[derive(Debug)]
pub struct ClientSocket {
    announcement: Announcement,
    slot: &'static Slot,
    counters: &'static crate::slots::Counters,
    end: OwnedFd,
    /// The real socket behind this one; gone when the client has closed, because it pins the namespace.
    relay: Mutex<Option<Arc<OwnedFd>>>,
    pump: Arc<Pump>,
    /// Held while the kernel's datagrams are carried to the client; the room they are carried in.
    pub(crate) carrying: Mutex<Vec<u8>>,
}

impl ClientSocket {
    /// A number that no other open socket has.
    pub fn id(&self) -> u32 {
        self.announcement.slot
    }

    /// The cookie (`SO_NETNS_COOKIE`) of the network namespace the socket was opened in. It identifies the namespace
    /// for ever; what the client's process does later does not change it.
    pub fn netns_cookie(&self) -> u64 {
        self.announcement.netns_cookie
    }

    /// Whether it is an rtnetlink socket, of a namespace whose routes are limited.
    pub fn is_route(&self) -> bool {
        self.announcement.protocol == libc::NETLINK_ROUTE
    }

    /// Whether it is a socket of `NETLINK_RDMA`.
    pub fn is_rdma(&self) -> bool {
        self.announcement.protocol == libc::NETLINK_RDMA
    }

    /// Whether the real kernel speaks the socket's protocol. If not, nothing can be [relayed](Self::relay).
    pub fn has_upstream(&self) -> bool {
        let relay = self.relay_socket();
        let speaks = |relay: Arc<OwnedFd>| {
            sys::get_option::<i32>(relay.as_fd(), libc::SOL_SOCKET, libc::SO_PROTOCOL)
        };
        relay.and_then(|relay| speaks(relay).ok()) == Some(self.announcement.protocol)
    }

    /// The port id, which answers carry as `nlmsg_pid`; 0 as long as the client has neither bound nor sent.
    pub fn port_id(&self) -> u32 {
        self.slot.port_id.load(Ordering::Acquire)
    }

    /// The `SOL_NETLINK` options as they are now.
    pub fn options(&self) -> SocketOptions {
        self.slot.options()
    }

    /// Whether the client is a member of our own multicast group number `index`, counted from the first one of
    /// [`Options::groups`](crate::Options::groups).
    pub fn is_member(&self, index: u32) -> bool {
        index < 32 && self.slot.groups.load(Ordering::Acquire) & (1 << index) != 0
    }

    /// Sends an answer, waiting for room in the client's queue.
    ///
    /// # Errors
    /// `ECONNREFUSED`: the client is gone. `ENOBUFS`: the client's queue is full and it goes on sending without reading;
    /// as with a real netlink socket its next receive says so. `EMSGSIZE`: too long for the queue even when empty.
    pub fn send(&self, datagram: &[u8]) -> Result<()> {
        let mut waited = false;
        loop {
            match self.try_send(datagram) {
                Err(Errno::AGAIN) => {}
                result => return result,
            }
            let impatient = waited || self.slot.is_congested();
            match self.wait_for_room(impatient)? {
                Some(PollFlags::IN) => {
                    self.overrun();
                    return Err(Errno::NOBUFS);
                }
                Some(_) => {}
                None => waited = true,
            }
        }
    }

    /// A datagram found no room: the client's next receive says that it lost something, unless one has said so already and the
    /// client has not read all since (`net/netlink/af_netlink.c: netlink_overrun`).
    pub fn overrun(&self) {
        self.slot.overrun();
    }

    /// The client's next receive fails with `ENOBUFS`, once.
    pub fn set_enobufs(&self) {
        self.slot.set_enobufs();
    }

    /// Sends a datagram if there is room for it.
    ///
    /// # Errors
    /// `EAGAIN`: the client's queue is full. `ECONNREFUSED`: the client is gone. `EMSGSIZE`: too long for the queue even when
    /// empty.
    pub fn try_send(&self, datagram: &[u8]) -> Result<()> {
        self.enqueue(datagram, true)
    }

    /// Sends a notification if there is room for it, and if the client has read all since it lost something.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    pub fn try_notify(&self, datagram: &[u8]) -> Result<()> {
        self.enqueue(datagram, false)
    }

    fn enqueue(&self, datagram: &[u8], although_congested: bool) -> Result<()> {
        let sending = self.slot.lock_sending();
        // Nobody tells us of receives, so that the queue was empty is noticed before anything is put in it again.
        if self.slot.is_congested() && sys::unread(self.end.as_fd()) == Ok(0) {
            self.slot.clear_congested();
        }
        if self.slot.is_congested() && !although_congested {
            return Err(Errno::AGAIN);
        }
        let result = sys::send(self.end.as_fd(), datagram, libc::MSG_DONTWAIT);
        drop(sending);
        match result {
            Ok(_) => Ok(()),
            Err(Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN) => Err(Errno::CONNREFUSED),
            Err(errno) => Err(errno),
        }
    }

    /// Waits for room and, if `impatient`, also for the client to send instead of reading; `None` when neither came in
    /// time.
    fn wait_for_room(&self, impatient: bool) -> Result<Option<PollFlags>> {
        let timeout = Timespec {
            tv_sec: PATIENCE.as_secs() as i64,
            tv_nsec: 0,
        };
        let wanted = match impatient {
            true => PollFlags::OUT | PollFlags::IN,
            false => PollFlags::OUT,
        };
        let mut wait = [PollFd::new(&self.end, wanted)];
        match poll(&mut wait, Some(&timeout)) {
            Ok(0) => Ok(None),
            Ok(_)
                if wait[0]
                    .revents()
                    .intersects(PollFlags::OUT | PollFlags::HUP) =>
            {
                Ok(Some(PollFlags::OUT))
            }
            Ok(_) => Ok(Some(PollFlags::IN)),
            Err(Errno::INTR) => Ok(Some(PollFlags::OUT)),
            Err(errno) => Err(errno),
        }
    }

    /// The largest buffer, in bytes, that the client has received with; 0: unknown.
    pub fn longest_receive(&self) -> usize {
        self.slot.longest_receive.load(Ordering::Relaxed) as usize
    }

    /// Sends `datagram` to the real kernel in the client's namespace, with the rights of its sender: what both the
    /// socket's opener and the sender may do, the request may do. The kernel's answers go to the client by themselves.
    ///
    /// # Errors
    /// What the kernel says to the sending; `ECONNREFUSED`: the client is gone, or its namespaces cannot be entered.
    pub fn relay(&self, datagram: &[u8], sender: &Sender) -> Result<()> {
        let relay = self.relay_socket().ok_or(Errno::CONNREFUSED)?;
        let effective = sender.relay_capabilities(relay.as_fd(), self.announcement.opener_userns);
        let own = sys::capget()?;
        crate::creds::with_effective(own, effective, || {
            // Without a destination address: an address would make the kernel ignore who opened the socket.
            sys::send(relay.as_fd(), datagram, 0)
        })??;
        self.pump.carry(self);
        Ok(())
    }

    /// The real socket behind this one, while the client has it open.
    pub(crate) fn relay_socket(&self) -> Option<Arc<OwnedFd>> {
        lock(&self.relay).clone()
    }

    /// A descriptor of the socket's network namespace. It keeps the namespace alive while open.
    ///
    /// # Errors
    /// `ECONNREFUSED`: the client is gone, or its namespaces cannot be entered.
    pub fn netns(&self) -> Result<OwnedFd> {
        let relay = self.relay_socket().ok_or(Errno::CONNREFUSED)?;
        sys::netns_of_socket(relay.as_fd())
    }

    pub(crate) fn end(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
    }

    /// As `net/netlink/af_netlink.c: netlink_autobind`: the port id of a client that sends before it binds.
    fn bind_to(&self, pid: u32) {
        if self.port_id() != 0 {
            return;
        }
        let Some(relay) = self.relay_socket() else {
            return;
        };
        let pid = Credentials::of(pid).map_or(0, |sender| sender.own_tgid);
        let bound = sys::netlink_bind(relay.as_fd(), pid, 0)
            .or_else(|_| sys::netlink_bind(relay.as_fd(), 0, 0))
            .or_else(|_| sys::netlink_port_id(relay.as_fd()));
        if let Ok(port_id) = bound {
            self.slot.port_id.store(port_id, Ordering::Release);
        }
    }

    /// Closes the real socket, which pins the namespace, and tells a client that is still there.
    fn close(&self) {
        let relay = lock(&self.relay).take();
        if let Some(relay) = relay {
            self.pump.remove(self.id(), &relay);
        }
        let _ = rustix::net::shutdown(&self.end, rustix::net::Shutdown::Both);
    }
}

impl Drop for ClientSocket {
    fn drop(&mut self) {
        self.slot.release();
    }
}

/// A lock whose holder cannot leave anything half done; a panic elsewhere does not concern it.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> lockdep::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(lockdep::PoisonError::into_inner)
}

/// Takes over an announced socket: registers its relay and starts its thread.
pub(crate) fn start(
    announcement: Announcement,
    end: OwnedFd,
    relay: Option<OwnedFd>,
    slots: Slots,
    pump: &Arc<Pump>,
    service: &Arc<dyn Service>,
) {
    let socket = Arc::new(ClientSocket {
        announcement,
        slot: slots.slot(announcement.slot),
        counters: slots.counters(),
        end,
        relay: Mutex::named("sandbox_relay", relay.map(Arc::new)),
        pump: Arc::clone(pump),
        carrying: Mutex::named("sandbox_carrying", Vec::new()),
    });
    pump.add(&socket);
    let service = Arc::clone(service);
    let thread = std::thread::Builder::new().name(format!("netlink/{}", announcement.slot));
    let serving = Arc::clone(&socket);
    if thread.spawn(move || serve(&serving, &*service)).is_err() {
        socket.slot.abandon();
        socket.close();
    }
}

/// A client socket's thread: receives until the client closes.
fn serve(socket: &Arc<ClientSocket>, service: &dyn Service) {
    /// Also after a panic in the service nothing of the client's stays pinned.
    struct Close<'a>(&'a ClientSocket);
    impl Drop for Close<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                self.0.slot.abandon();
            }
            self.0.close();
        }
    }
    let close = Close(socket);
    let mut session = service.open(Arc::clone(socket));
    socket.slot.set_attached();
    let mut buffer = vec![0; LONGEST_REQUEST];
    let supervisor = supervisor_pid();
    loop {
        if session.wants_room() {
            let wanted = PollFlags::IN | PollFlags::OUT;
            let mut polled = [PollFd::new(&socket.end, wanted)];
            match poll(&mut polled, None) {
                Err(Errno::INTR) => continue,
                Err(_) => break,
                Ok(_) => {}
            }
            let events = polled[0].revents();
            if events.intersects(PollFlags::HUP | PollFlags::ERR) {
                break;
            }
            if events.contains(PollFlags::OUT) {
                session.room();
            }
            if !events.contains(PollFlags::IN) {
                continue;
            }
        }
        let received = match sys::recv_message(socket.end(), &mut buffer, 0) {
            Err(Errno::INTR) => continue,
            // An empty datagram carries its sender, the end of the conversation does not.
            Ok(received) if received.length > 0 || received.stamp.is_some() => received,
            _ => break,
        };
        let mut stamp = received.stamp.unwrap_or_default();
        if stamp.pid == supervisor {
            stamp = socket.slot.vouched_sender();
        }
        socket.bind_to(stamp.pid);
        socket.counters.requests.fetch_add(1, Ordering::Relaxed);
        let datagram = &buffer[..received.length.min(LONGEST_REQUEST)];
        session.receive(datagram, &Sender::new(stamp, socket));
    }
    // The session may use the socket until its end.
    drop(session);
    drop(close);
}

/// The process that made this one, and that sends in its clients' stead.
fn supervisor_pid() -> u32 {
    rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get().unsigned_abs())
}

impl Sender {
    fn new(stamp: Stamp, socket: &Arc<ClientSocket>) -> Self {
        Self::of(stamp, Arc::clone(socket))
    }
}
