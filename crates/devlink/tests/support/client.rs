//! A client of the fake machine: sends datagrams, keeps what comes back.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use net_core::testutil::FakeNetns;
use net_core::{NetId, NetnsHandle};
use netlink::genl::{self, AtomicOptions, Caller, Genl, NetnsRef, SendError, Socket, Transport};
use netlink::message::{MessageHeader, Messages, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST};
use netlink::{Attr, RawAttrs, wire::kind};
use rustix::io::Errno;

use super::{CONFIG_GROUP, Machine};

/// What a client has not read yet, and how many datagrams that can be; 0 is any number.
#[derive(Clone, Default)]
struct Inbox(Arc<Mutex<Vec<Vec<u8>>>>, Arc<AtomicUsize>);

impl Transport for Inbox {
    fn send(&self, datagram: &[u8]) -> Result<(), SendError> {
        let mut unread = self.0.lock().unwrap();
        let room = self.1.load(Ordering::Relaxed);
        if room > 0 && unread.len() >= room {
            return Err(SendError::Full);
        }
        unread.push(datagram.to_vec());
        Ok(())
    }
}

/// Who sends: what its namespace numbers mean, and whether it may administrate.
pub struct Process {
    pub admin: AtomicBool,
    pub netns_admin: AtomicBool,
    pub fds: Mutex<HashMap<u32, Arc<FakeNetns>>>,
    net_core: Arc<net_core::NetCore>,
    init: NetId,
}

impl Caller for Process {
    fn capable_net_admin(&self) -> bool {
        self.admin.load(Ordering::Relaxed)
    }

    fn netns_by_fd(&self, fd: u32) -> Result<NetnsRef, Errno> {
        let handle = self
            .fds
            .lock()
            .unwrap()
            .get(&fd)
            .cloned()
            .ok_or(Errno::BADF)?;
        let net = self.net_core.get_net_deferred(handle)?;
        Ok(NetnsRef {
            net: genl::NetId(net.net().id().0),
            capable_net_admin: self.netns_admin.load(Ordering::Relaxed),
            handle: Arc::new(net),
        })
    }

    /// Process 1 is in the first namespace, and there is no other.
    fn netns_by_pid(&self, pid: u32) -> Result<NetnsRef, Errno> {
        if pid != 1 {
            return Err(Errno::SRCH);
        }
        Ok(NetnsRef {
            net: genl::NetId(self.init.0),
            capable_net_admin: self.netns_admin.load(Ordering::Relaxed),
            handle: Arc::new(self.net_core.init_net_ref()),
        })
    }

    fn netns_by_id(&self, _nsid: u32) -> Result<NetnsRef, Errno> {
        Err(Errno::INVAL)
    }
}

pub struct Client {
    genl: Arc<Genl>,
    pub socket: Arc<Socket>,
    pub options: Arc<AtomicOptions>,
    inbox: Inbox,
    pub process: Process,
    family_id: u16,
    seq: u32,
}

/// A message as a test looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub header: MessageHeader,
    /// What follows the message's header.
    pub payload: Vec<u8>,
}

impl Message {
    /// The command, if it is one of the family's messages.
    pub fn cmd(&self) -> u8 {
        self.payload[0]
    }

    /// The value of the first attribute that the names lead to, outermost first.
    pub fn find(&self, path: &[u16]) -> Option<Vec<u8>> {
        let mut bytes = self.payload[4..].to_vec();
        for &number in path {
            bytes = RawAttrs::new(&bytes, 0)
                .find(|attr| attr.number() == number)?
                .payload
                .to_vec();
        }
        Some(bytes)
    }

    pub fn u32(&self, path: &[u16]) -> Option<u32> {
        Some(u32::from_ne_bytes(self.find(path)?.try_into().ok()?))
    }

    pub fn text(&self, path: &[u16]) -> Option<String> {
        let bytes = self.find(path)?;
        Some(String::from_utf8_lossy(bytes.strip_suffix(&[0])?).into_owned())
    }
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The errno of the acknowledgement, or of the end of the dump.
    pub errno: i32,
    /// The text that came with it.
    pub text: Option<String>,
    /// The replies before it.
    pub messages: Vec<Message>,
}

