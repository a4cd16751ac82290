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

use crate::core::Devl;
use crate::dev::InfoReq;
use crate::port::{NewPort, Port};
use crate::rate::{NoRateOps, RateOps};
use crate::reload::{ReloadAction, ReloadActions, ReloadDown, ReloadLimit, ReloadLimits};

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

    /// Writes serial numbers and versions into the reply of `INFO_GET`; the driver's name is added by the core.
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
