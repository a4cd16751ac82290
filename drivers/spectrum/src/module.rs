//! Loading the module, plugging a switch in, and the driver of its PCI function (`pci.c`).

use std::fmt;
use std::sync::Arc;

use devlink::Subsystem;
use driver_core::pci::{self, Address};
use driver_core::{Device, Driver, DriverCore, LockedDevice};
use lock_order::DeviceLock;
use lockdep::order::{Before, Held};
use net_core::NetCore;
use rustix::io::Errno;

use crate::linecard_dev::LinecardDriver;
use crate::{DRIVER_NAME, device};

/// A switch of the second generation with slots, which Mellanox never made.
const ID: pci::Id = pci::Id {
    vendor: 0x15b3,
    device: 0xcf6c,
};

/// How the driver is to behave on this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Config {
    /// Network devices get the names that udev would give them (`enp1s0np1`); without, the kernel's (`eth0`).
    pub udev_names: bool,
}

/// The module.
pub struct Module {
    driver_core: Arc<DriverCore>,
    net_core: Arc<NetCore>,
    devlink: Arc<Subsystem>,
    config: Config,
}

impl Module {
    /// The module for this machine, not loaded yet.
    pub fn new(
        driver_core: Arc<DriverCore>,
        net_core: Arc<NetCore>,
        devlink: Arc<Subsystem>,
        config: Config,
    ) -> Arc<Self> {
        Arc::new(Module {
            driver_core,
            net_core,
            devlink,
            config,
        })
    }

    /// Loads the module: the driver of line cards, then that of switches, which takes those that are there.
    ///
    /// # Errors
    /// `EBUSY` when it is loaded.
    pub fn load<H: Before<DeviceLock>>(
        self: &Arc<Self>,
        held: &mut Held<'_, H>,
    ) -> Result<(), Errno> {
        let linecards = LinecardDriver::new(Arc::clone(&self.devlink));
        let auxiliary = self.driver_core.auxiliary();
        auxiliary.register_driver(held, Arc::new(linecards))?;
        let switches = SwitchDriver(Arc::clone(self));
        self.driver_core
            .pci()
            .register_driver(held, Arc::new(switches))
    }

    /// Unloads the module, in reverse; every switch is given up.
    ///
    /// # Errors
    /// `ENODEV` when it is not loaded.
    pub fn unload<H: Before<DeviceLock>>(&self, held: &mut Held<'_, H>) -> Result<(), Errno> {
        self.driver_core
            .pci()
            .unregister_driver(held, DRIVER_NAME)?;
        let auxiliary = self.driver_core.auxiliary();
        auxiliary.unregister_driver(held, LinecardDriver::NAME)
    }

    /// Plugs a switch in.
    ///
    /// # Errors
    /// `EEXIST` when the address is taken.
    pub fn plug<H: Before<DeviceLock>>(
        &self,
        held: &mut Held<'_, H>,
        address: Address,
    ) -> Result<Arc<Device>, Errno> {
        let function = pci::Function::ethernet(address, ID);
        pci::add_function(&self.driver_core.pci(), held, None, function)
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

    /// The machine's devlink subsystem.
    pub(crate) fn devlink(&self) -> &Arc<Subsystem> {
        &self.devlink
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// The driver of switches.
struct SwitchDriver(Arc<Module>);

impl Driver for SwitchDriver {
    fn name(&self) -> &str {
        DRIVER_NAME
    }

    fn matches(&self, device: &Device) -> bool {
        pci::match_device(&[ID], device).is_some()
    }

    fn probe(&self, device: &mut LockedDevice<'_>) -> Result<(), Errno> {
        device::probe(&self.0, device)
    }

    fn remove(&self, device: &mut LockedDevice<'_>) {
        device::remove(device);
    }
}
