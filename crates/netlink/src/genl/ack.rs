//! Acknowledgements: an errno, the request it is about, and what more there is to say.

use rustix::io::Errno;

use super::policy_dump::put_attr_policy;
use super::socket::Socket;
use crate::KernelVersion;
use crate::error::ExtAck;
use crate::message::{
    MessageHeader, NLM_F_ACK_TLVS, NLM_F_CAPPED, NLMSG_ERROR, NLMSG_HDRLEN, align,
};
use crate::wire::{Attr, kind};
use crate::writer::{Writer, finish_message};

const MSG: Attr<kind::Str> = Attr::new(1, "MSG");
const OFFS: Attr<kind::U32> = Attr::new(2, "OFFS");
const POLICY: u16 = 4;
const MISS_TYPE: Attr<kind::U32> = Attr::new(5, "MISS_TYPE");
const MISS_NEST: Attr<kind::U32> = Attr::new(6, "MISS_NEST");

/// Room for the attributes of an acknowledgement, in bytes: texts are short, the rest is numbers.
const TLVS_MAX: usize = 4096;

/// Sends the acknowledgement of `message` (`net/netlink/af_netlink.c: netlink_ack`).
pub(crate) fn acknowledge(
    socket: &Socket,
    header: MessageHeader,
    message: &[u8],
    errno: Option<Errno>,
    ext_ack: &ExtAck,
    buf: &mut Vec<u8>,
) {
    let options = socket.options();
    buf.clear();
    buf.resize(NLMSG_HDRLEN, 0);
    put_errno(buf, errno);
    let whole = errno.is_some() && !options.cap_ack();
    let mut flags = 0;
    if whole {
        buf.extend_from_slice(message);
        buf.resize(align(buf.len()), 0);
    } else {
        buf.extend_from_slice(&message[..NLMSG_HDRLEN]);
        flags |= NLM_F_CAPPED;
    }
    if options.ext_ack() && put_tlvs(buf, errno.is_some(), ext_ack) {
        flags |= NLM_F_ACK_TLVS;
    }
    finish_message(buf, 0, NLMSG_ERROR, flags, header.seq, options.portid());
    // A client that does not read, or is gone, has no acknowledgement; it is marked as overrun.
    let _ = socket.unicast(buf);
}

/// Appends a negated errno, or 0.
pub(crate) fn put_errno(buf: &mut Vec<u8>, errno: Option<Errno>) {
    let value = errno.map_or(0, |errno| -errno.raw_os_error());
    buf.extend_from_slice(&value.to_ne_bytes());
}

/// Appends the attributes of an acknowledgement (`netlink_ack_tlv_fill`) and tells whether there
/// are any. Without an error there is only the text: a warning.
pub(crate) fn put_tlvs(buf: &mut Vec<u8>, is_error: bool, ext_ack: &ExtAck) -> bool {
    let start = buf.len();
    let mut writer = Writer::new(buf, start + TLVS_MAX, KernelVersion::DEFAULT);
    let mut put = || -> crate::Result {
        if let Some(msg) = ext_ack.msg() {
            writer.put_str(MSG, msg)?;
        }
        if !is_error {
            return Ok(());
        }
        if let Some(offs) = ext_ack.offs() {
            writer.put_u32(OFFS, offs)?;
        }
        if let Some(policy) = ext_ack.policy() {
            put_attr_policy(&mut writer, POLICY, policy, |_| None)?;
        }
        if let Some(number) = ext_ack.miss_type() {
            writer.put_u32(MISS_TYPE, number)?;
        }
        if let Some(offs) = ext_ack.miss_nest() {
            writer.put_u32(MISS_NEST, offs)?;
        }
        Ok(())
    };
    // What does not fit is left out: a text of several kilobytes is nobody's help.
    let _ = put();
    buf.len() > start
}
