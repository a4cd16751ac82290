//! How a device and a driver come together and part (`drivers/base/dd.c`).
//!
//! The functions carry the kernel's names and call each other in the kernel's order, and none is inlined: they are what
//! the stacks of a lock report show between a bus and a driver.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use lock_order::DeviceLock;
use lockdep::order::{Before, Held};
use rustix::io::Errno;

use crate::bus::{Bus, DriverPrivate, lock};
use crate::device::{Device, LockedDevice};

/// Keeps the calling function in the stacks of what it calls last: a release build would make a jump of such a call, and
/// lock reports would miss the function.
#[inline(always)]
pub(crate) fn keep_frame<T>(value: T) -> T {
    std::hint::black_box(value)
}

/// A driver has come: offers it one device.
#[inline(never)]
pub(crate) fn __driver_attach<H>(
    bus: &Bus,
    private: &Arc<DriverPrivate>,
    device: &Arc<Device>,
    held: &mut Held<'_, H>,
) where
    H: Before<DeviceLock>,
{
    if !bus.bus_type().matches(&*private.driver, device) {
        return;
    }
    let mut locked = device.lock(held);
    // The kernel, too, drops the error here: it has been logged, and other devices may want this driver.
    let _ = driver_probe_device(bus, private, &mut locked);
}

/// A device has come: offers it to the drivers until one takes it.
#[inline(never)]
pub(crate) fn __device_attach<H>(bus: &Bus, device: &Arc<Device>, held: &mut Held<'_, H>)
where
    H: Before<DeviceLock>,
{
    let mut locked = device.lock(held);
    if locked.is_dead() || device.driver().is_some() {
        return;
    }
    for private in bus.privates() {
        if bus.bus_type().matches(&*private.driver, device)
            && driver_probe_device(bus, &private, &mut locked).is_ok()
        {
            return;
        }
    }
}

/// Binds on request.
#[inline(never)]
pub(crate) fn device_driver_attach<H>(
    bus: &Bus,
    private: &Arc<DriverPrivate>,
    device: &Arc<Device>,
    held: &mut Held<'_, H>,
) -> Result<(), Errno>
where
    H: Before<DeviceLock>,
{
    let mut locked = device.lock(held);
    driver_probe_device(bus, private, &mut locked)
}

#[inline(never)]
fn driver_probe_device(
    bus: &Bus,
    private: &Arc<DriverPrivate>,
    locked: &mut LockedDevice<'_>,
) -> Result<(), Errno> {
    if locked.is_dead() {
        return Err(Errno::NODEV);
    }
    if locked.device().driver().is_some() {
        return Err(Errno::BUSY);
    }
    really_probe(bus, private, locked)
}

#[inline(never)]
fn really_probe(
    bus: &Bus,
    private: &Arc<DriverPrivate>,
    locked: &mut LockedDevice<'_>,
) -> Result<(), Errno> {
    let device = locked.device();
    device.set_driver(Some(Arc::clone(&private.driver)));
    let result = bus.bus_type().probe(&*private.driver, locked);
    match result {
        Ok(()) => {
            driver_bound(private, device);
            bus.link_driver(device, &*private.driver);
            // The driver was unregistered meanwhile, and its devices may have been counted before this one.
            if private.gone.load(Ordering::SeqCst) {
                release(bus, private, locked);
                return Err(Errno::NODEV);
            }
        }
        Err(errno) => {
            if errno != Errno::NODEV && errno != Errno::NXIO {
                // The text of kernel 6.8 and later; before, it was a warning that began with the driver's name.
                device.err(format_args!(
                    "probe with driver {} failed with error {}",
                    private.driver.name(),
                    -errno.raw_os_error()
                ));
            }
            device_unbind_cleanup(locked);
        }
    }
    result
}

fn driver_bound(private: &DriverPrivate, device: &Arc<Device>) {
    lock(&private.bound).push(Arc::clone(device));
}

/// Takes the device from its driver; with a name, only from the driver of that name. Says whether it did.
#[inline(never)]
pub(crate) fn device_release_driver_internal<H>(
    bus: &Bus,
    device: &Arc<Device>,
    only: Option<&str>,
    held: &mut Held<'_, H>,
) -> bool
where
    H: Before<DeviceLock>,
{
    let mut locked = device.lock(held);
    let Some(driver) = device.driver() else {
        return false;
    };
    if only.is_some_and(|name| name != driver.name()) {
        return false;
    }
    __device_release_driver(bus, &mut locked);
    true
}

#[inline(never)]
fn __device_release_driver(bus: &Bus, locked: &mut LockedDevice<'_>) {
    let Some(driver) = locked.device().driver() else {
        return;
    };
    match bus.find_private(driver.name()) {
        Some(private) => release(bus, &private, locked),
        // It is off the list already: `driver_detach` is at work and strikes the device off its own.
        None => {
            bus.unlink_driver(locked.device(), &*driver);
            bus.bus_type().remove(&*driver, locked);
            device_unbind_cleanup(locked);
        }
    }
}

fn release(bus: &Bus, private: &DriverPrivate, locked: &mut LockedDevice<'_>) {
    bus.unlink_driver(locked.device(), &*private.driver);
    bus.bus_type().remove(&*private.driver, locked);
    device_unbind_cleanup(locked);
    unbound(private, locked.device());
}

/// All devices of a driver that goes, the last bound first.
#[inline(never)]
pub(crate) fn driver_detach<H>(bus: &Bus, private: &Arc<DriverPrivate>, held: &mut Held<'_, H>)
where
    H: Before<DeviceLock>,
{
    private.gone.store(true, Ordering::SeqCst);
    loop {
        let Some(device) = lock(&private.bound).last().cloned() else {
            break;
        };
        device_release_driver_internal(bus, &device, Some(private.driver.name()), held);
        unbound(private, &device);
    }
}

fn unbound(private: &DriverPrivate, device: &Arc<Device>) {
    lock(&private.bound).retain(|other| !Arc::ptr_eq(other, device));
}

fn device_unbind_cleanup(locked: &mut LockedDevice<'_>) {
    locked.clear_drvdata();
    locked.device().set_driver(None);
}
