//! The PCI bus: addresses, identities, matching by id table.
//!
//! There is no hardware behind it: a [`Function`] states what a driver would read from configuration space, and a device
//! on the bus is found and named by its [`Address`].

use std::any::Any;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, PoisonError};

use kernfs::Dir;
use lock_order::DeviceLock;
use lockdep::order::{Before, Held};
use rustix::io::Errno;

use crate::bus::{Bus, BusType};
use crate::dd::keep_frame;
use crate::device::{Device, LockedDevice};
use crate::driver::Driver;

mod config;
mod hotplug;
pub mod sriov;
mod sysfs;
mod vfio;

pub use hotplug::{remove, rescan};
pub use sriov::VfLayout;
use sriov::{Iov, Physfn};
pub(crate) use sysfs::uevent;
pub use vfio::VfioPci;

/// Where a function sits: domain, bus, device, function; written `0000:00:09.0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    domain: u32,
    bus: u8,
    devfn: u8,
}

/// A text that is not a PCI address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a PCI address, which looks like 0000:00:09.0")]
pub struct AddressError(String);

impl Address {
    /// The address of function `function` (0 to 7) of device `device` (0 to 31). `None` when either is out of range.
    pub fn new(domain: u32, bus: u8, device: u8, function: u8) -> Option<Self> {
        (device < 32 && function < 8).then_some(Address {
            domain,
            bus,
            devfn: device << 3 | function,
        })
    }

    /// The domain (segment).
    pub fn domain(self) -> u32 {
        self.domain
    }

    /// The bus number.
    pub fn bus(self) -> u8 {
        self.bus
    }

    /// The device number on its bus (`PCI_SLOT`).
    pub fn device(self) -> u8 {
        self.devfn >> 3
    }

    /// The function number (`PCI_FUNC`).
    pub fn function(self) -> u8 {
        self.devfn & 7
    }

    /// Bus, device and function in one number, the requester id that SR-IOV counts in.
    pub fn routing_id(self) -> u16 {
        u16::from(self.bus) << 8 | u16::from(self.devfn)
    }

    /// The address in the same domain whose routing id is `offset` further; `None` past the last bus.
    pub fn offset(self, offset: u16) -> Option<Self> {
        let [bus, devfn] = self.routing_id().checked_add(offset)?.to_be_bytes();
        Some(Address {
            domain: self.domain,
            bus,
            devfn,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:04x}:{:02x}:{:02x}.{}",
            self.domain,
            self.bus,
            self.device(),
            self.function()
        )
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let parse = || {
            let (domain, rest) = text.split_once(':')?;
            let (bus, rest) = rest.split_once(':')?;
            let (device, function) = rest.split_once('.')?;
            let exact = |part: &str, length: usize| {
                (part.len() == length && part.bytes().all(|b| b.is_ascii_hexdigit())).then_some(())
            };
            // A domain has four digits or, behind some host bridges, more.
            exact(domain, domain.len().clamp(4, 8))?;
            exact(bus, 2)?;
            exact(device, 2)?;
            exact(function, 1)?;
            Address::new(
                u32::from_str_radix(domain, 16).ok()?,
                u8::from_str_radix(bus, 16).ok()?,
                u8::from_str_radix(device, 16).ok()?,
                u8::from_str_radix(function, 16).ok()?,
            )
        };
        parse().ok_or_else(|| AddressError(text.to_owned()))
    }
}

/// Who made a function and what it is: one line of a driver's id table (`struct pci_device_id`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id {
    /// The vendor: `0x15b3` is Mellanox.
    pub vendor: u16,
    /// The device: `0x101d` is a ConnectX-6 Dx.
    pub device: u16,
}

/// What a driver reads about its function from configuration space.
#[derive(Clone, Debug)]
pub struct Function {
    /// Where it sits.
    pub address: Address,
    /// What it is.
    pub id: Id,
    /// Vendor and device of the board.
    pub subsystem: Id,
    /// Class code: base class, sub-class, interface (`0x020000` is an Ethernet controller).
    pub class: u32,
    /// Revision.
    pub revision: u8,
    /// How many virtual functions it can have (`TotalVFs`); zero without SR-IOV.
    pub total_vfs: u16,
    /// Where its virtual functions are and what they are.
    pub vf: VfLayout,
    /// Serial number from the vital product data, if it has one.
    pub serial: Option<String>,
    /// The memory that is near it; -1 where all memory is equal.
    pub numa_node: i32,
}

impl Function {
    /// An Ethernet controller at `address`, without virtual functions or a serial number.
    pub fn ethernet(address: Address, id: Id) -> Self {
        Function {
            address,
            id,
            subsystem: id,
            class: 0x02_0000,
            revision: 0,
            total_vfs: 0,
            vf: VfLayout::default(),
            serial: None,
            numa_node: -1,
        }
    }
}

/// The type of the bus `pci`.
#[derive(Default)]
pub struct PciBusType {
    removed: hotplug::Removed,
}

impl fmt::Debug for PciBusType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PciBusType")
    }
}

impl BusType for PciBusType {
    fn name(&self) -> &str {
        "pci"
    }

