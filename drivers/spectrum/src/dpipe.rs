//! The tables of the packet pipeline (`spectrum_dpipe.c`).
//!
//! What is in them is made up: each port with a network device is an egress router interface, behind the first of
//! them are a few hosts, and one adjacency leads there.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use devlink::dpipe::{ETHERNET, ETHERNET_DST_MAC, IPV4, IPV4_DST_IP, IPV6, IPV6_DST_IP};
use devlink::port::EthDevice;
use devlink::{
    Devl, DpipeAction, DpipeEntry, DpipeField, DpipeHeader, DpipeMatch, DpipeTableOps, DpipeValue,
    Objects, PortType,
};
use driver_core::Device;
use rustix::io::Errno;

use crate::device::Spectrum;
use crate::resources;

/// Hosts of each address family.
pub(crate) const HOSTS: u64 = 3;
/// What an IPv6 host takes of its resource.
pub(crate) const HOST6_UNITS: u64 = 2;
/// Adjacencies.
pub(crate) const ADJACENCIES: u64 = 1;
/// As many egress router interfaces as the switch can have.
const MAX_RIFS: u64 = 1000;

const ERIF_PORT: u32 = 0;
const L3_FORWARD: u32 = 1;
const L3_DROP: u32 = 2;
const ADJ_INDEX: u32 = 3;
const ADJ_SIZE: u32 = 4;
const ADJ_HASH_INDEX: u32 = 5;

/// What the pipeline knows of a packet and is in none of its headers (`mlxsw_meta`).
static METADATA: DpipeHeader = DpipeHeader {
    name: "mlxsw_meta",
    id: 0,
    fields: &[
        DpipeField::new("erif_port", ERIF_PORT, 32).of_ifindex(),
        DpipeField::new("l3_forward", L3_FORWARD, 1),
        DpipeField::new("l3_drop", L3_DROP, 1),
        DpipeField::new("adj_index", ADJ_INDEX, 32),
        DpipeField::new("adj_size", ADJ_SIZE, 32),
        DpipeField::new("adj_hash_index", ADJ_HASH_INDEX, 32),
    ],
    global: false,
};

static HEADERS: [&DpipeHeader; 4] = [&METADATA, &ETHERNET, &IPV4, &IPV6];

const TABLES: [(&str, Table); 4] = [
    ("mlxsw_erif", Table::Erif),
    ("mlxsw_host4", Table::Host4),
    ("mlxsw_host6", Table::Host6),
    ("mlxsw_adj", Table::Adj),
];

/// Registers headers and tables (`mlxsw_sp_dpipe_init`).
pub(crate) fn init(sp: &Spectrum, devl: &mut Devl<'_>) -> Result<(), Errno> {
    devl.dpipe_headers_register(&HEADERS);
    for (name, table) in TABLES {
        let ops = TableOps {
            device: Arc::downgrade(sp.device()),
            table,
            looks: AtomicU64::new(0),
        };
        devl.dpipe_table_register(name, Arc::new(ops), false)?;
        let resource = match table {
            Table::Erif => continue,
            Table::Host4 => (resources::KVD_HASH_SINGLE, 1),
            Table::Host6 => (resources::KVD_HASH_DOUBLE, HOST6_UNITS),
            Table::Adj => (resources::KVD_LINEAR, 1),
        };
        devl.dpipe_table_resource_set(name, resource.0, resource.1)?;
    }
    Ok(())
}

