//! rtnetlink sockets of namespaces in which a device limits the routes.
//!
//! The routing tables are the real kernel's, which asks no simulated device. So where a device has room for so many routes,
//! the sockets through which routes are added are served here: a request that the device refuses is answered as the real
//! kernel answers when a FIB notifier refuses, every other one goes to the real kernel.
//!
//! What a message names by a number of the sender's, namespaces by descriptor or process, is translated, for the real
//! kernel hears it from this process. Descriptors of programs (XDP) are not.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use net_core::{FibTable, NetId};
use netlink::message::{MessageHeader, Messages, NLMSG_HDRLEN};
use netlink::{ExtAck, genl};
use sandbox::{ClientSocket, Sender, Session};

use crate::machine::Machine;
use crate::session::answering_socket;

const RTM_NEWLINK: u16 = 16;
const RTM_SETLINK: u16 = 19;
const RTM_NEWROUTE: u16 = 24;
const RTM_NEWRULE: u16 = 32;
const RTM_NEWNSID: u16 = 88;
const RTM_GETNSID: u16 = 90;
const RTM_NEWNEXTHOP: u16 = 104;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// Bytes of `struct ifinfomsg`, and of `struct rtgenmsg` with its padding.
const IFINFOMSG: usize = 16;
const RTGENMSG: usize = 4;

/// Attributes of links: nests on the way to a veth's peer, and the namespace.
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const LINK_NETNS: Netns = Netns { pid: 19, fd: 28 };
/// Attributes of namespace ids.
const NSID_NETNS: Netns = Netns { pid: 2, fd: 3 };

/// The attributes that name a namespace.
#[derive(Clone, Copy)]
struct Netns {
    pid: u16,
    fd: u16,
}

/// One such socket.
pub(crate) struct RouteSession {
    machine: Arc<Machine>,
    client: Arc<ClientSocket>,
    /// For the options of acknowledgements; generic netlink does not know it.
    socket: genl::Socket,
}

impl RouteSession {
    pub(crate) fn new(machine: Arc<Machine>, client: Arc<ClientSocket>) -> Self {
        Self {
            socket: answering_socket(&client),
            machine,
            client,
        }
    }

    /// Which table the message adds to, if it does.
    fn adds_to(header: MessageHeader, message: &[u8]) -> Option<FibTable> {
        let family = *message.get(NLMSG_HDRLEN)?;
        match (header.kind, family) {
            (RTM_NEWROUTE, AF_INET) => Some(FibTable::Ipv4),
            (RTM_NEWROUTE, AF_INET6) => Some(FibTable::Ipv6),
            (RTM_NEWRULE, AF_INET) => Some(FibTable::Ipv4Rules),
            (RTM_NEWRULE, AF_INET6) => Some(FibTable::Ipv6Rules),
            (RTM_NEWNEXTHOP, _) => Some(FibTable::Nexthops),
            _ => None,
        }
    }

    fn serve(&self, header: MessageHeader, message: &[u8], sender: &Sender) {
        let net = self
            .machine
            .net_core()
            .net(NetId(self.client.netns_cookie()));
        if let (Some(table), Some(net)) = (Self::adds_to(header, message), net) {
            // Who may not add anything at all hears that from the real kernel.
            if sender.capable_net_admin() {
                if let Err(refusal) = self.machine.net_core().fib_entry_add(&net, table) {
                    let mut said = ExtAck::default();
                    said.set_msg(refusal.text);
                    let genl = self.machine.genl();
                    return genl.refuse_with(&self.socket, message, refusal.errno, &said);
                }
            }
        }
        let mut translated = message.to_vec();
        // Open until the kernel has heard of them.
        let _namespaces = translate(header.kind, &mut translated, sender);
        if let Err(errno) = self.client.relay(&translated, sender) {
            self.machine.genl().refuse(&self.socket, message, errno);
        }
    }
}

impl Session for RouteSession {
    fn receive(&mut self, datagram: &[u8], sender: &Sender) {
        for (header, message) in Messages::new(datagram) {
            self.serve(header, message, sender);
        }
    }
}

/// Makes the namespaces that a message names ones of this process. One that cannot be found stays as it is, and the kernel finds
/// it as little.
fn translate(kind: u16, message: &mut [u8], sender: &Sender) -> Vec<OwnedFd> {
    let mut opened = Vec::new();
    match kind {
        RTM_NEWLINK..=RTM_SETLINK => {
            let attrs = NLMSG_HDRLEN + IFINFOMSG;
            translate_link(message.get_mut(attrs..), sender, &mut opened);
        }
        RTM_NEWNSID..=RTM_GETNSID => {
            let attrs = message.get_mut(NLMSG_HDRLEN + RTGENMSG..);
            translate_netns(attrs, NSID_NETNS, sender, &mut opened);
        }
        _ => {}
    }
    opened
}

fn translate_link(attrs: Option<&mut [u8]>, sender: &Sender, opened: &mut Vec<OwnedFd>) {
    let Some(attrs) = attrs else {
        return;
    };
    translate_netns(Some(attrs), LINK_NETNS, sender, opened);
    let peer = find(attrs, IFLA_LINKINFO)
        .and_then(|info| find(info, IFLA_INFO_DATA))
        .and_then(|data| find(data, VETH_INFO_PEER))
        .and_then(|peer| peer.get_mut(IFINFOMSG..));
    translate_netns(peer, LINK_NETNS, sender, opened);
}

fn translate_netns(
    attrs: Option<&mut [u8]>,
    netns: Netns,
    sender: &Sender,
    opened: &mut Vec<OwnedFd>,
) {
    let Some(mut rest) = attrs else {
        return;
    };
    while let Some((kind, len)) = head(rest) {
        if let (true, Some(value)) = (len == 8, rest.get(4..8)) {
            let number = value.try_into().map(u32::from_ne_bytes).unwrap_or_default();
            let found = match kind {
                kind if kind == netns.fd => sender.netns_by_fd(number).ok(),
                kind if kind == netns.pid => sender.netns_by_pid(number).ok(),
                _ => None,
            };
            if let Some(found) = found {
                let namespace = found.into_namespace();
                rest[2..4].copy_from_slice(&netns.fd.to_ne_bytes());
                rest[4..8].copy_from_slice(&namespace.as_raw_fd().to_ne_bytes());
                opened.push(namespace);
            }
        }
        let Some(next) = rest.get_mut(len.next_multiple_of(4)..) else {
            return;
        };
        rest = next;
    }
}

/// Kind and length of the first attribute.
fn head(attrs: &[u8]) -> Option<(u16, usize)> {
    let &[a, b, c, d, ..] = attrs else {
        return None;
    };
    let len = usize::from(u16::from_ne_bytes([a, b]));
    (len >= 4 && len <= attrs.len()).then_some((u16::from_ne_bytes([c, d]) & 0x3fff, len))
}

/// What the first attribute of this kind holds.
fn find(mut attrs: &mut [u8], wanted: u16) -> Option<&mut [u8]> {
    while let Some((kind, len)) = head(attrs) {
        if kind == wanted {
            return attrs.get_mut(4..len);
        }
        attrs = attrs.get_mut(len.next_multiple_of(4)..)?;
    }
    None
}
