//! The header every netlink message starts with, and the numbers in it.
//!
//! Lengths in bytes, all integers in host order, messages and attributes aligned to four bytes:
//! `include/uapi/linux/netlink.h` and `include/uapi/linux/genetlink.h`.

/// Bytes of `struct nlmsghdr`.
pub const NLMSG_HDRLEN: usize = 16;
/// Bytes of `struct genlmsghdr`.
pub const GENL_HDRLEN: usize = 4;
/// Bytes of `struct nlattr`.
pub const NLA_HDRLEN: usize = 4;
/// What the kernel can put into one page besides its own bookkeeping: the room of a reply, and the
/// largest dump datagram for a client whose buffer is unknown (`NLMSG_GOODSIZE` on x86-64).
pub const NLMSG_GOODSIZE: usize = 3776;
/// The largest dump datagram however large the client's buffer is
/// (`SKB_WITH_OVERHEAD(32768)`, `net/netlink/af_netlink.c: netlink_recvmsg`).
pub const DUMP_MAX: usize = 32768 - 320;

/// Message type: an acknowledgement or an error.
pub const NLMSG_ERROR: u16 = 2;
/// Message type: the end of a multi-part reply.
pub const NLMSG_DONE: u16 = 3;
/// Types below this one are control messages.
pub const NLMSG_MIN_TYPE: u16 = 16;
/// The controller's family id.
pub const GENL_ID_CTRL: u16 = 16;

/// Flag: a request to the kernel.
pub const NLM_F_REQUEST: u16 = 0x1;
/// Flag: one of several messages, ended by [`NLMSG_DONE`].
pub const NLM_F_MULTI: u16 = 0x2;
/// Flag: the sender wants an acknowledgement.
pub const NLM_F_ACK: u16 = 0x4;
/// Flag: the sender wants to hear the notification of its own change.
pub const NLM_F_ECHO: u16 = 0x8;
/// Flag of a reply: something has changed during the dump, which may be inconsistent.
pub const NLM_F_DUMP_INTR: u16 = 0x10;
/// Flag of a reply: the dump was restricted as the request asked.
pub const NLM_F_DUMP_FILTERED: u16 = 0x20;
/// Flags of a request: dump all objects (root and match).
pub const NLM_F_DUMP: u16 = 0x300;
/// Flag of an error: the request is not repeated in full.
pub const NLM_F_CAPPED: u16 = 0x100;
/// Flag of an error: attributes follow.
pub const NLM_F_ACK_TLVS: u16 = 0x200;

/// Bit of an attribute's type: its payload is attributes.
pub const NLA_F_NESTED: u16 = 0x8000;
/// Bit of an attribute's type: its payload is in network order.
pub const NLA_F_NET_BYTEORDER: u16 = 0x4000;
/// What remains of an attribute's type without the two flags.
pub const NLA_TYPE_MASK: u16 = 0x3fff;

/// Rounds a length up to the four-byte alignment of messages and attributes.
pub const fn align(len: usize) -> usize {
    (len + 3) & !3
}

/// `struct nlmsghdr`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageHeader {
    /// Length in bytes of the message, this header included.
    pub len: u32,
    /// A control message type or a family id.
    pub kind: u16,
    /// `NLM_F_*`.
    pub flags: u16,
    /// The client's sequence number; 0 in notifications.
    pub seq: u32,
    /// The client's port id; 0 in notifications.
    pub portid: u32,
}

impl MessageHeader {
    /// Reads the header at the start of `bytes`; `None` if they are too few.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; NLMSG_HDRLEN] = bytes.first_chunk()?;
        let [
            l0,
            l1,
            l2,
            l3,
            k0,
            k1,
            f0,
            f1,
            s0,
            s1,
            s2,
            s3,
            p0,
            p1,
            p2,
            p3,
        ] = *bytes;
        Some(Self {
            len: u32::from_ne_bytes([l0, l1, l2, l3]),
            kind: u16::from_ne_bytes([k0, k1]),
            flags: u16::from_ne_bytes([f0, f1]),
            seq: u32::from_ne_bytes([s0, s1, s2, s3]),
            portid: u32::from_ne_bytes([p0, p1, p2, p3]),
        })
    }

    /// The header as it stands on the wire.
    pub fn to_bytes(self) -> [u8; NLMSG_HDRLEN] {
        let mut bytes = [0; NLMSG_HDRLEN];
        bytes[0..4].copy_from_slice(&self.len.to_ne_bytes());
        bytes[4..6].copy_from_slice(&self.kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&self.flags.to_ne_bytes());
        bytes[8..12].copy_from_slice(&self.seq.to_ne_bytes());
        bytes[12..16].copy_from_slice(&self.portid.to_ne_bytes());
        bytes
    }

    /// Whether a reader may expect more messages that belong to this one.
    pub const fn is_dump(self) -> bool {
        self.flags & NLM_F_DUMP == NLM_F_DUMP
    }
}

/// Walks the messages of a datagram: header, and the whole message's bytes (header included).
///
/// Stops, without an error, at the first message whose length does not fit, as
/// `net/netlink/af_netlink.c: netlink_rcv_skb` does.
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    datagram: &'a [u8],
    at: usize,
}

impl<'a> Messages<'a> {
    /// Starts at the beginning of a datagram.
    pub fn new(datagram: &'a [u8]) -> Self {
        Self { datagram, at: 0 }
    }

    /// Offset in bytes of the message that comes next.
    pub fn offset(&self) -> usize {
        self.at
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = (MessageHeader, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.datagram.get(self.at..)?;
        let header = MessageHeader::parse(rest)?;
        let len = header.len as usize;
        if len < NLMSG_HDRLEN || len > rest.len() {
            self.at = self.datagram.len();
            return None;
        }
        self.at += align(len).min(rest.len());
        Some((header, &rest[..len]))
    }
}
