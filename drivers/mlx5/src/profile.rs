//! What a card is: the facts that differ from one adapter model to the next.
//!
//! The driver reads a real card's identity from its firmware, its VPD and its PCI configuration space; here all of that
//! stands in one [`Profile`]. Nothing in the driver branches on a model's name: it asks the profile for a capability or a
//! number, as the real one asks the firmware. A profile describes the whole adapter; what differs between its functions
//! (addresses, vhca ids) is derived by the function's own code.

use std::fmt;

/// A firmware version. Its three parts are printed in two ways: see [`Display`](fmt::Display) and [`FwVersion::padded`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FwVersion {
    /// Adapter family: 28 is ConnectX-7.
    pub major: u8,
    /// Release within the family.
    pub minor: u8,
    /// Build.
    pub subminor: u16,
}

impl FwVersion {
    /// The form of `devlink dev info`: the build is padded to four digits (`drivers/net/ethernet/mellanox/mlx5/core/
    /// devlink.c: mlx5_devlink_info_get`).
    pub fn padded(self) -> String {
        format!("{}.{}.{:04}", self.major, self.minor, self.subminor)
    }
}

/// The form of the kernel log: no padding (`mlx5/core/main.c: mlx5_function_enable`).
impl fmt::Display for FwVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.subminor)
    }
}

/// How the firmware can be replaced while the machine runs: the reset levels of the MFRL register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResetLevels {
    /// Level 0: live patch, the driver stays loaded.
    pub live_patch: bool,
    /// Level 3: the function is reset through PCI and the driver loads again.
    pub pci_reset: bool,
}

/// An adapter model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// The name users give on the command line.
    pub name: &'static str,
    /// PCI vendor id.
    pub vendor: u16,
    /// PCI device id of a physical function.
    pub device: u16,
    /// PCI subsystem vendor id.
    pub subsystem_vendor: u16,
    /// PCI subsystem device id.
    pub subsystem_device: u16,
    /// Physical functions of the adapter, one per port.
    pub physical_functions: u8,
    /// Firmware that runs.
    pub fw_running: FwVersion,
    /// Firmware that is stored and would run after an activation; the same as the running one when nothing is pending.
    pub fw_stored: FwVersion,
    /// Parameter-set id: the board's configuration, `fw.psid`.
    pub psid: &'static str,
    /// Serial number of the adapter, all functions share it (VPD field `V3`).
    pub serial_number: &'static str,
    /// Serial number of the board (VPD field `SN`).
    pub board_serial_number: &'static str,
    /// System image GUID: equal on all functions of one adapter, it is what pairs them.
    pub system_image_guid: u64,
    /// First function's MAC address; function N adds N to the last byte.
    pub base_mac: [u8; 6],
    /// Virtual functions a physical function may have at most.
    pub total_vfs: u16,
    /// Virtual functions the firmware can be configured for at most.
    pub max_total_vfs: u16,
    /// Link speed of a port in Mbit/s.
    pub link_speed_mbps: u32,
    /// The line that the PCI core prints about the slot.
    pub pcie_bandwidth: &'static str,
    /// Entries of the rate limit table, and its range in Mbit/s.
    pub rate_limits: u32,
    /// Upper end of the rate limits in Mbit/s.
    pub max_rate_mbps: u32,
    /// log2 of the unicast addresses a vport filters.
    pub log_max_current_uc_list: u8,
    /// log2 of the multicast addresses a vport filters.
    pub log_max_current_mc_list: u8,
    /// RoCE can be enabled.
    pub roce: bool,
    /// log2 of the packets a hairpin queue may hold.
    pub log_max_hairpin_num_packets: u8,
    /// Channels (queues) a netdevice may have at most: the limit of `num_doorbells`.
    pub max_num_channels: u32,
    /// Steering rules can be written by software (`smfs`).
    pub sw_steering: bool,
    /// Steering rules can be written by hardware queues (`hmfs`).
    pub hw_steering: bool,
    /// PCIe congestion events exist.
    pub pcie_congestion_events: bool,
    /// `swp_l4_csum_mode` may be `l4_only`.
    pub swp_l4_csum_l4_only: bool,
    /// What a firmware activation may do.
    pub reset_levels: ResetLevels,
}

impl Profile {
    /// Every profile there is, the default one first.
    pub const ALL: &'static [Profile] = &[Self::CONNECTX_7];

    /// A single-port ConnectX-7 at 100 Gbit/s.
    pub const CONNECTX_7: Profile = Profile {
        name: "connectx-7",
        vendor: 0x15b3,
        device: 0x1021,
        subsystem_vendor: 0x15b3,
        subsystem_device: 0x0041,
        physical_functions: 1,
        fw_running: FwVersion {
            major: 28,
            minor: 41,
            subminor: 1000,
        },
        fw_stored: FwVersion {
            major: 28,
            minor: 41,
            subminor: 1000,
        },
        psid: "MT_0000000838",
        serial_number: "7c1e5a90d3b4ef118000a088c2f0347e",
        board_serial_number: "MT2421XZ0C7U",
        system_image_guid: 0xa088_c203_00f0_347e,
        base_mac: [0xa0, 0x88, 0xc2, 0xf0, 0x34, 0x7e],
        total_vfs: 16,
        max_total_vfs: 127,
        link_speed_mbps: 100_000,
        pcie_bandwidth: "252.048 Gb/s available PCIe bandwidth (16.0 GT/s PCIe x16 link)",
        rate_limits: 127,
        max_rate_mbps: 97_656,
        log_max_current_uc_list: 7,
        log_max_current_mc_list: 11,
        roce: true,
        log_max_hairpin_num_packets: 13,
        max_num_channels: 64,
        sw_steering: true,
        hw_steering: true,
        pcie_congestion_events: true,
        swp_l4_csum_l4_only: true,
        reset_levels: ResetLevels {
            live_patch: false,
            pci_reset: true,
        },
    };

    /// The profile of that name.
    pub fn by_name(name: &str) -> Option<&'static Profile> {
        Self::ALL.iter().find(|profile| profile.name == name)
    }

    /// MAC address of physical function `index`.
    pub fn mac(&self, index: u8) -> [u8; 6] {
        let mut mac = self.base_mac;
        mac[5] = mac[5].wrapping_add(index);
        mac
    }

    /// Vports of a function's e-switch: its virtual functions, the physical function's own and the uplink
    /// (`mlx5/core/eswitch.c: mlx5_eswitch_init`).
    pub fn total_vports(&self) -> u32 {
        u32::from(self.total_vfs) + 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devlink_pads_the_build_and_the_log_does_not() {
        let fw = FwVersion {
            major: 22,
            minor: 41,
            subminor: 188,
        };
        assert_eq!(fw.padded(), "22.41.0188");
        assert_eq!(fw.to_string(), "22.41.188");
    }

    #[test]
    fn profiles_are_found_by_name_only() {
        assert_eq!(Profile::by_name("connectx-7"), Some(&Profile::CONNECTX_7));
        assert_eq!(Profile::by_name("connectx"), None);
    }

    #[test]
    fn functions_count_up_from_the_base_mac() {
        assert_eq!(Profile::CONNECTX_7.mac(1)[5], 0x7f);
    }
}
