//! Ports, and their splitting (`spectrum.c`).
//!
//! A module is what a cable is plugged into, with a number on the switch's front and some lanes. It has one port, or
//! its lanes are shared by several. Ports are numbered by their place in the switch: each module has as many numbers as a
//! module can have lanes, so that a part of a split port always has one.

use std::sync::Arc;

use devlink::{Devl, Flavour, Port, PortAttrs, PortOp, PortOpSet, PortOps, PortType, Region};
use driver_core::pci;
use net_core::{Netdev, NetdevInit};
use netlink::ExtAck;
use rustix::io::Errno;

use crate::device::Spectrum;
use crate::rates::Scheduling;
use crate::regions;

/// Lanes that a module can have, and numbers that are kept for its ports.
const MAX_LANES: u32 = 8;

/// As many ports as there are numbers: those of the fixed modules and of eight slots of sixteen modules each.
pub(crate) const MAX_PORTS: u64 = 8 * (4 + 8 * 16);

/// The port towards the processor (`MLXSW_PORT_CPU_PORT`).
pub(crate) const CPU_PORT: u32 = 0;

/// `DEVLINK_PORT_TYPE_ETH`
const TYPE_ETH: u16 = 2;
/// `DEVLINK_PORT_TYPE_IB`
const TYPE_IB: u16 = 3;

/// Lanes of the modules that are part of the switch.
const FIXED_MODULES: [u32; 4] = [8, 4, 2, 1];

/// A module with its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mapping {
    /// The slot that it is in; `None` for a module of the switch itself.
    pub(crate) slot: Option<u32>,
    /// The number that is printed beside it, from 1 on.
    pub(crate) number: u32,
    /// Its lanes.
    pub(crate) lanes: u32,
}

impl Mapping {
    /// Number of the module's first port.
    fn base(&self) -> u32 {
        let module = match self.slot {
            None => self.number - 1,
            Some(slot) => 4 + (slot - 1) * 16 + self.number - 1,
        };
        1 + module * MAX_LANES
    }
}

/// A port with its network device (`struct mlxsw_sp_port`).
#[derive(Debug)]
pub(crate) struct SpPort {
    port: Arc<Port>,
    /// The port towards the processor has none, and a port of InfiniBand.
    netdev: Option<Arc<Netdev>>,
    /// What the memory of its module holds.
    eeprom: Option<Arc<Region>>,
    mapping: Option<Mapping>,
    /// How many ports its module has been split into.
    split: Option<u32>,
}

/// Creates the port towards the processor and those of the switch's own modules.
///
/// # Errors
/// Those of the registrations.
pub(crate) fn create_all(sp: &Spectrum, devl: &mut Devl<'_>) -> Result<(), Errno> {
    let attrs = PortAttrs::new(Flavour::Cpu { number: CPU_PORT }).on_switch(&sp.base_mac());
    let ops = SpPortOps(Arc::downgrade(sp.device()));
    let port = devl.port_register(CPU_PORT, Some(attrs), Arc::new(ops))?;
    let cpu = SpPort {
        port,
        netdev: None,
        eeprom: None,
        mapping: None,
        split: None,
    };
    sp.ports().insert(CPU_PORT, cpu);
    for (number, lanes) in (1..).zip(FIXED_MODULES) {
        let mapping = Mapping {
            slot: None,
            number,
            lanes,
        };
        create_module(sp, devl, mapping)?;
    }
    Ok(())
}

/// Creates the one port of a module that is not split.
///
/// # Errors
/// Those of the registrations.
pub(crate) fn create_module(
    sp: &Spectrum,
    devl: &mut Devl<'_>,
    mapping: Mapping,
) -> Result<(), Errno> {
    create(sp, devl, mapping, None)
}

/// Creates a port of a module: the only one, or this one of so many (`spectrum.c: mlxsw_sp_port_create`).
fn create(
    sp: &Spectrum,
    devl: &mut Devl<'_>,
    mapping: Mapping,
    part: Option<(u32, u32)>,
) -> Result<(), Errno> {
    let (subport, count) = part.unzip();
    let index = mapping.base() + subport.unwrap_or(0);
    let lanes = mapping.lanes / count.unwrap_or(1);
    let flavour = Flavour::Physical {
        number: mapping.number,
        split_subport: subport,
    };
    let attrs = PortAttrs {
        linecard: mapping.slot,
        ..PortAttrs::new(flavour)
            .with_lanes(lanes, lanes > 1 && part.is_none())
            .on_switch(&sp.base_mac())
    };
    let device = Arc::downgrade(sp.device());
    let port = devl.port_register(index, Some(attrs), Arc::new(SpPortOps(device)))?;
    sp.buffers().port_init(index);
    let port_of_module = SpPort {
        port: Arc::clone(&port),
        netdev: None,
        eeprom: None,
        mapping: Some(mapping),
        split: count,
    };
    sp.ports().insert(index, port_of_module);
    let filled = port_fill(sp, devl, &port);
    if filled.is_err() {
        remove(sp, devl, index);
    }
    filled
}

