//! Firmware activation: how the stored firmware becomes the running one (`fw_reset.c`).
//!
//! Either the firmware patches itself while everything runs (`limit no_reset`), or all functions of the adapter agree on a
//! reset, PCI link included, after which the driver loads each again. The function that was asked to do it is loaded by its
//! own reload; the others, of this host or of another that has asked, do it from a work item and count it as a *remote*
//! reload.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use devlink::{Devl, ReloadAction, ReloadActions, ReloadLimit};
use driver_core::{Work, Workqueue};
use lockdep::order::{Held, Unlocked};
use netlink::ExtAck;
use rustix::io::Errno;

use crate::core;
use crate::core_dev::CoreDev;
use crate::fault::Fault;
use crate::module::Module;

/// What a physical function does when the firmware is reset (`struct mlx5_fw_reset`).
pub(crate) struct FwReset {
    in_progress: AtomicBool,
    /// Requests for a reset are answered (`MLX5_FW_RESET_FLAGS_DROP_NEW_REQUESTS` is clear).
    listens: AtomicBool,
    wq: Workqueue,
    /// Another function or host has reset the firmware.
    reload_work: Work,
}

impl FwReset {
    pub(crate) fn new(module: &Module, dev: &Weak<CoreDev>) -> Self {
        FwReset {
            in_progress: AtomicBool::new(false),
            listens: AtomicBool::new(false),
            wq: Workqueue::alloc_ordered(module.driver_core().workers(), "mlx5_fw_reset_events"),
            reload_work: Work::on(
                "(work_completion)(&fw_reset->reset_reload_work)",
                Weak::clone(dev),
                mlx5_sync_reset_reload_work,
            ),
        }
    }
}

impl CoreDev {
    /// A reset has been agreed on and is not over (`mlx5_fw_reset_in_progress`).
    pub(crate) fn reset_in_progress(&self) -> bool {
        let in_progress = self
            .fw_reset
            .as_ref()
            .is_some_and(|reset| reset.in_progress.load(Ordering::Acquire));
        in_progress || self.faults().fires(Fault::FwReset)
    }

    fn set_reset_in_progress(&self, in_progress: bool) {
        if let Some(reset) = &self.fw_reset {
            reset.in_progress.store(in_progress, Ordering::Release);
        }
    }
}

/// From now on the function answers requests for a reset (`fw_reset.c: mlx5_fw_reset_events_start`).
pub(crate) fn events_start(dev: &CoreDev) {
    if let Some(reset) = &dev.fw_reset {
        reset.listens.store(true, Ordering::Release);
    }
}

/// From now on it does not (`mlx5_fw_reset_events_stop`).
pub(crate) fn events_stop(dev: &CoreDev) {
    if let Some(reset) = &dev.fw_reset {
        reset.listens.store(false, Ordering::Release);
    }
}

/// The driver gives the function up: what was under way is done (`mlx5_drain_fw_reset`).
pub(crate) fn drain(dev: &CoreDev) {
    events_stop(dev);
    if let Some(reset) = &dev.fw_reset {
        reset.reload_work.cancel_sync();
    }
}

/// The first half of `action fw_activate`: agree on the reset, go through it, and unload.
///
/// # Errors
/// `EINVAL` when the stored firmware needs a reboot, `EPERM` when another function or host does not agree; with the text that
/// says so.
#[inline(never)]
pub(crate) fn reload_fw_activate(
    dev: &Arc<CoreDev>,
    devl: &mut Devl<'_>,
    extack: &mut ExtAck,
) -> Result<(), Errno> {
    if !dev.profile().reset_levels.pci_reset {
        extack.set_msg("mlx5_core: FW activate requires reboot");
        return Err(Errno::INVAL);
    }
    let peers = peers(dev);
    if !all_agree(&peers) || dev.faults().fires(Fault::ResetNack) {
        extack.set_msg("mlx5_core: One of the hosts disabled reset");
        return Err(Errno::PERM);
    }
    dev.set_reset_in_progress(true);
    sync_reset_now(dev);
    dev.firmware().boot();
    for peer in &peers {
        queue_reload(peer);
    }
    dev.set_reset_in_progress(false);
    core::unload_one(dev, devl);
    Ok(())
}

