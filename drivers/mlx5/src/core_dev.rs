//! One function of an adapter: who it is, and what its parts share.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
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
use crate::eswitch::{self, Eswitch};
use crate::firmware::Firmware;
use crate::fw_reset::FwReset;
use crate::health::Health;
use crate::host::Host;
use crate::lag::Lag;
use crate::locking::DriverLocking;
use crate::module::{Adapter, Module};
use crate::netdev::Uplink;
use crate::params::{DriverInit, Settings};
use crate::profile::Profile;
use crate::sf::SfManager;
use crate::traps;

/// The class of the state mutex while all devices shared one; today each device has its own.
static INTF_STATE_MUTEX: ClassKey = ClassKey::new("&dev->intf_state_mutex");

/// What kind of function it is (`enum mlx5_coredev_type`).
#[derive(Debug, Clone)]
pub enum Kind {
    /// A physical function: it has a connector, and an eswitch.
    Pf,
    /// A virtual function of a physical one.
    Vf {
        /// Whose.
        pf: Weak<CoreDev>,
        /// Which, from 0.
        number: u16,
    },
    /// A sub-function of a physical one.
    Sf {
        /// Whose.
        parent: Weak<CoreDev>,
        /// Its id in the firmware, which is its vport's number.
        fn_id: u16,
        /// The number that users know it by.
        sfnum: u32,
    },
}

/// One function of an adapter (`struct mlx5_core_dev`).
pub struct CoreDev {
    this: Weak<CoreDev>,
    module: Arc<Module>,
    kind: Kind,
    /// The PCI function, or the auxiliary device of a sub-function.
    device: Arc<Device>,
    /// Of the PCI function, or of the one that a sub-function is part of.
    address: Address,
    /// The number of the physical function within the adapter.
    index: u8,
    vhca_id: u16,
    profile: Arc<Profile>,
    /// Number shared by the function's parts, unique on the machine.
    adev_idx: u32,
    /// Set once, right after allocation; the subsystem owns the instance, the instance owns this.
    devlink: OnceLock<Weak<Devlink>>,
    /// A sub-function that is set up only as far as its parameters (`mlx5_dev_is_lightweight`).
    lightweight: AtomicBool,
    /// `None` for a function that cannot be aggregated.
    hca_devcom_comp: Option<Arc<Component>>,
    /// The parts on the auxiliary bus. A leaf: taken out while they change, under the instance's lock.
    pub(crate) parts: lockdep::Mutex<Parts>,
    /// The driverinit parameters in effect: those of the last probe or reload.
    config: lockdep::Mutex<DriverInit>,
    /// No InfiniBand parts for now, the eswitch changes its mode (`MLX5_PRIV_FLAGS_DISABLE_IB_ADEV`).
    pub(crate) disable_ib_adev: AtomicBool,
    eswitch: Option<Eswitch>,
    sf: Option<SfManager>,
    intf_state_mutex: order::Mutex<DriverLock, IntfState>,
    pub(crate) settings: Settings,
    /// The adapter's, shared by all its functions.
    firmware: Arc<Firmware>,
    /// `None` but for a physical function.
    pub(crate) fw_reset: Option<FwReset>,
    /// `None` but for an embedded function.
    host: Option<Host>,
    /// The firmware has been started for the function.
    pub(crate) set_up: AtomicBool,
    pub(crate) lag: lockdep::Mutex<Option<Arc<Lag>>>,
    pub(crate) traps: traps::Actions,
    pub(crate) health: Health,
    pub(crate) uplink: Uplink,
    uplink_port: lockdep::Mutex<Option<Arc<Port>>>,
    /// The instance that all functions of the chip share.
    pub(crate) shd: OnceLock<Arc<Devlink>>,
}

/// What `&dev->intf_state_mutex` protects.
#[derive(Debug, Default)]
pub struct IntfState {
    /// The function is loaded (`MLX5_INTERFACE_STATE_UP`).
    pub(crate) up: bool,
}

