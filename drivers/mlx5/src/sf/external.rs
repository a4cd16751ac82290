//! Sub-functions for the host on the other side of a DPU. Their devices appear there: its driver takes and leaves them like the
//! own one does those of this host, and only the firmware's states tell of it.

use super::{SfManager, VhcaState};
use crate::core_dev::CoreDev;

/// Whether a sub-function is for the host.
pub(super) fn is_external(dev: &CoreDev, fn_id: u16) -> bool {
    fn_id >= super::FIRST_FUNCTION_ID + dev.profile().eswitch.local_sfs
}

/// The firmware has said something, to the host too: its driver takes what is active and gives back what it is asked for.
pub(super) fn state_change_handler(dev: &CoreDev, sf: &SfManager, fn_id: u16, state: VhcaState) {
    let is_attached = dev.host().is_some_and(|host| host.is_attached());
    let changed = match state {
        VhcaState::Active if is_attached => sf.firmware.init_hca(fn_id),
        VhcaState::TeardownRequest => sf.firmware.teardown_hca(fn_id),
        VhcaState::Active | VhcaState::Allocated | VhcaState::InUse => return,
    };
    if changed.is_ok() {
        sf.events.raise(fn_id);
    }
}

/// The host has its physical function from now on, or has it no longer: its driver takes all sub-functions that are active,
/// or lets go of all that it has.
pub(crate) fn host_driver_changed(dev: &CoreDev, has_function: bool) {
    let Some(sf) = dev.sf() else { return };
    for fn_id in sf.firmware.all() {
        if !is_external(dev, fn_id) {
            continue;
        }
        let changed = match has_function {
            true => sf.firmware.init_hca(fn_id),
            false => sf.firmware.teardown_hca(fn_id),
        };
        // Those in another state have nothing to do.
        if changed.is_ok() {
            sf.events.raise(fn_id);
        }
    }
}

/// The host has let go of its physical function, and with it of all that it had in use, even if the events that say so were
/// missed (`mlx5_sf_table_esw_changed_event_handler`, `mlx5_sf_hw_table_esw_changed_event_handler`).
pub(crate) fn host_is_gone(dev: &CoreDev) {
    let Some(sf) = dev.sf() else { return };
    for (fn_id, state) in sf.table().iter_mut() {
        if !is_external(dev, *fn_id) {
            continue;
        }
        *state = match *state {
            VhcaState::InUse => VhcaState::Active,
            VhcaState::TeardownRequest => VhcaState::Allocated,
            state => state,
        };
    }
    sf.hw_table.host_is_gone(&sf.firmware);
}
