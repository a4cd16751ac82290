//! The answer to a *do* request: one message, several, or none; the acknowledgement comes after.

use super::socket::Socket;
use crate::KernelVersion;
use crate::error::Result;
use crate::message::{MessageHeader, NLM_F_MULTI, NLMSG_DONE, NLMSG_GOODSIZE, NLMSG_HDRLEN};
use crate::writer::{GenlHeader, Writer, put_genl_message, put_plain};

/// Sends replies, each at once and in a datagram of its own.
#[derive(Debug)]
pub struct Reply<'a> {
    pub(crate) socket: &'a Socket,
    pub(crate) buf: &'a mut Vec<u8>,
    pub(crate) family: u16,
    pub(crate) version: u8,
    pub(crate) seq: u32,
    pub(crate) portid: u32,
    pub(crate) kernel: KernelVersion,
}

impl Reply<'_> {
    fn put(&mut self, cmd: u8, flags: u16, fill: impl FnOnce(&mut Writer<'_>) -> Result) -> Result {
        let header = GenlHeader {
            family: self.family,
            flags,
            seq: self.seq,
            portid: self.portid,
            cmd,
            version: self.version,
        };
        put_genl_message(self.buf, NLMSG_GOODSIZE, self.kernel, header, fill)
    }

    fn flush(&mut self) -> Result {
        if self.buf.is_empty() {
            return Ok(());
        }
        let sent = self.socket.unicast(self.buf);
        self.buf.clear();
        Ok(sent?)
    }

    /// Sends one message.
    ///
    /// # Errors
    /// What `fill` returns, and then nothing is sent; `EMSGSIZE` if it does not fit into a reply
    /// (3776 bytes); `EAGAIN` if the client does not read.
    pub fn send(&mut self, cmd: u8, fill: impl FnOnce(&mut Writer<'_>) -> Result) -> Result {
        self.put(cmd, 0, fill)?;
        self.flush()
    }

    /// Begins a reply in several messages. They end in a message without payload, and the
    /// acknowledgement follows it.
    pub fn multi(&mut self) -> MultiReply<'_> {
        MultiReply {
            reply: Reply {
                socket: self.socket,
                buf: self.buf,
                ..*self
            },
        }
    }
}

/// A reply in several messages (`NLM_F_MULTI`).
///
/// Dropped before [`done`](Self::done), it has no end; what was flushed stays sent.
#[derive(Debug)]
#[must_use = "a reply in several messages must be ended"]
pub struct MultiReply<'a> {
    reply: Reply<'a>,
}

impl MultiReply<'_> {
    /// Adds a message to the datagram at hand.
    ///
    /// # Errors
    /// What `fill` returns, and the message is not added; `EMSGSIZE` if the datagram is full:
    /// [`flush`](Self::flush) and try again.
    pub fn message(&mut self, cmd: u8, fill: impl FnOnce(&mut Writer<'_>) -> Result) -> Result {
        self.reply.put(cmd, NLM_F_MULTI, fill)
    }

    /// Whether the datagram at hand holds no message.
    pub fn is_empty(&self) -> bool {
        self.reply.buf.is_empty()
    }

    /// Sends the datagram at hand and begins another.
    ///
    /// # Errors
    /// `EAGAIN` if the client does not read.
    pub fn flush(&mut self) -> Result {
        self.reply.flush()
    }

    /// Ends the reply, in the datagram at hand if that has room.
    ///
    /// # Errors
    /// `EAGAIN` if the client does not read.
    pub fn done(mut self) -> Result {
        if self.reply.buf.len() + NLMSG_HDRLEN > NLMSG_GOODSIZE {
            self.reply.flush()?;
        }
        let header = MessageHeader {
            len: 0,
            kind: NLMSG_DONE,
            flags: NLM_F_MULTI,
            seq: self.reply.seq,
            portid: self.reply.portid,
        };
        put_plain(self.reply.buf, header, &[]);
        self.reply.flush()
    }
}

impl Drop for MultiReply<'_> {
    fn drop(&mut self) {
        self.reply.buf.clear();
    }
}
