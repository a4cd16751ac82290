//! What the device does for devlink's commands (`dev.c: nsim_dev_devlink_ops`).

use std::sync::Arc;

use devlink::{
    Devl, Devlink, FlashUpdate, InfoReq, Objects, Ops, RateOps, ReloadAction, ReloadActions,
    ReloadDown, ReloadLimit, Trap, TrapAction, TrapCtx, TrapGroup, TrapPolicer, VersionType,
};
use netlink::ExtAck;
use rustix::io::Errno;

use crate::dev::{self, NsimDev};
use crate::{flash, traps, vfs};

/// The version of the simulated management firmware.
const FW_MGMT_VERSION: &str = "10.20.30";

impl Ops for NsimDev {
    fn reload_actions(&self) -> ReloadActions {
        ReloadActions::of(&[ReloadAction::DriverReinit])
    }

    /// `dev.c: nsim_dev_reload_down`
    fn reload_down(
        &self,
        devl: &mut Devl<'_>,
        _reload: ReloadDown,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        if self.debugfs().dont_allow_reload.get() {
            extack.set_msg("netdevsim: User forbid the reload for testing purposes");
            return Err(Errno::OPNOTSUPP);
        }
        dev::reload_destroy(self, devl);
        Ok(())
    }

    /// `dev.c: nsim_dev_reload_up`
    fn reload_up(
        &self,
        devl: &mut Devl<'_>,
        _action: ReloadAction,
        _limit: ReloadLimit,
        extack: &mut ExtAck,
    ) -> Result<ReloadActions, Errno> {
        if self.debugfs().fail_reload.get() {
            extack.set_msg("netdevsim: User setup the reload to fail for testing purposes");
            return Err(Errno::INVAL);
        }
        dev::reload_create(self, devl, extack)?;
        Ok(ReloadActions::of(&[ReloadAction::DriverReinit]))
    }

    fn has_info(&self) -> bool {
        true
    }

    /// `dev.c: nsim_dev_info_get`
    fn info_get(
        &self,
        _devl: &mut Devl<'_>,
        info: &mut InfoReq<'_, '_>,
        _extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        info.version_stored_ext("fw.mgmt", FW_MGMT_VERSION, VersionType::Component)?;
        info.version_running_ext("fw.mgmt", FW_MGMT_VERSION, VersionType::Component)
    }

    fn can_flash(&self) -> bool {
        true
    }

    fn can_overwrite(&self) -> bool {
        true
    }

    fn flash_update(
        &self,
        devl: &mut Devl<'_>,
        update: &FlashUpdate<'_>,
        _extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        flash::update(self, devl, update)
    }

    fn trap_init(
        &self,
        _objects: &mut Objects<'_>,
        trap: &Trap,
        trap_ctx: &Arc<TrapCtx>,
    ) -> Result<(), Errno> {
        traps::trap_init(self, trap, trap_ctx)
    }

    fn trap_action_set(
        &self,
        _objects: &mut Objects<'_>,
        trap: &Trap,
        action: TrapAction,
        _extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        traps::trap_action_set(self, trap, action)
    }

    fn trap_drop_counter_get(&self, _: &Devlink, _: &Trap) -> Result<Option<u64>, Errno> {
        traps::trap_drop_counter_get(self)
    }

    fn can_set_trap_groups(&self) -> bool {
        true
    }

    fn trap_group_set(
        &self,
        _objects: &mut Objects<'_>,
        _group: &TrapGroup,
        _policer: Option<&TrapPolicer>,
        _extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        traps::trap_group_set(self)
    }

    fn can_set_trap_policers(&self) -> bool {
        true
    }

    fn trap_policer_set(
        &self,
        _objects: &mut Objects<'_>,
        _policer: &TrapPolicer,
        _rate: u64,
        _burst: u64,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        traps::trap_policer_set(self, extack)
    }

    fn trap_policer_counter_get(
        &self,
        _: &Devlink,
        policer: &TrapPolicer,
    ) -> Result<Option<u64>, Errno> {
        traps::trap_policer_counter_get(self, policer)
    }

    fn eswitch_mode_get(&self, _devl: &mut Devl<'_>) -> Result<Option<u16>, Errno> {
        Ok(Some(self.esw_mode()))
    }

    fn eswitch_mode_set(
        &self,
        devl: &mut Devl<'_>,
        mode: u16,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        vfs::eswitch_mode_set(self, devl, mode, extack)
    }

    fn rate_ops(&self) -> &dyn RateOps {
        self
    }
}
