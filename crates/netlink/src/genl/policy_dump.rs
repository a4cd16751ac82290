//! Policies as attributes: for the controller's `GETPOLICY`, and for an acknowledgement that says
//! which policy an attribute breaks (`net/netlink/policy.c`).

use crate::error::Result;
use crate::policy::{AttrPolicy, Check, Policy, PolicyKind};
use crate::wire::{Attr, kind};
use crate::writer::Writer;

const TYPE: Attr<kind::U32> = Attr::new(1, "TYPE");
const MIN_VALUE_U: Attr<kind::U64> = Attr::new(4, "MIN_VALUE_U");
const MAX_VALUE_U: Attr<kind::U64> = Attr::new(5, "MAX_VALUE_U");
const MIN_LENGTH: Attr<kind::U32> = Attr::new(6, "MIN_LENGTH");
const MAX_LENGTH: Attr<kind::U32> = Attr::new(7, "MAX_LENGTH");
const POLICY_IDX: Attr<kind::U32> = Attr::new(8, "POLICY_IDX");
const POLICY_MAXTYPE: Attr<kind::U32> = Attr::new(9, "POLICY_MAXTYPE");
const BITFIELD32_MASK: Attr<kind::U32> = Attr::new(10, "BITFIELD32_MASK");
const MASK: Attr<kind::U64> = Attr::new(12, "MASK");

/// `enum netlink_attribute_type`.
fn type_number(kind: &PolicyKind) -> u32 {
    match kind {
        PolicyKind::Unspec | PolicyKind::Reject => 0,
        PolicyKind::Flag => 1,
        PolicyKind::U8 => 2,
        PolicyKind::U16 => 3,
        PolicyKind::U32 => 4,
        PolicyKind::U64 => 5,
        PolicyKind::Binary { .. } => 10,
        PolicyKind::String { .. } => 11,
        PolicyKind::NulString { .. } => 12,
        PolicyKind::Nested(_) => 13,
        PolicyKind::Bitfield32 { .. } => 15,
        PolicyKind::Uint => 17,
    }
}

/// Whether there is anything to tell about an attribute.
pub(crate) fn has_description(policy: &AttrPolicy) -> bool {
    !matches!(policy.kind, PolicyKind::Unspec | PolicyKind::Reject)
}

/// Puts one attribute's policy as the nest `number`. `index` numbers the policies of nests; nests
/// that it gives no number are only called nests. An attribute without policy has nothing to put.
pub(crate) fn put_attr_policy(
    writer: &mut Writer<'_>,
    number: u16,
    policy: &AttrPolicy,
    index: impl Fn(&'static Policy) -> Option<u32>,
) -> Result {
    if !has_description(policy) {
        return Ok(());
    }
    writer.nest(Attr::new(number, "POLICY").flagged(), |writer| {
        match policy.kind {
            PolicyKind::Unspec | PolicyKind::Reject | PolicyKind::Flag => {}
            PolicyKind::U8
            | PolicyKind::U16
            | PolicyKind::U32
            | PolicyKind::U64
            | PolicyKind::Uint => match policy.check {
                Check::Mask(mask) => writer.put_u64(MASK, mask)?,
                Check::OneOf(_) => {}
                Check::None | Check::Range(..) | Check::Min(_) | Check::Max(_) => {
                    let (min, max) = policy.range();
                    writer.put_u64(MIN_VALUE_U, min)?;
                    writer.put_u64(MAX_VALUE_U, max)?;
                }
            },
            PolicyKind::Binary { max }
            | PolicyKind::String { max }
            | PolicyKind::NulString { max } => {
                if let Check::Range(..) = policy.check {
                    let (min, max) = policy.range();
                    if min > 0 {
                        writer.put_u32(MIN_LENGTH, min as u32)?;
                    }
                    if max < u64::from(u16::MAX) {
                        writer.put_u32(MAX_LENGTH, max as u32)?;
                    }
                } else if max > 0 {
                    writer.put_u32(MAX_LENGTH, u32::from(max))?;
                }
            }
            PolicyKind::Nested(nested) => {
                if let Some((nested, index)) =
                    nested.and_then(|nested| Some((nested, index(nested)?)))
                {
                    writer.put_u32(POLICY_IDX, index)?;
                    writer.put_u32(POLICY_MAXTYPE, u32::from(nested.maxtype))?;
                }
            }
            PolicyKind::Bitfield32 { mask } => writer.put_u32(BITFIELD32_MASK, mask)?,
        }
        writer.put_u32(TYPE, type_number(&policy.kind))
    })
}
