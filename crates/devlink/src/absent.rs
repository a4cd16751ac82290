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
//! | line cards | no `LINECARD_INDEX` is `EINVAL`, any is `ENODEV` | empty |
//!
//! When an object is built it gets a file of its own and leaves this one.

use netlink::genl::{Reply, Request};
use netlink::{attr, cmd};
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

        cmd::LINECARD_GET | cmd::LINECARD_SET => {
            refuse(index_errno(attrs.has(attr::LINECARD_INDEX)))
        }

        // Dpipe headers; and what is no command.
        _ => refuse(Errno::OPNOTSUPP),
    }
}

/// What is wrong with the identity of an object that does not exist: it was not stated, or nothing has it.
const fn index_errno(stated: bool) -> Errno {
    if stated { Errno::NODEV } else { Errno::INVAL }
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
