//! Sub-functions: slices of a physical function with their own devices, made by users (`sf/`).
//!
//! A sub-function has two ends. At the switch's there is a devlink port with a representor, made by `port add` and removed by
//! `port del` (`devlink`). At the other, while the port's function is active, there is an auxiliary device
//! `mlx5_core.sf.N` with a driver and an instance of its own (`dev`). Between them is only the firmware: each end tells it
//! what it does, and hears of the other by events (`vhca_event`), later and from a work item. So a port that was
//! deactivated is still *attached* until the other end's driver has let go, and the place of a sub-function that was deleted
//! can be used again only then (`hw_table`).
//!
//! | state in the firmware | state | opstate |
//! |---|---|---|
//! | allocated | inactive | detached |
//! | active | active | detached |
//! | in use | active | attached |
//! | tear-down requested | inactive | attached |

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, Weak};

use driver_core::Device;
use lock_order::DriverLock;
use lockdep::order::Held;

use crate::core_dev::CoreDev;
use crate::locking::DriverLocking;
use crate::module::Module;
use crate::profile::Profile;

mod dev;
mod devlink;
mod external;
mod firmware;
mod hw_table;
mod vhca_event;

pub(crate) use dev::{SfDriver, init_hca, teardown_hca};
pub(crate) use devlink::{del_all, devlink_port_del, port_new, state_get, state_set};
pub(crate) use external::{host_driver_changed, host_is_gone};
pub(crate) use firmware::VhcaState;

/// The id of the first sub-function in the firmware, which is its vport's number, too.
pub const FIRST_FUNCTION_ID: u16 = 0x8000;

/// The sub-functions of a physical function.
pub(crate) struct SfManager {
    firmware: firmware::Vhcas,
    hw_table: hw_table::HwTable,
    /// What the switch's end knows of each, by its id (`struct mlx5_sf_table`). A leaf.
    table: lockdep::Mutex<BTreeMap<u16, VhcaState>>,
    /// The auxiliary devices, by the sub-function's id (`struct mlx5_sf_dev_table`). A leaf.
    devices: lockdep::Mutex<BTreeMap<u16, Arc<Device>>>,
    events: vhca_event::VhcaEvents,
}

impl SfManager {
    pub(crate) fn new(
        module: &Module,
        dev: &Weak<CoreDev>,
        profile: &Profile,
        locking: DriverLocking,
    ) -> Self {
        SfManager {
            firmware: firmware::Vhcas::new(),
            hw_table: hw_table::HwTable::new(profile),
            table: lockdep::Mutex::named("&table->sf_state_lock", BTreeMap::new()),
            devices: lockdep::Mutex::named("&table->devices", BTreeMap::new()),
            events: vhca_event::VhcaEvents::new(module, dev, locking),
        }
    }

    fn table(&self) -> lockdep::MutexGuard<'_, BTreeMap<u16, VhcaState>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn devices(&self) -> lockdep::MutexGuard<'_, BTreeMap<u16, Arc<Device>>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the function has sub-functions with devices (`sf/dev/dev.c: mlx5_sf_dev_allocated`).
pub(crate) fn has_devices(dev: &CoreDev) -> bool {
    dev.sf().is_some_and(|sf| !sf.devices().is_empty())
}

/// From now on the function hears of its sub-functions (`sf/vhca_event.c: mlx5_vhca_event_start`).
pub(crate) fn events_start(dev: &CoreDev) {
    if let Some(sf) = dev.sf() {
        sf.events.start();
    }
}

/// The function does not hear of its sub-functions any more, and all that it has heard is done; then the devices of those that
/// are left go (`mlx5_vhca_event_stop`, `mlx5_sf_dev_table_destroy`).
pub(crate) fn events_stop(dev: &CoreDev, held: &mut Held<'_, DriverLock>) {
    if let Some(sf) = dev.sf() {
        sf.events.stop();
        dev::destroy_all(dev, sf, held);
    }
}

/// Sub-functions of which the firmware's last word was missed are forgotten (`sf/hw_table.c: mlx5_sf_hw_table_destroy`).
pub(crate) fn hw_table_destroy(dev: &CoreDev) {
    if let Some(sf) = dev.sf() {
        sf.hw_table.dealloc_all(&sf.firmware);
    }
}
