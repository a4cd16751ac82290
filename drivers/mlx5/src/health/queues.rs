//! The reporters `tx` and `rx` of a function's own port (`en/reporter_tx.c`, `en/reporter_rx.c`).
//!
//! Both tell of the queues of the network device's channels, and of nothing while it is down. Nothing is ever sent through
//! these queues, so the counters stay where they begin.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use devlink::{Fmsg, Objects, Reporter, ReporterOps};
use rustix::io::Errno;

use crate::core_dev::CoreDev;

/// Milliseconds (`MLX5E_REPORTER_TX_TIMEOUT`, `MLX5E_REPORTER_RX_GRACEFUL_PERIOD`).
const GRACE: u64 = 500;

/// Channels of a network device, as on a machine of four processors.
const CHANNELS: u32 = 4;

/// Entries of the queues.
const SQ_SIZE: u32 = 1024;
const RQ_SIZE: u32 = 8;
const CQ_SIZE: u32 = 1024;
const EQ_SIZE: u32 = 1024;
const ICOSQ_SIZE: u32 = 64;

/// `en/reporter_tx.c: sq_sw_state_type_name`; the first is set.
const SQ_STATES: [&str; 8] = [
    "enabled",
    "mpwqe",
    "recovering",
    "ipsec",
    "dim",
    "vlan_need_l2_inline",
    "pending_xsk_tx",
    "pending_tls_rx_resync",
];

/// `en/reporter_rx.c: rq_sw_state_type_name`; the first is set.
const RQ_STATES: [&str; 9] = [
    "enabled",
    "recovering",
    "dim",
    "no_csum_complete",
    "csum_full",
    "mini_cqe_hw_stridx",
    "shampo",
    "mini_cqe_enhanced",
    "xsk",
];

/// `MLX5_SQC_STATE_RDY`, `MLX5_RQC_STATE_RDY`
const READY: u8 = 1;

/// One channel: the firmware's numbers of its queues.
#[derive(Clone, Copy)]
struct Channel(u32);

impl Channel {
    fn all() -> impl Iterator<Item = Channel> {
        (0..CHANNELS).map(Channel)
    }

    /// The receive queue's number; those of the channel's other queues follow.
    fn rqn(self) -> u32 {
        0x100 + self.0 * 8
    }

    fn sqn(self) -> u32 {
        self.rqn() + 1
    }

    fn icosqn(self) -> u32 {
        self.rqn() + 2
    }

    /// The completion queue of the queue number `queue` of the channel.
    fn cqn(self, queue: u32) -> u32 {
        0x400 + self.0 * 8 + queue
    }
}

/// Makes both (`en/health.c: mlx5e_health_create_reporters`); returns them in the order of their removal.
///
/// # Errors
/// `EEXIST` when they are there.
pub(crate) fn create(
    dev: &CoreDev,
    objects: &mut Objects<'_>,
    port: u32,
) -> Result<Vec<Arc<Reporter>>, Errno> {
    let burst = match dev.module().kernel_is_at_least(6, 19) {
        true => GRACE,
        false => 0,
    };
    let queues = |name, diagnose: fn(&mut Fmsg), dump: fn(&mut Fmsg)| {
        let when_open = |opened: Arc<AtomicBool>, put: fn(&mut Fmsg)| {
            move |fmsg: &mut Fmsg| {
                if opened.load(Ordering::Acquire) {
                    put(fmsg);
                }
                Ok(())
            }
        };
        let diagnose = when_open(Arc::clone(&dev.health.opened), diagnose);
        let dump = when_open(Arc::clone(&dev.health.opened), dump);
        ReporterOps::new(name)
            .graceful_period(GRACE)
            .burst_period(burst)
            .recover(|_, _, _| Ok(()))
            .diagnose(move |_, fmsg, _| diagnose(fmsg))
            .dump(move |_, fmsg, _, _| dump(fmsg))
    };
    let tx = queues("tx", diagnose_tx, dump_tx);
    let tx = objects.port_health_reporter_create(port, tx)?;
    let rx = queues("rx", diagnose_rx, dump_rx);
    let rx = objects.port_health_reporter_create(port, rx)?;
    Ok(vec![rx, tx])
}

/// A pair of a name and an object (`en/health.c: mlx5e_health_fmsg_named_obj_nest_start`).
fn named(fmsg: &mut Fmsg, name: &str, put: impl FnOnce(&mut Fmsg)) {
    fmsg.pair_nest_start(name);
    fmsg.obj_nest_start();
    put(fmsg);
    fmsg.obj_nest_end();
    fmsg.pair_nest_end();
}

/// `en/reporter_tx.c: mlx5e_tx_reporter_diagnose`
fn diagnose_tx(fmsg: &mut Fmsg) {
    named(fmsg, "Common Config", |fmsg| {
        named(fmsg, "SQ", |fmsg| {
            fmsg.u64_pair_put("stride size", 64);
            fmsg.u32_pair_put("size", SQ_SIZE);
            fmsg.string_pair_put("ts_format", "FRC");
            put_cq_common(fmsg);
        });
    });
    fmsg.arr_pair_nest_start("SQs");
    for channel in Channel::all() {
        fmsg.obj_nest_start();
        fmsg.u32_pair_put("channel ix", channel.0);
        fmsg.u32_pair_put("tc", 0);
        fmsg.u32_pair_put("txq ix", channel.0);
        fmsg.u32_pair_put("sqn", channel.sqn());
        fmsg.u8_pair_put("HW state", READY);
        fmsg.bool_pair_put("stopped", false);
        fmsg.u32_pair_put("cc", 0);
        fmsg.u32_pair_put("pc", 0);
        put_states(fmsg, &SQ_STATES);
        put_cq(fmsg, channel.cqn(1));
        put_eq(fmsg, channel);
        fmsg.obj_nest_end();
    }
    fmsg.arr_pair_nest_end();
}

