//! The function's own devlink port (`en/devlink.c`).
//!
//! For a physical function it stands for the connector, for any other it is *virtual*. In newer kernels the Ethernet part has
//! it on an instance of its own. In older ones it is on the function's; there the core registers it, and its reporters, right before it adds the
//! part and right after it has deleted it, because the core is the one that has the instance locked then. What users see is
//! the same.

use std::sync::{Arc, Weak};

use devlink::{
    Devl, Flavour, FnOpstate, FnState, NoPortOps, Objects, Port, PortAttrs, PortOp, PortOpSet,
    PortOps,
};
use netlink::ExtAck;
use rustix::io::Errno;

use crate::core_dev::CoreDev;
use crate::eswitch::{self, Mode, VPORT_UPLINK};
use crate::health;

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
    let ops: Arc<dyn PortOps> = match dev.module().kernel_is_at_least(6, 5) {
        true => Arc::new(NoPortOps),
        false => Arc::new(InstanceOps {
            dev: Arc::downgrade(&dev.this()),
        }),
    };
    objects.port_register(index, Some(attrs), ops)
}

/// Before 6.5 operations were of the instance, not of a port: they are also asked of a port that cannot have them.
struct InstanceOps {
    dev: Weak<CoreDev>,
}

impl InstanceOps {
    /// The mode of the function's switch, if it has one.
    fn mode(&self) -> Option<Mode> {
        Some(self.dev.upgrade()?.eswitch()?.mode())
    }

    /// What a command for sub-functions says of another port.
    fn no_sub_function(&self, extack: &mut ExtAck, text: &'static str) -> Errno {
        if self.mode() == Some(Mode::Offloads) {
            return Errno::NODEV;
        }
        extack.set_msg(text);
        Errno::OPNOTSUPP
    }
}

impl PortOps for InstanceOps {
    fn provides(&self) -> PortOpSet {
        PortOpSet::of(&[PortOp::Del, PortOp::FnHwAddrSet, PortOp::FnStateSet])
    }

    fn del(
        &self,
        _devl: &mut Devl<'_>,
        _port: &Arc<Port>,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let text = "mlx5_core: Port del is only supported in eswitch switchdev mode or SF ports are disabled.";
        Err(self.no_sub_function(extack, text))
    }

    fn fn_hw_addr_get(&self, _port: &Port, _extack: &mut ExtAck) -> Result<Vec<u8>, Errno> {
        Err(Errno::OPNOTSUPP)
    }

    fn fn_hw_addr_set(
        &self,
        _devl: &mut Devl<'_>,
        _port: &Arc<Port>,
        _addr: &[u8],
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let (errno, text) = match self.mode() {
            Some(_) => (Errno::INVAL, "mlx5_core: Port doesn't support set hw_addr"),
            None => (
                Errno::OPNOTSUPP,
                "mlx5_core: Eswitch doesn't support set hw_addr",
            ),
        };
        extack.set_msg(text);
        Err(errno)
    }

    fn fn_state_get(
        &self,
        _port: &Port,
        _extack: &mut ExtAck,
    ) -> Result<(FnState, FnOpstate), Errno> {
        Err(Errno::OPNOTSUPP)
    }

    fn fn_state_set(
        &self,
        _devl: &mut Devl<'_>,
        _port: &Arc<Port>,
        _state: FnState,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let text = "mlx5_core: Port state set is only supported in eswitch switchdev mode or SF ports are disabled.";
        Err(self.no_sub_function(extack, text))
    }
}

/// Registers the port on the function's own instance, if it belongs there and there is an Ethernet part to use it.
///
/// # Errors
/// `EBUSY` when it is registered.
pub(crate) fn uplink_register(dev: &CoreDev, objects: &mut Objects<'_>) -> Result<(), Errno> {
    if dev.config().enable_eth && !dev.has_eth_devlink() {
        let port = register(dev, objects)?;
        // The part works without them.
        let reporters = health::queues::create(dev, objects, port.index()).unwrap_or_default();
        dev.health.set_queues(reporters);
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
        for reporter in dev.health.set_queues(Vec::new()) {
            objects.health_reporter_destroy(&reporter);
        }
        objects.port_unregister(&port);
    }
}
