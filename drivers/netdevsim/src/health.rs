//! Health reporters: `empty`, which has nothing to say, and `dummy`, which breaks when told to (`health.c`).

use std::any::Any;
use std::sync::{Arc, PoisonError};

use devlink::{Devl, Fmsg, Reporter, ReporterOps};
use kernfs::Dir;
use kernfs::debugfs::{Bool, Plain, U32};
use netlink::ExtAck;
use rustix::io::Errno;

use crate::dev::NsimDev;

/// The most that can be written to `break_health`: a page.
const BREAK_MESSAGE_MAX: usize = 4096;

/// The largest piece of memory that the kernel allocates in one (`KMALLOC_MAX_SIZE`).
const KMALLOC_MAX_SIZE: u32 = 4 << 20;

/// The reporters with their files (`struct nsim_dev_health`).
pub(crate) struct Health {
    empty: Arc<Reporter>,
    dummy: Arc<Reporter>,
    ddir: Dir,
}

/// What the reporter `dummy` knows.
struct Dummy {
    binary_len: U32,
    fail_recover: Bool,
    recovered_break_msg: lockdep::Mutex<Option<Vec<u8>>>,
    random: Arc<dyn driver_core::Rng>,
}

/// What a report of `dummy` is about (`struct nsim_dev_dummy_reporter_ctx`).
struct BreakMessage(Vec<u8>);

impl BreakMessage {
    fn of(ctx: Option<&dyn Any>) -> Option<&[u8]> {
        let message: &Self = ctx?.downcast_ref()?;
        Some(&message.0)
    }
}

impl Dummy {
    fn recovered_break_msg(&self) -> lockdep::MutexGuard<'_, Option<Vec<u8>>> {
        self.recovered_break_msg
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// `health.c: nsim_dev_dummy_reporter_recover`
    fn recover(&self, ctx: Option<&dyn Any>, extack: &mut ExtAck) -> Result<(), Errno> {
        if self.fail_recover.get() {
            extack.set_msg("netdevsim: User setup the recover to fail for testing purposes");
            return Err(Errno::INVAL);
        }
        if let Some(message) = BreakMessage::of(ctx) {
            *self.recovered_break_msg() = Some(message.to_vec());
        }
        Ok(())
    }

    /// Something of every type (`health.c: nsim_dev_dummy_fmsg_put`).
    fn put(&self, fmsg: &mut Fmsg) -> Result<(), Errno> {
        fmsg.bool_pair_put("test_bool", true);
        fmsg.u8_pair_put("test_u8", 1);
        fmsg.u32_pair_put("test_u32", 3);
        fmsg.u64_pair_put("test_u64", 4);
        fmsg.string_pair_put("test_string", "somestring");

        let len = self.binary_len.get();
        if len > KMALLOC_MAX_SIZE {
            return Err(Errno::NOMEM);
        }
        let mut binary = vec![0; len as usize];
        self.random.fill(&mut binary);
        fmsg.binary_pair_put("test_binary", &binary);

        fmsg.pair_nest_start("test_nest");
        fmsg.obj_nest_start();
        fmsg.bool_pair_put("nested_test_bool", false);
        fmsg.u8_pair_put("nested_test_u8", 0);
        fmsg.obj_nest_end();
        fmsg.pair_nest_end();
        // The kernel's driver ends more than it began, and clients show nothing of what follows.
        fmsg.arr_pair_nest_end();
        fmsg.arr_pair_nest_start("test_u32_array");
        for number in 0..10 {
            fmsg.u32_put(number);
        }
        fmsg.arr_pair_nest_end();
        fmsg.arr_pair_nest_start("test_array_of_objects");
        for number in 0..10 {
            fmsg.obj_nest_start();
            fmsg.bool_pair_put("in_array_nested_test_bool", false);
            fmsg.u8_pair_put("in_array_nested_test_u8", number);
            fmsg.obj_nest_end();
        }
        fmsg.arr_pair_nest_end();
        Ok(())
    }

    fn ops(self: Arc<Self>) -> ReporterOps {
        let (recover, dump, diagnose) = (Arc::clone(&self), Arc::clone(&self), self);
        ReporterOps::new("dummy")
            .recover(move |_, ctx, extack| recover.recover(ctx, extack))
            .dump(move |_, fmsg, ctx, _| {
                if let Some(message) = BreakMessage::of(ctx) {
                    fmsg.string_pair_put("break_message", message);
                }
                dump.put(fmsg)
            })
            .diagnose(move |_, fmsg, _| {
                if let Some(message) = &*diagnose.recovered_break_msg() {
                    fmsg.string_pair_put("recovered_break_message", message);
                }
                diagnose.put(fmsg)
            })
    }
}

/// Makes the reporters and their files (`health.c: nsim_dev_health_init`).
///
/// # Errors
/// `EEXIST` when they are there; then nothing is left that was not.
pub(crate) fn init(dev: &NsimDev, devl: &mut Devl<'_>) -> Result<(), Errno> {
    let known = Arc::new(Dummy {
        binary_len: U32::new(16),
        fail_recover: Bool::new(false),
        recovered_break_msg: lockdep::Mutex::named("&health->recovered_break_msg", None),
        random: Arc::clone(dev.module().driver_core().rng()),
    });
    let empty = ReporterOps::new("empty")
        .dump(|_, _, _, _| Ok(()))
        .diagnose(|_, _, _| Ok(()));
    let empty = devl.health_reporter_create(empty)?;
    let made = devl
        .health_reporter_create(Arc::clone(&known).ops())
        .and_then(|dummy| match debugfs_init(dev, &known, &dummy) {
            Ok(ddir) => Ok((dummy, ddir)),
            Err(errno) => {
                devl.health_reporter_destroy(&dummy);
                Err(errno)
            }
        });
    match made {
        Ok((dummy, ddir)) => {
            *dev.health() = Some(Health { empty, dummy, ddir });
            Ok(())
        }
        Err(errno) => {
            devl.health_reporter_destroy(&empty);
            Err(errno)
        }
    }
}

fn debugfs_init(dev: &NsimDev, known: &Dummy, dummy: &Arc<Reporter>) -> Result<Dir, Errno> {
    let ddir = dev.debugfs().ddir().create_dir("health")?;
    let reporter = Arc::downgrade(dummy);
    let break_health = Plain::new().store(move |cx, data| {
        if data.is_empty() || data.len() > BREAK_MESSAGE_MAX {
            return Err(Errno::INVAL);
        }
        let text = data.strip_suffix(b"\n").unwrap_or(data);
        let message = BreakMessage(kernfs::kstrto::c_str(text).to_vec());
        // The report takes the instance lock, with which this file is removed; if it is, the reporter knows.
        cx.break_active_protection();
        let reporter = reporter.upgrade().ok_or(Errno::NODEV)?;
        reporter.report(cx.held(), Some(&message))
    });
    let made = ddir
        .create_file("break_health", 0o200, break_health)
        .and_then(|_| ddir.create_file("binary_len", 0o600, known.binary_len.clone()))
        .and_then(|_| ddir.create_file("fail_recover", 0o600, known.fail_recover.clone()));
    match made {
        Ok(_) => Ok(ddir),
        Err(errno) => {
            ddir.remove();
            Err(errno)
        }
    }
}

/// Removes the reporters and their files, if they are there (`health.c: nsim_dev_health_exit`).
pub(crate) fn exit(dev: &NsimDev, devl: &mut Devl<'_>) {
    let Some(health) = dev.health().take() else {
        return;
    };
    health.ddir.remove();
    devl.health_reporter_destroy(&health.dummy);
    devl.health_reporter_destroy(&health.empty);
}
