//! Virtual functions of a physical one, as the driver makes them (`sriov.c`).
//!
//! The eswitch learns of them first, with the instance locked; then, with the instance *not* locked, they appear on the PCI
//! bus one after the other, and each is probed there like any function. They go in the opposite order. A reload of the
//! physical function leaves them on the bus and takes only the eswitch's side down and up (`detach`, `attach`).

use std::sync::Arc;

use devlink::Objects;
use driver_core::{LockedDevice, pci};
use lock_order::DriverLock;
use lockdep::order::Held;
use rustix::io::Errno;

use crate::core_dev::CoreDev;
use crate::eswitch;
use crate::fault::Fault;

/// Serves `echo COUNT > sriov_numvfs` (`sriov.c: mlx5_core_sriov_configure`).
///
/// # Errors
/// Those of the eswitch and of the bus; there are no virtual functions then.
pub(crate) fn core_sriov_configure(
    device: &mut LockedDevice<'_>,
    num_vfs: u16,
) -> Result<u16, Errno> {
    let dev = device.drvdata::<CoreDev>().ok_or(Errno::NODEV)?;
    if num_vfs == 0 {
        disable(&dev, device);
    } else {
        mlx5_sriov_enable(&dev, device, num_vfs)?;
    }
    Ok(num_vfs)
}

#[inline(never)]
fn mlx5_sriov_enable(
    dev: &Arc<CoreDev>,
    device: &mut LockedDevice<'_>,
    num_vfs: u16,
) -> Result<(), Errno> {
    let devlink = dev.devlink();
    {
        let mut devl = devlink.lock(device.held());
        let (objects, held) = devl.parts();
        if let Err(errno) = eswitch::enable(dev, objects, held, num_vfs) {
            let errno_number = -errno.raw_os_error();
            dev.warn(format_args!(
                "failed to enable eswitch SRIOV ({errno_number})"
            ));
            dev.warn(format_args!(
                "mlx5_device_enable_sriov failed : {errno_number}"
            ));
            return Err(errno);
        }
    }
    let enabled = pci_enable_sriov(dev, device, num_vfs);
    if let Err(errno) = enabled {
        dev.warn(format_args!(
            "pci_enable_sriov failed : {}",
            -errno.raw_os_error()
        ));
        let mut devl = devlink.lock(device.held());
        let (objects, held) = devl.parts();
        eswitch::disable_sriov(dev, objects, held, true);
    }
    enabled
}

fn pci_enable_sriov(
    dev: &Arc<CoreDev>,
    device: &mut LockedDevice<'_>,
    num_vfs: u16,
) -> Result<(), Errno> {
    let core = dev.module().driver_core();
    if let Some(errno) = dev.faults().value(Fault::VfEnable) {
        // A number of an error, as the grammar of faults has checked.
        return Err(Errno::from_raw_os_error(i32::try_from(errno).unwrap_or(5)));
    }
    pci::sriov::enable_sriov(&core.pci(), device, num_vfs, |_| {
        if let Some(delay) = dev.faults().delay(Fault::VfDelay) {
            core.clock().sleep(delay);
        }
    })
}

/// Takes all virtual functions away, if there are any, and the eswitch's side of them (`sriov.c: mlx5_sriov_disable`).
#[inline(never)]
pub(crate) fn disable(dev: &Arc<CoreDev>, device: &mut LockedDevice<'_>) {
    if !dev.is_pf() {
        return;
    }
    pci::sriov::disable_sriov(&dev.module().driver_core().pci(), device);
    let devlink = dev.devlink();
    let mut devl = devlink.lock(device.held());
    devl.rate_nodes_destroy();
    let (objects, held) = devl.parts();
    eswitch::disable_sriov(dev, objects, held, true);
}

/// The function loads again, and its virtual functions are still on the bus (`sriov.c: mlx5_sriov_attach`).
///
/// # Errors
/// Those of the eswitch.
pub(crate) fn attach(
    dev: &Arc<CoreDev>,
    objects: &mut Objects<'_>,
    held: &mut Held<'_, DriverLock>,
) -> Result<(), Errno> {
    let num_vfs = pci::sriov::num_vfs(dev.device());
    if !dev.is_pf() || num_vfs == 0 {
        return Ok(());
    }
    eswitch::enable(dev, objects, held, num_vfs)
}

/// The function unloads; its virtual functions stay on the bus (`sriov.c: mlx5_sriov_detach`).
pub(crate) fn detach(
    dev: &Arc<CoreDev>,
    objects: &mut Objects<'_>,
    held: &mut Held<'_, DriverLock>,
) {
    if dev.is_pf() {
        eswitch::disable_sriov(dev, objects, held, false);
    }
}
