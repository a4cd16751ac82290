//! The device's devlink ports (`dev.c: nsim_dev_port_add_all`).

use std::sync::Arc;

use devlink::{Devl, Flavour, NoPortOps, Port, PortAttrs};
use rustix::io::Errno;

use crate::dev::NsimDev;
use crate::netdev::{self, Nsim};

/// A port with its network device (`struct nsim_dev_port`).
#[derive(Debug)]
pub(crate) struct NsimDevPort {
    port: Arc<Port>,
    ns: Nsim,
}

/// Adds the ports that the device begins with.
///
/// # Errors
/// Those of the registrations; then none is left.
pub(crate) fn add_all(dev: &NsimDev, devl: &mut Devl<'_>) -> Result<(), Errno> {
    for index in 0..dev.bus_dev().port_count {
        if let Err(errno) = add(dev, devl, index) {
            del_all(dev, devl);
            return Err(errno);
        }
    }
    Ok(())
}

/// Removes all ports, the youngest first.
pub(crate) fn del_all(dev: &NsimDev, devl: &mut Devl<'_>) {
    loop {
        let Some(port) = dev.port_list().pop() else {
            break;
        };
        del(dev, devl, port);
    }
}

/// Adds the physical port of this number; on the outside the numbers begin with 1 (`dev.c: __nsim_dev_port_add`).
fn add(dev: &NsimDev, devl: &mut Devl<'_>, index: u32) -> Result<(), Errno> {
    let flavour = Flavour::Physical {
        number: index + 1,
        split_subport: None,
    };
    let attrs = PortAttrs::new(flavour).on_switch(dev.switch_id());
    let port = devl.port_register(index, Some(attrs), Arc::new(NoPortOps))?;
    match netdev::create(dev, &port, devl.held()) {
        Ok(ns) => {
            dev.port_list().push(NsimDevPort { port, ns });
            Ok(())
        }
        Err(errno) => {
            devl.port_unregister(&port);
            Err(errno)
        }
    }
}

/// `dev.c: __nsim_dev_port_del`
fn del(dev: &NsimDev, devl: &mut Devl<'_>, port: NsimDevPort) {
    netdev::destroy(dev, port.ns, devl.held());
    devl.port_unregister(&port.port);
}