impl CoreDev {
    /// For a function on the PCI bus, physical or virtual.
    pub(crate) fn alloc(module: &Arc<Module>, device: &Arc<Device>) -> Result<Arc<Self>, Errno> {
        let address = pci::function(device).ok_or(Errno::NODEV)?.address;
        let (kind, pf_address) = match pci::sriov::physfn(device) {
            Some((physfn, number)) => {
                let pf = physfn.drvdata::<CoreDev>().ok_or(Errno::NODEV)?;
                let kind = Kind::Vf {
                    pf: Arc::downgrade(&pf),
                    number,
                };
                (kind, pf.address)
            }
            None => (Kind::Pf, address),
        };
        let adapter = module.adapter_of(pf_address).ok_or(Errno::NODEV)?;
        let adev_idx = module.adev_ida.alloc()?;
        Ok(Self::new(module, device, kind, address, adapter, adev_idx))
    }

    /// For a sub-function of `parent`, which is an auxiliary device of the number `adev_idx`.
    pub(crate) fn alloc_sf(
        parent: &Arc<CoreDev>,
        device: &Arc<Device>,
        fn_id: u16,
        sfnum: u32,
        adev_idx: u32,
    ) -> Arc<Self> {
        let kind = Kind::Sf {
            parent: Arc::downgrade(parent),
            fn_id,
            sfnum,
        };
        Self::new(
            &parent.module,
            device,
            kind,
            parent.address,
            Adapter {
                index: parent.index,
                profile: Arc::clone(&parent.profile),
                firmware: Arc::clone(&parent.firmware),
            },
            adev_idx,
        )
    }

