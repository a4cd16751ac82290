//! `RELOAD`: take the driver's objects down, perhaps move the instance to another network namespace, and bring them up again.
//!
//! One order of events serves the command and the end of a namespace (`devlink_reload`); only the command has a request to
//! check first (`reload_doit`). Both call it with the device lock and the instance lock held: the device lock, so that a
//! driver may do in a reload what the driver core asserts it for, and so that reload cannot meet probe or remove.
//!
//! What a reload leaves behind when it fails: an error of `reload_down` changes nothing at all. After that the move to the
//! other namespace has happened and is not taken back; an error of `reload_up` marks the instance "reload failed", it stays
//! registered, and another reload is the way out.

use std::sync::Arc;

use net_core::{Net, NetId};
use netlink::genl::{Caller, NetnsRef, Reply, Request};
use netlink::{Attrs, Bitfield32, Error, ExtAck, KernelVersion, attr, cmd};
use rustix::io::Errno;

use crate::bit_set::bit_set;
use crate::core::{Devl, Objects};
use crate::ops::Ops;
use crate::{dev, notify, resource};

/// What a reload does; the number is the one of `DEVLINK_ATTR_RELOAD_ACTION`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ReloadAction {
    /// The driver initializes again: new driverinit values, and the only action that can change the namespace.
    DriverReinit = 1,
    /// The device runs the firmware that is stored in it.
    FwActivate = 2,
}

impl ReloadAction {
    /// All actions, in the order of their numbers.
    pub const ALL: [Self; 2] = [Self::DriverReinit, Self::FwActivate];

    /// The action of this number.
    #[must_use]
    pub(crate) const fn from_u8(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::DriverReinit),
            2 => Some(Self::FwActivate),
            _ => None,
        }
    }
}

/// A limit on what a reload may do to the device; the number is the one of `DEVLINK_ATTR_RELOAD_STATS_LIMIT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ReloadLimit {
    /// None stated.
    Unspec = 0,
    /// No reset and no loss of link.
    NoReset = 1,
}

impl ReloadLimit {
    /// All limits, in the order of their numbers.
    pub const ALL: [Self; 2] = [Self::Unspec, Self::NoReset];
}

bit_set! {
    /// A set of reload actions.
    ReloadActions of ReloadAction
}
bit_set! {
    /// A set of reload limits.
    ReloadLimits of ReloadLimit
}

impl ReloadActions {
    /// The bits as on the wire: bit n is the action of number n.
    const fn bits(self) -> u32 {
        self.0
    }
}

/// What a driver is told at the beginning of a reload.
#[derive(Clone, Copy, Debug)]
pub struct ReloadDown {
    /// A namespace was named in the request, or the instance's own is going away. True also if it is the one that the
    /// instance is in already, as in the kernel.
    pub netns_change: bool,
    /// The action asked for.
    pub action: ReloadAction,
    /// The limit asked for.
    pub limit: ReloadLimit,
}

/// How often each action was done under each limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReloadStats([[u32; 3]; 2]);

impl ReloadStats {
    pub(crate) fn get(&self, limit: ReloadLimit, action: ReloadAction) -> u32 {
        self.0[limit as usize][action as usize]
    }

    fn count(&mut self, limit: ReloadLimit, performed: ReloadActions) {
        for action in ReloadAction::ALL
            .into_iter()
            .filter(|&action| performed.contains(action))
        {
            self.0[limit as usize][action as usize] += 1;
        }
    }
}

/// Whether an action can never be done under a limit: a driver cannot initialize again without down time.
pub(crate) fn combination_is_invalid(action: ReloadAction, limit: ReloadLimit) -> bool {
    action == ReloadAction::DriverReinit && limit == ReloadLimit::NoReset
}

/// Whether a driver states actions and limits that make sense (`devlink_reload_actions_valid`).
pub(crate) fn actions_valid(ops: &dyn Ops) -> bool {
    let only_invalid = ReloadAction::ALL.into_iter().any(|action| {
        ReloadLimit::ALL.into_iter().any(|limit| {
            combination_is_invalid(action, limit)
                && ops.reload_actions() == ReloadActions::of(&[action])
                && ops.reload_limits() == ReloadLimits::of(&[limit])
        })
    });
    !(only_invalid
        || ops.reload_limits().contains(ReloadLimit::Unspec)
        || (ops.reload_actions() == ReloadActions::NONE
            && ops.reload_limits() != ReloadLimits::NONE))
}

