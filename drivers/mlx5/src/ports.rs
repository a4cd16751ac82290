//! The function's devlink ports (`en/devlink.c`).
//!
//! Today a physical function has one, the uplink, which stands for its connector. In the kernel the Ethernet part registers
//! it, on an instance of its own in newer kernels; here the core does, right before it adds the part and right after it has
//! deleted it, because the core is the one that has the instance locked then. What users see is the same.

use std::sync::Arc;

use devlink::{Flavour, NoPortOps, Objects, PortAttrs};
use rustix::io::Errno;

use crate::core_dev::CoreDev;
use crate::eswitch::{self, VPORT_UPLINK};
use crate::params::DriverInit;

/// Registers the uplink port, if there is an Ethernet part to use it (`en/devlink.c: mlx5e_devlink_port_register`).
///
/// # Errors
/// `EBUSY` when it is registered.
pub(crate) fn uplink_register(
    dev: &Arc<CoreDev>,
    objects: &mut Objects<'_>,
    config: DriverInit,
) -> Result<(), Errno> {
    if !config.enable_eth {
        return Ok(());
    }
    let flavour = Flavour::Physical {
        number: u32::from(dev.dev_index()),
        split_subport: None,
    };
    // The GUID's bytes as they lie in memory on the machines that mlx5 is used on, as the kernel copies them.
    let attrs = PortAttrs::new(flavour).on_switch(&dev.profile().system_image_guid.to_le_bytes());
    let index = eswitch::vport_to_devlink_port_index(dev.vhca_id(), VPORT_UPLINK);
    let port = objects.port_register(index, Some(attrs), Arc::new(NoPortOps))?;
    dev.set_uplink_port(Some(port));
    Ok(())
}

/// Unregisters the uplink port, if there is one (`en/devlink.c: mlx5e_devlink_port_unregister`).
pub(crate) fn uplink_unregister(dev: &CoreDev, objects: &mut Objects<'_>) {
    if let Some(port) = dev.set_uplink_port(None) {
        objects.port_unregister(&port);
    }
}
