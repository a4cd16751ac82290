//! What a driver provides (`include/linux/device/driver.h`).

use rustix::io::Errno;

use crate::device::{Device, LockedDevice};

/// A driver of one bus. One value drives any number of devices; what belongs to a device is its
/// [driver data](Device::drvdata).
pub trait Driver: Send + Sync {
    /// The driver's name, which is its folder on the bus and the first word of its log lines (`mlx5_core`).
    fn name(&self) -> &str;

    /// The module that the driver is part of (`KBUILD_MODNAME`); the driver's name unless it says otherwise.
    fn module(&self) -> &str {
        self.name()
    }

    /// Whether this driver is for `device`, by the bus's own rule: see [`pci::match_device`](crate::pci::match_device)
    /// and [`auxiliary::match_id`](crate::auxiliary::match_id). Called without the device's lock.
    fn matches(&self, device: &Device) -> bool;

    /// Takes the device on. Runs with its lock held; on success the device is bound until [`remove`](Driver::remove).
    ///
    /// # Errors
    /// Any: the device then stays unbound, its driver data is dropped, and the error is logged unless it is `ENODEV`
    /// or `ENXIO`, by which a driver says that the device is not for it after all.
    fn probe(&self, device: &mut LockedDevice<'_>) -> Result<(), Errno>;

    /// Gives the device up. Runs with its lock held and cannot fail; the driver data is dropped afterwards.
    fn remove(&self, device: &mut LockedDevice<'_>);

    /// Whether the number of virtual functions can be changed: whether [`sriov_configure`](Self::sriov_configure) exists.
    fn can_configure_sriov(&self) -> bool {
        false
    }

    /// Gives a physical function this many virtual functions, none with 0 (`struct pci_driver: sriov_configure`); returns how
    /// many it has then. Runs with the device's lock held.
    ///
    /// # Errors
    /// Any; there are no virtual functions then.
    fn sriov_configure(&self, device: &mut LockedDevice<'_>, num_vfs: u16) -> Result<u16, Errno> {
        let _ = (device, num_vfs);
        Err(Errno::NOENT)
    }

    /// The machine is going down. Runs with the device's lock held; does nothing unless the driver says otherwise.
    fn shutdown(&self, _device: &mut LockedDevice<'_>) {}
}
