//! The devices of a bus, in the order they were added, and by name.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::device::Device;

/// The list that the kernel walks, and an index of it: buses here have many more devices than real ones.
#[derive(Default)]
pub(super) struct Devices {
    by_place: BTreeMap<u64, Arc<Device>>,
    places: HashMap<Box<str>, u64>,
    next_place: u64,
}

impl Devices {
    /// In the order they were added.
    pub(super) fn all(&self) -> Vec<Arc<Device>> {
        self.by_place.values().cloned().collect()
    }

    pub(super) fn find(&self, name: &str) -> Option<&Arc<Device>> {
        self.by_place.get(self.places.get(name)?)
    }

    /// Adds a device after all others; `false` if there is one of that name.
    pub(super) fn add(&mut self, device: &Arc<Device>) -> bool {
        if self.places.contains_key(device.name()) {
            return false;
        }
        self.places.insert(device.name().into(), self.next_place);
        self.by_place.insert(self.next_place, Arc::clone(device));
        self.next_place += 1;
        true
    }

    /// Removes this device, not another one of its name.
    pub(super) fn remove(&mut self, device: &Arc<Device>) -> Option<Arc<Device>> {
        let found = self.find(device.name())?;
        if !Arc::ptr_eq(found, device) {
            return None;
        }
        let place = self.places.remove(device.name())?;
        self.by_place.remove(&place)
    }
}
