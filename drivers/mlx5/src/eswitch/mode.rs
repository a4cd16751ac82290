//! The eswitch commands: mode, inline mode, encapsulation (`eswitch_offloads.c: mlx5_devlink_eswitch_*`).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use devlink::{Devl, Objects};
use driver_core::pci;
use lock_order::DriverLock;
use lockdep::order::Held;
use netlink::ExtAck;
use rustix::io::Errno;

use super::{Change, Eswitch, INLINE_NONE, Mode};
use crate::core_dev::CoreDev;
use crate::devcom::Component;
use crate::fault::Fault;
use crate::{dev as parts, lag, traps};

/// `DEVLINK_ESWITCH_MODE_*`
const LEGACY: u16 = 0;
const SWITCHDEV: u16 = 1;
const SWITCHDEV_INACTIVE: u16 = 2;

/// The function's switch, for a command on it.
///
/// # Errors
/// `EOPNOTSUPP` for a function that has none.
fn eswitch(dev: &CoreDev) -> Result<&Eswitch, Errno> {
    dev.eswitch().ok_or(Errno::OPNOTSUPP)
}

fn refuse<T>(extack: &mut ExtAck, errno: Errno, text: &'static str) -> Result<T, Errno> {
    extack.set_msg(text);
    Err(errno)
}

/// `mlx5_devlink_eswitch_mode_get`
pub(crate) fn mode_get(dev: &CoreDev) -> Result<u16, Errno> {
    let state = eswitch(dev)?.state();
    Ok(match (state.mode, state.inactive) {
        (Mode::Legacy, _) => LEGACY,
        (Mode::Offloads, false) => SWITCHDEV,
        (Mode::Offloads, true) => SWITCHDEV_INACTIVE,
    })
}

/// `mlx5_devlink_eswitch_mode_set`
///
/// # Errors
/// `EBUSY` during a firmware reset and while somebody needs the mode; `EINVAL` for an unknown mode and when the uplink's
/// network device is in another namespace than the instance; `EOPNOTSUPP` while traps are active; those of ports and
/// representors.
#[inline(never)]
pub(crate) fn mode_set(
    dev: &Arc<CoreDev>,
    devl: &mut Devl<'_>,
    mode: u16,
    extack: &mut ExtAck,
) -> Result<(), Errno> {
    let esw = eswitch(dev)?;
    if dev.reset_in_progress() {
        let text = "mlx5_core: Can't change eswitch mode during firmware reset";
        return refuse(extack, Errno::BUSY, text);
    }
    let has_inactive = dev.module().kernel_is_at_least(6, 19);
    let wanted = match mode {
        LEGACY => Mode::Legacy,
        SWITCHDEV => Mode::Offloads,
        SWITCHDEV_INACTIVE if has_inactive => Mode::Offloads,
        _ => return Err(Errno::INVAL),
    };
    // Between active and inactive it is not the mode that changes: nobody is asked.
    if wanted == Mode::Offloads && esw.mode() == Mode::Offloads {
        set_inactive(dev, esw, mode == SWITCHDEV_INACTIVE);
        return Ok(());
    }
    let (objects, held) = devl.parts();
    lag::disable_change(dev, held);
    let result = change_mode(dev, esw, objects, held, wanted, mode, extack);
    lag::enable_change(dev, held);
    result
}

/// Whether the firmware refuses switchdev mode.
fn is_refused(dev: &CoreDev) -> bool {
    let has_bound_vf = || {
        let vfs = pci::sriov::virtfns(dev.device());
        vfs.iter().any(|vf| vf.driver().is_some())
    };
    let faults = dev.faults();
    (has_bound_vf() && faults.fires(Fault::VfBound)) || faults.fires(Fault::EswitchFail)
}

fn set_inactive(dev: &CoreDev, esw: &Eswitch, inactive: bool) {
    let changed = {
        let mut state = esw.state();
        std::mem::replace(&mut state.inactive, inactive) != inactive
    };
    if changed {
        log_fdb(dev, inactive);
    }
}