/// Gives a port of a module what belongs to it.
fn port_fill(sp: &Spectrum, devl: &mut Devl<'_>, port: &Arc<Port>) -> Result<(), Errno> {
    let eeprom = regions::port_init(devl, port)?;
    set(sp, port, |port| port.eeprom = Some(eeprom));
    devl.rate_leaf_create(port, Arc::new(Scheduling), None)?;
    let netdev = netdev_create(sp, devl, port)?;
    set(sp, port, |port| port.netdev = Some(netdev));
    Ok(())
}

/// Changes what is known of a port that is there.
fn set(sp: &Spectrum, port: &Port, change: impl FnOnce(&mut SpPort)) {
    sp.ports().get_mut(&port.index()).map(change);
}

/// Registers a port's network device under the name that udev would give it; if that is taken, under the kernel's.
fn netdev_create(
    sp: &Spectrum,
    devl: &mut Devl<'_>,
    port: &Arc<Port>,
) -> Result<Arc<Netdev>, Errno> {
    let mut mac = sp.base_mac();
    let last = u16::from_be_bytes([mac[4], mac[5]]).wrapping_add(port.index() as u16);
    mac[4..].copy_from_slice(&last.to_be_bytes());
    let net = devl.devlink().net();
    let mut registered = |name: String| {
        let netdev = Netdev::new(NetdevInit {
            name,
            parent: Some(Arc::clone(sp.device())),
            ..NetdevInit::ethernet(Arc::clone(&net), mac)
        });
        netdev.set_devlink_port(Arc::<Port>::clone(port));
        let net_core = sp.module().net_core();
        net_core
            .register_netdev(devl.held(), &netdev)
            .map(|()| netdev)
    };
    if sp.module().config().udev_names {
        if let Some(name) = udev_name(sp, port) {
            match registered(name) {
                Err(Errno::EXIST) => {}
                result => return result,
            }
        }
    }
    registered("eth%d".to_owned())
}

/// `enp1s0np1s0`: Ethernet, PCI bus 1, slot 0, physical port name p1s0.
fn udev_name(sp: &Spectrum, port: &Port) -> Option<String> {
    let address = pci::function(sp.device())?.address;
    let domain = match address.domain() {
        0 => String::new(),
        domain => format!("P{domain}"),
    };
    let (bus, slot) = (address.bus(), address.device());
    let phys_port_name = port.attrs()?.phys_port_name()?;
    Some(format!("en{domain}p{bus}s{slot}n{phys_port_name}"))
}

/// Removes a port (`spectrum.c: mlxsw_sp_port_remove`).
fn remove(sp: &Spectrum, devl: &mut Devl<'_>, index: u32) {
    let Some(port) = sp.ports().remove(&index) else {
        return;
    };
    type_remove(sp, devl, &port.port, port.netdev);
    devl.rate_leaf_destroy(&port.port);
    if let Some(eeprom) = &port.eeprom {
        devl.region_destroy(eeprom);
    }
    sp.buffers().port_fini(index);
    devl.port_unregister(&port.port);
}

/// Takes from a port what makes it one of Ethernet or of InfiniBand.
fn type_remove(sp: &Spectrum, devl: &mut Devl<'_>, port: &Port, netdev: Option<Arc<Netdev>>) {
    if let Some(netdev) = netdev {
        sp.module()
            .net_core()
            .unregister_netdev(devl.held(), &netdev);
    }
    if matches!(port.port_type(), PortType::Ib(_)) {
        port.type_clear();
    }
}

/// Removes all ports.
pub(crate) fn remove_all(sp: &Spectrum, devl: &mut Devl<'_>) {
    remove_if(sp, devl, |_| true);
}

