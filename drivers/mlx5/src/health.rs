//! Health reporters: of a function `fw`, `fw_fatal` and `vnic` (`health.c`, `diag/reporter_vnic.c`), of its own port `tx` and
//! `rx` (`en/reporter_tx.c`, `en/reporter_rx.c`), of each function behind the eswitch `vnic`.
//!
//! `fw` hears of every syndrome that the firmware raises; `fw_fatal` of those after which the function does not work, and
//! recovers it: the driver unloads and loads it again.

pub(crate) mod queues;

use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, PoisonError};

use devlink::{Fmsg, Objects, Reporter, ReporterOps};
use lock_order::DevlinkLock;
use lockdep::order::{Before, Held};
use rustix::io::Errno;

use crate::core;
use crate::core_dev::CoreDev;
use crate::fault::Fault;
use crate::module::Module;

/// Grace periods in milliseconds (`MLX5_FW_REPORTER_*_GRACEFUL_PERIOD`).
const GRACE_PF: u64 = 60_000;
const GRACE_VF: u64 = 30_000;
const GRACE_ECPF: u64 = 180_000;

/// `LOGLEVEL_ERR`: how bad the firmware finds what it has raised.
const SEVERITY_ERROR: u8 = 3;

/// What the firmware counts of a function, in the order of the kernel, with the version that has it first.
const VNIC_COUNTERS: [(&str, (u8, u8)); 12] = [
    ("total_error_queues", (5, 19)),
    ("send_queue_priority_update_flow", (5, 19)),
    ("comp_eq_overrun", (5, 19)),
    ("async_eq_overrun", (5, 19)),
    ("cq_overrun", (5, 19)),
    ("invalid_command", (5, 19)),
    ("quota_exceeded_command", (5, 19)),
    ("nic_receive_steering_discard", (5, 19)),
    ("icm_consumption", (6, 16)),
    ("bar_uar_access", (6, 18)),
    ("odp_local_triggered_page_fault", (6, 18)),
    ("odp_remote_triggered_page_fault", (6, 18)),
];

/// Counters of 64 bits; the others have 32.
const WIDE: [&str; 2] = ["nic_receive_steering_discard", "icm_consumption"];

/// Pages of 4 KiB that the firmware has of the host's memory for a function.
const ICM_PAGES: u64 = 1024;

/// The state of a function's health (`struct mlx5_core_health`).
#[derive(Debug)]
pub(crate) struct Health {
    syndrome: AtomicU8,
    /// The function's network device is up (`MLX5E_STATE_OPENED`).
    pub(crate) opened: Arc<AtomicBool>,
    /// `fw`, `fw_fatal`, `vnic`, while they exist. A leaf.
    reporters: lockdep::Mutex<Vec<Arc<Reporter>>>,
    /// `rx` and `tx`, where the core has made them. A leaf.
    queues: lockdep::Mutex<Vec<Arc<Reporter>>>,
}

impl Health {
    pub(crate) fn new() -> Self {
        Health {
            syndrome: AtomicU8::new(0),
            opened: Arc::default(),
            reporters: lockdep::Mutex::named("mlx5 reporters", Vec::new()),
            queues: lockdep::Mutex::named("mlx5 queue reporters", Vec::new()),
        }
    }

    /// The reporters of the queues that the core has made from now on; returns those that were there.
    pub(crate) fn set_queues(&self, queues: Vec<Arc<Reporter>>) -> Vec<Arc<Reporter>> {
        let mut now = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut now, queues)
    }

    fn reporters(&self) -> lockdep::MutexGuard<'_, Vec<Arc<Reporter>>> {
        self.reporters
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a syndrome means (`health.c: hsynd_str`).
fn description(syndrome: u8) -> &'static str {
    match syndrome {
        0x1 => "firmware internal error",
        0x7 => "irisc not responding",
        0x8 => "unrecoverable hardware error",
        0x9 => "firmware CRC error",
        0xa => "ICM fetch PCI error",
        0xb => "HW fatal error",
        0xc => "async EQ buffer overrun",
        0xd => "EQ error",
        0xe => "Invalid EQ referenced",
        0xf => "FFSER error",
        0x10 => "High temperature",
        0x12 => "ICM fetch PCI data poisoned error",
        0x13 => "Trust lockdown error",
        _ => "unrecognized error",
    }
}

