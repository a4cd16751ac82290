//! Virtual functions: how many there are, their rates, and the eswitch that gives each of them a port (`bus.c`, `dev.c`).
//!
//! A virtual function is a number and the rates that were set for it. It has a port, with a network device and a rate object,
//! while the eswitch is in switchdev mode. What the bus knows is written with the instance locked and read by anyone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use devlink::Devl;
use driver_core::{Device, LockedDevice};
use kernfs::debugfs::{Plain, U16};
use kernfs::{Dir, kstrto};
use lock_order::DevlinkLock;
use lockdep::order::{Before, Held};
use netlink::ExtAck;
use rustix::io::Errno;

use crate::bus::NsimBusDev;
use crate::dev::NsimDev;
use crate::ports::{self, PortType, VF_PORT_INDEX_BASE};
use crate::{MODULE_NAME, sysfs};

/// As many virtual functions as a device can have before anybody says otherwise (`NSIM_BUS_DEV_MAX_VFS`).
const MAX_VFS_DEFAULT: u32 = 4;

/// Texts for `max_vfs` are shorter than this.
const MAX_VFS_TEXT: usize = 10;

/// As many configurations as the kernel allocates in one piece: 4 MiB of 24 bytes each.
const MOST_CONFIGS: u32 = (4 << 20) / 24;

/// `DEVLINK_ESWITCH_MODE_LEGACY`.
pub(crate) const LEGACY: u16 = 0;
/// `DEVLINK_ESWITCH_MODE_SWITCHDEV`.
pub(crate) const SWITCHDEV: u16 = 1;

/// The number of virtual functions of a device on the bus.
#[derive(Debug)]
pub struct Vfs {
    num: AtomicU32,
    max: AtomicU32,
}

impl Default for Vfs {
    fn default() -> Self {
        Vfs {
            num: AtomicU32::new(0),
            max: AtomicU32::new(MAX_VFS_DEFAULT),
        }
    }
}

impl Vfs {
    /// How many there are: what `sriov_numvfs` shows.
    pub fn num(&self) -> u32 {
        self.num.load(Ordering::Relaxed)
    }

    /// How many there can be: what `max_vfs` shows.
    pub fn max(&self) -> u32 {
        self.max.load(Ordering::Relaxed)
    }
}

/// What was set for one virtual function (`struct nsim_vf_config`). It outlives the function's port.
#[derive(Debug)]
pub struct VfConfig {
    pub(crate) min_tx_rate: U16,
    pub(crate) max_tx_rate: U16,
}

impl Default for VfConfig {
    fn default() -> Self {
        VfConfig {
            min_tx_rate: U16::new(0),
            max_tx_rate: U16::new(0),
        }
    }
}

impl VfConfig {
    /// The rate that it gets at least, in Mbit/s: `tx_share`.
    pub fn min_tx_rate(&self) -> u16 {
        self.min_tx_rate.get()
    }

    /// The rate that it gets at most, in Mbit/s: `tx_max`.
    pub fn max_tx_rate(&self) -> u16 {
        self.max_tx_rate.get()
    }
}

/// The configurations of as many virtual functions as there can be.
pub(crate) fn configs(max: u32) -> Vec<Arc<VfConfig>> {
    (0..max).map(|_| Arc::default()).collect()
}

/// Makes so many virtual functions, or none: what writing to `sriov_numvfs` does (`dev.c: nsim_drv_configure_vfs`).
///
/// # Errors
/// `ENOENT` without a driver; `EBUSY` when there are some and others are wanted; `ENOMEM` for more than there can be; those
/// of the ports in switchdev mode, and then there are no virtual functions.
pub fn configure(device: &mut LockedDevice<'_>, num_vfs: u32) -> Result<(), Errno> {
    let dev = device.drvdata::<NsimDev>().ok_or(Errno::NOENT)?;
    let devlink = dev.devlink();
    let mut devl = devlink.lock(device.held());
    let vfs = &dev.bus_dev().vfs;
    if vfs.num() == num_vfs {
        return Ok(());
    }
    if vfs.num() != 0 && num_vfs != 0 {
        return Err(Errno::BUSY);
    }
    if vfs.max() < num_vfs {
        return Err(Errno::NOMEM);
    }
    vfs.num.store(num_vfs, Ordering::Relaxed);
    if dev.esw_mode() == SWITCHDEV {
        if num_vfs == 0 {
            legacy_enable(&dev, &mut devl);
        } else if let Err(errno) = switchdev_enable(&dev, &mut devl, &mut ExtAck::default()) {
            vfs.num.store(0, Ordering::Relaxed);
            return Err(errno);
        }
    }
    Ok(())
}