impl Answer {
    #[track_caller]
    pub fn ok(self) -> Vec<Message> {
        assert_eq!((self.errno, self.text.as_deref()), (0, None));
        self.messages
    }

    /// The only message of what has gone well.
    #[track_caller]
    pub fn one(self) -> Message {
        let [message] = self.ok().try_into().expect("one message");
        message
    }

    /// Errno and text.
    pub fn error(&self) -> (Errno, Option<&str>) {
        (Errno::from_raw_os_error(-self.errno), self.text.as_deref())
    }
}

/// Attributes of a request.
#[derive(Clone, Default)]
pub struct Body(Vec<u8>);

impl Body {
    pub fn raw(mut self, wire_type: u16, payload: &[u8]) -> Self {
        let len = u16::try_from(payload.len() + 4).unwrap();
        self.0.extend(len.to_ne_bytes());
        self.0.extend(wire_type.to_ne_bytes());
        self.0.extend(payload);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// These attributes, then those of `other`.
    pub fn and(mut self, other: Body) -> Self {
        self.0.extend(other.0);
        self
    }

    pub fn str(self, attr: Attr<kind::Str>, value: &str) -> Self {
        self.raw(attr.number(), &[value.as_bytes(), &[0]].concat())
    }

    pub fn u8(self, attr: Attr<kind::U8>, value: u8) -> Self {
        self.raw(attr.number(), &[value])
    }

    pub fn u16(self, attr: Attr<kind::U16>, value: u16) -> Self {
        self.raw(attr.number(), &value.to_ne_bytes())
    }

    pub fn u32(self, attr: Attr<kind::U32>, value: u32) -> Self {
        self.raw(attr.number(), &value.to_ne_bytes())
    }

    pub fn u64(self, attr: Attr<kind::U64>, value: u64) -> Self {
        self.raw(attr.number(), &value.to_ne_bytes())
    }

    pub fn uint(self, attr: Attr<kind::Uint>, value: u32) -> Self {
        self.raw(attr.number(), &value.to_ne_bytes())
    }

    pub fn flag(self, attr: Attr<kind::Flag>) -> Self {
        self.raw(attr.number(), &[])
    }

    pub fn bitfield32(self, attr: Attr<kind::Bitfield32>, value: u32, selector: u32) -> Self {
        self.raw(
            attr.number(),
            &[value.to_ne_bytes(), selector.to_ne_bytes()].concat(),
        )
    }

    pub fn nest(self, attr: Attr<kind::Nest>, inner: Body) -> Self {
        self.raw(attr.number() | netlink::message::NLA_F_NESTED, &inner.0)
    }
}

/// The handle of `netdevsim/netdevsimNUMBER`.
pub fn handle(number: u32) -> Body {
    Body::default()
        .str(netlink::attr::BUS_NAME, "netdevsim")
        .str(netlink::attr::DEV_NAME, &format!("netdevsim{number}"))
}

/// The handle of one of its ports.
pub fn port_handle(number: u32, port: u32) -> Body {
    handle(number).u32(netlink::attr::PORT_INDEX, port)
}

impl Client {
    pub fn new(machine: &Machine, net: NetId) -> Self {
        let options = Arc::new(AtomicOptions::default());
        options.portid.store(100, Ordering::Relaxed);
        options.cap_ack.store(true, Ordering::Relaxed);
        options.ext_ack.store(true, Ordering::Relaxed);
        let inbox = Inbox::default();
        let net = genl::NetId(net.0);
        let socket = Arc::new(Socket::new(net, options.clone(), Box::new(inbox.clone())));
        machine.genl.attach(Arc::clone(&socket));
        let process = Process {
            admin: AtomicBool::new(true),
            netns_admin: AtomicBool::new(true),
            fds: Mutex::default(),
            net_core: Arc::clone(&machine.net_core),
            init: machine.net_core.init_net().id(),
        };
        let genl = Arc::clone(&machine.genl);
        Self {
            genl,
            socket,
            options,
            inbox,
            process,
            family_id: machine.family_id,
            seq: 0,
        }
    }

