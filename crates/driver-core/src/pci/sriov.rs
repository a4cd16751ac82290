//! Virtual functions of a physical one (`drivers/pci/iov.c`).
//!
//! A physical function says how many virtual ones it can have and at which distance their addresses are. Its driver makes them
//! with [`enable_sriov`] and takes them away with [`disable_sriov`], with the physical function's lock held; users ask for a
//! number of them with [`numvfs_store`]. Each is a device of its own on the bus, with its own driver.

use std::sync::{Arc, PoisonError, Weak};

use lock_order::{ChildDevices, DeviceLock};
use lockdep::order::{Before, Held};
use rustix::io::Errno;

use super::{Function, Id, PciDev, new_function};
use crate::bus::Bus;
use crate::device::{Device, LockedDevice};

/// Where the virtual functions of a physical one are, and what they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VfLayout {
    /// Distance of the first one's routing id from the physical function's.
    pub offset: u16,
    /// Distance from one to the next.
    pub stride: u16,
    /// Their device id.
    pub device: u16,
}

/// The virtual functions that a physical one has now (`struct pci_sriov`).
pub(super) struct Iov {
    total: u16,
    state: lockdep::Mutex<IovState>,
}

struct IovState {
    vfs: Vec<Arc<Device>>,
    drivers_autoprobe: bool,
}

impl Iov {
    pub(super) fn new(total: u16) -> Self {
        Iov {
            total,
            state: lockdep::Mutex::named(
                "pdev->sriov",
                IovState {
                    vfs: Vec::new(),
                    drivers_autoprobe: true,
                },
            ),
        }
    }

