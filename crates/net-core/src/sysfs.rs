//! Network devices in sysfs (`net/core/net-sysfs.c`): the directory `net/` of a device, with those of its network devices
//! that are in the namespace of who looks; and `/sys/class/net/`.
//!
//! The directory is there, for everybody, as long as the device has a network device anywhere; its entries are looked up, so
//! a rename or a move shows at once.

use std::sync::{Arc, Weak};

use driver_core::Device;
use kernfs::{Directory, DynamicEntry, Kind, View};

use crate::core::NetCore;
use crate::net::{NetId, lock};
use crate::netdev::Netdev;

mod attributes;
mod dir;

use dir::NetdevDir;

/// The class's name, and that of the directory.
const CLASS: &str = "net";

impl NetCore {
    /// A device has been registered (`netdev_register_kobject`).
    pub(crate) fn show_netdev(&self, dev: &Arc<Netdev>) {
        lock(&self.class_net).push(Arc::clone(dev));
        if let Some(parent) = dev.parent() {
            parent.get_glue_dir(CLASS, || NetDir {
                core: Arc::downgrade(&self.arc()),
                parent: Arc::downgrade(parent),
            });
        }
    }

    /// A device is being unregistered (`netdev_unregister_kobject`).
    pub(crate) fn hide_netdev(&self, dev: &Arc<Netdev>) {
        let mut all = lock(&self.class_net);
        let Some(place) = all.iter().position(|other| Arc::ptr_eq(other, dev)) else {
            return;
        };
        all.swap_remove(place);
        drop(all);
        if let Some(parent) = dev.parent() {
            parent.put_glue_dir(CLASS);
        }
    }

    /// The registered devices that fit, of whichever namespace.
    fn shown(&self, fits: impl Fn(&Netdev) -> bool) -> Vec<Arc<Netdev>> {
        let all = lock(&self.class_net);
        all.iter().filter(|dev| fits(dev)).cloned().collect()
    }
}

/// Where the device's directory is, from the top.
fn place(dev: &Netdev) -> Option<String> {
    let parent = dev.parent()?.dir()?.node().path();
    Some(format!("{parent}/{CLASS}/{}", dev.name()))
}

/// The directory `net/` of a device.
struct NetDir {
    core: Weak<NetCore>,
    parent: Weak<Device>,
}

impl NetDir {
    fn find(&self, view: View, fits: impl Fn(&str) -> bool) -> Vec<Arc<Netdev>> {
        let Some(core) = self.core.upgrade() else {
            return Vec::new();
        };
        core.shown(|dev| {
            let is_child = dev
                .parent()
                .is_some_and(|parent| std::ptr::eq(Arc::as_ptr(parent), self.parent.as_ptr()));
            is_child && dev.read(|state| state.net.id() == NetId(view.0) && fits(&state.name))
        })
    }
}

impl Directory for NetDir {
    fn lookup(&self, view: View, name: &str) -> Option<DynamicEntry> {
        let core = self.core.upgrade()?;
        let dev = self.find(view, |other| other == name).pop()?;
        Some(DynamicEntry {
            id: Arc::as_ptr(&dev).addr() as u64,
            mode: 0o755,
            kind: Kind::dynamic(NetdevDir::new(
                &dev,
                core.drivers().build(),
                core.devlink_compat(),
            )),
        })
    }

    fn list(&self, view: View) -> Vec<String> {
        let found = self.find(view, |_| true);
        found.iter().map(|dev| dev.name()).collect()
    }
}

/// `/sys/class/net/`: a link to the directory of each network device that has a place in the tree.
pub(crate) struct ClassDir(pub(crate) Weak<NetCore>);

impl ClassDir {
    fn find(&self, view: View, fits: impl Fn(&str) -> bool) -> Vec<Arc<Netdev>> {
        let Some(core) = self.0.upgrade() else {
            return Vec::new();
        };
        core.shown(|dev| {
            let has_place = dev.parent().is_some_and(|parent| parent.dir().is_some());
            has_place && dev.read(|state| state.net.id() == NetId(view.0) && fits(&state.name))
        })
    }
}

impl Directory for ClassDir {
    fn lookup(&self, view: View, name: &str) -> Option<DynamicEntry> {
        let dev = self.find(view, |other| other == name).pop()?;
        let place = place(&dev)?;
        Some(DynamicEntry {
            id: Arc::as_ptr(&dev).addr() as u64,
            mode: 0o777,
            kind: Kind::Link(format!("../../{place}")),
        })
    }

    fn list(&self, view: View) -> Vec<String> {
        let found = self.find(view, |_| true);
        found.iter().map(|dev| dev.name()).collect()
    }
}
