//! The devlink ports of vports (`esw/devlink_port.c`), and the settings of the functions behind them
//! (`eswitch_offloads.c: mlx5_devlink_port_fn_*`).

use std::sync::{Arc, Weak};

use devlink::{
    Devl, Flavour, FnOpstate, FnState, NoPortOps, Port, PortAttrs, PortOp, PortOpSet, PortOps,
};
use netlink::ExtAck;
use rustix::io::Errno;

use super::vport::VportInfo;
use super::{Change, Vport, VportKind, vport_to_devlink_port_index};
use crate::core_dev::CoreDev;
use crate::rates::Scheduling;
use crate::{health, host, resources, sf};

/// Event queues that a function needs for itself (`MLX5_ESW_MAX_CTRL_EQS`).
const MAX_CTRL_EQS: u32 = 4;

/// Registers the vport's port (`esw/devlink_port.c: mlx5_esw_offloads_devlink_port_register`).
///
/// # Errors
/// `EBUSY` when it is registered.
pub(crate) fn port_register(
    change: &mut Change<'_, '_, '_, '_>,
    vport: &Arc<Vport>,
) -> Result<(), Errno> {
    let dev = change.dev;
    let attrs = PortAttrs::new(flavour(dev, vport.kind()))
        .on_switch(&dev.profile().system_image_guid.to_le_bytes());
    let index = vport_to_devlink_port_index(dev.vhca_id(), vport.number());
    let ops: Arc<dyn PortOps> = match vport.kind() {
        // The driver has none for these.
        VportKind::EcVf(_) => Arc::new(NoPortOps),
        VportKind::HostPf | VportKind::Vf(_) | VportKind::Sf { .. } => Arc::new(VportOps {
            dev: Arc::downgrade(dev),
            vport: Arc::clone(vport),
        }),
    };
    let port = change.objects.port_register(index, Some(attrs), ops)?;
    change
        .objects
        .rate_leaf_create(&port, Arc::new(Scheduling::leaf()), None)?;
    if vport.kind() == VportKind::HostPf {
        resources::port_register(dev, change.objects, index)?;
    }
    // A port without it is as good.
    let reporter = health::has_vnic(dev.module()).then(|| {
        change
            .objects
            .port_health_reporter_create(index, health::vnic(dev.module()))
    });
    vport.set_port(Some(port), reporter.and_then(Result::ok));
    Ok(())
}

/// Unregisters the vport's port, if there is one.
pub(crate) fn port_unregister(change: &mut Change<'_, '_, '_, '_>, vport: &Vport) {
    if let (Some(port), reporter) = vport.set_port(None, None) {
        if let Some(reporter) = reporter {
            change.objects.health_reporter_destroy(&reporter);
        }
        if vport.kind() == VportKind::HostPf {
            change.objects.port_resources_unregister(port.index());
        }
        change.objects.rate_leaf_destroy(&port);
        change.objects.port_unregister(&port);
    }
}

/// `esw/devlink_port.c: mlx5_esw_offloads_pf_vf_devlink_port_attrs_set`, `mlx5_esw_offloads_sf_devlink_port_attrs_set`
fn flavour(dev: &CoreDev, kind: VportKind) -> Flavour {
    let pf = u16::from(dev.dev_index());
    let external = dev.is_ecpf();
    let host = u32::from(external);
    match kind {
        VportKind::HostPf => Flavour::PciPf {
            controller: host,
            pf,
            external,
        },
        VportKind::Vf(vf) => Flavour::PciVf {
            controller: host,
            pf,
            vf,
            external,
        },
        VportKind::EcVf(vf) => Flavour::PciVf {
            controller: 0,
            pf,
            vf,
            external: false,
        },
        VportKind::Sf { controller, sfnum } => Flavour::PciSf {
            controller,
            pf,
            sf: sfnum,
            external: controller != 0,
        },
    }
}

/// The operations of a vport's port.
struct VportOps {
    /// Not the owner: the function's instance has the port.
    dev: Weak<CoreDev>,
    vport: Arc<Vport>,
}

impl VportOps {
    fn dev(&self) -> Result<Arc<CoreDev>, Errno> {
        self.dev.upgrade().ok_or(Errno::NODEV)
    }

    fn since(&self, major: u8, minor: u8) -> bool {
        self.dev
            .upgrade()
            .is_some_and(|dev| dev.module().kernel_is_at_least(major, minor))
    }

