//! Attributes: what they are called, what they hold, and how their bytes are walked.
//!
//! An [`Attr`] is a fact of the protocol: number, name, since when, and, for a nest, whether the
//! kernel marks it with `NLA_F_NESTED`. Its payload is its type parameter, so that a `u32`
//! attribute cannot be written or read as anything else.

use std::fmt;
use std::marker::PhantomData;

use crate::KernelVersion;
use crate::message::{NLA_F_NESTED, NLA_HDRLEN, NLA_TYPE_MASK, align};

/// What an attribute holds. The types have no values; they only stand as parameters of [`Attr`].
pub mod kind {
    macro_rules! kinds {
        ($($(#[$doc:meta])* $name:ident)*) => {
            $($(#[$doc])* #[derive(Debug)] pub enum $name {})*
        };
    }
    kinds! {
        /// One byte.
        U8
        /// Two bytes, host order.
        U16
        /// Four bytes, host order.
        U32
        /// Eight bytes, host order.
        U64
        /// Four bytes when the value fits, else eight.
        Uint
        /// A text with a NUL byte at its end.
        Str
        /// Plain bytes.
        Binary
        /// No payload: the attribute's presence is the value.
        Flag
        /// Attributes.
        Nest
        /// A value and the mask of the bits that count.
        Bitfield32
        /// What it holds is said by another attribute; see [`Attr::of`](super::Attr::of).
        Dynamic
    }
}

/// An attribute of the protocol whose payload is `K`, one of [`kind`].
pub struct Attr<K> {
    number: u16,
    nested_flag: bool,
    since: KernelVersion,
    name: &'static str,
    kind: PhantomData<fn() -> K>,
}

impl<K> Attr<K> {
    /// An attribute that exists since the oldest kernel.
    pub const fn new(number: u16, name: &'static str) -> Self {
        Self {
            number,
            nested_flag: false,
            since: KernelVersion::V6_1,
            name,
            kind: PhantomData,
        }
    }

    /// The same attribute, known only to kernels from `major.minor` on.
    #[must_use]
    pub const fn since(self, major: u8, minor: u8) -> Self {
        Self {
            since: KernelVersion::new(major, minor),
            ..self
        }
    }

    /// Its number, without flags.
    pub const fn number(self) -> u16 {
        self.number
    }

    /// Its name in the kernel's header, without the prefix.
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// Whether `kernel` knows it.
    pub const fn is_in(self, kernel: KernelVersion) -> bool {
        kernel.has(self.since)
    }

    /// The type field of its header: the number, and `NLA_F_NESTED` where the kernel sets it.
    pub(crate) const fn wire_type(self) -> u16 {
        if self.nested_flag {
            self.number | NLA_F_NESTED
        } else {
            self.number
        }
    }
}

impl Attr<kind::Nest> {
    /// A nest that the kernel marks with `NLA_F_NESTED` (`nla_nest_start`, not `_noflag`).
    #[must_use]
    pub const fn flagged(self) -> Self {
        Self {
            nested_flag: true,
            ..self
        }
    }
}

impl Attr<kind::Dynamic> {
    /// The attribute as one that holds `K`, when the other attribute says so.
    pub const fn of<K>(self) -> Attr<K> {
        Attr {
            number: self.number,
            nested_flag: self.nested_flag,
            since: self.since,
            name: self.name,
            kind: PhantomData,
        }
    }
}

// Not derived: a derive would ask the same of the payload's type, which has no values.
impl<K> Clone for Attr<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Attr<K> {}

impl<K> fmt::Debug for Attr<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name, self.number)
    }
}

/// One attribute as it lies in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawAttr<'a> {
    /// The type field, flags included.
    pub wire_type: u16,
    /// The payload, without padding.
    pub payload: &'a [u8],
    /// Offset in bytes of the attribute's header from the start of its message.
    pub offset: u32,
}

impl<'a> RawAttr<'a> {
    /// The attribute's number, without flags.
    pub const fn number(self) -> u16 {
        self.wire_type & NLA_TYPE_MASK
    }

    /// Whether the sender marked it as a nest.
    pub const fn has_nested_flag(self) -> bool {
        self.wire_type & NLA_F_NESTED != 0
    }

    /// The attributes of its payload, unchecked.
    pub fn nested(self) -> RawAttrs<'a> {
        RawAttrs {
            bytes: self.payload,
            offset: self.offset + NLA_HDRLEN as u32,
        }
    }

    /// Its first byte.
    pub fn u8(self) -> Option<u8> {
        self.payload.first().copied()
    }

    /// Its first two bytes.
    pub fn u16(self) -> Option<u16> {
        self.payload.first_chunk().copied().map(u16::from_ne_bytes)
    }

    /// Its first four bytes.
    pub fn u32(self) -> Option<u32> {
        self.payload.first_chunk().copied().map(u32::from_ne_bytes)
    }

    /// Its first eight bytes.
    pub fn u64(self) -> Option<u64> {
        self.payload.first_chunk().copied().map(u64::from_ne_bytes)
    }

    /// Its value as a number of four or eight bytes.
    pub fn uint(self) -> Option<u64> {
        if self.payload.len() == 4 {
            self.u32().map(u64::from)
        } else {
            self.u64()
        }
    }

    /// Its payload up to the first NUL byte.
    pub fn text(self) -> &'a [u8] {
        let end = self
            .payload
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(self.payload.len());
        &self.payload[..end]
    }
}

/// Walks attributes; stops at the first that does not fit, and [`rest`](Self::rest) tells whether
/// bytes were left over.
#[derive(Clone, Copy, Debug)]
pub struct RawAttrs<'a> {
    bytes: &'a [u8],
    offset: u32,
}

impl<'a> RawAttrs<'a> {
    /// Walks `bytes`, which lie at `offset` (in bytes) of their message.
    pub fn new(bytes: &'a [u8], offset: u32) -> Self {
        Self { bytes, offset }
    }

    /// Bytes that have not been walked (fewer than a header, or a length that does not fit).
    pub fn rest(&self) -> usize {
        self.bytes.len()
    }
}

impl<'a> Iterator for RawAttrs<'a> {
    type Item = RawAttr<'a>;

    fn next(&mut self) -> Option<RawAttr<'a>> {
        let [l0, l1, t0, t1] = *self.bytes.first_chunk::<NLA_HDRLEN>()?;
        let len = usize::from(u16::from_ne_bytes([l0, l1]));
        if len < NLA_HDRLEN || len > self.bytes.len() {
            return None;
        }
        let attr = RawAttr {
            wire_type: u16::from_ne_bytes([t0, t1]),
            payload: &self.bytes[NLA_HDRLEN..len],
            offset: self.offset,
        };
        let step = align(len).min(self.bytes.len());
        self.bytes = &self.bytes[step..];
        self.offset += step as u32;
        Some(attr)
    }
}
