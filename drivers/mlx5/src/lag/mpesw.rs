//! The ports of an adapter as one switch: representors of all functions can forward to all ports (`lag/mpesw.c`).
//!
//! The InfiniBand devices of the functions become one, that of the first function.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use lock_order::DriverLock;
use lockdep::order::{Before, Held};
use rustix::io::Errno;

use super::Lag;
use crate::core_dev::CoreDev;
use crate::dev as parts;
use crate::devcom::Component;
use crate::eswitch::Mode;

/// The most ports (`MLX5_LAG_MPESW_OFFLOADS_SUPPORTED_PORTS`).
const MAX_PORTS: usize = 4;

/// Whether it is on (`mlx5_lag_is_mpesw`).
pub(crate) fn is_enabled(dev: &CoreDev) -> bool {
    super::is_active(dev)
}

/// Makes the ports one switch (`mlx5_lag_mpesw_enable`).
///
/// # Errors
/// `EAGAIN` while a switch changes its mode, `EINVAL` when they are one already, `EOPNOTSUPP` when they cannot be.
pub(crate) fn enable<H: Before<DriverLock>>(
    dev: &Arc<CoreDev>,
    held: &mut Held<'_, H>,
) -> Result<(), Errno> {
    with_lag(dev, held, enable_mpesw)
}

/// Parts them (`mlx5_lag_mpesw_disable`).
///
/// # Errors
/// `EAGAIN` while a switch changes its mode, which users are not told.
pub(crate) fn disable<H: Before<DriverLock>>(
    dev: &Arc<CoreDev>,
    held: &mut Held<'_, H>,
) -> Result<(), Errno> {
    with_lag(dev, held, |ldev, held| {
        disable_locked(ldev, held);
        Ok(())
    })
}

/// With the adapter's lock and `&ldev->lock` held. In the kernel a work item does it, and is waited for.
fn with_lag<H: Before<DriverLock>>(
    dev: &Arc<CoreDev>,
    held: &mut Held<'_, H>,
    f: impl FnOnce(&Lag, &mut Held<'_, DriverLock>) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let Some(ldev) = super::of(dev) else {
        return Ok(());
    };
    let (_guard, mut held) = Component::of(dev).sem().write(held);
    let (state, mut held) = ldev.state.lock(&mut held);
    if state.mode_changes_in_progress > 0 {
        return Err(Errno::AGAIN);
    }
    f(&ldev, &mut held)
}

fn enable_mpesw(ldev: &Lag, held: &mut Held<'_, DriverLock>) -> Result<(), Errno> {
    if ldev.is_active() {
        return Err(Errno::INVAL);
    }
    let functions = ldev.functions();
    let Some(first) = functions.first().filter(|_| can_share(&functions)) else {
        return Err(Errno::OPNOTSUPP);
    };
    for dev in &functions {
        set_ib(dev, false, held)?;
    }
    first.info(format_args!("shared_fdb:1 mode:mpesw"));
    ldev.members().multiport = true;
    first.info(format_args!("Operation mode is single FDB"));
    let enabled = set_ib(first, true, held);
    if enabled.is_err() {
        disable_locked(ldev, held);
    }
    enabled
}

/// All ports are there, and their switches alike (`mlx5_lag_check_prereq`, `mlx5_lag_shared_fdb_supported`).
fn can_share(functions: &[Arc<CoreDev>]) -> bool {
    let Some(first) = functions.first() else {
        return false;
    };
    let ports = usize::from(first.profile().physical_functions);
    let alike = |dev: &Arc<CoreDev>| {
        dev.eswitch()
            .is_some_and(|esw| esw.mode() == Mode::Offloads)
            && dev.settings.esw_port_metadata()
            && dev.config().enable_roce == first.config().enable_roce
    };
    (2..=MAX_PORTS).contains(&ports) && functions.len() == ports && functions.iter().all(alike)
}

/// Parts the ports, if they are one switch (`mlx5_disable_lag`). With the adapter's lock and `&ldev->lock` held.
pub(super) fn disable_locked(ldev: &Lag, held: &mut Held<'_, DriverLock>) {
    if !ldev.is_active() {
        return;
    }
    let functions = ldev.functions();
    for enable in [false, true] {
        for dev in &functions {
            if set_ib(dev, enable, held).is_err() {
                dev.warn(format_args!("failed to rescan the drivers"));
            }
        }
        ldev.members().multiport = false;
    }
}

/// The function may have an InfiniBand part, or none (`MLX5_PRIV_FLAGS_DISABLE_IB_ADEV`).
fn set_ib(dev: &Arc<CoreDev>, enable: bool, held: &mut Held<'_, DriverLock>) -> Result<(), Errno> {
    dev.disable_ib_adev.store(!enable, Ordering::Release);
    parts::rescan_drivers_locked(dev, held)
}