    fn matches(&self, driver: &dyn Driver, device: &Device) -> bool {
        match driver_override(device) {
            Some(only) => only == driver.name(),
            None => driver.matches(device),
        }
    }

    /// That of its host bridge. There is one for each bus, and a virtual function is where its physical one is
    /// (`drivers/pci/iov.c: pci_iov_add_virtfn`).
    fn root_folder(&self, device: &Device) -> Option<String> {
        let bridge = |device: &Device| {
            let address = function(device)?.address;
            Some(format!("pci{:04x}:{:02x}", address.domain, address.bus))
        };
        match sriov::physfn(device) {
            Some((physfn, _)) => bridge(&physfn),
            None => bridge(device),
        }
    }

    fn probe(&self, driver: &dyn Driver, device: &mut LockedDevice<'_>) -> Result<(), Errno> {
        pci_device_probe(driver, device)
    }

    fn remove(&self, driver: &dyn Driver, device: &mut LockedDevice<'_>) {
        pci_device_remove(driver, device);
    }

    fn make_files(&self, bus: &Arc<Bus>, dir: &Dir) -> Result<(), Errno> {
        let rescan = sysfs::rescan_attribute(bus.weak());
        dir.create_attribute("rescan", rescan).map(drop)
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

#[inline(never)]
fn pci_device_probe(driver: &dyn Driver, device: &mut LockedDevice<'_>) -> Result<(), Errno> {
    if !sriov::can_probe(device.device()) {
        return Err(Errno::NODEV);
    }
    keep_frame(driver.probe(device))
}

#[inline(never)]
fn pci_device_remove(driver: &dyn Driver, device: &mut LockedDevice<'_>) {
    driver.remove(device);
    keep_frame(device);
}

/// Plugs a function in: puts it on the bus, where a driver may take it.
///
/// # Errors
/// `EEXIST` when the address is taken.
pub fn add_function<H>(
    bus: &Bus,
    held: &mut Held<'_, H>,
    parent: Option<Arc<Device>>,
    function: Function,
) -> Result<Arc<Device>, Errno>
where
    H: Before<DeviceLock>,
{
    let device = new_function(bus, parent, function, None);
    bus.add_device(held, &device)?;
    Ok(device)
}

/// A function that is not on the bus yet.
fn new_function(
    bus: &Bus,
    parent: Option<Arc<Device>>,
    function: Function,
    physfn: Option<Physfn>,
) -> Arc<Device> {
    let data = PciDev {
        iov: (function.total_vfs > 0).then(|| Iov::new(function.total_vfs)),
        physfn,
        driver_override: lockdep::Mutex::named("pdev->driver_override", None),
        function,
    };
    let device = Device::new(bus, data.function.address.to_string(), parent, data);
    let (weak, bus) = (Arc::downgrade(&device), bus.weak());
    device.set_groups(move |dir| sysfs::make_files(&bus, &weak, dir));
    device
}

/// What the bus knows about a device on it (`struct pci_dev`).
struct PciDev {
    function: Function,
    /// What of virtual functions, if it can have some.
    iov: Option<Iov>,
    /// Whose virtual function it is, if it is one.
    physfn: Option<Physfn>,
    driver_override: lockdep::Mutex<Option<String>>,
}

/// What a PCI device's driver may know about it; `None` for a device of another bus.
pub fn function(device: &Device) -> Option<&Function> {
    Some(&device.data::<PciDev>()?.function)
}

/// The only driver that the device may be bound to, if somebody has said so (`driver_override`).
pub fn driver_override(device: &Device) -> Option<String> {
    let data = device.data::<PciDev>()?;
    let driver = data.driver_override.lock();
    driver.unwrap_or_else(PoisonError::into_inner).clone()
}

/// Names the only driver that the device may be bound to from now on, none with an empty name.
pub fn set_driver_override(device: &Device, driver: &str) {
    if let Some(data) = device.data::<PciDev>() {
        let only = (!driver.is_empty()).then(|| driver.to_owned());
        *data
            .driver_override
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = only;
    }
}

/// The line of the id table that fits the device (`pci_match_id`).
pub fn match_device<'t>(table: &'t [Id], device: &Device) -> Option<&'t Id> {
    let id = function(device)?.id;
    table.iter().find(|line| **line == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_written() {
        for text in ["0000:00:09.0", "0033:c1:1f.7", "10000:01:00.1"] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "00:09.0",
            "0000:00:09",
            "0000:00:20.0",
            "0000:00:09.8",
            "000:00:09.0",
            "0000:0:09.0",
            "0000:00:+9.0",
            "0000:00:09.00",
            "123456789:00:09.0",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn virtual_functions_are_counted_in_routing_ids() {
        // A real card: two ports, 64 virtual functions each; the first one of port 1 is 08.2.
        let pf: Address = "0000:06:00.1".parse().unwrap();
        assert_eq!(pf.offset(65).unwrap().to_string(), "0000:06:08.2");
        let last: Address = "0000:ff:1f.7".parse().unwrap();
        assert_eq!(last.offset(1), None);
    }
}
