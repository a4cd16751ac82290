//! Network devices in sysfs (`net/core/net-sysfs.c`): the directory `net/` of a device, with those of its network devices
//! that are in the namespace of who looks.
//!
//! The directory is there, for everybody, as long as the device has a network device anywhere; its entries are looked up, so
//! a rename or a move shows at once.

use std::sync::{Arc, Weak};

use driver_core::Device;
use kernfs::sysfs::Attribute;
use kernfs::{Directory, DynamicEntry, Kind, View};
use rustix::io::Errno;

use crate::core::NetCore;
use crate::net::{NetId, lock};
use crate::netdev::{Netdev, OperState};

/// The class's name, and that of the directory.
const CLASS: &str = "net";

const IFF_UP: u32 = 1;
const IFF_BROADCAST: u32 = 1 << 1;
const IFF_NOARP: u32 = 1 << 7;
const IFF_MULTICAST: u32 = 1 << 12;

/// `ARPHRD_ETHER`
const ETHERNET: u32 = 1;

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
        let dev = self.find(view, |other| other == name).pop()?;
        Some(DynamicEntry {
            id: Arc::as_ptr(&dev).addr() as u64,
            mode: 0o755,
            kind: Kind::dynamic(NetdevDir(Arc::downgrade(&dev))),
        })
    }

    fn list(&self, view: View) -> Vec<String> {
        let found = self.find(view, |_| true);
        found.iter().map(|dev| dev.name()).collect()
    }
}

/// What an attribute shows.
type Show = fn(&Netdev) -> Result<String, Errno>;

/// The attributes (`net_class_attrs`).
const ATTRIBUTES: [(&str, Show); 19] = [
    ("addr_assign_type", |_| Ok("1".into())),
    ("addr_len", |_| Ok("6".into())),
    ("address", |dev| Ok(address(dev.mac()))),
    ("broadcast", |_| Ok(address([0xff; 6]))),
    ("carrier", |dev| match dev.is_up() {
        true => Ok(u8::from(dev.carrier()).to_string()),
        false => Err(Errno::INVAL),
    }),
    ("dev_id", |_| Ok("0x0".into())),
    ("dev_port", |_| Ok("0".into())),
    ("dormant", |dev| match dev.is_up() {
        true => Ok("0".into()),
        false => Err(Errno::INVAL),
    }),
    ("flags", |dev| Ok(format!("0x{:x}", flags(dev)))),
    ("gro_flush_timeout", |_| Ok("0".into())),
    ("group", |_| Ok("0".into())),
    ("ifindex", |dev| Ok(dev.ifindex().to_string())),
    ("iflink", |dev| Ok(dev.ifindex().to_string())),
    ("link_mode", |_| Ok("0".into())),
    ("mtu", |dev| Ok(dev.mtu().to_string())),
    ("name_assign_type", |_| Ok("4".into())),
    ("operstate", |dev| {
        let state = match dev.operstate() {
            OperState::Up => "up",
            OperState::Down => "down",
        };
        Ok(state.into())
    }),
    ("tx_queue_len", |_| Ok("1000".into())),
    ("type", |_| Ok(ETHERNET.to_string())),
];

fn address(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

fn flags(dev: &Netdev) -> u32 {
    let mut flags = IFF_BROADCAST;
    if dev.is_up() {
        flags |= IFF_UP;
    }
    if dev.flags.multicast {
        flags |= IFF_MULTICAST;
    }
    if dev.flags.no_arp {
        flags |= IFF_NOARP;
    }
    flags
}

/// The directory of a network device.
struct NetdevDir(Weak<Netdev>);

impl NetdevDir {
    fn attribute(
        &self,
        show: impl Fn(&Netdev) -> Result<String, Errno> + Send + Sync + 'static,
    ) -> Kind {
        let dev = Weak::clone(&self.0);
        Kind::file(Attribute::ro(move |_| {
            let dev = dev.upgrade().ok_or(Errno::NODEV)?;
            show(&dev).map(|text| text + "\n")
        }))
    }
}

impl Directory for NetdevDir {
    fn lookup(&self, _view: View, name: &str) -> Option<DynamicEntry> {
        let dev = self.0.upgrade()?;
        let link = |target: String| (0o777, Kind::Link(target));
        let (mode, kind) = match name {
            "device" => link(format!("../../../{}", dev.parent()?.name())),
            "subsystem" => link("../../../../../../class/net".into()),
            "uevent" => {
                let show = |dev: &Netdev| {
                    Ok(format!(
                        "INTERFACE={}\nIFINDEX={}",
                        dev.name(),
                        dev.ifindex()
                    ))
                };
                (0o444, self.attribute(show))
            }
            name => {
                let (name, show) = ATTRIBUTES.iter().find(|(other, _)| *other == name)?;
                // The real device knows what the model hears of later, or never.
                let show = |dev: &Netdev| match dev.with_real(|real| real.attribute(name)) {
                    Some(Some(text)) => Ok(text?.trim_end().to_owned()),
                    _ => show(dev),
                };
                (0o444, self.attribute(show))
            }
        };
        Some(DynamicEntry { id: 0, mode, kind })
    }

    fn list(&self, _view: View) -> Vec<String> {
        let attributes = ATTRIBUTES.iter().map(|(name, _)| *name);
        let names = attributes.chain(["device", "subsystem", "uevent"]);
        names.map(str::to_owned).collect()
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
        let place = dev.parent()?.dir()?.node().path();
        Some(DynamicEntry {
            id: Arc::as_ptr(&dev).addr() as u64,
            mode: 0o777,
            kind: Kind::Link(format!("../../{place}/{CLASS}/{name}")),
        })
    }

    fn list(&self, view: View) -> Vec<String> {
        let found = self.find(view, |_| true);
        found.iter().map(|dev| dev.name()).collect()
    }
}
