//! Parameters whose value takes effect when the function initializes.
//!
//! Their values live in devlink. The first ones, which are also the defaults, are set when the parameters are registered
//! ([`first_values`]); [`DriverInit`] holds those that decide what a function is made of, as of its last initialization.

use devlink::{Cmodes, Generic, Objects, Param, ParamValue};
use netlink::ExtAck;
use rustix::io::Errno;

use super::{Id, check, check_fmt, own};
use crate::core_dev::CoreDev;
use crate::dev as parts;
use crate::lag;

/// Completion queue entries of an I/O event queue (`MLX5_COMP_EQ_SIZE`).
const COMP_EQ_SIZE: u32 = 1024;
/// Entries of the asynchronous event queue (`MLX5_NUM_ASYNC_EQE`).
const NUM_ASYNC_EQE: u32 = 4096;
/// Groups of the e-switch's table (`ESW_OFFLOADS_DEFAULT_NUM_GROUPS`).
const DEFAULT_NUM_GROUPS: u32 = 15;
/// log2 of the smallest stride of a receive queue, which bounds a hairpin queue (`MLX5_MPWRQ_MIN_LOG_STRIDE_SZ`).
const MIN_LOG_STRIDE: u8 = 6;
/// PCIe congestion thresholds, in 0.01 %.
const PCIE_CONG_LOW: u16 = 7500;
const PCIE_CONG_HIGH: u16 = 9000;
const PCIE_CONG_MAX: u16 = 10_000;
/// Doorbells of the channels (`MLX5_DEFAULT_NUM_DOORBELLS`).
const DEFAULT_NUM_DOORBELLS: u32 = 8;

/// The driverinit values that decide what a function is made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DriverInit {
    /// The Ethernet part exists.
    pub enable_eth: bool,
    /// The RDMA part exists.
    pub enable_rdma: bool,
    /// The vDPA part exists, of a function that can have one.
    pub enable_vnet: bool,
    /// The InfiniBand device speaks RoCE.
    pub enable_roce: bool,
}

impl DriverInit {
    /// Reads the values for an initialization. A parameter that is not registered counts as off.
    pub(crate) fn load(objects: &Objects<'_>) -> Self {
        let enabled = |generic: Generic| {
            let value = objects.param_driverinit_value_get(generic.id());
            value.is_ok_and(|value| value.as_bool() == Some(true))
        };
        DriverInit {
            enable_eth: enabled(Generic::EnableEth),
            enable_rdma: enabled(Generic::EnableRdma),
            enable_vnet: enabled(Generic::EnableVnet),
            enable_roce: enabled(Generic::EnableRoce),
        }
    }
}

/// First values of the driverinit parameters, which are also their defaults
/// (`devlink.c: mlx5_devlink_set_params_init_values` and its like).
pub(super) fn first_values(dev: &CoreDev) -> Vec<(u32, ParamValue)> {
    let since = |major, minor| dev.module().kernel_is_at_least(major, minor);
    let profile = dev.profile();
    // A sub-function that is probed lightly has no parts until somebody says which.
    let full = !dev.is_lightweight();
    let mut values = vec![
        (
            Generic::EnableRoce.id(),
            ParamValue::Bool(profile.roce && full),
        ),
        (
            own_id(Id::FdbLargeGroups),
            ParamValue::U32(DEFAULT_NUM_GROUPS),
        ),
        (Generic::IoEqSize.id(), ParamValue::U32(COMP_EQ_SIZE)),
        (Generic::EventEqSize.id(), ParamValue::U32(NUM_ASYNC_EQE)),
        (Generic::EnableEth.id(), ParamValue::Bool(full)),
    ];
    if since(6, 4) {
        // One pair for each 50 Gbit/s of the link.
        let pairs = profile.link_speed_mbps.max(50_000) / 50_000;
        let size = 1u32 << (16 - MIN_LOG_STRIDE).min(profile.log_max_hairpin_num_packets);
        values.push((own_id(Id::HairpinNumQueues), ParamValue::U32(pairs)));
        values.push((own_id(Id::HairpinQueueSize), ParamValue::U32(size)));
    }
    if since(6, 18) {
        let doorbells = DEFAULT_NUM_DOORBELLS.min(profile.max_num_channels);
        values.push((Generic::NumDoorbells.id(), ParamValue::U32(doorbells)));
    }
    values.push((Generic::EnableRdma.id(), ParamValue::Bool(full)));
    if parts::vnet_supported(dev) {
        values.push((Generic::EnableVnet.id(), ParamValue::Bool(full)));
    }
    let max_macs = 1u32 << profile.log_max_current_uc_list;
    values.push((Generic::MaxMacs.id(), ParamValue::U32(max_macs)));
    if has_pcie_congestion(dev) {
        values.extend(PCIE_CONG.map(|(id, value)| (own_id(id), ParamValue::U16(value))));
    }
    values
}

const PCIE_CONG: [(Id, u16); 4] = [
    (Id::PcieCongInLow, PCIE_CONG_LOW),
    (Id::PcieCongInHigh, PCIE_CONG_HIGH),
    (Id::PcieCongOutLow, PCIE_CONG_LOW),
    (Id::PcieCongOutHigh, PCIE_CONG_HIGH),
];

/// What the function itself needs to know (`mlx5_devlink_params`).
pub(super) fn core(dev: &CoreDev) -> [Param; 4] {
    let function = dev.this();
    [
        generic(Generic::EnableRoce)
            .validate(move |_, value, extack| enable_roce_validate(&function, value, extack)),
        own_driverinit(Id::FdbLargeGroups).validate(|_, value, extack| {
            let supported = value
                .as_u64()
                .is_some_and(|groups| (1..=1024).contains(&groups));
            check(
                supported,
                Errno::OPNOTSUPP,
                extack,
                "mlx5_core: Unsupported group number, supported range is 1-1024",
            )
        }),
        generic(Generic::IoEqSize).validate(|_, value, _| eq_depth_validate(value)),
        generic(Generic::EventEqSize).validate(|_, value, _| eq_depth_validate(value)),
    ]
}

