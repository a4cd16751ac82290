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

/// `en/reporter_tx.c: sq_sw_state_type_name`; the first is set. One of them went, another came.
const SQ_STATES: [&str; 9] = [
    "enabled",
    "mpwqe",
    "recovering",
    "ipsec",
    "dim",
    "vlan_need_l2_inline",
    "pending_xsk_tx",
    "pending_tls_rx_resync",
    "lock_needed",
];
const SQ_STATE_OF_OLD: &str = "vlan_need_l2_inline";
const SQ_STATE_OF_NEW: &str = "lock_needed";

/// Kinds of traffic that are spread over the receive queues (`lib/fs_ttc.c: mlx5_traffic_types_names`).
const TRAFFIC_TYPES: [&str; 10] = [
    "TT_IPV4_TCP",
    "TT_IPV6_TCP",
    "TT_IPV4_UDP",
    "TT_IPV6_UDP",
    "TT_IPV4_IPSEC_AH",
    "TT_IPV6_IPSEC_AH",
    "TT_IPV4_IPSEC_ESP",
    "TT_IPV6_IPSEC_ESP",
    "TT_IPV4",
    "TT_IPV6",
];

/// Transmit interface numbers of a port.
const TISN_PER_PORT: u32 = 8;

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

/// What the kernel's reporters tell, and what they know of the card.
#[derive(Clone, Copy)]
struct Told {
    /// The states of a queue by name; before, those of a receive queue as a number.
    sw_states: bool,
    /// What else the queues need of the hardware.
    resources: bool,
    /// Ports that can be aggregated.
    lag_ports: u32,
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
    let told = Told {
        sw_states: dev.module().kernel_is_at_least(6, 4),
        resources: dev.module().kernel_is_at_least(6, 15),
        lag_ports: u32::from(dev.profile().physical_functions),
    };
    let queues = |name, diagnose: fn(&mut Fmsg, Told), dump: fn(&mut Fmsg, Told)| {
        let when_open = |opened: Arc<AtomicBool>, put: fn(&mut Fmsg, Told)| {
            move |fmsg: &mut Fmsg| {
                if opened.load(Ordering::Acquire) {
                    put(fmsg, told);
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
fn diagnose_tx(fmsg: &mut Fmsg, told: Told) {
    named(fmsg, "Common Config", |fmsg| {
        named(fmsg, "SQ", |fmsg| {
            fmsg.u64_pair_put("stride size", 64);
            fmsg.u32_pair_put("size", SQ_SIZE);
            fmsg.string_pair_put("ts_format", "FRC");
            put_cq_common(fmsg);
        });
    });
    if told.resources {
        put_tis(fmsg, told.lag_ports);
    }
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
        if told.sw_states {
            let other = match told.resources {
                true => SQ_STATE_OF_OLD,
                false => SQ_STATE_OF_NEW,
            };
            put_states(fmsg, SQ_STATES.iter().filter(|state| **state != other));
        }
        put_cq(fmsg, channel.cqn(1));
        put_eq(fmsg, channel);
        fmsg.obj_nest_end();
    }
    fmsg.arr_pair_nest_end();
}

/// `en/reporter_rx.c: mlx5e_rx_reporter_diagnose`. "config" has another initial than that of `tx`, in the kernel too.
fn diagnose_rx(fmsg: &mut Fmsg, told: Told) {
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
        if !told.sw_states {
            fmsg.u8_pair_put("SW state", 1);
        }
        fmsg.u32_pair_put("WQE counter", RQ_SIZE - 1);
        fmsg.u32_pair_put("posted WQEs", RQ_SIZE - 1);
        fmsg.u32_pair_put("cc", RQ_SIZE - 1);
        if told.sw_states {
            put_states(fmsg, RQ_STATES.iter());
        }
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
    if told.resources {
        named(fmsg, "RX resources", put_rx_resources);
    }
}

/// `en/reporter_tx.c: mlx5e_tx_reporter_diagnose_tis_config`
fn put_tis(fmsg: &mut Fmsg, lag_ports: u32) {
    fmsg.arr_pair_nest_start("TIS Config");
    for port in 0..lag_ports {
        fmsg.obj_nest_start();
        fmsg.u32_pair_put("lag port", port);
        fmsg.u32_pair_put("tc", 0);
        fmsg.u32_pair_put("tisn", port * TISN_PER_PORT);
        fmsg.obj_nest_end();
    }
    fmsg.arr_pair_nest_end();
}

/// `en/reporter_rx.c: mlx5e_rx_reporter_diagnose_rx_res`
fn put_rx_resources(fmsg: &mut Fmsg) {
    let types = TRAFFIC_TYPES.len() as u32;
    fmsg.arr_pair_nest_start("Direct TIRs");
    for Channel(index) in Channel::all() {
        fmsg.obj_nest_start();
        fmsg.u32_pair_put("ix", index);
        fmsg.u32_pair_put("tirn", types + index);
        fmsg.u32_pair_put("rqtn", 1 + index);
        fmsg.obj_nest_end();
    }
    fmsg.arr_pair_nest_end();
    fmsg.arr_pair_nest_start("RSS");
    fmsg.obj_nest_start();
    fmsg.u32_pair_put("Index", 0);
    fmsg.u32_pair_put("rqtn", 0);
    fmsg.arr_pair_nest_start("TIRs Numbers");
    for (tirn, name) in (0..).zip(TRAFFIC_TYPES) {
        fmsg.obj_nest_start();
        fmsg.string_pair_put("tt", name);
        fmsg.u32_pair_put("tirn", tirn);
        fmsg.obj_nest_end();
    }
    fmsg.arr_pair_nest_end();
    fmsg.obj_nest_end();
    fmsg.arr_pair_nest_end();
}

/// The first of them is set.
fn put_states<'a>(fmsg: &mut Fmsg, names: impl Iterator<Item = &'a &'static str>) {
    named(fmsg, "SW State", |fmsg| {
        for (place, name) in names.enumerate() {
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
fn dump_tx(fmsg: &mut Fmsg, _told: Told) {
    dump(fmsg, "SX Slice", "SQs", "SQ", Channel::sqn);
}

/// `en/reporter_rx.c: mlx5e_rx_reporter_dump_all_rqs`
fn dump_rx(fmsg: &mut Fmsg, _told: Told) {
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