/// Reloads an instance (`devlink_reload`): for a user, and for a namespace that goes away.
///
/// The caller holds the lock of the instance's device, and `dest`, if there is one, stays alive as long as this runs.
///
/// # Errors
///
/// Those of the driver's two halves; see the module for what is left then.
#[inline(never)]
pub(crate) fn devlink_reload(
    devl: &mut Devl<'_>,
    dest: Option<Arc<Net>>,
    action: ReloadAction,
    limit: ReloadLimit,
    extack: &mut ExtAck,
) -> Result<ReloadActions, Errno> {
    let devlink = devl.devlink();
    let ops = devl.ops();
    let remote_stats = devl.state.remote_stats;
    // Kernel 6.1 tells of a move before and after everything else, the others when it happens.
    let tells_at_both_ends = devlink.kernel() == KernelVersion::V6_1;
    let netns_change = dest.is_some();
    let dest = dest.filter(|dest| dest.id() != devlink.net().id());
    let moves = dest.is_some();

    if moves && tells_at_both_ends {
        notify::leave(devl);
    }
    let down = ReloadDown {
        netns_change,
        action,
        limit,
    };
    ops.reload_down(devl, down, extack)?;

    if let Some(dest) = dest {
        // The users learn of what is left after the driver's first half; the rest goes and comes with its halves.
        if tells_at_both_ends {
            devl.set_net(dest);
        } else {
            notify::unregister(devl);
            devl.set_net(dest);
            notify::register(devl);
            devlink.nested_in_notify();
        }
    }

    if action == ReloadAction::DriverReinit {
        devl.params_driverinit_load_new();
        let ports_left = devl.ports().next().is_some();
        devlink.warn_on(
            ports_left,
            "devlink_reload_reinit_sanity_check",
            "ports are left",
        );
        let rates_left = !devl.state.rates.is_empty();
        devlink.warn_on(
            rates_left,
            "devlink_reload_reinit_sanity_check",
            "rate objects are left",
        );
        let others_left = !devl.state.dpipe_tables.is_empty()
            || !devl.state.sbs.is_empty()
            || !devl.state.linecards.is_empty();
        devlink.warn_on(
            others_left,
            "devlink_reload_reinit_sanity_check",
            "dpipe tables, shared buffers or line cards are left",
        );
    }

    let result = ops.reload_up(devl, action, limit, extack);
    if devl.state.reload_failed != result.is_err() {
        devl.state.reload_failed = result.is_err();
        dev::notify(devl, cmd::NEW);
    }
    let performed = result?;

    if moves && tells_at_both_ends {
        notify::enter(devl);
    }
    devlink.warn_on(
        !performed.contains(action),
        "devlink_reload",
        "the action asked for was not performed",
    );
    devlink.warn_on(
        remote_stats != devl.state.remote_stats,
        "devlink_reload",
        "the remote statistics were changed",
    );
    devl.state.stats.count(limit, performed);
    dev::notify(devl, cmd::NEW);
    Ok(performed)
}

impl Objects<'_> {
    /// Counts actions that were performed on this device, but not because of a reload of this instance: another host has
    /// activated a firmware (`devlink_remote_reload_actions_performed`).
    pub fn remote_reload_actions_performed(
        &mut self,
        limit: ReloadLimit,
        performed: ReloadActions,
    ) {
        let nothing = performed == ReloadActions::NONE;
        if !self.devlink().warn_on(
            nothing,
            "devlink_remote_reload_actions_performed",
            "no action was performed",
        ) {
            self.state.remote_stats.count(limit, performed);
            dev::notify(self, cmd::NEW);
        }
    }
}

