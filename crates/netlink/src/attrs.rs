//! The attributes of a request, found and checked by a [`Policy`].

use rustix::io::Errno;

use crate::KernelVersion;
use crate::error::{Error, ExtAck, Result};
use crate::message::NLA_HDRLEN;
use crate::policy::{Policy, Strictness};
use crate::wire::{Attr, RawAttr, RawAttrs, kind};

/// The text that stands for one that is not UTF-8: it equals no name, and nothing panics on it.
const NOT_A_TEXT: &str = "\u{fffd}";

/// A 32-bit value of which only the bits in `selector` count (`struct nla_bitfield32`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bitfield32 {
    /// The bits.
    pub value: u32,
    /// The bits that are meant.
    pub selector: u32,
}

/// Parsed attributes: for each number the last attribute that has it.
#[derive(Clone, Copy, Debug)]
pub struct Attrs<'a> {
    message: &'a [u8],
    table: &'a [u32],
    body: u32,
    kernel: KernelVersion,
}

impl<'a> Attrs<'a> {
    /// Attributes of `message`: `table[number]` is an offset into it, and the attributes begin at
    /// `body` (all bytes).
    pub(crate) fn new(
        message: &'a [u8],
        table: &'a [u32],
        body: u32,
        kernel: KernelVersion,
    ) -> Self {
        Self {
            message,
            table,
            body,
            kernel,
        }
    }

    /// The attribute as it lies in the message; `None` if the request has none, or if the
    /// emulated kernel does not know it.
    pub fn get<K>(&self, attr: Attr<K>) -> Option<RawAttr<'a>> {
        if !attr.is_in(self.kernel) {
            return None;
        }
        let offset = *self.table.get(usize::from(attr.number()))?;
        if offset == 0 {
            return None;
        }
        RawAttrs::new(self.message.get(offset as usize..)?, offset).next()
    }

    /// Whether the request has it.
    pub fn has<K>(&self, attr: Attr<K>) -> bool {
        self.get(attr).is_some()
    }

    /// Its value.
    pub fn get_u8(&self, attr: Attr<kind::U8>) -> Option<u8> {
        self.get(attr)?.u8()
    }

    /// Its value.
    pub fn get_u16(&self, attr: Attr<kind::U16>) -> Option<u16> {
        self.get(attr)?.u16()
    }

    /// Its value.
    pub fn get_u32(&self, attr: Attr<kind::U32>) -> Option<u32> {
        self.get(attr)?.u32()
    }

    /// Its value.
    pub fn get_u64(&self, attr: Attr<kind::U64>) -> Option<u64> {
        self.get(attr)?.u64()
    }

    /// Its value, sent in four or eight bytes.
    pub fn get_uint(&self, attr: Attr<kind::Uint>) -> Option<u64> {
        self.get(attr)?.uint()
    }

    /// Its text, without NUL. Bytes that are not UTF-8 come as a text that no object is called;
    /// who must keep them asks for [`get`](Self::get).
    pub fn get_str(&self, attr: Attr<kind::Str>) -> Option<&'a str> {
        Some(std::str::from_utf8(self.get(attr)?.text()).unwrap_or(NOT_A_TEXT))
    }

    /// Its bytes.
    pub fn get_binary(&self, attr: Attr<kind::Binary>) -> Option<&'a [u8]> {
        Some(self.get(attr)?.payload)
    }

    /// Whether the flag is set.
    pub fn get_flag(&self, attr: Attr<kind::Flag>) -> bool {
        self.has(attr)
    }

    /// Its value and selector.
    pub fn get_bitfield32(&self, attr: Attr<kind::Bitfield32>) -> Option<Bitfield32> {
        let payload = self.get(attr)?.payload;
        let word = |at: usize| {
            payload
                .get(at..)?
                .first_chunk()
                .copied()
                .map(u32::from_ne_bytes)
        };
        Some(Bitfield32 {
            value: word(0)?,
            selector: word(4)?,
        })
    }

    /// The attribute, which the command cannot do without (`GENL_REQ_ATTR_CHECK`).
    ///
    /// # Errors
    /// `EINVAL` with the attribute's number in `NLMSGERR_ATTR_MISS_TYPE`.
    pub fn require<K>(&self, attr: Attr<K>) -> Result<RawAttr<'a>> {
        self.get(attr).ok_or_else(|| Error::missing(attr))
    }

    /// Every attribute of the message in its order, unchecked ones too (`nlmsg_for_each_attr`):
    /// for those that may come several times.
    pub fn iter(&self) -> RawAttrs<'a> {
        RawAttrs::new(
            self.message.get(self.body as usize..).unwrap_or_default(),
            self.body,
        )
    }

    /// The attributes within `attr`, checked strictly by `policy` (`nla_parse_nested`).
    ///
    /// # Errors
    /// As [`Policy`] parses; `EINVAL` "NLA_F_NESTED is missing" if the sender set no such flag.
    pub fn nested(
        &self,
        attr: RawAttr<'a>,
        policy: &Policy,
        ext_ack: &mut ExtAck,
    ) -> Result<NestedAttrs<'a>> {
        if !attr.has_nested_flag() {
            ext_ack.set_bad_attr(attr);
            ext_ack.set_msg("NLA_F_NESTED is missing");
            return Err(Errno::INVAL.into());
        }
        let body = attr.offset + NLA_HDRLEN as u32;
        let mut table = Vec::new();
        policy.parse(attr.payload, body, Strictness::Strict, &mut table, ext_ack)?;
        let end = body as usize + attr.payload.len();
        let message = self.message.get(..end).unwrap_or_default();
        Ok(NestedAttrs {
            message,
            table,
            body,
            kernel: self.kernel,
        })
    }
}

impl<'a> IntoIterator for &Attrs<'a> {
    type Item = RawAttr<'a>;
    type IntoIter = RawAttrs<'a>;

    fn into_iter(self) -> RawAttrs<'a> {
        self.iter()
    }
}

/// The parsed attributes of a nest.
#[derive(Clone, Debug)]
pub struct NestedAttrs<'a> {
    message: &'a [u8],
    table: Vec<u32>,
    body: u32,
    kernel: KernelVersion,
}

impl NestedAttrs<'_> {
    /// The attributes.
    pub fn attrs(&self) -> Attrs<'_> {
        Attrs::new(self.message, &self.table, self.body, self.kernel)
    }
}
