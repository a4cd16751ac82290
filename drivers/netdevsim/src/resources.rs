//! The device's resources: room for routes, rules and nexthops, and something to try on each port (`dev.c`).

use devlink::{NewResource, Objects, RESOURCE_ID_PARENT_TOP, ResourceSizeParams, ResourceUnit};
use net_core::FibTable;
use rustix::io::Errno;

use crate::dev::NsimDev;

/// `NSIM_RESOURCE_IPV4`, `NSIM_RESOURCE_IPV6`: the parents.
const IPV4: u64 = 1;
const IPV6: u64 = 4;

/// `NSIM_PORT_RESOURCE_TEST`
const PORT_TEST: u64 = 1;

/// The number of the resource that a table fills (`enum nsim_resource_id`).
pub(crate) const fn id_of(table: FibTable) -> u64 {
    match table {
        FibTable::Ipv4 => 2,
        FibTable::Ipv4Rules => 3,
        FibTable::Ipv6 => 5,
        FibTable::Ipv6Rules => 6,
        FibTable::Nexthops => 7,
    }
}

/// Entries, from none up to `size_max`.
const fn entries(size_max: u64) -> ResourceSizeParams {
    ResourceSizeParams {
        size_min: 0,
        size_max,
        size_granularity: 1,
        unit: ResourceUnit::Entry,
    }
}

const fn unlimited(name: &'static str, id: u64, parent: u64) -> NewResource {
    NewResource {
        name,
        id,
        parent,
        size: u64::MAX,
        size_params: entries(u64::MAX),
    }
}

/// Registers the device's resources (`dev.c: nsim_dev_resources_register`).
///
/// # Errors
/// `EEXIST` when they are registered.
pub(crate) fn register(objects: &mut Objects<'_>) -> Result<(), Errno> {
    let resources = [
        unlimited("IPv4", IPV4, RESOURCE_ID_PARENT_TOP),
        unlimited("fib", id_of(FibTable::Ipv4), IPV4),
        unlimited("fib-rules", id_of(FibTable::Ipv4Rules), IPV4),
        unlimited("IPv6", IPV6, RESOURCE_ID_PARENT_TOP),
        unlimited("fib", id_of(FibTable::Ipv6), IPV6),
        unlimited("fib-rules", id_of(FibTable::Ipv6Rules), IPV6),
        unlimited(
            "nexthops",
            id_of(FibTable::Nexthops),
            RESOURCE_ID_PARENT_TOP,
        ),
    ];
    let registered = resources
        .into_iter()
        .try_for_each(|new| objects.resource_register(new));
    if registered.is_err() {
        objects.resources_unregister();
    }
    registered
}

/// Registers what a physical port has (since kernel 7.2).
///
/// # Errors
/// `EEXIST` when it is registered.
pub(crate) fn port_register(
    dev: &NsimDev,
    objects: &mut Objects<'_>,
    port: u32,
) -> Result<(), Errno> {
    if !dev.module().kernel_is_at_least(7, 2) {
        return Ok(());
    }
    let test = NewResource {
        name: "test_resource",
        id: PORT_TEST,
        parent: RESOURCE_ID_PARENT_TOP,
        size: 20,
        size_params: entries(100),
    };
    objects.port_resource_register(port, test)
}
