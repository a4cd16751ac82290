//! What the driver says of its InfiniBand device (`drivers/infiniband/hw/mlx5/main.c`, `ib_rep.c`, `counters.c`).
//!
//! A function has a device with one port, over its own network device. A physical function in switchdev mode has one whose ports
//! are the vports of its switch, over their representors: it sends what it is told to, raw, and has no addresses. The kernel's has a
//! port for every sub-function that there may ever be, too; those are left out, because `rdma link show` leaves a socket open for each
//! port and ends at the limit of descriptors.

use std::sync::Arc;

use net_core::Netdev;
use rdma::{Gid, GidType, LinkSpeed, NodeAttribute, Ops, PortAttr, PortState};

use super::IbDevice;
use crate::core_dev::CoreDev;
use crate::eswitch::{VPORT_UPLINK, Vport};
use crate::lag;

/// What `mlx5_ib_query_device` claims of an adapter of these generations: ports that change, keys that are counted, XRC, memory windows,
/// fast registration, checksums, flow steering.
const CAP_FLAGS: u64 = 0x25_2136_1c36;

/// `IB_PORT_CM_SUP`
const PORT_CM_SUP: u32 = 1 << 16;

/// Addresses of a port (`roce_address_table_size`).
const GID_TABLE: u32 = 256;

/// Pages that the firmware has been given: any number does.
const FW_PAGES: u32 = 5120;

/// `basic_q_cnts` and those that follow, of an adapter that has all of them; nothing is counted.
const HW_COUNTERS: [&str; 32] = [
    "duplicate_request",
    "implied_nak_seq_err",
    "lifespan",
    "local_ack_timeout_err",
    "np_cnp_sent",
    "np_ecn_marked_roce_packets",
    "out_of_buffer",
    "out_of_sequence",
    "packet_seq_err",
    "req_cqe_error",
    "req_cqe_flush_error",
    "req_remote_access_errors",
    "req_remote_invalid_request",
    "req_rnr_retries_exceeded",
    "req_transport_retries_exceeded",
    "resp_cqe_error",
    "resp_cqe_flush_error",
    "resp_local_length_error",
    "resp_remote_access_errors",
    "rnr_nak_retry_err",
    "roce_adp_retrans",
    "roce_adp_retrans_to",
    "roce_slow_restart",
    "roce_slow_restart_cnps",
    "roce_slow_restart_trans",
    "rp_cnp_handled",
    "rp_cnp_ignored",
    "rx_atomic_requests",
    "rx_dct_connect",
    "rx_icrc_encapsulated",
    "rx_read_requests",
    "rx_write_requests",
];

impl IbDevice {
    fn speaks_roce(&self) -> bool {
        !self.is_rep && self.dev.config().enable_roce && self.dev.profile().roce
    }

    /// The functions whose vports the ports stand for: its own, and all that are one switch with it.
    fn switches(&self) -> Vec<Arc<CoreDev>> {
        let mut shared = lag::shared_fdb(&self.dev);
        if shared.is_empty() {
            shared.push(Arc::clone(&self.dev));
        }
        shared
    }

    /// The network device of a vport's representor.
    fn representor(&self, mut port: u32) -> Option<Arc<Netdev>> {
        for dev in self.switches() {
            let ports = dev.profile().total_vports();
            if port > ports {
                port -= ports;
                continue;
            }
            return match vport_of(&dev, port)? {
                VPORT_UPLINK => lag::netdev(&dev),
                vport => Vport::netdev(&*dev.eswitch()?.vport(vport)?),
            };
        }
        None
    }
}

/// The vport of a function's switch that a port stands for: the physical function's own, the virtual functions', the uplink. They are
/// in the order of the vports (`mlx5_esw_vports_init`).
fn vport_of(dev: &CoreDev, port: u32) -> Option<u16> {
    if port == dev.profile().total_vports() {
        return Some(VPORT_UPLINK);
    }
    u16::try_from(port.checked_sub(1)?).ok()
}

impl Ops for IbDevice {
    fn fw_str(&self) -> String {
        self.dev.firmware().running().padded()
    }

    fn node_guid(&self) -> u64 {
        let [a, b, c, d, e, f] = self.dev.permanent_mac();
        match self.dev.is_pf() {
            true => u64::from_be_bytes([a, b, c, 3, 0, d, e, f]),
            // What is set at the eswitch gets the bytes of an EUI-64 in its middle.
            false => u64::from_be_bytes([a, b, c, 0xff, 0xfe, d, e, f]),
        }
    }

    fn sys_image_guid(&self) -> u64 {
        self.dev.profile().system_image_guid
    }

    fn node_desc(&self) -> String {
        let description = &self.dev.profile().description;
        let model = description.split([',', ' ']).next().unwrap_or_default();
        let device = self.dev.profile().device;
        format!(
            "MT{device} {}   Mellanox Technologies",
            model.replace('-', "")
        )
    }

    fn cap_flags(&self) -> u64 {
        CAP_FLAGS
    }

    fn ports(&self) -> u32 {
        if !self.is_rep {
            return 1;
        }
        let ports = |dev: &Arc<CoreDev>| dev.profile().total_vports();
        self.switches().iter().map(ports).sum()
    }

    /// `mlx5_query_port_roce`
    fn query_port(&self, port: u32) -> PortAttr {
        let netdev = rdma::Ops::netdev(self, port);
        let works = netdev.is_some_and(|netdev| netdev.is_up() && netdev.carrier());
        let roce = self.speaks_roce();
        PortAttr {
            state: if works {
                PortState::Active
            } else {
                PortState::Down
            },
            speed: LinkSpeed::of_ethernet(self.dev.profile().link_speed_mbps),
            cap_flags: if roce { PORT_CM_SUP } else { 0 },
            gid_table: if roce { GID_TABLE } else { 0 },
        }
    }

    fn netdev(&self, port: u32) -> Option<Arc<Netdev>> {
        if self.is_rep {
            return self.representor(port);
        }
        IbDevice::netdev(self)
    }

    /// The two addresses that every network device has without an IP address (`ib_cache_gid_set_default_gid`): those of its addresses
    /// are the real kernel's, which tells nobody here.
    fn gid(&self, port: u32, index: u32) -> Option<Gid> {
        let kind = match index {
            0 => GidType::RoceV1,
            1 => GidType::RoceV2,
            _ => return None,
        };
        let netdev = rdma::Ops::netdev(self, port).filter(|_| self.speaks_roce())?;
        let [a, b, c, d, e, f] = netdev.mac();
        let mut raw = [0; 16];
        raw[..2].copy_from_slice(&[0xfe, 0x80]);
        raw[8..].copy_from_slice(&[a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
        Some(Gid { raw, kind, netdev })
    }

    fn attributes(&self) -> Vec<NodeAttribute> {
        let profile = self.dev.profile();
        let device = match self.dev.kind() {
            crate::core_dev::Kind::Vf { .. } => profile.vf_device,
            _ => profile.device,
        };
        [
            ("board_id", profile.psid.clone()),
            ("fw_pages", FW_PAGES.to_string()),
            ("hca_type", format!("MT{device}")),
            ("hw_rev", "0".to_owned()),
            ("reg_pages", "0".to_owned()),
        ]
        .map(|(name, text)| NodeAttribute { name, text })
        .into()
    }

    fn hw_counters(&self) -> &[&'static str] {
        &HW_COUNTERS
    }
}
