//! The Ethernet part: the function's network device (`en_main.c`).
//!
//! The device belongs to the uplink port and is in the namespace of the function's devlink instance. Other parts of the
//! driver follow it through `Uplink`, which tells them when it comes and when it goes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use devlink::{Devlink, Port, Reporter};
use driver_core::{Device, Driver, Level, LockedDevice, auxiliary};
use lock_order::DriverLock;
use lockdep::ClassKey;
use lockdep::order::{self, Before, Held};
use net_core::{Netdev, NetdevInit, NetdevOps, RtnlGuard};
use rustix::io::Errno;

use crate::core_dev::CoreDev;
use crate::module::Module;
use crate::{health, lag, names, ports};

static UPLINK_NETDEV_LOCK: ClassKey = ClassKey::new("&mdev->mlx5e_res.uplink_netdev_lock");

/// The auxiliary driver `mlx5_core.eth`.
#[derive(Debug)]
pub(crate) struct EthDriver {
    #[expect(dead_code, reason = "a driver keeps its module loaded")]
    module: Arc<Module>,
}

impl EthDriver {
    pub(crate) const NAME: &'static str = "mlx5_core.eth";

    pub(crate) fn new(module: Arc<Module>) -> Self {
        EthDriver { module }
    }
}

impl Driver for EthDriver {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn module(&self) -> &str {
        crate::MODULE_NAME
    }

    fn matches(&self, device: &Device) -> bool {
        auxiliary::match_id(&["mlx5_core.eth"], device).is_some()
    }

    fn probe(&self, device: &mut LockedDevice<'_>) -> Result<(), Errno> {
        mlx5e_probe(device)
    }

    fn remove(&self, device: &mut LockedDevice<'_>) {
        mlx5e_remove(device);
    }
}

/// What the driver attaches to its part (`struct mlx5e_dev`).
struct EthDev {
    dev: Arc<CoreDev>,
    /// Missing where the machine may make none.
    netdev: Option<Arc<Netdev>>,
    /// The part's own instance and port, where it has them.
    own: Option<(Arc<Devlink>, Arc<Port>)>,
    /// Of the part's own port.
    reporters: Vec<Arc<Reporter>>,
}

/// The operations of the part's instance: none.
struct NoOps;

impl devlink::Ops for NoOps {}

#[inline(never)]
fn mlx5e_probe(device: &mut LockedDevice<'_>) -> Result<(), Errno> {
    let dev = auxiliary::shared::<CoreDev>(device.device()).ok_or(Errno::NODEV)?;
    let own = match dev.has_eth_devlink() {
        true => Some(mlx5e_create_devlink(&dev, device)?),
        false => None,
    };
    let port = match &own {
        Some((_, port)) => Some(Arc::clone(port)),
        None => dev.uplink_port(),
    };
    let registered = port
        .ok_or(Errno::NODEV)
        .and_then(|port| create_netdev(&dev, device, &port));
    let netdev = match registered {
        Ok(netdev) => Some(netdev),
        Err(errno) if names::are_refused(errno) => None,
        Err(errno) => {
            dev.err(format_args!(
                "register_netdev failed, {}",
                -errno.raw_os_error()
            ));
            if let Some((devlink, port)) = own {
                mlx5e_destroy_devlink(&devlink, &port, device);
            }
            return Err(errno);
        }
    };
    if let Some(netdev) = &netdev {
        lag::lag_add_netdev(&dev, netdev);
        dev.uplink.netdev_set(device.held(), Some(netdev));
    }
    dev.info(format_args!("{}", names::STRIDING_RQ));
    let mut reporters = Vec::new();
    if let Some((devlink, port)) = &own {
        let mut devl = devlink.lock(device.held());
        // The part works without them.
        reporters = health::queues::create(&dev, &mut devl, port.index()).unwrap_or_default();
    }
    device.set_drvdata(Arc::new(EthDev {
        dev,
        netdev,
        own,
        reporters,
    }));
    Ok(())
}

#[inline(never)]
fn mlx5e_remove(device: &mut LockedDevice<'_>) {
    let Some(eth) = device.drvdata::<EthDev>() else {
        return;
    };
    if let Some(netdev) = &eth.netdev {
        eth.dev.uplink.netdev_set(device.held(), None);
        let net_core = eth.dev.module().net_core();
        net_core.unregister_netdev(device.held(), netdev);
        lag::lag_remove_netdev(&eth.dev);
    }
    if let Some((devlink, port)) = &eth.own {
        let mut devl = devlink.lock(device.held());
        for reporter in &eth.reporters {
            devl.health_reporter_destroy(reporter);
        }
        drop(devl);
        mlx5e_destroy_devlink(devlink, port, device);
    }
}

/// The part's own instance, nested in the function's and in its namespace, with the port
/// (`en/devlink.c: mlx5e_create_devlink`, `mlx5e_devlink_port_register`). The function's instance is locked meanwhile: its
/// lock comes before those of what is nested in it.
fn mlx5e_create_devlink(
    dev: &Arc<CoreDev>,
    device: &mut LockedDevice<'_>,
) -> Result<(Arc<Devlink>, Arc<Port>), Errno> {
    let parent = dev.devlink();
    let subsystem = dev.module().devlink();
    let devlink = subsystem.alloc(Arc::new(NoOps), parent.net(), Arc::clone(device.device()))?;
    parent.nested_devlink_set(&devlink);
    devlink.register(device.held());
    let mut devl = devlink.lock(device.held());
    match ports::register(dev, &mut devl) {
        Ok(port) => {
            drop(devl);
            dev.set_uplink_port(Some(Arc::clone(&port)));
            Ok((devlink, port))
        }
        Err(errno) => {
            devl.unregister();
            drop(devl);
            devlink.free(device.held());
            Err(errno)
        }
    }
}

