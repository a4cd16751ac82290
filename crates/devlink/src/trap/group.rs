//! Trap groups: traps that are set together and share a policer.

use std::sync::Arc;

use netlink::genl::{Batch, DumpCursor, Reply, Request};
use netlink::{Error, Writer, attr, cmd};
use rustix::io::Errno;

use super::stats::TrapStats;
use super::{GenericTrapGroup, TrapAction, TrapGroup, TrapType, action_from, action_set};
use crate::core::{Devl, Objects};
use crate::netlink::dump_items;
use crate::notify::Order;

/// A registered trap group (`struct devlink_trap_group_item`).
#[derive(Debug)]
pub(crate) struct TrapGroupItem {
    group: TrapGroup,
    /// The number of the policer that it is bound to.
    policer: Option<u32>,
    /// All that its traps have counted.
    stats: Arc<TrapStats>,
}

impl TrapGroupItem {
    pub(super) fn group(&self) -> &TrapGroup {
        &self.group
    }

    pub(super) fn stats(&self) -> &Arc<TrapStats> {
        &self.stats
    }
}

// Look-ups from a request.

/// Where the group that a request names is in the list.
fn find(objects: &Objects<'_>, request: &Request<'_>) -> Result<usize, Error> {
    let groups = &objects.state.trap_groups;
    if groups.is_empty() {
        return Err(Errno::OPNOTSUPP.into());
    }
    let name = request.attrs().get(attr::TRAP_GROUP_NAME);
    let name = name.map(|name| name.text());
    groups
        .iter()
        .position(|item| Some(item.group.name.as_bytes()) == name)
        .ok_or_else(|| Error::with_msg(Errno::NOENT, "Device did not register this trap group"))
}

// The one encoder.

/// Writes the group's attributes (`net/devlink/trap.c: devlink_nl_trap_group_fill`).
fn fill(w: &mut Writer<'_>, objects: &Objects<'_>, item: &TrapGroupItem) -> netlink::Result {
    objects.devlink().put_handle(w)?;
    w.put_str(attr::TRAP_GROUP_NAME, item.group.name)?;
    if item.group.is_generic() {
        w.put_flag(attr::TRAP_GENERIC)?;
    }
    if let Some(policer) = item.policer {
        w.put_u32(attr::TRAP_POLICER_ID, policer)?;
    }
    item.stats.put(w, None)
}

// Notifications.

fn notify(objects: &Objects<'_>, item: &TrapGroupItem, cmd: u8) {
    objects
        .devlink()
        .notify_send(None, cmd, |w| fill(w, objects, item));
}

pub(crate) fn notify_all(objects: &Objects<'_>, cmd: u8, order: Order) {
    for item in order.of(objects.state.trap_groups.iter()) {
        notify(objects, item, cmd);
    }
}

// The handlers.

pub(crate) fn get_doit(
    devl: &Devl<'_>,
    request: &Request<'_>,
    reply: &mut Reply<'_>,
) -> netlink::Result {
    let item = &devl.state.trap_groups[find(devl, request)?];
    reply.send(cmd::TRAP_GROUP_NEW, |w| fill(w, devl, item))
}

pub(crate) fn get_dump_one(
    devl: &Devl<'_>,
    cursor: &mut DumpCursor,
    batch: &mut Batch<'_>,
) -> netlink::Result {
    dump_items(&devl.state.trap_groups, cursor, |item| {
        batch.put(cmd::TRAP_GROUP_NEW, |w| fill(w, devl, item))
    })
}

/// `net/devlink/trap.c: devlink_nl_trap_group_set_doit`. The action comes first, and is not taken back if the policer fails.
pub(crate) fn set_doit(devl: &mut Devl<'_>, request: &mut Request<'_>) -> netlink::Result {
    let index = find(devl, request)?;
    let action = action_from(request)?;
    if let Some(action) = action {
        group_action_set(devl, index, action, request)?;
    }
    policer_set(devl, index, request).map_err(|error| match action {
        Some(_) => error.msg("Trap group set failed, but some changes were committed already"),
        None => error,
    })
}

