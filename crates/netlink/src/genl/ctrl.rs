//! The controller, `nlctrl`: the family that tells about families.
//!
//! Clients ask it for a family's id by name (`GETFAMILY`) and for what its commands accept
//! (`GETPOLICY`). The bytes are those of `net/netlink/genetlink.c: ctrl_fill_info` and
//! `ctrl_dumppolicy`: nests of the former carry no `NLA_F_NESTED`, those of the latter do.

use std::sync::Weak;

use rustix::io::Errno;

use super::caller::Caller;
use super::core::{Genl, Registered};
use super::dump::{Batch, DumpCursor, DumpState};
use super::family::{Family, FamilySpec, Half, Op, Permission, Published};
use super::policy_dump::{has_description, put_attr_policy};
use super::reply::Reply;
use super::request::Request;
use crate::KernelVersion;
use crate::attrs::Attrs;
use crate::error::{Error, ExtAck, Result};
use crate::message::{GENL_HDRLEN, NLMSG_HDRLEN};
use crate::policy::{AttrPolicy, Policy, PolicyKind, Strictness};
use crate::wire::{Attr, kind};
use crate::writer::Writer;

/// The controller's commands.
pub(crate) const GETFAMILY: u8 = 3;
pub(crate) const NEWFAMILY: u8 = 1;
const GETPOLICY: u8 = 10;

pub(crate) const FAMILY_ID: Attr<kind::U16> = Attr::new(1, "FAMILY_ID");
pub(crate) const FAMILY_NAME: Attr<kind::Str> = Attr::new(2, "FAMILY_NAME");
const VERSION: Attr<kind::U32> = Attr::new(3, "VERSION");
const HDRSIZE: Attr<kind::U32> = Attr::new(4, "HDRSIZE");
const MAXATTR: Attr<kind::U32> = Attr::new(5, "MAXATTR");
const OPS: Attr<kind::Nest> = Attr::new(6, "OPS");
const MCAST_GROUPS: Attr<kind::Nest> = Attr::new(7, "MCAST_GROUPS");
const POLICY: Attr<kind::Nest> = Attr::new(8, "POLICY").flagged();
const OP_POLICY: Attr<kind::Nest> = Attr::new(9, "OP_POLICY").flagged();
const OP: Attr<kind::U32> = Attr::new(10, "OP");

const OP_ID: Attr<kind::U32> = Attr::new(1, "OP_ID");
const OP_FLAGS: Attr<kind::U32> = Attr::new(2, "OP_FLAGS");
const GRP_NAME: Attr<kind::Str> = Attr::new(1, "GRP_NAME");
const GRP_ID: Attr<kind::U32> = Attr::new(2, "GRP_ID");
const POLICY_DO: Attr<kind::U32> = Attr::new(1, "POLICY_DO");
const POLICY_DUMP: Attr<kind::U32> = Attr::new(2, "POLICY_DUMP");

const CAP_ADMIN: u32 = 1;
const CAP_DO: u32 = 2;
const CAP_DUMP: u32 = 4;
const CAP_HASPOL: u32 = 8;

/// The longest name of a family, in bytes (`GENL_NAMSIZ` less NUL).
const NAME_MAX: u16 = 15;

const ID_POLICY: (u16, AttrPolicy) = (1, AttrPolicy::new(PolicyKind::U16));
const NAME_POLICY: (u16, AttrPolicy) =
    (2, AttrPolicy::new(PolicyKind::NulString { max: NAME_MAX }));

static FAMILY_POLICY: Policy = Policy {
    maxtype: 2,
    strict_start: 0,
    attrs: &[ID_POLICY, NAME_POLICY],
};
static POLICY_POLICY: Policy = Policy {
    maxtype: 10,
    strict_start: 0,
    attrs: &[
        ID_POLICY,
        NAME_POLICY,
        (10, AttrPolicy::new(PolicyKind::U32)),
    ],
};

const fn half(policy: &'static Policy, check: Option<Strictness>) -> Option<Half> {
    let permission = Permission::Anyone;
    let published = Published::Always;
    Some(Half {
        permission,
        policy: Some(policy),
        check,
        published,
        done_apart: false,
    })
}

static SPEC: FamilySpec = FamilySpec {
    name: "nlctrl",
    version: 2,
    maxattr: 0,
    split: true,
    ops: &[
        Op {
            cmd: GETFAMILY,
            doit: half(&FAMILY_POLICY, Some(Strictness::Liberal)),
            dump: half(&FAMILY_POLICY, Some(Strictness::Strict)),
        },
        Op {
            cmd: GETPOLICY,
            doit: None,
            dump: half(&POLICY_POLICY, Some(Strictness::Strict)),
        },
    ],
    groups: &["notify"],
    resv_start_op: GETPOLICY + 1,
};

