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
pub(crate) fn put_genl_message(
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

/// Appends a message that is no generic netlink to `buf`, which may grow to `limit` bytes: the header, whose length is found out, and
/// what `fill` puts; if that fails, nothing (`nlmsg_put`, `fill`, `nlmsg_end`).
///
/// # Errors
/// `EMSGSIZE` when it does not fit; those of `fill`.
pub fn put_message(
    buf: &mut Vec<u8>,
    limit: usize,
    kernel: KernelVersion,
    header: MessageHeader,
    fill: impl FnOnce(&mut Writer<'_>) -> Result,
) -> Result {
    let start = buf.len();
    if start + NLMSG_HDRLEN > limit {
        return Err(Errno::MSGSIZE.into());
    }
    buf.resize(start + NLMSG_HDRLEN, 0);
    if let Err(error) = fill(&mut Writer::new(buf, limit, kernel)) {
        buf.truncate(start);
        return Err(error);
    }
    let MessageHeader {
        kind,
        flags,
        seq,
        portid,
        ..
    } = header;
    finish_message(buf, start, kind, flags, seq, portid);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attrs::Attrs;
    use crate::error::ExtAck;
    use crate::generated::attr;
    use crate::policy::{AttrPolicy, Policy, PolicyKind, Strictness};

    const ROOM: usize = 4096;

    fn written(kernel: KernelVersion, fill: impl FnOnce(&mut Writer<'_>) -> Result) -> Vec<u8> {
        let mut buf = Vec::new();
        fill(&mut Writer::new(&mut buf, ROOM, kernel)).unwrap();
        buf
    }

    #[test]
    fn a_text_has_its_nul_and_its_padding() {
        let buf = written(KernelVersion::V7_2, |w| w.put_str(attr::BUS_NAME, "pci"));
        assert_eq!(buf, [8, 0, 1, 0, b'p', b'c', b'i', 0]);
        let buf = written(KernelVersion::V7_2, |w| w.put_str(attr::DEV_NAME, "ab"));
        assert_eq!(buf, [7, 0, 2, 0, b'a', b'b', 0, 0]);
    }

    #[test]
    fn nests_carry_the_flag_where_the_kernel_sets_it() {
        let buf = written(KernelVersion::V7_2, |w| w.nest(attr::DEV_STATS, |_| Ok(())));
        assert_eq!(buf, [4, 0, 156, 0x80]);
        let buf = written(KernelVersion::V7_2, |w| {
            w.nest(attr::PORT_FUNCTION, |_| Ok(()))
        });
        assert_eq!(buf, [4, 0, 145, 0]);
    }

    #[test]
    fn what_the_kernel_does_not_know_is_not_written() {
        let fill = |w: &mut Writer<'_>| {
            w.put_uint(attr::INDEX, 3)?;
            w.nest(attr::RATE_TC_BWS, |w| {
                w.put_u8(attr::rate_tc::INDEX, 1)?;
                // Older than the nest it is in, and still within what is left out.
                w.put_u32(attr::PORT_INDEX, 1)
            })?;
            w.put_u32(attr::PORT_INDEX, 9)
        };
        assert_eq!(
            written(KernelVersion::V6_12, fill),
            [8, 0, 3, 0, 9, 0, 0, 0]
        );
        assert!(written(KernelVersion::V7_2, fill).len() > 24);
    }

    #[test]
    fn what_does_not_fit_is_emsgsize_and_leaves_no_trace() {
        let mut buf = Vec::new();
        let mut writer = Writer::new(&mut buf, 16, KernelVersion::V7_2);
        writer.put_u32(attr::PORT_INDEX, 1).unwrap();
        assert_eq!(
            writer.put_u64(attr::RESOURCE_SIZE, 1),
            Err(Errno::MSGSIZE.into())
        );
        let nest = |w: &mut Writer<'_>| w.put_u8(attr::RELOAD_FAILED, 1);
        assert_eq!(
            writer.nest(attr::DEV_STATS, nest),
            Err(Errno::MSGSIZE.into())
        );
        assert_eq!(writer.room(), 8);
        writer.put_u32(attr::PORT_INDEX, 2).unwrap();
        assert_eq!(buf.len(), 16);
    }

    #[test]
    fn no_length_wraps() {
        let mut buf = Vec::new();
        let mut writer = Writer::new(&mut buf, 1 << 20, KernelVersion::V7_2);
        let long = "x".repeat(70_000);
        assert_eq!(
            writer.put_str(attr::DEV_NAME, &long),
            Err(Errno::MSGSIZE.into())
        );
        let many = |w: &mut Writer<'_>| (0..9000).try_for_each(|i| w.put_u32(attr::PORT_INDEX, i));
        assert_eq!(
            writer.nest(attr::DEV_STATS, many),
            Err(Errno::MSGSIZE.into())
        );
        assert!(buf.is_empty());
    }

    #[test]
    fn what_is_written_is_read_back() {
        const KINDS: [(u16, AttrPolicy); 9] = [
            (1, AttrPolicy::new(PolicyKind::NulString { max: 0 })),
            (3, AttrPolicy::new(PolicyKind::U32)),
            (4, AttrPolicy::new(PolicyKind::U16)),
            (46, AttrPolicy::new(PolicyKind::Binary { max: 0 })),
            (67, AttrPolicy::new(PolicyKind::U64)),
            (153, AttrPolicy::new(PolicyKind::U8)),
            (
                155,
                AttrPolicy::new(PolicyKind::Bitfield32 { mask: u32::MAX }),
            ),
            (179, AttrPolicy::new(PolicyKind::Flag)),
            (184, AttrPolicy::new(PolicyKind::Uint)),
        ];
        static ALL: Policy = Policy {
            maxtype: 184,
            strict_start: 0,
            attrs: &KINDS,
        };
        let mut state = 88_172_645_463_325_252u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for _ in 0..2000 {
            let value = random() >> (random() % 64);
            let text: String = (0..random() % 40).map(|_| 'é').collect();
            let bytes: Vec<u8> = (0..random() % 60).map(|_| random() as u8).collect();
            let selector = random() as u32;
            let bits = Bitfield32 {
                value: random() as u32 & selector,
                selector,
            };
            let flag = random() % 2 == 0;
            let message = written(KernelVersion::V7_2, |w| {
                w.put_str(attr::BUS_NAME, &text)?;
                w.put_u8(attr::RELOAD_ACTION, value as u8)?;
                w.put_u16(attr::PORT_TYPE, value as u16)?;
                w.put_u32(attr::PORT_INDEX, value as u32)?;
                w.put_u64(attr::RESOURCE_SIZE, value)?;
                w.put_uint(attr::INDEX, value)?;
                w.put_binary(attr::DPIPE_VALUE, &bytes)?;
                w.put_bitfield32(attr::RELOAD_LIMITS, bits)?;
                if flag {
                    w.put_flag(attr::REGION_DIRECT)?;
                }
                Ok(())
            });
            // An offset of 0 says "not there": a message's attributes come after its headers.
            let message = [&[0; 4], &*message].concat();
            let mut table = Vec::new();
            let mut ext_ack = ExtAck::default();
            ALL.parse(
                &message[4..],
                4,
                Strictness::Strict,
                &mut table,
                &mut ext_ack,
            )
            .unwrap();
            let attrs = Attrs::new(&message, &table, 4, KernelVersion::V7_2);
            assert_eq!(attrs.get_str(attr::BUS_NAME), Some(&*text));
            assert_eq!(attrs.get_u8(attr::RELOAD_ACTION), Some(value as u8));
            assert_eq!(attrs.get_u16(attr::PORT_TYPE), Some(value as u16));
            assert_eq!(attrs.get_u32(attr::PORT_INDEX), Some(value as u32));
            assert_eq!(attrs.get_u64(attr::RESOURCE_SIZE), Some(value));
            assert_eq!(attrs.get_uint(attr::INDEX), Some(value));
            assert_eq!(attrs.get_binary(attr::DPIPE_VALUE), Some(&*bytes));
            assert_eq!(attrs.get_bitfield32(attr::RELOAD_LIMITS), Some(bits));
            assert_eq!(attrs.get_flag(attr::REGION_DIRECT), flag);
            assert!(!attrs.has(attr::DEV_NAME));
        }
    }
}
