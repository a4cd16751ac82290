//! The health reporter `fw_fatal`, which hears of fatal events of the switch's firmware (`core.c: mlxsw_core_health_init`).
//!
//! The only event that ever happens here is the one that its test causes.

use std::sync::{Arc, PoisonError, Weak};

use devlink::{Devl, Fmsg, Reporter, ReporterOps};
use driver_core::Work;
use lockdep::order::{Held, Unlocked};
use rustix::io::Errno;

use crate::device::Spectrum;

/// What the switch tells of a fatal event (register `MFDE`).
struct FatalEvent {
    irisc_id: u8,
    id: u32,
    desc: &'static str,
}

const TEST: FatalEvent = FatalEvent {
    irisc_id: 0,
    id: 3,
    desc: "Test",
};

/// The reporter, while there is one, and what listens to the switch.
pub(crate) struct Health {
    fw_fatal: lockdep::Mutex<Option<Arc<Reporter>>>,
    event_work: Work,
}

impl Health {
    pub(crate) fn new(sp: &Weak<Spectrum>) -> Self {
        Self {
            fw_fatal: lockdep::Mutex::named("mlxsw_core->health", None),
            event_work: Work::on(
                "(work_completion)(&event->work)",
                Weak::clone(sp),
                event_work,
            ),
        }
    }

    fn fw_fatal(&self) -> lockdep::MutexGuard<'_, Option<Arc<Reporter>>> {
        self.fw_fatal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the reporter.
///
/// # Errors
/// `EEXIST` when it is there.
pub(crate) fn init(sp: &Spectrum, devl: &mut Devl<'_>) -> Result<(), Errno> {
    let (core, work) = (
        Arc::clone(sp.module().driver_core()),
        sp.health().event_work.clone(),
    );
    let ops = ReporterOps::new("fw_fatal")
        .dump(|_, fmsg, event, _| {
            // Nothing can be said unless something has happened.
            let event = event.and_then(|event| event.downcast_ref());
            put(fmsg, event.ok_or(Errno::OPNOTSUPP)?);
            Ok(())
        })
        .test(move |_, _| {
            core.system_wq().queue(&work);
            Ok(())
        });
    let reporter = devl.health_reporter_create(ops)?;
    *sp.health().fw_fatal() = Some(reporter);
    Ok(())
}

/// Destroys the reporter.
pub(crate) fn fini(sp: &Spectrum, devl: &mut Devl<'_>) {
    // Without waiting: a report wants the instance's lock, and then finds the reporter gone.
    sp.health().event_work.cancel();
    let reporter = sp.health().fw_fatal().take();
    if let Some(reporter) = reporter {
        devl.health_reporter_destroy(&reporter);
    }
}

/// The switch tells of a fatal event (`mlxsw_core_health_event_work`).
fn event_work(sp: &Arc<Spectrum>, held: &mut Held<'_, Unlocked>) {
    let reporter = sp.health().fw_fatal().clone();
    if let Some(reporter) = reporter {
        // The reporter may have gone, or an earlier event was not seen to yet.
        _ = reporter.report(held, Some(&TEST));
    }
}

/// `mlxsw_core_health_fw_fatal_dump`
fn put(fmsg: &mut Fmsg, event: &FatalEvent) {
    fmsg.u8_pair_put("irisc_id", event.irisc_id);
    fmsg.arr_pair_nest_start("event");
    fmsg.u32_pair_put("id", event.id);
    fmsg.string_pair_put("desc", event.desc);
    fmsg.arr_pair_nest_end();
    fmsg.arr_pair_nest_start("severity");
    fmsg.u8_pair_put("id", 2);
    fmsg.string_pair_put("desc", "Fatal");
    fmsg.arr_pair_nest_end();
    fmsg.string_pair_put("method", "query");
    fmsg.bool_pair_put("long_process", false);
    fmsg.string_pair_put("command_type", "mad");
    fmsg.u32_pair_put("reg_attr_id", 0);
}
