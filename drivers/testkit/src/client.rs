//! A devlink client: one socket in one namespace.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use net_core::{NetId, NetRef};
use netlink::genl::{
    AtomicOptions, Caller, NetId as GenlNetId, NetnsRef, SendError, Socket, Transport,
};
use netlink::message::{
    GENL_HDRLEN, MessageHeader, Messages, NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_CAPPED, NLM_F_DUMP,
    NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NLMSG_HDRLEN, align,
};
use netlink::{RawAttrs, Writer, attr, cmd};
use rustix::io::Errno;

use crate::{FAMILY_ID, FIRST_GROUP, Machine, text};

/// Attribute of an acknowledgement: the text for the user (`NLMSGERR_ATTR_MSG`).
const NLMSGERR_ATTR_MSG: u16 = 1;

/// One message of a reply, or a notification.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// `DEVLINK_CMD_*`.
    pub cmd: u8,
    /// The attributes.
    pub payload: Vec<u8>,
}

impl Message {
    /// The attributes, one after the other.
    pub fn attrs(&self) -> RawAttrs<'_> {
        RawAttrs::new(&self.payload, 0)
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::notification(self))
    }
}

/// A request that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The error.
    pub errno: Errno,
    /// The text for the user; empty if there is none.
    pub text: String,
}

/// What a request is answered with.
pub type Answer<T> = Result<T, Refusal>;

/// An answer for comparison: a refusal with this text.
pub fn refused<T>(errno: Errno, text: &str) -> Answer<T> {
    Err(Refusal {
        errno,
        text: text.to_owned(),
    })
}

/// A value to set a parameter to.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// A 16-bit number.
    U16(u16),
    /// A 32-bit number.
    U32(u32),
    /// A text.
    Str(&'a str),
    /// A truth value.
    Bool(bool),
    /// The default.
    Default,
}

/// A socket with what has arrived on it.
pub struct Client {
    machine: Arc<Machine>,
    socket: Arc<Socket>,
    options: Arc<AtomicOptions>,
    inbox: Arc<Mutex<Vec<Vec<u8>>>>,
    admin: bool,
}

struct Inbox(Arc<Mutex<Vec<Vec<u8>>>>);

impl Transport for Inbox {
    fn send(&self, datagram: &[u8]) -> Result<(), SendError> {
        let mut inbox = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inbox.push(datagram.to_vec());
        Ok(())
    }
}

impl Client {
    pub(crate) fn new(machine: Arc<Machine>, net: NetId) -> Self {
        let inbox = Arc::new(Mutex::new(Vec::new()));
        let options = Arc::new(AtomicOptions::default());
        options.portid.store(4711, Ordering::Relaxed);
        options.cap_ack.store(true, Ordering::Relaxed);
        options.ext_ack.store(true, Ordering::Relaxed);
        let transport = Box::new(Inbox(Arc::clone(&inbox)));
        let shared: Arc<dyn netlink::genl::Options> = Arc::<AtomicOptions>::clone(&options);
        let socket = Arc::new(Socket::new(GenlNetId(net.0), shared, transport));
        machine.genl.attach(Arc::clone(&socket));
        Client {
            machine,
            socket,
            options,
            inbox,
            admin: true,
        }
    }

    /// The same for a user who may not administrate.
    #[must_use]
    pub fn unprivileged(mut self) -> Self {
        self.admin = false;
        self
    }

    /// Hears notifications from now on: `devlink monitor`.
    #[must_use]
    pub fn monitor(self) -> Self {
        let groups = 1 << FIRST_GROUP;
        self.options.groups.store(groups, Ordering::Relaxed);
        self
    }

    /// What has been heard since the last call, a line each.
    pub fn heard(&self) -> Vec<String> {
        let datagrams = self.take();
        let messages = datagrams
            .iter()
            .flat_map(|datagram| Messages::new(datagram));
        messages
            .map(|(_, message)| text::notification(&split(message)))
            .collect()
    }

    /// One request that is answered or refused; `handle` is `BUS/DEV` or `BUS/DEV/PORT`, the rest is `fill`ed in.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn request(
        &self,
        cmd: u8,
        handle: &str,
        fill: impl FnOnce(&mut Writer<'_>),
    ) -> Answer<Vec<Message>> {
        self.exchange(cmd, NLM_F_REQUEST | NLM_F_ACK, |w| {
            put_handle(w, handle);
            fill(w);
        })
    }

