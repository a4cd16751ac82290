//! The switch's end of sub-functions: their ports (`sf/devlink.c`).

use std::sync::Arc;

use devlink::{Devl, Flavour, FnOpstate, FnState, NewPort, Port};
use netlink::ExtAck;
use rustix::io::Errno;

use super::{SfManager, VhcaState};
use crate::core_dev::CoreDev;
use crate::eswitch::{Change, Eswitch, Mode, Vport, VportKind};

/// What kernels before 6.5 say where no sub-function can be made.
const OLD_PORT_ADD: &str =
    "mlx5_core: Port add is only supported in eswitch switchdev mode or SF ports are disabled.";

fn refuse<T>(extack: &mut ExtAck, errno: Errno, text: &'static str) -> Result<T, Errno> {
    extack.set_msg(text);
    Err(errno)
}

impl VhcaState {
    fn is_active(self) -> bool {
        matches!(self, Self::Active | Self::InUse)
    }

    fn fn_state(self) -> FnState {
        match self {
            Self::Active | Self::InUse => FnState::Active,
            Self::Allocated | Self::TeardownRequest => FnState::Inactive,
        }
    }

    fn fn_opstate(self) -> FnOpstate {
        match self {
            Self::InUse | Self::TeardownRequest => FnOpstate::Attached,
            Self::Allocated | Self::Active => FnOpstate::Detached,
        }
    }
}

/// Makes a sub-function and its port (`mlx5_devlink_sf_port_new`).
///
/// # Errors
/// `EOPNOTSUPP` where the function cannot, in legacy mode, and for what the driver does not do; `EINVAL` for a controller that
/// is not there; `EEXIST` for a number that is taken, `ENOSPC` when there is no place; those of port and representor.
#[inline(never)]
pub(crate) fn port_new(
    dev: &Arc<CoreDev>,
    devl: &mut Devl<'_>,
    new: &NewPort,
    extack: &mut ExtAck,
) -> Result<Arc<Port>, Errno> {
    // Before 6.5 what is asked for was looked at first.
    let early = match dev.module().kernel_is_at_least(6, 5) {
        true => None,
        false => Some(check_attr(dev, new, extack)?),
    };
    let (esw, sf) = supported(dev, extack)?;
    let (controller, sfnum) = early.map_or_else(|| check_attr(dev, new, extack), Ok)?;
    if controller > u32::from(dev.is_ecpf()) {
        return refuse(extack, Errno::INVAL, "mlx5_core: Invalid controller number");
    }
    let fn_id = match sf.hw_table.alloc(&sf.firmware, controller, sfnum) {
        Err(Errno::EXIST) => {
            let text = "mlx5_core: SF already exist. Choose different sfnum";
            return refuse(extack, Errno::EXIST, text);
        }
        result => result?,
    };
    sf.table().insert(fn_id, VhcaState::Allocated);
    let vport = esw.vport_or_new(VportKind::Sf { controller, sfnum }, fn_id, dev);
    let loaded = {
        let (objects, held) = devl.parts();
        let (mut reps, mut held) = esw.reps_lock().lock(held);
        let mut change = Change {
            dev,
            esw,
            objects,
            reps: &mut reps,
            held: &mut held,
        };
        change.load_vport(&vport)
    };
    match loaded.and_then(|()| vport.port().ok_or(Errno::NODEV)) {
        Ok(port) => Ok(port),
        Err(errno) => {
            esw.forget_vport(fn_id);
            sf.table().remove(&fn_id);
            sf.hw_table.free(&sf.firmware, fn_id);
            Err(errno)
        }
    }
}

/// The switch and what makes sub-functions, if there are any to be made now (`mlx5_sf_table_supported`).
fn supported<'d>(
    dev: &'d CoreDev,
    extack: &mut ExtAck,
) -> Result<(&'d Eswitch, &'d SfManager), Errno> {
    let [never, not_now] = match dev.module().kernel_is_at_least(6, 5) {
        true => [
            "mlx5_core: SF ports are not supported.",
            "mlx5_core: SF ports are only supported in eswitch switchdev mode.",
        ],
        false => [OLD_PORT_ADD; 2],
    };
    let eswitch = &dev.profile().eswitch;
    let some = eswitch.local_sfs > 0 || eswitch.external_sfs > 0;
    let (Some(esw), Some(sf), true) = (dev.eswitch(), dev.sf(), some) else {
        return refuse(extack, Errno::OPNOTSUPP, never);
    };
    if esw.mode() != Mode::Offloads {
        return refuse(extack, Errno::OPNOTSUPP, not_now);
    }
    Ok((esw, sf))
}

