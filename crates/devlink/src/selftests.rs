//! Selftests: what the device can test of itself, and what came of it.

use netlink::genl::{Batch, Reply, Request};
use netlink::wire::kind;
use netlink::{Attr, ExtAck, Writer, attr, cmd};
use rustix::io::Errno;

use crate::core::{Devl, Devlink};

/// Which test (`enum devlink_attr_selftest_id`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum SelftestId {
    /// Of the flash memory.
    Flash = 1,
}

impl SelftestId {
    const ALL: [Self; 1] = [Self::Flash];

    /// The flag that stands for it.
    const fn flag(self) -> Attr<kind::Flag> {
        match self {
            Self::Flash => attr::selftest_id::FLASH,
        }
    }
}

/// What came of a test (`enum devlink_selftest_status`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SelftestStatus {
    /// It was not run.
    Skip = 0,
    /// All is well.
    Pass = 1,
    /// Something is wrong.
    Fail = 2,
}

// The one encoder.

/// Writes which tests the device has (`net/devlink/dev.c: devlink_nl_selftests_fill`).
fn fill(w: &mut Writer<'_>, devl: &mut Devl<'_>, extack: &mut ExtAck) -> netlink::Result {
    devl.devlink().put_handle(w)?;
    let ops = devl.ops();
    w.nest(attr::SELFTESTS, |w| {
        SelftestId::ALL
            .into_iter()
            .try_for_each(|id| match ops.selftest_check(devl, id, extack) {
                true => w.put_flag(id.flag()),
                false => Ok(()),
            })
    })
}

// The handlers.

pub(crate) fn get_doit(
    devl: &mut Devl<'_>,
    request: &mut Request<'_>,
    reply: &mut Reply<'_>,
) -> netlink::Result {
    if !devl.ops().has_selftests() {
        return Err(Errno::OPNOTSUPP.into());
    }
    reply.send(cmd::SELFTESTS_GET, |w| fill(w, devl, request.ext_ack()))
}

pub(crate) fn get_dump_one(
    devl: &mut Devl<'_>,
    request: &mut Request<'_>,
    batch: &mut Batch<'_>,
) -> netlink::Result {
    if !devl.ops().has_selftests() {
        return Ok(());
    }
    batch.put(cmd::SELFTESTS_GET, |w| fill(w, devl, request.ext_ack()))
}

/// `net/devlink/dev.c: devlink_nl_selftests_run_doit`. The reply is written after all tests have run.
pub(crate) fn run_doit(
    devl: &mut Devl<'_>,
    request: &mut Request<'_>,
    reply: &mut Reply<'_>,
) -> netlink::Result {
    if !devl.ops().has_selftests() {
        return Err(Errno::OPNOTSUPP.into());
    }
    let attrs = request.attrs();
    let selftests = attrs.require(attr::SELFTESTS)?;
    let policy = netlink::devlink::nests(request.kernel()).selftests;
    let wanted = attrs.nested(selftests, policy, request.ext_ack())?;
    let results: Vec<_> = SelftestId::ALL
        .into_iter()
        .filter(|id| wanted.attrs().get_flag(id.flag()))
        .map(|id| (id, run(devl, id, request.ext_ack())))
        .collect();
    reply.send(cmd::SELFTESTS_RUN, |w| {
        results_fill(w, devl.devlink(), &results)
    })
}

fn run(devl: &mut Devl<'_>, id: SelftestId, extack: &mut ExtAck) -> SelftestStatus {
    let ops = devl.ops();
    match ops.selftest_check(devl, id, extack) {
        true => ops.selftest_run(devl, id, extack),
        false => SelftestStatus::Skip,
    }
}

fn results_fill(
    w: &mut Writer<'_>,
    devlink: &Devlink,
    results: &[(SelftestId, SelftestStatus)],
) -> netlink::Result {
    devlink.put_handle(w)?;
    w.nest(attr::SELFTESTS, |w| {
        results.iter().try_for_each(|&(id, status)| {
            w.nest(attr::selftest_result::RESULT, |w| {
                w.put_u32(attr::selftest_result::RESULT_ID, id as u32)?;
                w.put_u8(attr::selftest_result::RESULT_STATUS, status as u8)
            })
        })
    })
}
