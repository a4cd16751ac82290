//! The function's own devlink port (`en/devlink.c`).
//!
//! For a physical function it stands for the connector, for any other it is *virtual*. In newer kernels the Ethernet part has
//! it on an instance of its own. In older ones it is on the function's; there the core registers it, right before it adds the
//! part and right after it has deleted it, because the core is the one that has the instance locked then. What users see is
//! the same.

use std::sync::Arc;

use devlink::{Flavour, NoPortOps, Objects, Port, PortAttrs};
use rustix::io::Errno;

use crate::core_dev::CoreDev;
use crate::eswitch::{self, VPORT_UPLINK};

/// Registers the function's port on this instance (`en/devlink.c: mlx5e_devlink_port_register`).
///
/// # Errors
/// `EBUSY` when it is registered.
pub(crate) fn register(dev: &CoreDev, objects: &mut Objects<'_>) -> Result<Arc<Port>, Errno> {
    let (attrs, vport) = match dev.is_pf() {
        true => {
            let flavour = Flavour::Physical {
                number: u32::from(dev.dev_index()),
                split_subport: None,
            };
            // The GUID's bytes as they lie in memory on the machines that mlx5 is used on, as the kernel copies them.
            let guid = dev.profile().system_image_guid.to_le_bytes();
            (PortAttrs::new(flavour).on_switch(&guid), VPORT_UPLINK)
        }
        false => (PortAttrs::new(Flavour::Virtual), 0),
    };
    let index = eswitch::vport_to_devlink_port_index(dev.vhca_id(), vport);
    objects.port_register(index, Some(attrs), Arc::new(NoPortOps))
}

/// Registers the port on the function's own instance, if it belongs there and there is an Ethernet part to use it.
///
/// # Errors
/// `EBUSY` when it is registered.
pub(crate) fn uplink_register(dev: &CoreDev, objects: &mut Objects<'_>) -> Result<(), Errno> {
    if dev.config().enable_eth && !dev.has_eth_devlink() {
        let port = register(dev, objects)?;
        dev.set_uplink_port(Some(port));
    }
    Ok(())
}

/// Unregisters the port, if it is on the function's own instance (`en/devlink.c: mlx5e_devlink_port_unregister`).
pub(crate) fn uplink_unregister(dev: &CoreDev, objects: &mut Objects<'_>) {
    if dev.has_eth_devlink() {
        return;
    }
    if let Some(port) = dev.set_uplink_port(None) {
        objects.port_unregister(&port);
    }
}
