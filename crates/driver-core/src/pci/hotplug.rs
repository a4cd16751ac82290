//! Functions that are taken off the bus while they are plugged in, and found again (`remove` and `rescan` of
//! `drivers/pci/pci-sysfs.c`).

use std::sync::{Arc, PoisonError};

use lock_order::DeviceLock;
use lockdep::order::{Before, Held};

use super::{PciBusType, add_function, function, sriov};
use crate::bus::Bus;
use crate::device::Device;

/// What a rescan finds: the lock is held as long as a removal or a rescan takes, so that each finds the other's work done.
pub(super) struct Removed(lockdep::Mutex<Vec<Arc<Device>>>);

impl Default for Removed {
    fn default() -> Self {
        Removed(lockdep::Mutex::named("pci_rescan_remove_lock", Vec::new()))
    }
}

impl Removed {
    fn lock(&self) -> lockdep::MutexGuard<'_, Vec<Arc<Device>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The functions that were removed from this bus, if it is one of PCI.
fn removed(bus: &Bus) -> Option<&Removed> {
    let pci = bus.bus_type().as_any()?.downcast_ref::<PciBusType>()?;
    Some(&pci.removed)
}

/// Takes a function off the bus, after its driver has given it up (`pci_stop_and_remove_bus_device_locked`). Does nothing if
/// somebody else was first.
pub fn remove<H: Before<DeviceLock>>(bus: &Bus, held: &mut Held<'_, H>, device: &Arc<Device>) {
    let Some(removed) = removed(bus) else {
        return;
    };
    let mut removed = removed.lock();
    let found = bus.find_device(device.name());
    if !found.is_some_and(|found| Arc::ptr_eq(&found, device)) {
        return;
    }
    bus.remove_device(held, device);
    // A virtual function answers no scan: its physical one makes it.
    if sriov::physfn(device).is_none() {
        removed.push(Arc::clone(device));
    }
}

/// Finds the functions that are plugged in and not on the bus, in the order of their addresses (`pci_rescan_bus`).
pub fn rescan<H: Before<DeviceLock>>(bus: &Bus, held: &mut Held<'_, H>) {
    let Some(removed) = removed(bus) else {
        return;
    };
    let mut removed = removed.lock();
    let mut found = std::mem::take(&mut *removed);
    found.sort_by_key(|device| function(device).map(|function| function.address));
    found.retain(|device| {
        let Some(function) = function(device) else {
            return false;
        };
        // An address that is taken by now stays so.
        add_function(bus, held, device.parent().cloned(), function.clone()).is_err()
    });
    *removed = found;
}
