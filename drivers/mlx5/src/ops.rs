//! What the function does for devlink's commands (`devlink.c`).

use std::sync::Arc;

use devlink::{
    Devl, InfoReq, Ops, ReloadAction, ReloadActions, ReloadDown, ReloadLimit, ReloadLimits,
};
use netlink::ExtAck;
use rustix::io::Errno;

use crate::core;
use crate::core_dev::CoreDev;
use crate::fw_reset;

impl Ops for CoreDev {
    fn reload_actions(&self) -> ReloadActions {
        ReloadActions::of(&[ReloadAction::DriverReinit, ReloadAction::FwActivate])
    }

    fn reload_limits(&self) -> ReloadLimits {
        ReloadLimits::of(&[ReloadLimit::NoReset])
    }

    fn reload_down(
        &self,
        devl: &mut Devl<'_>,
        reload: ReloadDown,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        devlink_reload_down(&self.this(), devl, reload, extack)
    }

    fn reload_up(
        &self,
        devl: &mut Devl<'_>,
        action: ReloadAction,
        limit: ReloadLimit,
        extack: &mut ExtAck,
    ) -> Result<ReloadActions, Errno> {
        devlink_reload_up(&self.this(), devl, action, limit, extack)
    }

    fn has_info(&self) -> bool {
        true
    }

    fn info_get(
        &self,
        _devl: &mut Devl<'_>,
        info: &mut InfoReq<'_, '_>,
        _extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        devlink_info_get(self, info)
    }
}

/// Serial numbers and versions. The serials came with 6.16.
fn devlink_info_get(dev: &CoreDev, info: &mut InfoReq<'_, '_>) -> Result<(), Errno> {
    let profile = dev.profile();
    if dev.module().kernel_is_at_least(6, 16) {
        info.board_serial_number(profile.board_serial_number)?;
        info.serial_number(profile.serial_number)?;
    }
    info.version_fixed("fw.psid", profile.psid)?;
    let running = dev.firmware.running().padded();
    info.version_running("fw.version", &running)?;
    info.version_running("fw", &running)?;
    let stored = dev.firmware.stored().padded();
    info.version_stored("fw.version", &stored)?;
    info.version_stored("fw", &stored)
}

#[inline(never)]
fn devlink_reload_down(
    dev: &Arc<CoreDev>,
    devl: &mut Devl<'_>,
    reload: ReloadDown,
    extack: &mut ExtAck,
) -> Result<(), Errno> {
    if dev.firmware.reset_in_progress() {
        extack.set_msg("mlx5_core: Can't reload during firmware reset");
        return Err(Errno::BUSY);
    }
    match (reload.action, reload.limit) {
        (ReloadAction::DriverReinit, _) => {
            core::unload_one(dev, devl);
            Ok(())
        }
        (ReloadAction::FwActivate, ReloadLimit::NoReset) => {
            fw_reset::trigger_fw_live_patch(dev, extack)
        }
        (ReloadAction::FwActivate, ReloadLimit::Unspec) => {
            fw_reset::reload_fw_activate(dev, devl, extack)
        }
    }
}

#[inline(never)]
fn devlink_reload_up(
    dev: &Arc<CoreDev>,
    devl: &mut Devl<'_>,
    action: ReloadAction,
    limit: ReloadLimit,
    extack: &mut ExtAck,
) -> Result<ReloadActions, Errno> {
    match (action, limit) {
        (ReloadAction::DriverReinit, _) => {
            core::load_one(dev, devl)?;
            Ok(ReloadActions::of(&[ReloadAction::DriverReinit]))
        }
        (ReloadAction::FwActivate, ReloadLimit::NoReset) => {
            Ok(ReloadActions::of(&[ReloadAction::FwActivate]))
        }
        (ReloadAction::FwActivate, ReloadLimit::Unspec) => {
            core::load_one(dev, devl)?;
            fw_reset::verify_fw_complete(dev, extack)?;
            // The driver has been initialized again on the way, and says so.
            Ok(ReloadActions::of(&[
                ReloadAction::DriverReinit,
                ReloadAction::FwActivate,
            ]))
        }
    }
}