/// Serves `RELOAD`, with the lock of the instance's device held: `net/devlink/dev.c: devlink_nl_reload_doit`.
#[inline(never)]
pub(crate) fn reload_doit(
    devl: &mut Devl<'_>,
    request: &mut Request<'_>,
    caller: &dyn Caller,
    reply: &mut Reply<'_>,
) -> netlink::Result {
    resource::validate(devl)?;
    let attrs = request.attrs();
    let ops = devl.ops();
    let refuse = |errno, text| Err(Error::with_msg(errno, text));

    let action = attrs
        .get_u8(attr::RELOAD_ACTION)
        .map_or(Some(ReloadAction::DriverReinit), ReloadAction::from_u8);
    let Some(action) = action.filter(|&action| ops.reload_actions().contains(action)) else {
        return refuse(
            Errno::OPNOTSUPP,
            "Requested reload action is not supported by the driver",
        );
    };

    let mut limit = ReloadLimit::Unspec;
    if let Some(limits) = attrs.get_bitfield32(attr::RELOAD_LIMITS) {
        let selected = limits.value & limits.selector;
        if selected == 0 {
            return refuse(Errno::INVAL, "Invalid limit selected");
        }
        let unsupported = "Requested limit is not supported by the driver";
        // The kernel looks for the limit that is selected one by one, and stands behind the last when it has found none.
        if selected == 1 << ReloadLimit::ALL.len() {
            return refuse(Errno::OPNOTSUPP, unsupported);
        }
        let Some(one) = ReloadLimit::ALL
            .into_iter()
            .find(|&limit| selected == 1 << limit as u32)
        else {
            return refuse(Errno::OPNOTSUPP, "Multiselection of limit is not supported");
        };
        if !ops.reload_limits().contains(one) {
            return refuse(Errno::OPNOTSUPP, unsupported);
        }
        if combination_is_invalid(action, one) {
            return refuse(Errno::INVAL, "Requested limit is invalid for this action");
        }
        limit = one;
    }

    // Held to the end: the namespace must not go away while the instance moves into it.
    let netns = netns_get(attrs, caller)?;
    let dest = match &netns {
        Some(netns) => {
            let moves = !devl.devlink().is_in(NetId(netns.net.0));
            // Kernel 6.1 leaves it to the driver.
            let checked = request.kernel() != KernelVersion::V6_1;
            if checked && moves && action != ReloadAction::DriverReinit {
                return refuse(
                    Errno::OPNOTSUPP,
                    "dev: Changing namespace is only supported for reinit action",
                );
            }
            Some(devl.devlink().subsystem().net_of(netns)?)
        }
        None => None,
    };

    let performed = devlink_reload(devl, dest, action, limit, request.ext_ack())?;
    drop(netns);

    // A reply is for who asked for a certain action or limit; older clients do not expect one.
    if !attrs.has(attr::RELOAD_ACTION) && !attrs.has(attr::RELOAD_LIMITS) {
        return Ok(());
    }
    reply.send(cmd::RELOAD, |w| {
        devl.devlink().put_handle(w)?;
        let performed = Bitfield32 {
            value: performed.bits(),
            selector: performed.bits(),
        };
        w.put_bitfield32(attr::RELOAD_ACTIONS_PERFORMED, performed)
    })
}

/// The namespace that a request names: `net/devlink/dev.c: devlink_netns_get`.
fn netns_get(attrs: Attrs<'_>, caller: &dyn Caller) -> Result<Option<NetnsRef>, Error> {
    let pid = attrs.get_u32(attr::NETNS_PID);
    let fd = attrs.get_u32(attr::NETNS_FD);
    let id = attrs.get_u32(attr::NETNS_ID);
    let found = match (pid, fd, id) {
        (None, None, None) => return Ok(None),
        (Some(pid), None, None) => caller.netns_by_pid(pid),
        (None, Some(fd), None) => caller.netns_by_fd(fd),
        (None, None, Some(id)) => caller.netns_by_id(id),
        _ => {
            return Err(Error::with_msg(
                Errno::INVAL,
                "multiple netns identifying attributes specified",
            ));
        }
    };
    let netns = found.map_err(|_| Error::with_msg(Errno::INVAL, "Unknown network namespace"))?;
    if !netns.capable_net_admin {
        return Err(Errno::PERM.into());
    }
    Ok(Some(netns))
}
