//! The device's devlink ports (`dev.c: nsim_dev_port_add_all`).
//!
//! A physical port has the number that it was added with; the ports of virtual functions are numbered from 128 on.

use std::sync::Arc;

use devlink::{Devl, Flavour, NoPortOps, Port, PortAttrs};
use rustix::io::Errno;

use crate::dev::NsimDev;
use crate::netdev::{self, Nsim};
use crate::port_files;
use crate::rates::NsimRate;
use crate::resources;

/// Number of the first virtual function's port (`NSIM_DEV_VF_PORT_INDEX_BASE`).
pub(crate) const VF_PORT_INDEX_BASE: u32 = 128;

/// What a port stands for (`enum nsim_dev_port_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PortType {
    /// The physical function: a port with a connector.
    Pf,
    /// A virtual function.
    Vf,
}

/// A port with its network device (`struct nsim_dev_port`).
#[derive(Debug)]
pub(crate) struct NsimDevPort {
    ty: PortType,
    port: Arc<Port>,
    ns: Nsim,
    rate: Option<Arc<NsimRate>>,
}

impl NsimDevPort {
    /// Whether its network device is up (`netif_running`).
    pub(crate) fn is_up(&self) -> bool {
        self.ns.is_up()
    }
}

/// What is kept of the rate object of this virtual function, while that has a port.
pub fn vf_rate(dev: &NsimDev, vf: u32) -> Option<Arc<NsimRate>> {
    let index = VF_PORT_INDEX_BASE.checked_add(vf)?;
    let list = dev.port_list();
    let port = list.iter().find(|port| port.port.index() == index)?;
    port.rate.clone()
}

/// Adds the ports that the device begins with.
///
/// # Errors
/// Those of the registrations; then none is left.
pub(crate) fn add_all(dev: &NsimDev, devl: &mut Devl<'_>) -> Result<(), Errno> {
    for index in 0..dev.bus_dev().port_count {
        if let Err(errno) = add(dev, devl, PortType::Pf, index) {
            del_all(dev, devl);
            return Err(errno);
        }
    }
    Ok(())
}

/// Removes all ports, the youngest first.
pub(crate) fn del_all(dev: &NsimDev, devl: &mut Devl<'_>) {
    let _together = dev.module().net_core().batch_removals();
    loop {
        let Some(port) = dev.port_list().pop() else {
            break;
        };
        del(dev, devl, port);
    }
}

/// Removes the ports of the virtual functions, the youngest first.
pub(crate) fn del_vfs(dev: &NsimDev, devl: &mut Devl<'_>) {
    let _together = dev.module().net_core().batch_removals();
    loop {
        let mut list = dev.port_list();
        let Some(at) = list.iter().rposition(|port| port.ty == PortType::Vf) else {
            break;
        };
        let port = list.remove(at);
        drop(list);
        del(dev, devl, port);
    }
}

/// Whether there is a port of this number among those of its type.
pub(crate) fn is_there(dev: &NsimDev, ty: PortType, number: u32) -> bool {
    let index = index(ty, number);
    dev.port_list()
        .iter()
        .any(|port| port.ty == ty && port.port.index() == index)
}

/// Whether the network device of the port with this index is up.
pub(crate) fn is_up(dev: &NsimDev, index: u32) -> bool {
    dev.port_list()
        .iter()
        .any(|port| port.port.index() == index && port.ns.is_up())
}

/// Removes the port of this number (`dev.c: nsim_drv_port_del`).
///
/// # Errors
/// `ENOENT` when there is none.
pub(crate) fn del_one(
    dev: &NsimDev,
    devl: &mut Devl<'_>,
    ty: PortType,
    number: u32,
) -> Result<(), Errno> {
    let index = index(ty, number);
    let port = {
        let mut list = dev.port_list();
        let at = list
            .iter()
            .position(|port| port.ty == ty && port.port.index() == index);
        list.remove(at.ok_or(Errno::NOENT)?)
    };
    del(dev, devl, port);
    Ok(())
}

