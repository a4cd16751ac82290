//! A device and its lock.
//!
//! A [`Device`] is known by bus and name, both fixed; what changes (the driver, the driver's data, whether it is still
//! there) changes only under `device_lock`, which [`Device::lock`] takes and a [`LockedDevice`] stands for. The driver
//! and its data may be *read* without the lock, as the kernel's `dev_driver_string` and `dev_get_drvdata` do: who reads
//! them must know by other means that the device stays bound.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError};

use kernfs::{Dir, Node};
use lock_order::DeviceLock;
use lockdep::order::{self, Before, Held};
use rustix::io::Errno;

use crate::bus::{Bus, lock};
use crate::driver::Driver;
use crate::klog::{Klog, Level};
use crate::sysfs::GlueDirs;

/// A device of one bus (`struct device`).
pub struct Device {
    name: String,
    bus: Arc<str>,
    parent: Option<Arc<Device>>,
    data: Box<dyn Any + Send + Sync>,
    klog: Arc<Klog>,
    mutex: order::Mutex<DeviceLock, DeviceState>,
    driver: lockdep::Mutex<Option<Arc<dyn Driver>>>,
    drvdata: lockdep::Mutex<Option<Arc<dyn Any + Send + Sync>>>,
    /// Makes the attributes that a device of this kind has.
    groups: lockdep::Mutex<Option<Groups>>,
    attributes: lockdep::Mutex<Vec<Arc<Node>>>,
    pub(crate) glue_dirs: GlueDirs,
    /// The device's directory in sysfs.
    dir: OnceLock<Dir>,
}

/// See [`Device::set_groups`].
type Groups = Box<dyn FnOnce(&Dir) -> Result<Vec<Arc<Node>>, Errno> + Send>;

/// What `device_lock` protects besides the binding.
#[derive(Debug, Default)]
pub(crate) struct DeviceState {
    /// On its way out: nothing binds to it any more (`dev->p->dead`).
    pub(crate) dead: bool,
}

impl Device {
    /// A device for `bus`, not on it yet: [`Bus::add_device`] does that. `data` is what the bus knows about it
    /// (`container_of` in the kernel): see [`data`](Device::data).
    pub fn new<T: Any + Send + Sync>(
        bus: &Bus,
        name: impl Into<String>,
        parent: Option<Arc<Device>>,
        data: T,
    ) -> Arc<Self> {
        Arc::new(Device {
            name: name.into(),
            bus: bus.shared_name(),
            parent,
            data: Box::new(data),
            klog: Arc::clone(bus.klog()),
            mutex: order::Mutex::new(DeviceState::default()),
            driver: lockdep::Mutex::named("dev->driver", None),
            drvdata: lockdep::Mutex::named("dev->driver_data", None),
            groups: lockdep::Mutex::named("dev->groups", None),
            attributes: lockdep::Mutex::named("dev->attributes", Vec::new()),
            glue_dirs: lockdep::Mutex::named("gdp_mutex", Vec::new()),
            dir: OnceLock::new(),
        })
    }

    /// Makes the attributes that all devices of its kind have (`dev->groups`): called when the device is added, before it is
    /// probed. What is returned is removed before the driver is, without the device's lock: handlers may take it.
    pub fn set_groups<F>(&self, groups: F)
    where
        F: FnOnce(&Dir) -> Result<Vec<Arc<Node>>, Errno> + Send + 'static,
    {
        *lock(&self.groups) = Some(Box::new(groups));
    }

    /// The device's directory in sysfs, while it is on its bus.
    pub fn dir(&self) -> Option<&Dir> {
        self.dir.get()
    }

    /// The device has its directory, in which its attributes are made.
    pub(crate) fn set_dir(&self, dir: &Dir) -> Result<(), Errno> {
        // A device is added once.
        let _ = self.dir.set(dir.clone());
        let groups = lock(&self.groups).take();
        if let Some(groups) = groups {
            *lock(&self.attributes) = groups(dir)?;
        }
        Ok(())
    }

    /// Removes what [`set_groups`](Device::set_groups) made.
    pub(crate) fn remove_attributes(&self) {
        let attributes = std::mem::take(&mut *lock(&self.attributes));
        for attribute in attributes {
            attribute.remove();
        }
    }

    /// Removes the directory.
    pub(crate) fn remove_files(&self) {
        if let Some(dir) = self.dir() {
            dir.remove();
        }
    }