    fn is_sf(&self) -> bool {
        matches!(self.vport.kind(), VportKind::Sf { .. })
    }

    /// Only the host's physical function has a state besides sub-functions, in the newest kernels.
    fn is_pf_with_state(&self) -> bool {
        self.vport.kind() == VportKind::HostPf && self.since(7, 1)
    }
}

fn refuse<T>(extack: &mut ExtAck, errno: Errno, text: &'static str) -> Result<T, Errno> {
    extack.set_msg(text);
    Err(errno)
}

impl PortOps for VportOps {
    fn provides(&self) -> PortOpSet {
        let mut ops = vec![PortOp::FnHwAddrSet];
        if self.since(6, 2) {
            ops.push(PortOp::FnRoceSet);
        }
        if self.since(6, 10) {
            ops.push(PortOp::FnMaxIoEqsSet);
        }
        if self.is_sf() {
            ops.extend([PortOp::Del, PortOp::FnStateSet]);
            return PortOpSet::of(&ops);
        }
        if self.since(6, 2) {
            ops.push(PortOp::FnMigratableSet);
        }
        if self.since(6, 7) {
            ops.extend([PortOp::FnIpsecCryptoSet, PortOp::FnIpsecPacketSet]);
        }
        if !self.since(6, 5) {
            // Operations were of the instance, not of a port: any port had them all.
            ops.extend([PortOp::Del, PortOp::FnStateSet]);
        }
        if self.since(7, 1) {
            // Also of a virtual function, which then says that it has none.
            ops.push(PortOp::FnStateSet);
        }
        PortOpSet::of(&ops)
    }

    fn del(
        &self,
        devl: &mut Devl<'_>,
        port: &Arc<Port>,
        _extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        _ = port;
        if !self.is_sf() {
            return Err(Errno::NODEV);
        }
        sf::devlink_port_del(&self.dev()?, devl, &self.vport);
        Ok(())
    }

    fn fn_hw_addr_get(&self, _port: &Port, _extack: &mut ExtAck) -> Result<Vec<u8>, Errno> {
        Ok(self.vport.info().mac.to_vec())
    }

    fn fn_hw_addr_set(
        &self,
        _devl: &mut Devl<'_>,
        _port: &Arc<Port>,
        addr: &[u8],
        _extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let mac: [u8; 6] = addr.try_into().map_err(|_| Errno::INVAL)?;
        let is_multicast = mac[0] & 1 != 0;
        if is_multicast {
            return Err(Errno::INVAL);
        }
        self.vport.info().mac = mac;
        Ok(())
    }

    fn fn_state_get(
        &self,
        _port: &Port,
        _extack: &mut ExtAck,
    ) -> Result<(FnState, FnOpstate), Errno> {
        if self.is_sf() {
            return sf::state_get(&*self.dev()?, &self.vport);
        }
        if !self.is_pf_with_state() {
            return Err(Errno::OPNOTSUPP);
        }
        let dev = self.dev()?;
        let host = dev.host().ok_or(Errno::NODEV)?;
        let state = match host.is_enabled() {
            true => FnState::Active,
            false => FnState::Inactive,
        };
        let opstate = match host.is_attached() {
            true => FnOpstate::Attached,
            false => FnOpstate::Detached,
        };
        Ok((state, opstate))
    }

    fn fn_state_set(
        &self,
        _devl: &mut Devl<'_>,
        _port: &Arc<Port>,
        state: FnState,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        if self.is_sf() {
            return sf::state_set(&*self.dev()?, &self.vport, state, extack);
        }
        if !self.since(6, 5) {
            return Err(Errno::NODEV);
        }
        if !self.is_pf_with_state() {
            let text = "mlx5_core: State set is not supported for VF";
            return refuse(extack, Errno::OPNOTSUPP, text);
        }
        host::enable_hca(&*self.dev()?, state == FnState::Active);
        Ok(())
    }

    fn fn_max_io_eqs_get(&self, _port: &Port, _extack: &mut ExtAck) -> Result<u32, Errno> {
        if !self.since(6, 10) {
            return Err(Errno::OPNOTSUPP);
        }
        Ok(self.vport.info().max_io_eqs)
    }

