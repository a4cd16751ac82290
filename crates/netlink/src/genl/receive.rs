//! The life of a request: from a client's datagram to the last byte of the answer.
//!
//! The order of checks, and what each failure looks like, is that of
//! `net/netlink/af_netlink.c: netlink_rcv_skb` and `net/netlink/genetlink.c: genl_rcv_msg`.

use std::sync::Arc;

use rustix::io::Errno;

use super::ack::acknowledge;
use super::caller::Caller;
use super::core::{Claim, Genl, Registered, Unclaimed, Upstream};
use super::dump::DumpCursor;
use super::family::Half;
use super::reply::Reply;
use super::request::Request;
use super::running::{Place, RunningDump};
use super::socket::{Scratch, Socket};
use crate::KernelVersion;
use crate::attrs::Attrs;
use crate::error::{ExtAck, Result};
use crate::message::{
    GENL_HDRLEN, MessageHeader, Messages, NLM_F_ACK, NLM_F_DUMP, NLM_F_ECHO, NLM_F_REQUEST,
    NLMSG_HDRLEN, NLMSG_MIN_TYPE,
};
use crate::sync::lock;

/// Bytes of headers before a request's attributes.
const HEADERS: usize = NLMSG_HDRLEN + GENL_HDRLEN;

/// Whether the client is to hear about a request that ended.
enum Outcome {
    /// Success, acknowledged if the client asked for it.
    Success,
    /// A dump has begun: it ends in a message of its own.
    Silent,
}

impl Genl {
    /// Serves every message of a datagram, one after the other; what belongs to no family here
    /// comes back, in order, if there is a real kernel upstream.
    pub fn receive(
        &self,
        socket: &Arc<Socket>,
        caller: &dyn Caller,
        datagram: &[u8],
    ) -> Vec<Unclaimed> {
        let mut unclaimed = Vec::new();
        let mut scratch = std::mem::take(&mut *lock(&socket.scratch));
        let mut messages = Messages::new(datagram);
        loop {
            let start = messages.offset();
            let Some((header, message)) = messages.next() else {
                break;
            };
            let range = start..start + message.len();
            let mut ext_ack = ExtAck::default();
            let control = header.flags & NLM_F_REQUEST == 0 || header.kind < NLMSG_MIN_TYPE;
            let outcome = if control {
                Ok(Outcome::Success)
            } else {
                match self.claim(header, message) {
                    Claim::Family(family) => self.serve(
                        socket,
                        caller,
                        header,
                        message,
                        &family,
                        &mut scratch,
                        &mut ext_ack,
                    ),
                    Claim::FamilyDump => {
                        unclaimed.push(Unclaimed::FamilyDump(range));
                        continue;
                    }
                    Claim::Nobody if self.upstream() == Upstream::Kernel => {
                        unclaimed.push(Unclaimed::Message(range));
                        continue;
                    }
                    Claim::Nobody => Err(Errno::NOENT.into()),
                }
            };
            let errno = match outcome {
                Ok(Outcome::Silent) => continue,
                Ok(Outcome::Success) => None,
                Err(error) => match error.merge_into(&mut ext_ack) {
                    Errno::INTR => continue,
                    errno => Some(errno),
                },
            };
            if errno.is_some() || header.flags & NLM_F_ACK != 0 {
                acknowledge(socket, header, message, errno, &ext_ack, &mut scratch.out);
            }
        }
        *lock(&socket.scratch) = scratch;
        unclaimed
    }

    /// Answers a message with an error: what `receive` gave back, and the real kernel would not take.
    pub fn refuse(&self, socket: &Socket, message: &[u8], errno: Errno) {
        self.refuse_with(socket, message, errno, &ExtAck::default());
    }

    /// The same with more to say than an errno.
    pub fn refuse_with(&self, socket: &Socket, message: &[u8], errno: Errno, ext_ack: &ExtAck) {
        if let Some(header) = MessageHeader::parse(message) {
            let out = &mut lock(&socket.scratch).out;
            acknowledge(socket, header, message, Some(errno), ext_ack, out);
        }
    }

    /// Acknowledges a message of another protocol of netlink that was done.
    pub fn acknowledge(&self, socket: &Socket, message: &[u8]) {
        if let Some(header) = MessageHeader::parse(message) {
            let out = &mut lock(&socket.scratch).out;
            acknowledge(socket, header, message, None, &ExtAck::default(), out);
        }
    }

