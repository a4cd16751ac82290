//! A trapped `socket()`: the pair, the real socket behind it, and the end of both.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;

use rustix::event::epoll;
use rustix::io::Errno;

use super::{Supervisor, Tag};
use crate::announce::Announcement;
use crate::creds::{Credentials, NamespaceId};
use crate::opener;
use crate::sys::{self, Notification, Result};

/// What the supervisor knows of a client socket.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) cookie: u64,
    /// `SOCK_RAW` or `SOCK_DGRAM`, as the client asked.
    pub(super) kind: i32,
    /// A copy of the kernel process's end: to put datagrams back, and to hear that the client closed.
    pub(super) end: OwnedFd,
    /// The real socket, of which the kernel process has a copy too.
    pub(super) relay: Option<OwnedFd>,
    pub(super) netns_cookie: u64,
    /// `NETLINK_GENERIC`, `NETLINK_RDMA`, or `NETLINK_ROUTE` in a namespace whose routes are limited.
    pub(super) protocol: i32,
}

impl Supervisor {
    /// Whether a device limits the routes of the caller's namespace, so that who adds one must be heard.
    fn routes_are_limited(&self, tid: u32) -> bool {
        if !self.slots.limits_any_routes() {
            return false;
        }
        let cookie = || -> Result<u64> {
            let caller = Credentials::of(tid)?;
            let userns = NamespaceId::of_process(tid, "user")?;
            let relay = opener::open_relay(&self.own, tid, &caller, userns, libc::NETLINK_ROUTE)?;
            sys::netns_cookie(relay.as_fd())
        };
        cookie().is_ok_and(|cookie| self.slots.limits_routes_of(cookie))
    }

    pub(super) fn socket(&mut self, call: &Notification) {
        let kind = call.args[1] as i32;
        let base = kind & 0xf;
        if !matches!(base, libc::SOCK_RAW | libc::SOCK_DGRAM) || self.kernel.is_none() {
            return self.pass_on(call);
        }
        let protocol = call.args[2] as i32;
        if protocol == libc::NETLINK_ROUTE && !self.routes_are_limited(call.tid) {
            return self.pass_on(call);
        }
        // Descriptor -1 never exists: the answer tells whether we may look into this process at all.
        let inspected = self.threads.descriptor(call.tid, -1);
        if let Some(errno) = inspected.err().filter(|&errno| errno != Errno::BADF) {
            if errno == Errno::PERM && self.said.insert(errno.raw_os_error()) {
                eprintln!(
                    "userlink: process {} does not let itself be inspected ({errno}); it talks to the real kernel",
                    call.tid
                );
            }
            return self.pass_on(call);
        }
        match self.open(call, base, kind) {
            Ok(()) | Err(Errno::NOENT) => {} // NOENT: interrupted; the client will ask again
            Err(errno) => {
                self.answer(call, Err(errno));
            }
        }
    }

    fn open(&mut self, call: &Notification, base: i32, kind: i32) -> Result<()> {
        let (end, client) = sys::seqpacket_pair()?;
        let slot = self.slots.allocate(self.next_slot).ok_or(Errno::NFILE)?;
        let opened = self.open_in_slot(call, slot, base, kind, end, client);
        if opened.is_err() {
            self.slots.slot(slot).release();
            self.slots.slot(slot).release();
        }
        opened
    }

