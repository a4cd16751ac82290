//! A client's socket: where replies go, what it asked for, what it is in the middle of.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use rustix::io::Errno;

use super::caller::NetId;
use super::running::RunningDump;
use crate::sync::{Mutex, lock};

/// Why a datagram was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The client's queue is full; it reads too slowly.
    #[error("the client's receive queue is full")]
    Full,
    /// The client is gone.
    #[error("the client has closed its socket")]
    Gone,
}

/// The way to a client. Never blocks.
pub trait Transport: Send + Sync {
    /// Queues one datagram.
    ///
    /// # Errors
    /// [`SendError`]; the datagram is then not delivered, not even in part.
    fn send(&self, datagram: &[u8]) -> Result<(), SendError>;

    /// Queues a notification that stems from `net`, for sockets that hear several namespaces.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    fn notify(&self, datagram: &[u8], net: NetId) -> Result<(), SendError> {
        let _ = net;
        self.send(datagram)
    }
}

/// What `setsockopt` and `bind` made of a socket, read anew for each request: it may live outside
/// this process' heap.
pub trait Options: Send + Sync {
    /// The port id: the address of replies.
    fn portid(&self) -> u32;
    /// `NETLINK_CAP_ACK`: an error does not repeat the request.
    fn cap_ack(&self) -> bool;
    /// `NETLINK_EXT_ACK`: acknowledgements carry attributes.
    fn ext_ack(&self) -> bool;
    /// `NETLINK_GET_STRICT_CHK`.
    fn strict_check(&self) -> bool;
    /// Whether it has joined a multicast group, by the group's id.
    fn is_member(&self, group: u32) -> bool;
    /// `NETLINK_LISTEN_ALL_NSID`: it hears groups of other namespaces too.
    fn listens_all_nsid(&self) -> bool;
    /// The largest buffer in bytes the client has ever received with; 0 if that is unknown.
    fn max_recvmsg_len(&self) -> usize;
    /// The next receive is to fail with `ENOBUFS`, once.
    fn set_enobufs(&self);

    /// A datagram found no room: the same, unless that was said already and the client has not read all since
    /// (`net/netlink/af_netlink.c: netlink_overrun`).
    fn set_overrun(&self) {
        self.set_enobufs();
    }
}

/// Options in this process' memory.
#[derive(Debug, Default)]
pub struct AtomicOptions {
    /// The port id.
    pub portid: AtomicU32,
    /// `NETLINK_CAP_ACK`.
    pub cap_ack: AtomicBool,
    /// `NETLINK_EXT_ACK`.
    pub ext_ack: AtomicBool,
    /// `NETLINK_GET_STRICT_CHK`.
    pub strict_check: AtomicBool,
    /// Bit `n` says membership of group `n`, for groups below 64.
    pub groups: AtomicU64,
    /// `NETLINK_LISTEN_ALL_NSID`.
    pub listens_all_nsid: AtomicBool,
    /// Bytes.
    pub max_recvmsg_len: AtomicUsize,
    /// The next receive is to fail with `ENOBUFS`.
    pub enobufs: AtomicBool,
}

impl Options for AtomicOptions {
    fn portid(&self) -> u32 {
        self.portid.load(Ordering::Relaxed)
    }

    fn cap_ack(&self) -> bool {
        self.cap_ack.load(Ordering::Relaxed)
    }

    fn ext_ack(&self) -> bool {
        self.ext_ack.load(Ordering::Relaxed)
    }

    fn strict_check(&self) -> bool {
        self.strict_check.load(Ordering::Relaxed)
    }

    fn is_member(&self, group: u32) -> bool {
        group < 64 && self.groups.load(Ordering::Relaxed) & (1 << group) != 0
    }

    fn listens_all_nsid(&self) -> bool {
        self.listens_all_nsid.load(Ordering::Relaxed)
    }

    fn max_recvmsg_len(&self) -> usize {
        self.max_recvmsg_len.load(Ordering::Relaxed)
    }

    fn set_enobufs(&self) {
        self.enobufs.store(true, Ordering::Relaxed);
    }
}

/// What a family keeps for a socket (`genl_sk_priv_get`).
type Private = (u16, Arc<dyn Any + Send + Sync>);

/// Buffers that serve one request after another.
#[derive(Default)]
pub(crate) struct Scratch {
    /// Datagrams on their way out.
    pub(crate) out: Vec<u8>,
    /// Where a request's attributes are.
    pub(crate) table: Vec<u32>,
}

/// Whether the socket is in the middle of a dump.
#[derive(Default)]
pub(crate) enum DumpSlot {
    #[default]
    Idle,
    /// Part of it is sent; the rest waits for the client to read.
    Waiting(Box<RunningDump>),
    /// A thread is at it.
    Busy,
}

/// A client's generic netlink socket.
pub struct Socket {
    net: NetId,
    options: Arc<dyn Options>,
    transport: Box<dyn Transport>,
    pub(crate) scratch: Mutex<Scratch>,
    pub(crate) dump: Mutex<DumpSlot>,
    private: Mutex<Vec<Private>>,
}

impl Socket {
    /// A socket that was opened in `net`.
    pub fn new(net: NetId, options: Arc<dyn Options>, transport: Box<dyn Transport>) -> Self {
        Self {
            net,
            options,
            transport,
            scratch: Mutex::new(Scratch::default()),
            dump: Mutex::new(DumpSlot::Idle),
            private: Mutex::new(Vec::new()),
        }
    }

    /// The namespace in which it was opened: what its requests see.
    pub fn net(&self) -> NetId {
        self.net
    }

    /// Its options as they are now.
    pub fn options(&self) -> &dyn Options {
        &*self.options
    }

    /// Sends a reply; if the client does not read, the reply is lost and the client will hear so.
    pub(crate) fn unicast(&self, datagram: &[u8]) -> Result<(), Errno> {
        match self.transport.send(datagram) {
            Ok(()) => Ok(()),
            Err(SendError::Full) => {
                self.options.set_overrun();
                Err(Errno::AGAIN)
            }
            Err(SendError::Gone) => Err(Errno::CONNREFUSED),
        }
    }

    pub(crate) fn transport(&self) -> &dyn Transport {
        &*self.transport
    }

    /// What the family with this id keeps for the socket.
    pub fn private<T: Any + Send + Sync>(&self, family: u16) -> Option<Arc<T>> {
        let private = lock(&self.private);
        let (_, value) = private.iter().find(|(id, _)| *id == family)?;
        Arc::clone(value).downcast().ok()
    }

    /// Sets or, with `None`, removes what the family with this id keeps for the socket.
    pub fn set_private(&self, family: u16, value: Option<Arc<dyn Any + Send + Sync>>) {
        let mut private = lock(&self.private);
        let old = private.iter().position(|(id, _)| *id == family);
        let old = old.map(|index| private.swap_remove(index));
        private.extend(value.map(|value| (family, value)));
        drop(private);
        // Whatever the family kept is dropped without our lock.
        drop(old);
    }

    /// Whether a dump is unfinished and waits for the client to read; see
    /// [`Genl::resume`](super::Genl::resume).
    pub fn has_waiting_dump(&self) -> bool {
        matches!(*lock(&self.dump), DumpSlot::Waiting(_))
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("net", &self.net)
            .field("portid", &self.options.portid())
            .finish_non_exhaustive()
    }
}
