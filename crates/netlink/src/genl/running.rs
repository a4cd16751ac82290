//! Drives a dump, datagram by datagram, as far as the client's queue takes it.

use std::sync::Arc;

use rustix::io::Errno;

use super::ack::{put_errno, put_tlvs};
use super::core::{Genl, Registered};
use super::dump::{Batch, DumpCursor, DumpState};
use super::request::Request;
use super::socket::{DumpSlot, SendError, Socket};
use crate::KernelVersion;
use crate::attrs::Attrs;
use crate::error::{ExtAck, Result};
use crate::message::{
    DUMP_MAX, GENL_HDRLEN, MessageHeader, NLM_F_ACK_TLVS, NLM_F_DUMP_INTR, NLM_F_MULTI, NLMSG_DONE,
    NLMSG_GOODSIZE, NLMSG_HDRLEN,
};
use crate::sync::lock;
use crate::writer::{GenlHeader, finish_message};

/// Bytes of an end of dump without attributes.
const DONE_LEN: usize = NLMSG_HDRLEN + 4;

/// A dump that has begun.
pub(crate) struct RunningDump {
    pub(crate) family: Registered,
    pub(crate) cmd: u8,
    pub(crate) header: MessageHeader,
    pub(crate) portid: u32,
    pub(crate) done_apart: bool,
    /// Something interferes with it as soon as it has begun.
    pub(crate) interrupted: bool,
    /// A datagram of it has been filled.
    pub(crate) begun: bool,
    /// The request, and where its attributes are.
    pub(crate) message: Vec<u8>,
    pub(crate) table: Vec<u32>,
    pub(crate) cursor: DumpCursor,
    /// Why the family ended, when it has and the end itself is still to be sent.
    pub(crate) ended: Option<Option<Errno>>,
    /// A datagram that the client's queue did not take.
    pub(crate) unsent: Vec<u8>,
    /// Whether that datagram is the last one.
    pub(crate) finished: bool,
}

/// Whether a dump goes on after a datagram.
#[derive(PartialEq, Eq)]
enum Step {
    More,
    Last,
}

impl RunningDump {
    /// Calls `f` with the request as the family sees it.
    pub(crate) fn with_request<T>(
        &mut self,
        socket: &Arc<Socket>,
        kernel: KernelVersion,
        ext_ack: &mut ExtAck,
        f: impl FnOnce(&Registered, &mut Request<'_>, &mut DumpCursor) -> T,
    ) -> T {
        let body = (NLMSG_HDRLEN + GENL_HDRLEN) as u32;
        let mut request = Request {
            cmd: self.cmd,
            family: self.family.id,
            flags: self.header.flags,
            seq: self.header.seq,
            attrs: Attrs::new(&self.message, &self.table, body, kernel),
            socket,
            kernel,
            ext_ack: std::mem::take(ext_ack),
        };
        let result = f(&self.family, &mut request, &mut self.cursor);
        *ext_ack = request.ext_ack;
        result
    }

    /// Fills the next datagram (`net/netlink/af_netlink.c: netlink_dump`).
    fn fill(&mut self, socket: &Arc<Socket>, kernel: KernelVersion, buf: &mut Vec<u8>) -> Step {
        buf.clear();
        let limit = socket
            .options()
            .max_recvmsg_len()
            .clamp(NLMSG_GOODSIZE, DUMP_MAX);
        let mut ext_ack = ExtAck::default();
        let errno = match self.ended {
            Some(errno) => errno,
            None => {
                let header = GenlHeader {
                    family: self.family.id,
                    flags: NLM_F_MULTI | self.interruption(),
                    seq: self.header.seq,
                    portid: self.portid,
                    cmd: self.cmd,
                    version: self.family.spec.version,
                };
                self.begun = true;
                let mut batch = Batch {
                    buf,
                    limit,
                    header,
                    kernel,
                };
                let outcome =
                    self.with_request(socket, kernel, &mut ext_ack, |family, request, cursor| {
                        family.family.dumpit(request, cursor, &mut batch)
                    });
                let errno = match outcome {
                    Ok(DumpState::More) if !buf.is_empty() => return Step::More,
                    Ok(_) if self.done_apart && !buf.is_empty() => {
                        self.ended = Some(None);
                        return Step::More;
                    }
                    Ok(_) => None,
                    Err(error) => Some(error.merge_into(&mut ext_ack)),
                };
                if errno == Some(Errno::MSGSIZE) && !buf.is_empty() {
                    return Step::More;
                }
                self.ended = Some(errno);
                if limit - buf.len() < DONE_LEN {
                    return Step::More;
                }
                errno
            }
        };
        self.put_done(socket, buf, limit, errno, &ext_ack);
        Step::Last
    }

    /// The flag of messages from now on, if something has interfered.
    fn interruption(&self) -> u16 {
        match self.interrupted && self.begun {
            true => NLM_F_DUMP_INTR,
            false => 0,
        }
    }

    /// `net/netlink/af_netlink.c: netlink_dump_done`.
    fn put_done(
        &self,
        socket: &Socket,
        buf: &mut Vec<u8>,
        limit: usize,
        errno: Option<Errno>,
        ext_ack: &ExtAck,
    ) {
        let start = buf.len();
        buf.resize(start + NLMSG_HDRLEN, 0);
        put_errno(buf, errno);
        let mut flags = NLM_F_MULTI | self.interruption();
        let plain = buf.len();
        if socket.options().ext_ack() && put_tlvs(buf, errno.is_some(), ext_ack) {
            flags |= NLM_F_ACK_TLVS;
            if buf.len() > limit {
                buf.truncate(plain);
            }
        }
        finish_message(buf, start, NLMSG_DONE, flags, self.header.seq, self.portid);
    }
}

/// The socket's one place for a dump, while a thread is at it. It is free again when this is
/// dropped, also by a panic in a family.
pub(crate) struct Place<'a> {
    socket: &'a Socket,
    /// What the place is left with.
    then: DumpSlot,
}