/// What is asked for, if the driver does such a thing (`mlx5_sf_new_check_attr`).
fn check_attr(dev: &CoreDev, new: &NewPort, extack: &mut ExtAck) -> Result<(u32, u32), Errno> {
    let mut unsupported = |text| refuse(extack, Errno::OPNOTSUPP, text);
    if new.flavour != Flavour::PCI_SF {
        return unsupported("mlx5_core: Driver supports only SF port addition");
    }
    if new.port_index.is_some() {
        return unsupported(
            "mlx5_core: Driver does not support user defined port index assignment",
        );
    }
    let Some(sfnum) = new.sfnum else {
        return unsupported(
            "mlx5_core: User must provide unique sfnum. Driver does not support auto assignment",
        );
    };
    let controller = new.controller.unwrap_or(0);
    if controller != 0 && !dev.is_ecpf() {
        return unsupported("mlx5_core: External controller is unsupported");
    }
    if new.pfnum != u16::from(dev.dev_index()) {
        return unsupported("mlx5_core: Invalid pfnum supplied");
    }
    Ok((controller, sfnum))
}

/// Removes a sub-function's port, and the sub-function when its driver has let go (`mlx5_devlink_sf_port_del`).
#[inline(never)]
pub(crate) fn devlink_port_del(dev: &Arc<CoreDev>, devl: &mut Devl<'_>, vport: &Arc<Vport>) {
    let Some(esw) = dev.eswitch() else { return };
    let (objects, held) = devl.parts();
    let (mut reps, mut held) = esw.reps_lock().lock(held);
    let mut change = Change {
        dev,
        esw,
        objects,
        reps: &mut reps,
        held: &mut held,
    };
    del(&mut change, vport);
}

/// Removes all sub-functions' ports: the switch leaves switchdev mode (`mlx5_sf_del_all`).
pub(crate) fn del_all(change: &mut Change<'_, '_, '_, '_>) {
    let Some(sf) = change.dev.sf() else { return };
    let all: Vec<u16> = sf.table().keys().copied().collect();
    for fn_id in all {
        if let Some(vport) = change.esw.vport(fn_id) {
            del(change, &vport);
        }
    }
}

/// `mlx5_sf_del`
fn del(change: &mut Change<'_, '_, '_, '_>, vport: &Arc<Vport>) {
    let Some(sf) = change.dev.sf() else { return };
    change.unload_vport(vport);
    let fn_id = vport.number();
    change.esw.forget_vport(fn_id);
    let state = sf.table().remove(&fn_id);
    match state {
        None => {}
        Some(VhcaState::Allocated) => sf.hw_table.free(&sf.firmware, fn_id),
        Some(state) => {
            // Active may mean that it is being taken into use right now: only the firmware knows when it is over. The event
            // comes after the place is marked, or it would find nothing to free.
            let asked_back = state.is_active() && sf.firmware.disable_hca(fn_id).is_ok();
            sf.hw_table.deferred_free(&sf.firmware, fn_id);
            if asked_back {
                sf.events.raise(fn_id);
            }
        }
    }
}

/// Whether the function is to be active, and whether a driver has it (`mlx5_devlink_sf_port_fn_state_get`).
///
/// # Errors
/// `ENODEV` when the sub-function is going.
pub(crate) fn state_get(dev: &CoreDev, vport: &Vport) -> Result<(FnState, FnOpstate), Errno> {
    let state = dev
        .sf()
        .and_then(|sf| sf.table().get(&vport.number()).copied());
    // Once the port is being removed nobody is there to be active.
    let state = state.unwrap_or(VhcaState::Allocated);
    Ok((state.fn_state(), state.fn_opstate()))
}

/// Activates or deactivates the function; the one that it is in already is fine (`mlx5_sf_state_set`).
///
/// # Errors
/// `EBUSY` for one that was deactivated and is still in use; what the firmware says.
pub(crate) fn state_set(
    dev: &CoreDev,
    vport: &Vport,
    wanted: FnState,
    extack: &mut ExtAck,
) -> Result<(), Errno> {
    let sf = dev.sf().ok_or(Errno::OPNOTSUPP)?;
    let fn_id = vport.number();
    let mut table = sf.table();
    let state = table.get_mut(&fn_id).ok_or(Errno::NODEV)?;
    if state.fn_state() == wanted {
        return Ok(());
    }
    match wanted {
        FnState::Active if *state != VhcaState::Allocated => {
            let text = "mlx5_core: SF is inactivated but it is still attached";
            return refuse(extack, Errno::BUSY, text);
        }
        FnState::Active => {
            vport.info().set_max_io_eqs_of_sf();
            sf.firmware.enable_hca(fn_id)?;
            *state = VhcaState::Active;
        }
        FnState::Inactive => {
            sf.firmware.disable_hca(fn_id)?;
            *state = VhcaState::TeardownRequest;
        }
    }
    drop(table);
    sf.events.raise(fn_id);
    Ok(())
}

/// The firmware has said something: only what can follow is believed (`mlx5_sf_vhca_event`).
pub(super) fn vhca_event(sf: &SfManager, fn_id: u16, new: VhcaState) {
    if let Some(state) = sf.table().get_mut(&fn_id) {
        let follows = matches!(
            (*state, new),
            (VhcaState::Active, VhcaState::InUse)
                | (VhcaState::InUse, VhcaState::Active)
                | (VhcaState::TeardownRequest, VhcaState::Allocated)
        );
        if follows {
            *state = new;
        }
    }
}
