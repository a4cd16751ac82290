//! What a PCI device shows in `/sys/bus/pci/devices/` (`drivers/pci/pci-sysfs.c`, `drivers/pci/iov.c`).

use std::sync::{Arc, Weak};

use kernfs::kstrto;
use kernfs::sysfs::Attribute;
use kernfs::{Dir, Node, PAGE_SIZE};
use rustix::io::Errno;

use super::config::Config;
use super::{Function, driver_override, function, hotplug, set_driver_override, sriov};
use crate::bus::Bus;
use crate::device::Device;

/// A line of `resource`: nothing is mapped. There is one for each base address, for the ROM, and for each base address of the
/// virtual functions.
const NO_RESOURCE: &str = "0x0000000000000000 0x0000000000000000 0x0000000000000000\n";
const RESOURCES: usize = 13;

/// Makes a device's attributes; its directory is removed with them in it.
pub(super) fn make_files(
    bus: &Weak<Bus>,
    device: &Weak<Device>,
    dir: &Dir,
) -> Result<Vec<Arc<Node>>, Errno> {
    let about = |name: &'static str, show: fn(&Function) -> String| {
        let device = Weak::clone(device);
        let attribute = Attribute::ro(move |_| {
            let device = device.upgrade().ok_or(Errno::NODEV)?;
            Ok(function(&device).map(show).unwrap_or_default())
        });
        dir.create_attribute(name, attribute)
    };
    let mut made = vec![
        about("vendor", |f| format!("0x{:04x}\n", f.id.vendor))?,
        about("device", |f| format!("0x{:04x}\n", f.id.device))?,
        about("subsystem_vendor", |f| {
            format!("0x{:04x}\n", f.subsystem.vendor)
        })?,
        about("subsystem_device", |f| {
            format!("0x{:04x}\n", f.subsystem.device)
        })?,
        about("class", |f| format!("0x{:06x}\n", f.class))?,
        about("revision", |f| format!("0x{:02x}\n", f.revision))?,
        about("numa_node", |f| format!("{}\n", f.numa_node))?,
        about("modalias", |f| format!("{}\n", modalias(f)))?,
        about("irq", |_| "0\n".to_owned())?,
        about("resource", |_| NO_RESOURCE.repeat(RESOURCES))?,
        dir.create_file("config", 0o444, Config(Weak::clone(device)))?,
        dir.create_attribute("driver_override", override_attribute(device))?,
        dir.create_file("remove", 0o220, remove_attribute(bus, device))?,
        dir.create_attribute("rescan", rescan_attribute(Weak::clone(bus)))?,
    ];
    let has_vfs = device
        .upgrade()
        .is_some_and(|device| sriov::total_vfs(&device) > 0);
    if has_vfs {
        made.extend([
            about("sriov_totalvfs", |f| format!("{}\n", f.total_vfs))?,
            about("sriov_offset", |f| format!("{}\n", f.vf.offset))?,
            about("sriov_stride", |f| format!("{}\n", f.vf.stride))?,
            about("sriov_vf_device", |f| format!("{:x}\n", f.vf.device))?,
            dir.create_attribute("sriov_numvfs", numvfs_attribute(device))?,
            dir.create_attribute("sriov_drivers_autoprobe", autoprobe_attribute(device))?,
        ]);
    }
    Ok(made)
}

/// The name by which modules are looked for (`pci_uevent`).
fn modalias(function: &Function) -> String {
    let [_, base, sub, interface] = function.class.to_be_bytes();
    format!(
        "pci:v{:08X}d{:08X}sv{:08X}sd{:08X}bc{base:02X}sc{sub:02X}i{interface:02X}",
        function.id.vendor,
        function.id.device,
        function.subsystem.vendor,
        function.subsystem.device
    )
}