fn mlx5e_destroy_devlink(devlink: &Arc<Devlink>, port: &Port, device: &mut LockedDevice<'_>) {
    if let Some(dev) = auxiliary::shared::<CoreDev>(device.device()) {
        dev.set_uplink_port(None);
    }
    devlink.lock(device.held()).port_unregister(port);
    devlink.unregister(device.held());
    devlink.free(device.held());
}

fn create_netdev(
    dev: &Arc<CoreDev>,
    device: &mut LockedDevice<'_>,
    port: &Arc<Port>,
) -> Result<Arc<Netdev>, Errno> {
    let mut mac = dev.permanent_mac();
    if mac == [0; 6] {
        mac = dev.module().driver_core().rng().eth_random_addr();
        let [a, b, c, d, e, f] = mac;
        dev.info(format_args!(
            "Assigned random MAC address {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}"
        ));
    }
    let name = names::uplink_name(dev);
    names::register_netdev(dev, device.held(), name, |name| {
        let netdev = Netdev::new(NetdevInit {
            name,
            parent: Some(Arc::clone(dev.device())),
            ops: Arc::new(EthOps {
                opened: Arc::clone(&dev.health.opened),
            }),
            ..NetdevInit::ethernet(dev.devlink().net(), mac)
        });
        let port = Arc::clone(port);
        netdev.set_devlink_port(port);
        netdev
    })
}

/// The driver's part of the network device (`mlx5e_netdev_ops`).
struct EthOps {
    /// As long as it is, the queues are there.
    opened: Arc<AtomicBool>,
}

impl NetdevOps for EthOps {
    fn open(&self, rtnl: &mut RtnlGuard<'_>, dev: &Arc<Netdev>) -> Result<(), Errno> {
        self.opened.store(true, Ordering::Release);
        log_link(rtnl, dev, dev.carrier());
        Ok(())
    }

    fn stop(&self, rtnl: &mut RtnlGuard<'_>, dev: &Arc<Netdev>) {
        self.opened.store(false, Ordering::Release);
        log_link(rtnl, dev, false);
    }
}

/// `en_main.c: mlx5e_update_carrier`
fn log_link(rtnl: &RtnlGuard<'_>, dev: &Netdev, up: bool) {
    let text = if up { "Link up" } else { "Link down" };
    dev.log(rtnl.core(), Level::Info, format_args!("{text}"));
}

/// Someone who follows the function's network device (`MLX5_DRIVER_EVENT_UPLINK_NETDEV`).
pub(crate) trait UplinkListener: Send + Sync {
    /// The device has come, or goes when it is `None`.
    fn uplink_netdev(&self, netdev: Option<&Arc<Netdev>>, held: &mut Held<'_, DriverLock>);
}

/// The function's network device, for the other parts (`mdev->mlx5e_res.uplink_netdev`).
pub(crate) struct Uplink {
    state: order::Mutex<DriverLock, UplinkState>,
}

#[derive(Default)]
struct UplinkState {
    netdev: Option<Arc<Netdev>>,
    listeners: Vec<Arc<dyn UplinkListener>>,
}

impl Uplink {
    pub(crate) fn new() -> Self {
        Uplink {
            state: order::Mutex::with_class(&UPLINK_NETDEV_LOCK, UplinkState::default()),
        }
    }

    /// The device, if it is there (`mlx5_uplink_netdev_get`).
    pub(crate) fn netdev<H: Before<DriverLock>>(
        &self,
        held: &mut Held<'_, H>,
    ) -> Option<Arc<Netdev>> {
        let (state, _held) = self.state.lock(held);
        state.netdev.clone()
    }

    /// Says that the device has come or goes (`mlx5_core_uplink_netdev_set`).
    fn netdev_set<H: Before<DriverLock>>(
        &self,
        held: &mut Held<'_, H>,
        netdev: Option<&Arc<Netdev>>,
    ) {
        let (mut state, mut held) = self.state.lock(held);
        state.netdev = netdev.cloned();
        for listener in &state.listeners {
            listener.uplink_netdev(netdev, &mut held);
        }
    }

    /// Follows the device from now on; told at once if it is there (`mlx5_core_uplink_netdev_event_replay`).
    pub(crate) fn follow<H: Before<DriverLock>>(
        &self,
        held: &mut Held<'_, H>,
        listener: Arc<dyn UplinkListener>,
    ) {
        let (mut state, mut held) = self.state.lock(held);
        if let Some(netdev) = &state.netdev {
            listener.uplink_netdev(Some(netdev), &mut held);
        }
        state.listeners.push(listener);
    }

    /// Does not follow the device any more.
    pub(crate) fn unfollow<H: Before<DriverLock>>(
        &self,
        held: &mut Held<'_, H>,
        listener: &Arc<dyn UplinkListener>,
    ) {
        let (mut state, mut held) = self.state.lock(held);
        state
            .listeners
            .retain(|other| !Arc::ptr_eq(other, listener));
        listener.uplink_netdev(None, &mut held);
    }
}

impl fmt::Debug for Uplink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uplink").finish_non_exhaustive()
    }
}
