//! The network devices of the ports (`netdev.c`).

use std::sync::{Arc, Weak};

use devlink::{Flavour, Port};
use lock_order::{DevlinkLock, Rtnl};
use lockdep::order::{Before, Held};
use net_core::{Netdev, NetdevFlags, NetdevInit, NetdevOps, RtnlGuard};
use netlink::KernelVersion;
use rustix::io::Errno;

use crate::dev::NsimDev;
use crate::ptp::Clock;
use crate::traps;

/// A port's network device (`struct netdevsim`).
#[derive(Debug)]
pub(crate) struct Nsim {
    netdev: Arc<Netdev>,
    /// Its clock, where the kernel has such.
    clock: Option<Clock>,
}

impl Nsim {
    /// Whether it is up (`netif_running`).
    pub(crate) fn is_up(&self) -> bool {
        self.netdev.is_up()
    }
}

/// What the driver does when the network device is used (`netdev.c: nsim_netdev_ops`).
struct NsimNetdevOps {
    dev: Weak<NsimDev>,
}

impl NetdevOps for NsimNetdevOps {
    fn open(&self, _rtnl: &mut RtnlGuard<'_>, netdev: &Arc<Netdev>) -> Result<(), Errno> {
        if let Some(dev) = self.dev.upgrade() {
            traps::port_goes_up(&dev);
            let peer = dev.module().peers().of(netdev);
            if let Some(peer) = peer.filter(|peer| peer.is_up()) {
                dev.module().net_core().set_carrier(netdev, true);
                dev.module().net_core().set_carrier(&peer, true);
            }
        }
        Ok(())
    }

    /// Since there can be a peer (6.9), the carrier goes with the device, and comes back with both of them only.
    fn stop(&self, _rtnl: &mut RtnlGuard<'_>, netdev: &Arc<Netdev>) {
        let Some(dev) = self.dev.upgrade() else {
            return;
        };
        if !dev.module().kernel_is_at_least(6, 9) {
            return;
        }
        let peer = dev.module().peers().of(netdev);
        for end in [Some(Arc::clone(netdev)), peer].into_iter().flatten() {
            dev.module().net_core().set_carrier(&end, false);
        }
    }
}

/// Registers the network device of a port, in the namespace that the instance is in now (`netdev.c: nsim_create`). It gets
/// the name that udev would give it; if that is taken, as udev would fail to rename it, the kernel's.
///
/// # Errors
/// Those of the registration.
#[inline(never)]
pub(crate) fn create(
    dev: &NsimDev,
    port: &Arc<Port>,
    held: &mut Held<'_, DevlinkLock>,
    perm_addr: Option<[u8; 6]>,
) -> Result<Nsim, Errno> {
    // Those of virtual functions have none (`netdev.c: nsim_init_netdevsim_vf`).
    let clock = match port.attrs().map(|attrs| attrs.flavour) {
        Some(Flavour::PciVf { .. }) => None,
        _ => dev.module().new_clock(dev.device())?,
    };
    let mac = perm_addr.unwrap_or_else(|| dev.module().driver_core().rng().eth_random_addr());
    if dev.module().config().udev_names {
        if let Some(name) = udev_name(dev, port) {
            match create_named(dev, port, held, name, mac) {
                Err(Errno::EXIST) => {}
                result => return result.map(|netdev| Nsim { netdev, clock }),
            }
        }
    }
    let netdev = create_named(dev, port, held, "eth%d".to_owned(), mac)?;
    Ok(Nsim { netdev, clock })
}

/// `eni10np1`: Ethernet, device 10 of the bus netdevsim, physical port name p1.
fn udev_name(dev: &NsimDev, port: &Port) -> Option<String> {
    let phys_port_name = port.attrs()?.phys_port_name()?;
    Some(format!("eni{}n{phys_port_name}", dev.bus_dev().id))
}

fn create_named<H: Before<Rtnl>>(
    dev: &NsimDev,
    port: &Arc<Port>,
    held: &mut Held<'_, H>,
    name: String,
    mac: [u8; 6],
) -> Result<Arc<Netdev>, Errno> {
    let this: Option<Arc<NsimDev>> = dev.device().drvdata();
    let ops = NsimNetdevOps {
        dev: this.as_ref().map_or_else(Weak::new, Arc::downgrade),
    };
    let netdev = Netdev::new(NetdevInit {
        name,
        parent: Some(Arc::clone(dev.device())),
        flags: NetdevFlags {
            multicast: false,
            // `netdev.c: nsim_setup` of 6.1 has it, that of 6.12 has not.
            no_arp: dev.devlink().kernel() < KernelVersion::V6_12,
        },
        queues: dev.bus_dev().num_queues,
        ops: Arc::new(ops),
        ..NetdevInit::ethernet(dev.devlink().net(), mac)
    });
    netdev.set_devlink_port(Arc::<Port>::clone(port));
    dev.module().net_core().register_netdev(held, &netdev)?;
    Ok(netdev)
}

/// Unregisters the network device of a port (`netdev.c: nsim_destroy`).
#[inline(never)]
pub(crate) fn destroy(dev: &NsimDev, ns: Nsim, held: &mut Held<'_, DevlinkLock>) {
    let net_core = dev.module().net_core();
    dev.module().peers().part(&ns.netdev);
    net_core.unregister_netdev(held, &ns.netdev);
    drop(ns.clock);
}
