//! What loading the modules does, and what all functions share (`main.c: mlx5_init`).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError};

use devlink::Subsystem;
use driver_core::pci::{self, Address};
use driver_core::{Bus, Device, DriverCore, Ida};
use lock_order::DeviceLock;
use lockdep::order::{Before, Held};
use net_core::NetCore;
use netlink::KernelVersion;
use rustix::io::Errno;

use crate::core::CoreDriver;
use crate::devcom::Devcom;
use crate::locking::DriverLocking;
use crate::netdev::EthDriver;
use crate::profile::Profile;
use crate::rdma::{RdmaDriver, is_rdma};

/// How the driver is to behave on this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Config {
    /// The generation of locking.
    pub locking: DriverLocking,
    /// Network devices get the names that udev would give them (`enp0s9np0`); without, the kernel's (`eth0`).
    pub udev_names: bool,
}

/// The loaded modules `mlx5_core` and `mlx5_ib`.
pub struct Module {
    driver_core: Arc<DriverCore>,
    net_core: Arc<NetCore>,
    devlink: Arc<Subsystem>,
    config: Config,
    adapters: lockdep::Mutex<BTreeMap<Address, Arc<Profile>>>,
    pub(crate) adev_ida: Ida,
    pub(crate) ib_ida: Ida,
    pub(crate) devcom: Devcom,
}

impl Module {
    /// Loads `mlx5_core`: registers the drivers of the Ethernet parts and of the PCI functions, in this order, and with
    /// that takes the functions that are on the bus already. `mlx5_ib` follows as soon as there is an RDMA part, as udev
    /// loads it.
    ///
    /// # Errors
    /// `EBUSY` when it is loaded already.
    pub fn load<H: Before<DeviceLock>>(
        self: &Arc<Self>,
        held: &mut Held<'_, H>,
    ) -> Result<(), Errno> {
        let eth = EthDriver::new(Arc::clone(self));
        self.driver_core
            .auxiliary()
            .register_driver(held, Arc::new(eth))?;
        let core = CoreDriver::new(Arc::clone(self));
        self.driver_core
            .pci()
            .register_driver(held, Arc::new(core))?;
        self.autoload_ib(held)
    }

    /// Loads `mlx5_ib`, if there is a part for it and it is not loaded: the driver finds its parts waiting for it.
    fn autoload_ib<H: Before<DeviceLock>>(
        self: &Arc<Self>,
        held: &mut Held<'_, H>,
    ) -> Result<(), Errno> {
        let auxiliary = self.driver_core.auxiliary();
        let mut parts = auxiliary.devices().into_iter();
        if auxiliary.find_driver(RdmaDriver::NAME).is_some() || !parts.any(|part| is_rdma(&part)) {
            return Ok(());
        }
        let driver = RdmaDriver::new(Arc::clone(self));
        match auxiliary.register_driver(held, Arc::new(driver)) {
            // Another part has appeared at the same time.
            Err(Errno::BUSY) => Ok(()),
            result => result,
        }
    }

    /// Unloads both modules, in reverse; every function is given up.
    ///
    /// # Errors
    /// `ENODEV` when they are not loaded.
    pub fn unload<H: Before<DeviceLock>>(&self, held: &mut Held<'_, H>) -> Result<(), Errno> {
        let auxiliary = self.driver_core.auxiliary();
        if auxiliary.find_driver(RdmaDriver::NAME).is_some() {
            auxiliary.unregister_driver(held, RdmaDriver::NAME)?;
        }
        self.driver_core
            .pci()
            .unregister_driver(held, CoreDriver::NAME)?;
        auxiliary.unregister_driver(held, EthDriver::NAME)
    }

    /// The modules for this machine, not loaded yet.
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
            adapters: lockdep::Mutex::named("mlx5 adapters", BTreeMap::new()),
            adev_ida: Ida::new(),
            ib_ida: Ida::new(),
            devcom: Devcom::new(config.locking),
        })
    }

    /// Plugs an adapter in: each of its physical functions appears on the PCI bus, the first at `address`, the next ones
    /// as further functions of the same device. They are returned in that order. The firmware that a function answers
    /// with is `profile`'s.
    ///
    /// # Errors
    /// `EINVAL` when `address` leaves no room for all functions, `EEXIST` when one of the addresses is taken.
    pub fn plug<H: Before<DeviceLock>>(
        self: &Arc<Self>,
        held: &mut Held<'_, H>,
        address: Address,
        profile: Profile,
    ) -> Result<Vec<Arc<Device>>, Errno> {
        let profile = Arc::new(profile);
        let pci = self.driver_core.pci();
        let addresses = (0..profile.physical_functions)
            .map(|function| {
                let function = address.function().checked_add(function)?;
                Address::new(address.domain(), address.bus(), address.device(), function)
            })
            .collect::<Option<Vec<_>>>()
            .ok_or(Errno::INVAL)?;
        if addresses
            .iter()
            .any(|address| pci.find_device(&address.to_string()).is_some())
        {
            return Err(Errno::EXIST);
        }
        // All of them before the first is probed: whether a device has several functions is part of their names.
        for address in &addresses {
            self.adapters().insert(*address, Arc::clone(&profile));
        }
        let functions = addresses
            .into_iter()
            .map(|address| plug_function(&pci, held, address, &profile))
            .collect::<Result<_, _>>()?;
        self.autoload_ib(held)?;
        Ok(functions)
    }

    /// What the firmware of the function at `address` would say of itself.
    pub(crate) fn profile_of(&self, address: Address) -> Option<Arc<Profile>> {
        self.adapters().get(&address).cloned()
    }

    /// Whether another function of the same PCI device exists: udev then names the function, too.
    pub(crate) fn is_multifunction(&self, address: Address) -> bool {
        self.adapters().keys().any(|other| {
            *other != address
                && (other.domain(), other.bus(), other.device())
                    == (address.domain(), address.bus(), address.device())
        })
    }

    /// The configuration.
    pub fn config(&self) -> Config {
        self.config
    }

    /// The machine's driver core.
    pub fn driver_core(&self) -> &Arc<DriverCore> {
        &self.driver_core
    }

    /// The machine's network namespaces and devices.
    pub fn net_core(&self) -> &Arc<NetCore> {
        &self.net_core
    }

    /// The machine's devlink subsystem.
    pub fn devlink(&self) -> &Arc<Subsystem> {
        &self.devlink
    }

    /// Whether the machine shows this kernel or a newer one.
    pub(crate) fn kernel_is_at_least(&self, major: u8, minor: u8) -> bool {
        self.devlink.kernel().has(KernelVersion::new(major, minor))
    }

    fn adapters(&self) -> lockdep::MutexGuard<'_, BTreeMap<Address, Arc<Profile>>> {
        self.adapters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts one function of an adapter on the bus.
fn plug_function<H: Before<DeviceLock>>(
    pci: &Bus,
    held: &mut Held<'_, H>,
    address: Address,
    profile: &Profile,
) -> Result<Arc<Device>, Errno> {
    let function = pci::Function {
        subsystem: pci::Id {
            vendor: profile.subsystem_vendor,
            device: profile.subsystem_device,
        },
        total_vfs: profile.total_vfs,
        serial: Some(profile.board_serial_number.to_owned()),
        ..pci::Function::ethernet(
            address,
            pci::Id {
                vendor: profile.vendor,
                device: profile.device,
            },
        )
    };
    pci::add_function(pci, held, None, function)
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