fn log_fdb(dev: &CoreDev, inactive: bool) {
    if dev.module().kernel_is_at_least(6, 19) {
        let state = if inactive { "inactive" } else { "active" };
        dev.warn(format_args!("E-Switch: MPFS/FDB {state}"));
    }
}

fn change_mode(
    dev: &Arc<CoreDev>,
    esw: &Eswitch,
    objects: &mut Objects<'_>,
    held: &mut Held<'_, lock_order::DevlinkLock>,
    wanted: Mode,
    mode: u16,
    extack: &mut ExtAck,
) -> Result<(), Errno> {
    if dev.faults().fires(Fault::EswitchBusy) || !try_begin(esw) {
        let text = "mlx5_core: Can't change mode, E-Switch is busy";
        return refuse(extack, Errno::BUSY, text);
    }
    // Whatever happens, the operation is over when this is dropped.
    let _operation = Operation(esw);
    if esw.mode() == wanted {
        return Ok(());
    }
    if wanted == Mode::Offloads && is_refused(dev) {
        let text = "mlx5_core: Failed setting eswitch to offloads";
        return refuse(extack, Errno::INVAL, text);
    }
    let follows = dev
        .uplink
        .netdev(held)
        .is_none_or(|netdev| netdev.net() == dev.devlink().net());
    if wanted == Mode::Offloads && !follows {
        let text = "mlx5_core: Can't change E-Switch mode to switchdev when netdev net namespace has diverged from the devlink's.";
        return refuse(extack, Errno::INVAL, text);
    }
    let (mut reps, mut reps_held) = esw.reps_lock.lock(held);
    let num_vfs = esw.num_own_vfs(dev);
    Change {
        dev,
        esw,
        objects,
        reps: &mut reps,
        held: &mut reps_held,
    }
    .disable_locked();
    drop((reps, reps_held));
    if wanted == Mode::Offloads && traps::num_active(dev) > 0 {
        let text = "mlx5_core: Can't change mode while devlink traps are active";
        return refuse(extack, Errno::OPNOTSUPP, text);
    }
    esw.state().inactive = mode == SWITCHDEV_INACTIVE;
    match wanted {
        Mode::Offloads => offloads_start(dev, esw, objects, held, num_vfs, extack),
        Mode::Legacy => offloads_stop(dev, esw, objects, held, num_vfs, extack),
    }
}

/// `eswitch.c: mlx5_esw_try_lock`, and what the caller does then: the lock is not kept, the flag says that it is at work.
fn try_begin(esw: &Eswitch) -> bool {
    let Some(mut in_progress) = esw.mode_lock.try_lock() else {
        return false;
    };
    if *in_progress || esw.users.load(Ordering::Acquire) > 0 {
        return false;
    }
    *in_progress = true;
    true
}

/// A change of mode that is under way (`eswitch_operation_in_progress`).
struct Operation<'a>(&'a Eswitch);

impl Drop for Operation<'_> {
    fn drop(&mut self) {
        loop {
            if let Some(mut in_progress) = self.0.mode_lock.try_lock() {
                *in_progress = false;
                return;
            }
            // Only ever held for an instant, to look at it.
            std::thread::yield_now();
        }
    }
}

/// `eswitch_offloads.c: esw_offloads_start`
fn offloads_start(
    dev: &Arc<CoreDev>,
    esw: &Eswitch,
    objects: &mut Objects<'_>,
    held: &mut Held<'_, lock_order::DevlinkLock>,
    num_vfs: u16,
    extack: &mut ExtAck,
) -> Result<(), Errno> {
    mode_change(dev, esw, held, Mode::Offloads);
    log_fdb(dev, esw.state().inactive);
    let enabled = enable(dev, esw, objects, held, num_vfs);
    if enabled.is_err() {
        extack.set_msg("mlx5_core: Failed setting eswitch to offloads");
        mode_change(dev, esw, held, Mode::Legacy);
    }
    enabled
}

