//! The instance of a line card (`core_linecard_dev.c`).
//!
//! A card has devices of its own, whose firmware is seen and changed through an instance that is nested in the card's slot. It is
//! there as long as the slot is provisioned, and says more while the card works.

use std::sync::{Arc, PoisonError};

use devlink::{Devl, Devlink, InfoReq, Ops, Subsystem};
use driver_core::{Device, Driver, LockedDevice, auxiliary};
use netlink::ExtAck;
use rustix::io::Errno;

use crate::linecards::Slot;

/// The short name of a card's device on the auxiliary bus.
pub(crate) const PART_NAME: &str = "lc";

/// The driver of line cards.
pub(crate) struct LinecardDriver(Arc<Subsystem>);

impl LinecardDriver {
    pub(crate) const NAME: &str = "mlxsw_core.lc";

    pub(crate) fn new(devlink: Arc<Subsystem>) -> Self {
        Self(devlink)
    }
}

/// What the driver has of a card (`struct mlxsw_linecard_dev`).
struct LinecardDev {
    slot: Arc<Slot>,
    devlink: lockdep::Mutex<Option<Arc<Devlink>>>,
}

impl LinecardDev {
    fn devlink(&self) -> lockdep::MutexGuard<'_, Option<Arc<Devlink>>> {
        self.devlink.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Driver for LinecardDriver {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn matches(&self, device: &Device) -> bool {
        auxiliary::match_id(&[Self::NAME], device).is_some()
    }

    fn probe(&self, device: &mut LockedDevice<'_>) -> Result<(), Errno> {
        let slot = auxiliary::shared::<Slot>(device.device()).ok_or(Errno::NODEV)?;
        let linecard = slot.linecard().ok_or(Errno::NODEV)?;
        let card = Arc::new(LinecardDev {
            slot,
            devlink: lockdep::Mutex::named("mlxsw_linecard_dev->devlink", None),
        });
        let ops = CardOps(Arc::clone(&card.slot));
        let net = linecard.devlink().net();
        let devlink = self
            .0
            .alloc(Arc::new(ops), net, Arc::clone(device.device()))?;
        linecard.nested_dl_set(&devlink);
        devlink.register(device.held());
        *card.devlink() = Some(devlink);
        device.set_drvdata(card);
        Ok(())
    }

    fn remove(&self, device: &mut LockedDevice<'_>) {
        let card = device.drvdata::<LinecardDev>();
        let devlink = card.and_then(|card| card.devlink().take());
        if let Some(devlink) = devlink {
            devlink.unregister(device.held());
            devlink.free(device.held());
        }
    }
}

/// What a card does for devlink's commands: it tells about itself.
struct CardOps(Arc<Slot>);

impl Ops for CardOps {
    fn has_info(&self) -> bool {
        true
    }

    /// `core_linecards.c: mlxsw_linecard_devlink_info_get`
    fn info_get(
        &self,
        _devl: &mut Devl<'_>,
        info: &mut InfoReq<'_, '_>,
        _extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        info.version_fixed("hw.revision", "0")?;
        info.version_running("ini.version", "4")?;
        if self.0.is_active() {
            info.version_fixed("fw.psid", "MT_0000000749")?;
            info.version_running("fw", "19.2010.1312")?;
        }
        Ok(())
    }
}