/// What udev is told of a PCI device; empty for a device of another bus (`pci_uevent`).
pub(crate) fn uevent(device: &Device) -> String {
    let Some(function) = function(device) else {
        return String::new();
    };
    format!(
        "PCI_CLASS={:X}\nPCI_ID={:04X}:{:04X}\nPCI_SUBSYS_ID={:04X}:{:04X}\nPCI_SLOT_NAME={}\nMODALIAS={}\n",
        function.class,
        function.id.vendor,
        function.id.device,
        function.subsystem.vendor,
        function.subsystem.device,
        function.address,
        modalias(function)
    )
}

fn of(device: &Weak<Device>) -> Result<Arc<Device>, Errno> {
    device.upgrade().ok_or(Errno::NODEV)
}

fn numvfs_attribute(device: &Weak<Device>) -> Attribute {
    let (shown, stored) = (Weak::clone(device), Weak::clone(device));
    // Who reads while the number changes waits for the new one.
    Attribute::ro(move |cx| {
        let device = of(&shown)?;
        let locked = device.lock(cx.held());
        Ok(format!("{}\n", sriov::num_vfs(locked.device())))
    })
    .with_store(move |cx, text| {
        // All that is no such number is `EINVAL`, also what is too large for one.
        let count = kstrto::u16(text, 0).map_err(|_| Errno::INVAL)?;
        sriov::numvfs_store(cx.held(), &of(&stored)?, count)
    })
}

fn autoprobe_attribute(device: &Weak<Device>) -> Attribute {
    let (shown, stored) = (Weak::clone(device), Weak::clone(device));
    Attribute::ro(move |_| {
        let autoprobe = sriov::drivers_autoprobe(&*of(&shown)?);
        Ok(format!("{}\n", u8::from(autoprobe)))
    })
    .with_store(move |_, text| {
        let autoprobe = kstrto::bool(text)?;
        sriov::set_drivers_autoprobe(&*of(&stored)?, autoprobe);
        Ok(())
    })
}

/// Whether somebody wrote a number other than zero.
fn is_asked(text: &[u8]) -> Result<bool, Errno> {
    let number = kstrto::ull(text, 0).map_err(|_| Errno::INVAL)?;
    Ok(number != 0)
}

/// Takes the function off the bus (`remove_store`), and with it the file that is being written.
fn remove_attribute(bus: &Weak<Bus>, device: &Weak<Device>) -> Attribute {
    let (bus, device) = (Weak::clone(bus), Weak::clone(device));
    Attribute::wo(move |cx, text| {
        if is_asked(text)? {
            let bus = bus.upgrade().ok_or(Errno::NODEV)?;
            let device = of(&device)?;
            cx.break_active_protection();
            hotplug::remove(&bus, cx.held(), &device);
        }
        Ok(())
    })
}

/// Finds what was taken off (`bus_rescan_store`, `dev_rescan_store`).
pub(super) fn rescan_attribute(bus: Weak<Bus>) -> Attribute {
    Attribute::wo(move |cx, text| {
        if is_asked(text)? {
            let bus = bus.upgrade().ok_or(Errno::NODEV)?;
            // The function may be removed meanwhile, by who waits for this file.
            cx.break_active_protection();
            hotplug::rescan(&bus, cx.held());
        }
        Ok(())
    })
}

/// An empty line takes the name back (`driver_set_override`).
fn override_attribute(device: &Weak<Device>) -> Attribute {
    let (shown, stored) = (Weak::clone(device), Weak::clone(device));
    Attribute::ro(move |_| {
        let only = driver_override(&*of(&shown)?);
        Ok(format!("{}\n", only.as_deref().unwrap_or("(null)")))
    })
    .with_store(move |_, text| {
        if text.len() >= PAGE_SIZE - 1 {
            return Err(Errno::INVAL);
        }
        let text = kstrto::c_str(text);
        let line = text.split(|byte| *byte == b'\n').next().unwrap_or(text);
        let driver = std::str::from_utf8(line).map_err(|_| Errno::INVAL)?;
        set_driver_override(&*of(&stored)?, driver);
        Ok(())
    })
}
