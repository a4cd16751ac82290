//! The netlink of InfiniBand devices: `NETLINK_RDMA`, of which `rdma` of iproute2 asks the client `RDMA_NL_NLDEV`
//! (`drivers/infiniband/core/netlink.c`, `nldev.c`).
//!
//! It is not generic netlink: a message's type is client and command in one number, and attributes follow the header at once.
//! What lists devices and ports, and what renames a device, is answered; what concerns verbs (queues, regions, counters) is refused
//! as by a kernel that knows no such command. [`answer`] says which messages are for another kernel: those that name a device that is not
//! ours, and everything that is not [`answer`]ed here.

use net_core::NetId;
use netlink::message::{
    MessageHeader, NLM_F_DUMP, NLM_F_MULTI, NLM_F_REQUEST, NLMSG_DONE, NLMSG_HDRLEN, NLMSG_MIN_TYPE,
};
use netlink::wire::kind;
use netlink::{Attr, RawAttr, RawAttrs, Writer, put_message};
use rustix::io::Errno;

use crate::device::{Core, IbDevice};

/// `RDMA_NL_NLDEV`, in a message's type.
const NLDEV: u16 = 5 << 10;

/// `enum rdma_nldev_command`
const CMD_GET: u16 = NLDEV | 1;
const CMD_SET: u16 = NLDEV | 2;
const CMD_PORT_GET: u16 = NLDEV | 5;
const CMD_SYS_GET: u16 = NLDEV | 6;

/// `enum rdma_nldev_attr`
mod attr {
    use super::{Attr, kind};

    pub(super) const DEV_INDEX: Attr<kind::U32> = Attr::new(1, "DEV_INDEX");
    pub(super) const DEV_NAME: Attr<kind::Str> = Attr::new(2, "DEV_NAME");
    pub(super) const PORT_INDEX: Attr<kind::U32> = Attr::new(3, "PORT_INDEX");
    pub(super) const CAP_FLAGS: Attr<kind::U64> = Attr::new(4, "CAP_FLAGS");
    pub(super) const FW_VERSION: Attr<kind::Str> = Attr::new(5, "FW_VERSION");
    pub(super) const NODE_GUID: Attr<kind::U64> = Attr::new(6, "NODE_GUID");
    pub(super) const SYS_IMAGE_GUID: Attr<kind::U64> = Attr::new(7, "SYS_IMAGE_GUID");
    pub(super) const PORT_STATE: Attr<kind::U8> = Attr::new(12, "PORT_STATE");
    pub(super) const PORT_PHYS_STATE: Attr<kind::U8> = Attr::new(13, "PORT_PHYS_STATE");
    pub(super) const DEV_NODE_TYPE: Attr<kind::U8> = Attr::new(14, "DEV_NODE_TYPE");
    pub(super) const NDEV_INDEX: Attr<kind::U32> = Attr::new(50, "NDEV_INDEX");
    pub(super) const NDEV_NAME: Attr<kind::Str> = Attr::new(51, "NDEV_NAME");
    pub(super) const SYS_NETNS_MODE: Attr<kind::U8> = Attr::new(66, "SYS_ATTR_NETNS_MODE");
    pub(super) const DEV_PROTOCOL: Attr<kind::Str> = Attr::new(67, "DEV_PROTOCOL");
    pub(super) const DEV_DIM: Attr<kind::U8> = Attr::new(84, "DEV_DIM");
    pub(super) const SYS_COPY_ON_FORK: Attr<kind::U8> = Attr::new(93, "SYS_ATTR_COPY_ON_FORK");
    pub(super) const SYS_PRIVILEGED_QKEY: Attr<kind::U8> =
        Attr::new(96, "SYS_ATTR_PRIVILEGED_QKEY_MODE").since(6, 7);
    pub(super) const NAME_ASSIGN_TYPE: Attr<kind::U8> =
        Attr::new(101, "NAME_ASSIGN_TYPE").since(6, 10);
    pub(super) const SYS_MONITOR: Attr<kind::U8> =
        Attr::new(103, "SYS_ATTR_MONITOR_MODE").since(6, 12);
}

/// `RDMA_NODE_IB_CA`
const NODE_TYPE_CA: u8 = 1;

/// `RDMA_NAME_ASSIGN_TYPE_USER`: udev renames every device.
const NAME_BY_USER: u8 = 1;

/// Room for one message, which is far shorter.
const MESSAGE_MAX: usize = 4096;

/// The longest datagram of a dump: clients read with a larger buffer.
const DATAGRAM_MAX: usize = 8192;

/// What becomes of a message.
#[derive(Debug)]
pub enum Answer {
    /// These datagrams, then, if the sender wants one, an acknowledgement.
    Done(Vec<Vec<u8>>),
    /// These datagrams, the last of which says that it is the last of a dump.
    Dump(Vec<Vec<u8>>),
    /// These datagrams of a dump, which the real kernel goes on with if there is one: else [`end_of_dump`] belongs behind them.
    Begun(Vec<Vec<u8>>),
    /// An error.
    Refused(Errno),
    /// It is for the real kernel; if there is none, this error.
    NotOurs(Errno),
}