/// `eswitch_offloads.c: esw_offloads_stop`: without virtual functions nothing is enabled in legacy mode.
fn offloads_stop(
    dev: &Arc<CoreDev>,
    esw: &Eswitch,
    objects: &mut Objects<'_>,
    held: &mut Held<'_, lock_order::DevlinkLock>,
    num_vfs: u16,
    extack: &mut ExtAck,
) -> Result<(), Errno> {
    mode_change(dev, esw, held, Mode::Legacy);
    if num_vfs == 0 {
        return Ok(());
    }
    let enabled = enable(dev, esw, objects, held, num_vfs);
    if enabled.is_err() {
        extack.set_msg("mlx5_core: Failed setting eswitch to legacy");
    }
    enabled
}

fn enable(
    dev: &Arc<CoreDev>,
    esw: &Eswitch,
    objects: &mut Objects<'_>,
    held: &mut Held<'_, lock_order::DevlinkLock>,
    num_vfs: u16,
) -> Result<(), Errno> {
    let (mut reps, mut held) = esw.reps_lock.lock(held);
    let mut change = Change {
        dev,
        esw,
        objects,
        reps: &mut reps,
        held: &mut held,
    };
    change.enable_locked(num_vfs)
}

/// The mode itself, between two looks at the parts: the InfiniBand part goes before, representors' parts come after
/// (`eswitch_offloads.c: esw_mode_change`). Without `reps_lock`, which the parts' drivers take.
#[inline(never)]
fn mode_change(
    dev: &Arc<CoreDev>,
    esw: &Eswitch,
    held: &mut Held<'_, lock_order::DevlinkLock>,
    mode: Mode,
) {
    let rescan = |held: &mut Held<'_, DriverLock>| {
        if parts::rescan_drivers_locked(dev, held).is_err() {
            dev.warn(format_args!("failed to rescan the drivers"));
        }
    };
    let (_guard, mut held) = Component::of(dev).sem().write(held);
    dev.disable_ib_adev.store(true, Ordering::Release);
    rescan(&mut held);
    esw.state().mode = mode;
    dev.disable_ib_adev.store(false, Ordering::Release);
    rescan(&mut held);
}

/// `mlx5_devlink_eswitch_inline_mode_get`
pub(crate) fn inline_mode_get(dev: &CoreDev) -> Result<u8, Errno> {
    Ok(eswitch(dev)?.state().inline_mode)
}

/// `mlx5_devlink_eswitch_inline_mode_set`
///
/// # Errors
/// `EOPNOTSUPP` where the hardware needs no headers inline and others than none are asked for; `EINVAL` for an unknown mode.
pub(crate) fn inline_mode_set(dev: &CoreDev, mode: u8, extack: &mut ExtAck) -> Result<(), Errno> {
    let esw = eswitch(dev)?;
    if !dev.profile().eswitch.inline_link {
        if mode == INLINE_NONE {
            return Ok(());
        }
        let text = "mlx5_core: Inline mode can't be set";
        return refuse(extack, Errno::OPNOTSUPP, text);
    }
    if mode > 3 {
        return Err(Errno::INVAL);
    }
    esw.state().inline_mode = mode;
    Ok(())
}

/// `mlx5_devlink_eswitch_encap_mode_get`
pub(crate) fn encap_mode_get(dev: &CoreDev) -> Result<u8, Errno> {
    Ok(u8::from(eswitch(dev)?.state().encap))
}

/// `mlx5_devlink_eswitch_encap_mode_set`
///
/// # Errors
/// `EOPNOTSUPP` for an unknown mode.
pub(crate) fn encap_mode_set(dev: &CoreDev, mode: u8) -> Result<(), Errno> {
    let esw = eswitch(dev)?;
    let encap = match mode {
        0 => false,
        1 => true,
        _ => return Err(Errno::OPNOTSUPP),
    };
    esw.state().encap = encap;
    Ok(())
}
