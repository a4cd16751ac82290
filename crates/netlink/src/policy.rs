//! What a request may carry, and how it is checked.
//!
//! `Policy::parse` does what `lib/nlattr.c: __nla_validate_parse` does, with the same errors and
//! texts in the same order: *liberal* checks, for commands older than the stricter rules, ignore
//! what they do not know; *strict* ones refuse it.

use rustix::io::Errno;

use crate::error::ExtAck;
use crate::message::NLA_HDRLEN;
use crate::wire::{RawAttr, RawAttrs};

/// Nests deeper than this are refused (`MAX_POLICY_RECURSION_DEPTH`).
const RECURSION_MAX: u32 = 10;

/// How much of what it does not know a check accepts (`enum netlink_validation`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// Unknown attributes, missing nest flags, odd lengths and trailing bytes pass.
    Liberal,
    /// They are errors.
    Strict,
}

/// The payload that an attribute must have (`NLA_*`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PolicyKind {
    /// Nothing is known about it: strict checks refuse it.
    Unspec,
    /// It must not be there.
    Reject,
    /// One byte.
    U8,
    /// Two bytes.
    U16,
    /// Four bytes.
    U32,
    /// Eight bytes.
    U64,
    /// Four or eight bytes.
    Uint,
    /// No payload.
    Flag,
    /// A text that need not end in NUL, of at most `max` bytes (0: any length).
    String {
        /// Bytes, without NUL.
        max: u16,
    },
    /// A text that ends in NUL, of at most `max` bytes without it (0: any length).
    NulString {
        /// Bytes, without NUL.
        max: u16,
    },
    /// Bytes, at most `max` of them (0: any number).
    Binary {
        /// Bytes.
        max: u16,
    },
    /// Attributes, checked by a policy of their own if there is one.
    Nested(Option<&'static Policy>),
    /// A value and a selector, both within `mask`.
    Bitfield32 {
        /// The bits that exist.
        mask: u32,
    },
}

/// What the value must satisfy beyond its size (`enum nla_policy_validation`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Check {
    /// Nothing.
    None,
    /// Within these bounds; the length of a [`PolicyKind::Binary`], the value of a number.
    Range(u64, u64),
    /// At least this.
    Min(u64),
    /// At most this.
    Max(u64),
    /// No bit outside this mask.
    Mask(u64),
    /// One of these.
    OneOf(&'static [u64]),
}

/// One attribute's policy (`struct nla_policy`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttrPolicy {
    /// What the payload is.
    pub kind: PolicyKind,
    /// What else it must satisfy.
    pub check: Check,
}

impl AttrPolicy {
    /// What an attribute is that a policy says nothing about.
    pub const UNSPEC: Self = Self::new(PolicyKind::Unspec);

    /// A payload, and nothing else asked of it.
    pub const fn new(kind: PolicyKind) -> Self {
        Self {
            kind,
            check: Check::None,
        }
    }

    /// The same with a check.
    #[must_use]
    pub const fn check(self, check: Check) -> Self {
        Self { check, ..self }
    }

    /// The smallest and largest value (`lib/nlattr.c: nla_get_range_unsigned`).
    pub(crate) fn range(&self) -> (u64, u64) {
        let top = match self.kind {
            PolicyKind::U8 => u64::from(u8::MAX),
            PolicyKind::U16 | PolicyKind::Binary { .. } => u64::from(u16::MAX),
            PolicyKind::U32 => u64::from(u32::MAX),
            _ => u64::MAX,
        };
        match self.check {
            Check::Range(min, max) => (min, max),
            Check::Min(min) => (min, top),
            Check::Max(max) => (0, max),
            Check::None | Check::Mask(_) | Check::OneOf(_) => (0, top),
        }
    }
}

/// The attributes of a request or of a nest.
#[derive(Debug, PartialEq)]
pub struct Policy {
    /// The highest attribute number that is known; higher ones are ignored or, strictly, refused.
    pub maxtype: u16,
    /// From this number on, attributes are always checked strictly (0: never).
    pub strict_start: u16,
    /// The attributes that have a policy, ascending by number.
    pub attrs: &'static [(u16, AttrPolicy)],
}

impl Policy {
    /// The policy of the attribute `number`.
    pub fn attr(&self, number: u16) -> AttrPolicy {
        match self
            .attrs
            .binary_search_by_key(&number, |&(number, _)| number)
        {
            Ok(index) => self.attrs[index].1,
            Err(_) => AttrPolicy::UNSPEC,
        }
    }

    /// Checks the attributes in `bytes`, which lie at `offset` of their message, and notes in
    /// `table[number]` the offset of the last attribute of each number (0: not there).
    ///
    /// # Errors
    /// `EINVAL` and `ERANGE` as the kernel, which leaves text, offset and policy in `ext_ack`.
    pub(crate) fn parse(
        &self,
        bytes: &[u8],
        offset: u32,
        strictness: Strictness,
        table: &mut Vec<u32>,
        ext_ack: &mut ExtAck,
    ) -> Result<(), Errno> {
        table.clear();
        table.resize(usize::from(self.maxtype) + 1, 0);
        self.walk(bytes, offset, strictness, Some(table), ext_ack, 0)
    }

