//! Network devices that are linked to each other (`bus.c: link_device_store`, `netdev.c`).
//!
//! Two ports that are linked are each other's peer. Which the pairs are changes only under `rtnl_mutex`, as in the kernel.

use std::sync::{Arc, PoisonError, Weak};

use kernfs::Context;
use kernfs::kstrto::Scan;
use net_core::{Cable, Netdev, RtnlGuard};
use rustix::io::Errno;

use crate::bus::Netdevsim;
use crate::sysfs::{Place, net_by_fd};

/// Two linked devices, and what carries their packets from one to the other.
#[derive(Debug)]
struct Pair {
    ends: [Weak<Netdev>; 2],
    _cable: Option<Cable>,
}

/// The pairs of linked devices.
#[derive(Debug)]
pub(crate) struct Peers(lockdep::Mutex<Vec<Pair>>);

impl Peers {
    pub(crate) fn new() -> Self {
        Peers(lockdep::Mutex::named("netdevsim peers", Vec::new()))
    }

    fn pairs(&self) -> lockdep::MutexGuard<'_, Vec<Pair>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The device at the other end.
    pub(crate) fn of(&self, netdev: &Arc<Netdev>) -> Option<Arc<Netdev>> {
        let is_it = |end: &Weak<Netdev>| std::ptr::eq(end.as_ptr(), Arc::as_ptr(netdev));
        self.pairs().iter().find_map(
            |Pair {
                 ends: [one, other], ..
             }| {
                if is_it(one) {
                    other.upgrade()
                } else if is_it(other) {
                    one.upgrade()
                } else {
                    None
                }
            },
        )
    }

    /// Parts the device from its peer, if it has one, and returns that.
    pub(crate) fn part(&self, netdev: &Arc<Netdev>) -> Option<Arc<Netdev>> {
        let peer = self.of(netdev);
        let address = Arc::as_ptr(netdev);
        let is_over = |pair: &Pair| {
            let mut ends = pair.ends.iter();
            ends.any(|end| std::ptr::eq(end.as_ptr(), address) || end.strong_count() == 0)
        };
        let (over, rest) = std::mem::take(&mut *self.pairs())
            .into_iter()
            .partition::<Vec<_>, _>(is_over);
        self.pairs().extend(rest);
        // A cable's end is waited for, with no lock of ours.
        drop(over);
        peer
    }
}

/// One of ours, or why not.
fn find(module: &Netdevsim, rtnl: &RtnlGuard<'_>, place: &Place) -> Result<Arc<Netdev>, Errno> {
    let Place { net, fd, ifindex } = place;
    let Some(netdev) = rtnl.dev_get_by_index(net, *ifindex) else {
        module.pr_err(&format!(
            "Could not find device with ifindex {ifindex} in netnsfd {fd}"
        ));
        return Err(Errno::INVAL);
    };
    if !module.is_ours(&netdev) {
        module.pr_err(&format!(
            "Device with ifindex {ifindex} in netnsfd {fd} is not a netdevsim"
        ));
        return Err(Errno::INVAL);
    }
    Ok(netdev)
}

/// `nsfdA:ifidxA nsfdB:ifidxB`
fn pair(text: &[u8]) -> Option<[(i32, u32); 2]> {
    let mut scan = Scan::new(text);
    let mut one = || {
        let fd = scan.int()?;
        scan.literal(b':')?;
        Some((fd, scan.uint()?))
    };
    Some([one()?, one()?])
}

pub(crate) fn link_device_store(
    module: &Arc<Netdevsim>,
    cx: &mut Context<'_>,
    text: &[u8],
) -> Result<(), Errno> {
    let Some([(fd_a, ifindex_a), (fd_b, ifindex_b)]) = pair(text) else {
        module.pr_err(
            "Format for linking two devices is \"netnsfd_a:ifidx_a netnsfd_b:ifidx_b\" (int uint int uint).",
        );
        return Err(Errno::INVAL);
    };
    let net_a = net_by_fd(module, cx, fd_a)?;
    let net_b = net_by_fd(module, cx, fd_b)?;
    let place = |net: &net_core::NetRef, fd, ifindex| Place {
        net: Arc::clone(net.net()),
        fd,
        ifindex,
    };
    let (place_a, place_b) = (
        place(&net_a, fd_a, ifindex_a),
        place(&net_b, fd_b, ifindex_b),
    );
    let rtnl = module.net_core().rtnl_lock(cx.held());
    let dev_a = find(module, &rtnl, &place_a)?;
    let dev_b = find(module, &rtnl, &place_b)?;
    if Arc::ptr_eq(&dev_a, &dev_b) {
        module.pr_err("Cannot link a netdevsim to itself");
        return Err(Errno::INVAL);
    }
    for (dev, place) in [(&dev_a, &place_a), (&dev_b, &place_b)] {
        if module.peers().of(dev).is_some() {
            let Place { fd, ifindex, .. } = place;
            module.pr_err(&format!("Netdevsim {fd}:{ifindex} is already linked"));
            return Err(Errno::BUSY);
        }
    }
    let pair = Pair {
        ends: [Arc::downgrade(&dev_a), Arc::downgrade(&dev_b)],
        _cable: module.net_core().connect(&dev_a, &dev_b),
    };
    module.peers().pairs().push(pair);
    if dev_a.is_up() && dev_b.is_up() {
        module.net_core().set_carrier(&dev_a, true);
        module.net_core().set_carrier(&dev_b, true);
    }
    Ok(())
}

pub(crate) fn unlink_device_store(
    module: &Arc<Netdevsim>,
    cx: &mut Context<'_>,
    text: &[u8],
) -> Result<(), Errno> {
    let mut scan = Scan::new(text);
    let parsed = (|| {
        let fd = scan.uint()?;
        scan.literal(b':')?;
        Some((fd as i32, scan.uint()?))
    })();
    let Some((fd, ifindex)) = parsed else {
        module.pr_err("Format for unlinking a device is \"netnsfd:ifidx\" (int uint).");
        return Err(Errno::INVAL);
    };
    let net = net_by_fd(module, cx, fd)?;
    let place = Place {
        net: Arc::clone(net.net()),
        fd,
        ifindex,
    };
    let rtnl = module.net_core().rtnl_lock(cx.held());
    let dev = find(module, &rtnl, &place)?;
    let peer = module.peers().part(&dev).ok_or(Errno::INVAL)?;
    module.net_core().set_carrier(&dev, false);
    module.net_core().set_carrier(&peer, false);
    Ok(())
}
