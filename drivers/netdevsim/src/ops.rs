//! What the device does for devlink's commands (`dev.c: nsim_dev_devlink_ops`).

use devlink::{Devl, InfoReq, Ops, RateOps, ReloadAction, ReloadActions, ReloadDown, ReloadLimit};
use netlink::ExtAck;
use rustix::io::Errno;

use crate::dev::{self, NsimDev};
use crate::vfs;

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
        dev::reload_create(self, devl)?;
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
        info.version_stored("fw.mgmt", FW_MGMT_VERSION)?;
        info.version_running("fw.mgmt", FW_MGMT_VERSION)
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