/// Number of a port on the outside (`dev.c: nsim_dev_port_index`).
fn index(ty: PortType, number: u32) -> u32 {
    match ty {
        PortType::Pf => number,
        PortType::Vf => VF_PORT_INDEX_BASE.wrapping_add(number),
    }
}

/// Adds the port of this number among those of its type.
///
/// # Errors
/// As [`add_with_address`].
pub(crate) fn add(
    dev: &NsimDev,
    devl: &mut Devl<'_>,
    ty: PortType,
    number: u32,
) -> Result<(), Errno> {
    add_with_address(dev, devl, ty, number, None)
}

/// Adds the port of this number among those of its type, with a hardware address of its own or any
/// (`dev.c: __nsim_dev_port_add`).
///
/// # Errors
/// Those of the registrations; `EINVAL` for the port of a virtual function when there are none.
pub(crate) fn add_with_address(
    dev: &NsimDev,
    devl: &mut Devl<'_>,
    ty: PortType,
    number: u32,
    perm_addr: Option<[u8; 6]>,
) -> Result<(), Errno> {
    let (index, flavour) = match ty {
        // On the outside the numbers begin with 1.
        PortType::Pf => (
            number,
            Flavour::Physical {
                number: number.wrapping_add(1),
                split_subport: None,
            },
        ),
        PortType::Vf => (
            VF_PORT_INDEX_BASE + number,
            Flavour::PciVf {
                controller: 0,
                pf: 0,
                // The kernel keeps 16 bits of it.
                vf: number as u16,
                external: false,
            },
        ),
    };
    let rate = match ty {
        PortType::Pf => None,
        PortType::Vf => {
            let config = dev.vf_configs().get(number as usize).cloned();
            Some(NsimRate::new(config.ok_or(Errno::INVAL)?))
        }
    };
    let attrs = PortAttrs::new(flavour).on_switch(dev.switch_id());
    let port = devl.port_register(index, Some(attrs), Arc::new(NoPortOps))?;
    let resources = match ty {
        PortType::Pf => resources::port_register(dev, devl, index),
        PortType::Vf => Ok(()),
    };
    let added = resources
        .and_then(|()| port_files::make(dev, index, rate.as_ref()))
        .and_then(|()| netdev_and_rate_create(dev, devl, &port, rate.as_ref(), perm_addr));
    match added {
        Ok(ns) => {
            let port = NsimDevPort { ty, port, ns, rate };
            dev.port_list().push(port);
            Ok(())
        }
        Err(errno) => {
            devl.rate_leaf_destroy(&port);
            port_files::remove(dev, index);
            devl.port_resources_unregister(index);
            devl.port_unregister(&port);
            Err(errno)
        }
    }
}

fn netdev_and_rate_create(
    dev: &NsimDev,
    devl: &mut Devl<'_>,
    port: &Arc<Port>,
    rate: Option<&Arc<NsimRate>>,
    perm_addr: Option<[u8; 6]>,
) -> Result<Nsim, Errno> {
    let rate_create = |devl: &mut Devl<'_>| match rate {
        Some(rate) => devl.rate_leaf_create(port, Arc::clone(rate), None),
        None => Ok(()),
    };
    // Before 6.3 the driver gives the port its type when all is there; the core does it here when the network device appears.
    if !dev.module().kernel_is_at_least(6, 3) {
        rate_create(devl)?;
        return netdev::create(dev, port, devl.held(), perm_addr);
    }
    let ns = netdev::create(dev, port, devl.held(), perm_addr)?;
    // It is the port's first, so there is no error.
    rate_create(devl)?;
    Ok(ns)
}

/// `dev.c: __nsim_dev_port_del`
fn del(dev: &NsimDev, devl: &mut Devl<'_>, port: NsimDevPort) {
    devl.rate_leaf_destroy(&port.port);
    netdev::destroy(dev, port.ns, devl.held());
    port_files::remove(dev, port.port.index());
    devl.port_resources_unregister(port.port.index());
    devl.port_unregister(&port.port);
}