impl<'a> Place<'a> {
    /// Takes the place.
    ///
    /// # Errors
    /// `EBUSY` while another dump is unfinished.
    pub(crate) fn take(socket: &'a Socket) -> Result<Self> {
        let mut slot = lock(&socket.dump);
        if !matches!(*slot, DumpSlot::Idle) {
            return Err(Errno::BUSY.into());
        }
        *slot = DumpSlot::Busy;
        Ok(Self {
            socket,
            then: DumpSlot::Idle,
        })
    }

    /// Takes the place of a dump that waits.
    fn resume(socket: &'a Socket) -> Option<(Self, Box<RunningDump>)> {
        let mut slot = lock(&socket.dump);
        match std::mem::replace(&mut *slot, DumpSlot::Busy) {
            DumpSlot::Waiting(dump) => Some((
                Self {
                    socket,
                    then: DumpSlot::Idle,
                },
                dump,
            )),
            other => {
                *slot = other;
                None
            }
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        *lock(&self.socket.dump) = std::mem::take(&mut self.then);
    }
}

impl Genl {
    /// Goes on with the socket's dump, if one waits: to be called when the client has read.
    pub fn resume(&self, socket: &Arc<Socket>) {
        if let Some((place, dump)) = Place::resume(socket) {
            let mut buf = std::mem::take(&mut lock(&socket.scratch).out);
            self.run_dump(socket, place, dump, &mut buf);
            lock(&socket.scratch).out = buf;
        }
    }

    /// Sends datagrams until the dump ends or the client's queue is full.
    pub(crate) fn run_dump(
        &self,
        socket: &Arc<Socket>,
        mut place: Place<'_>,
        mut dump: Box<RunningDump>,
        buf: &mut Vec<u8>,
    ) {
        loop {
            let step = if dump.unsent.is_empty() {
                dump.fill(socket, self.kernel(), buf)
            } else {
                std::mem::swap(buf, &mut dump.unsent);
                dump.unsent.clear();
                if dump.finished {
                    Step::Last
                } else {
                    Step::More
                }
            };
            match socket.transport().send(buf) {
                Ok(()) if step == Step::More => {}
                Ok(()) | Err(SendError::Gone) => return,
                Err(SendError::Full) => {
                    dump.finished = step == Step::Last;
                    std::mem::swap(buf, &mut dump.unsent);
                    place.then = DumpSlot::Waiting(dump);
                    return;
                }
            }
        }
    }
}