fn sync_reset_now(dev: &CoreDev) {
    dev.warn(format_args!(
        "PCI Sync FW Update Reset Ack. Device reset is expected."
    ));
    dev.warn(format_args!("Sync Reset now. Device is going to reset."));
    dev.info(format_args!("PCI Link up"));
}

/// The other physical functions of the adapter.
fn peers(dev: &CoreDev) -> Vec<Arc<CoreDev>> {
    dev.hca_devcom_comp()
        .map_or_else(Vec::new, |component| component.peers(dev))
}

/// Asks these functions whether the firmware may be reset; who says no says so in the log
/// (`mlx5_sync_reset_request_event`).
fn all_agree(functions: &[Arc<CoreDev>]) -> bool {
    let no = |dev: &&Arc<CoreDev>| !dev.settings.enable_remote_dev_reset();
    for dev in functions.iter().filter(no) {
        dev.warn(format_args!("PCI Sync FW Update Reset Nack Sent"));
    }
    !functions.iter().any(|dev| no(&dev))
}

/// Another host wants to activate a firmware: every physical function of the adapter is asked, and goes through the reset if
/// all agree.
pub(crate) fn remote_reset(dev: &Arc<CoreDev>) {
    let mut functions = vec![Arc::clone(dev)];
    functions.extend(peers(dev));
    if !all_agree(&functions) {
        return;
    }
    dev.firmware().boot();
    for function in &functions {
        queue_reload(function);
    }
}

fn queue_reload(dev: &CoreDev) {
    if let Some(reset) = &dev.fw_reset {
        if reset.listens.load(Ordering::Acquire) {
            reset.in_progress.store(true, Ordering::Release);
            reset.wq.queue(&reset.reload_work);
        }
    }
}

/// What a function does that has not asked for the reset (`mlx5_fw_reset_complete_reload`).
#[inline(never)]
fn mlx5_sync_reset_reload_work(dev: &Arc<CoreDev>, held: &mut Held<'_, Unlocked>) {
    let devlink = dev.devlink();
    let mut devl = devlink.lock(held);
    if !devl.is_registered() {
        return;
    }
    sync_reset_now(dev);
    core::unload_one(dev, &mut devl);
    if let Err(errno) = core::load_one(dev, &mut devl) {
        dev.err(format_args!(
            "mlx5_load_one failed with error code {}",
            -errno.raw_os_error()
        ));
    }
    devl.remote_reload_actions_performed(
        ReloadLimit::Unspec,
        ReloadActions::of(&[ReloadAction::DriverReinit, ReloadAction::FwActivate]),
    );
    dev.set_reset_in_progress(false);
}

/// After the reset: the firmware says whether it went well.
///
/// # Errors
/// `EIO`, with the text, when the running firmware is not the stored one.
pub(crate) fn verify_fw_complete(dev: &CoreDev, extack: &mut ExtAck) -> Result<(), Errno> {
    if dev.firmware().running() == dev.firmware().stored() {
        return Ok(());
    }
    extack.set_msg("mlx5_core: Sync reset did not complete successfully");
    Err(Errno::IO)
}

/// `action fw_activate limit no_reset`: the firmware patches itself, the driver stays loaded.
///
/// # Errors
/// `EINVAL` when this firmware cannot, with the text that says so.
#[inline(never)]
pub(crate) fn trigger_fw_live_patch(dev: &CoreDev, extack: &mut ExtAck) -> Result<(), Errno> {
    if !dev.profile().reset_levels.live_patch {
        extack.set_msg("mlx5_core: FW upgrade to the stored FW can't be done by FW live patching");
        return Err(Errno::INVAL);
    }
    let version = dev.firmware().boot();
    dev.info(format_args!(
        "Live patch updated firmware version: {version}"
    ));
    Ok(())
}