    fn fn_max_io_eqs_set(
        &self,
        _devl: &mut Devl<'_>,
        _port: &Arc<Port>,
        max: u32,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let most = u32::from(u16::MAX) - MAX_CTRL_EQS;
        if max > most {
            let text = "mlx5_core: Supplied value out of range";
            return refuse(extack, Errno::INVAL, text);
        }
        self.vport.info().set_max_io_eqs(max);
        Ok(())
    }

    fn fn_roce_get(&self, _port: &Port, _extack: &mut ExtAck) -> Result<bool, Errno> {
        if !self.since(6, 2) {
            return Err(Errno::OPNOTSUPP);
        }
        Ok(self.vport.info().roce)
    }

    fn fn_roce_set(
        &self,
        _devl: &mut Devl<'_>,
        _port: &Arc<Port>,
        on: bool,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        if on && !self.dev()?.profile().roce {
            return refuse(
                extack,
                Errno::INVAL,
                "mlx5_core: Failed setting HCA roce cap",
            );
        }
        self.vport.info().roce = on;
        Ok(())
    }

    fn fn_migratable_get(&self, _port: &Port, extack: &mut ExtAck) -> Result<bool, Errno> {
        self.get(&MIGRATABLE, extack)
    }

    fn fn_migratable_set(
        &self,
        _devl: &mut Devl<'_>,
        _port: &Arc<Port>,
        on: bool,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        self.set(&MIGRATABLE, on, extack)
    }

    fn fn_ipsec_crypto_get(&self, _port: &Port, extack: &mut ExtAck) -> Result<bool, Errno> {
        self.get(&IPSEC_CRYPTO, extack)
    }

    fn fn_ipsec_crypto_set(
        &self,
        _devl: &mut Devl<'_>,
        _port: &Arc<Port>,
        on: bool,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        self.set(&IPSEC_CRYPTO, on, extack)
    }

    fn fn_ipsec_packet_get(&self, _port: &Port, extack: &mut ExtAck) -> Result<bool, Errno> {
        self.get(&IPSEC_PACKET, extack)
    }

    fn fn_ipsec_packet_set(
        &self,
        _devl: &mut Devl<'_>,
        _port: &Arc<Port>,
        on: bool,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        self.set(&IPSEC_PACKET, on, extack)
    }
}

/// Something that the function behind a vport may be given or not, if the device has it.
struct Capability {
    /// The first kernel that has it.
    since: (u8, u8),
    /// Whether the device does.
    has: fn(&CoreDev) -> bool,
    /// What a getter and a setter say if not.
    missing: [&'static str; 2],
    /// Whether the function has it.
    field: fn(&mut VportInfo) -> &mut bool,
}

const MIGRATABLE: Capability = Capability {
    since: (6, 2),
    has: |dev| dev.profile().eswitch.migratable_vfs,
    missing: ["mlx5_core: Device doesn't support migration"; 2],
    field: |info| &mut info.migratable,
};

const IPSEC_CRYPTO: Capability = Capability {
    since: (6, 7),
    has: |dev| dev.profile().eswitch.ipsec_crypto_vfs,
    // They differ by one letter, in the kernel too.
    missing: [
        "mlx5_core: Device doesn't support IPSec crypto",
        "mlx5_core: Device doesn't support IPsec crypto",
    ],
    field: |info| &mut info.ipsec_crypto,
};

const IPSEC_PACKET: Capability = Capability {
    since: (6, 7),
    has: |dev| dev.profile().eswitch.ipsec_packet_vfs,
    missing: [
        "mlx5_core: Device doesn't support IPsec packet",
        "mlx5_core: Device doesn't support IPsec packet mode",
    ],
    field: |info| &mut info.ipsec_packet,
};

impl VportOps {
    fn get(&self, capability: &Capability, extack: &mut ExtAck) -> Result<bool, Errno> {
        let (major, minor) = capability.since;
        if !self.since(major, minor) {
            return Err(Errno::OPNOTSUPP);
        }
        if !(capability.has)(&*self.dev()?) {
            return refuse(extack, Errno::OPNOTSUPP, capability.missing[0]);
        }
        Ok(*(capability.field)(&mut self.vport.info()))
    }

    fn set(&self, capability: &Capability, on: bool, extack: &mut ExtAck) -> Result<(), Errno> {
        if !(capability.has)(&*self.dev()?) {
            return refuse(extack, Errno::OPNOTSUPP, capability.missing[1]);
        }
        *(capability.field)(&mut self.vport.info()) = on;
        Ok(())
    }
}