    fn walk(
        &self,
        bytes: &[u8],
        offset: u32,
        strictness: Strictness,
        mut table: Option<&mut [u32]>,
        ext_ack: &mut ExtAck,
        depth: u32,
    ) -> Result<(), Errno> {
        if depth >= RECURSION_MAX {
            ext_ack.set_msg("allowed policy recursion depth exceeded");
            return Err(Errno::INVAL);
        }
        let mut attrs = RawAttrs::new(bytes, offset);
        for attr in attrs.by_ref() {
            let number = attr.number();
            if number == 0 || number > self.maxtype {
                if strictness == Strictness::Strict {
                    ext_ack.set_bad_attr(attr);
                    ext_ack.set_msg("Unknown attribute type");
                    return Err(Errno::INVAL);
                }
                continue;
            }
            let strict_start = self.strict_start != 0 && number >= self.strict_start;
            let strictness = if strict_start {
                Strictness::Strict
            } else {
                strictness
            };
            self.attr(number)
                .validate(attr, strictness, ext_ack, depth)?;
            if let Some(table) = table.as_deref_mut() {
                table[usize::from(number)] = attr.offset;
            }
        }
        if attrs.rest() > 0 {
            ext_ack.set_msg("bytes leftover after parsing attributes");
            if strictness == Strictness::Strict {
                return Err(Errno::INVAL);
            }
        }
        Ok(())
    }
}

impl AttrPolicy {
    /// `lib/nlattr.c: validate_nla`.
    fn validate(
        &self,
        attr: RawAttr<'_>,
        strictness: Strictness,
        ext_ack: &mut ExtAck,
        depth: u32,
    ) -> Result<(), Errno> {
        let strict = strictness == Strictness::Strict;
        let len = attr.payload.len();
        let exact = match self.kind {
            PolicyKind::U8 => Some(1),
            PolicyKind::U16 => Some(2),
            PolicyKind::U32 => Some(4),
            PolicyKind::U64 => Some(8),
            _ => None,
        };
        let mut refuse = |errno, text| {
            ext_ack.set_bad_attr_policy(attr, self);
            ext_ack.set_msg(text);
            Err(errno)
        };
        if strict && exact.is_some_and(|exact| len != exact) {
            return refuse(Errno::INVAL, "invalid attribute length");
        }
        if strict {
            let nest = matches!(self.kind, PolicyKind::Nested(_));
            if nest && !attr.has_nested_flag() {
                return refuse(Errno::INVAL, "NLA_F_NESTED is missing");
            }
            if !nest && self.kind != PolicyKind::Unspec && attr.has_nested_flag() {
                return refuse(Errno::INVAL, "NLA_F_NESTED not expected");
            }
        }
        const FAILED: &str = "Attribute failed policy validation";
        match self.kind {
            PolicyKind::Unspec => {
                if strict {
                    ext_ack.set_bad_attr(attr);
                    ext_ack.set_msg("Unsupported attribute");
                    return Err(Errno::INVAL);
                }
            }
            PolicyKind::Reject => return refuse(Errno::INVAL, FAILED),
            PolicyKind::U8 | PolicyKind::U16 | PolicyKind::U32 | PolicyKind::U64 => {
                if exact.is_some_and(|exact| len < exact) {
                    return refuse(Errno::RANGE, FAILED);
                }
            }
            PolicyKind::Uint => {
                if len != 4 && len != 8 {
                    return refuse(Errno::INVAL, "invalid attribute length");
                }
            }
            PolicyKind::Flag => {
                if len > 0 {
                    return refuse(Errno::RANGE, FAILED);
                }
            }
            PolicyKind::Bitfield32 { mask } => {
                if len != 8 {
                    return refuse(Errno::RANGE, FAILED);
                }
                if !bitfield32_is_valid(attr.payload, mask) {
                    return refuse(Errno::INVAL, FAILED);
                }
            }
            PolicyKind::NulString { max } => {
                let within = if max > 0 {
                    len.min(usize::from(max) + 1)
                } else {
                    len
                };
                if !attr.payload[..within].contains(&0) {
                    return refuse(Errno::INVAL, FAILED);
                }
                if text_is_too_long(attr.payload, max) {
                    return refuse(Errno::RANGE, FAILED);
                }
            }
            PolicyKind::String { max } => {
                if len < 1 || text_is_too_long(attr.payload, max) {
                    return refuse(Errno::RANGE, FAILED);
                }
            }
            PolicyKind::Binary { max } => {
                if max > 0 && len > usize::from(max) {
                    return refuse(Errno::RANGE, FAILED);
                }
            }
            PolicyKind::Nested(policy) => {
                if len > 0 && len < NLA_HDRLEN {
                    return refuse(Errno::RANGE, FAILED);
                }
                if let Some(policy) = policy.filter(|_| len > 0) {
                    let offset = attr.offset + NLA_HDRLEN as u32;
                    return policy.walk(attr.payload, offset, strictness, None, ext_ack, depth + 1);
                }
            }
        }
        self.validate_value(attr, ext_ack)
    }