/// Sets the action of all traps of a group (`net/devlink/trap.c: __devlink_trap_group_action_set`).
fn group_action_set(
    objects: &mut Objects<'_>,
    index: usize,
    action: TrapAction,
    request: &mut Request<'_>,
) -> netlink::Result {
    let (ops, group) = (objects.ops(), objects.state.trap_groups[index].group);
    let at_once = ops.trap_group_action_set(objects, &group, action, request.ext_ack())?;
    for trap in 0..objects.state.traps.len() {
        let item = &mut objects.state.traps[trap];
        if item.group_name != group.name {
            continue;
        }
        if !at_once {
            action_set(objects, trap, action, request)?;
        } else if item.action == action || item.trap().ty == TrapType::Drop {
            item.action = action;
        }
    }
    Ok(())
}

/// Binds a group to the policer that a request names, or to none (`net/devlink/trap.c: devlink_trap_group_set`).
fn policer_set(
    objects: &mut Objects<'_>,
    index: usize,
    request: &mut Request<'_>,
) -> netlink::Result {
    let Some(id) = request.attrs().get_u32(attr::TRAP_POLICER_ID) else {
        return Ok(());
    };
    let ops = objects.ops();
    if !ops.can_set_trap_groups() {
        return Err(Errno::OPNOTSUPP.into());
    }
    let policer = objects.trap_policer(id).copied();
    if id != 0 && policer.is_none() {
        return Err(super::policer::unknown());
    }
    let group = objects.state.trap_groups[index].group;
    ops.trap_group_set(objects, &group, policer.as_ref(), request.ext_ack())?;
    objects.state.trap_groups[index].policer = policer.map(|policer| policer.id);
    Ok(())
}

// The API for drivers.

impl Objects<'_> {
    /// Registers trap groups, in the order given; all or none (`devl_trap_groups_register`). Their policers are registered
    /// already.
    ///
    /// # Errors
    ///
    /// `EEXIST` if one is registered or has a generic group's name, `EINVAL` if its policer is not registered, and the driver's
    /// own.
    pub fn trap_groups_register(&mut self, groups: &[TrapGroup]) -> Result<(), Errno> {
        for (done, group) in groups.iter().enumerate() {
            if let Err(errno) = self.trap_group_register(group) {
                self.trap_groups_unregister(&groups[..done]);
                return Err(errno);
            }
        }
        Ok(())
    }

    fn trap_group_register(&mut self, group: &TrapGroup) -> Result<(), Errno> {
        let takes_generic_name = !group.is_generic()
            && GenericTrapGroup::ALL
                .iter()
                .any(|generic| generic.name() == group.name);
        if takes_generic_name || self.trap_group_position(group).is_some() {
            return Err(Errno::EXIST);
        }
        let policer = (group.init_policer != 0).then_some(group.init_policer);
        let unknown = policer.is_some_and(|policer| self.trap_policer(policer).is_none());
        if self
            .devlink()
            .warn_on(unknown, "devl_trap_groups_register", "no such trap policer")
        {
            return Err(Errno::INVAL);
        }
        let ops = self.ops();
        ops.trap_group_init(self, group)?;
        let item = TrapGroupItem {
            group: *group,
            policer,
            stats: Arc::default(),
        };
        notify(self, &item, cmd::TRAP_GROUP_NEW);
        self.state.trap_groups.push(item);
        Ok(())
    }

    /// Unregisters trap groups, the last one first (`devl_trap_groups_unregister`).
    pub fn trap_groups_unregister(&mut self, groups: &[TrapGroup]) {
        for group in groups.iter().rev() {
            let Some(index) = self.trap_group_position(group) else {
                self.devlink()
                    .warn_on(true, "devl_trap_groups_unregister", "no such trap group");
                continue;
            };
            notify(self, &self.state.trap_groups[index], cmd::TRAP_GROUP_DEL);
            self.state.trap_groups.remove(index);
        }
    }

    fn trap_group_position(&self, group: &TrapGroup) -> Option<usize> {
        self.state
            .trap_groups
            .iter()
            .position(|item| item.group.name == group.name)
    }
}