/// Who asks.
pub trait Asker {
    /// In which namespace the socket was opened.
    fn net(&self) -> NetId;

    /// What is added to the indexes of devices for this socket: it keeps them apart from those of the real kernel, if the socket
    /// shows its devices, too.
    fn index_offset(&self) -> u32;

    /// The socket's port id.
    fn portid(&self) -> u32;

    /// Whether the sender may change what there is.
    fn capable_net_admin(&self) -> bool;
}

/// Answers a message (`netlink.c: rdma_nl_rcv_msg`).
pub fn answer(core: &Core, asker: &dyn Asker, header: MessageHeader, message: &[u8]) -> Answer {
    if header.flags & NLM_F_REQUEST == 0 || header.kind < NLMSG_MIN_TYPE {
        return Answer::Done(Vec::new());
    }
    let request = Request {
        core,
        asker,
        header,
        attrs: RawAttrs::new(message.get(NLMSG_HDRLEN..).unwrap_or_default(), 0),
    };
    // Either of the two bits: as `netlink.c` tests it.
    let dump = header.flags & NLM_F_DUMP != 0;
    let answered = match (header.kind, dump) {
        (CMD_GET, false) => request.get(),
        (CMD_GET, true) => return request.get_dump(),
        (CMD_SET, false) => request.set(),
        (CMD_PORT_GET, false) => request.port_get(),
        (CMD_PORT_GET, true) => return request.port_get_dump(),
        (CMD_SYS_GET, false) => request.sys_get(),
        _ => return Answer::NotOurs(Errno::INVAL),
    };
    match answered {
        Ok(messages) => Answer::Done(messages),
        // Whoever has this device, it is not here.
        Err(Errno::NODEV) => Answer::NotOurs(Errno::INVAL),
        Err(errno) => Answer::Refused(errno),
    }
}

/// The message that ends a dump (`netlink_dump_done`).
pub fn end_of_dump(header: MessageHeader, portid: u32) -> Vec<u8> {
    let done = MessageHeader {
        len: (NLMSG_HDRLEN + 4) as u32,
        kind: NLMSG_DONE,
        flags: NLM_F_MULTI,
        seq: header.seq,
        portid,
    };
    let mut bytes = done.to_bytes().to_vec();
    bytes.extend(0i32.to_ne_bytes());
    bytes
}

struct Request<'a> {
    core: &'a Core,
    asker: &'a dyn Asker,
    header: MessageHeader,
    attrs: RawAttrs<'a>,
}

