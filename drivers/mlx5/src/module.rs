//! What loading the modules does, and what all functions share (`main.c: mlx5_init`).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError};

use devlink::Subsystem;
use driver_core::pci::{self, Address};
use driver_core::{Bus, Device, Driver, DriverCore, Ida, SeededRng, auxiliary};
use lock_order::{DeviceLock, DevlinkLock};
use lockdep::order::{Before, Held};
use net_core::NetCore;
use netlink::KernelVersion;
use rustix::io::Errno;

use crate::core::CoreDriver;
use crate::core_dev::CoreDev;
use crate::devcom::Devcom;
use crate::fault::Faults;
use crate::firmware::Firmware;
use crate::fw_reset;
use crate::locking::DriverLocking;
use crate::netdev::EthDriver;
use crate::other::OtherDriver;
use crate::profile::Profile;
use crate::rdma::{RdmaDriver, is_rdma};
use crate::rep::EthRepDriver;
use crate::sf::SfDriver;
use crate::{health, host};

/// How the driver is to behave on this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Config {
    /// The generation of locking.
    pub locking: DriverLocking,
    /// Network devices get the names that udev would give them (`enp0s9np0`); without, the kernel's (`eth0`).
    pub udev_names: bool,
    /// What decides about faults that happen with a probability.
    pub seed: u64,
}

/// What a physical function finds of its adapter.
#[derive(Debug, Clone)]
pub(crate) struct Adapter {
    /// The function's number there.
    pub(crate) index: u8,
    pub(crate) profile: Arc<Profile>,
    pub(crate) firmware: Arc<Firmware>,
}