/// Makes the function's reporters (`health.c: mlx5_fw_reporters_create`).
///
/// # Errors
/// `EEXIST` when they are there.
pub(crate) fn reporters_create(dev: &Arc<CoreDev>, objects: &mut Objects<'_>) -> Result<(), Errno> {
    if !dev.is_lightweight() {
        fw_reporters_create(dev, objects)?;
    }
    if has_vnic(dev.module()) {
        let vnic = objects.health_reporter_create(vnic(dev.module()))?;
        dev.health.reporters().push(vnic);
    }
    Ok(())
}

/// Whether there is a reporter `vnic`, of functions and of those behind the eswitch.
pub(crate) fn has_vnic(module: &Module) -> bool {
    module.kernel_is_at_least(6, 4)
}

/// Whether the reporters of the firmware can dump; in older kernels those of any function say that they can.
fn has_dump(dev: &CoreDev) -> bool {
    dev.is_pf() || !dev.module().kernel_is_at_least(6, 4)
}

/// Only a physical function may have the firmware dump.
fn may_dump(dev: &CoreDev) -> Result<(), Errno> {
    match dev.is_pf() {
        true => Ok(()),
        false => Err(Errno::PERM),
    }
}

/// Those of them that a sub-function gets when it is more than its parameters.
///
/// # Errors
/// `EEXIST` when they are there.
pub(crate) fn fw_reporters_create(
    dev: &Arc<CoreDev>,
    objects: &mut Objects<'_>,
) -> Result<(), Errno> {
    let made = [
        objects.health_reporter_create(fw(dev))?,
        objects.health_reporter_create(fw_fatal(dev))?,
    ];
    dev.health.reporters().extend(made);
    Ok(())
}

/// Removes them (`health.c: mlx5_fw_reporters_destroy`).
pub(crate) fn reporters_destroy(dev: &CoreDev, objects: &mut Objects<'_>) {
    let reporters = std::mem::take(&mut *dev.health.reporters());
    for reporter in reporters.iter().rev() {
        objects.health_reporter_destroy(reporter);
    }
}

fn fw(dev: &Arc<CoreDev>) -> ReporterOps {
    let this = Arc::downgrade(dev);
    let ops = ReporterOps::new("fw").diagnose(move |_, fmsg, _| {
        let dev = this.upgrade().ok_or(Errno::NODEV)?;
        let syndrome = dev.health.syndrome.load(Ordering::Acquire);
        fmsg.u8_pair_put("Syndrome", syndrome);
        if syndrome != 0 {
            fmsg.string_pair_put("Description", description(syndrome));
        }
        Ok(())
    });
    if !has_dump(dev) {
        return ops;
    }
    let this = Arc::downgrade(dev);
    ops.dump(move |_, fmsg, ctx, _| {
        let dev = this.upgrade().ok_or(Errno::NODEV)?;
        may_dump(&dev)?;
        put_error(fmsg, ctx);
        put_health_buffer(&dev, fmsg);
        put_traces(&dev, fmsg);
        Ok(())
    })
}

fn fw_fatal(dev: &Arc<CoreDev>) -> ReporterOps {
    let grace = match (dev.is_ecpf(), dev.is_pf()) {
        (true, _) => GRACE_ECPF,
        (_, true) => GRACE_PF,
        _ => GRACE_VF,
    };
    let this = Arc::downgrade(dev);
    let ops = ReporterOps::new("fw_fatal")
        .graceful_period(grace)
        .recover(move |devl, _, _| {
            let dev = this.upgrade().ok_or(Errno::NODEV)?;
            dev.warn(format_args!("handling bad device here"));
            dev.err(format_args!("start"));
            dev.err(format_args!("end"));
            if dev.faults().fires(Fault::RecoverFail) {
                dev.err(format_args!(
                    "health recovery flow aborted, PCI reads still not working"
                ));
                return Err(Errno::IO);
            }
            dev.err(format_args!("starting health recovery flow"));
            dev.health.syndrome.store(0, Ordering::Release);
            core::unload_one(&dev, devl);
            core::load_one(&dev, devl)
        });
    if !has_dump(dev) {
        return ops;
    }
    let this = Arc::downgrade(dev);
    ops.dump(move |_, fmsg, ctx, _| {
        let dev = this.upgrade().ok_or(Errno::NODEV)?;
        may_dump(&dev)?;
        put_error(fmsg, ctx);
        let mut crdump = vec![0; 4096];
        crdump[0] = dev.health.syndrome.load(Ordering::Acquire);
        fmsg.binary_pair_put("crdump_data", &crdump);
        Ok(())
    })
}

