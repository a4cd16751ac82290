//! What `/sys/bus/` and `/sys/devices/` show of buses, devices and drivers (`drivers/base/bus.c`, `drivers/base/core.c`).
//!
//! ```text
//! bus/netdevsim/                  drivers_autoprobe, drivers_probe, uevent
//!   devices/netdevsim10           a link to each device
//!   drivers/netdevsim/            bind, unbind, uevent, module, and a link to each device that is bound
//! devices/netdevsim10/            uevent, power/, links to its bus and its driver, and what the bus gives its devices
//! devices/pci0000:00/             the devices of a bus that has a folder of its own for them
//! ```
//! A device that is part of another has its directory in that one's.

use std::sync::{Arc, Weak};

use kernfs::Dir;
use kernfs::sysfs::Attribute;
use rustix::io::Errno;

use crate::bus::{Bus, lock};
use crate::device::Device;
use crate::driver::Driver;

/// What may be written to a `uevent` file (`lib/kobject_uevent.c: kobject_actions`).
const ACTIONS: [&[u8]; 8] = [
    b"add", b"remove", b"change", b"move", b"online", b"offline", b"bind", b"unbind",
];

/// A device's directories for classes of which it has children (`get_device_parent`).
pub(crate) type GlueDirs = lockdep::Mutex<Vec<(&'static str, usize)>>;

/// The text without the newline at its end: who writes a name may end the line (`sysfs_streq`).
fn name(text: &[u8]) -> Result<&str, Errno> {
    let text = kernfs::kstrto::c_str(text);
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    std::str::from_utf8(text).map_err(|_| Errno::NODEV)
}

/// A `uevent` file's store: nobody listens, but the action must be one (`kobject_synth_uevent`).
fn synth_uevent(text: &[u8]) -> Result<(), Errno> {
    let text = kernfs::kstrto::c_str(text);
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let action = text.split(|byte| *byte == b' ').next().unwrap_or(text);
    ACTIONS.contains(&action).then_some(()).ok_or(Errno::INVAL)
}

fn wo_uevent() -> Attribute {
    Attribute::wo(|_, text| synth_uevent(text))
}

impl Bus {
    /// Makes the bus's directory below `bus/` (`bus_register`).
    pub(crate) fn make_files(self: &Arc<Self>, sysfs: &Dir) -> Result<(), Errno> {
        let there = |name: &str| sysfs.dir(name).ok_or(Errno::NOENT);
        let (buses, devices) = (there("bus")?, there("devices")?);
        let dir = buses.create_dir(self.name().to_owned())?;
        dir.create_dir("devices")?;
        dir.create_dir("drivers")?;
        dir.create_attribute("uevent", wo_uevent())?;
        let bus = |this: &Weak<Bus>| this.upgrade().ok_or(Errno::NODEV);
        let this = Arc::downgrade(self);
        let probe = Attribute::wo(move |cx, text| {
            let bus = bus(&this)?;
            let device = bus.find_device(name(text)?).ok_or(Errno::NODEV)?;
            bus.rescan(cx.held(), &device);
            Ok(())
        });
        dir.create_attribute("drivers_probe", probe)?;
        let (shown, stored) = (Arc::downgrade(self), Arc::downgrade(self));
        let autoprobe = Attribute::ro(move |_| {
            let autoprobe = bus(&shown)?.autoprobe();
            Ok(format!("{}\n", u8::from(autoprobe)))
        })
        .with_store(move |_, text| {
            bus(&stored)?.set_autoprobe(text.first() != Some(&b'0'));
            Ok(())
        });
        dir.create_attribute("drivers_autoprobe", autoprobe)?;
        self.bus_type().make_files(self, &dir)?;
        self.set_dirs(devices, dir);
        Ok(())
    }

    /// Makes a driver's directory (`bus_add_driver`).
    pub(crate) fn make_driver_files(self: &Arc<Self>, driver: &dyn Driver) {
        let Some(drivers) = self.drivers_dir() else {
            return;
        };
        let Ok(dir) = drivers.create_dir(driver.name().to_owned()) else {
            return;
        };
        let act = |act: fn(&Bus, &mut kernfs::Context<'_>, &str, &str) -> Result<(), Errno>| {
            let (this, driver) = (Arc::downgrade(self), driver.name().to_owned());
            Attribute::wo(move |cx, text| {
                let bus = this.upgrade().ok_or(Errno::NODEV)?;
                act(&bus, cx, name(text)?, &driver)
            })
        };
        let bind = act(|bus, cx, device, driver| bus.bind(cx.held(), device, driver));
        let unbind = act(|bus, cx, device, driver| bus.unbind(cx.held(), device, driver));
        // The directory is new: none of the names is taken.
        let _ = dir.create_attribute("bind", bind);
        let _ = dir.create_attribute("unbind", unbind);
        let _ = dir.create_attribute("uevent", wo_uevent());
        let _ = dir.create_link("module", format!("../../../../module/{}", driver.module()));
    }

    /// Removes a driver's directory (`bus_remove_driver`).
    pub(crate) fn remove_driver_files(&self, driver: &dyn Driver) {
        if let Some(drivers) = self.drivers_dir() {
            drivers.remove_entry(driver.name());
        }
    }

    fn drivers_dir(&self) -> Option<Dir> {
        self.dir()?.dir("drivers")
    }

    /// The directory that the device's own is to be in (`get_device_parent`).
    fn parent_dir(&self, device: &Device) -> Option<Dir> {
        if let Some(dir) = device.parent().and_then(|parent| parent.dir()) {
            return Some(dir.clone());
        }
        let devices = self.devices_dir()?;
        let Some(root) = self.bus_type().root_folder(device) else {
            return Some(devices.clone());
        };
        // Somebody may just have made it, and it stays.
        devices
            .dir(&root)
            .or_else(|| devices.create_dir(root.clone()).ok())
            .or_else(|| devices.dir(&root))
    }

    /// Makes a device's directory with all that it has before it is probed (`device_add`).
    pub(crate) fn make_device_files(&self, device: &Arc<Device>) -> Result<(), Errno> {
        let Some(parent) = self.parent_dir(device) else {
            return Ok(());
        };
        let dir = parent.create_dir(device.name().to_owned())?;
        let shown = Arc::downgrade(device);
        let uevent = Attribute::ro(move |_| {
            let device = shown.upgrade().ok_or(Errno::NODEV)?;
            let driver = device.driver();
            let driver =
                driver.map_or_else(String::new, |driver| format!("DRIVER={}\n", driver.name()));
            Ok(driver + &crate::pci::uevent(&device))
        })
        .with_store(|_, text| synth_uevent(text));
        dir.create_attribute("uevent", uevent)?;
        if self.build.get().is_some_and(|build| build.power_management) {
            crate::power::make_dir(&dir)?;
        }
        let made = device.set_dir(&dir).and_then(|()| self.link_device(&dir));
        if made.is_err() {
            dir.remove();
        }
        made
    }

    /// A device has come to the bus: a link each way (`bus_add_device`).
    fn link_device(&self, device: &Dir) -> Result<(), Errno> {
        let (Some(bus), Some(devices)) = (self.dir(), self.links()) else {
            return Ok(());
        };
        let name = device.node().name().to_owned();
        devices.create_link_to(name, device.node())?;
        device.create_link_to("subsystem", bus.node()).map(drop)
    }

    /// A device is leaving the bus (`bus_remove_device`).
    pub(crate) fn unlink_device(&self, device: &Device) {
        if let Some(devices) = self.links() {
            devices.remove_entry(device.name());
        }
        if let Some(dir) = device.dir() {
            dir.remove_entry("subsystem");
        }
    }

    /// The directory with a link to each device of the bus.
    fn links(&self) -> Option<Dir> {
        self.dir()?.dir("devices")
    }

    /// A device has come to a driver: a link each way (`driver_sysfs_add`).
    pub(crate) fn link_driver(&self, device: &Device, driver: &dyn Driver) {
        let (Some(dir), Some(drivers)) = (device.dir(), self.drivers_dir()) else {
            return;
        };
        if let Some(bound) = drivers.dir(driver.name()) {
            // The driver takes the device now: neither has such a link.
            let _ = dir.create_link_to("driver", bound.node());
            let _ = bound.create_link_to(device.name().to_owned(), dir.node());
        }
    }

    /// A device has left a driver (`driver_sysfs_remove`).
    pub(crate) fn unlink_driver(&self, device: &Device, driver: &dyn Driver) {
        if let Some(dir) = device.dir() {
            dir.remove_entry("driver");
        }
        let bound = self.drivers_dir().and_then(|dir| dir.dir(driver.name()));
        if let Some(bound) = bound {
            bound.remove_entry(device.name());
        }
    }
}

impl Device {
    /// A child of class `class` comes: the first one makes the directory that holds them, which looks its entries up
    /// (`get_device_parent`).
    pub fn get_glue_dir<D>(&self, class: &'static str, directory: impl FnOnce() -> D)
    where
        D: kernfs::Directory + 'static,
    {
        let Some(dir) = self.dir() else {
            return;
        };
        let mut glue = lock(&self.glue_dirs);
        match glue.iter_mut().find(|(name, _)| *name == class) {
            Some((_, children)) => *children += 1,
            None => {
                glue.push((class, 1));
                // Gone with the device, if the device goes first.
                let _ = dir.create_dynamic_dir(class, directory());
            }
        }
    }

    /// A child of class `class` goes: the last one takes the directory with it (`cleanup_glue_dir`).
    pub fn put_glue_dir(&self, class: &'static str) {
        let mut glue = lock(&self.glue_dirs);
        let Some(place) = glue.iter().position(|(name, _)| *name == class) else {
            return;
        };
        glue[place].1 -= 1;
        if glue[place].1 == 0 {
            glue.remove(place);
            if let Some(dir) = self.dir() {
                dir.remove_entry(class);
            }
        }
    }
}