/// Changes how many virtual functions there can be: what writing to `max_vfs` does (`dev.c: nsim_bus_dev_max_vfs_write`).
///
/// # Errors
/// `ERANGE` for more than there are port numbers, `ENOMEM` for more than the kernel has memory for in one piece; `EBUSY` while there are virtual functions.
pub(crate) fn set_max<H: Before<DevlinkLock>>(
    dev: &NsimDev,
    held: &mut Held<'_, H>,
    max: u32,
) -> Result<(), Errno> {
    if max > u32::MAX - VF_PORT_INDEX_BASE {
        return Err(Errno::RANGE);
    }
    if max > MOST_CONFIGS {
        return Err(Errno::NOMEM);
    }
    let devlink = dev.devlink();
    let _devl = devlink.lock(held);
    let vfs = &dev.bus_dev().vfs;
    if vfs.num() != 0 {
        return Err(Errno::BUSY);
    }
    *dev.vf_configs() = configs(max);
    vfs.max.store(max, Ordering::Relaxed);
    Ok(())
}

/// Makes the file `max_vfs` (`dev.c: nsim_dev_max_vfs_fops`).
///
/// # Errors
/// `EEXIST` when it is there.
pub(crate) fn make_files(ddir: &Dir, device: &Arc<Device>) -> Result<(), Errno> {
    let (shown, stored) = (Arc::downgrade(device), Arc::downgrade(device));
    let file = Plain::new()
        .show(move |_| {
            let device = shown.upgrade().ok_or(Errno::NODEV)?;
            let bus_dev = device.data::<NsimBusDev>().ok_or(Errno::NODEV)?;
            Ok(format!("{}\n", bus_dev.vfs.max()))
        })
        .store_some(move |cx, text| {
            if cx.offset() != 0 {
                return Ok(0);
            }
            if text.len() >= MAX_VFS_TEXT {
                return Err(Errno::NOSPC);
            }
            let max = kstrto::uint(text, 10).map_err(|_| Errno::INVAL)?;
            sysfs::with_device(&stored, cx, |dev, locked| set_max(dev, locked.held(), max))?;
            Ok(text.len())
        });
    ddir.create_file("max_vfs", 0o600, file)?;
    Ok(())
}

/// Takes the virtual functions away, with what they have in switchdev mode: a device that goes down has none.
pub(crate) fn remove_all(dev: &NsimDev, devl: &mut Devl<'_>) {
    let vfs = &dev.bus_dev().vfs;
    if vfs.num() != 0 {
        vfs.num.store(0, Ordering::Relaxed);
        if dev.esw_mode() == SWITCHDEV {
            legacy_enable(dev, devl);
        }
    }
}

/// Changes the eswitch's mode (`dev.c: nsim_devlink_eswitch_mode_set`).
///
/// # Errors
/// `EINVAL` for a mode that it does not have; those of the ports.
pub(crate) fn eswitch_mode_set(
    dev: &NsimDev,
    devl: &mut Devl<'_>,
    mode: u16,
    extack: &mut ExtAck,
) -> Result<(), Errno> {
    match mode {
        _ if mode == dev.esw_mode() => Ok(()),
        LEGACY => {
            legacy_enable(dev, devl);
            Ok(())
        }
        SWITCHDEV => switchdev_enable(dev, devl, extack),
        _ => Err(Errno::INVAL),
    }
}

/// `dev.c: nsim_esw_legacy_enable`
fn legacy_enable(dev: &NsimDev, devl: &mut Devl<'_>) {
    devl.rate_nodes_destroy();
    ports::del_vfs(dev, devl);
    dev.set_esw_mode(LEGACY);
}

/// `dev.c: nsim_esw_switchdev_enable`
fn switchdev_enable(dev: &NsimDev, devl: &mut Devl<'_>, extack: &mut ExtAck) -> Result<(), Errno> {
    for vf in 0..dev.bus_dev().vfs.num() {
        if let Err(errno) = ports::add(dev, devl, PortType::Vf, vf) {
            extack.set_msg("netdevsim: Failed to initialize VFs' netdevsim ports");
            let log = dev.module().driver_core().klog();
            log.err(format_args!(
                "{MODULE_NAME}: Failed to initialize VF id={vf}. {}.",
                -errno.raw_os_error()
            ));
            ports::del_vfs(dev, devl);
            return Err(errno);
        }
    }
    dev.set_esw_mode(SWITCHDEV);
    Ok(())
}
