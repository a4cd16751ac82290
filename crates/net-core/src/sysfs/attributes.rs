//! The attributes of a network device (`net/core/net-sysfs.c: net_class_attrs`), of its statistics and of its queues.
//!
//! Most of them are the real device's, which is read and written in its own sysfs directory. What is written here is for
//! devices that exist in the model alone, and for what a tap says otherwise than a device of the driver would.

use rustix::io::Errno;

use crate::core::DevlinkCompat;
use crate::netdev::{Netdev, OperState};

const IFF_UP: u32 = 1;
const IFF_BROADCAST: u32 = 1 << 1;
const IFF_NOARP: u32 = 1 << 7;
const IFF_MULTICAST: u32 = 1 << 12;

/// `ARPHRD_ETHER`
const ETHERNET: u32 = 1;

/// How a device got its address (`include/uapi/linux/netdevice.h`).
const NET_ADDR_PERM: u32 = 0;
const NET_ADDR_RANDOM: u32 = 1;
const NET_ADDR_SET: u32 = 3;

/// Somebody in user space has named the device (`NET_NAME_RENAMED`).
const NET_NAME_RENAMED: u32 = 4;

/// Whose a value is.
#[derive(Clone, Copy)]
pub(super) enum Value {
    /// The real device's, if there is one and it has such a file; else this.
    Real(fn(&Netdev) -> Result<String, Errno>),
    /// The model's, always.
    Model(fn(&Netdev) -> Result<String, Errno>),
    /// What devlink knows of the port.
    Devlink(fn(&DevlinkCompat, &Netdev) -> Result<String, Errno>),
}