    /// A client in a made-up namespace.
    pub fn in_netns(machine: &Machine, netns: &Arc<FakeNetns>) -> Self {
        Self::new(machine, netns.id())
    }

    /// Joins the multicast group.
    pub fn listen(self) -> Self {
        self.options
            .groups
            .fetch_or(1 << CONFIG_GROUP, Ordering::Relaxed);
        self
    }

    /// Sends a datagram as it is; returns the datagrams that came back.
    pub fn exchange(&self, datagram: &[u8]) -> Vec<Vec<u8>> {
        self.genl.receive(&self.socket, &self.process, datagram);
        self.drain()
    }

    /// Reads slowly from now on: so many datagrams are kept, and what is more waits for [`resume`](Self::resume).
    pub fn slow(self, room: usize) -> Self {
        self.inbox.1.store(room, Ordering::Relaxed);
        self
    }

    /// Reads at once from now on, and goes on with the dump that waits.
    pub fn resume(&self) -> Vec<Message> {
        self.inbox.1.store(0, Ordering::Relaxed);
        self.genl.resume(&self.socket);
        self.notifications()
    }

    /// Reads so many datagrams more of the dump that waits.
    pub fn resume_for(&self, room: usize) -> Vec<Message> {
        self.inbox.1.store(room, Ordering::Relaxed);
        self.genl.resume(&self.socket);
        self.notifications()
    }

    /// The datagrams that have come since the last look.
    pub fn drain(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.inbox.0.lock().unwrap())
    }

    /// The notifications that have come since the last look.
    pub fn notifications(&self) -> Vec<Message> {
        messages(&self.drain())
    }

    /// A *do* request, acknowledged.
    pub fn doit(&mut self, cmd: u8, body: Body) -> Answer {
        self.request(cmd, NLM_F_REQUEST | NLM_F_ACK, body)
    }

    /// A *dump* request.
    pub fn dump(&mut self, cmd: u8, body: Body) -> Answer {
        self.request(cmd, NLM_F_REQUEST | NLM_F_ACK | NLM_F_DUMP, body)
    }

    fn request(&mut self, cmd: u8, flags: u16, body: Body) -> Answer {
        self.seq += 1;
        let len = u32::try_from(20 + body.0.len()).unwrap();
        let header = MessageHeader {
            len,
            kind: self.family_id,
            flags,
            seq: self.seq,
            portid: 0,
        };
        let datagram = [&header.to_bytes()[..], &[cmd, 1, 0, 0], &body.0].concat();
        let mut answer = Answer {
            errno: 0,
            text: None,
            messages: Vec::new(),
        };
        for message in messages(&self.exchange(&datagram)) {
            let end_of = match message.header.kind {
                2 => 20,
                3 if message.payload.is_empty() => continue,
                3 => 4,
                _ => {
                    answer.messages.push(message);
                    continue;
                }
            };
            assert_eq!(message.header.seq, self.seq);
            answer.errno = i32::from_ne_bytes(message.payload[..4].try_into().unwrap());
            if message.header.flags & netlink::message::NLM_F_ACK_TLVS != 0 {
                let text =
                    RawAttrs::new(&message.payload[end_of..], 0).find(|attr| attr.number() == 1);
                answer.text = text.map(|text| String::from_utf8_lossy(text.text()).into_owned());
            }
        }
        answer
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.genl.detach(&self.socket);
    }
}

/// The messages in some datagrams.
pub fn messages(datagrams: &[Vec<u8>]) -> Vec<Message> {
    let all = datagrams
        .iter()
        .flat_map(|datagram| Messages::new(datagram));
    all.map(|(header, bytes)| Message {
        header,
        payload: bytes[16..].to_vec(),
    })
    .collect()
}
