//! Traps: packets that the device hands to the processor instead of forwarding them, or besides.
//!
//! A [`Trap`] says which packets and what is done with them, a [`TrapGroup`] puts traps together, and a [`TrapPolicer`]
//! limits how many packets of its groups come through. A driver registers policers, then groups, then traps, for each
//! refers to the one before; and reports packets to the [`TrapCtx`] that it gets for each trap.
//!
//! Users change the action of traps of the type *drop* only. To ask for another is answered with success and a warning,
//! since a group has traps of several types and its action is set for all of them at once.

use std::sync::Arc;

use netlink::genl::{Batch, DumpCursor, Reply, Request};
use netlink::{Error, ExtAck, Writer, attr, cmd};
use rustix::io::Errno;

use crate::core::{Devl, Objects};
use crate::netlink::{dump_items, warn};
use crate::notify::Order;

mod definition;
mod generic;
pub(crate) mod group;
pub(crate) mod policer;
mod stats;

pub use definition::{
    Trap, TrapAction, TrapGroup, TrapGroupId, TrapId, TrapMetadata, TrapPolicer, TrapType,
};
pub use generic::{GenericTrap, GenericTrapGroup};
pub use stats::TrapCtx;

/// A registered trap (`struct devlink_trap_item`).
#[derive(Debug)]
pub(crate) struct TrapItem {
    ctx: Arc<TrapCtx>,
    group_name: &'static str,
    action: TrapAction,
}

impl TrapItem {
    fn trap(&self) -> &Trap {
        &self.ctx.trap
    }
}

// Look-ups from a request.

/// Where the trap that a request names is in the list.
fn find(objects: &Objects<'_>, request: &Request<'_>) -> Result<usize, Error> {
    let traps = &objects.state.traps;
    if traps.is_empty() {
        return Err(Errno::OPNOTSUPP.into());
    }
    let name = request.attrs().get(attr::TRAP_NAME).map(|name| name.text());
    let is_named = |item: &TrapItem| Some(item.trap().name.as_bytes()) == name;
    traps
        .iter()
        .position(is_named)
        .ok_or_else(|| Error::with_msg(Errno::NOENT, "Device did not register this trap"))
}

/// The action that a request asks for, if it does.
fn action_from(request: &Request<'_>) -> Result<Option<TrapAction>, Error> {
    let Some(action) = request.attrs().get_u8(attr::TRAP_ACTION) else {
        return Ok(None);
    };
    match TrapAction::from_u8(action) {
        Some(action) => Ok(Some(action)),
        None => Err(Error::with_msg(Errno::INVAL, "Invalid trap action")),
    }
}

// The one encoder.

/// Writes the trap's attributes (`net/devlink/trap.c: devlink_nl_trap_fill`).
fn fill(w: &mut Writer<'_>, objects: &Objects<'_>, item: &TrapItem) -> netlink::Result {
    let (devlink, trap) = (objects.devlink(), item.trap());
    devlink.put_handle(w)?;
    w.put_str(attr::TRAP_GROUP_NAME, item.group_name)?;
    w.put_str(attr::TRAP_NAME, trap.name)?;
    w.put_u8(attr::TRAP_TYPE, trap.ty as u8)?;
    if trap.is_generic() {
        w.put_flag(attr::TRAP_GENERIC)?;
    }
    w.put_u8(attr::TRAP_ACTION, item.action as u8)?;
    w.nest(attr::TRAP_METADATA, |w| {
        if trap.metadata.in_port {
            w.put_flag(attr::trap_metadata::IN_PORT)?;
        }
        if trap.metadata.fa_cookie {
            w.put_flag(attr::trap_metadata::FA_COOKIE)?;
        }
        Ok(())
    })?;
    let dropped = objects.ops().trap_drop_counter_get(devlink, trap);
    // Whatever the driver's reason is, the kernel says that the message is too long.
    item.ctx.stats.put(w, dropped.map_err(|_| Errno::MSGSIZE)?)
}

// Notifications.

fn notify(objects: &Objects<'_>, item: &TrapItem, cmd: u8) {
    objects
        .devlink()
        .notify_send(None, cmd, |w| fill(w, objects, item));
}

pub(crate) fn notify_all(objects: &Objects<'_>, cmd: u8, order: Order) {
    for item in order.of(objects.state.traps.iter()) {
        notify(objects, item, cmd);
    }
}

// The handlers.

pub(crate) fn get_doit(
    devl: &Devl<'_>,
    request: &Request<'_>,
    reply: &mut Reply<'_>,
) -> netlink::Result {
    let item = &devl.state.traps[find(devl, request)?];
    reply.send(cmd::TRAP_NEW, |w| fill(w, devl, item))
}

