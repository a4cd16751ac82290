//! What the function does for devlink's commands (`devlink.c`).

use std::sync::Arc;

use devlink::{
    Devl, FlashUpdate, InfoReq, NewPort, Objects, Ops, Port, RateOps, ReloadAction, ReloadActions,
    ReloadDown, ReloadLimit, ReloadLimits,
};
use devlink::{Trap, TrapAction, TrapCtx};
use driver_core::pci;
use netlink::ExtAck;
use rustix::io::Errno;

use crate::core_dev::CoreDev;
use crate::eswitch::mode;
use crate::fault::Fault;
use crate::profile::FwVersion;
use crate::{core, fw_flash, fw_reset, health, lag, sf, traps};

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

    fn eswitch_mode_get(&self, _devl: &mut Devl<'_>) -> Result<Option<u16>, Errno> {
        mode::mode_get(self).map(Some)
    }

    fn eswitch_mode_set(
        &self,
        devl: &mut Devl<'_>,
        mode: u16,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        mode::mode_set(&self.this(), devl, mode, extack)
    }

    fn eswitch_inline_mode_get(&self, _devl: &mut Devl<'_>) -> Result<Option<u8>, Errno> {
        mode::inline_mode_get(self).map(Some)
    }

    fn eswitch_inline_mode_set(
        &self,
        _devl: &mut Devl<'_>,
        mode: u8,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        mode::inline_mode_set(self, mode, extack)
    }

    fn eswitch_encap_mode_get(&self, _devl: &mut Devl<'_>) -> Result<Option<u8>, Errno> {
        mode::encap_mode_get(self).map(Some)
    }

    fn eswitch_encap_mode_set(
        &self,
        _devl: &mut Devl<'_>,
        mode: u8,
        _extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        mode::encap_mode_set(self, mode)
    }

    fn rate_ops(&self) -> &dyn RateOps {
        self
    }

    fn trap_init(
        &self,
        _objects: &mut Objects<'_>,
        trap: &Trap,
        _trap_ctx: &Arc<TrapCtx>,
    ) -> Result<(), Errno> {
        traps::init(self, trap);
        Ok(())
    }

    fn trap_fini(&self, _objects: &mut Objects<'_>, trap: &Trap) {
        traps::fini(self, trap);
    }

    fn trap_action_set(
        &self,
        _objects: &mut Objects<'_>,
        trap: &Trap,
        action: TrapAction,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        traps::action_set(&self.this(), trap, action, extack)
    }

    fn can_create_ports(&self) -> bool {
        true
    }

    fn port_new(
        &self,
        devl: &mut Devl<'_>,
        new: &NewPort,
        extack: &mut ExtAck,
    ) -> Result<Arc<Port>, Errno> {
        sf::port_new(&self.this(), devl, new, extack)
    }

    fn can_flash(&self) -> bool {
        true
    }

    fn flash_update(
        &self,
        devl: &mut Devl<'_>,
        update: &FlashUpdate<'_>,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        fw_flash::mlx5_firmware_flash(self, devl, update, extack)
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
    // Of a virtual or sub-function there is nothing to tell.
    if !dev.is_pf() {
        return Ok(());
    }
    let profile = dev.profile();
    if dev.module().kernel_is_at_least(6, 16) {
        info.board_serial_number(&profile.board_serial_number)?;
        info.serial_number(&profile.serial_number)?;
    }
    info.version_fixed("fw.psid", &profile.psid)?;
    let running = dev.firmware().running().padded();
    info.version_running("fw.version", &running)?;
    info.version_running("fw", &running)?;
    let stored = match dev.firmware().pending() {
        Ok(pending) => pending.map_or(running, FwVersion::padded),
        Err(state) => {
            dev.warn(format_args!(
                "mcqs: can't read pending fw version while fw state is {state}"
            ));
            dev.warn(format_args!(
                "failed to query pending image, err {}",
                -Errno::NODATA.raw_os_error()
            ));
            FwVersion::UNKNOWN.padded()
        }
    };
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
    if dev.reset_in_progress() {
        extack.set_msg("mlx5_core: Can't reload during firmware reset");
        return Err(Errno::BUSY);
    }
    if dev.is_lightweight() {
        if reload.action != ReloadAction::DriverReinit {
            return Err(Errno::OPNOTSUPP);
        }
        core::unload_one_light(dev);
        return Ok(());
    }
    if sf::has_devices(dev) && !dev.module().kernel_is_at_least(6, 4) {
        extack.set_msg("mlx5_core: reload is unsupported when SFs are allocated");
        return Err(Errno::OPNOTSUPP);
    }
    // Newer kernels take the aggregation apart instead.
    if lag::is_active(dev) && !dev.module().kernel_is_at_least(7, 0) {
        extack.set_msg("mlx5_core: reload is unsupported in Lag mode");
        return Err(Errno::OPNOTSUPP);
    }
    if reload.action == ReloadAction::FwActivate && !dev.is_pf() {
        extack.set_msg("mlx5_core: FW activate is unsupported for this function");
        return Err(Errno::OPNOTSUPP);
    }
    if pci::sriov::num_vfs(dev.device()) > 0 {
        extack.set_msg("mlx5_core: reload while VFs are present is unfavorable");
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
    if let Some(errno) = dev.faults().value(Fault::ReloadUp) {
        // A number of an error, as the grammar of faults has checked.
        return Err(Errno::from_raw_os_error(i32::try_from(errno).unwrap_or(5)));
    }
    match (action, limit) {
        (ReloadAction::DriverReinit, _) => {
            match dev.is_lightweight() {
                true => {
                    health::fw_reporters_create(dev, devl)?;
                    core::init_one_devl_locked(dev, devl)?;
                }
                false => core::load_one(dev, devl)?,
            }
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
