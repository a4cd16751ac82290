//! The commands on reporters.

use std::sync::Arc;

use netlink::genl::{Batch, DumpCursor, DumpState, Reply, Request};
use netlink::{Attrs, Error, KernelVersion, attr, cmd};
use rustix::io::Errno;

use super::{Fmsg, Reporter};
use crate::core::{Devl, Objects};
use crate::netlink::dump_items;

/// The reporter that a request names: of a port if there is one of the number given, else of the instance
/// (`devlink_health_reporter_get_from_attrs`).
fn from_attrs(objects: &Objects<'_>, attrs: Attrs<'_>) -> Result<Arc<Reporter>, Errno> {
    let name = attrs
        .get(attr::HEALTH_REPORTER_NAME)
        .ok_or(Errno::INVAL)?
        .text();
    let port = attrs.get_u32(attr::PORT_INDEX);
    let owner = port.filter(|&index| objects.port(index).is_some());
    let reporter = objects.find_reporter(owner, name);
    reporter.cloned().ok_or(Errno::INVAL)
}

/// `net/devlink/health.c: devlink_nl_health_reporter_get_doit`
pub(crate) fn get_doit(
    devl: &Devl<'_>,
    request: &mut Request<'_>,
    reply: &mut Reply<'_>,
) -> netlink::Result {
    let reporter = from_attrs(devl, request.attrs())?;
    reply.send(cmd::HEALTH_REPORTER_GET, |w| reporter.fill(w))
}

/// Which reporters a dump shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Show {
    All,
    /// Kernel 6.1 shows those of all instances before those of any port.
    Instance,
    Ports,
    Port(u32),
}

impl Show {
    fn shows(self, owner: Option<u32>) -> bool {
        match self {
            Self::All => true,
            Self::Instance => owner.is_none(),
            Self::Ports => owner.is_some(),
            Self::Port(port) => owner == Some(port),
        }
    }
}

/// Dumps the reporters of an instance and of its ports, counted through, or those of the port that the request names:
/// `net/devlink/health.c: devlink_nl_health_reporter_get_dump_one`.
pub(crate) fn get_dump_one(
    devl: &Devl<'_>,
    request: &Request<'_>,
    cursor: &mut DumpCursor,
    batch: &mut Batch<'_>,
) -> netlink::Result {
    let show = match request.attrs().get_u32(attr::PORT_INDEX) {
        Some(port) => {
            batch.set_filtered();
            Show::Port(port)
        }
        None if request.kernel() > KernelVersion::V6_1 => Show::All,
        None if cursor.offset == 0 => Show::Instance,
        None => Show::Ports,
    };
    let owners = devl.state.reporters.iter();
    let reporters = owners
        .filter(|&(&owner, _)| show.shows(owner))
        .flat_map(|(_, reporters)| reporters);
    dump_items(reporters, cursor, |reporter| {
        batch.put(cmd::HEALTH_REPORTER_GET, |w| reporter.fill(w))
    })
}

/// Whether a dump that has come to its end begins again, for the ports' reporters, as kernel 6.1 does. The cursor's offset counts.
pub(crate) fn walks_again(request: &Request<'_>, cursor: &mut DumpCursor) -> bool {
    let twice =
        request.cmd() == cmd::HEALTH_REPORTER_GET && request.kernel() == KernelVersion::V6_1;
    let again = twice && cursor.offset == 0;
    cursor.offset += u64::from(again);
    again
}