pub(crate) fn get_dump_one(
    devl: &Devl<'_>,
    cursor: &mut DumpCursor,
    batch: &mut Batch<'_>,
) -> netlink::Result {
    dump_items(&devl.state.traps, cursor, |item| {
        batch.put(cmd::TRAP_NEW, |w| fill(w, devl, item))
    })
}

/// `net/devlink/trap.c: devlink_nl_trap_set_doit`
pub(crate) fn set_doit(devl: &mut Devl<'_>, request: &mut Request<'_>) -> netlink::Result {
    let index = find(devl, request)?;
    match action_from(request)? {
        Some(action) => action_set(devl, index, action, request),
        None => Ok(()),
    }
}

/// Sets a trap's action, or warns that it stays (`net/devlink/trap.c: __devlink_trap_action_set`).
fn action_set(
    objects: &mut Objects<'_>,
    index: usize,
    action: TrapAction,
    request: &mut Request<'_>,
) -> netlink::Result {
    let item = &objects.state.traps[index];
    if item.action != action && item.trap().ty != TrapType::Drop {
        warn(request, "Cannot change action of non-drop traps. Skipping");
        return Ok(());
    }
    let (ops, trap) = (objects.ops(), *item.trap());
    ops.trap_action_set(objects, &trap, action, request.ext_ack())?;
    objects.state.traps[index].action = action;
    Ok(())
}

// The API for drivers.

impl Objects<'_> {
    /// Registers traps, in the order given; all or none (`devl_traps_register`). Their groups are registered already.
    ///
    /// # Errors
    ///
    /// `EEXIST` if one is registered or has a generic trap's name, `EINVAL` if its group is not registered or the driver has no
    /// [`trap_init`](crate::Ops::trap_init), and the driver's own.
    pub fn traps_register(&mut self, traps: &[Trap]) -> Result<(), Errno> {
        for (done, trap) in traps.iter().enumerate() {
            if let Err(errno) = self.trap_register(trap) {
                for trap in traps[..done].iter().rev() {
                    self.trap_unregister(trap);
                }
                return Err(errno);
            }
        }
        Ok(())
    }

    fn trap_register(&mut self, trap: &Trap) -> Result<(), Errno> {
        let takes_generic_name = !trap.is_generic()
            && GenericTrap::ALL
                .iter()
                .any(|generic| generic.name() == trap.name);
        if takes_generic_name || self.trap_position(trap).is_some() {
            return Err(Errno::EXIST);
        }
        let group = self.state.trap_groups.iter();
        let group = group
            .map(|item| (item.group(), item.stats()))
            .find(|(group, _)| group.id == trap.group);
        let Some((group, group_stats)) = group else {
            self.devlink()
                .warn_on(true, "devl_traps_register", "no such trap group");
            return Err(Errno::INVAL);
        };
        let item = TrapItem {
            group_name: group.name,
            action: trap.init_action,
            ctx: Arc::new(TrapCtx {
                trap: *trap,
                stats: stats::TrapStats::default(),
                group_stats: Arc::clone(group_stats),
            }),
        };
        let ops = self.ops();
        ops.trap_init(self, trap, &item.ctx)?;
        notify(self, &item, cmd::TRAP_NEW);
        self.state.traps.push(item);
        Ok(())
    }

    /// Unregisters traps, the last one first, after all have got the action *drop* (`devl_traps_unregister`): a driver
    /// that reports packets afterwards reports to nobody.
    pub fn traps_unregister(&mut self, traps: &[Trap]) {
        for trap in traps.iter().rev() {
            self.trap_disable(trap);
        }
        for trap in traps.iter().rev() {
            self.trap_unregister(trap);
        }
    }

    fn trap_disable(&mut self, trap: &Trap) {
        let Some(index) = self.trap_position(trap) else {
            return;
        };
        let ops = self.ops();
        // Whether the driver can or not, the trap goes.
        _ = ops.trap_action_set(self, trap, TrapAction::Drop, &mut ExtAck::default());
        self.state.traps[index].action = TrapAction::Drop;
    }

    fn trap_unregister(&mut self, trap: &Trap) {
        let Some(index) = self.trap_position(trap) else {
            self.devlink()
                .warn_on(true, "devl_traps_unregister", "no such trap");
            return;
        };
        let item = &self.state.traps[index];
        notify(self, item, cmd::TRAP_DEL);
        self.state.traps.remove(index);
        let ops = self.ops();
        ops.trap_fini(self, trap);
    }

    fn trap_position(&self, trap: &Trap) -> Option<usize> {
        self.state
            .traps
            .iter()
            .position(|item| item.trap().name == trap.name)
    }
}