/// The loaded modules `mlx5_core` and `mlx5_ib`.
pub struct Module {
    driver_core: Arc<DriverCore>,
    net_core: Arc<NetCore>,
    devlink: Arc<Subsystem>,
    config: Config,
    /// The physical functions that are plugged in, by address.
    adapters: lockdep::Mutex<BTreeMap<Address, Adapter>>,
    faults: Arc<Faults>,
    pub(crate) adev_ida: Ida,
    rdma: Arc<rdma::Core>,
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
        let auxiliary = self.driver_core.auxiliary();
        let eth = EthDriver::new(Arc::clone(self));
        auxiliary.register_driver(held, Arc::new(eth))?;
        auxiliary.register_driver(held, Arc::new(EthRepDriver))?;
        auxiliary.register_driver(held, Arc::new(SfDriver))?;
        for driver in OtherDriver::ALL {
            auxiliary.register_driver(held, Arc::new(driver))?;
        }
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
        for driver in RdmaDriver::both(self) {
            match auxiliary.register_driver(held, Arc::new(driver)) {
                // Another part has appeared at the same time.
                Ok(()) | Err(Errno::BUSY) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// Unloads both modules, in reverse; every function is given up.
    ///
    /// # Errors
    /// `ENODEV` when they are not loaded.
    pub fn unload<H: Before<DeviceLock>>(&self, held: &mut Held<'_, H>) -> Result<(), Errno> {
        let auxiliary = self.driver_core.auxiliary();
        for name in [RdmaDriver::REP_NAME, RdmaDriver::NAME] {
            if auxiliary.find_driver(name).is_some() {
                auxiliary.unregister_driver(held, name)?;
            }
        }
        self.driver_core
            .pci()
            .unregister_driver(held, CoreDriver::NAME)?;
        for driver in OtherDriver::ALL.iter().rev() {
            auxiliary.unregister_driver(held, driver.name())?;
        }
        auxiliary.unregister_driver(held, SfDriver::NAME)?;
        auxiliary.unregister_driver(held, EthRepDriver::NAME)?;
        auxiliary.unregister_driver(held, EthDriver::NAME)
    }

    /// The modules for this machine, not loaded yet.
    pub fn new(
        driver_core: Arc<DriverCore>,
        net_core: Arc<NetCore>,
        devlink: Arc<Subsystem>,
        config: Config,
    ) -> Arc<Self> {
        let rdma = rdma::Core::new(&driver_core, devlink.kernel());
        Arc::new(Module {
            rdma,
            driver_core,
            net_core,
            devlink,
            config,
            faults: Arc::new(Faults::new(Arc::new(SeededRng::new(config.seed)))),
            adapters: lockdep::Mutex::named("mlx5 adapters", BTreeMap::new()),
            adev_ida: Ida::new(),
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
        let firmware = Firmware::new(&profile);
        for (index, address) in (0..).zip(&addresses) {
            let adapter = Adapter {
                index,
                profile: Arc::clone(&profile),
                firmware: Arc::clone(&firmware),
            };
            self.adapters().insert(*address, adapter);
        }
        let functions = (0..)
            .zip(addresses)
            .map(|(index, address)| plug_function(&pci, held, address, index, &profile))
            .collect::<Result<_, _>>()?;
        self.autoload_ib(held)?;
        Ok(functions)
    }

    /// What the physical function at `address` is.
    pub(crate) fn adapter_of(&self, address: Address) -> Option<Adapter> {
        self.adapters().get(&address).cloned()
    }

    /// What is to go wrong, with devices and with the machine's clients.
    pub fn faults(&self) -> &Arc<Faults> {
        &self.faults
    }

    /// The functions that are bound to the driver: physical, virtual and sub-functions, in this order.
    pub fn functions(&self) -> Vec<Arc<CoreDev>> {
        let pci = self.driver_core.pci().devices();
        let auxiliary = self.driver_core.auxiliary().devices();
        pci.iter()
            .chain(&auxiliary)
            .filter(|device| !device.name().starts_with("mlx5_core.") || is_sf(device))
            .filter_map(|device| device.drvdata::<CoreDev>())
            .collect()
    }

    /// The bound function of this name on its bus (`0000:00:09.0`, `mlx5_core.sf.2`).
    pub fn function(&self, name: &str) -> Option<Arc<CoreDev>> {
        let found = self.functions().into_iter();
        found.into_iter().find(|dev| dev.device().name() == name)
    }

    /// The firmware of a function raises a syndrome, a fatal one or not: its health reporters are told.
    ///
    /// # Errors
    /// `ENODEV` when the function has no reporters; what a recovery says.
    pub fn raise_syndrome<H: Before<DevlinkLock>>(
        &self,
        held: &mut Held<'_, H>,
        dev: &Arc<CoreDev>,
        syndrome: u8,
        fatal: bool,
    ) -> Result<(), Errno> {
        health::raise(dev, held, syndrome, fatal)
    }

    /// Another host activates a firmware on the adapter of this function: all its physical functions go through the reset
    /// and count a remote reload.
    pub fn remote_firmware_reset(&self, dev: &Arc<CoreDev>) {
        fw_reset::remote_reset(dev);
    }

    /// The host behind an embedded function sets its own function's `sriov_numvfs`; the ports follow when the firmware's event
    /// has been handled.
    ///
    /// # Errors
    /// As on the host: `ERANGE` for more than there can be, `ENOENT` while it cannot use its function, `EBUSY` when there are
    /// some already. `ENODEV` for a function that has no host behind it.
    pub fn host_vfs(&self, dev: &CoreDev, count: u16) -> Result<(), Errno> {
        host::set_vfs(dev, count)
    }

    /// The host behind an embedded function loads or unloads its driver.
    ///
    /// # Errors
    /// `ENODEV` for a function that has no host behind it.
    pub fn host_driver(&self, dev: &CoreDev, loaded: bool) -> Result<(), Errno> {
        host::set_driver(dev, loaded)
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

    /// The machine's InfiniBand devices.
    pub fn rdma(&self) -> &Arc<rdma::Core> {
        &self.rdma
    }

    /// The machine's devlink subsystem.
    pub fn devlink(&self) -> &Arc<Subsystem> {
        &self.devlink
    }

    /// Whether the machine shows this kernel or a newer one.
    pub(crate) fn kernel_is_at_least(&self, major: u8, minor: u8) -> bool {
        self.devlink.kernel().has(KernelVersion::new(major, minor))
    }

    fn adapters(&self) -> lockdep::MutexGuard<'_, BTreeMap<Address, Adapter>> {
        self.adapters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an auxiliary device is a sub-function, not a part of a function.
fn is_sf(device: &Device) -> bool {
    auxiliary::part_name(device) == Some("sf")
}

/// Puts one function of an adapter on the bus.
fn plug_function<H: Before<DeviceLock>>(
    pci: &Bus,
    held: &mut Held<'_, H>,
    address: Address,
    index: u8,
    profile: &Profile,
) -> Result<Arc<Device>, Errno> {
    let function = pci::Function {
        subsystem: pci::Id {
            vendor: profile.subsystem_vendor,
            device: profile.subsystem_device,
        },
        total_vfs: profile.total_vfs,
        vf: pci::VfLayout {
            offset: profile.vf_offset(index),
            stride: 1,
            device: profile.vf_device,
        },
        serial: Some(profile.board_serial_number.clone()),
        numa_node: profile.numa_node,
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
