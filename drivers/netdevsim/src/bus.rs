//! The bus: making and removing devices (`bus.c`).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use devlink::Subsystem;
use driver_core::bus::PlainBus;
use driver_core::{Bus, Device, Driver, DriverCore, Ida, LockedDevice};
use kernfs::Dir;
use lock_order::{ChildDevices, DeviceLock, DriverLock};
use lockdep::ClassKey;
use lockdep::order::{self, Before, Held};
use net_core::{Net, NetCore};
use netlink::KernelVersion;
use rustix::io::Errno;

use crate::MODULE_NAME;
use crate::peer::Peers;
use crate::ptp::Clock;
use crate::vfs::Vfs;
use crate::{dev, sysfs};

/// The list of devices, locked while one is being made or removed.
static NSIM_BUS_DEV_LIST_LOCK: ClassKey = ClassKey::new("nsim_bus_dev_list_lock");

/// Ids are what fits into the kernel's `int`.
const MAX_ID: u32 = i32::MAX as u32;

/// How the driver is to behave on this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Config {
    /// Network devices get the names that udev would give them (`eni10np1`); without, the kernel's (`eth0`).
    pub udev_names: bool,
}

/// The loaded module `netdevsim`, with its bus.
pub struct Netdevsim {
    driver_core: Arc<DriverCore>,
    net_core: Arc<NetCore>,
    devlink: Arc<Subsystem>,
    config: Config,
    bus_dev_list: order::Mutex<DriverLock, BTreeMap<u32, Arc<Device>>>,
    peers: Peers,
    clocks: Arc<Ida>,
}

/// What the bus knows about a device (`struct nsim_bus_dev`).
#[derive(Debug)]
pub struct NsimBusDev {
    /// The device's number, the end of its name.
    pub id: u32,
    /// Ports it begins with, and has again after each reload.
    pub port_count: u32,
    /// Queues of each port's network device.
    pub num_queues: u32,
    /// Its virtual functions.
    pub vfs: Vfs,
    /// The namespace of whoever made it.
    pub initial_net: Arc<Net>,
}

impl Netdevsim {
    /// The module for this machine, not loaded yet.
    pub fn new(
        driver_core: Arc<DriverCore>,
        net_core: Arc<NetCore>,
        devlink: Arc<Subsystem>,
        config: Config,
    ) -> Arc<Self> {
        Arc::new(Netdevsim {
            driver_core,
            net_core,
            devlink,
            config,
            bus_dev_list: order::Mutex::with_class(&NSIM_BUS_DEV_LIST_LOCK, BTreeMap::new()),
            peers: Peers::new(),
            clocks: Arc::new(Ida::new()),
        })
    }

    /// Loads the module: registers its driver.
    ///
    /// # Errors
    /// `EEXIST` when it is loaded.
    pub fn load<H: Before<DeviceLock>>(
        self: &Arc<Self>,
        held: &mut Held<'_, H>,
    ) -> Result<(), Errno> {
        self.driver_core.debugfs().create_dir(MODULE_NAME)?;
        self.driver_core.register_bus(PlainBus::new(MODULE_NAME));
        let driver = NsimDriver {
            module: Arc::clone(self),
        };
        self.bus().register_driver(held, Arc::new(driver))?;
        sysfs::make_bus_files(self)
    }

