//! What the switch does for devlink's commands (`core.c: mlxsw_devlink_ops`).

use devlink::{
    Devl, InfoReq, Ops, RateOps, ReloadAction, ReloadActions, ReloadDown, ReloadLimit, SbOps,
    SelftestId, SelftestStatus,
};
use netlink::ExtAck;
use rustix::io::Errno;

use crate::device::{self, Spectrum};

/// The firmware that the switch runs.
const FW_VERSION: &str = "30.2012.1012";

impl Ops for Spectrum {
    fn reload_actions(&self) -> ReloadActions {
        ReloadActions::of(&[ReloadAction::DriverReinit, ReloadAction::FwActivate])
    }

    fn reload_down(
        &self,
        devl: &mut Devl<'_>,
        _reload: ReloadDown,
        _extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        // Nothing is up after a reload that has failed.
        if !devl.is_reload_failed() {
            device::fini(self, devl);
        }
        Ok(())
    }

    /// The firmware starts anew each time, so both actions are always done.
    fn reload_up(
        &self,
        devl: &mut Devl<'_>,
        _action: ReloadAction,
        _limit: ReloadLimit,
        _extack: &mut ExtAck,
    ) -> Result<ReloadActions, Errno> {
        device::init(self, devl)?;
        Ok(self.reload_actions())
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
        info.version_fixed("hw.revision", "A0")?;
        info.version_fixed("fw.psid", "MT_0000000957")?;
        info.version_running("fw.version", FW_VERSION)?;
        info.version_running("fw", FW_VERSION)
    }

    fn has_selftests(&self) -> bool {
        true
    }

    fn selftest_check(&self, _devl: &mut Devl<'_>, id: SelftestId, _extack: &mut ExtAck) -> bool {
        id == SelftestId::Flash
    }

    fn selftest_run(
        &self,
        _devl: &mut Devl<'_>,
        _id: SelftestId,
        _extack: &mut ExtAck,
    ) -> SelftestStatus {
        SelftestStatus::Pass
    }

    fn sb_ops(&self) -> &dyn SbOps {
        self
    }

    fn rate_ops(&self) -> &dyn RateOps {
        self
    }
}