/// Before 6.6 the list of families did not look at the request.
static SPEC_OLD: FamilySpec = FamilySpec {
    split: false,
    ops: &[
        Op {
            cmd: GETFAMILY,
            doit: half(&FAMILY_POLICY, Some(Strictness::Liberal)),
            dump: Some(Half {
                permission: Permission::Anyone,
                policy: Some(&FAMILY_POLICY),
                check: None,
                published: Published::Never,
                done_apart: true,
            }),
        },
        Op {
            cmd: GETPOLICY,
            doit: None,
            dump: half(&POLICY_POLICY, Some(Strictness::Strict)),
        },
    ],
    ..SPEC
};

/// Whether a kernel accepts this dump request for the list of families, a whole message.
pub(crate) fn lists_families(request: &[u8]) -> bool {
    let headers = NLMSG_HDRLEN + GENL_HDRLEN;
    let attrs = request.get(headers..).unwrap_or_default();
    let mut table = Vec::new();
    let ext_ack = &mut ExtAck::default();
    let checked = FAMILY_POLICY.parse(
        attrs,
        headers as u32,
        Strictness::Strict,
        &mut table,
        ext_ack,
    );
    request.len() >= headers && checked.is_ok()
}

/// The controller of a [`Genl`].
pub(crate) struct Controller {
    pub(crate) genl: Weak<Genl>,
    pub(crate) kernel: KernelVersion,
}

impl Controller {
    fn genl(&self) -> Result<std::sync::Arc<Genl>> {
        self.genl.upgrade().ok_or_else(|| Errno::NOENT.into())
    }
}

impl Family for Controller {
    fn spec(&self) -> &'static FamilySpec {
        if self.kernel.has(KernelVersion::new(6, 6)) {
            &SPEC
        } else {
            &SPEC_OLD
        }
    }

    /// `ctrl_getfamily`.
    fn doit(&self, request: &mut Request<'_>, _: &dyn Caller, reply: &mut Reply<'_>) -> Result {
        let attrs = request.attrs();
        let named = attrs.has(FAMILY_ID) || attrs.has(FAMILY_NAME);
        let unknown = if named { Errno::NOENT } else { Errno::INVAL };
        let genl = self.genl()?;
        let family = asked_for(&genl, attrs).ok_or(unknown)?;
        reply.send(NEWFAMILY, |writer| put_family(writer, &family))
    }

    fn start(&self, request: &mut Request<'_>, cursor: &mut DumpCursor) -> Result {
        if request.cmd() == GETPOLICY {
            cursor.state = Some(Box::new(self.start_policy(request)?));
        }
        Ok(())
    }

    fn dumpit(
        &self,
        request: &mut Request<'_>,
        cursor: &mut DumpCursor,
        batch: &mut Batch<'_>,
    ) -> Result<DumpState> {
        if request.cmd() == GETPOLICY {
            return dump_policy(cursor, batch);
        }
        let genl = self.genl()?;
        for family in genl.families().iter().skip(cursor.index as usize) {
            batch.put(NEWFAMILY, |writer| put_family(writer, family))?;
            cursor.index += 1;
        }
        Ok(DumpState::Done)
    }
}

/// The family that a request for the controller is about: by name if it has one, else by id.
pub(crate) fn asked_for(genl: &Genl, attrs: Attrs<'_>) -> Option<Registered> {
    match attrs.get(FAMILY_NAME) {
        Some(name) => genl.family_by_name(name.text()),
        None => genl.family_by_id(attrs.get_u16(FAMILY_ID)?),
    }
}

