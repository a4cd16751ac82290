//! What the kernel answers about objects that a device does not have.
//!
//! These objects are not built yet, so no device has them, and their commands answer what the kernel answers for a driver that
//! registers none. Each check is the kernel's and in its order: a client that asks wrongly hears so. The objects and their
//! commands:
//!
//! | object | do | dump |
//! |---|---|---|
//! | shared buffers | all seven: no `SB_INDEX` is `EINVAL`, any is `ENODEV` | empty |
//! | dpipe | `TABLE_GET`: an empty list; `HEADERS_GET`: `EOPNOTSUPP`; the others: `EINVAL` | |
//! | resources | `SET`: `EINVAL`; `DUMP`: `EOPNOTSUPP` | empty |
//! | regions | `GET`, `DEL`: `EINVAL`; `NEW`: `EINVAL` with text | `GET`: empty; `READ`: `EINVAL` with text |
//! | health reporters | all: `EINVAL` | `GET`: empty; `DUMP_GET`: `EINVAL` |
//! | line cards | no `LINECARD_INDEX` is `EINVAL`, any is `ENODEV` | empty |
//!
//! When an object is built it gets a file of its own and leaves this one.

use netlink::genl::{Reply, Request};
use netlink::{Error, KernelVersion, attr, cmd};
use rustix::io::Errno;

use crate::core::Devl;

/// Serves a *do* on an object that the device does not have.
///
/// # Errors
///
/// As in the module's table; `EOPNOTSUPP` for what is no command at all.
pub(crate) fn doit(
    devl: &mut Devl<'_>,
    request: &mut Request<'_>,
    reply: &mut Reply<'_>,
) -> netlink::Result {
    let attrs = request.attrs();
    let refuse = |errno: Errno| Err(errno.into());
    match request.cmd() {
        cmd::SB_GET
        | cmd::SB_POOL_GET
        | cmd::SB_POOL_SET
        | cmd::SB_PORT_POOL_GET
        | cmd::SB_PORT_POOL_SET
        | cmd::SB_TC_POOL_BIND_GET
        | cmd::SB_TC_POOL_BIND_SET
        | cmd::SB_OCC_SNAPSHOT
        | cmd::SB_OCC_MAX_CLEAR => refuse(index_errno(attrs.has(attr::SB_INDEX))),

        cmd::DPIPE_TABLE_GET => dpipe_table_get_doit(devl, reply),
        cmd::DPIPE_ENTRIES_GET => {
            attrs.require(attr::DPIPE_TABLE_NAME)?;
            refuse(Errno::INVAL)
        }
        cmd::DPIPE_TABLE_COUNTERS_SET => {
            attrs.require(attr::DPIPE_TABLE_NAME)?;
            attrs.require(attr::DPIPE_TABLE_COUNTERS_ENABLED)?;
            refuse(Errno::INVAL)
        }

        cmd::RESOURCE_SET => {
            attrs.require(attr::RESOURCE_ID)?;
            attrs.require(attr::RESOURCE_SIZE)?;
            refuse(Errno::INVAL)
        }
        cmd::RESOURCE_DUMP => {
            if request.kernel() >= KernelVersion::V7_2 {
                named_port_exists(devl, request)?;
            }
            refuse(Errno::OPNOTSUPP)
        }

        cmd::REGION_GET => {
            attrs.require(attr::REGION_NAME)?;
            named_port_exists(devl, request)?;
            refuse(Errno::INVAL)
        }
        cmd::REGION_NEW => {
            let unnamed = |missing: Error| missing.msg("No region name provided");
            attrs.require(attr::REGION_NAME).map_err(unnamed)?;
            named_port_exists(devl, request)?;
            Err(Error::with_msg(
                Errno::INVAL,
                "The requested region does not exist",
            ))
        }
        cmd::REGION_DEL => {
            attrs.require(attr::REGION_NAME)?;
            attrs.require(attr::REGION_SNAPSHOT_ID)?;
            named_port_exists(devl, request)?;
            refuse(Errno::INVAL)
        }

        cmd::HEALTH_REPORTER_GET
        | cmd::HEALTH_REPORTER_SET
        | cmd::HEALTH_REPORTER_RECOVER
        | cmd::HEALTH_REPORTER_DIAGNOSE
        | cmd::HEALTH_REPORTER_DUMP_CLEAR
        | cmd::HEALTH_REPORTER_TEST => refuse(Errno::INVAL),

        cmd::LINECARD_GET | cmd::LINECARD_SET => {
            refuse(index_errno(attrs.has(attr::LINECARD_INDEX)))
        }

        // Dpipe headers; and what is no command.
        _ => refuse(Errno::OPNOTSUPP),
    }
}

/// Serves a *dump* of objects that the instance does not have: nothing is written.
///
/// # Errors
///
/// As in the module's table.
pub(crate) fn dump_one(devl: &mut Devl<'_>, request: &mut Request<'_>) -> netlink::Result {
    let attrs = request.attrs();
    match request.cmd() {
        cmd::REGION_READ if request.kernel() == KernelVersion::V6_1 => {
            named_port_exists(devl, request)?;
            Err(Errno::INVAL.into())
        }
        cmd::REGION_READ => {
            let region = attrs
                .get(attr::REGION_NAME)
                .ok_or_else(|| Error::with_msg(Errno::INVAL, "No region name provided"))?;
            named_port_exists(devl, request)?;
            Err(Error::with_msg(Errno::INVAL, "Requested region does not exist").bad_attr(region))
        }
        cmd::RESOURCE_DUMP => match attrs.get(attr::RESOURCE_SCOPE_MASK) {
            Some(scope) if scope.u32() == Some(0) => {
                Err(Error::with_msg(Errno::INVAL, "empty resource scope selection").bad_attr(scope))
            }
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// What is wrong with the identity of an object that does not exist: it was not stated, or nothing has it.
const fn index_errno(stated: bool) -> Errno {
    if stated { Errno::NODEV } else { Errno::INVAL }
}

/// The port that a request names must exist, if it names one.
fn named_port_exists(devl: &Devl<'_>, request: &Request<'_>) -> Result<(), Errno> {
    match request.attrs().get_u32(attr::PORT_INDEX) {
        Some(index) if devl.port(index).is_none() => Err(Errno::NODEV),
        _ => Ok(()),
    }
}

/// A list without tables, and the end of a reply in several messages.
fn dpipe_table_get_doit(devl: &Devl<'_>, reply: &mut Reply<'_>) -> netlink::Result {
    let mut reply = reply.multi();
    reply.message(cmd::DPIPE_TABLE_GET, |w| {
        devl.devlink().put_handle(w)?;
        w.nest(attr::DPIPE_TABLES, |_| Ok(()))
    })?;
    reply.done()
}
