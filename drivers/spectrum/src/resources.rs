//! What of the switch's memory is for which tables (`spectrum.c: mlxsw_sp1_resources_register`).
//!
//! The key-value database is one memory that a user divides: a linear part, and hashed parts for keys of one and of two
//! words. The division takes effect at the next reload.

use devlink::resource::{NewResource, RESOURCE_ID_PARENT_TOP, ResourceSizeParams, ResourceUnit};
use devlink::{Devl, Objects};
use rustix::io::Errno;

use crate::device::Spectrum;
use crate::{dpipe, ports};

/// `physical_ports`.
const PORTS: u64 = 1;
/// `kvd`.
const KVD: u64 = 2;
/// `kvd/linear`: what adjacencies are taken from.
pub(crate) const KVD_LINEAR: u64 = 3;
/// `kvd/hash_single`: what IPv4 hosts are taken from.
pub(crate) const KVD_HASH_SINGLE: u64 = 4;
/// `kvd/hash_double`: what IPv6 hosts are taken from.
pub(crate) const KVD_HASH_DOUBLE: u64 = 5;
/// `span_agents`.
const SPAN: u64 = 9;

const KVD_SIZE: u64 = 245_760;
const KVD_GRANULARITY: u64 = 128;
const LINEAR_SIZE: u64 = 98_304;
const SINGLE_SIZE: u64 = 87_040;
const SINGLE_MIN: u64 = 65_536;
const DOUBLE_SIZE: u64 = 60_416;
const DOUBLE_MIN: u64 = 32_768;
const MAX_SPAN: u64 = 3;

/// Resources whose size nobody can change are as small as they are large.
fn fixed(name: &'static str, id: u64, size: u64, size_granularity: u64) -> NewResource {
    NewResource {
        name,
        id,
        parent: RESOURCE_ID_PARENT_TOP,
        size,
        size_params: ResourceSizeParams {
            size_min: size,
            size_max: size,
            size_granularity,
            unit: ResourceUnit::Entry,
        },
    }
}

fn part(name: &'static str, id: u64, size: u64, size_min: u64, size_max: u64) -> NewResource {
    NewResource {
        parent: KVD,
        size_params: ResourceSizeParams {
            size_min,
            size_max,
            size_granularity: KVD_GRANULARITY,
            unit: ResourceUnit::Entry,
        },
        ..fixed(name, id, size, KVD_GRANULARITY)
    }
}

pub(crate) fn register(objects: &mut Objects<'_>) -> Result<(), Errno> {
    for resource in [
        fixed("physical_ports", PORTS, ports::MAX_PORTS, 1),
        fixed("kvd", KVD, KVD_SIZE, KVD_GRANULARITY),
        part(
            "linear",
            KVD_LINEAR,
            LINEAR_SIZE,
            0,
            KVD_SIZE - SINGLE_MIN - DOUBLE_MIN,
        ),
        part(
            "hash_double",
            KVD_HASH_DOUBLE,
            DOUBLE_SIZE,
            DOUBLE_MIN,
            KVD_SIZE - SINGLE_MIN,
        ),
        part(
            "hash_single",
            KVD_HASH_SINGLE,
            SINGLE_SIZE,
            SINGLE_MIN,
            KVD_SIZE - DOUBLE_MIN,
        ),
        fixed("span_agents", SPAN, MAX_SPAN, 1),
    ] {
        objects.resource_register(resource)?;
    }
    Ok(())
}

/// Puts the sizes into effect, and tells how much of them is in use.
pub(crate) fn occ_register(sp: &Spectrum, devl: &mut Devl<'_>) {
    for id in [KVD_LINEAR, KVD_HASH_DOUBLE, KVD_HASH_SINGLE] {
        // They were registered before anything else. That nothing the simulation does depends on the sizes is no reason
        // not to take them.
        _ = devl.resource_size_get(id);
    }
    let device = std::sync::Arc::downgrade(sp.device());
    devl.resource_occ_get_register(PORTS, move |_| {
        let sp = device
            .upgrade()
            .and_then(|device| device.drvdata::<Spectrum>());
        sp.map_or(0, |sp| sp.ports().len() as u64)
    });
    devl.resource_occ_get_register(KVD_LINEAR, |_| dpipe::ADJACENCIES);
    devl.resource_occ_get_register(KVD_HASH_SINGLE, |_| dpipe::HOSTS);
    devl.resource_occ_get_register(KVD_HASH_DOUBLE, |_| dpipe::HOSTS * dpipe::HOST6_UNITS);
    devl.resource_occ_get_register(SPAN, |_| 0);
}

pub(crate) fn occ_unregister(objects: &mut Objects<'_>) {
    for id in [PORTS, KVD_LINEAR, KVD_HASH_SINGLE, KVD_HASH_DOUBLE, SPAN] {
        objects.resource_occ_get_unregister(id);
    }
}
