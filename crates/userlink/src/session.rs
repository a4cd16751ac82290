//! Where the sandbox' datagrams meet generic netlink: one session for each socket of a client.

use std::sync::Arc;

use net_core::NetnsHandle;
use netlink::genl::{self, Caller, Genl, NetId, NetnsRef, SendError, Transport, Unclaimed};
use rustix::io::Errno;
use sandbox::{ClientSocket, Sender, Session};

use crate::capture::Capture;
use crate::machine::{GROUPS, Machine};

/// A client's socket, in the middle between its two sides.
pub(crate) struct ClientSession {
    machine: Arc<Machine>,
    client: Arc<ClientSocket>,
    socket: Arc<genl::Socket>,
}

impl ClientSession {
    /// Lets the socket hear notifications and begins to serve it.
    pub(crate) fn new(machine: Arc<Machine>, client: Arc<ClientSocket>) -> Self {
        let socket = Arc::new(genl::Socket::new(
            NetId(client.netns_cookie()),
            Arc::new(Options(Arc::clone(&client))),
            Box::new(Queue {
                client: Arc::clone(&client),
                capture: machine.capture().cloned(),
            }),
        ));
        machine.genl().attach(Arc::clone(&socket));
        Self {
            machine,
            client,
            socket,
        }
    }

    fn genl(&self) -> &Genl {
        self.machine.genl()
    }

    /// Hands a message to the real kernel, whose answers reach the client by themselves.
    fn relay(&self, message: &[u8], sender: &Sender) {
        if let Err(errno) = self.client.relay(message, sender) {
            self.genl().refuse(&self.socket, message, errno);
        }
    }
}

impl Session for ClientSession {
    fn receive(&mut self, datagram: &[u8], sender: &Sender) {
        let caller = SandboxCaller {
            machine: &self.machine,
            sender,
        };
        if let Some(capture) = self.machine.capture() {
            capture.heard(self.client.netns_cookie(), datagram);
        }
        // What the client did to a link before, it must find done.
        self.machine.wire().settle();
        for part in self.genl().receive(&self.socket, &caller, datagram) {
            match part {
                Unclaimed::Message(range) => self.relay(&datagram[range], sender),
                Unclaimed::FamilyDump(range) => {
                    // Ours go first: the kernel's end with the message that ends the dump.
                    let request = &datagram[range];
                    let entries = self.genl().family_entries(&self.socket, request);
                    if !entries.is_empty() {
                        let _ = self.client.send(&entries);
                    }
                    self.relay(request, sender);
                }
            }
        }
    }

    fn wants_room(&self) -> bool {
        self.socket.has_waiting_dump()
    }

    fn room(&mut self) {
        self.genl().resume(&self.socket);
    }
}

impl Drop for ClientSession {
    fn drop(&mut self) {
        self.genl().detach(&self.socket);
    }
}

/// The way to a client.
struct Queue {
    client: Arc<ClientSocket>,
    capture: Option<Arc<Capture>>,
}

impl Transport for Queue {
    fn send(&self, datagram: &[u8]) -> Result<(), SendError> {
        self.queue(datagram, ClientSocket::try_send)
    }

    fn notify(&self, datagram: &[u8], _net: NetId) -> Result<(), SendError> {
        self.queue(datagram, ClientSocket::try_notify)
    }
}

impl Queue {
    fn queue(
        &self,
        datagram: &[u8],
        by: fn(&ClientSocket, &[u8]) -> Result<(), Errno>,
    ) -> Result<(), SendError> {
        let send = || match by(&self.client, datagram) {
            Ok(()) => Ok(()),
            Err(Errno::AGAIN) => Err(SendError::Full),
            Err(_) => Err(SendError::Gone),
        };
        match &self.capture {
            Some(capture) => capture.said(self.client.netns_cookie(), datagram, send),
            None => send(),
        }
    }
}

/// What knows the options of a client's socket and answers on it, for families that are not generic netlink.
pub(crate) fn answering_socket(client: &Arc<ClientSocket>) -> genl::Socket {
    genl::Socket::new(
        NetId(client.netns_cookie()),
        Arc::new(Options(Arc::clone(client))),
        Box::new(Queue {
            client: Arc::clone(client),
            capture: None,
        }),
    )
}

/// The options of a client's socket, which the supervisor writes into shared memory.
struct Options(Arc<ClientSocket>);

impl genl::Options for Options {
    fn portid(&self) -> u32 {
        self.0.port_id()
    }

    fn cap_ack(&self) -> bool {
        self.0.options().cap_ack()
    }

    fn ext_ack(&self) -> bool {
        self.0.options().ext_ack()
    }

    fn strict_check(&self) -> bool {
        self.0.options().strict_check()
    }

    fn is_member(&self, group: u32) -> bool {
        GROUPS.contains(&group) && self.0.is_member(group - GROUPS.start)
    }

    fn listens_all_nsid(&self) -> bool {
        self.0.options().listen_all_nsid()
    }

    fn max_recvmsg_len(&self) -> usize {
        // Native receives are not seen: then the largest that was seen, perhaps none, which a client can take too.
        self.0.longest_receive()
    }

    fn set_enobufs(&self) {
        self.0.set_enobufs();
    }

    fn set_overrun(&self) {
        self.0.overrun();
    }
}

/// The sender of a datagram.
struct SandboxCaller<'a> {
    machine: &'a Machine,
    sender: &'a Sender,
}

impl SandboxCaller<'_> {
    /// A namespace that a request names, known to the machine from now on.
    fn net(&self, netns: sandbox::NetnsRef) -> Result<NetnsRef, Errno> {
        let capable_net_admin = netns.capable_net_admin();
        let net = NetId(netns.cookie());
        // Locks are held here that come after the one for telling the subsystems at once.
        let handle = self
            .machine
            .net_core()
            .get_net_deferred(Arc::new(Namespace(netns)))?;
        Ok(NetnsRef {
            net,
            capable_net_admin,
            handle: Arc::new(handle),
        })
    }
}

impl Caller for SandboxCaller<'_> {
    fn capable_net_admin(&self) -> bool {
        self.sender.administers_machine()
    }

    fn netns_by_fd(&self, fd: u32) -> Result<NetnsRef, Errno> {
        self.net(self.sender.netns_by_fd(fd)?)
    }

    fn netns_by_pid(&self, pid: u32) -> Result<NetnsRef, Errno> {
        self.net(self.sender.netns_by_pid(pid)?)
    }

    fn netns_by_id(&self, nsid: u32) -> Result<NetnsRef, Errno> {
        let nsid = i32::try_from(nsid).map_err(|_| Errno::INVAL)?;
        self.net(self.sender.netns_by_id(nsid)?)
    }
}

/// A real namespace, alive while this is.
#[derive(Debug)]
struct Namespace(sandbox::NetnsRef);

impl NetnsHandle for Namespace {
    fn id(&self) -> net_core::NetId {
        net_core::NetId(self.0.cookie())
    }

    fn fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        Some(self.0.namespace())
    }
}
