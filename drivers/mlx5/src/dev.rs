//! The parts of a function on the auxiliary bus (`dev.c`).
//!
//! Which parts a function has is decided by one table: what the hardware supports and what the parameters enable. They
//! are added in the order of the table and deleted in reverse, with the adapter's lock held, so that the functions of one
//! adapter never do it at the same time. A part's driver runs inside: `auxiliary_device_add` binds it, `auxiliary_device_delete`
//! makes it let go.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use driver_core::{Device, auxiliary};
use lock_order::{ChildDevices, DriverLock};
use lockdep::order::Held;
use rustix::io::Errno;

use crate::MODULE_NAME;
use crate::core_dev::CoreDev;
use crate::devcom::with_comp_lock;
use crate::eswitch::Mode;
use crate::params::DriverInit;

/// One line of the table (`mlx5_adev_devices`).
struct PartType {
    /// The part's name within the module.
    suffix: &'static str,
    /// The hardware has it.
    is_supported: fn(&CoreDev) -> bool,
    /// The parameters ask for it.
    is_enabled: fn(&DriverInit) -> bool,
}

/// The parts, in the order in which they are added. No profile has what `multiport` and `dpll` are for.
const PART_TYPES: [PartType; 6] = [
    PartType {
        suffix: "eth",
        is_supported: |_| true,
        is_enabled: |config| config.enable_eth,
    },
    PartType {
        suffix: "eth-rep",
        is_supported: is_eth_rep_supported,
        is_enabled: |_| true,
    },
    PartType {
        suffix: "rdma",
        is_supported: |dev| !ib_adev_disabled(dev) && !is_eth_rep_supported(dev),
        is_enabled: |config| config.enable_rdma,
    },
    PartType {
        suffix: "rdma-rep",
        is_supported: |dev| !ib_adev_disabled(dev) && is_eth_rep_supported(dev),
        is_enabled: |_| true,
    },
    PartType {
        suffix: "vnet",
        is_supported: vnet_supported,
        is_enabled: |config| config.enable_vnet,
    },
    PartType {
        suffix: "fwctl",
        is_supported: |dev| dev.module().kernel_is_at_least(6, 15) && !dev.is_sf(),
        is_enabled: |_| true,
    },
];

/// The parts that a function has now, by their place in the table.
pub(crate) type Parts = [Option<Arc<Device>>; PART_TYPES.len()];

/// `dev.c: mlx5_vnet_supported`
pub(crate) fn vnet_supported(dev: &CoreDev) -> bool {
    !dev.is_pf()
}

fn is_eth_rep_supported(dev: &CoreDev) -> bool {
    dev.eswitch()
        .is_some_and(|esw| esw.mode() == Mode::Offloads)
}

fn ib_adev_disabled(dev: &CoreDev) -> bool {
    dev.disable_ib_adev.load(Ordering::Acquire)
}

/// A new function gets its parts.
///
/// # Errors
/// Those of the bus. A driver that fails leaves its part unbound, which is no error.
#[inline(never)]
pub fn register_device(dev: &Arc<CoreDev>, held: &mut Held<'_, DriverLock>) -> Result<(), Errno> {
    with_comp_lock(dev, held, |held| add_drivers(dev, held))
}

/// A function loses its parts for good.
#[inline(never)]
pub fn unregister_device(dev: &Arc<CoreDev>, held: &mut Held<'_, DriverLock>) {
    with_comp_lock(dev, held, |held| delete_drivers(dev, held, |_| false));
}

/// A function that comes back from a reload gets its parts again.
///
/// # Errors
/// As [`register_device`].
#[inline(never)]
pub fn attach_device(dev: &Arc<CoreDev>, held: &mut Held<'_, DriverLock>) -> Result<(), Errno> {
    with_comp_lock(dev, held, |held| add_drivers(dev, held))
}

/// A function that is being reloaded loses its parts.
#[inline(never)]
pub fn detach_device(dev: &Arc<CoreDev>, held: &mut Held<'_, DriverLock>) {
    with_comp_lock(dev, held, |held| delete_drivers(dev, held, |_| false));
}

/// Parts that are not wanted any more go, others that are wanted now come. With the adapter's lock held.
///
/// # Errors
/// As [`register_device`].
#[inline(never)]
pub(crate) fn rescan_drivers_locked(
    dev: &Arc<CoreDev>,
    held: &mut Held<'_, DriverLock>,
) -> Result<(), Errno> {
    let config = dev.config();
    delete_drivers(dev, held, |part_type| {
        (part_type.is_enabled)(&config) && (part_type.is_supported)(dev)
    });
    add_drivers(dev, held)
}

fn add_drivers(dev: &Arc<CoreDev>, held: &mut Held<'_, DriverLock>) -> Result<(), Errno> {
    let config = dev.config();
    let mut parts = take_parts(dev);
    let mut result = Ok(());
    for (part_type, part) in PART_TYPES.iter().zip(&mut parts) {
        if part.is_some() || !(part_type.is_enabled)(&config) || !(part_type.is_supported)(dev) {
            continue;
        }
        match add_adev(dev, part_type.suffix, held) {
            Ok(device) => *part = Some(device),
            Err(errno) => {
                dev.warn(format_args!("Device ({}) failed to load", part_type.suffix));
                result = Err(errno);
                break;
            }
        }
    }
    put_parts(dev, parts);
    result
}

fn delete_drivers(
    dev: &CoreDev,
    held: &mut Held<'_, DriverLock>,
    stays: impl Fn(&PartType) -> bool,
) {
    let mut parts = take_parts(dev);
    for (part_type, part) in PART_TYPES.iter().zip(&mut parts).rev() {
        if stays(part_type) {
            continue;
        }
        if let Some(device) = part.take() {
            del_adev(dev, &device, held);
        }
    }
    put_parts(dev, parts);
}

/// The parts, for who changes them: the instance's lock says that it is one at a time.
fn take_parts(dev: &CoreDev) -> Parts {
    std::mem::take(&mut *dev.parts.lock().unwrap_or_else(PoisonError::into_inner))
}

fn put_parts(dev: &CoreDev, parts: Parts) {
    *dev.parts.lock().unwrap_or_else(PoisonError::into_inner) = parts;
}

#[inline(never)]
fn add_adev(
    dev: &Arc<CoreDev>,
    suffix: &str,
    held: &mut Held<'_, DriverLock>,
) -> Result<Arc<Device>, Errno> {
    auxiliary::auxiliary_device_add(
        &dev.module().driver_core().auxiliary(),
        &mut held.child_devices(),
        dev.device(),
        MODULE_NAME,
        suffix,
        dev.adev_idx(),
        Arc::clone(dev),
    )
}

#[inline(never)]
fn del_adev(dev: &CoreDev, device: &Arc<Device>, held: &mut Held<'_, DriverLock>) {
    auxiliary::auxiliary_device_delete(
        &dev.module().driver_core().auxiliary(),
        &mut held.child_devices(),
        device,
    );
}