/// `diag/reporter_vnic.c`; nothing has gone wrong here, ever.
pub(crate) fn vnic(module: &Module) -> ReporterOps {
    let known = VNIC_COUNTERS.map(|(name, (major, minor))| {
        let known = module.kernel_is_at_least(major, minor);
        known.then_some(name)
    });
    ReporterOps::new("vnic").diagnose(move |_, fmsg, _| {
        fmsg.pair_nest_start("vNIC env counters");
        fmsg.obj_nest_start();
        for counter in known.iter().flatten() {
            match *counter {
                "icm_consumption" => fmsg.u64_pair_put(counter, ICM_PAGES),
                wide if WIDE.contains(&wide) => fmsg.u64_pair_put(counter, 0),
                _ => fmsg.u32_pair_put(counter, 0),
            }
        }
        fmsg.obj_nest_end();
        fmsg.pair_nest_end();
        Ok(())
    })
}

/// What a report tells the dump of the error (`struct mlx5_fw_reporter_ctx`).
struct FwError {
    syndrome: u8,
}

/// `health.c: mlx5_fw_reporter_ctx_pairs_put`
fn put_error(fmsg: &mut Fmsg, ctx: Option<&dyn Any>) {
    if let Some(error) = ctx.and_then(<dyn Any>::downcast_ref::<FwError>) {
        fmsg.u8_pair_put("syndrome", error.syndrome);
        fmsg.u32_pair_put("fw_miss_counter", 0);
    }
}

/// `health.c: mlx5_fw_reporter_heath_buffer_data_put`
fn put_health_buffer(dev: &CoreDev, fmsg: &mut Fmsg) {
    let syndrome = dev.health.syndrome.load(Ordering::Acquire);
    if syndrome == 0 {
        return;
    }
    let fw = dev.firmware().running();
    let version = u32::from(fw.major) << 24 | u32::from(fw.minor) << 16 | u32::from(fw.subminor);
    fmsg.pair_nest_start("health buffer");
    fmsg.obj_nest_start();
    fmsg.arr_pair_nest_start("assert_var");
    for _ in 0..6 {
        fmsg.u32_put(0);
    }
    fmsg.arr_pair_nest_end();
    for name in ["assert_exit_ptr", "assert_callra"] {
        fmsg.u32_pair_put(name, 0);
    }
    let now = dev.module().driver_core().clock().now();
    fmsg.u32_pair_put("time", now.as_secs() as u32);
    fmsg.u32_pair_put("hw_id", u32::from(dev.profile().device));
    fmsg.u8_pair_put("rfr", 0);
    fmsg.u8_pair_put("severity", SEVERITY_ERROR);
    fmsg.u8_pair_put("irisc_index", 0);
    fmsg.u8_pair_put("synd", syndrome);
    fmsg.u32_pair_put("ext_synd", 0);
    fmsg.u32_pair_put("raw_fw_ver", version);
    fmsg.obj_nest_end();
    fmsg.pair_nest_end();
}

/// What the firmware has traced: asking it for a core dump makes it say so (`diag/fw_tracer.c:
/// mlx5_fw_tracer_get_saved_traces_objects`).
fn put_traces(dev: &CoreDev, fmsg: &mut Fmsg) {
    let now = dev.module().driver_core().clock().now();
    fmsg.arr_pair_nest_start("dump fw traces");
    fmsg.obj_nest_start();
    fmsg.u64_pair_put("timestamp", now.as_nanos() as u64);
    fmsg.bool_pair_put("lost", false);
    fmsg.u8_pair_put("event_id", 0);
    fmsg.string_pair_put("msg", "core dump requested");
    fmsg.obj_nest_end();
    fmsg.arr_pair_nest_end();
}

/// The firmware raises a syndrome; after a fatal one the function does not work until it is recovered (`health.c:
/// mlx5_fw_reporter_err_work`, `mlx5_fw_fatal_reporter_err_work`).
///
/// # Errors
/// `ENODEV` when the function has no reporters; what the recovery says.
pub(crate) fn raise<H: Before<DevlinkLock>>(
    dev: &Arc<CoreDev>,
    held: &mut Held<'_, H>,
    syndrome: u8,
    fatal: bool,
) -> Result<(), Errno> {
    dev.health.syndrome.store(syndrome, Ordering::Release);
    dev.err(format_args!(
        "synd 0x{syndrome:x}: {}",
        description(syndrome)
    ));
    let name = if fatal { "fw_fatal" } else { "fw" };
    let found = dev
        .health
        .reporters()
        .iter()
        .find(|reporter| reporter.name() == name)
        .cloned();
    let error = FwError { syndrome };
    found.ok_or(Errno::NODEV)?.report(held, Some(&error))
}