/// `net/devlink/health.c: devlink_nl_health_reporter_set_doit`. What was set before a refusal stays set.
pub(crate) fn set_doit(devl: &Devl<'_>, request: &mut Request<'_>) -> netlink::Result {
    let attrs = request.attrs();
    let reporter = from_attrs(devl, attrs)?;
    let graceful_period = attrs.get_u64(attr::HEALTH_REPORTER_GRACEFUL_PERIOD);
    let burst_period = attrs.get_u64(attr::HEALTH_REPORTER_BURST_PERIOD);
    let auto_recover = attrs.get_u8(attr::HEALTH_REPORTER_AUTO_RECOVER);
    let auto_dump = attrs.get_u8(attr::HEALTH_REPORTER_AUTO_DUMP);

    let of_recovery = graceful_period.is_some() || burst_period.is_some() || auto_recover.is_some();
    if of_recovery && reporter.ops.recover.is_none() {
        return Err(Errno::OPNOTSUPP.into());
    }
    if auto_dump.is_some() && reporter.ops.dump.is_none() {
        return Err(Errno::OPNOTSUPP.into());
    }

    let mut state = reporter.state();
    if let Some(ms) = graceful_period {
        state.graceful_period = ms;
        if ms == 0 {
            state.burst_period = 0;
        }
    }
    if let Some(ms) = burst_period {
        if state.graceful_period == 0 && ms != 0 {
            let text = "health: Cannot set burst period without a grace period.";
            return Err(Error::with_msg(Errno::INVAL, text));
        }
        state.burst_period = ms;
    }
    if let Some(auto_recover) = auto_recover {
        state.auto_recover = auto_recover != 0;
    }
    if let Some(auto_dump) = auto_dump {
        state.auto_dump = auto_dump != 0;
    }
    Ok(())
}

/// `net/devlink/health.c: devlink_nl_health_reporter_recover_doit`
pub(crate) fn recover_doit(devl: &mut Devl<'_>, request: &mut Request<'_>) -> netlink::Result {
    let reporter = from_attrs(devl, request.attrs())?;
    Ok(reporter.recover(devl, None, request.ext_ack())?)
}

/// `net/devlink/health.c: devlink_nl_health_reporter_diagnose_doit`
pub(crate) fn diagnose_doit(
    devl: &mut Devl<'_>,
    request: &mut Request<'_>,
    reply: &mut Reply<'_>,
) -> netlink::Result {
    let reporter = from_attrs(devl, request.attrs())?;
    let diagnose = reporter.ops.diagnose.as_ref().ok_or(Errno::OPNOTSUPP)?;
    let fmsg = Fmsg::object(|fmsg| diagnose(devl, fmsg, request.ext_ack()))?;
    fmsg.send(cmd::HEALTH_REPORTER_DIAGNOSE, reply)
}

/// Writes the next message of a reporter's dump, which is taken first if there is none:
/// `net/devlink/health.c: devlink_nl_health_reporter_dump_get_dumpit`. The cursor remembers the dump's number, for while it
/// is read it may be cleared, and another be taken.
pub(crate) fn dump_get_dumpit(
    devl: &mut Devl<'_>,
    request: &mut Request<'_>,
    cursor: &mut DumpCursor,
    batch: &mut Batch<'_>,
) -> Result<DumpState, Error> {
    let reporter = from_attrs(devl, request.attrs())?;
    if reporter.ops.dump.is_none() {
        return Err(Errno::OPNOTSUPP.into());
    }
    if cursor.index == 0 {
        reporter.do_dump(devl, None, request.ext_ack())?;
    }
    let dump = reporter.state().dump.clone();
    if cursor.index == 0 {
        cursor.offset = dump.as_ref().map_or(0, |dump| dump.number);
    }
    let Some(dump) = dump.filter(|dump| dump.number == cursor.offset) else {
        return Err(Error::with_msg(Errno::AGAIN, "Dump trampled, please retry"));
    };
    dump.fmsg.dump(cmd::HEALTH_REPORTER_DUMP_GET, cursor, batch)
}

/// `net/devlink/health.c: devlink_nl_health_reporter_dump_clear_doit`
pub(crate) fn dump_clear_doit(devl: &Devl<'_>, request: &mut Request<'_>) -> netlink::Result {
    let reporter = from_attrs(devl, request.attrs())?;
    if reporter.ops.dump.is_none() {
        return Err(Errno::OPNOTSUPP.into());
    }
    reporter.state().dump = None;
    Ok(())
}

/// `net/devlink/health.c: devlink_nl_health_reporter_test_doit`
pub(crate) fn test_doit(devl: &mut Devl<'_>, request: &mut Request<'_>) -> netlink::Result {
    let reporter = from_attrs(devl, request.attrs())?;
    let test = reporter.ops.test.as_ref().ok_or(Errno::OPNOTSUPP)?;
    Ok(test(devl, request.ext_ack())?)
}