    /// The name on the bus (`dev_name`): `0000:00:09.0`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The bus's name: `pci`.
    pub fn bus(&self) -> &str {
        &self.bus
    }

    /// The device that this one is part of.
    pub fn parent(&self) -> Option<&Arc<Device>> {
        self.parent.as_ref()
    }

    /// What the bus knows about the device, if it is a `T`.
    pub fn data<T: Any>(&self) -> Option<&T> {
        self.data.downcast_ref()
    }

    /// The driver that the device is bound to, or being bound to.
    pub fn driver(&self) -> Option<Arc<dyn Driver>> {
        self.driver
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What the driver has attached to the device (`dev_get_drvdata`), if it is a `T`.
    pub fn drvdata<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let data = self
            .drvdata
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        data?.downcast().ok()
    }

    /// The log that the device's messages go to.
    pub fn klog(&self) -> &Arc<Klog> {
        &self.klog
    }

    /// Writes a record about this device: the driver's name (the bus's while there is none), the device's, the text
    /// (`dev_printk`).
    pub fn log(&self, level: Level, text: fmt::Arguments<'_>) {
        let driver = self.driver();
        let prefix = driver.as_ref().map_or(self.bus(), |driver| driver.name());
        self.klog
            .log(level, format_args!("{prefix} {}: {text}", self.name));
    }

    /// Writes an error about this device (`dev_err`).
    pub fn err(&self, text: fmt::Arguments<'_>) {
        self.log(Level::Err, text);
    }

    /// Writes a warning about this device (`dev_warn`).
    pub fn warn(&self, text: fmt::Arguments<'_>) {
        self.log(Level::Warning, text);
    }

    /// Writes a record about this device (`dev_info`).
    pub fn info(&self, text: fmt::Arguments<'_>) {
        self.log(Level::Info, text);
    }

    /// Takes the device's lock (`device_lock`).
    #[track_caller]
    #[inline(never)]
    pub fn lock<'t, H>(self: &'t Arc<Self>, held: &'t mut Held<'_, H>) -> LockedDevice<'t>
    where
        H: Before<DeviceLock>,
    {
        let (state, held) = self.mutex.lock(held);
        LockedDevice {
            device: self,
            state,
            held,
        }
    }

    pub(crate) fn set_driver(&self, driver: Option<Arc<dyn Driver>>) {
        // What was there is dropped after the lock: it may be the last reference, and a driver's drop is foreign code.
        let previous = std::mem::replace(
            &mut *self.driver.lock().unwrap_or_else(PoisonError::into_inner),
            driver,
        );
        drop(previous);
    }

    fn replace_drvdata(&self, data: Option<Arc<dyn Any + Send + Sync>>) {
        let previous = std::mem::replace(
            &mut *self.drvdata.lock().unwrap_or_else(PoisonError::into_inner),
            data,
        );
        drop(previous);
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({}/{})", self.bus, self.name)
    }
}

/// A device whose lock the calling thread holds.
pub struct LockedDevice<'t> {
    device: &'t Arc<Device>,
    pub(crate) state: order::MutexGuard<'t, DeviceLock, DeviceState>,
    held: Held<'t, DeviceLock>,
}

impl<'t> LockedDevice<'t> {
    /// The device.
    pub fn device(&self) -> &'t Arc<Device> {
        self.device
    }

    /// The permission to take what comes after `device_lock`.
    pub fn held(&mut self) -> &mut Held<'t, DeviceLock> {
        &mut self.held
    }

    /// Attaches the driver's data (`dev_set_drvdata`); dropped when the device is unbound.
    pub fn set_drvdata<T: Any + Send + Sync>(&mut self, data: Arc<T>) {
        self.device.replace_drvdata(Some(data));
    }

    /// What the driver has attached, if it is a `T`.
    pub fn drvdata<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.device.drvdata()
    }

    /// Drops what the driver has attached.
    pub(crate) fn clear_drvdata(&mut self) {
        self.device.replace_drvdata(None);
    }

    /// Whether the device is on its way out and binds to nothing any more.
    pub fn is_dead(&self) -> bool {
        self.state.dead
    }
}

impl fmt::Debug for LockedDevice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "LockedDevice({}/{})",
            self.device.bus(),
            self.device.name()
        )
    }
}