/// An attribute: its name, whether it can be written, what it shows.
pub(super) type Entry = (&'static str, bool, Value);

const RO: bool = false;
const RW: bool = true;

fn empty(_: &Netdev) -> Result<String, Errno> {
    Ok(String::new())
}

fn zero(_: &Netdev) -> Result<String, Errno> {
    Ok("0".into())
}

fn refused(_: &Netdev) -> Result<String, Errno> {
    Err(Errno::INVAL)
}

use Value::{Devlink, Model, Real};

/// In the device's directory.
pub(super) const DEVICE: [Entry; 32] = [
    (
        "addr_assign_type",
        RO,
        Model(|dev| Ok(addr_assign_type(dev).to_string())),
    ),
    ("addr_len", RO, Real(|_| Ok("6".into()))),
    ("address", RO, Real(|dev| Ok(address(dev.mac())))),
    ("broadcast", RO, Real(|_| Ok(address([0xff; 6])))),
    (
        "carrier",
        RW,
        Real(|dev| match dev.is_up() {
            true => Ok(u8::from(dev.carrier()).to_string()),
            false => Err(Errno::INVAL),
        }),
    ),
    ("carrier_changes", RO, Real(zero)),
    ("carrier_down_count", RO, Real(zero)),
    ("carrier_up_count", RO, Real(zero)),
    ("dev_id", RO, Model(|_| Ok("0x0".into()))),
    ("dev_port", RO, Model(zero)),
    (
        "dormant",
        RO,
        Real(|dev| match dev.is_up() {
            true => zero(dev),
            false => Err(Errno::INVAL),
        }),
    ),
    ("duplex", RO, Real(refused)),
    ("flags", RW, Real(|dev| Ok(format!("0x{:x}", flags(dev))))),
    ("gro_flush_timeout", RW, Real(zero)),
    ("ifalias", RW, Real(empty)),
    ("ifindex", RO, Real(|dev| Ok(dev.ifindex().to_string()))),
    ("iflink", RO, Real(|dev| Ok(dev.ifindex().to_string()))),
    ("link_mode", RO, Real(zero)),
    ("mtu", RW, Real(|dev| Ok(dev.mtu().to_string()))),
    (
        "name_assign_type",
        RO,
        Model(|dev| match dev.is_enumerated() {
            // The kernel does not tell where such a name is from (`NET_NAME_UNKNOWN`).
            true => Err(Errno::INVAL),
            false => Ok(NET_NAME_RENAMED.to_string()),
        }),
    ),
    ("napi_defer_hard_irqs", RW, Real(zero)),
    ("netdev_group", RW, Real(zero)),
    (
        "operstate",
        RO,
        Real(|dev| {
            let state = match dev.operstate() {
                OperState::Up => "up",
                OperState::Down => "down",
            };
            Ok(state.into())
        }),
    ),
    (PHYS_PORT_ID, RO, Model(|_| Err(Errno::OPNOTSUPP))),
    (
        "phys_port_name",
        RO,
        Devlink(|devlink, dev| (devlink.phys_port_name)(dev)),
    ),
    (
        "phys_switch_id",
        RO,
        Devlink(|devlink, dev| {
            let id = (devlink.switch_id)(dev)?;
            Ok(id.iter().map(|byte| format!("{byte:02x}")).collect())
        }),
    ),
    ("proto_down", RW, Real(zero)),
    ("speed", RO, Real(refused)),
    (
        "testing",
        RO,
        Real(|dev| match dev.is_up() {
            true => zero(dev),
            false => Err(Errno::INVAL),
        }),
    ),
    ("threaded", RW, Real(zero)),
    ("tx_queue_len", RW, Real(|_| Ok("1000".into()))),
    ("type", RO, Real(|_| Ok(ETHERNET.to_string()))),
];

/// No driver here has it, and not every kernel shows it then.
pub(super) const PHYS_PORT_ID: &str = "phys_port_id";

/// In `statistics/`.
pub(super) const STATISTICS: [&str; 24] = [
    "collisions",
    "multicast",
    "rx_bytes",
    "rx_compressed",
    "rx_crc_errors",
    "rx_dropped",
    "rx_errors",
    "rx_fifo_errors",
    "rx_frame_errors",
    "rx_length_errors",
    "rx_missed_errors",
    "rx_nohandler",
    "rx_over_errors",
    "rx_packets",
    "tx_aborted_errors",
    "tx_bytes",
    "tx_carrier_errors",
    "tx_compressed",
    "tx_dropped",
    "tx_errors",
    "tx_fifo_errors",
    "tx_heartbeat_errors",
    "tx_packets",
    "tx_window_errors",
];

/// In `queues/rx-N/`.
pub(super) const RX_QUEUE: [Entry; 2] = [
    ("rps_cpus", RW, Real(zero)),
    ("rps_flow_cnt", RW, Real(zero)),
];

/// In `queues/tx-N/`.
pub(super) const TX_QUEUE: [Entry; 5] = [
    // Of a device with one queue.
    ("traffic_class", RO, Real(|_| Err(Errno::NOENT))),
    ("tx_maxrate", RW, Real(zero)),
    ("tx_timeout", RO, Real(zero)),
    ("xps_cpus", RW, Real(|_| Err(Errno::NOENT))),
    ("xps_rxqs", RW, Real(|_| Err(Errno::NOENT))),
];

/// In `queues/tx-N/byte_queue_limits/`.
pub(super) const LIMITS: [Entry; 5] = [
    ("hold_time", RW, Real(|_| Ok("1000".into()))),
    ("inflight", RO, Real(zero)),
    ("limit", RW, Real(zero)),
    // `DQL_MAX_LIMIT`
    ("limit_max", RW, Real(|_| Ok("1879048192".into()))),
    ("limit_min", RW, Real(zero)),
];

/// What a file of `statistics/` shows.
pub(super) const COUNTER: Value = Real(zero);

fn address(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// The drivers' random addresses say that they are local, and those of cards do not.
fn addr_assign_type(dev: &Netdev) -> u32 {
    match dev.first_mac {
        mac if mac != dev.mac() => NET_ADDR_SET,
        mac if mac[0] & 2 != 0 => NET_ADDR_RANDOM,
        _ => NET_ADDR_PERM,
    }
}

fn flags(dev: &Netdev) -> u32 {
    let mut flags = IFF_BROADCAST;
    if dev.is_up() {
        flags |= IFF_UP;
    }
    if dev.flags.multicast {
        flags |= IFF_MULTICAST;
    }
    if dev.flags.no_arp {
        flags |= IFF_NOARP;
    }
    flags
}
