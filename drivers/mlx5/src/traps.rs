//! The function's packet traps (`devlink.c: mlx5_traps_arr`): two drops of its receive side.
//!
//! They live as long as the function is loaded. Only *drop* and *trap* can be chosen, and nothing in switchdev mode, where
//! the eswitch decides; while one of them traps, the eswitch cannot become so.

use std::sync::{Arc, PoisonError};

use devlink::{
    GenericTrap, GenericTrapGroup, Objects, Trap, TrapAction, TrapGroup, TrapId, TrapMetadata,
};
use netlink::ExtAck;
use rustix::io::Errno;

use crate::core_dev::CoreDev;
use crate::eswitch::Mode;
use crate::locking::DriverLocking;

const GROUPS: [TrapGroup; 1] = [TrapGroup::generic(GenericTrapGroup::L2Drops, 0)];

const TRAPS: [Trap; 2] = [
    drop(GenericTrap::IngressVlanFilter),
    drop(GenericTrap::DmacFilter),
];

const fn drop(trap: GenericTrap) -> Trap {
    let group = GenericTrapGroup::L2Drops;
    Trap::generic(trap, TrapAction::Drop, group, TrapMetadata::IN_PORT)
}

/// What the driver knows of its traps (`dev->priv.traps`). A leaf.
pub(crate) type Actions = lockdep::Mutex<Vec<(TrapId, TrapAction)>>;

pub(crate) fn no_actions() -> Actions {
    lockdep::Mutex::named("dev->priv.traps", Vec::new())
}

/// Registers the traps (`devlink.c: mlx5_devlink_traps_register`).
///
/// # Errors
/// `EEXIST` when they are registered.
pub(crate) fn register(dev: &CoreDev, objects: &mut Objects<'_>) -> Result<(), Errno> {
    if dev.locking() == DriverLocking::November2021 {
        // Not every way to load has the instance locked then.
        return Ok(());
    }
    objects.trap_groups_register(&GROUPS)?;
    let registered = objects.traps_register(&TRAPS);
    if registered.is_err() {
        objects.trap_groups_unregister(&GROUPS);
    }
    registered
}

/// Takes them back (`devlink.c: mlx5_devlink_traps_unregister`).
pub(crate) fn unregister(dev: &CoreDev, objects: &mut Objects<'_>) {
    if dev.locking() == DriverLocking::November2021 {
        return;
    }
    objects.traps_unregister(&TRAPS);
    objects.trap_groups_unregister(&GROUPS);
}

fn actions(dev: &CoreDev) -> lockdep::MutexGuard<'_, Vec<(TrapId, TrapAction)>> {
    dev.traps.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A trap begins (`devlink.c: mlx5_devlink_trap_init`).
pub(crate) fn init(dev: &CoreDev, trap: &Trap) {
    actions(dev).push((trap.id(), TrapAction::Drop));
}

/// A trap ends (`devlink.c: mlx5_devlink_trap_fini`).
pub(crate) fn fini(dev: &CoreDev, trap: &Trap) {
    actions(dev).retain(|(id, _)| *id != trap.id());
}

/// `devlink.c: mlx5_devlink_trap_action_set`
///
/// # Errors
/// `EOPNOTSUPP` in switchdev mode and for other actions than drop and trap.
pub(crate) fn action_set(
    dev: &Arc<CoreDev>,
    trap: &Trap,
    action: TrapAction,
    extack: &mut ExtAck,
) -> Result<(), Errno> {
    if dev
        .eswitch()
        .is_some_and(|esw| esw.mode() == Mode::Offloads)
    {
        extack.set_msg("mlx5_core: Devlink traps can't be set in switchdev mode");
        return Err(Errno::OPNOTSUPP);
    }
    if !matches!(action, TrapAction::Drop | TrapAction::Trap) {
        return Err(Errno::OPNOTSUPP);
    }
    let mut actions = actions(dev);
    let known = actions.iter_mut().find(|(id, _)| *id == trap.id());
    known.ok_or(Errno::INVAL)?.1 = action;
    Ok(())
}

/// How many traps trap (`devlink.c: mlx5_devlink_trap_get_num_active`).
pub(crate) fn num_active(dev: &CoreDev) -> usize {
    let actions = actions(dev);
    let trapping = actions
        .iter()
        .filter(|(_, action)| *action == TrapAction::Trap);
    trapping.count()
}
