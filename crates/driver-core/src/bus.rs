//! A bus: its devices, its drivers and how they meet (`drivers/base/bus.c`, `drivers/base/core.c`).
//!
//! A new driver is offered every device in the order they were added; a new device is offered to every driver in the
//! order they were registered; in both cases matching is done without, and probing with, the device's lock. What leaves,
//! leaves in reverse. Several threads may add and remove at once: the lists are only locked to be copied, never while a
//! driver runs.

use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, Weak};

use kernfs::Dir;
use lock_order::DeviceLock;
use lockdep::order::{Before, Held};
use rustix::io::Errno;

use crate::core::Build;
use crate::dd;
use crate::device::{Device, LockedDevice};
use crate::driver::Driver;
use crate::klog::Klog;

mod devices;

use devices::Devices;

/// What is particular to one kind of bus (`struct bus_type`).
pub trait BusType: Send + Sync {
    /// The bus's name, first half of a devlink handle: `pci`.
    fn name(&self) -> &str;

    /// Whether the driver is for the device. The driver's own answer, unless the bus knows better.
    fn matches(&self, driver: &dyn Driver, device: &Device) -> bool {
        driver.matches(device)
    }

    /// Offers the device to the driver.
    ///
    /// # Errors
    /// Whatever the driver answers, or the bus in its place.
    fn probe(&self, driver: &dyn Driver, device: &mut LockedDevice<'_>) -> Result<(), Errno> {
        driver.probe(device)
    }

    /// The folder of `/sys/devices` for a device that is part of no other; `None`: `/sys/devices` itself.
    fn root_folder(&self, _device: &Device) -> Option<String> {
        None
    }

    /// Takes the device from the driver.
    fn remove(&self, driver: &dyn Driver, device: &mut LockedDevice<'_>) {
        driver.remove(device);
    }

    /// Makes the attributes that this bus has besides those that all have (`bus_groups`).
    ///
    /// # Errors
    /// Those of making a file.
    fn make_files(&self, _bus: &Arc<Bus>, _dir: &Dir) -> Result<(), Errno> {
        Ok(())
    }

    /// Itself, for the functions of this kind of bus; `None` if there are none that ask.
    fn as_any(&self) -> Option<&dyn Any> {
        None
    }
}

