//! A network device (`struct net_device`).
//!
//! What changes about a device changes under `rtnl_mutex` only, but may be read by anybody at any time, as a devlink
//! port does when it fills in its device's name.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError};

use driver_core::power::Power;
use driver_core::{Device, Level};
use rustix::io::Errno;

use crate::backend::{NetdevFlags, RealNetdev};
use crate::devices::Place;
use crate::net::{Net, lock};
use crate::notifier::NotifierBlock;
use crate::rtnl::RtnlGuard;

/// Where a device is in its life (`enum netreg_state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegState {
    /// Made, never registered.
    Uninitialized,
    /// Registered.
    Registered,
    /// On its way out.
    Unregistering,
    /// Over.
    Unregistered,
}

/// Operational state (RFC 2863; `IF_OPER_*` in `include/uapi/linux/if.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum OperState {
    /// It is down, or has no carrier.
    Down = 2,
    /// It is up and has a carrier.
    Up = 6,
}

/// What a driver does for its network device (`struct net_device_ops`). All of it is called under `rtnl_mutex`.
pub trait NetdevOps: Send + Sync {
    /// The device is being registered (`ndo_init`).
    ///
    /// # Errors
    /// Any: the registration then fails with it.
    fn init(&self, _rtnl: &mut RtnlGuard<'_>, _dev: &Arc<Netdev>) -> Result<(), Errno> {
        Ok(())
    }