/// What belongs to the Ethernet part (`mlx5_devlink_eth_params`).
pub(super) fn eth(dev: &CoreDev) -> Vec<Param> {
    let since = |major, minor| dev.module().kernel_is_at_least(major, minor);
    let mut params = vec![generic(Generic::EnableEth)];
    if since(6, 4) {
        params.extend(hairpin(dev));
    }
    if since(6, 18) {
        params.push(num_doorbells(dev));
    }
    params
}

/// What belongs to the RDMA part (`mlx5_devlink_rdma_params`).
pub(super) fn rdma() -> Vec<Param> {
    vec![generic(Generic::EnableRdma)]
}

/// What belongs to the vDPA part (`mlx5_devlink_vnet_params`).
pub(super) fn vnet() -> Vec<Param> {
    vec![generic(Generic::EnableVnet)]
}

/// When to tell of congestion on PCIe (`mlx5_devlink_pcie_cong_params`); none where the firmware cannot.
pub(super) fn pcie_congestion(dev: &CoreDev) -> Vec<Param> {
    if !has_pcie_congestion(dev) {
        return Vec::new();
    }
    PCIE_CONG.iter().map(|&(id, _)| pcie_cong(id)).collect()
}

fn has_pcie_congestion(dev: &CoreDev) -> bool {
    dev.is_pf() && dev.module().kernel_is_at_least(6, 18) && dev.profile().pcie_congestion_events
}

fn generic(generic: Generic) -> Param {
    Param::generic(generic, Cmodes::DRIVERINIT)
}

fn own_driverinit(id: Id) -> Param {
    own(id, Cmodes::DRIVERINIT)
}

fn own_id(id: Id) -> u32 {
    own_driverinit(id).id()
}

/// `devlink.c: mlx5_devlink_enable_roce_validate`
fn enable_roce_validate(
    dev: &CoreDev,
    value: &ParamValue,
    extack: &mut ExtAck,
) -> Result<(), Errno> {
    check(
        dev.profile().roce || value.as_bool() != Some(true),
        Errno::OPNOTSUPP,
        extack,
        "mlx5_core: Device doesn't support RoCE",
    )?;
    check(
        !lag::is_active(dev),
        Errno::OPNOTSUPP,
        extack,
        "mlx5_core: Multi port slave/Lag device can't configure RoCE",
    )
}

/// Refused without a text (`devlink.c: mlx5_devlink_eq_depth_validate`).
fn eq_depth_validate(value: &ParamValue) -> Result<(), Errno> {
    match value.as_u64() {
        Some(64..=4096) => Ok(()),
        _ => Err(Errno::INVAL),
    }
}

fn hairpin(dev: &CoreDev) -> [Param; 2] {
    let max_size = 1u64 << dev.profile().log_max_hairpin_num_packets;
    [
        own_driverinit(Id::HairpinNumQueues).validate(|_, value, _| match value.as_u64() {
            Some(0) | None => Err(Errno::INVAL),
            Some(_) => Ok(()),
        }),
        own_driverinit(Id::HairpinQueueSize).validate(move |_, value, extack| {
            let size = value.as_u64().unwrap_or(0);
            check(
                size.is_power_of_two(),
                Errno::INVAL,
                extack,
                "mlx5_core: Value is not power of two",
            )?;
            check_fmt(
                size <= max_size,
                Errno::INVAL,
                extack,
                format_args!("mlx5_core: Maximum hairpin queue size is {max_size}"),
            )
        }),
    ]
}

fn num_doorbells(dev: &CoreDev) -> Param {
    let max = dev.profile().max_num_channels;
    generic(Generic::NumDoorbells).validate(move |_, value, extack| {
        let value = value.as_u64().unwrap_or(u64::MAX);
        check_fmt(value <= u64::from(max), Errno::INVAL, extack, format_args!("mlx5_core: Requested num_doorbells ({value}) exceeds max number of channels ({max})"))
    })
}

/// `devlink.c: mlx5_devlink_pcie_cong_thresh_validate`
fn pcie_cong(id: Id) -> Param {
    own_driverinit(id).validate(|_, value, extack| {
        let value = value.as_u64().unwrap_or(u64::MAX);
        let fits = value <= u64::from(PCIE_CONG_MAX);
        check_fmt(
            fits,
            Errno::INVAL,
            extack,
            format_args!("mlx5_core: Value {value} > max supported ({PCIE_CONG_MAX})"),
        )
    })
}

/// `devlink.c: mlx5_devlink_max_uc_list_validate`
pub(super) fn max_macs(dev: &CoreDev) -> Vec<Param> {
    let log_max = u32::from(dev.profile().log_max_current_uc_list);
    let param = generic(Generic::MaxMacs).validate(move |_, value, extack| {
        let macs = value.as_u64().unwrap_or(0);
        check(
            macs != 0,
            Errno::INVAL,
            extack,
            "mlx5_core: max_macs value must be greater than 0",
        )?;
        check(
            macs.is_power_of_two(),
            Errno::INVAL,
            extack,
            "mlx5_core: Only power of 2 values are supported for max_macs",
        )?;
        check(
            macs.ilog2() <= log_max,
            Errno::INVAL,
            extack,
            "mlx5_core: max_macs value is out of the supported range",
        )
    });
    vec![param]
}
