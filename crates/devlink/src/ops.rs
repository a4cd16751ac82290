//! The driver's side of an instance.
//!
//! A driver implements [`Ops`] for its private state and hands it to [`Subsystem::alloc`](crate::Subsystem::alloc). All
//! operations are called with the instance locked: the locked instance comes as an argument, and with it the permission to
//! take what the declared lock order allows after `&devlink->lock` ([`Devl::held`](crate::Devl::held)).
//!
//! A default method means what a NULL pointer means in the kernel's `struct devlink_ops`: the device does not have that.
//! Texts for the user go into `extack`; a driver puts its module's name in front (`"netdevsim: ..."`), as `NL_SET_ERR_MSG_MOD`
//! does.

use std::sync::Arc;

use netlink::ExtAck;
use rustix::io::Errno;

use crate::core::{Devl, Devlink, Objects};
use crate::flash::FlashUpdate;
use crate::info::InfoReq;
use crate::port::{NewPort, Port};
use crate::rate::{NoRateOps, RateOps};
use crate::reload::{ReloadAction, ReloadActions, ReloadDown, ReloadLimit, ReloadLimits};
use crate::sb::{NoSbOps, SbOps};
use crate::selftests::{SelftestId, SelftestStatus};
use crate::trap::{Trap, TrapAction, TrapCtx, TrapGroup, TrapPolicer};