    /// `net/netlink/genetlink.c: genl_family_rcv_msg`.
    #[allow(
        clippy::too_many_arguments,
        reason = "the steps of one request, used once"
    )]
    fn serve(
        &self,
        socket: &Arc<Socket>,
        caller: &dyn Caller,
        header: MessageHeader,
        message: &[u8],
        family: &Registered,
        scratch: &mut Scratch,
        ext_ack: &mut ExtAck,
    ) -> Result<Outcome> {
        let &[cmd, _version, reserved0, reserved1, ..] =
            message.get(NLMSG_HDRLEN..).unwrap_or_default()
        else {
            return Err(Errno::INVAL.into());
        };
        let reserved = u16::from_ne_bytes([reserved0, reserved1]);
        check_header(family, header.flags, cmd, reserved, ext_ack)?;
        let admin = || caller.capable_net_admin();
        let half = family.spec.half(cmd, header.is_dump(), admin)?;
        let portid = socket.options().portid();
        let Scratch { out, table } = scratch;
        if header.is_dump() {
            let dump = Box::new(RunningDump {
                family: family.clone(),
                cmd,
                header,
                portid,
                done_apart: half.done_apart,
                interrupted: self.interrupts_dump(family),
                begun: false,
                message: message.to_vec(),
                table: Vec::new(),
                cursor: DumpCursor::default(),
                ended: None,
                unsent: Vec::new(),
                finished: false,
            });
            return self.start_dump(socket, dump, &half, out, ext_ack);
        }
        parse(&half, message, table, ext_ack)?;
        let mut request = Request {
            cmd,
            family: family.id,
            flags: header.flags,
            seq: header.seq,
            attrs: Attrs::new(message, table, HEADERS as u32, self.kernel()),
            socket,
            kernel: self.kernel(),
            ext_ack: std::mem::take(ext_ack),
        };
        out.clear();
        let mut reply = Reply {
            socket,
            buf: out,
            family: family.id,
            version: family.spec.version,
            seq: header.seq,
            portid,
            kernel: self.kernel(),
        };
        let outcome = family.family.doit(&mut request, caller, &mut reply);
        *ext_ack = request.ext_ack;
        outcome.map(|()| Outcome::Success)
    }
}

impl Genl {
    /// `net/netlink/genetlink.c: genl_family_rcv_msg_dumpit`.
    fn start_dump(
        &self,
        socket: &Arc<Socket>,
        mut dump: Box<RunningDump>,
        half: &Half,
        buf: &mut Vec<u8>,
        ext_ack: &mut ExtAck,
    ) -> Result<Outcome> {
        let place = Place::take(socket)?;
        let RunningDump { message, table, .. } = &mut *dump;
        let started = parse(half, message, table, ext_ack).and_then(|()| {
            let mut own = ExtAck::default();
            let started = dump.with_request(
                socket,
                self.kernel(),
                &mut own,
                |family, request, cursor| family.family.start(request, cursor),
            );
            started.map_err(|error| {
                let errno = error.merge_into(&mut own);
                // Before 6.6 what was said at the start of a dump got lost.
                if self.kernel().has(KernelVersion::new(6, 6)) {
                    ext_ack.overlay(own);
                }
                errno.into()
            })
        });
        started?;
        self.run_dump(socket, place, dump, buf);
        Ok(Outcome::Silent)
    }
}

/// `net/netlink/genetlink.c: genl_header_check`.
fn check_header(
    family: &Registered,
    flags: u16,
    cmd: u8,
    reserved: u16,
    ext_ack: &mut ExtAck,
) -> Result {
    if cmd < family.spec.resv_start_op {
        return Ok(());
    }
    if reserved != 0 {
        ext_ack.set_msg("genlmsghdr.reserved field is not 0");
        return Err(Errno::INVAL.into());
    }
    let dump = if flags & NLM_F_DUMP == NLM_F_DUMP {
        NLM_F_DUMP
    } else {
        0
    };
    if flags & !dump & !(NLM_F_REQUEST | NLM_F_ACK | NLM_F_ECHO) != 0 {
        ext_ack.set_msg("ambiguous or reserved bits set in nlmsg_flags");
        return Err(Errno::INVAL.into());
    }
    Ok(())
}

/// `net/netlink/genetlink.c: genl_family_rcv_msg_attrs_parse`.
fn parse(half: &Half, message: &[u8], table: &mut Vec<u32>, ext_ack: &mut ExtAck) -> Result {
    table.clear();
    let (Some(policy), Some(strictness)) = (half.policy, half.check) else {
        return Ok(());
    };
    let attrs = message.get(HEADERS..).unwrap_or_default();
    policy.parse(attrs, HEADERS as u32, strictness, table, ext_ack)?;
    Ok(())
}