    /// `lib/nlattr.c: nla_validate_range_unsigned` and `nla_validate_mask`.
    fn validate_value(&self, attr: RawAttr<'_>, ext_ack: &mut ExtAck) -> Result<(), Errno> {
        if self.check == Check::None {
            return Ok(());
        }
        let value = match self.kind {
            PolicyKind::U8 => attr.u8().map(u64::from),
            PolicyKind::U16 => attr.u16().map(u64::from),
            PolicyKind::U32 => attr.u32().map(u64::from),
            PolicyKind::U64 => attr.u64(),
            PolicyKind::Uint => attr.uint(),
            PolicyKind::Binary { .. } => Some(attr.payload.len() as u64),
            _ => None,
        };
        // A payload too short for its kind has been refused above.
        let value = value.ok_or(Errno::INVAL)?;
        if let Check::Mask(mask) = self.check {
            if value & !mask != 0 {
                ext_ack.set_bad_attr(attr);
                ext_ack.set_msg("reserved bit set");
                return Err(Errno::INVAL);
            }
            return Ok(());
        }
        if let Check::OneOf(values) = self.check {
            if !values.contains(&value) {
                ext_ack.set_bad_attr(attr);
                ext_ack.set_msg("invalid enum value");
                return Err(Errno::INVAL);
            }
            return Ok(());
        }
        let (min, max) = self.range();
        if value < min || value > max {
            ext_ack.set_bad_attr_policy(attr, self);
            ext_ack.set_msg(match self.kind {
                PolicyKind::Binary { .. } => "binary attribute size out of range",
                _ => "integer out of range",
            });
            return Err(Errno::RANGE);
        }
        Ok(())
    }
}

/// `lib/nlattr.c: validate_nla_bitfield32`.
fn bitfield32_is_valid(payload: &[u8], mask: u32) -> bool {
    let word = |at: usize| {
        payload
            .get(at..)?
            .first_chunk()
            .copied()
            .map(u32::from_ne_bytes)
    };
    let (Some(value), Some(selector)) = (word(0), word(4)) else {
        return false;
    };
    mask != 0 && selector & !mask == 0 && value & !mask == 0 && value & !selector == 0
}

fn text_is_too_long(payload: &[u8], max: u16) -> bool {
    let len = payload.len() - usize::from(payload.last() == Some(&0));
    max > 0 && len > usize::from(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nest(number: u16, inner: &[u8]) -> Vec<u8> {
        let len = (4 + inner.len()) as u16;
        [&len.to_ne_bytes(), &(number | 0x8000).to_ne_bytes(), inner].concat()
    }

    #[test]
    fn nests_end_somewhere() {
        static SELF: Policy = Policy {
            maxtype: 1,
            strict_start: 0,
            attrs: &[(1, AttrPolicy::new(PolicyKind::Nested(Some(&SELF))))],
        };
        let deep = |levels| (0..levels).fold(Vec::new(), |inner: Vec<u8>, _| nest(1, &inner));
        let parse = |bytes: &[u8]| {
            let mut ext_ack = ExtAck::default();
            let result = SELF.parse(bytes, 20, Strictness::Strict, &mut Vec::new(), &mut ext_ack);
            result.map_err(|_| ext_ack.msg().map(str::to_owned))
        };
        assert_eq!(parse(&deep(10)), Ok(()));
        let error = "allowed policy recursion depth exceeded".to_owned();
        assert_eq!(parse(&deep(11)), Err(Some(error)));
    }

    #[test]
    fn a_text_is_measured_without_its_nul() {
        let policy = |kind| AttrPolicy::new(kind);
        let check = |policy: AttrPolicy, payload: &[u8]| {
            let attr = RawAttr {
                wire_type: 1,
                payload,
                offset: 20,
            };
            policy.validate(attr, Strictness::Strict, &mut ExtAck::default(), 0)
        };
        let three = policy(PolicyKind::NulString { max: 3 });
        assert_eq!(check(three, b"abc\0"), Ok(()));
        assert_eq!(check(three, b"ab\0d\0"), Err(Errno::RANGE));
        assert_eq!(
            check(three, b"abcd\0"),
            Err(Errno::INVAL),
            "no NUL where it must be"
        );
        assert_eq!(check(three, b"abc"), Err(Errno::INVAL));
        let loose = policy(PolicyKind::String { max: 3 });
        assert_eq!(check(loose, b"abc"), Ok(()));
        assert_eq!(check(loose, b"abc\0"), Ok(()));
        assert_eq!(check(loose, b"abcd"), Err(Errno::RANGE));
        assert_eq!(check(loose, b""), Err(Errno::RANGE));
        let bytes = policy(PolicyKind::Binary { max: 9 }).check(Check::Range(2, 4));
        assert_eq!(check(bytes, b"abc"), Ok(()));
        assert_eq!(check(bytes, b"a"), Err(Errno::RANGE));
    }
}
