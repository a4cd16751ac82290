//! A family: what it is called, which commands it has, and who carries them out.

use std::any::Any;

use rustix::io::Errno;

use super::caller::Caller;
use super::dump::{Batch, DumpCursor, DumpState};
use super::multicast::FamilyHandle;
use super::reply::Reply;
use super::request::Request;
use crate::error::Result;
use crate::policy::{Policy, Strictness};

/// Who may use a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Everybody.
    Anyone,
    /// Who has `CAP_NET_ADMIN` (`GENL_ADMIN_PERM`).
    Admin,
}

/// Where the controller tells a command's policy (`CTRL_CMD_GETPOLICY`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// Wherever it is asked for.
    Always,
    /// In the list of the whole family, but not when only this command is asked about.
    InList,
    /// Nowhere.
    Never,
}

/// A command as a *do* or as a *dump*: `struct genl_split_ops`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Half {
    /// Who may use it.
    pub permission: Permission,
    /// What the request may carry, as the controller publishes it.
    pub policy: Option<&'static Policy>,
    /// How the request is checked; `None`: not at all, attributes are not even looked at.
    pub check: Option<Strictness>,
    /// Where the policy is told.
    pub published: Published,
    /// For a dump: its end comes in a datagram of its own, even if the last object's has room.
    pub done_apart: bool,
}

/// A command.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Op {
    /// Its number.
    pub cmd: u8,
    /// The request for one thing.
    pub doit: Option<Half>,
    /// The request for all things.
    pub dump: Option<Half>,
}

/// What the controller tells about a family, and what requests are checked against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FamilySpec {
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: u8,
    /// What the controller states as highest attribute: 0 if each command has a policy of its own.
    pub maxattr: u32,
    /// Whether *do* and *dump* of a command are told apart (`struct genl_split_ops`). Where they are
    /// not, one half's permission is asked for before the other half is found missing.
    pub split: bool,
    /// Its commands, in the order in which the controller lists them.
    pub ops: &'static [Op],
    /// Its multicast groups.
    pub groups: &'static [&'static str],
    /// From this command on, reserved header fields must be zero.
    pub resv_start_op: u8,
}

impl FamilySpec {
    /// The command with this number.
    pub fn op(&self, cmd: u8) -> Option<&'static Op> {
        self.ops.iter().find(|op| op.cmd == cmd)
    }

    /// The command with this number as a *do* or as a *dump*, for a caller who may administrate
    /// or not (`net/netlink/genetlink.c: genl_family_rcv_msg`).
    pub(crate) fn half(&self, cmd: u8, dump: bool, admin: impl Fn() -> bool) -> Result<Half> {
        let op = self.op(cmd).ok_or(Errno::OPNOTSUPP)?;
        let half = if dump { op.dump } else { op.doit };
        let asked = if self.split {
            half
        } else {
            half.or(op.doit).or(op.dump)
        };
        let permission = asked.ok_or(Errno::OPNOTSUPP)?.permission;
        if permission == Permission::Admin && !admin() {
            return Err(Errno::PERM.into());
        }
        half.ok_or_else(|| Errno::OPNOTSUPP.into())
    }
}

/// Who carries out a family's commands.
///
/// Both methods are called after permission and attributes have been checked. A family that works
/// on locked objects finds and locks them in here, before it looks at the command, and unlocks
/// them at the end (`pre_doit`, `post_doit`).
pub trait Family: Any + Send + Sync {
    /// The family as the emulated kernel has it.
    fn spec(&self) -> &'static FamilySpec;

    /// The family now has an id and may send notifications through `handle`.
    fn registered(&self, handle: FamilyHandle) {
        let _ = handle;
    }

    /// Serves a request; replies go through `reply`.
    ///
    /// # Errors
    /// What the client is to hear. A success may carry a warning in [`Request::ext_ack`].
    fn doit(&self, request: &mut Request<'_>, caller: &dyn Caller, reply: &mut Reply<'_>)
    -> Result;

    /// Looks at a dump's request before the dump begins.
    ///
    /// # Errors
    /// What the client is to hear at once, as of a *do*; no dump begins then.
    fn start(&self, request: &mut Request<'_>, cursor: &mut DumpCursor) -> Result {
        let _ = (request, cursor);
        Ok(())
    }

    /// Fills one datagram of a dump, from where `cursor` stands.
    ///
    /// Called again, with the cursor as it was left, until it returns [`DumpState::Done`] or fails.
    ///
    /// # Errors
    /// `EMSGSIZE` when the datagram is full: it is sent and the dump goes on, unless nothing is in
    /// it. Any other error ends the dump; the client finds it in the final message.
    fn dumpit(
        &self,
        request: &mut Request<'_>,
        cursor: &mut DumpCursor,
        batch: &mut Batch<'_>,
    ) -> Result<DumpState>;
}
