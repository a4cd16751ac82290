//! What the real kernel answers: one thread that carries it from the relay sockets to the clients.
//!
//! It never waits for a client: when a client's queue is full, its relay socket is not read until there is room, and
//! the kernel queues or drops there as it would have done at the client's own socket.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Weak};

use lockdep::Mutex;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;

use crate::client::{ClientSocket, lock};
use crate::error::Error;
use crate::sys;

/// Longer than what the kernel sends in one datagram.
const LONGEST: usize = 256 * 1024;
/// Marks the epoll entry that waits for room at a client.
const ROOM: u64 = 1 << 32;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Pump {
    epoll: OwnedFd,
    /// By slot.
    clients: Mutex<HashMap<u32, Carried>>,
}

#[derive(Debug)]
struct Carried {
    client: Weak<ClientSocket>,
    /// A datagram for which there was no room.
    pending: Option<Vec<u8>>,
}

impl Pump {
    /// Starts the thread.
    pub(crate) fn start() -> Result<Arc<Self>, Error> {
        let pump = Arc::new(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)
                .map_err(Error::system("make an epoll instance"))?,
            clients: Mutex::named("sandbox_pump", HashMap::new()),
        });
        let running = Arc::clone(&pump);
        std::thread::Builder::new()
            .name("relay".into())
            .spawn(move || running.run())
            .map_err(|_| Error::System {
                step: "start a thread",
                errno: Errno::AGAIN,
            })?;
        Ok(pump)
    }

    /// Carries answers to `client` from now on.
    pub(crate) fn add(&self, client: &Arc<ClientSocket>) {
        let Some(relay) = client.relay_socket() else {
            return;
        };
        let carried = Carried {
            client: Arc::downgrade(client),
            pending: None,
        };
        lock(&self.clients).insert(client.id(), carried);
        let data = EventData::new_u64(u64::from(client.id()));
        let _ = epoll::add(&self.epoll, &*relay, data, EventFlags::IN);
    }

    /// Forgets the relay socket of slot `id`. It must be done before the last descriptor of this process is closed: the
    /// supervisor may have another for a while, and epoll would keep it.
    pub(crate) fn remove(&self, id: u32, relay: &OwnedFd) {
        let _ = epoll::delete(&self.epoll, relay);
        let client = lock(&self.clients)
            .remove(&id)
            .and_then(|carried| carried.client.upgrade());
        if let Some(client) = client {
            let _ = epoll::delete(&self.epoll, client.end());
        }
    }

    fn run(&self) {
        let mut entries = [const { std::mem::MaybeUninit::<epoll::Event>::uninit() }; 32];
        loop {
            let ready = match epoll::wait(&self.epoll, &mut entries, None) {
                Err(Errno::INTR) => continue,
                Err(_) => return,
                Ok((ready, _)) => ready,
            };
            for entry in ready {
                let data = entry.data.u64();
                let id = data as u32;
                let client = lock(&self.clients)
                    .get(&id)
                    .and_then(|carried| carried.client.upgrade());
                let Some(client) = client else {
                    continue;
                };
                if data & ROOM == 0 {
                    self.carry(&client);
                } else {
                    self.retry(&client);
                }
            }
        }
    }

    /// Carries what the kernel has for the client. It answers while it is being asked: so who has relayed a request calls this,
    /// and the client gets its answers in the order of its requests, whoever answered them.
    pub(crate) fn carry(&self, client: &ClientSocket) {
        let Some(relay) = client.relay_socket() else {
            return;
        };
        // One at a time, or datagrams could overtake each other.
        let mut buffer = lock(&client.carrying);
        buffer.resize(LONGEST, 0);
        let is_waiting = |id| {
            let clients = lock(&self.clients);
            clients
                .get(&id)
                .is_none_or(|client| client.pending.is_some())
        };
        while !is_waiting(client.id()) {
            let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
            match sys::recv(relay.as_fd(), &mut buffer, flags) {
                Ok(length) => {
                    let datagram = &buffer[..length.min(LONGEST)];
                    if client.try_send(datagram) == Err(Errno::AGAIN) {
                        self.wait_for_room(client, &relay, datagram.to_vec());
                    }
                }
                Err(Errno::NOBUFS) => client.overrun(),
                Err(_) => return,
            }
        }
    }

    fn wait_for_room(&self, client: &ClientSocket, relay: &OwnedFd, datagram: Vec<u8>) {
        let id = u64::from(client.id());
        if let Some(carried) = lock(&self.clients).get_mut(&client.id()) {
            carried.pending = Some(datagram);
        }
        let _ = epoll::modify(
            &self.epoll,
            relay,
            EventData::new_u64(id),
            EventFlags::empty(),
        );
        let flags = EventFlags::OUT | EventFlags::ONESHOT;
        let room = EventData::new_u64(id | ROOM);
        if epoll::add(&self.epoll, client.end(), room, flags) == Err(Errno::EXIST) {
            let _ = epoll::modify(&self.epoll, client.end(), room, flags);
        }
    }

    /// The client has read something.
    fn retry(&self, client: &ClientSocket) {
        let Some(relay) = client.relay_socket() else {
            return;
        };
        let pending = lock(&self.clients)
            .get_mut(&client.id())
            .and_then(|carried| carried.pending.take());
        if let Some(datagram) = pending {
            if client.try_send(&datagram) == Err(Errno::AGAIN) {
                return self.wait_for_room(client, &relay, datagram);
            }
        }
        let _ = epoll::delete(&self.epoll, client.end());
        let data = EventData::new_u64(u64::from(client.id()));
        let _ = epoll::modify(&self.epoll, &*relay, data, EventFlags::IN);
    }
}