/// Removes the ports of a slot (`core.c: mlxsw_core_ports_remove_selected`).
pub(crate) fn remove_slot(sp: &Spectrum, devl: &mut Devl<'_>, slot: u32) {
    remove_if(sp, devl, |port| {
        port.mapping
            .is_some_and(|mapping| mapping.slot == Some(slot))
    });
}

fn remove_if(sp: &Spectrum, devl: &mut Devl<'_>, selected: impl Fn(&SpPort) -> bool) {
    let ports = sp.ports();
    let selected = ports.iter().filter(|(_, port)| selected(port));
    let indexes: Vec<u32> = selected.map(|(&index, _)| index).collect();
    drop(ports);
    for index in indexes {
        remove(sp, devl, index);
    }
}

/// What every port has, though not every one can be split or be of another type. It knows the switch by its device, which may
/// outlive it.
struct SpPortOps(std::sync::Weak<driver_core::Device>);

impl SpPortOps {
    fn spectrum(&self) -> Result<Arc<Spectrum>, Errno> {
        let device = self.0.upgrade().ok_or(Errno::NODEV)?;
        device.drvdata().ok_or(Errno::NODEV)
    }
}

impl PortOps for SpPortOps {
    fn provides(&self) -> PortOpSet {
        PortOpSet::of(&[PortOp::TypeSet, PortOp::Split, PortOp::Unsplit])
    }

    /// As with the older switches of this family, whose ports could be of either kind (`switchx2.c`, which kernels have no more).
    /// The device of an InfiniBand port is a name only.
    fn type_set(&self, devl: &mut Devl<'_>, port: &Arc<Port>, ty: u16) -> Result<(), Errno> {
        let sp = self.spectrum()?;
        let known = sp.ports().get(&port.index()).map(|port| port.mapping);
        if known.flatten().is_none() || ![TYPE_ETH, TYPE_IB].contains(&ty) {
            return Err(Errno::OPNOTSUPP);
        }
        let mut netdev = None;
        set(&sp, port, |port| netdev = port.netdev.take());
        type_remove(&sp, devl, port, netdev);
        if ty == TYPE_IB {
            port.type_ib_set(&format!("mlxsw_{}", port.index()));
            return Ok(());
        }
        let netdev = netdev_create(&sp, devl, port)?;
        set(&sp, port, |port| port.netdev = Some(netdev));
        Ok(())
    }

    /// `spectrum.c: mlxsw_sp_port_split`
    fn split(
        &self,
        devl: &mut Devl<'_>,
        port: &Arc<Port>,
        count: u32,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let sp = self.spectrum()?;
        let mapping = match state_of(&sp, port.index(), extack)? {
            (Some(mapping), None) => mapping,
            // The core has refused to split what is split, or has no lanes.
            _ => {
                extack.set_msg("mlxsw_spectrum: Port is already split");
                return Err(Errno::INVAL);
            }
        };
        remove(&sp, devl, port.index());
        let created =
            (0..count).try_for_each(|part| create(&sp, devl, mapping, Some((part, count))));
        if created.is_err() {
            sp.device()
                .err(format_args!("Failed to create split ports"));
            join(&sp, devl, mapping, count)?;
        }
        created
    }

    /// `spectrum.c: mlxsw_sp_port_unsplit`
    fn unsplit(
        &self,
        devl: &mut Devl<'_>,
        port: &Arc<Port>,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let sp = self.spectrum()?;
        let (Some(mapping), Some(count)) = state_of(&sp, port.index(), extack)? else {
            extack.set_msg("mlxsw_spectrum: Port was not split");
            return Err(Errno::INVAL);
        };
        join(&sp, devl, mapping, count)
    }
}

/// The module of a port, and how many ports that is split into.
fn state_of(
    sp: &Spectrum,
    index: u32,
    extack: &mut ExtAck,
) -> Result<(Option<Mapping>, Option<u32>), Errno> {
    let ports = sp.ports();
    let found = ports.get(&index).map(|port| (port.mapping, port.split));
    found.ok_or_else(|| {
        extack.set_msg("mlxsw_spectrum: Port number does not exist");
        Errno::INVAL
    })
}

/// Removes what parts there are and creates the whole.
fn join(sp: &Spectrum, devl: &mut Devl<'_>, mapping: Mapping, count: u32) -> Result<(), Errno> {
    for part in 0..count {
        remove(sp, devl, mapping.base() + part);
    }
    create_module(sp, devl, mapping)
}