/// A bus without a rule of its own, known by its name alone.
#[derive(Debug)]
pub struct PlainBus(&'static str);

impl PlainBus {
    /// A bus called `name`.
    pub const fn new(name: &'static str) -> Self {
        PlainBus(name)
    }
}

impl BusType for PlainBus {
    fn name(&self) -> &str {
        self.0
    }
}

/// A registered bus.
pub struct Bus {
    this: Weak<Bus>,
    name: Arc<str>,
    bus_type: Box<dyn BusType>,
    klog: Arc<Klog>,
    devices: lockdep::Mutex<Devices>,
    drivers: lockdep::Mutex<Vec<Arc<DriverPrivate>>>,
    /// New drivers and devices are brought together at once.
    autoprobe: AtomicBool,
    /// `/sys/bus/NAME/`, while it is there.
    dir: lockdep::Mutex<Option<Dir>>,
    /// `/sys/devices/`.
    devices_dir: OnceLock<Dir>,
    /// What of the kernel's build shows in devices' directories.
    pub(crate) build: Arc<OnceLock<Build>>,
}

/// A registered driver and the devices bound to it, in the order of binding (`struct driver_private`).
pub(crate) struct DriverPrivate {
    pub(crate) driver: Arc<dyn Driver>,
    pub(crate) bound: lockdep::Mutex<Vec<Arc<Device>>>,
    /// It is being unregistered: what binds to it now must be let go at once.
    pub(crate) gone: AtomicBool,
}

impl Bus {
    /// A bus of this type whose devices write to `klog`.
    pub fn new(bus_type: impl BusType + 'static, klog: Arc<Klog>) -> Arc<Self> {
        Self::with_build(bus_type, klog, Arc::default())
    }

    pub(crate) fn with_build(
        bus_type: impl BusType + 'static,
        klog: Arc<Klog>,
        build: Arc<OnceLock<Build>>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Bus {
            this: Weak::clone(this),
            build,
            name: bus_type.name().into(),
            bus_type: Box::new(bus_type),
            klog,
            devices: lockdep::Mutex::named("bus->klist_devices", Devices::default()),
            drivers: lockdep::Mutex::named("bus->klist_drivers", Vec::new()),
            autoprobe: AtomicBool::new(true),
            dir: lockdep::Mutex::named("bus->subsys", None),
            devices_dir: OnceLock::new(),
        })
    }

    /// For what must not keep the bus alive.
    pub(crate) fn weak(&self) -> Weak<Self> {
        Weak::clone(&self.this)
    }

    /// The bus's directory in sysfs, while it has one.
    pub fn dir(&self) -> Option<Dir> {
        lock(&self.dir).clone()
    }

    /// `/sys/devices/`, if the bus is part of a machine.
    pub(crate) fn devices_dir(&self) -> Option<&Dir> {
        self.devices_dir.get()
    }

    pub(crate) fn set_dirs(&self, devices: Dir, dir: Dir) {
        // Which is the same every time.
        let _ = self.devices_dir.set(devices);
        *lock(&self.dir) = Some(dir);
    }

    /// Removes the bus's directory.
    pub(crate) fn remove_files(&self) {
        let dir = lock(&self.dir).take();
        if let Some(dir) = dir {
            dir.remove();
        }
    }

    /// Whether new drivers and devices are brought together at once (`drivers_autoprobe`).
    pub fn autoprobe(&self) -> bool {
        self.autoprobe.load(Ordering::Relaxed)
    }

    /// See [`autoprobe`](Bus::autoprobe).
    pub fn set_autoprobe(&self, autoprobe: bool) {
        self.autoprobe.store(autoprobe, Ordering::Relaxed);
    }

    /// Offers a device to the drivers that are there, if it has none (`bus_rescan_devices_helper`).
    pub(crate) fn rescan<H>(&self, held: &mut Held<'_, H>, device: &Arc<Device>)
    where
        H: Before<DeviceLock>,
    {
        dd::__device_attach(self, device, held);
    }

    /// The bus's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The devices, in the order they were added.
    pub fn devices(&self) -> Vec<Arc<Device>> {
        lock(&self.devices).all()
    }

    /// The device of that name (`bus_find_device_by_name`).
    pub fn find_device(&self, name: &str) -> Option<Arc<Device>> {
        lock(&self.devices).find(name).cloned()
    }

    /// The drivers, in the order they were registered.
    pub fn drivers(&self) -> Vec<Arc<dyn Driver>> {
        lock(&self.drivers)
            .iter()
            .map(|private| Arc::clone(&private.driver))
            .collect()
    }

    /// The driver of that name (`driver_find`).
    pub fn find_driver(&self, name: &str) -> Option<Arc<dyn Driver>> {
        self.find_private(name)
            .map(|private| Arc::clone(&private.driver))
    }

    /// Registers a driver and binds the devices it matches (`driver_register`). A device whose probe fails stays
    /// unbound; that is no error of the registration.
    ///
    /// # Errors
    /// `EBUSY` when a driver of that name is registered; the log says so.
    pub fn register_driver<H>(
        self: &Arc<Self>,
        held: &mut Held<'_, H>,
        driver: Arc<dyn Driver>,
    ) -> Result<(), Errno>
    where
        H: Before<DeviceLock>,
    {
        let private = Arc::new(DriverPrivate {
            driver,
            bound: lockdep::Mutex::named("drv->klist_devices", Vec::new()),
            gone: AtomicBool::new(false),
        });
        {
            let mut drivers = lock(&self.drivers);
            let name = private.driver.name();
            if drivers.iter().any(|other| other.driver.name() == name) {
                drop(drivers);
                self.klog.err(format_args!(
                    "Error: Driver '{name}' is already registered, aborting..."
                ));
                return Err(Errno::BUSY);
            }
            drivers.push(Arc::clone(&private));
        }
        self.make_driver_files(&*private.driver);
        if self.autoprobe() {
            for device in self.devices() {
                dd::__driver_attach(self, &private, &device, held);
            }
        }
        Ok(())
    }

    /// Unregisters the driver of that name: its devices are unbound, the last bound first (`driver_unregister`).
    ///
    /// # Errors
    /// `ENODEV` when there is no such driver.
    pub fn unregister_driver<H>(&self, held: &mut Held<'_, H>, name: &str) -> Result<(), Errno>
    where
        H: Before<DeviceLock>,
    {
        let private = {
            let mut drivers = lock(&self.drivers);
            let position = drivers
                .iter()
                .position(|private| private.driver.name() == name)
                .ok_or(Errno::NODEV)?;
            // Out of the list first: nothing binds to it from here on.
            drivers.remove(position)
        };
        self.remove_driver_files(&*private.driver);
        dd::driver_detach(self, &private, held);
        Ok(())
    }

    /// Puts a device on the bus and offers it to the drivers (`device_add`). A device that no driver takes stays on
    /// the bus unbound.
    ///
    /// # Errors
    /// `EEXIST` when a device of that name is on the bus.
    pub fn add_device<H>(&self, held: &mut Held<'_, H>, device: &Arc<Device>) -> Result<(), Errno>
    where
        H: Before<DeviceLock>,
    {
        if lock(&self.devices).find(device.name()).is_some() {
            return Err(Errno::EXIST);
        }
        // Files first, as in the kernel: who finds the device on the bus may remove it, and its files with it.
        self.make_device_files(device)?;
        let added = lock(&self.devices).add(device);
        if !added {
            device.remove_attributes();
            self.unlink_device(device);
            device.remove_files();
            return Err(Errno::EXIST);
        }
        if self.autoprobe() {
            dd::__device_attach(self, device, held);
        }
        Ok(())
    }

    /// Takes a device off the bus, after its driver has given it up (`device_del`). Does nothing if it is not there.
    pub fn remove_device<H>(&self, held: &mut Held<'_, H>, device: &Arc<Device>)
    where
        H: Before<DeviceLock>,
    {
        // No driver may take it again between the release and the end.
        device.lock(held).state.dead = true;
        device.remove_attributes();
        bus_remove_device(self, device, held);
        device.remove_files();
        dd::keep_frame(device);
    }

    /// Binds a device to the driver of that name, as `echo DEVICE > /sys/bus/BUS/drivers/DRIVER/bind` does.
    ///
    /// # Errors
    /// `ENODEV` when there is no such driver, device or match, `EBUSY` when the device is bound, else what probe says.
    pub fn bind<H>(&self, held: &mut Held<'_, H>, device: &str, driver: &str) -> Result<(), Errno>
    where
        H: Before<DeviceLock>,
    {
        let device = self.find_device(device).ok_or(Errno::NODEV)?;
        let private = self.find_private(driver).ok_or(Errno::NODEV)?;
        if !self.bus_type.matches(&*private.driver, &device) {
            return Err(Errno::NODEV);
        }
        dd::device_driver_attach(self, &private, &device, held)
    }

    /// Takes a device from the driver of that name, as `echo DEVICE > /sys/bus/BUS/drivers/DRIVER/unbind` does.
    ///
    /// # Errors
    /// `ENODEV` when there is no such device or it is not bound to that driver.
    pub fn unbind<H>(&self, held: &mut Held<'_, H>, device: &str, driver: &str) -> Result<(), Errno>
    where
        H: Before<DeviceLock>,
    {
        let device = self.find_device(device).ok_or(Errno::NODEV)?;
        if dd::device_release_driver_internal(self, &device, Some(driver), held) {
            Ok(())
        } else {
            Err(Errno::NODEV)
        }
    }

    /// Tells the drivers of all devices, the last added first, that the machine goes down (`device_shutdown`).
    pub fn shutdown<H>(&self, held: &mut Held<'_, H>)
    where
        H: Before<DeviceLock>,
    {
        for device in self.devices().iter().rev() {
            let mut locked = device.lock(held);
            if let Some(driver) = device.driver() {
                driver.shutdown(&mut locked);
            }
        }
    }

    /// Unregisters all drivers, the last registered first, then takes all devices off, the last added first.
    pub fn dismantle<H>(&self, held: &mut Held<'_, H>)
    where
        H: Before<DeviceLock>,
    {
        loop {
            let Some(private) = lock(&self.drivers).pop() else {
                break;
            };
            dd::driver_detach(self, &private, held);
        }
        for device in self.devices().iter().rev() {
            self.remove_device(held, device);
        }
    }

    /// The log that the bus and its devices write to.
    pub fn klog(&self) -> &Arc<Klog> {
        &self.klog
    }

    pub(crate) fn bus_type(&self) -> &dyn BusType {
        &*self.bus_type
    }

    pub(crate) fn shared_name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    pub(crate) fn privates(&self) -> Vec<Arc<DriverPrivate>> {
        lock(&self.drivers).clone()
    }

    pub(crate) fn find_private(&self, name: &str) -> Option<Arc<DriverPrivate>> {
        lock(&self.drivers)
            .iter()
            .find(|private| private.driver.name() == name)
            .cloned()
    }

    fn forget(&self, device: &Arc<Device>) {
        let removed = lock(&self.devices).remove(device);
        // Not under the list's lock: this may be the last reference.
        drop(removed);
    }
}

/// Off the list, then off its driver: in the kernel, too, a device that is being removed is no longer found by name.
#[inline(never)]
fn bus_remove_device<H>(bus: &Bus, device: &Arc<Device>, held: &mut Held<'_, H>)
where
    H: Before<DeviceLock>,
{
    bus.unlink_device(device);
    bus.forget(device);
    dd::device_release_driver_internal(bus, device, None, held);
    dd::keep_frame(device);
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus")
            .field("name", &self.name)
            .field("devices", &self.devices())
            .finish_non_exhaustive()
    }
}

pub(crate) fn lock<T>(mutex: &lockdep::Mutex<T>) -> lockdep::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
