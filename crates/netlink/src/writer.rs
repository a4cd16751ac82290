//! Writes messages and attributes into a buffer of limited room.
//!
//! Nothing overflows: what does not fit is `EMSGSIZE`, and a message or nest that was not finished
//! leaves no trace. What the emulated kernel does not know is silently not written, so an encoder
//! states the newest kernel's reply and serves them all.

use rustix::io::Errno;

use crate::KernelVersion;
use crate::attrs::Bitfield32;
use crate::error::Result;
use crate::message::{GENL_HDRLEN, MessageHeader, NLA_HDRLEN, NLMSG_HDRLEN, align};
use crate::wire::{Attr, kind};

/// Writes the attributes of one message.
#[derive(Debug)]
pub struct Writer<'a> {
    buf: &'a mut Vec<u8>,
    limit: usize,
    kernel: KernelVersion,
    /// Open nests that the emulated kernel does not know: what is put into them is not written.
    skipped: u32,
}

/// An open nest. Must be given back to [`Writer::nest_end`] or [`Writer::nest_cancel`].
#[derive(Debug)]
#[must_use = "a nest that is not ended has no length"]
pub struct Nest {
    start: usize,
    skipped: bool,
}

impl<'a> Writer<'a> {
    /// Writes at the end of `buf`, which may grow to `limit` bytes.
    pub fn new(buf: &'a mut Vec<u8>, limit: usize, kernel: KernelVersion) -> Self {
        Self {
            buf,
            limit,
            kernel,
            skipped: 0,
        }
    }

    /// The emulated kernel, for encoders whose reply differs in more than its attributes.
    pub fn kernel(&self) -> KernelVersion {
        self.kernel
    }

    /// Bytes that can still be written (`skb_tailroom`).
    pub fn room(&self) -> usize {
        self.limit.saturating_sub(self.buf.len())
    }

    fn put_raw(&mut self, wire_type: u16, payload: &[&[u8]]) -> Result {
        let len = NLA_HDRLEN + payload.iter().map(|part| part.len()).sum::<usize>();
        if align(len) > self.room() {
            return Err(Errno::MSGSIZE.into());
        }
        let header = u16::try_from(len).map_err(|_| Errno::MSGSIZE)?;
        self.buf.extend_from_slice(&header.to_ne_bytes());
        self.buf.extend_from_slice(&wire_type.to_ne_bytes());
        for part in payload {
            self.buf.extend_from_slice(part);
        }
        self.pad();
        Ok(())
    }

    fn pad(&mut self) {
        self.buf.resize(align(self.buf.len()), 0);
    }

    fn put<K>(&mut self, attr: Attr<K>, payload: &[&[u8]]) -> Result {
        if self.skipped > 0 || !attr.is_in(self.kernel) {
            return Ok(());
        }
        self.put_raw(attr.wire_type(), payload)
    }

    /// Puts one byte.
    ///
    /// # Errors
    /// `EMSGSIZE` if it does not fit; so all of these.
    pub fn put_u8(&mut self, attr: Attr<kind::U8>, value: u8) -> Result {
        self.put(attr, &[&[value]])
    }

    /// Puts two bytes.
    pub fn put_u16(&mut self, attr: Attr<kind::U16>, value: u16) -> Result {
        self.put(attr, &[&value.to_ne_bytes()])
    }

    /// Puts four bytes.
    pub fn put_u32(&mut self, attr: Attr<kind::U32>, value: u32) -> Result {
        self.put(attr, &[&value.to_ne_bytes()])
    }

    /// Puts four bytes that the reader takes as signed.
    pub fn put_s32(&mut self, attr: Attr<kind::U32>, value: i32) -> Result {
        self.put(attr, &[&value.to_ne_bytes()])
    }

    /// Puts eight bytes. They need no alignment on the machines that we run on, so no padding
    /// attribute comes before them (`nla_put_64bit` with `CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS`).
    pub fn put_u64(&mut self, attr: Attr<kind::U64>, value: u64) -> Result {
        self.put(attr, &[&value.to_ne_bytes()])
    }

    /// Puts four bytes if the value fits, else eight.
    pub fn put_uint(&mut self, attr: Attr<kind::Uint>, value: u64) -> Result {
        match u32::try_from(value) {
            Ok(value) => self.put(attr, &[&value.to_ne_bytes()]),
            Err(_) => self.put(attr, &[&value.to_ne_bytes()]),
        }
    }

    /// Puts a text and its NUL.
    pub fn put_str(&mut self, attr: Attr<kind::Str>, value: &str) -> Result {
        self.put_text(attr, value.as_bytes())
    }

    /// Puts a text that need not be UTF-8, and its NUL.
    pub fn put_text(&mut self, attr: Attr<kind::Str>, value: &[u8]) -> Result {
        self.put(attr, &[value, &[0]])
    }