    fn open_in_slot(
        &mut self,
        call: &Notification,
        slot: u32,
        base: i32,
        kind: i32,
        end: OwnedFd,
        client: OwnedFd,
    ) -> Result<()> {
        self.name_end(&end)?;
        sys::set_option(
            end.as_fd(),
            libc::SOL_SOCKET,
            libc::SO_PASSCRED,
            &1_i32.to_ne_bytes(),
        )?;
        let caller = Credentials::of(call.tid).map_err(|_| Errno::NOENT)?;
        let userns = NamespaceId::of_process(call.tid, "user").map_err(|_| Errno::NOENT)?;
        let protocol = call.args[2] as i32;
        let relay = opener::open_relay(&self.own, call.tid, &caller, userns, protocol);
        let relay = match relay {
            Ok(relay) => relay,
            Err(errno) => {
                // Without it even the namespace is unknown, and a wrong guess would show the wrong devices.
                if self.said.insert(-errno.raw_os_error()) {
                    eprintln!(
                        "userlink: cannot enter the namespaces of process {}: {errno}",
                        call.tid
                    );
                }
                return Err(Errno::PROTONOSUPPORT);
            }
        };
        let socket = Socket {
            cookie: sys::socket_cookie(client.as_fd())?,
            kind: base,
            netns_cookie: sys::netns_cookie(relay.as_fd())?,
            end,
            relay: Some(relay),
            protocol,
        };
        if kind & libc::SOCK_NONBLOCK != 0 {
            rustix::io::ioctl_fionbio(&client, true)?;
        }
        sys::notif_add_fd(
            self.listener.as_fd(),
            call.id,
            client.as_fd(),
            kind & libc::SOCK_CLOEXEC != 0,
        )?;
        drop(client);
        // From here on the client has its socket: nothing may fail any more.
        self.slots
            .counters()
            .sockets
            .fetch_add(1, Ordering::Relaxed);
        self.next_slot = slot + 1;
        let announcement = Announcement {
            slot,
            netns_cookie: socket.netns_cookie,
            opener: caller.tgid,
            opener_userns: userns,
            protocol,
        };
        let announced = self.kernel.as_ref().is_some_and(|kernel| {
            announcement
                .send(
                    kernel.as_fd(),
                    socket.end.as_fd(),
                    socket.relay.as_ref().map(AsFd::as_fd),
                )
                .is_ok()
        });
        if !announced {
            let _ = rustix::net::shutdown(&socket.end, rustix::net::Shutdown::Both);
            self.slots.slot(slot).release(); // for the kernel process, which never heard of it
        }
        // No events asked for: hanging up is always reported, and data is not our business.
        let _ = epoll::add(
            &self.epoll,
            &socket.end,
            Tag::Socket.with(slot),
            epoll::EventFlags::empty(),
        );
        self.by_cookie.insert(socket.cookie, slot);
        self.sockets.insert(slot, socket);
        Ok(())
    }

    /// Gives our end an abstract name of 10 bytes: a native `recvmsg` then reports a sender address of 12 bytes, the size
    /// of a `sockaddr_nl`, with zeros where the port id is.
    fn name_end(&mut self, end: &OwnedFd) -> Result<()> {
        let mut address = [0_u8; 12];
        address[..2].copy_from_slice(&(libc::AF_UNIX as u16).to_ne_bytes());
        address[3] = 0x5a;
        for _ in 0..1000 {
            self.next_name = self.next_name.wrapping_add(1);
            address[8..].copy_from_slice(&self.next_name.to_ne_bytes());
            // SAFETY: the kernel reads the 12 bytes.
            let bound = sys::check(unsafe {
                libc::bind(
                    std::os::fd::AsRawFd::as_raw_fd(end),
                    address.as_ptr().cast(),
                    address.len() as libc::socklen_t,
                )
            });
            match bound {
                Err(Errno::ADDRINUSE) => {} // another sandbox in the same network namespace
                other => return other.map(drop),
            }
        }
        Err(Errno::ADDRINUSE)
    }

    /// The last copy of the client's end is closed.
    pub(super) fn closed(&mut self, slot: u32) {
        if let Some(socket) = self.sockets.remove(&slot) {
            let _ = epoll::delete(&self.epoll, &socket.end);
            self.by_cookie.remove(&socket.cookie);
            if self.kernel.is_none() || self.slots.slot(slot).is_abandoned() {
                self.abandoned.insert(socket.cookie);
            }
            self.slots.slot(slot).release();
        }
        if self.sockets.is_empty() {
            self.threads.forget();
        }
    }
}