/// `ctrl_fill_info`.
pub(crate) fn put_family(writer: &mut Writer<'_>, family: &Registered) -> Result {
    let spec = family.spec;
    writer.put_str(FAMILY_NAME, spec.name)?;
    writer.put_u16(FAMILY_ID, family.id)?;
    writer.put_u32(VERSION, u32::from(spec.version))?;
    writer.put_u32(HDRSIZE, 0)?;
    writer.put_u32(MAXATTR, spec.maxattr)?;
    if !spec.ops.is_empty() {
        writer.nest(OPS, |writer| {
            for (index, op) in (1..).zip(spec.ops) {
                writer.nest(Attr::new(index, "OP"), |writer| {
                    writer.put_u32(OP_ID, u32::from(op.cmd))?;
                    writer.put_u32(OP_FLAGS, op_flags(op))
                })?;
            }
            Ok(())
        })?;
    }
    if !spec.groups.is_empty() {
        writer.nest(MCAST_GROUPS, |writer| {
            for (index, name) in (1..).zip(spec.groups) {
                writer.nest(Attr::new(index, "GRP"), |writer| {
                    writer.put_u32(GRP_ID, family.first_group + u32::from(index) - 1)?;
                    writer.put_str(GRP_NAME, name)
                })?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn op_flags(op: &Op) -> u32 {
    let halves = [op.doit, op.dump].into_iter().flatten();
    let mut flags = 0;
    for half in halves {
        if half.permission == Permission::Admin {
            flags |= CAP_ADMIN;
        }
        if half.policy.is_some() {
            flags |= CAP_HASPOL;
        }
    }
    if op.doit.is_some() {
        flags |= CAP_DO;
    }
    if op.dump.is_some() {
        flags |= CAP_DUMP;
    }
    flags
}

/// A dump of policies: first which command has which, then each attribute of each policy.
struct PolicyDump {
    family: u16,
    ops: Vec<Op>,
    /// Whether the request names a command.
    single: bool,
    policies: Vec<&'static Policy>,
}

impl PolicyDump {
    /// The policy of a half, if this dump tells it.
    fn published(&self, half: Option<Half>) -> Option<&'static Policy> {
        let half = half?;
        match half.published {
            Published::Always => half.policy,
            Published::InList if !self.single => half.policy,
            Published::InList | Published::Never => None,
        }
    }

    /// `netlink_policy_dump_add_policy`: the policy, and those of its nests.
    fn add(&mut self, policy: &'static Policy) {
        if self.index(policy).is_some() {
            return;
        }
        self.policies.push(policy);
        let mut at = 0;
        while let Some(policy) = self.policies.get(at) {
            for (_, attr) in policy.attrs {
                if let PolicyKind::Nested(Some(nested)) = attr.kind {
                    if self.index(nested).is_none() {
                        self.policies.push(nested);
                    }
                }
            }
            at += 1;
        }
    }

    fn index(&self, policy: &'static Policy) -> Option<u32> {
        let index = self
            .policies
            .iter()
            .position(|other| std::ptr::eq(*other, policy))?;
        u32::try_from(index).ok()
    }
}

impl Controller {
    /// `ctrl_dumppolicy_start`.
    fn start_policy(&self, request: &mut Request<'_>) -> Result<PolicyDump> {
        let attrs = request.attrs();
        let genl = self.genl()?;
        // Unlike GETFAMILY, an id here goes before a name.
        let family = match (attrs.get_u16(FAMILY_ID), attrs.get(FAMILY_NAME)) {
            (None, None) => return Err(Errno::INVAL.into()),
            (Some(id), _) => genl.family_by_id(id),
            (None, Some(name)) => genl.family_by_name(name.text()),
        };
        let family = family.ok_or(Errno::NOENT)?;
        let mut dump = PolicyDump {
            family: family.id,
            ops: Vec::new(),
            single: attrs.has(OP),
            policies: Vec::new(),
        };
        match attrs.get(OP) {
            Some(raw) => {
                let cmd = raw.u32().and_then(|cmd| u8::try_from(cmd).ok());
                let op = cmd.and_then(|cmd| family.spec.op(cmd));
                dump.ops
                    .push(*op.ok_or_else(|| Error::new(Errno::NOENT).bad_attr(raw))?);
            }
            None => dump.ops.extend(family.spec.ops),
        }
        for op in dump.ops.clone() {
            for half in [op.doit, op.dump] {
                if let Some(policy) = dump.published(half) {
                    dump.add(policy);
                }
            }
        }
        if dump.policies.is_empty() {
            return Err(Errno::NODATA.into());
        }
        Ok(dump)
    }
}

/// `ctrl_dumppolicy`: `cursor.instance` counts commands, then policies; `cursor.index` the
/// attributes of a policy.
fn dump_policy(cursor: &mut DumpCursor, batch: &mut Batch<'_>) -> Result<DumpState> {
    let Some(dump) = cursor
        .state
        .as_ref()
        .and_then(|state| state.downcast_ref::<PolicyDump>())
    else {
        return Err(Errno::INVAL.into());
    };
    while let Some(op) = dump.ops.get(cursor.instance as usize) {
        if dump
            .published(op.doit)
            .or(dump.published(op.dump))
            .is_some()
        {
            batch.put(GETPOLICY, |writer| {
                writer.put_u16(FAMILY_ID, dump.family)?;
                writer.nest(OP_POLICY, |writer| {
                    writer.nest(Attr::new(u16::from(op.cmd), "OP").flagged(), |writer| {
                        let index = |half: Option<Half>| dump.index(dump.published(half)?);
                        if let Some(index) = index(op.doit) {
                            writer.put_u32(POLICY_DO, index)?;
                        }
                        if let Some(index) = index(op.dump) {
                            writer.put_u32(POLICY_DUMP, index)?;
                        }
                        Ok(())
                    })
                })
            })?;
        }
        cursor.instance += 1;
    }
    let past = dump.ops.len();
    while let Some(policy) = dump.policies.get(cursor.instance as usize - past) {
        let number = (cursor.instance as usize - past) as u16;
        while let Some((attr, attr_policy)) = policy.attrs.get(cursor.index as usize) {
            if !has_description(attr_policy) {
                cursor.index += 1;
                continue;
            }
            batch.put(GETPOLICY, |writer| {
                writer.put_u16(FAMILY_ID, dump.family)?;
                writer.nest(POLICY, |writer| {
                    writer.nest(Attr::new(number, "POLICY").flagged(), |writer| {
                        put_attr_policy(writer, *attr, attr_policy, |nested| dump.index(nested))
                    })
                })
            })?;
            cursor.index += 1;
        }
        cursor.instance += 1;
        cursor.index = 0;
    }
    // The end of this dump always comes in a datagram of its own.
    Ok(if batch.is_empty() {
        DumpState::Done
    } else {
        DumpState::More
    })
}