    /// Puts bytes.
    pub fn put_binary(&mut self, attr: Attr<kind::Binary>, value: &[u8]) -> Result {
        self.put(attr, &[value])
    }

    /// Puts a flag.
    pub fn put_flag(&mut self, attr: Attr<kind::Flag>) -> Result {
        self.put(attr, &[])
    }

    /// Puts a value and its selector.
    pub fn put_bitfield32(&mut self, attr: Attr<kind::Bitfield32>, value: Bitfield32) -> Result {
        self.put(
            attr,
            &[&value.value.to_ne_bytes(), &value.selector.to_ne_bytes()],
        )
    }

    /// Puts a nest of what `fill` puts; if that fails, nothing.
    pub fn nest(
        &mut self,
        attr: Attr<kind::Nest>,
        fill: impl FnOnce(&mut Self) -> Result,
    ) -> Result {
        let nest = self.nest_start(attr)?;
        match fill(self) {
            Ok(()) => self.nest_end(nest),
            Err(error) => {
                self.nest_cancel(nest);
                Err(error)
            }
        }
    }

    /// Opens a nest, for encoders that fill it piece by piece.
    pub fn nest_start(&mut self, attr: Attr<kind::Nest>) -> Result<Nest> {
        if self.skipped > 0 || !attr.is_in(self.kernel) {
            self.skipped += 1;
            return Ok(Nest {
                start: self.buf.len(),
                skipped: true,
            });
        }
        let start = self.buf.len();
        self.put_raw(attr.wire_type(), &[])?;
        Ok(Nest {
            start,
            skipped: false,
        })
    }

    /// Closes a nest.
    ///
    /// # Errors
    /// `EMSGSIZE`, and the nest is gone, if it holds more than a length can say (64 KiB).
    pub fn nest_end(&mut self, nest: Nest) -> Result {
        if nest.skipped {
            self.skipped -= 1;
            return Ok(());
        }
        let Ok(len) = u16::try_from(self.buf.len() - nest.start) else {
            self.nest_cancel(nest);
            return Err(Errno::MSGSIZE.into());
        };
        self.buf[nest.start..nest.start + 2].copy_from_slice(&len.to_ne_bytes());
        Ok(())
    }

    /// Removes a nest and all that was put into it.
    pub fn nest_cancel(&mut self, nest: Nest) {
        if nest.skipped {
            self.skipped -= 1;
        }
        self.buf.truncate(nest.start);
    }
}

/// The fixed part of a generic netlink message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GenlHeader {
    /// The family's id.
    pub(crate) family: u16,
    /// `NLM_F_*`.
    pub(crate) flags: u16,
    pub(crate) seq: u32,
    pub(crate) portid: u32,
    pub(crate) cmd: u8,
    /// The family's version.
    pub(crate) version: u8,
}

/// Appends a message to `buf` (`genlmsg_put`, `fill`, `genlmsg_end`); if `fill` fails, nothing.
pub(crate) fn put_message(
    buf: &mut Vec<u8>,
    limit: usize,
    kernel: KernelVersion,
    header: GenlHeader,
    fill: impl FnOnce(&mut Writer<'_>) -> Result,
) -> Result {
    let start = buf.len();
    if start + NLMSG_HDRLEN + GENL_HDRLEN > limit {
        return Err(Errno::MSGSIZE.into());
    }
    buf.resize(start + NLMSG_HDRLEN, 0);
    buf.extend_from_slice(&[header.cmd, header.version, 0, 0]);
    if let Err(error) = fill(&mut Writer::new(buf, limit, kernel)) {
        buf.truncate(start);
        return Err(error);
    }
    finish_message(
        buf,
        start,
        header.family,
        header.flags,
        header.seq,
        header.portid,
    );
    Ok(())
}

/// Appends a message of plain bytes (`nlmsg_put`): acknowledgements and ends of dumps.
pub(crate) fn put_plain(buf: &mut Vec<u8>, header: MessageHeader, payload: &[u8]) {
    let start = buf.len();
    buf.resize(start + NLMSG_HDRLEN, 0);
    buf.extend_from_slice(payload);
    buf.resize(align(buf.len()), 0);
    finish_message(
        buf,
        start,
        header.kind,
        header.flags,
        header.seq,
        header.portid,
    );
}

/// Writes the header of the message that began at `start` and ends where `buf` does.
pub(crate) fn finish_message(
    buf: &mut [u8],
    start: usize,
    kind: u16,
    flags: u16,
    seq: u32,
    portid: u32,
) {
    // Buffers are limited to far less than 4 GiB.
    let len = (buf.len() - start) as u32;
    let header = MessageHeader {
        len,
        kind,
        flags,
        seq,
        portid,
    };
    buf[start..start + NLMSG_HDRLEN].copy_from_slice(&header.to_bytes());
}
