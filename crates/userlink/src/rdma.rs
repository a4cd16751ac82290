//! Sockets of `NETLINK_RDMA`, through which `rdma` lists InfiniBand devices.
//!
//! The machine's devices come first, then those of the real kernel, if it knows of InfiniBand at all.

use std::cell::OnceCell;
use std::sync::Arc;

use net_core::NetId;
use netlink::genl;
use netlink::message::{MessageHeader, Messages, NLM_F_ACK};
use rdma::nldev::{self, Answer, Asker};
use sandbox::{ClientSocket, Sender, Session};

use crate::machine::Machine;
use crate::session::answering_socket;

/// Where the indexes of the machine's devices begin for who sees the real kernel's, too.
const BESIDE_REAL_ONES: u32 = 1 << 16;

/// One such socket.
pub(crate) struct RdmaSession {
    machine: Arc<Machine>,
    client: Arc<ClientSocket>,
    /// For the options of acknowledgements; generic netlink does not know it.
    socket: genl::Socket,
    has_upstream: OnceCell<bool>,
}

impl RdmaSession {
    pub(crate) fn new(machine: Arc<Machine>, client: Arc<ClientSocket>) -> Self {
        Self {
            socket: answering_socket(&client),
            machine,
            client,
            has_upstream: OnceCell::new(),
        }
    }

    fn has_upstream(&self) -> bool {
        *self.has_upstream.get_or_init(|| self.client.has_upstream())
    }

    /// Sends what answers a request. A client that is gone, or does not read, has no answer.
    fn send(&self, datagrams: Vec<Vec<u8>>) {
        for datagram in datagrams {
            if self.client.send(&datagram).is_err() {
                return;
            }
        }
    }

    fn relay(&self, message: &[u8], sender: &Sender) {
        if let Err(errno) = self.client.relay(message, sender) {
            self.machine.genl().refuse(&self.socket, message, errno);
        }
    }

    fn serve(&self, header: MessageHeader, message: &[u8], sender: &Sender) {
        let asker = SandboxAsker {
            session: self,
            sender,
        };
        let genl = self.machine.genl();
        match nldev::answer(self.machine.rdma(), &asker, header, message) {
            Answer::Done(datagrams) => {
                self.send(datagrams);
                if header.flags & NLM_F_ACK != 0 {
                    genl.acknowledge(&self.socket, message);
                }
            }
            Answer::Dump(datagrams) => self.send(datagrams),
            Answer::Begun(datagrams) => {
                self.send(datagrams);
                if self.has_upstream() {
                    self.relay(message, sender);
                } else {
                    self.send(vec![nldev::end_of_dump(header, self.client.port_id())]);
                }
            }
            Answer::Refused(errno) => genl.refuse(&self.socket, message, errno),
            Answer::NotOurs(_) if self.has_upstream() => self.relay(message, sender),
            Answer::NotOurs(errno) => genl.refuse(&self.socket, message, errno),
        }
    }
}

impl Session for RdmaSession {
    fn receive(&mut self, datagram: &[u8], sender: &Sender) {
        // What the client did to a link before, it must find done.
        self.machine.wire().settle();
        for (header, message) in Messages::new(datagram) {
            self.serve(header, message, sender);
        }
    }
}

struct SandboxAsker<'a> {
    session: &'a RdmaSession,
    sender: &'a Sender,
}

impl Asker for SandboxAsker<'_> {
    fn net(&self) -> NetId {
        NetId(self.session.client.netns_cookie())
    }

    fn index_offset(&self) -> u32 {
        match self.session.has_upstream() {
            true => BESIDE_REAL_ONES,
            false => 0,
        }
    }

    fn portid(&self) -> u32 {
        self.session.client.port_id()
    }

    fn capable_net_admin(&self) -> bool {
        self.sender.administers_machine()
    }
}
