//! What udev calls network and InfiniBand devices, and what the kernel does before it.
//!
//! udev's `net_id` names a PCI device by domain, bus, slot and function; what is particular about it comes behind that: the
//! port's name (`np0`), the number of a virtual function (`v3`), of a representor (`r3`) or of a sub-function (`S88`). A name
//! that is too long or taken is not given, and the device keeps the kernel's.

use std::sync::Arc;

use driver_core::pci::Address;
use lock_order::Rtnl;
use lockdep::order::{Before, Held};
use net_core::Netdev;
use rustix::io::Errno;

use crate::core_dev::{CoreDev, Kind};

/// What the log says whenever a network device gets its queues.
pub(crate) const STRIDING_RQ: &str =
    "MLX5E: StrdRq(1) RqSz(8) StrdSz(2048) RxCqeCmprss(0 enhanced)";

/// Names have at most 15 bytes (`IFNAMSIZ`).
const LONGEST: usize = 15;

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

/// The name of a network device of the function, or one that it makes; `None` without udev, or if udev would have none.
pub(crate) fn netdev_name(dev: &CoreDev, suffix: &str) -> Option<String> {
    let name = name(dev, "en", suffix)?;
    (name.len() <= LONGEST).then_some(name)
}

/// What the function's own network device is called.
pub(crate) fn uplink_name(dev: &CoreDev) -> Option<String> {
    match dev.kind() {
        Kind::Pf => netdev_name(dev, &format!("np{}", dev.dev_index())),
        Kind::Vf { .. } => netdev_name(dev, ""),
        // Since version 261 of systemd; the name of older ones is the kernel's.
        Kind::Sf { sfnum, .. } if dev.module().kernel_is_at_least(7, 2) => {
            netdev_name(dev, &format!("S{sfnum}"))
        }
        Kind::Sf { .. } => None,
    }
}

/// What the function's InfiniBand device is called (rdma-core's rule, which is like udev's).
pub(crate) fn ib_name(dev: &CoreDev) -> Option<String> {
    match dev.kind() {
        Kind::Sf { sfnum, .. } if dev.module().kernel_is_at_least(7, 2) => {
            name(dev, "roce", &format!("S{sfnum}"))
        }
        Kind::Sf { .. } => None,
        Kind::Pf | Kind::Vf { .. } => name(dev, "roce", ""),
    }
}

/// A virtual function is named by its physical one and its number.
fn name(dev: &CoreDev, prefix: &str, suffix: &str) -> Option<String> {
    let module = dev.module();
    if !module.config().udev_names {
        return None;
    }
    let (address, number) = match dev.kind() {
        Kind::Vf { pf, number } => (pf.upgrade()?.address(), format!("v{number}")),
        Kind::Pf | Kind::Sf { .. } => (dev.address(), String::new()),
    };
    let multifunction = module.is_multifunction(address);
    let suffix = format!("{number}{suffix}");
    Some(udev_name(prefix, address, multifunction, &suffix))
}

/// Whether the machine may make no network devices at all: then everything else works, without them.
pub(crate) fn are_refused(errno: Errno) -> bool {
    matches!(errno, Errno::PERM | Errno::ACCESS)
}

/// Registers a device under the name that udev would give it; if that is taken, as udev would fail to rename it, or if
/// there is none, under the kernel's.
///
/// # Errors
/// Those of registering a network device.
pub(crate) fn register_netdev<H: Before<Rtnl>>(
    dev: &CoreDev,
    held: &mut Held<'_, H>,
    name: Option<String>,
    make: impl Fn(String) -> Arc<Netdev>,
) -> Result<Arc<Netdev>, Errno> {
    let net_core = dev.module().net_core();
    if let Some(name) = name {
        let netdev = make(name);
        match net_core.register_netdev(held, &netdev) {
            Ok(()) => return Ok(netdev),
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    let netdev = make("eth%d".to_owned());
    net_core.register_netdev(held, &netdev)?;
    Ok(netdev)
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
