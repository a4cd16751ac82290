//! The Ethernet part: the function's network device (`en_main.c`).
//!
//! The device belongs to the uplink port and is in the namespace of the function's devlink instance. Other parts of the
//! driver follow it through `Uplink`, which tells them when it comes and when it goes.

use std::fmt;
use std::sync::Arc;

use driver_core::pci::Address;
use driver_core::{Device, Driver, Level, LockedDevice, auxiliary};
use lock_order::DriverLock;
use lockdep::ClassKey;
use lockdep::order::{self, Before, Held};
use net_core::{Netdev, NetdevInit, NetdevOps, RtnlGuard};
use rustix::io::Errno;

use crate::core_dev::CoreDev;
use crate::lag;
use crate::module::Module;

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
    netdev: Arc<Netdev>,
}

#[inline(never)]
fn mlx5e_probe(device: &mut LockedDevice<'_>) -> Result<(), Errno> {
    let dev = auxiliary::shared::<CoreDev>(device.device()).ok_or(Errno::NODEV)?;
    let netdev = match register_under_a_free_name(&dev, device) {
        Ok(netdev) => netdev,
        Err(errno) => {
            dev.err(format_args!(
                "register_netdev failed, {}",
                -errno.raw_os_error()
            ));
            return Err(errno);
        }
    };
    lag::lag_add_netdev(&dev, &netdev);
    dev.uplink.netdev_set(device.held(), Some(&netdev));
    dev.info(format_args!(
        "MLX5E: StrdRq(1) RqSz(8) StrdSz(2048) RxCqeCmprss(0 enhanced)"
    ));
    device.set_drvdata(Arc::new(EthDev { dev, netdev }));
    Ok(())
}

#[inline(never)]
fn mlx5e_remove(device: &mut LockedDevice<'_>) {
    let Some(eth) = device.drvdata::<EthDev>() else {
        return;
    };
    eth.dev.uplink.netdev_set(device.held(), None);
    let net_core = eth.dev.module().net_core();
    net_core.unregister_netdev(device.held(), &eth.netdev);
    lag::lag_remove_netdev(&eth.dev);
}

/// Registers the device under the name that udev would give it; if that is taken, as udev would fail to rename it, under
/// the kernel's.
fn register_under_a_free_name(
    dev: &Arc<CoreDev>,
    device: &mut LockedDevice<'_>,
) -> Result<Arc<Netdev>, Errno> {
    if dev.module().config().udev_names {
        let phys_port_name = format!("p{}", dev.dev_index());
        let multifunction = dev.module().is_multifunction(dev.address());
        let name = udev_name(
            "en",
            dev.address(),
            multifunction,
            &format!("n{phys_port_name}"),
        );
        match create_netdev(dev, device, name) {
            Err(Errno::EXIST) => {}
            result => return result,
        }
    }
    create_netdev(dev, device, "eth%d".to_owned())
}

fn create_netdev(
    dev: &Arc<CoreDev>,
    device: &mut LockedDevice<'_>,
    name: String,
) -> Result<Arc<Netdev>, Errno> {
    let netdev = Netdev::new(NetdevInit {
        name,
        parent: Some(Arc::clone(dev.device())),
        ops: Arc::new(EthOps),
        ..NetdevInit::ethernet(dev.devlink().net(), dev.mac())
    });
    let port = dev.uplink_port().ok_or(Errno::NODEV)?;
    netdev.set_devlink_port(port);
    dev.module()
        .net_core()
        .register_netdev(device.held(), &netdev)?;
    Ok(netdev)
}

/// The driver's part of the network device (`mlx5e_netdev_ops`).
struct EthOps;

impl NetdevOps for EthOps {
    fn open(&self, rtnl: &mut RtnlGuard<'_>, dev: &Arc<Netdev>) -> Result<(), Errno> {
        log_link(rtnl, dev, dev.carrier());
        Ok(())
    }

    fn stop(&self, rtnl: &mut RtnlGuard<'_>, dev: &Arc<Netdev>) {
        log_link(rtnl, dev, false);
    }
}

/// `en_main.c: mlx5e_update_carrier`
fn log_link(rtnl: &RtnlGuard<'_>, dev: &Netdev, up: bool) {
    let text = if up { "Link up" } else { "Link down" };
    dev.log(rtnl.core(), Level::Info, format_args!("{text}"));
}

/// The name that udev's `net_id` gives to a PCI device: domain, bus, slot, function, then `suffix`.
pub(crate) fn udev_name(
    prefix: &str,
    address: Address,
    multifunction: bool,
    suffix: &str,
) -> String {
    let domain = match address.domain() {
        0 => String::new(),
        domain => format!("P{domain}"),
    };
    let function = match address.function() {
        0 if !multifunction => String::new(),
        function => format!("f{function}"),
    };
    let (bus, slot) = (address.bus(), address.device());
    format!("{prefix}{domain}p{bus}s{slot}{function}{suffix}")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_udev_gives() {
        let name = |address: &str, multifunction, suffix| {
            udev_name("en", address.parse().unwrap(), multifunction, suffix)
        };
        assert_eq!(name("0000:00:09.0", false, "np0"), "enp0s9np0");
        assert_eq!(name("0000:08:00.1", true, "np1"), "enp8s0f1np1");
        assert_eq!(name("0000:08:00.0", true, "np0"), "enp8s0f0np0");
        assert_eq!(name("0033:01:00.0", true, "np0"), "enP51p1s0f0np0");
    }
}
