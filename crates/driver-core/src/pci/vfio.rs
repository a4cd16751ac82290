//! `vfio-pci`, which keeps a function for a program (`drivers/vfio/pci/vfio_pci.c`).
//!
//! It is for no function by itself: who wants it for one names it in `driver_override`. Here it only keeps the function from other
//! drivers. There is no `/dev/vfio` through which a program could use it.

use rustix::io::Errno;

use crate::device::{Device, LockedDevice};
use crate::driver::Driver;

/// The driver.
#[derive(Debug)]
pub struct VfioPci;

impl VfioPci {
    /// Its name on the bus.
    pub const NAME: &'static str = "vfio-pci";
    /// The module that it is part of.
    pub const MODULE_NAME: &'static str = "vfio_pci";
}

impl Driver for VfioPci {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn module(&self) -> &str {
        Self::MODULE_NAME
    }

    fn matches(&self, _device: &Device) -> bool {
        false
    }

    fn probe(&self, _device: &mut LockedDevice<'_>) -> Result<(), Errno> {
        Ok(())
    }

    fn remove(&self, _device: &mut LockedDevice<'_>) {}

    /// Its callback is there, and refuses: the module's parameter `enable_sriov` is off.
    fn can_configure_sriov(&self) -> bool {
        true
    }
}