    /// Unloads the module: every device goes, then the driver (`bus.c: nsim_bus_exit`).
    ///
    /// # Errors
    /// `ENODEV` when it is not loaded.
    pub fn unload<H>(&self, held: &mut Held<'_, H>) -> Result<(), Errno>
    where
        H: Before<DriverLock> + Before<DeviceLock>,
    {
        // Not with the list locked: whoever is writing to them may be waiting for it.
        sysfs::remove_bus_files(self);
        {
            let (mut list, mut held) = self.bus_dev_list.lock(held);
            while let Some((_, device)) = list.pop_first() {
                self.bus().remove_device(&mut held.child_devices(), &device);
            }
        }
        let result = self.bus().unregister_driver(held, MODULE_NAME);
        self.driver_core.unregister_bus(MODULE_NAME);
        self.driver_core.debugfs().remove_entry(MODULE_NAME);
        result
    }

    /// Whether the module is loaded.
    pub fn is_loaded(&self) -> bool {
        self.ddir().is_some()
    }

    /// `/sys/kernel/debug/netdevsim/`, while the module is loaded.
    pub fn ddir(&self) -> Option<Dir> {
        self.driver_core.debugfs().dir(MODULE_NAME)
    }

    /// Makes device `id` with so many ports, in the namespace `net`: what writing `id port_count num_queues` to
    /// `/sys/bus/netdevsim/new_device` does (`bus.c: new_device_store`).
    ///
    /// # Errors
    /// `EINVAL` for an id above `INT_MAX`, `ENOSPC` for one that is in use. A device whose probe fails exists all the
    /// same, without a driver.
    #[inline(never)]
    pub fn new_device<H: Before<DriverLock>>(
        &self,
        held: &mut Held<'_, H>,
        id: u32,
        port_count: u32,
        num_queues: u32,
        net: Arc<Net>,
    ) -> Result<Arc<Device>, Errno> {
        if id > MAX_ID {
            self.pr_err("Value of \"id\" is too big.");
            return Err(Errno::INVAL);
        }
        let (mut list, mut held) = self.bus_dev_list.lock(held);
        if list.contains_key(&id) {
            return Err(Errno::NOSPC);
        }
        let bus_dev = NsimBusDev {
            id,
            port_count,
            num_queues,
            vfs: Vfs::default(),
            initial_net: net,
        };
        let device = Device::new(&self.bus(), format!("{MODULE_NAME}{id}"), None, bus_dev);
        let weak = Arc::downgrade(&device);
        device.set_groups(move |dir| sysfs::make_device_files(&weak, dir));
        self.bus().add_device(&mut held.child_devices(), &device)?;
        list.insert(id, Arc::clone(&device));
        Ok(device)
    }

    /// Removes device `id`: what writing it to `/sys/bus/netdevsim/del_device` does (`bus.c: del_device_store`).
    ///
    /// # Errors
    /// `EINVAL` for an id above `INT_MAX`, `ENOENT` when there is no such device.
    #[inline(never)]
    pub fn del_device<H: Before<DriverLock>>(
        &self,
        held: &mut Held<'_, H>,
        id: u32,
    ) -> Result<(), Errno> {
        if id > MAX_ID {
            self.pr_err("Value of \"id\" is too big.");
            return Err(Errno::INVAL);
        }
        let (mut list, mut held) = self.bus_dev_list.lock(held);
        let device = list.remove(&id).ok_or(Errno::NOENT)?;
        self.bus().remove_device(&mut held.child_devices(), &device);
        Ok(())
    }

    /// The bus `netdevsim`, which comes with its first device or with the module. Its directory goes with the module.
    pub fn bus(&self) -> Arc<Bus> {
        let register = || self.driver_core.register_bus(PlainBus::new(MODULE_NAME));
        self.driver_core.bus(MODULE_NAME).unwrap_or_else(register)
    }

    /// The configuration.
    pub(crate) fn config(&self) -> Config {
        self.config
    }

    /// The machine's driver core.
    pub(crate) fn driver_core(&self) -> &Arc<DriverCore> {
        &self.driver_core
    }

    /// The machine's network namespaces and devices.
    pub(crate) fn net_core(&self) -> &Arc<NetCore> {
        &self.net_core
    }

    /// A clock for a network device, where the kernel is built with such clocks.
    pub(crate) fn new_clock(&self, device: &Device) -> Result<Option<Clock>, Errno> {
        let has_clocks = self.driver_core.build().mock_clocks;
        has_clocks
            .then(|| Clock::new(&self.clocks, device))
            .transpose()
    }

    pub(crate) fn peers(&self) -> &Peers {
        &self.peers
    }

    /// The machine's devlink subsystem.
    pub(crate) fn devlink(&self) -> &Arc<Subsystem> {
        &self.devlink
    }

    /// Whether the machine shows this kernel or a newer one.
    pub(crate) fn kernel_is_at_least(&self, major: u8, minor: u8) -> bool {
        self.devlink.kernel().has(KernelVersion::new(major, minor))
    }
}

impl fmt::Debug for Netdevsim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Netdevsim")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// The one driver of the bus.
struct NsimDriver {
    module: Arc<Netdevsim>,
}

impl Driver for NsimDriver {
    fn name(&self) -> &str {
        MODULE_NAME
    }

    /// Every device of the bus is the driver's.
    fn matches(&self, device: &Device) -> bool {
        device.data::<NsimBusDev>().is_some()
    }

    fn probe(&self, device: &mut LockedDevice<'_>) -> Result<(), Errno> {
        dev::probe(&self.module, device)
    }

    fn remove(&self, device: &mut LockedDevice<'_>) {
        dev::remove(device);
    }
}
