//! Health reporters: of a function `fw`, `fw_fatal` and `vnic` (`health.c`, `diag/reporter_vnic.c`), of its own port `tx` and
//! `rx` (`en/reporter_tx.c`, `en/reporter_rx.c`), of each function behind the eswitch `vnic`.
//!
//! `fw` hears of every syndrome that the firmware raises; `fw_fatal` of those after which the function does not work, and
//! recovers it: the driver unloads and loads it again.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, PoisonError};

use devlink::{Fmsg, Objects, Reporter, ReporterOps};
use lock_order::DevlinkLock;
use lockdep::order::{Before, Held};
use rustix::io::Errno;

use crate::core;
use crate::core_dev::CoreDev;
use crate::fault::Fault;

/// Grace periods in milliseconds (`MLX5_FW_REPORTER_*_GRACEFUL_PERIOD`, `MLX5E_REPORTER_TX_TIMEOUT`).
const GRACE_PF: u64 = 60_000;
const GRACE_VF: u64 = 30_000;
const GRACE_ECPF: u64 = 180_000;
const GRACE_QUEUE: u64 = 500;

/// What the firmware counts of a function, in the order of the kernel.
const VNIC_COUNTERS: [&str; 12] = [
    "total_error_queues",
    "send_queue_priority_update_flow",
    "comp_eq_overrun",
    "async_eq_overrun",
    "cq_overrun",
    "invalid_command",
    "quota_exceeded_command",
    "nic_receive_steering_discard",
    "icm_consumption",
    "bar_uar_access",
    "odp_local_triggered_page_fault",
    "odp_remote_triggered_page_fault",
];

/// The state of a function's health (`struct mlx5_core_health`).
#[derive(Debug)]
pub(crate) struct Health {
    syndrome: AtomicU8,
    /// `fw`, `fw_fatal`, `vnic`, while they exist. A leaf.
    reporters: lockdep::Mutex<Vec<Arc<Reporter>>>,
}

impl Health {
    pub(crate) fn new() -> Self {
        Health {
            syndrome: AtomicU8::new(0),
            reporters: lockdep::Mutex::named("mlx5 reporters", Vec::new()),
        }
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
    let vnic = objects.health_reporter_create(vnic())?;
    dev.health.reporters().push(vnic);
    Ok(())
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
    if !dev.is_pf() {
        return ops;
    }
    let this = Arc::downgrade(dev);
    ops.dump(move |_, fmsg, _, _| put_health_buffer(&*this.upgrade().ok_or(Errno::NODEV)?, fmsg))
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
    if !dev.is_pf() {
        return ops;
    }
    let this = Arc::downgrade(dev);
    ops.dump(move |_, fmsg, _, _| {
        let dev = this.upgrade().ok_or(Errno::NODEV)?;
        let mut crdump = vec![0; 4096];
        crdump[0] = dev.health.syndrome.load(Ordering::Acquire);
        fmsg.binary_pair_put("crdump_data", &crdump);
        Ok(())
    })
}

/// `diag/reporter_vnic.c`; nothing has gone wrong here, ever.
pub(crate) fn vnic() -> ReporterOps {
    ReporterOps::new("vnic").diagnose(|_, fmsg, _| {
        for counter in VNIC_COUNTERS {
            fmsg.u64_pair_put(counter, 0);
        }
        Ok(())
    })
}

/// The reporters of the function's own port (`en/health.c: mlx5e_health_create_reporters`).
///
/// # Errors
/// `EEXIST` when they are there.
pub(crate) fn queues_create(
    dev: &CoreDev,
    objects: &mut Objects<'_>,
    port: u32,
) -> Result<Vec<Arc<Reporter>>, Errno> {
    let burst = match dev.module().kernel_is_at_least(6, 19) {
        true => GRACE_QUEUE,
        false => 0,
    };
    // Nothing is shown while the network device is down, as in the kernel.
    let queue = |name| {
        ReporterOps::new(name)
            .graceful_period(GRACE_QUEUE)
            .burst_period(burst)
            .recover(|_, _, _| Ok(()))
            .diagnose(|_, _, _| Ok(()))
            .dump(|_, _, _, _| Ok(()))
    };
    let tx = objects.port_health_reporter_create(port, queue("tx"))?;
    let rx = objects.port_health_reporter_create(port, queue("rx"))?;
    Ok(vec![rx, tx])
}

/// `health.c: mlx5_fw_reporter_heath_buffer_data_put`
fn put_health_buffer(dev: &CoreDev, fmsg: &mut Fmsg) -> Result<(), Errno> {
    let syndrome = dev.health.syndrome.load(Ordering::Acquire);
    if syndrome == 0 {
        return Err(Errno::NODATA);
    }
    fmsg.pair_nest_start("health buffer");
    fmsg.obj_nest_start();
    fmsg.arr_pair_nest_start("assert_var");
    for _ in 0..6 {
        fmsg.u32_put(0);
    }
    fmsg.arr_pair_nest_end();
    fmsg.u8_pair_put("irisc_index", 0);
    fmsg.u8_pair_put("synd", syndrome);
    fmsg.u32_pair_put("ext_synd", 0);
    fmsg.string_pair_put("raw_fw_ver", dev.firmware().running().padded());
    fmsg.obj_nest_end();
    fmsg.pair_nest_end();
    Ok(())
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
    found.ok_or(Errno::NODEV)?.report(held, None)
}