/// What a driver does for the commands on an instance.
pub trait Ops: Send + Sync + 'static {
    /// The reload actions that the driver can do. None: the device cannot be reloaded.
    fn reload_actions(&self) -> ReloadActions {
        ReloadActions::NONE
    }

    /// The reload limits that the driver can keep.
    fn reload_limits(&self) -> ReloadLimits {
        ReloadLimits::NONE
    }

    /// First half of a reload: tear down what [`reload_up`](Self::reload_up) makes again. Parameters and resources stay.
    ///
    /// The device lock is held too. Called also at the end of the instance's namespace, even for a driver that states no
    /// reload action.
    ///
    /// # Errors
    ///
    /// On an error nothing has changed and the reload ends.
    fn reload_down(
        &self,
        devl: &mut Devl<'_>,
        reload: ReloadDown,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let _ = (devl, reload, extack);
        Err(Errno::OPNOTSUPP)
    }

    /// Second half of a reload; returns the actions that were performed, at least `action`.
    ///
    /// # Errors
    ///
    /// On an error the instance stays registered, marked "reload failed", and another reload is the way out.
    fn reload_up(
        &self,
        devl: &mut Devl<'_>,
        action: ReloadAction,
        limit: ReloadLimit,
        extack: &mut ExtAck,
    ) -> Result<ReloadActions, Errno> {
        let _ = (devl, action, limit, extack);
        Err(Errno::OPNOTSUPP)
    }

    /// Whether the driver has anything to tell of the device: whether [`info_get`](Self::info_get) exists.
    fn has_info(&self) -> bool {
        false
    }

    /// Writes serial numbers and versions into the reply of `INFO_GET`; the driver's name is added by the core. Versions of
    /// the type [`Component`](crate::VersionType::Component) are also what a user can flash by name.
    ///
    /// # Errors
    ///
    /// Fails the request; in a dump, `EOPNOTSUPP` leaves the instance out.
    fn info_get(
        &self,
        devl: &mut Devl<'_>,
        info: &mut InfoReq<'_, '_>,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let _ = (devl, info, extack);
        Ok(())
    }

    /// Whether firmware can be flashed: whether [`flash_update`](Self::flash_update) exists.
    fn can_flash(&self) -> bool {
        false
    }

    /// Whether a flash can overwrite sections that it otherwise keeps (`DEVLINK_SUPPORT_FLASH_UPDATE_OVERWRITE_MASK`).
    fn can_overwrite(&self) -> bool {
        false
    }

    /// Flashes the device, and tells how far it is through [`Objects::flash_update_status_notify`]. May take as long as it
    /// takes; the instance is locked, and nothing else.
    ///
    /// # Errors
    ///
    /// Fails the request; the users are told the end of the flash all the same.
    fn flash_update(
        &self,
        devl: &mut Devl<'_>,
        update: &FlashUpdate<'_>,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let _ = (devl, update, extack);
        Err(Errno::OPNOTSUPP)
    }

    /// Whether the device can test itself: whether the other two of these exist.
    fn has_selftests(&self) -> bool {
        false
    }

    /// Whether the device has this test.
    fn selftest_check(&self, devl: &mut Devl<'_>, id: SelftestId, extack: &mut ExtAck) -> bool {
        let _ = (devl, id, extack);
        false
    }

    /// Runs a test that the device has.
    fn selftest_run(
        &self,
        devl: &mut Devl<'_>,
        id: SelftestId,
        extack: &mut ExtAck,
    ) -> SelftestStatus {
        let _ = (devl, id, extack);
        SelftestStatus::Skip
    }

    /// A trap is being registered: the driver takes what it will report packets to. Mandatory for a driver with traps.
    ///
    /// # Errors
    ///
    /// Fails the registration.
    fn trap_init(
        &self,
        objects: &mut Objects<'_>,
        trap: &Trap,
        trap_ctx: &Arc<TrapCtx>,
    ) -> Result<(), Errno> {
        let _ = (objects, trap, trap_ctx);
        Err(Errno::INVAL)
    }

    /// A trap has been unregistered.
    fn trap_fini(&self, objects: &mut Objects<'_>, trap: &Trap) {
        let _ = (objects, trap);
    }

    /// Changes a trap's action. Mandatory for a driver with traps.
    ///
    /// # Errors
    ///
    /// Fails the request; the action stays.
    fn trap_action_set(
        &self,
        objects: &mut Objects<'_>,
        trap: &Trap,
        action: TrapAction,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let _ = (objects, trap, action, extack);
        Err(Errno::OPNOTSUPP)
    }

    /// How many packets the device has dropped in a trap; `None` if it does not count them. Also called for notifications:
    /// the driver may take locks that are leaves, no declared ones.
    ///
    /// # Errors
    ///
    /// Fails the request, with `EMSGSIZE` whatever it is.
    fn trap_drop_counter_get(&self, devlink: &Devlink, trap: &Trap) -> Result<Option<u64>, Errno> {
        let _ = (devlink, trap);
        Ok(None)
    }

    /// A trap group is being registered.
    ///
    /// # Errors
    ///
    /// Fails the registration.
    fn trap_group_init(&self, objects: &mut Objects<'_>, group: &TrapGroup) -> Result<(), Errno> {
        let _ = (objects, group);
        Ok(())
    }

    /// Whether groups can be bound to policers: whether [`trap_group_set`](Self::trap_group_set) exists.
    fn can_set_trap_groups(&self) -> bool {
        false
    }

    /// Binds a group to a policer, or to none.
    ///
    /// # Errors
    ///
    /// Fails the request; the group stays bound as it was.
    fn trap_group_set(
        &self,
        objects: &mut Objects<'_>,
        group: &TrapGroup,
        policer: Option<&TrapPolicer>,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let _ = (objects, group, policer, extack);
        Err(Errno::OPNOTSUPP)
    }

    /// Changes the action of all traps of a group at once; `false` if it is to be done trap by trap.
    ///
    /// # Errors
    ///
    /// Fails the request; all actions stay.
    fn trap_group_action_set(
        &self,
        objects: &mut Objects<'_>,
        group: &TrapGroup,
        action: TrapAction,
        extack: &mut ExtAck,
    ) -> Result<bool, Errno> {
        let _ = (objects, group, action, extack);
        Ok(false)
    }

    /// A trap policer is being registered.
    ///
    /// # Errors
    ///
    /// Fails the registration.
    fn trap_policer_init(
        &self,
        objects: &mut Objects<'_>,
        policer: &TrapPolicer,
    ) -> Result<(), Errno> {
        let _ = (objects, policer);
        Ok(())
    }

    /// A trap policer has been unregistered.
    fn trap_policer_fini(&self, objects: &mut Objects<'_>, policer: &TrapPolicer) {
        let _ = (objects, policer);
    }

    /// Whether policers can be changed: whether [`trap_policer_set`](Self::trap_policer_set) exists.
    fn can_set_trap_policers(&self) -> bool {
        false
    }

    /// Changes a policer's rate (packets per second) and burst (packets), which are within its limits.
    ///
    /// # Errors
    ///
    /// Fails the request; the policer stays as it was.
    fn trap_policer_set(
        &self,
        objects: &mut Objects<'_>,
        policer: &TrapPolicer,
        rate: u64,
        burst: u64,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let _ = (objects, policer, rate, burst, extack);
        Err(Errno::OPNOTSUPP)
    }

    /// How many packets a policer has dropped; `None` if it does not count them. As for
    /// [`trap_drop_counter_get`](Self::trap_drop_counter_get).
    ///
    /// # Errors
    ///
    /// Fails the request, with `EMSGSIZE` whatever it is.
    fn trap_policer_counter_get(
        &self,
        devlink: &Devlink,
        policer: &TrapPolicer,
    ) -> Result<Option<u64>, Errno> {
        let _ = (devlink, policer);
        Ok(None)
    }

    /// The eswitch's mode (`enum devlink_eswitch_mode`); `None` if the device has no such setting.
    ///
    /// # Errors
    ///
    /// Fails the request.
    fn eswitch_mode_get(&self, devl: &mut Devl<'_>) -> Result<Option<u16>, Errno> {
        let _ = devl;
        Ok(None)
    }

    /// Changes the eswitch's mode.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP`, without a text, if the device has no such setting.
    fn eswitch_mode_set(
        &self,
        devl: &mut Devl<'_>,
        mode: u16,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let _ = (devl, mode, extack);
        Err(Errno::OPNOTSUPP)
    }

    /// The eswitch's inline mode (`enum devlink_eswitch_inline_mode`); `None` if the device has no such setting.
    ///
    /// # Errors
    ///
    /// Fails the request.
    fn eswitch_inline_mode_get(&self, devl: &mut Devl<'_>) -> Result<Option<u8>, Errno> {
        let _ = devl;
        Ok(None)
    }

    /// Changes the eswitch's inline mode.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP`, without a text, if the device has no such setting.
    fn eswitch_inline_mode_set(
        &self,
        devl: &mut Devl<'_>,
        mode: u8,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let _ = (devl, mode, extack);
        Err(Errno::OPNOTSUPP)
    }

    /// The eswitch's encapsulation mode (`enum devlink_eswitch_encap_mode`); `None` if the device has no such setting.
    ///
    /// # Errors
    ///
    /// Fails the request.
    fn eswitch_encap_mode_get(&self, devl: &mut Devl<'_>) -> Result<Option<u8>, Errno> {
        let _ = devl;
        Ok(None)
    }

    /// Changes the eswitch's encapsulation mode.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP`, without a text, if the device has no such setting.
    fn eswitch_encap_mode_set(
        &self,
        devl: &mut Devl<'_>,
        mode: u8,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let _ = (devl, mode, extack);
        Err(Errno::OPNOTSUPP)
    }

    /// What the driver does for rate objects (the `rate_*` operations).
    fn rate_ops(&self) -> &dyn RateOps {
        &NoRateOps
    }

    /// What the driver does for shared buffers (the `sb_*` operations).
    fn sb_ops(&self) -> &dyn SbOps {
        &NoSbOps
    }

    /// Whether users can create ports: whether [`port_new`](Self::port_new) exists.
    fn can_create_ports(&self) -> bool {
        false
    }

    /// Creates and registers the port that a user asked for.
    ///
    /// # Errors
    ///
    /// Fails the request; nothing is left behind.
    fn port_new(
        &self,
        devl: &mut Devl<'_>,
        new: &NewPort,
        extack: &mut ExtAck,
    ) -> Result<Arc<Port>, Errno> {
        let _ = (devl, new, extack);
        Err(Errno::OPNOTSUPP)
    }
}