pub(crate) fn fini(objects: &mut Objects<'_>) {
    for (name, _) in TABLES.iter().rev() {
        objects.dpipe_table_unregister(name);
    }
    objects.dpipe_headers_unregister();
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Table {
    /// Egress router interfaces.
    Erif,
    /// IPv4 hosts.
    Host4,
    /// IPv6 hosts.
    Host6,
    /// Next hops.
    Adj,
}

/// A table of a switch.
struct TableOps {
    device: Weak<Device>,
    table: Table,
    /// How often somebody has looked while it was counted: what the counters show, for want of packets.
    looks: AtomicU64,
}

const fn meta(field: u32) -> DpipeMatch {
    DpipeMatch::field_exact(&METADATA, field)
}

const DST_MAC: DpipeAction = DpipeAction::field_modify(&ETHERNET, ETHERNET_DST_MAC);
const TO_ERIF: DpipeAction = DpipeAction::field_modify(&METADATA, ERIF_PORT);
const DST_IP4: DpipeMatch = DpipeMatch::field_exact(&IPV4, IPV4_DST_IP);
const DST_IP6: DpipeMatch = DpipeMatch::field_exact(&IPV6, IPV6_DST_IP);

fn number<T>(of: T, value: u32) -> DpipeValue<T> {
    DpipeValue::new(of, value.to_ne_bytes())
}

impl TableOps {
    /// A router interface with the index of its network device.
    fn erif<T>(of: T, rif: u32, device: &EthDevice) -> DpipeValue<T> {
        number(of, rif).standing_for(device.ifindex)
    }

    fn entries(&self, objects: &Objects<'_>) -> Vec<DpipeEntry> {
        let device = |port: &Arc<devlink::Port>| match port.port_type() {
            PortType::Eth(device) => device,
            PortType::NotSet | PortType::Ib(_) => None,
        };
        let erifs: Vec<EthDevice> = objects.ports().filter_map(device).collect();
        let Some(first) = erifs.first() else {
            return Vec::new();
        };
        let mac = |host: u8| DpipeValue::new(DST_MAC, [0x00, 0x00, 0x5e, 0x00, 0x53, host]);
        let hosts = 1..=HOSTS as u8;
        match self.table {
            Table::Erif => {
                let entry = |(rif, device): (u32, &EthDevice)| DpipeEntry {
                    index: u64::from(rif),
                    match_values: vec![Self::erif(meta(ERIF_PORT), rif, device)],
                    action_values: vec![number(
                        DpipeAction::field_modify(&METADATA, L3_FORWARD),
                        1,
                    )],
                    counter: None,
                };
                (0..).zip(&erifs).map(entry).collect()
            }
            Table::Host4 => {
                let entry = |host: u8| DpipeEntry {
                    index: u64::from(host) - 1,
                    match_values: vec![
                        Self::erif(meta(ERIF_PORT), 0, first),
                        number(DST_IP4, u32::from_be_bytes([192, 0, 2, host])),
                    ],
                    action_values: vec![mac(host)],
                    counter: None,
                };
                hosts.map(entry).collect()
            }
            Table::Host6 => {
                let address = |host| std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host);
                let entry = |host: u8| DpipeEntry {
                    index: u64::from(host) - 1,
                    match_values: vec![
                        Self::erif(meta(ERIF_PORT), 0, first),
                        DpipeValue::new(DST_IP6, address(u16::from(host)).octets()),
                    ],
                    action_values: vec![mac(host)],
                    counter: None,
                };
                hosts.map(entry).collect()
            }
            Table::Adj => vec![DpipeEntry {
                index: 0,
                match_values: vec![
                    number(meta(ADJ_INDEX), 1),
                    number(meta(ADJ_SIZE), 1),
                    number(meta(ADJ_HASH_INDEX), 0),
                ],
                action_values: vec![mac(1), Self::erif(TO_ERIF, 0, first)],
                counter: None,
            }],
        }
    }
}

impl DpipeTableOps for TableOps {
    fn actions(&self) -> Vec<DpipeAction> {
        let meta = |field| DpipeAction::field_modify(&METADATA, field);
        match self.table {
            Table::Erif => vec![meta(L3_FORWARD), meta(L3_DROP)],
            Table::Host4 | Table::Host6 => vec![DST_MAC],
            Table::Adj => vec![DST_MAC, TO_ERIF],
        }
    }

    fn matches(&self) -> Vec<DpipeMatch> {
        match self.table {
            Table::Erif => vec![meta(ERIF_PORT)],
            Table::Host4 => vec![meta(ERIF_PORT), DST_IP4],
            Table::Host6 => vec![meta(ERIF_PORT), DST_IP6],
            Table::Adj => vec![meta(ADJ_INDEX), meta(ADJ_SIZE), meta(ADJ_HASH_INDEX)],
        }
    }

    fn size_get(&self) -> u64 {
        match self.table {
            Table::Erif => MAX_RIFS,
            Table::Host4 | Table::Host6 => HOSTS,
            Table::Adj => ADJACENCIES,
        }
    }

    fn entries_dump(
        &self,
        devl: &mut Devl<'_>,
        counters_enabled: bool,
    ) -> Result<Vec<DpipeEntry>, Errno> {
        // A switch that is going away has no entries any more.
        self.device.upgrade().ok_or(Errno::NODEV)?;
        let mut entries = self.entries(devl);
        if counters_enabled {
            let looks = self.looks.fetch_add(1, Ordering::Relaxed);
            for entry in &mut entries {
                entry.counter = Some(looks);
            }
        }
        Ok(entries)
    }

    fn counters_set_update(&self, _devl: &mut Devl<'_>, _enable: bool) {
        self.looks.store(0, Ordering::Relaxed);
    }
}
