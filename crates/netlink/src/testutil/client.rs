//! A client that lives in this process.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use crate::genl::{
    AtomicOptions, Caller, Genl, NetId, NetnsRef, Options, SendError, Socket, Transport, Unclaimed,
};
use crate::message::{GENL_HDRLEN, NLMSG_HDRLEN, align};
use crate::sync::{Mutex, lock};

/// Datagrams that wait to be read.
#[derive(Debug)]
pub struct Queue {
    datagrams: Mutex<VecDeque<Vec<u8>>>,
    room: usize,
}

impl Queue {
    /// Takes every datagram that waits.
    pub fn take(&self) -> Vec<Vec<u8>> {
        lock(&self.datagrams).drain(..).collect()
    }

    /// Takes the next datagram.
    pub fn pop(&self) -> Option<Vec<u8>> {
        lock(&self.datagrams).pop_front()
    }
}

struct ToQueue {
    queue: Arc<Queue>,
    options: Arc<AtomicOptions>,
    /// Bytes of the buffer with which the client receives.
    buffer: usize,
}

impl Transport for ToQueue {
    fn send(&self, datagram: &[u8]) -> Result<(), SendError> {
        let mut datagrams = lock(&self.queue.datagrams);
        if datagrams.len() >= self.queue.room {
            return Err(SendError::Full);
        }
        datagrams.push_back(datagram.to_vec());
        // As if it were received at once: the kernel learns the buffer's size from that.
        self.options
            .max_recvmsg_len
            .store(self.buffer, Ordering::Relaxed);
        Ok(())
    }
}

/// A caller who may administrate, or not, and knows no other namespaces.
#[derive(Clone, Copy, Debug)]
pub struct Nobody {
    /// Whether it may administrate.
    pub admin: bool,
}

impl Caller for Nobody {
    fn capable_net_admin(&self) -> bool {
        self.admin
    }

    fn netns_by_fd(&self, _: u32) -> Result<NetnsRef, Errno> {
        Err(Errno::BADF)
    }

    fn netns_by_pid(&self, _: u32) -> Result<NetnsRef, Errno> {
        Err(Errno::SRCH)
    }

    fn netns_by_id(&self, _: u32) -> Result<NetnsRef, Errno> {
        Err(Errno::INVAL)
    }
}

/// A socket attached to a [`Genl`], with its queue and options at hand.
#[derive(Debug)]
pub struct Client {
    genl: Arc<Genl>,
    /// The socket.
    pub socket: Arc<Socket>,
    /// Its options.
    pub options: Arc<AtomicOptions>,
    /// What it has not read yet.
    pub queue: Arc<Queue>,
}

impl Client {
    /// Opens a socket in `net` that asks for extended acknowledgements and holds any number of
    /// datagrams.
    pub fn new(genl: &Arc<Genl>, net: NetId) -> Self {
        Self::with_room(genl, net, usize::MAX, 0)
    }

    /// Opens a socket that holds at most `room` unread datagrams and receives with a buffer of
    /// `buffer` bytes (0: unknown).
    pub fn with_room(genl: &Arc<Genl>, net: NetId, room: usize, buffer: usize) -> Self {
        let options = Arc::new(AtomicOptions::default());
        options.ext_ack.store(true, Ordering::Relaxed);
        options.cap_ack.store(true, Ordering::Relaxed);
        options.portid.store(77, Ordering::Relaxed);
        let queue = Arc::new(Queue {
            datagrams: Mutex::new(VecDeque::new()),
            room,
        });
        let transport = Box::new(ToQueue {
            queue: Arc::clone(&queue),
            options: Arc::clone(&options),
            buffer,
        });
        let shared: Arc<dyn Options> = Arc::clone(&options) as Arc<dyn Options>;
        let socket = Arc::new(Socket::new(net, shared, transport));
        genl.attach(Arc::clone(&socket));
        Self {
            genl: Arc::clone(genl),
            socket,
            options,
            queue,
        }
    }

    /// Joins the multicast group with this id (below 64).
    pub fn join(&self, group: u32) {
        self.options.groups.fetch_or(1 << group, Ordering::Relaxed);
    }

    /// Sends a datagram and returns what is nobody's here.
    pub fn send(&self, caller: &dyn Caller, datagram: &[u8]) -> Vec<Unclaimed> {
        self.genl.receive(&self.socket, caller, datagram)
    }

    /// Sends a datagram as an administrator and returns everything that came back.
    pub fn ask(&self, datagram: &[u8]) -> Vec<Vec<u8>> {
        self.send(&Nobody { admin: true }, datagram);
        self.queue.take()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.genl.detach(&self.socket);
    }
}

/// Writes a request by hand, right or wrong.
#[derive(Clone, Debug)]
pub struct RequestBuilder {
    bytes: Vec<u8>,
}

impl RequestBuilder {
    /// A request for `cmd` of a family, with `NLM_F_*` flags.
    pub fn new(family: u16, cmd: u8, flags: u16) -> Self {
        let mut bytes = vec![0; NLMSG_HDRLEN + GENL_HDRLEN];
        bytes[4..6].copy_from_slice(&family.to_ne_bytes());
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        bytes[8..12].copy_from_slice(&1u32.to_ne_bytes());
        bytes[NLMSG_HDRLEN] = cmd;
        bytes[NLMSG_HDRLEN + 1] = 1;
        Self { bytes }
    }

    /// Adds an attribute of any type and payload.
    #[must_use]
    pub fn attr(mut self, wire_type: u16, payload: &[u8]) -> Self {
        let len = (4 + payload.len()) as u16;
        self.bytes.extend_from_slice(&len.to_ne_bytes());
        self.bytes.extend_from_slice(&wire_type.to_ne_bytes());
        self.bytes.extend_from_slice(payload);
        self.bytes.resize(align(self.bytes.len()), 0);
        self
    }

    /// Adds a text with its NUL.
    #[must_use]
    pub fn text(self, number: u16, text: &str) -> Self {
        self.attr(number, &[text.as_bytes(), &[0]].concat())
    }

    /// Adds four bytes.
    #[must_use]
    pub fn u32(self, number: u16, value: u32) -> Self {
        self.attr(number, &value.to_ne_bytes())
    }

    /// The message.
    pub fn build(mut self) -> Vec<u8> {
        let len = self.bytes.len() as u32;
        self.bytes[0..4].copy_from_slice(&len.to_ne_bytes());
        self.bytes
    }
}
