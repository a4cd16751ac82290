//! What a card is: the facts that differ from one adapter model to the next.
//!
//! The driver reads a real card's identity from its firmware, its VPD and its PCI configuration space; here all of that
//! stands in one [`Profile`]. Nothing in the driver branches on a model's name: it asks the profile for a capability or a
//! number, as the real one asks the firmware. A profile describes the whole adapter; what differs between its functions
//! (addresses, vhca ids) is derived by the function's own code.
//!
//! Profiles are files; those in `profiles/` are built in ([`Profile::by_name`]), and users copy and change them
//! ([`Profile::from_toml`]).

use std::fmt;
use std::str::FromStr;

mod read;

pub use read::ProfileError;

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
    /// What the driver shows when it could not read a version (`fw.c: mlx5_fw_version_query`).
    pub(crate) const UNKNOWN: FwVersion = FwVersion {
        major: u8::MAX,
        minor: u8::MAX,
        subminor: u16::MAX,
    };

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

/// Three numbers, padded or not.
impl FromStr for FwVersion {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('.');
        let mut part = || parts.next().ok_or(());
        let version = FwVersion {
            major: part()?.parse().map_err(drop)?,
            minor: part()?.parse().map_err(drop)?,
            subminor: part()?.parse().map_err(drop)?,
        };
        parts.next().map_or(Ok(version), |_| Err(()))
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

/// What the eswitch of each physical function is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EswitchProfile {
    /// The functions are those of a DPU's own processor (ECPF), which manages the host's.
    pub embedded_cpu: bool,
    /// The first physical function's id in the firmware; the next ones count up.
    pub first_vhca_id: u16,
    /// Packets to the eswitch must carry their headers inline: the inline mode is "link", otherwise "none".
    pub inline_link: bool,
    /// Sub-functions of a physical function.
    pub local_sfs: u16,
    /// Virtual functions that the host's function behind an embedded one can have.
    pub external_vfs: u16,
    /// Sub-functions that an embedded function can make for the host's.
    pub external_sfs: u16,
    /// Virtual functions can be migrated.
    pub migratable_vfs: bool,
    /// Virtual functions can have IPsec crypto offload.
    pub ipsec_crypto_vfs: bool,
    /// Virtual functions can have IPsec packet offload.
    pub ipsec_packet_vfs: bool,
}

/// An adapter model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// The name users give on the command line, or the file that they name.
    pub name: String,
    /// What it is, in words.
    pub description: String,
    /// PCI vendor id.
    pub vendor: u16,
    /// PCI device id of a physical function.
    pub device: u16,
    /// PCI device id of a virtual function.
    pub vf_device: u16,
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
    pub psid: String,
    /// Serial number of the adapter, all functions share it (VPD field `V3`).
    pub serial_number: String,
    /// Serial number of the board (VPD field `SN`).
    pub board_serial_number: String,
    /// System image GUID: equal on all functions of one adapter, it is what pairs them.
    pub system_image_guid: u64,
    /// First function's MAC address; function N adds N to it.
    pub base_mac: [u8; 6],
    /// Virtual functions a physical function may have at most.
    pub total_vfs: u16,
    /// Virtual functions the firmware can be configured for at most.
    pub max_total_vfs: u16,
    /// The memory that the adapter is near to; -1 where there is one only.
    pub numa_node: i32,
    /// Link speed of a port in Mbit/s.
    pub link_speed_mbps: u32,
    /// The line that the PCI core prints about the slot.
    pub pcie_bandwidth: String,
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
    /// Levels of rate objects that the eswitch can have, the root among them.
    pub max_rate_depth: u8,
    /// I/O event queues that a function of the eswitch has unless it is told otherwise.
    pub max_io_eqs: u32,
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
    /// The eswitch.
    pub eswitch: EswitchProfile,
}

/// The built-in profiles by name, the default one first.
const BUILT_IN: [(&str, &str); 3] = [
    ("connectx-7", include_str!("profiles/connectx-7.toml")),
    ("connectx-6dx", include_str!("profiles/connectx-6dx.toml")),
    ("bluefield-3", include_str!("profiles/bluefield-3.toml")),
];

impl Profile {
    /// Names of the built-in profiles, the default one first.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// The text of the built-in profile of that name, for users to copy.
    pub fn text(name: &str) -> Option<&'static str> {
        BUILT_IN
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, text)| *text)
    }

    /// The built-in profile of that name.
    pub fn by_name(name: &str) -> Option<Profile> {
        let profile = Self::from_toml(name, Self::text(name)?);
        Some(profile.expect("a test reads all built-in profiles"))
    }

    /// The profile that a machine has unless it is told otherwise.
    pub fn connectx_7() -> Profile {
        Self::by_name(BUILT_IN[0].0).expect("it is built in")
    }

    /// MAC address of physical function `index`.
    pub fn mac(&self, index: u8) -> [u8; 6] {
        let [_, _, bytes @ ..] = self
            .mac_number()
            .wrapping_add(u64::from(index))
            .to_be_bytes();
        bytes
    }

    fn mac_number(&self) -> u64 {
        self.base_mac
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// Vports of a function's e-switch that are always there: its virtual functions' or, where it is an embedded one, the
    /// host's, the physical function's own and the uplink (`mlx5/core/eswitch.c: mlx5_eswitch_init`).
    pub fn total_vports(&self) -> u32 {
        let vfs = match self.eswitch.embedded_cpu {
            true => self.eswitch.external_vfs,
            false => self.total_vfs,
        };
        u32::from(vfs) + 2
    }

    /// MAC address of the host's physical function behind embedded function `index`: they count on from the embedded ones'.
    pub(crate) fn host_mac(&self, index: u8) -> [u8; 6] {
        self.mac(self.physical_functions + index)
    }

    /// Where a physical function's virtual ones are: after all physical functions, those of the first before those of the
    /// second.
    pub(crate) fn vf_offset(&self, function: u8) -> u16 {
        // Of the first virtual function from its own physical one, which is `function` further than the first.
        let before = u16::from(function) * self.total_vfs;
        u16::from(self.physical_functions) + before - u16::from(function)
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
        for name in Profile::names() {
            assert_eq!(Profile::by_name(name).unwrap().name, name);
        }
        assert_eq!(Profile::by_name("connectx"), None);
    }

    #[test]
    fn functions_count_up_from_the_base_mac() {
        let mut profile = Profile::connectx_7();
        assert_eq!(profile.mac(1)[5], 0x7f);
        profile.base_mac[5] = 0xff;
        assert_eq!(profile.mac(1)[4..], [0x35, 0x00]);
    }

    #[test]
    fn virtual_functions_are_behind_all_physical_ones() {
        let mut profile = Profile::connectx_7();
        profile.total_vfs = 8;
        assert_eq!(profile.vf_offset(0), 2, "00.2");
        assert_eq!(profile.vf_offset(1), 9, "01.2, seen from 00.1");
    }
}
