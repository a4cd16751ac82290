//! The network devices of a namespace, in the order in which they came, by name and by index (`net->dev_base_head`,
//! `net->dev_name_head`, `net->dev_index_head`).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::netdev::Netdev;

/// A device's place in its namespace's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place(u64);

/// See the module.
///
/// Names and indexes are those that the devices have when they come, or when they are said to be renamed. What the real kernel
/// does is heard of one after the other: two devices may have the same name for a moment, and the later one has it.
#[derive(Default)]
pub(crate) struct Devices {
    by_place: BTreeMap<Place, Arc<Netdev>>,
    by_name: HashMap<String, Place>,
    by_index: HashMap<u32, Place>,
    next: u64,
}

impl Devices {
    /// Adds a device behind all others.
    pub(crate) fn add(&mut self, dev: &Arc<Netdev>) -> Place {
        let place = Place(self.next);
        self.next += 1;
        self.by_place.insert(place, Arc::clone(dev));
        self.by_name.insert(dev.name(), place);
        self.by_index.insert(dev.ifindex(), place);
        place
    }

    /// Removes the device of this place.
    pub(crate) fn remove(&mut self, place: Place) {
        if let Some(dev) = self.by_place.remove(&place) {
            forget(&mut self.by_name, &dev.name(), place);
            forget(&mut self.by_index, &dev.ifindex(), place);
        }
    }

    /// The device of this place was called `old` until now.
    pub(crate) fn renamed(&mut self, place: Place, old: &str) {
        if let Some(dev) = self.by_place.get(&place) {
            forget(&mut self.by_name, old, place);
            self.by_name.insert(dev.name(), place);
        }
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<&Arc<Netdev>> {
        self.by_place.get(self.by_name.get(name)?)
    }

    pub(crate) fn by_index(&self, ifindex: u32) -> Option<&Arc<Netdev>> {
        self.by_place.get(self.by_index.get(&ifindex)?)
    }

    /// In the order in which they came.
    pub(crate) fn all(&self) -> Vec<Arc<Netdev>> {
        self.by_place.values().cloned().collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_place.is_empty()
    }
}

/// Removes the key, unless it has become another's.
fn forget<K, Q>(keys: &mut HashMap<K, Place>, key: &Q, place: Place)
where
    K: std::borrow::Borrow<Q> + std::hash::Hash + Eq,
    Q: std::hash::Hash + Eq + ?Sized,
{
    if keys.get(key) == Some(&place) {
        keys.remove(key);
    }
}
