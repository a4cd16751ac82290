//! The files of the bus and of its devices (`bus.c`).
//!
//! `new_device` makes a device in the network namespace of whoever writes. None of the handlers holds a lock that is held
//! while its file is removed: the bus's files go before the devices, and a device's before its driver lets it go.

use std::sync::{Arc, Weak};

use driver_core::{Device, LockedDevice};
use kernfs::kstrto::{self, Scan};
use kernfs::sysfs::Attribute;
use kernfs::{Context, Dir, Node};
use net_core::Net;
use rustix::io::Errno;

use crate::bus::{Netdevsim, NsimBusDev};
use crate::dev::NsimDev;
use crate::ports::{self, PortType};
use crate::{MODULE_NAME, peer, vfs};

/// The bus's own files.
const BUS_FILES: [&str; 4] = ["new_device", "del_device", "link_device", "unlink_device"];

type Handler = fn(&Arc<Netdevsim>, &mut Context<'_>, &[u8]) -> Result<(), Errno>;

/// Makes the bus's files (`nsim_bus_groups`).
pub(crate) fn make_bus_files(module: &Arc<Netdevsim>) -> Result<(), Errno> {
    let bus = module.bus();
    let Some(dir) = bus.dir() else {
        return Ok(());
    };
    let handlers: [Handler; 4] = [
        new_device_store,
        del_device_store,
        peer::link_device_store,
        peer::unlink_device_store,
    ];
    // Linking came with 6.9.
    let known = if module.kernel_is_at_least(6, 9) {
        4
    } else {
        2
    };
    for (name, handler) in BUS_FILES.into_iter().zip(handlers).take(known) {
        let module = Arc::downgrade(module);
        let store = Attribute::wo(move |cx, text| {
            let module = module.upgrade().ok_or(Errno::BUSY)?;
            handler(&module, cx, text)
        });
        dir.create_attribute(name, store)?;
    }
    Ok(())
}

/// Removes them: from here on no device comes or goes through them.
pub(crate) fn remove_bus_files(module: &Netdevsim) {
    if let Some(dir) = module.bus().dir() {
        for name in BUS_FILES {
            dir.remove_entry(name);
        }
    }
}

fn new_device_store(
    module: &Arc<Netdevsim>,
    cx: &mut Context<'_>,
    text: &[u8],
) -> Result<(), Errno> {
    let mut scan = Scan::new(text);
    let Some(id) = scan.uint() else {
        module.pr_err(
            "Format for adding new device is \"id port_count num_queues\" (uint uint uint).",
        );
        return Err(Errno::INVAL);
    };
    let port_count = scan.uint();
    let num_queues = port_count.and_then(|_| scan.uint());
    // The namespace is kept alive until the device is in it.
    let net = Arc::new(cx.caller().netns()?);
    let net = module.net_core().get_net(cx.held(), net)?;
    let (ports, queues) = (port_count.unwrap_or(1), num_queues.unwrap_or(1));
    let home = Arc::clone(net.net());
    module.new_device(cx.held(), id, ports, queues, home)?;
    Ok(())
}

fn del_device_store(
    module: &Arc<Netdevsim>,
    cx: &mut Context<'_>,
    text: &[u8],
) -> Result<(), Errno> {
    let Some(id) = Scan::new(text).uint() else {
        module.pr_err("Format for deleting device is \"id\" (uint).");
        return Err(Errno::INVAL);
    };
    module.del_device(cx.held(), id)
}

/// The namespace behind a descriptor of the writer.
pub(crate) fn net_by_fd(
    module: &Netdevsim,
    cx: &mut Context<'_>,
    fd: i32,
) -> Result<net_core::NetRef, Errno> {
    let net = cx.caller().netns_by_fd(fd).map_err(|_| {
        module.pr_err(&format!("Could not find netns with fd: {fd}"));
        Errno::INVAL
    })?;
    module.net_core().get_net(cx.held(), Arc::new(net))
}

/// Makes a device's attributes (`nsim_bus_dev_attrs`).
pub(crate) fn make_device_files(device: &Weak<Device>, dir: &Dir) -> Result<Vec<Arc<Node>>, Errno> {
    let (shown, stored) = (Weak::clone(device), Weak::clone(device));
    let numvfs = Attribute::ro(move |_| {
        let device = shown.upgrade().ok_or(Errno::NODEV)?;
        let bus_dev = device.data::<NsimBusDev>().ok_or(Errno::NODEV)?;
        Ok(format!("{}\n", bus_dev.vfs.num()))
    })
    .with_store(move |cx, text| {
        let num_vfs = kstrto::uint(text, 0)?;
        let device = stored.upgrade().ok_or(Errno::NODEV)?;
        let mut locked = device.lock(cx.held());
        vfs::configure(&mut locked, num_vfs)
    });
    let new_port = port_store(device, new_port_store);
    let del_port = port_store(device, del_port_store);
    Ok(vec![
        dir.create_file("sriov_numvfs", 0o664, numvfs)?,
        dir.create_attribute("new_port", new_port)?,
        dir.create_attribute("del_port", del_port)?,
    ])
}

/// Runs `act` with the device locked and bound: for the handlers of files that are removed with its locks held, which therefore
/// give up the protection of their file first.
///
/// # Errors
/// `ENODEV` when the device is gone, and what `act` says.
pub(crate) fn with_device<R>(
    device: &Weak<Device>,
    cx: &mut Context<'_>,
    act: impl FnOnce(&Arc<NsimDev>, &mut LockedDevice<'_>) -> Result<R, Errno>,
) -> Result<R, Errno> {
    cx.break_active_protection();
    let device = device.upgrade().ok_or(Errno::NODEV)?;
    let mut locked = device.lock(cx.held());
    let dev = locked.drvdata::<NsimDev>().ok_or(Errno::NODEV)?;
    act(&dev, &mut locked)
}

type PortHandler = fn(&Arc<NsimDev>, &mut devlink::Devl<'_>, &[u8]) -> Result<(), Errno>;

/// A store that runs with the instance locked, if the device is ready for it.
fn port_store(device: &Weak<Device>, handler: PortHandler) -> Attribute {
    let device = Weak::clone(device);
    Attribute::wo(move |cx, text| {
        let device = device.upgrade().ok_or(Errno::BUSY)?;
        let mut locked = device.lock(cx.held());
        let dev = locked.drvdata::<NsimDev>().ok_or(Errno::BUSY)?;
        let devlink = dev.devlink();
        handler(&dev, &mut devlink.lock(locked.held()), text)
    })
}

fn new_port_store(
    dev: &Arc<NsimDev>,
    devl: &mut devlink::Devl<'_>,
    text: &[u8],
) -> Result<(), Errno> {
    let refused = |text: &str| {
        dev.module().pr_err(text);
        Err(Errno::INVAL)
    };
    let mut scan = Scan::new(text);
    let format = "Format for adding new port is \"id [perm_addr]\" (uint MAC).";
    let Some(index) = scan.uint() else {
        return refused(format);
    };
    let mac = match perm_addr(scan) {
        PermAddr::None => None,
        PermAddr::Broken => return refused(format),
        PermAddr::Given(mac) if mac[0] & 1 != 0 || mac == [0; 6] => {
            return refused("The supplied perm_addr is not a valid MAC address");
        }
        PermAddr::Given(mac) => Some(mac),
    };
    if ports::is_there(dev, PortType::Pf, index) {
        return Err(Errno::EXIST);
    }
    ports::add_with_address(dev, devl, PortType::Pf, index, mac)
}

fn del_port_store(
    dev: &Arc<NsimDev>,
    devl: &mut devlink::Devl<'_>,
    text: &[u8],
) -> Result<(), Errno> {
    let index = kstrto::uint(text, 0)?;
    ports::del_one(dev, devl, PortType::Pf, index)
}

/// The hardware address after the number of a new port.
enum PermAddr {
    None,
    /// It begins, but does not end.
    Broken,
    Given([u8; 6]),
}

/// `%hhx:%hhx:%hhx:%hhx:%hhx:%hhx`
fn perm_addr(mut scan: Scan<'_>) -> PermAddr {
    let mut mac = [0; 6];
    for (place, byte) in mac.iter_mut().enumerate() {
        let separated = place == 0 || scan.literal(b':').is_some();
        match separated.then(|| scan.hex()).flatten() {
            Some(value) => *byte = value as u8,
            None if place == 0 => return PermAddr::None,
            None => return PermAddr::Broken,
        }
    }
    PermAddr::Given(mac)
}

impl Netdevsim {
    /// An error of the module (`pr_err`).
    pub(crate) fn pr_err(&self, text: &str) {
        let log = self.driver_core().klog();
        log.err(format_args!("{MODULE_NAME}: {text}"));
    }

    /// The device with this index in `net`, if it is one of ours.
    pub(crate) fn is_ours(&self, netdev: &net_core::Netdev) -> bool {
        netdev
            .parent()
            .is_some_and(|parent| parent.bus() == MODULE_NAME)
    }
}

/// A namespace and a device in it, as `link_device` has them.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) net: Arc<Net>,
    pub(crate) fd: i32,
    pub(crate) ifindex: u32,
}
