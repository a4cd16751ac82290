//! The generic parameters: names that mean the same with every driver.
//!
//! A driver registers a generic parameter by its number here; name and type are not its choice. The table is the kernel's
//! (`net/devlink/param.c: devlink_param_generic`), in its order, because the number is also the place of a parameter in
//! every dump.

use super::ParamType;

/// A generic parameter: its identity in [`Param::generic`](super::Param::generic).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Generic {
    /// `internal_error_reset`: reset the device when it reports an internal error.
    IntErrReset,
    /// `max_macs`: how many unicast MAC addresses the device offers.
    MaxMacs,
    /// `enable_sriov`: SR-IOV is available.
    EnableSriov,
    /// `region_snapshot_enable`: take region snapshots on errors.
    RegionSnapshot,
    /// `ignore_ari`: ignore the Alternative Routing-ID capability.
    IgnoreAri,
    /// `msix_vec_per_pf_max`: most MSI-X vectors a function may ask for.
    MsixVecPerPfMax,
    /// `msix_vec_per_pf_min`: fewest MSI-X vectors a function asks for.
    MsixVecPerPfMin,
    /// `fw_load_policy`: from where the driver loads firmware.
    FwLoadPolicy,
    /// `reset_dev_on_drv_probe`: reset the device when the driver probes it.
    ResetDevOnDrvProbe,
    /// `enable_roce`: RoCE traffic.
    EnableRoce,
    /// `enable_remote_dev_reset`: other hosts may reset the device.
    EnableRemoteDevReset,
    /// `enable_eth`: the Ethernet auxiliary device.
    EnableEth,
    /// `enable_rdma`: the RDMA auxiliary device.
    EnableRdma,
    /// `enable_vnet`: the VDPA auxiliary device.
    EnableVnet,
    /// `enable_iwarp`: the iWARP protocol.
    EnableIwarp,
    /// `io_eq_size`: entries of an I/O completion event queue.
    IoEqSize,
    /// `event_eq_size`: entries of the asynchronous event queue.
    EventEqSize,
    /// `enable_phc`: the PTP hardware clock.
    EnablePhc,
    /// `clock_id`: identity of the clock that the device's DPLL uses.
    ClockId,
    /// `total_vfs`: how many virtual functions the device exposes.
    TotalVfs,
    /// `num_doorbells`: doorbells used by the queues of the device.
    NumDoorbells,
    /// `max_mac_per_vf`: most MAC addresses of a trusted virtual function.
    MaxMacPerVf,
}

/// Name and type of every generic parameter, by number.
const TABLE: [(Generic, &str, ParamType); 22] = [
    (
        Generic::IntErrReset,
        "internal_error_reset",
        ParamType::Bool,
    ),
    (Generic::MaxMacs, "max_macs", ParamType::U32),
    (Generic::EnableSriov, "enable_sriov", ParamType::Bool),
    (
        Generic::RegionSnapshot,
        "region_snapshot_enable",
        ParamType::Bool,
    ),
    (Generic::IgnoreAri, "ignore_ari", ParamType::Bool),
    (
        Generic::MsixVecPerPfMax,
        "msix_vec_per_pf_max",
        ParamType::U32,
    ),
    (
        Generic::MsixVecPerPfMin,
        "msix_vec_per_pf_min",
        ParamType::U32,
    ),
    (Generic::FwLoadPolicy, "fw_load_policy", ParamType::U8),
    (
        Generic::ResetDevOnDrvProbe,
        "reset_dev_on_drv_probe",
        ParamType::U8,
    ),
    (Generic::EnableRoce, "enable_roce", ParamType::Bool),
    (
        Generic::EnableRemoteDevReset,
        "enable_remote_dev_reset",
        ParamType::Bool,
    ),
    (Generic::EnableEth, "enable_eth", ParamType::Bool),
    (Generic::EnableRdma, "enable_rdma", ParamType::Bool),
    (Generic::EnableVnet, "enable_vnet", ParamType::Bool),
    (Generic::EnableIwarp, "enable_iwarp", ParamType::Bool),
    (Generic::IoEqSize, "io_eq_size", ParamType::U32),
    (Generic::EventEqSize, "event_eq_size", ParamType::U32),
    (Generic::EnablePhc, "enable_phc", ParamType::Bool),
    (Generic::ClockId, "clock_id", ParamType::U64),
    (Generic::TotalVfs, "total_vfs", ParamType::U32),
    (Generic::NumDoorbells, "num_doorbells", ParamType::U32),
    (Generic::MaxMacPerVf, "max_mac_per_vf", ParamType::U32),
];

impl Generic {
    /// Every generic parameter, in the order of its number.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|&(generic, ..)| generic)
    }

    /// The number of the parameter within an instance. Driver-specific parameters count on from [`Generic::COUNT`].
    #[must_use]
    pub const fn id(self) -> u32 {
        self as u32
    }

    /// The parameter's name on the wire and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        TABLE[self as usize].1
    }

    /// The type that every driver uses for it.
    #[must_use]
    pub const fn ty(self) -> ParamType {
        TABLE[self as usize].2
    }

    /// How many generic parameters there are: the first number a driver-specific parameter may have.
    pub const COUNT: u32 = TABLE.len() as u32;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_stands_at_its_own_number() {
        for (place, generic) in Generic::all().enumerate() {
            assert_eq!(generic.id() as usize, place, "{}", generic.name());
        }
        assert_eq!(Generic::COUNT, 22);
        assert_eq!(Generic::MaxMacs.id(), 1);
        assert_eq!(Generic::MaxMacPerVf.name(), "max_mac_per_vf");
    }
}
