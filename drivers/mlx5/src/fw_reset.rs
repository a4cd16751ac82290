//! Firmware activation: how the stored firmware becomes the running one (`fw_reset.c`).
//!
//! Either the firmware patches itself while everything runs (`limit no_reset`), or all functions agree on a reset, PCI
//! link included, after which the driver loads again.

use std::sync::{Arc, PoisonError};

use devlink::Devl;
use netlink::ExtAck;
use rustix::io::Errno;

use crate::core;
use crate::core_dev::CoreDev;
use crate::profile::{FwVersion, Profile};

/// The firmware of a function, as far as a driver sees it.
#[derive(Debug)]
pub(crate) struct Firmware {
    state: lockdep::Mutex<FirmwareState>,
}

#[derive(Debug)]
struct FirmwareState {
    running: FwVersion,
    stored: FwVersion,
    reset_in_progress: bool,
    /// Requests for a reset are answered (`MLX5_FW_RESET_FLAGS_DROP_NEW_REQUESTS` is clear).
    listens: bool,
}

impl Firmware {
    pub(crate) fn new(profile: &Profile) -> Self {
        Firmware {
            state: lockdep::Mutex::named(
                "mlx5 firmware",
                FirmwareState {
                    running: profile.fw_running,
                    stored: profile.fw_stored,
                    reset_in_progress: false,
                    listens: false,
                },
            ),
        }
    }

    /// The version that runs.
    pub(crate) fn running(&self) -> FwVersion {
        self.state().running
    }

    /// The version that would run after an activation.
    pub(crate) fn stored(&self) -> FwVersion {
        self.state().stored
    }

    /// A reset has been agreed on and is not over.
    pub(crate) fn reset_in_progress(&self) -> bool {
        self.state().reset_in_progress
    }

    fn state(&self) -> lockdep::MutexGuard<'_, FirmwareState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// From now on the function answers requests for a reset (`fw_reset.c: mlx5_fw_reset_events_start`).
pub(crate) fn events_start(dev: &CoreDev) {
    dev.firmware.state().listens = true;
}

/// From now on it does not (`mlx5_fw_reset_events_stop`).
pub(crate) fn events_stop(dev: &CoreDev) {
    dev.firmware.state().listens = false;
}

/// The first half of `action fw_activate`: agree on the reset, go through it, and unload.
///
/// # Errors
/// `EINVAL` when the stored firmware needs a reboot, with the text that says so.
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
    dev.firmware.state().reset_in_progress = true;
    dev.warn(format_args!(
        "PCI Sync FW Update Reset Ack. Device reset is expected."
    ));
    dev.warn(format_args!("Sync Reset now. Device is going to reset."));
    {
        let mut state = dev.firmware.state();
        state.running = state.stored;
        state.reset_in_progress = false;
    }
    dev.info(format_args!("PCI Link up"));
    core::unload_one(dev, devl);
    Ok(())
}

/// After the reset: the firmware says whether it went well.
///
/// # Errors
/// `EIO`, with the text, when the running firmware is not the stored one.
pub(crate) fn verify_fw_complete(dev: &CoreDev, extack: &mut ExtAck) -> Result<(), Errno> {
    let state = dev.firmware.state();
    if state.running == state.stored {
        return Ok(());
    }
    drop(state);
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
    let version = {
        let mut state = dev.firmware.state();
        state.running = state.stored;
        state.running
    };
    dev.info(format_args!(
        "Live patch updated firmware version: {version}"
    ));
    Ok(())
}