impl Request<'_> {
    fn attr<K>(&self, wanted: Attr<K>) -> Option<RawAttr<'_>> {
        let mut attrs = self.attrs;
        attrs.find(|attr| attr.number() == wanted.number())
    }

    fn number(&self, wanted: Attr<kind::U32>) -> Result<u32, Errno> {
        let found = self.attr(wanted).and_then(RawAttr::u32);
        found.ok_or(Errno::INVAL)
    }

    /// The device that the request names.
    ///
    /// # Errors
    /// `EINVAL` when it names none, `ENODEV` when it is none of ours.
    fn device(&self) -> Result<std::sync::Arc<IbDevice>, Errno> {
        let index = self.number(attr::DEV_INDEX)?;
        let ours = index.checked_sub(self.asker.index_offset());
        ours.and_then(|index| self.core.device(index))
            .ok_or(Errno::NODEV)
    }

    /// Appends a message.
    fn put(
        &self,
        datagrams: &mut Vec<Vec<u8>>,
        command: u16,
        flags: u16,
        fill: impl FnOnce(&mut Writer<'_>) -> netlink::Result,
    ) -> Result<(), Errno> {
        let header = MessageHeader {
            len: 0,
            kind: command,
            flags,
            seq: self.header.seq,
            portid: self.asker.portid(),
        };
        let mut message = Vec::new();
        put_message(&mut message, MESSAGE_MAX, self.core.kernel(), header, fill)
            .map_err(|error| error.errno())?;
        match datagrams.last_mut() {
            Some(last) if last.len() + message.len() <= DATAGRAM_MAX => last.extend(message),
            _ => datagrams.push(message),
        }
        Ok(())
    }

    /// `nldev_get_doit`
    fn get(&self) -> Result<Vec<Vec<u8>>, Errno> {
        let device = self.device()?;
        let mut reply = Vec::new();
        self.put(&mut reply, CMD_GET, 0, |w| {
            fill_dev_info(w, self.asker, &device)
        })?;
        Ok(reply)
    }

    /// `nldev_get_dumpit`
    fn get_dump(&self) -> Answer {
        let mut reply = Vec::new();
        for device in self.core.devices() {
            let put = self.put(&mut reply, CMD_GET, NLM_F_MULTI, |w| {
                fill_dev_info(w, self.asker, &device)
            });
            if let Err(errno) = put {
                return Answer::Refused(errno);
            }
        }
        Answer::Begun(reply)
    }

    /// `nldev_set_doit`: names; there is one namespace mode, and no moderation of queues.
    fn set(&self) -> Result<Vec<Vec<u8>>, Errno> {
        if !self.asker.capable_net_admin() {
            return Err(Errno::PERM);
        }
        let device = self.device()?;
        if let Some(name) = self.attr(attr::DEV_NAME) {
            let name = std::str::from_utf8(name.text()).map_err(|_| Errno::INVAL)?;
            self.core.rename_device(&device, name)?;
            return Ok(Vec::new());
        }
        Err(Errno::OPNOTSUPP)
    }

    /// `nldev_port_get_doit`, whose reply has the type of a device's.
    fn port_get(&self) -> Result<Vec<Vec<u8>>, Errno> {
        let (device, port) = (self.device()?, self.number(attr::PORT_INDEX)?);
        if !(1..=device.ops().ports()).contains(&port) {
            return Err(Errno::INVAL);
        }
        let mut reply = Vec::new();
        self.put(&mut reply, CMD_GET, 0, |w| {
            fill_port_info(w, self.asker, &device, port)
        })?;
        Ok(reply)
    }

    /// `nldev_port_get_dumpit`
    fn port_get_dump(&self) -> Answer {
        let device = match self.device() {
            Ok(device) => device,
            Err(Errno::NODEV) => return Answer::NotOurs(Errno::INVAL),
            Err(errno) => return Answer::Refused(errno),
        };
        let mut reply = Vec::new();
        for port in 1..=device.ops().ports() {
            let put = self.put(&mut reply, CMD_PORT_GET, NLM_F_MULTI, |w| {
                fill_port_info(w, self.asker, &device, port)
            });
            if let Err(errno) = put {
                return Answer::Refused(errno);
            }
        }
        reply.push(end_of_dump(self.header, self.asker.portid()));
        Answer::Dump(reply)
    }

    /// `nldev_sys_get_doit`
    fn sys_get(&self) -> Result<Vec<Vec<u8>>, Errno> {
        let mut reply = Vec::new();
        self.put(&mut reply, CMD_SYS_GET, 0, |w| {
            w.put_u8(attr::SYS_NETNS_MODE, 1)?;
            w.put_u8(attr::SYS_PRIVILEGED_QKEY, 0)?;
            w.put_u8(attr::SYS_MONITOR, 1)?;
            w.put_u8(attr::SYS_COPY_ON_FORK, 1)
        })?;
        Ok(reply)
    }
}

fn fill_handle(w: &mut Writer<'_>, asker: &dyn Asker, device: &IbDevice) -> netlink::Result {
    w.put_u32(attr::DEV_INDEX, device.index() + asker.index_offset())?;
    w.put_str(attr::DEV_NAME, &device.name())
}

/// `nldev.c: fill_dev_info`
fn fill_dev_info(w: &mut Writer<'_>, asker: &dyn Asker, device: &IbDevice) -> netlink::Result {
    let ops = device.ops();
    fill_handle(w, asker, device)?;
    w.put_u32(attr::PORT_INDEX, ops.ports())?;
    w.put_u64(attr::CAP_FLAGS, ops.cap_flags())?;
    let firmware = ops.fw_str();
    if !firmware.is_empty() {
        w.put_str(attr::FW_VERSION, &firmware)?;
    }
    w.put_u64(attr::NODE_GUID, ops.node_guid())?;
    w.put_u64(attr::SYS_IMAGE_GUID, ops.sys_image_guid())?;
    w.put_u8(attr::DEV_NODE_TYPE, NODE_TYPE_CA)?;
    w.put_u8(attr::DEV_DIM, 0)?;
    w.put_u8(attr::NAME_ASSIGN_TYPE, NAME_BY_USER)?;
    // A device of raw Ethernet speaks none.
    if ops.query_port(1).gid_table > 0 {
        w.put_str(attr::DEV_PROTOCOL, "roce")?;
    }
    Ok(())
}

/// `nldev.c: fill_port_info`, for Ethernet
fn fill_port_info(
    w: &mut Writer<'_>,
    asker: &dyn Asker,
    device: &IbDevice,
    port: u32,
) -> netlink::Result {
    let ops = device.ops();
    fill_handle(w, asker, device)?;
    w.put_u32(attr::PORT_INDEX, port)?;
    let state = ops.query_port(port).state;
    w.put_u8(attr::PORT_STATE, state.logical().0)?;
    w.put_u8(attr::PORT_PHYS_STATE, state.physical().0)?;
    // A network device of another namespace is nobody's business here.
    if let Some(netdev) = ops
        .netdev(port)
        .filter(|netdev| netdev.net().id() == asker.net())
    {
        w.put_u32(attr::NDEV_INDEX, netdev.ifindex())?;
        w.put_str(attr::NDEV_NAME, &netdev.name())?;
    }
    Ok(())
}