    /// All objects of a kind.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn dump(&self, cmd: u8) -> Answer<Vec<Message>> {
        self.exchange(cmd, NLM_F_REQUEST | NLM_F_ACK | NLM_F_DUMP, |_| ())
    }

    /// `devlink dev show`, without the statistics.
    pub fn dev_show(&self) -> Vec<String> {
        let devices = self.dump(cmd::GET).unwrap();
        devices.iter().map(text::dev).collect()
    }

    /// `devlink -s dev show`, a list of `ACTION LIMIT COUNT` for what was done through this machine.
    pub fn reload_stats(&self, handle: &str) -> Vec<String> {
        let device = self.request(cmd::GET, handle, |_| ()).unwrap();
        text::reload_stats(&device[0])
    }

    /// `devlink dev info HANDLE`.
    pub fn dev_info(&self, handle: &str) -> Vec<String> {
        let info = self.request(cmd::INFO_GET, handle, |_| ()).unwrap();
        text::info(&info[0])
    }

    /// `devlink port show`.
    pub fn port_show(&self) -> Vec<String> {
        let ports = self.dump(cmd::PORT_GET).unwrap();
        ports.iter().map(text::port).collect()
    }

    /// `devlink port function rate show`, with the rates in bytes per second.
    pub fn rate_show(&self) -> Vec<String> {
        let rates = self.dump(cmd::RATE_GET).unwrap();
        rates.iter().map(text::rate).collect()
    }

    /// `devlink dev eswitch set HANDLE mode MODE`.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn eswitch_mode_set(&self, handle: &str, mode: u16) -> Answer<()> {
        let fill = |w: &mut Writer<'_>| w.put_u16(attr::ESWITCH_MODE, mode).unwrap();
        self.request(cmd::ESWITCH_SET, handle, fill)?;
        Ok(())
    }

    /// `devlink dev param show`, a line a parameter.
    pub fn param_show(&self) -> Vec<String> {
        let params = self.dump(cmd::PARAM_GET).unwrap();
        params.iter().map(text::param).collect()
    }

    /// `devlink dev param show HANDLE name NAME`, in one line.
    pub fn param(&self, handle: &str, name: &str) -> String {
        let param = self.request(cmd::PARAM_GET, handle, |w| {
            w.put_str(attr::PARAM_NAME, name).unwrap();
        });
        text::param(&param.unwrap()[0])
    }

    /// `devlink dev param set HANDLE name NAME value VALUE cmode CMODE`.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn param_set(&self, handle: &str, name: &str, value: Value<'_>, cmode: u8) -> Answer<()> {
        let known = self.request(cmd::PARAM_GET, handle, |w| {
            w.put_str(attr::PARAM_NAME, name).unwrap();
        })?;
        let ty = text::param_type(&known[0]);
        self.request(cmd::PARAM_SET, handle, |w| {
            w.put_str(attr::PARAM_NAME, name).unwrap();
            w.put_u8(attr::PARAM_TYPE, ty).unwrap();
            let data = attr::PARAM_VALUE_DATA;
            match value {
                Value::U16(value) => w.put_u16(data.of(), value),
                Value::U32(value) => w.put_u32(data.of(), value),
                Value::Str(value) => w.put_str(data.of(), value),
                Value::Bool(true) => w.put_flag(data.of()),
                Value::Bool(false) => Ok(()),
                Value::Default => w.put_flag(attr::PARAM_RESET_DEFAULT),
            }
            .unwrap();
            w.put_u8(attr::PARAM_VALUE_CMODE, cmode).unwrap();
        })?;
        Ok(())
    }

    /// `devlink dev reload HANDLE`, into a namespace if one is named.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn reload(&self, handle: &str, netns: Option<NetId>) -> Answer<()> {
        self.request(cmd::RELOAD, handle, |w| {
            if let Some(netns) = netns {
                // A descriptor's number says here which namespace is meant.
                let fd = u32::try_from(netns.0).unwrap();
                w.put_u32(attr::NETNS_FD, fd).unwrap();
            }
        })?;
        Ok(())
    }

    /// `devlink dev reload HANDLE action ACTION [limit no_reset]`; the actions performed, as on the wire.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn reload_action(&self, handle: &str, action: u8, no_reset: bool) -> Answer<u32> {
        let reply = self.request(cmd::RELOAD, handle, |w| {
            w.put_u8(attr::RELOAD_ACTION, action).unwrap();
            if no_reset {
                let limits = netlink::Bitfield32 {
                    value: 2,
                    selector: 2,
                };
                w.put_bitfield32(attr::RELOAD_LIMITS, limits).unwrap();
            }
        })?;
        let performed = reply[0]
            .attrs()
            .find(|found| found.number() == attr::RELOAD_ACTIONS_PERFORMED.number());
        Ok(performed.unwrap().u32().unwrap())
    }

    /// Sends a datagram as it is; the datagrams that come back, up to the end of a dump.
    pub fn exchange_raw(&self, datagram: &[u8]) -> Vec<Vec<u8>> {
        self.take();
        self.machine.genl.receive(&self.socket, self, datagram);
        let mut answer = self.take();
        while self.socket.has_waiting_dump() {
            self.machine.genl.resume(&self.socket);
            answer.extend(self.take());
        }
        answer
    }

    fn exchange(
        &self,
        cmd: u8,
        flags: u16,
        fill: impl FnOnce(&mut Writer<'_>),
    ) -> Answer<Vec<Message>> {
        let mut payload = Vec::new();
        fill(&mut Writer::new(
            &mut payload,
            4096,
            self.machine.genl.kernel(),
        ));
        let header = MessageHeader {
            len: u32::try_from(NLMSG_HDRLEN + GENL_HDRLEN + payload.len()).unwrap(),
            kind: FAMILY_ID,
            flags,
            seq: 1,
            portid: 0,
        };
        let mut datagram = header.to_bytes().to_vec();
        datagram.extend([cmd, 1, 0, 0]);
        datagram.extend(payload);
        read(&self.deliver(&datagram))
    }

    /// Sends a datagram as it is; the datagrams that answer it, a dump's to its end.
    pub fn deliver(&self, datagram: &[u8]) -> Vec<Vec<u8>> {
        // Notifications that nobody has fetched are not part of the answer.
        let before = self.take();
        self.machine.genl.receive(&self.socket, self, datagram);
        let mut answer = Vec::new();
        while self.socket.has_waiting_dump() {
            answer.extend(self.take());
            self.machine.genl.resume(&self.socket);
        }
        answer.extend(self.take());
        *self.inbox() = before;
        answer
    }

    /// The datagrams that have arrived and that nobody has fetched.
    pub fn take(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut *self.inbox())
    }

    fn inbox(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn netns(&self, id: NetId) -> Result<NetnsRef, Errno> {
        let init = self.machine.net_core.init_net_ref();
        let net = if init.net().id() == id {
            init
        } else {
            let handle = self.machine.handle(id).ok_or(Errno::BADF)?;
            self.machine.net_core.get_net_deferred(handle)?
        };
        Ok(NetnsRef {
            net: GenlNetId(id.0),
            capable_net_admin: self.admin,
            handle: Arc::<NetRef>::new(net),
        })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.machine.genl.detach(&self.socket);
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

impl Caller for Client {
    fn capable_net_admin(&self) -> bool {
        self.admin
    }

    fn netns_by_fd(&self, fd: u32) -> Result<NetnsRef, Errno> {
        self.netns(NetId(u64::from(fd)))
    }

    fn netns_by_pid(&self, _pid: u32) -> Result<NetnsRef, Errno> {
        Err(Errno::SRCH)
    }

    fn netns_by_id(&self, _nsid: u32) -> Result<NetnsRef, Errno> {
        Err(Errno::INVAL)
    }
}

fn put_handle(w: &mut Writer<'_>, handle: &str) {
    let mut parts = handle.split('/');
    w.put_str(attr::BUS_NAME, parts.next().unwrap()).unwrap();
    w.put_str(attr::DEV_NAME, parts.next().unwrap()).unwrap();
    if let Some(port) = parts.next() {
        w.put_u32(attr::PORT_INDEX, port.parse().unwrap()).unwrap();
    }
}

/// The replies of an exchange, or the error that ended it.
fn read(datagrams: &[Vec<u8>]) -> Answer<Vec<Message>> {
    let mut replies = Vec::new();
    for (header, message) in datagrams
        .iter()
        .flat_map(|datagram| Messages::new(datagram))
    {
        match header.kind {
            NLMSG_ERROR | NLMSG_DONE => acknowledged(header, message)?,
            FAMILY_ID => replies.push(split(message)),
            // A notification, on a socket that hears them.
            _ => {}
        }
    }
    Ok(replies)
}

fn split(message: &[u8]) -> Message {
    Message {
        cmd: message[NLMSG_HDRLEN],
        payload: message[NLMSG_HDRLEN + GENL_HDRLEN..].to_vec(),
    }
}

fn acknowledged(header: MessageHeader, message: &[u8]) -> Answer<()> {
    let body = &message[NLMSG_HDRLEN..];
    let Some(code) = body.first_chunk().copied().map(i32::from_ne_bytes) else {
        return Ok(());
    };
    if code == 0 {
        return Ok(());
    }
    let repeated = if header.flags & NLM_F_CAPPED == 0 && header.kind == NLMSG_ERROR {
        align(MessageHeader::parse(&body[4..]).unwrap().len as usize)
    } else if header.kind == NLMSG_ERROR {
        NLMSG_HDRLEN
    } else {
        0
    };
    let mut text = String::new();
    if header.flags & NLM_F_ACK_TLVS != 0 {
        let mut attrs = RawAttrs::new(&body[4 + repeated..], 0);
        if let Some(found) = attrs.find(|found| found.number() == NLMSGERR_ATTR_MSG) {
            text = String::from_utf8_lossy(found.text()).into_owned();
        }
    }
    Err(Refusal {
        errno: Errno::from_raw_os_error(-code),
        text,
    })
}