    fn new(
        module: &Arc<Module>,
        device: &Arc<Device>,
        kind: Kind,
        address: Address,
        adapter: Adapter,
        adev_idx: u32,
    ) -> Arc<Self> {
        let Adapter {
            index,
            profile,
            firmware,
        } = adapter;
        let intf_state_mutex = match module.config().locking {
            DriverLocking::Today => order::Mutex::with_class(
                DynamicClass::new("&dev->intf_state_mutex"),
                IntfState::default(),
            ),
            DriverLocking::November2021 => {
                order::Mutex::with_class(&INTF_STATE_MUTEX, IntfState::default())
            }
        };
        let is_pf = matches!(kind, Kind::Pf);
        // In 2021 there was one lock for all functions of all adapters.
        let in_component = is_pf || module.config().locking == DriverLocking::November2021;
        let dev = Arc::new_cyclic(|this| CoreDev {
            this: Weak::clone(this),
            hca_devcom_comp: in_component
                .then(|| module.devcom.register_component(profile.system_image_guid)),
            parts: lockdep::Mutex::named("dev->priv.adev", Parts::default()),
            config: lockdep::Mutex::named("mlx5 driverinit", DriverInit::default()),
            disable_ib_adev: AtomicBool::new(false),
            lightweight: AtomicBool::new(false),
            eswitch: is_pf.then(|| Eswitch::new(&profile, module.config().locking)),
            sf: is_pf.then(|| SfManager::new(module, this, &profile, module.config().locking)),
            vhca_id: vhca_id(&profile, index, &kind),
            kind,
            index,
            shd: OnceLock::new(),
            settings: Settings::new(&profile),
            firmware,
            fw_reset: is_pf.then(|| FwReset::new(module, this)),
            host: (is_pf && profile.eswitch.embedded_cpu).then(|| Host::new(module, this)),
            set_up: AtomicBool::new(false),
            module: Arc::clone(module),
            device: Arc::clone(device),
            address,
            profile,
            adev_idx,
            devlink: OnceLock::new(),
            intf_state_mutex,
            lag: lockdep::Mutex::named("mlx5 lag", None),
            traps: traps::no_actions(),
            health: Health::new(),
            uplink: Uplink::new(),
            uplink_port: lockdep::Mutex::named("mlx5 uplink port", None),
        });
        if let Some(component) = dev.hca_devcom_comp.as_ref().filter(|_| is_pf) {
            component.add(&dev);
        }
        dev
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

    /// The adapter's firmware.
    pub(crate) fn firmware(&self) -> &Firmware {
        &self.firmware
    }

    /// The generation of locking.
    pub fn locking(&self) -> DriverLocking {
        self.module.config().locking
    }

    /// The number of the function within the adapter, which is also the number of its port
    /// (`lib/mlx5.h: mlx5_get_dev_index`).
    pub fn dev_index(&self) -> u8 {
        self.index
    }

    /// The function's id in the firmware; part of every port index.
    pub fn vhca_id(&self) -> u16 {
        self.vhca_id
    }

    /// The MAC address that the function was given: a physical one's own, another one's from the eswitch, all zeros if
    /// none was set there.
    pub(crate) fn permanent_mac(&self) -> [u8; 6] {
        let (owner, vport) = match &self.kind {
            Kind::Pf => return self.profile.mac(self.index),
            Kind::Vf { pf, number } => {
                let pf = pf.upgrade();
                let vport = pf.as_ref().map_or(0, |pf| eswitch::own_vf(pf, *number).1);
                (pf, vport)
            }
            Kind::Sf { parent, fn_id, .. } => (parent.upgrade(), *fn_id),
        };
        let vport = owner
            .as_ref()
            .and_then(|owner| owner.eswitch()?.vport(vport));
        vport.map_or([0; 6], |vport| vport.info().mac)
    }

    /// What kind of function it is.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Whether it is a physical function (`mlx5_core_is_pf`).
    pub fn is_pf(&self) -> bool {
        matches!(self.kind, Kind::Pf)
    }

    /// Whether it is a sub-function (`mlx5_core_is_sf`).
    pub fn is_sf(&self) -> bool {
        matches!(self.kind, Kind::Sf { .. })
    }

    /// Whether it manages the functions of another host, from a DPU (`mlx5_core_is_ecpf_esw_manager`).
    pub fn is_ecpf(&self) -> bool {
        self.is_pf() && self.profile.eswitch.embedded_cpu
    }

    /// A sub-function that has no parts and takes no part in anything until it is reloaded.
    pub fn is_lightweight(&self) -> bool {
        self.lightweight.load(Ordering::Acquire)
    }

    pub(crate) fn set_lightweight(&self, lightweight: bool) {
        self.lightweight.store(lightweight, Ordering::Release);
    }

    /// The eswitch; `None` but for a physical function.
    pub fn eswitch(&self) -> Option<&Eswitch> {
        self.eswitch.as_ref()
    }

    /// The host behind it; `None` but for an embedded function.
    pub(crate) fn host(&self) -> Option<&Host> {
        self.host.as_ref()
    }

    /// The sub-functions; `None` but for a physical function.
    pub(crate) fn sf(&self) -> Option<&SfManager> {
        self.sf.as_ref()
    }

    /// Whether it is the kind of kernel in which the Ethernet part has an instance of its own.
    pub(crate) fn has_eth_devlink(&self) -> bool {
        self.locking() == DriverLocking::Today && self.module.kernel_is_at_least(6, 4)
    }

    /// The driverinit parameters in effect.
    pub(crate) fn config(&self) -> DriverInit {
        *self.config.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_config(&self, config: DriverInit) {
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
    }

    /// The number that the function's parts carry in their names.
    pub fn adev_idx(&self) -> u32 {
        self.adev_idx
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
    pub(crate) fn hca_devcom_comp(&self) -> Option<&Arc<Component>> {
        self.hca_devcom_comp.as_ref()
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

/// Ids in the firmware: the physical functions', then those of all possible virtual functions, then the sub-functions'.
fn vhca_id(profile: &Profile, index: u8, kind: &Kind) -> u16 {
    let index = u16::from(index);
    let functions = u16::from(profile.physical_functions);
    let vfs = profile.eswitch.first_vhca_id + functions;
    match kind {
        Kind::Pf => profile.eswitch.first_vhca_id + index,
        Kind::Vf { number, .. } => vfs + index * profile.max_total_vfs + number,
        Kind::Sf { fn_id, .. } => {
            let sfs = vfs + functions * profile.max_total_vfs;
            sfs + index * profile.eswitch.local_sfs + (fn_id - crate::sf::FIRST_FUNCTION_ID)
        }
    }
}

impl fmt::Debug for CoreDev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CoreDev({})", self.device.name())
    }
}