    /// The device has been unregistered (`ndo_uninit`).
    fn uninit(&self, _rtnl: &mut RtnlGuard<'_>, _dev: &Arc<Netdev>) {}

    /// The device goes up (`ndo_open`).
    ///
    /// # Errors
    /// Any: the device then stays down; if a real device is up already, that is only logged.
    fn open(&self, _rtnl: &mut RtnlGuard<'_>, _dev: &Arc<Netdev>) -> Result<(), Errno> {
        Ok(())
    }

    /// The device goes down (`ndo_stop`).
    fn stop(&self, _rtnl: &mut RtnlGuard<'_>, _dev: &Arc<Netdev>) {}
}

/// A device without a driver's part.
#[derive(Debug)]
pub struct NoOps;

impl NetdevOps for NoOps {}

/// What a device starts as.
pub struct NetdevInit {
    /// In which namespace.
    pub net: Arc<Net>,
    /// Its name, or a pattern with one `%d`.
    pub name: String,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// Its largest payload, in bytes.
    pub mtu: u32,
    /// Whether it starts with a carrier.
    pub carrier: bool,
    /// How it starts.
    pub flags: NetdevFlags,
    /// How many queues it has, each way.
    pub queues: u32,
    /// The device that it belongs to (`SET_NETDEV_DEV`).
    pub parent: Option<Arc<Device>>,
    /// The driver's part.
    pub ops: Arc<dyn NetdevOps>,
}

impl NetdevInit {
    /// An Ethernet device called `eth%d` in `net`, with a carrier, without a parent or a driver's part.
    pub fn ethernet(net: Arc<Net>, mac: [u8; 6]) -> Self {
        NetdevInit {
            net,
            name: "eth%d".to_owned(),
            mac,
            mtu: 1500,
            carrier: true,
            flags: NetdevFlags::ETHERNET,
            queues: 1,
            parent: None,
            ops: Arc::new(NoOps),
        }
    }
}

impl fmt::Debug for NetdevInit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetdevInit")
            .field("net", &self.net.id())
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A network device.
pub struct Netdev {
    parent: Option<Arc<Device>>,
    pub(crate) ops: Arc<dyn NetdevOps>,
    pub(crate) flags: NetdevFlags,
    pub(crate) queues: u32,
    /// The address that its driver gave it.
    pub(crate) first_mac: [u8; 6],
    /// The pattern that its name was made from, if its driver left the number open.
    pattern: Option<String>,
    pub(crate) power: Power,
    devlink_port: OnceLock<Arc<dyn Any + Send + Sync>>,
    state: lockdep::RwLock<NetdevState>,
    pub(crate) real: lockdep::Mutex<Option<Box<dyn RealNetdev>>>,
    /// The notifiers that follow the device from namespace to namespace.
    pub(crate) net_notifiers: lockdep::Mutex<Vec<Arc<NotifierBlock>>>,
}

/// What changes about a device.
#[derive(Clone, Debug)]
pub(crate) struct NetdevState {
    pub(crate) net: Arc<Net>,
    pub(crate) name: String,
    pub(crate) ifindex: u32,
    pub(crate) mac: [u8; 6],
    pub(crate) mtu: u32,
    pub(crate) up: bool,
    pub(crate) carrier: bool,
    /// The carrier as the notifiers were last told.
    pub(crate) carrier_told: bool,
    /// It is waiting on the list of carrier changes.
    pub(crate) linkwatch_pending: bool,
    pub(crate) reg_state: RegState,
    /// Where it is in its namespace's list, if it is there.
    pub(crate) place: Option<Place>,
}

impl Netdev {
    /// A device that is not registered yet (`alloc_netdev`).
    pub fn new(init: NetdevInit) -> Arc<Self> {
        Arc::new(Netdev {
            parent: init.parent,
            ops: init.ops,
            flags: init.flags,
            queues: init.queues,
            first_mac: init.mac,
            pattern: init.name.contains('%').then(|| init.name.clone()),
            power: Power::default(),
            devlink_port: OnceLock::new(),
            state: lockdep::RwLock::named(
                "dev_base_lock",
                NetdevState {
                    net: init.net,
                    name: init.name,
                    ifindex: 0,
                    mac: init.mac,
                    mtu: init.mtu,
                    up: false,
                    carrier: init.carrier,
                    carrier_told: init.carrier,
                    linkwatch_pending: false,
                    reg_state: RegState::Uninitialized,
                    place: None,
                },
            ),
            real: lockdep::Mutex::named("real netdev", None),
            net_notifiers: lockdep::Mutex::named("dev->net_notifier_list", Vec::new()),
        })
    }

    /// The device that it belongs to.
    pub fn parent(&self) -> Option<&Arc<Device>> {
        self.parent.as_ref()
    }

    /// Its namespace (`dev_net`).
    pub fn net(&self) -> Arc<Net> {
        self.read(|state| Arc::clone(&state.net))
    }

    /// Its name; a pattern until it is registered.
    pub fn name(&self) -> String {
        self.read(|state| state.name.clone())
    }

    /// Whether it still has the name that was made for it with a number.
    pub(crate) fn is_enumerated(&self) -> bool {
        let Some((before, after)) = self
            .pattern
            .as_deref()
            .and_then(|name| name.split_once("%d"))
        else {
            return false;
        };
        self.read(|state| {
            let rest = state.name.strip_prefix(before);
            let number = rest.and_then(|rest| rest.strip_suffix(after));
            number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
        })
    }

    /// Its interface index; zero until it is registered.
    pub fn ifindex(&self) -> u32 {
        self.read(|state| state.ifindex)
    }

    /// Its hardware address.
    pub fn mac(&self) -> [u8; 6] {
        self.read(|state| state.mac)
    }

    /// Its largest payload, in bytes.
    pub fn mtu(&self) -> u32 {
        self.read(|state| state.mtu)
    }

    /// Whether it is up (`IFF_UP`).
    pub fn is_up(&self) -> bool {
        self.read(|state| state.up)
    }

    /// Whether it has a carrier (`netif_carrier_ok`).
    pub fn carrier(&self) -> bool {
        self.read(|state| state.carrier)
    }

    /// Its operational state.
    pub fn operstate(&self) -> OperState {
        self.read(|state| match state.up && state.carrier {
            true => OperState::Up,
            false => OperState::Down,
        })
    }

    /// Where it is in its life.
    pub fn reg_state(&self) -> RegState {
        self.read(|state| state.reg_state)
    }

    /// Ties the device to its devlink port (`SET_NETDEV_DEVLINK_PORT`), before it is registered and for good. `false`
    /// if it was tied already.
    pub fn set_devlink_port(&self, port: Arc<dyn Any + Send + Sync>) -> bool {
        self.devlink_port.set(port).is_ok()
    }

    /// Its devlink port, whatever devlink takes for one.
    pub fn devlink_port(&self) -> Option<&Arc<dyn Any + Send + Sync>> {
        self.devlink_port.get()
    }

    /// Writes a record about this device (`netdev_printk`).
    pub fn log(&self, core: &crate::NetCore, level: Level, text: fmt::Arguments<'_>) {
        let name = self.name();
        match &self.parent {
            Some(parent) => parent.log(level, format_args!("{name}: {text}")),
            None => core.klog().log(level, format_args!("{name}: {text}")),
        }
    }

    pub(crate) fn read<R>(&self, f: impl FnOnce(&NetdevState) -> R) -> R {
        f(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the state. For who holds `rtnl_mutex`, or changes nothing but the carrier.
    pub(crate) fn update<R>(&self, f: impl FnOnce(&mut NetdevState) -> R) -> R {
        f(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn with_real<R>(&self, f: impl FnOnce(&mut dyn RealNetdev) -> R) -> Option<R> {
        lock(&self.real).as_mut().map(|real| f(&mut **real))
    }
}

impl fmt::Debug for Netdev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.read(|state| {
            f.debug_struct("Netdev")
                .field("net", &state.net.id())
                .field("name", &state.name)
                .field("ifindex", &state.ifindex)
                .finish_non_exhaustive()
        })
    }
}
