//! Drivers of parts whose insides nobody sees here: they are bound, and that is all (`drivers/vdpa/mlx5`,
//! `drivers/fwctl/mlx5`).

use driver_core::{Device, Driver, LockedDevice, auxiliary};
use rustix::io::Errno;

/// The driver of one kind of part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OtherDriver {
    name: &'static str,
    module: &'static str,
    part: &'static str,
}

impl OtherDriver {
    /// All of them, in the order in which they are registered.
    pub(crate) const ALL: [Self; 2] = [
        OtherDriver {
            name: "mlx5_vdpa.vnet",
            module: "mlx5_vdpa",
            part: "mlx5_core.vnet",
        },
        OtherDriver {
            name: "mlx5_fwctl.mlx5_fwctl",
            module: "mlx5_fwctl",
            part: "mlx5_core.fwctl",
        },
    ];
}

impl Driver for OtherDriver {
    fn name(&self) -> &str {
        self.name
    }

    fn module(&self) -> &str {
        self.module
    }

    fn matches(&self, device: &Device) -> bool {
        auxiliary::match_id(&[self.part], device).is_some()
    }

    fn probe(&self, _device: &mut LockedDevice<'_>) -> Result<(), Errno> {
        Ok(())
    }

    fn remove(&self, _device: &mut LockedDevice<'_>) {}
}