/// `en/reporter_rx.c: mlx5e_rx_reporter_diagnose`. "config" has another initial than that of `tx`, in the kernel too.
fn diagnose_rx(fmsg: &mut Fmsg) {
    named(fmsg, "Common config", |fmsg| {
        named(fmsg, "RQ", |fmsg| {
            fmsg.u8_pair_put("type", 2);
            fmsg.u64_pair_put("stride size", 2048);
            fmsg.u32_pair_put("size", RQ_SIZE);
            fmsg.string_pair_put("ts_format", "FRC");
            put_cq_common(fmsg);
        });
    });
    fmsg.arr_pair_nest_start("RQs");
    for channel in Channel::all() {
        fmsg.obj_nest_start();
        fmsg.u32_pair_put("channel ix", channel.0);
        fmsg.u32_pair_put("rqn", channel.rqn());
        fmsg.u8_pair_put("HW state", READY);
        fmsg.u32_pair_put("WQE counter", RQ_SIZE - 1);
        fmsg.u32_pair_put("posted WQEs", RQ_SIZE - 1);
        fmsg.u32_pair_put("cc", RQ_SIZE - 1);
        put_states(fmsg, &RQ_STATES);
        put_cq(fmsg, channel.cqn(0));
        put_eq(fmsg, channel);
        named(fmsg, "ICOSQ", |fmsg| {
            fmsg.u32_pair_put("sqn", channel.icosqn());
            fmsg.u8_pair_put("HW state", READY);
            fmsg.u32_pair_put("cc", 0);
            fmsg.u32_pair_put("pc", 0);
            fmsg.u32_pair_put("WQE size", ICOSQ_SIZE);
            named(fmsg, "CQ", |fmsg| {
                fmsg.u32_pair_put("cqn", channel.cqn(2));
                fmsg.u32_pair_put("cc", 0);
                fmsg.u32_pair_put("size", ICOSQ_SIZE);
            });
        });
        fmsg.obj_nest_end();
    }
    fmsg.arr_pair_nest_end();
}

/// The first of them is set.
fn put_states(fmsg: &mut Fmsg, names: &[&str]) {
    named(fmsg, "SW State", |fmsg| {
        for (place, name) in names.iter().enumerate() {
            fmsg.u32_pair_put(name, u32::from(place == 0));
        }
    });
}

/// `en/health.c: mlx5e_health_cq_common_diag_fmsg`
fn put_cq_common(fmsg: &mut Fmsg) {
    named(fmsg, "CQ", |fmsg| {
        fmsg.u64_pair_put("stride size", 64);
        fmsg.u32_pair_put("size", CQ_SIZE);
    });
}

/// `en/health.c: mlx5e_health_cq_diag_fmsg`
fn put_cq(fmsg: &mut Fmsg, cqn: u32) {
    named(fmsg, "CQ", |fmsg| {
        fmsg.u32_pair_put("cqn", cqn);
        fmsg.u8_pair_put("HW status", 0);
        fmsg.u32_pair_put("ci", 0);
        fmsg.u32_pair_put("size", CQ_SIZE);
    });
}

/// `en/health.c: mlx5e_health_eq_diag_fmsg`
fn put_eq(fmsg: &mut Fmsg, Channel(index): Channel) {
    named(fmsg, "EQ", |fmsg| {
        fmsg.u8_pair_put("eqn", 8 + index as u8);
        fmsg.u32_pair_put("irqn", 32 + index);
        fmsg.u32_pair_put("vecidx", index);
        fmsg.u32_pair_put("ci", 0);
        fmsg.u32_pair_put("size", EQ_SIZE);
    });
}

/// `en/reporter_tx.c: mlx5e_tx_reporter_dump_all_sqs`
fn dump_tx(fmsg: &mut Fmsg) {
    dump(fmsg, "SX Slice", "SQs", "SQ", Channel::sqn);
}

/// `en/reporter_rx.c: mlx5e_rx_reporter_dump_all_rqs`
fn dump_rx(fmsg: &mut Fmsg) {
    dump(fmsg, "RX Slice", "RQs", "RQ", Channel::rqn);
}

fn dump(fmsg: &mut Fmsg, slice: &str, all: &str, one: &str, number: fn(Channel) -> u32) {
    named(fmsg, slice, |fmsg| put_resource(fmsg, 0));
    fmsg.arr_pair_nest_start(all);
    for channel in Channel::all() {
        let number = number(channel);
        fmsg.obj_nest_start();
        named(fmsg, one, |fmsg| {
            fmsg.u32_pair_put("index", number);
            put_resource(fmsg, number);
        });
        fmsg.obj_nest_end();
    }
    fmsg.arr_pair_nest_end();
}

/// What the firmware knows of a resource: bytes that only its makers can read (`en/health.c: mlx5e_health_rsc_fmsg_dump`).
fn put_resource(fmsg: &mut Fmsg, index: u32) {
    let mut segment = [0; 64];
    segment[4..8].copy_from_slice(&index.to_be_bytes());
    fmsg.binary_pair_nest_start("data");
    fmsg.binary_put(&segment);
    fmsg.binary_pair_nest_end();
}
