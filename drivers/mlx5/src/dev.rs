//! The parts of a function on the auxiliary bus (`dev.c`).
//!
//! Which parts a function has is decided by one table: what the hardware supports and what the parameters enable. They
//! are added in the order of the table and deleted in reverse, with the adapter's lock held, so that the functions of one
//! adapter never do it at the same time. A part's driver runs inside: `auxiliary_device_add` binds it, `auxiliary_device_delete`
//! makes it let go.

use std::sync::Arc;

use driver_core::{Device, auxiliary};
use lock_order::{ChildDevices, DriverLock};
use lockdep::order::Held;
use rustix::io::Errno;

use crate::MODULE_NAME;
use crate::core_dev::{CoreDev, IntfState};
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

/// The parts, in the order in which they are added.
const PART_TYPES: [PartType; 2] = [
    PartType {
        suffix: "eth",
        is_supported: |_| true,
        is_enabled: |config| config.enable_eth,
    },
    PartType {
        suffix: "rdma",
        is_supported: |_| true,
        is_enabled: |config| config.enable_rdma,
    },
];

/// The parts that a function has now, by their place in the table.
pub(crate) type Parts = [Option<Arc<Device>>; PART_TYPES.len()];

/// A new function gets its parts.
///
/// # Errors
/// Those of the bus. A driver that fails leaves its part unbound, which is no error.
#[inline(never)]
pub fn register_device(
    dev: &Arc<CoreDev>,
    state: &mut IntfState,
    held: &mut Held<'_, DriverLock>,
) -> Result<(), Errno> {
    let (_guard, mut held) = dev.hca_devcom_comp().sem().write(held);
    add_drivers(dev, state, &mut held)
}

/// A function loses its parts for good.
#[inline(never)]
pub fn unregister_device(
    dev: &Arc<CoreDev>,
    state: &mut IntfState,
    held: &mut Held<'_, DriverLock>,
) {
    let (_guard, mut held) = dev.hca_devcom_comp().sem().write(held);
    delete_drivers(dev, state, &mut held);
}

/// A function that comes back from a reload gets its parts again.
///
/// # Errors
/// As [`register_device`].
#[inline(never)]
pub fn attach_device(
    dev: &Arc<CoreDev>,
    state: &mut IntfState,
    held: &mut Held<'_, DriverLock>,
) -> Result<(), Errno> {
    let (_guard, mut held) = dev.hca_devcom_comp().sem().write(held);
    add_drivers(dev, state, &mut held)
}

/// A function that is being reloaded loses its parts.
#[inline(never)]
pub fn detach_device(dev: &Arc<CoreDev>, state: &mut IntfState, held: &mut Held<'_, DriverLock>) {
    let (_guard, mut held) = dev.hca_devcom_comp().sem().write(held);
    delete_drivers(dev, state, &mut held);
}

fn add_drivers(
    dev: &Arc<CoreDev>,
    state: &mut IntfState,
    held: &mut Held<'_, DriverLock>,
) -> Result<(), Errno> {
    let config = state.config;
    for (part_type, part) in PART_TYPES.iter().zip(&mut state.parts) {
        if part.is_some() || !(part_type.is_enabled)(&config) || !(part_type.is_supported)(dev) {
            continue;
        }
        match add_adev(dev, part_type.suffix, held) {
            Ok(device) => *part = Some(device),
            Err(errno) => {
                dev.warn(format_args!("Device ({}) failed to load", part_type.suffix));
                return Err(errno);
            }
        }
    }
    Ok(())
}

fn delete_drivers(dev: &CoreDev, state: &mut IntfState, held: &mut Held<'_, DriverLock>) {
    for part in state.parts.iter_mut().rev() {
        if let Some(device) = part.take() {
            del_adev(dev, &device, held);
        }
    }
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