    fn state(&self) -> lockdep::MutexGuard<'_, IovState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whose virtual function a device is, and which.
pub(super) struct Physfn {
    device: Weak<Device>,
    number: u16,
}

fn iov(device: &Device) -> Option<&Iov> {
    device.data::<PciDev>()?.iov.as_ref()
}

fn physfn_of(device: &Device) -> Option<&Physfn> {
    device.data::<PciDev>()?.physfn.as_ref()
}

/// How many virtual functions the device can have; 0 without SR-IOV (`pci_sriov_get_totalvfs`).
pub fn total_vfs(device: &Device) -> u16 {
    iov(device).map_or(0, |iov| iov.total)
}

/// How many virtual functions the device has (`pci_num_vf`).
pub fn num_vfs(device: &Device) -> u16 {
    // No more than `total_vfs` were made.
    iov(device).map_or(0, |iov| iov.state().vfs.len() as u16)
}

/// The virtual functions that the device has, in the order of their numbers.
pub fn virtfns(device: &Device) -> Vec<Arc<Device>> {
    iov(device).map_or_else(Vec::new, |iov| iov.state().vfs.clone())
}

/// The physical function of a virtual one, and the number that it has there; `None` for any other device (`pci_physfn`,
/// `pci_iov_vf_id`).
pub fn physfn(device: &Device) -> Option<(Arc<Device>, u16)> {
    let physfn = physfn_of(device)?;
    Some((physfn.device.upgrade()?, physfn.number))
}

/// Whether new virtual functions of the device are offered to drivers.
pub fn drivers_autoprobe(device: &Device) -> bool {
    iov(device).is_some_and(|iov| iov.state().drivers_autoprobe)
}

/// Says whether new virtual functions of the device are to be offered to drivers.
pub fn set_drivers_autoprobe(device: &Device, autoprobe: bool) {
    if let Some(iov) = iov(device) {
        iov.state().drivers_autoprobe = autoprobe;
    }
}

/// Whether a driver may have the device (`pci_device_can_probe`): a virtual function whose physical one keeps its own from
/// drivers is for nobody, except whom it was given by name.
pub(super) fn can_probe(device: &Device) -> bool {
    match physfn_of(device).map(|physfn| physfn.device.upgrade()) {
        None => true,
        Some(None) => false,
        Some(Some(pf)) => drivers_autoprobe(&pf) || super::driver_override(device).is_some(),
    }
}

/// Makes the device's virtual functions (`pci_enable_sriov`), one after the other: `between` is called before each, with its
/// number.
///
/// # Errors
/// `ENOSYS` without SR-IOV, `EBUSY` when there are some, `EINVAL` for more than there can be, `ENOMEM` when the addresses
/// behind the last bus would be needed; nothing is left then.
pub fn enable_sriov(
    bus: &Bus,
    locked: &mut LockedDevice<'_>,
    count: u16,
    mut between: impl FnMut(u16),
) -> Result<(), Errno> {
    let pf = Arc::clone(locked.device());
    let (Some(iov), Some(function)) = (iov(&pf), super::function(&pf)) else {
        return Err(Errno::NOSYS);
    };
    if num_vfs(&pf) > 0 {
        return Err(Errno::BUSY);
    }
    if count == 0 || count > iov.total {
        return Err(Errno::INVAL);
    }
    let layout = function.vf;
    let addresses = (0..count)
        .map(|vf| {
            let distance = layout.offset.checked_add(layout.stride.checked_mul(vf)?)?;
            function.address.offset(distance)
        })
        .collect::<Option<Vec<_>>>()
        .ok_or(Errno::NOMEM)?;
    for (number, address) in addresses.into_iter().enumerate() {
        // At most `total_vfs`.
        let number = number as u16;
        between(number);
        let virtual_function = Function {
            address,
            id: Id {
                vendor: function.id.vendor,
                device: layout.device,
            },
            total_vfs: 0,
            vf: VfLayout::default(),
            serial: None,
            ..function.clone()
        };
        let physfn = Physfn {
            device: Arc::downgrade(&pf),
            number,
        };
        let device = new_function(bus, pf.parent().cloned(), virtual_function, Some(physfn));
        device.info(format_args!(
            "[{:04x}:{:04x}] type 00 class 0x{:06x} PCIe Endpoint",
            function.id.vendor, layout.device, function.class
        ));
        iov.state().vfs.push(Arc::clone(&device));
        let added = bus.add_device(&mut locked.held().child_devices(), &device);
        if let Err(errno) = added {
            iov.state().vfs.pop();
            disable_sriov(bus, locked);
            return Err(errno);
        }
        link(&pf, &device, number);
    }
    Ok(())
}

/// A link each way between a physical function and its virtual one (`pci_iov_sysfs_link`).
fn link(pf: &Device, vf: &Device, number: u16) {
    let (Some(at_pf), Some(at_vf)) = (pf.dir(), vf.dir()) else {
        return;
    };
    // Both are new: the names are free.
    _ = at_pf.create_link(format!("virtfn{number}"), format!("../{}", vf.name()));
    _ = at_vf.create_link("physfn", format!("../{}", pf.name()));
}

fn unlink(pf: &Device, number: u16) {
    if let Some(dir) = pf.dir() {
        dir.remove_entry(&format!("virtfn{number}"));
    }
}

/// Takes the device's virtual functions away, the first one first (`pci_disable_sriov`).
pub fn disable_sriov(bus: &Bus, locked: &mut LockedDevice<'_>) {
    let pf = Arc::clone(locked.device());
    let Some(iov) = iov(&pf) else {
        return;
    };
    for (number, device) in (0..).zip(&virtfns(&pf)) {
        unlink(&pf, number);
        bus.remove_device(&mut locked.held().child_devices(), device);
    }
    // Only now: while a virtual function goes, its driver may still ask how many there are.
    let gone = std::mem::take(&mut iov.state().vfs);
    drop(gone);
}

/// Serves `echo COUNT > sriov_numvfs` (`sriov_numvfs_store`).
///
/// # Errors
/// `ERANGE` for more than there can be, `ENOENT` without a driver that can do it, `EBUSY` when another number is set and
/// not taken back first, else what the driver says.
pub fn numvfs_store<H: Before<DeviceLock>>(
    held: &mut Held<'_, H>,
    pf: &Arc<Device>,
    count: u16,
) -> Result<(), Errno> {
    if count > total_vfs(pf) {
        return Err(Errno::RANGE);
    }
    let mut locked = pf.lock(held);
    if locked.is_dead() {
        return Err(Errno::NODEV);
    }
    let now = num_vfs(pf);
    if count == now {
        return Ok(());
    }
    let Some(driver) = pf.driver() else {
        pf.info(format_args!(
            "no driver bound to device; cannot configure SR-IOV"
        ));
        return Err(Errno::NOENT);
    };
    if !driver.can_configure_sriov() {
        pf.info(format_args!(
            "driver does not support SR-IOV configuration via sysfs"
        ));
        return Err(Errno::NOENT);
    }
    if count == 0 {
        return driver.sriov_configure(&mut locked, 0).map(drop);
    }
    if now > 0 {
        pf.warn(format_args!(
            "{now} VFs already enabled. Disable before enabling {count} VFs"
        ));
        return Err(Errno::BUSY);
    }
    let enabled = driver.sriov_configure(&mut locked, count)?;
    if enabled != count {
        pf.warn(format_args!(
            "{count} VFs requested; only {enabled} enabled"
        ));
    }
    Ok(())
}
