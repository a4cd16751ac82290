//! One function of an adapter: who it is, and what its parts share.

use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError, Weak};

use devlink::{Devlink, Port};
use driver_core::pci::{self, Address};
use driver_core::{Device, Level};
use lock_order::DriverLock;
use lockdep::order;
use lockdep::{ClassKey, DynamicClass};
use rustix::io::Errno;

use crate::dev::Parts;
use crate::devcom::Component;
use crate::fw_reset::Firmware;
use crate::lag::Lag;
use crate::locking::DriverLocking;
use crate::module::Module;
use crate::netdev::Uplink;
use crate::params::{DriverInit, Settings};
use crate::profile::Profile;

/// The class of the state mutex while all devices shared one; today each device has its own.
static INTF_STATE_MUTEX: ClassKey = ClassKey::new("&dev->intf_state_mutex");

/// One function of an adapter (`struct mlx5_core_dev`).
pub struct CoreDev {
    this: Weak<CoreDev>,
    module: Arc<Module>,
    device: Arc<Device>,
    address: Address,
    profile: Arc<Profile>,
    /// Number shared by the function's parts, unique on the machine.
    adev_idx: u32,
    /// Set once, right after allocation; the subsystem owns the instance, the instance owns this.
    devlink: OnceLock<Weak<Devlink>>,
    hca_devcom_comp: Arc<Component>,
    intf_state_mutex: order::Mutex<DriverLock, IntfState>,
    pub(crate) settings: Settings,
    pub(crate) firmware: Firmware,
    pub(crate) lag: lockdep::Mutex<Option<Arc<Lag>>>,
    pub(crate) uplink: Uplink,
    uplink_port: lockdep::Mutex<Option<Arc<Port>>>,
}

/// What `&dev->intf_state_mutex` protects.
#[derive(Debug, Default)]
pub struct IntfState {
    /// The function is loaded (`MLX5_INTERFACE_STATE_UP`).
    pub(crate) up: bool,
    /// The parts on the auxiliary bus.
    pub(crate) parts: Parts,
    /// The driverinit parameters in effect: those of the last probe or reload.
    pub(crate) config: DriverInit,
}

impl CoreDev {
    pub(crate) fn alloc(module: &Arc<Module>, device: &Arc<Device>) -> Result<Arc<Self>, Errno> {
        let address = pci::function(device).ok_or(Errno::NODEV)?.address;
        let profile = module.profile_of(address).ok_or(Errno::NODEV)?;
        let adev_idx = module.adev_ida.alloc()?;
        let intf_state_mutex = match module.config().locking {
            DriverLocking::Today => order::Mutex::with_class(
                DynamicClass::new("&dev->intf_state_mutex"),
                IntfState::default(),
            ),
            DriverLocking::November2021 => {
                order::Mutex::with_class(&INTF_STATE_MUTEX, IntfState::default())
            }
        };
        let dev = Arc::new_cyclic(|this| CoreDev {
            this: Weak::clone(this),
            hca_devcom_comp: module.devcom.register_component(profile.system_image_guid),
            settings: Settings::new(&profile),
            firmware: Firmware::new(&profile),
            module: Arc::clone(module),
            device: Arc::clone(device),
            address,
            profile,
            adev_idx,
            devlink: OnceLock::new(),
            intf_state_mutex,
            lag: lockdep::Mutex::named("mlx5 lag", None),
            uplink: Uplink::new(),
            uplink_port: lockdep::Mutex::named("mlx5 uplink port", None),
        });
        dev.hca_devcom_comp.add(&dev);
        Ok(dev)
    }

    /// A reference to itself, for who was called through one of its traits.
    pub(crate) fn this(&self) -> Arc<Self> {
        self.this
            .upgrade()
            .expect("who calls a method holds a reference")
    }

    /// The module that drives it.
    pub fn module(&self) -> &Arc<Module> {
        &self.module
    }

    /// The PCI function.
    pub fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// Where the function sits.
    pub fn address(&self) -> Address {
        self.address
    }

    /// The adapter's model.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The generation of locking.
    pub fn locking(&self) -> DriverLocking {
        self.module.config().locking
    }

    /// The number of the function within the adapter, which is also the number of its port
    /// (`lib/mlx5.h: mlx5_get_dev_index`).
    pub fn dev_index(&self) -> u8 {
        self.address.function()
    }

    /// The function's id in the firmware; part of every port index.
    pub fn vhca_id(&self) -> u16 {
        u16::from(self.dev_index())
    }

    /// The number that the function's parts carry in their names.
    pub fn adev_idx(&self) -> u32 {
        self.adev_idx
    }

    /// The MAC address of the function's network device.
    pub fn mac(&self) -> [u8; 6] {
        self.profile.mac(self.dev_index())
    }

    /// The function's devlink instance (`priv_to_devlink`).
    pub fn devlink(&self) -> Arc<Devlink> {
        self.devlink
            .get()
            .and_then(Weak::upgrade)
            .expect("the instance is allocated by probe_one and lives until remove_one frees it")
    }

    /// Ties the function to its instance, once.
    pub(crate) fn set_devlink(&self, devlink: &Arc<Devlink>) {
        self.devlink
            .set(Arc::downgrade(devlink))
            .expect("a new function has no instance yet");
    }

    /// Held while the function is loaded or unloaded.
    pub(crate) fn intf_state_mutex(&self) -> &order::Mutex<DriverLock, IntfState> {
        &self.intf_state_mutex
    }

    /// The adapter that the function is part of.
    pub(crate) fn hca_devcom_comp(&self) -> &Arc<Component> {
        &self.hca_devcom_comp
    }

    /// The devlink port with the connector, while there is one.
    pub fn uplink_port(&self) -> Option<Arc<Port>> {
        self.uplink_port
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn set_uplink_port(&self, port: Option<Arc<Port>>) -> Option<Arc<Port>> {
        let mut uplink_port = self
            .uplink_port
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *uplink_port, port)
    }

    /// A line in the log (`mlx5_core_info`).
    pub(crate) fn info(&self, text: fmt::Arguments<'_>) {
        self.device.info(text);
    }

    /// A warning in the log. With the function's name in front, as the kernel's has it with line and process id, which
    /// mean nothing here (`mlx5_core_warn`).
    pub(crate) fn warn(&self, text: fmt::Arguments<'_>) {
        self.device.log(Level::Warning, text);
    }

    /// An error in the log (`mlx5_core_err`).
    pub(crate) fn err(&self, text: fmt::Arguments<'_>) {
        self.device.log(Level::Err, text);
    }
}

impl fmt::Debug for CoreDev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CoreDev({})", self.address)
    }
}
