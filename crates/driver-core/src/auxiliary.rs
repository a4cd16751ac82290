//! The auxiliary bus: parts of one function that have drivers of their own (`drivers/base/auxiliary.c`).
//!
//! A driver splits its device into named parts and puts each on this bus as `MODULE.NAME.ID` (`mlx5_core.eth.0`); other
//! drivers match them by `MODULE.NAME`. The parent's driver adds and removes them from its own callbacks, with its own
//! locks held: `Held::child_devices` is the declared way down from there.

use std::any::Any;
use std::sync::Arc;

use lock_order::DeviceLock;
use lockdep::order::{Before, Held};
use rustix::io::Errno;

use crate::bus::{Bus, BusType};
use crate::dd::keep_frame;
use crate::device::{Device, LockedDevice};
use crate::driver::Driver;

/// The type of the bus `auxiliary`.
#[derive(Debug)]
pub struct AuxiliaryBusType;

impl BusType for AuxiliaryBusType {
    fn name(&self) -> &str {
        "auxiliary"
    }

    fn probe(&self, driver: &dyn Driver, device: &mut LockedDevice<'_>) -> Result<(), Errno> {
        auxiliary_bus_probe(driver, device)
    }

    fn remove(&self, driver: &dyn Driver, device: &mut LockedDevice<'_>) {
        auxiliary_bus_remove(driver, device);
    }
}

#[inline(never)]
fn auxiliary_bus_probe(driver: &dyn Driver, device: &mut LockedDevice<'_>) -> Result<(), Errno> {
    keep_frame(driver.probe(device))
}

#[inline(never)]
fn auxiliary_bus_remove(driver: &dyn Driver, device: &mut LockedDevice<'_>) {
    driver.remove(device);
    keep_frame(device);
}

/// What the parent's driver and the part's driver agree on (`struct auxiliary_device` and what surrounds it).
struct Auxiliary {
    name: String,
    id: u32,
    shared: Arc<dyn Any + Send + Sync>,
}

/// Adds a part of `parent` called `MODULE.NAME.ID` (`auxiliary_device_add`). `shared` is what its driver gets to see:
/// see [`shared`].
///
/// # Errors
/// `EEXIST` when there is one of that name.
#[inline(never)]
pub fn auxiliary_device_add<H, T>(
    bus: &Bus,
    held: &mut Held<'_, H>,
    parent: &Arc<Device>,
    module: &str,
    name: &str,
    id: u32,
    shared: Arc<T>,
) -> Result<Arc<Device>, Errno>
where
    H: Before<DeviceLock>,
    T: Any + Send + Sync,
{
    let device = Device::new(
        bus,
        format!("{module}.{name}.{id}"),
        Some(Arc::clone(parent)),
        Auxiliary {
            name: name.to_owned(),
            id,
            shared,
        },
    );
    bus.add_device(held, &device)?;
    Ok(device)
}

/// Gives a part a file that shows this text and a newline, until it is removed.
///
/// # Errors
/// `EEXIST` when it has a file of that name.
pub fn show(device: &Device, name: &'static str, text: &str) -> Result<(), Errno> {
    let Some(dir) = device.dir() else {
        return Ok(());
    };
    let text = format!("{text}\n");
    let attribute = kernfs::sysfs::Attribute::ro(move |_| Ok(text.clone()));
    dir.create_attribute(name, attribute).map(drop)
}

/// Removes a part (`auxiliary_device_delete`): its driver gives it up, then it leaves the bus.
#[inline(never)]
pub fn auxiliary_device_delete<H>(bus: &Bus, held: &mut Held<'_, H>, device: &Arc<Device>)
where
    H: Before<DeviceLock>,
{
    bus.remove_device(held, device);
    keep_frame(device);
}

/// The part's short name (`eth`); `None` for a device of another bus.
pub fn part_name(device: &Device) -> Option<&str> {
    Some(&device.data::<Auxiliary>()?.name)
}

/// The part's id; `None` for a device of another bus.
pub fn id(device: &Device) -> Option<u32> {
    Some(device.data::<Auxiliary>()?.id)
}

/// What the parent's driver shares with the part's driver, if it is a `T`.
pub fn shared<T: Any + Send + Sync>(device: &Device) -> Option<Arc<T>> {
    Arc::clone(&device.data::<Auxiliary>()?.shared)
        .downcast()
        .ok()
}

/// The line of the id table (`mlx5_core.eth`) that fits the device: all of its name before the last dot
/// (`auxiliary_match_id`).
pub fn match_id<'t>(table: &[&'t str], device: &Device) -> Option<&'t str> {
    let (prefix, _) = device.name().rsplit_once('.')?;
    table.iter().find(|line| **line == prefix).copied()
}
