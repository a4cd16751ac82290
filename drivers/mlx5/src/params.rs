//! The function's devlink parameters.
//!
//! *driverinit* parameters are read when the function initializes (`DriverInit::load`); what they say is in effect until
//! the next reload. *runtime* and *permanent* ones live in `Settings`; a permanent value would be in the adapter's
//! non-volatile memory, and takes effect after a firmware reset. In the kernel the runtime parameters are registered by
//! the code whose behaviour they configure; one of them, `flow_steering_mode`, therefore comes and goes with each reload
//! since 6.3, when registered instances learnt to live with that.

use std::fmt;
use std::sync::{Arc, PoisonError};

use devlink::{Cmodes, Generic, Objects, Param, ParamType, ParamValue};
use netlink::ExtAck;
use rustix::io::Errno;

use crate::core::CoreDev;
use crate::locking::DriverLocking;
use crate::profile::Profile;

/// The places of the driver's own parameters after the generic ones (`devlink.h: enum mlx5_devlink_param_id`).
#[derive(Clone, Copy)]
enum Id {
    FlowSteeringMode,
    FdbLargeGroups,
    EswPortMetadata,
    EswMultiport,
    HairpinNumQueues,
    HairpinQueueSize,
    PcieCongInLow,
    PcieCongInHigh,
    PcieCongOutLow,
    PcieCongOutHigh,
    CqeCompressType,
    SwpL4CsumMode,
}

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
        }
    }
}

/// Runtime and permanent values.
#[derive(Debug)]
pub(crate) struct Settings {
    values: lockdep::Mutex<Values>,
}

#[derive(Debug)]
struct Values {
    flow_steering_mode: String,
    esw_port_metadata: bool,
    enable_remote_dev_reset: bool,
    enable_sriov: bool,
    total_vfs: u32,
    cqe_compress_type: String,
    swp_l4_csum_mode: String,
}

impl Settings {
    pub(crate) fn new(profile: &Profile) -> Self {
        let values = Values {
            flow_steering_mode: if profile.sw_steering { "smfs" } else { "dmfs" }.to_owned(),
            esw_port_metadata: true,
            enable_remote_dev_reset: true,
            enable_sriov: profile.total_vfs > 0,
            total_vfs: u32::from(profile.total_vfs),
            cqe_compress_type: "balanced".to_owned(),
            swp_l4_csum_mode: "default".to_owned(),
        };
        Settings {
            values: lockdep::Mutex::named("mlx5 settings", values),
        }
    }

    fn values(&self) -> lockdep::MutexGuard<'_, Values> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Registers everything that stays for as long as the function is probed, with first values
/// (`devlink.c: mlx5_devlink_params_register`, and what `mlx5_init_once` registers before).
///
/// # Errors
/// `EBUSY` if a parameter is registered twice; nothing is left registered then.
pub(crate) fn register(dev: &Arc<CoreDev>, objects: &mut Objects<'_>) -> Result<(), Errno> {
    let groups = lasting(dev);
    for (done, group) in groups.iter().enumerate() {
        if let Err(errno) = objects.params_register(group) {
            unregister_groups(&groups[..done], objects);
            return Err(errno);
        }
    }
    for (id, value) in first_values(dev) {
        objects.param_driverinit_value_set(id, value);
    }
    Ok(())
}

/// Takes back what [`register`] has registered.
pub(crate) fn unregister(dev: &Arc<CoreDev>, objects: &mut Objects<'_>) {
    unregister_groups(&lasting(dev), objects);
}

/// The last group first, each from its beginning, as the kernel does.
fn unregister_groups(groups: &[Vec<Param>], objects: &mut Objects<'_>) {
    for group in groups.iter().rev() {
        objects.params_unregister(group);
    }
}

/// Registers what belongs to flow steering and lives as long as the function is loaded (`fs_core.c: mlx5_fs_core_init`).
///
/// # Errors
/// As [`register`].
pub(crate) fn fs_core_register(dev: &Arc<CoreDev>, objects: &mut Objects<'_>) -> Result<(), Errno> {
    if steering_param_follows_load(dev) {
        objects.params_register(&[flow_steering_mode(dev)])?;
    }
    Ok(())
}

/// Takes back what [`fs_core_register`] has registered (`mlx5_fs_core_cleanup`).
pub(crate) fn fs_core_unregister(dev: &Arc<CoreDev>, objects: &mut Objects<'_>) {
    if steering_param_follows_load(dev) {
        objects.params_unregister(&[flow_steering_mode(dev)]);
    }
}

fn steering_param_follows_load(dev: &CoreDev) -> bool {
    dev.locking() == DriverLocking::Today && dev.module().kernel_is_at_least(6, 3)
}

/// The parameters that [`register`] registers, in the kernel's groups and order, as far as the shown kernel has them.
fn lasting(dev: &Arc<CoreDev>) -> Vec<Vec<Param>> {
    let since = |major, minor| dev.module().kernel_is_at_least(major, minor);
    let driverinit = |generic| Param::generic(generic, Cmodes::DRIVERINIT);

    let mut groups = vec![vec![remote_dev_reset(dev)]];
    if since(6, 3) {
        groups.push(vec![esw_multiport()]);
    }
    groups.push(vec![esw_port_metadata(dev)]);
    if !steering_param_follows_load(dev) {
        groups.push(vec![flow_steering_mode(dev)]);
    }

    let roce = dev.profile().roce;
    groups.push(vec![
        driverinit(Generic::EnableRoce)
            .validate(move |_, value, extack| enable_roce_validate(roce, value, extack)),
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
        driverinit(Generic::IoEqSize).validate(|_, value, _| eq_depth_validate(value)),
        driverinit(Generic::EventEqSize).validate(|_, value, _| eq_depth_validate(value)),
    ]);

    let mut eth = vec![driverinit(Generic::EnableEth)];
    if since(6, 4) {
        eth.extend(hairpin(dev));
    }
    if since(6, 18) {
        eth.push(num_doorbells(dev));
    }
    groups.push(eth);
    groups.push(vec![driverinit(Generic::EnableRdma)]);
    groups.push(vec![max_macs(dev)]);
    if since(6, 18) && dev.profile().pcie_congestion_events {
        groups.push(PCIE_CONG.iter().map(|&(id, _)| pcie_cong(id)).collect());
    }
    if since(6, 18) {
        let mut nv = vec![enable_sriov(dev), total_vfs(dev), cqe_compress_type(dev)];
        if since(7, 0) {
            nv.push(swp_l4_csum_mode(dev));
        }
        groups.push(nv);
    }
    groups
}

/// First values of the driverinit parameters, which are also their defaults
/// (`devlink.c: mlx5_devlink_set_params_init_values` and its like).
fn first_values(dev: &CoreDev) -> Vec<(u32, ParamValue)> {
    let since = |major, minor| dev.module().kernel_is_at_least(major, minor);
    let profile = dev.profile();
    let mut values = vec![
        (Generic::EnableRoce.id(), ParamValue::Bool(profile.roce)),
        (
            own_id(Id::FdbLargeGroups),
            ParamValue::U32(DEFAULT_NUM_GROUPS),
        ),
        (Generic::IoEqSize.id(), ParamValue::U32(COMP_EQ_SIZE)),
        (Generic::EventEqSize.id(), ParamValue::U32(NUM_ASYNC_EQE)),
        (Generic::EnableEth.id(), ParamValue::Bool(true)),
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
    values.push((Generic::EnableRdma.id(), ParamValue::Bool(true)));
    let max_macs = 1u32 << profile.log_max_current_uc_list;
    values.push((Generic::MaxMacs.id(), ParamValue::U32(max_macs)));
    if since(6, 18) && profile.pcie_congestion_events {
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

/// Name and type of the driver's own parameters.
const fn description(id: Id) -> (&'static str, ParamType) {
    match id {
        Id::FlowSteeringMode => ("flow_steering_mode", ParamType::String),
        Id::FdbLargeGroups => ("fdb_large_groups", ParamType::U32),
        Id::EswPortMetadata => ("esw_port_metadata", ParamType::Bool),
        Id::EswMultiport => ("esw_multiport", ParamType::Bool),
        Id::HairpinNumQueues => ("hairpin_num_queues", ParamType::U32),
        Id::HairpinQueueSize => ("hairpin_queue_size", ParamType::U32),
        Id::PcieCongInLow => ("pcie_cong_inbound_low", ParamType::U16),
        Id::PcieCongInHigh => ("pcie_cong_inbound_high", ParamType::U16),
        Id::PcieCongOutLow => ("pcie_cong_outbound_low", ParamType::U16),
        Id::PcieCongOutHigh => ("pcie_cong_outbound_high", ParamType::U16),
        Id::CqeCompressType => ("cqe_compress_type", ParamType::String),
        Id::SwpL4CsumMode => ("swp_l4_csum_mode", ParamType::String),
    }
}

fn own(id: Id, cmodes: Cmodes) -> Param {
    let (name, ty) = description(id);
    Param::driver(id as u32, name, ty, cmodes)
}

fn own_driverinit(id: Id) -> Param {
    own(id, Cmodes::DRIVERINIT)
}

fn own_id(id: Id) -> u32 {
    own_driverinit(id).id()
}

/// An error with a text for the user, unless `fine` (`NL_SET_ERR_MSG_MOD`).
fn check(fine: bool, errno: Errno, extack: &mut ExtAck, text: &'static str) -> Result<(), Errno> {
    if fine {
        return Ok(());
    }
    extack.set_msg(text);
    Err(errno)
}

/// As [`check`], with values in the text (`NL_SET_ERR_MSG_FMT_MOD`).
fn check_fmt(
    fine: bool,
    errno: Errno,
    extack: &mut ExtAck,
    text: fmt::Arguments<'_>,
) -> Result<(), Errno> {
    if fine {
        return Ok(());
    }
    extack.set_msg_fmt(text);
    Err(errno)
}

fn enable_roce_validate(roce: bool, value: &ParamValue, extack: &mut ExtAck) -> Result<(), Errno> {
    check(
        roce || value.as_bool() != Some(true),
        Errno::OPNOTSUPP,
        extack,
        "mlx5_core: Device doesn't support RoCE",
    )
}

/// Refused without a text (`devlink.c: mlx5_devlink_eq_depth_validate`).
fn eq_depth_validate(value: &ParamValue) -> Result<(), Errno> {
    match value.as_u64() {
        Some(64..=4096) => Ok(()),
        _ => Err(Errno::INVAL),
    }
}

/// A parameter whose value is a field of [`Values`].
fn stored(
    dev: &Arc<CoreDev>,
    param: Param,
    get: impl Fn(&Values) -> ParamValue + Send + Sync + 'static,
    set: impl Fn(&mut Values, &ParamValue) + Send + Sync + 'static,
) -> Param {
    let (reader, writer) = (Arc::clone(dev), Arc::clone(dev));
    param.with(
        move |_, _, _| Ok(get(&reader.settings.values())),
        move |_, _, value, _| {
            set(&mut writer.settings.values(), value);
            Ok(())
        },
    )
}

fn set_bool(field: &mut bool, value: &ParamValue) {
    *field = value.as_bool().unwrap_or(*field);
}

fn set_string(field: &mut String, value: &ParamValue) {
    if let Some(text) = value.as_str() {
        text.clone_into(field);
    }
}

/// `fw_reset.c: mlx5_fw_reset_devlink_params`
fn remote_dev_reset(dev: &Arc<CoreDev>) -> Param {
    stored(
        dev,
        Param::generic(Generic::EnableRemoteDevReset, Cmodes::RUNTIME),
        |values| ParamValue::Bool(values.enable_remote_dev_reset),
        |values, value| set_bool(&mut values.enable_remote_dev_reset, value),
    )
}

/// The ports of an adapter as one e-switch: only in switchdev mode (`lag/mpesw.c: enable_mpesw`).
fn esw_multiport() -> Param {
    own(Id::EswMultiport, Cmodes::RUNTIME).with(
        |_, _, _| Ok(ParamValue::Bool(false)),
        |_, _, value, _| match value.as_bool() {
            Some(true) => Err(Errno::OPNOTSUPP),
            _ => Ok(()),
        },
    )
}

/// `eswitch_offloads.c: esw_port_metadata_set`
fn esw_port_metadata(dev: &Arc<CoreDev>) -> Param {
    stored(
        dev,
        own(Id::EswPortMetadata, Cmodes::RUNTIME),
        |values| ParamValue::Bool(values.esw_port_metadata),
        |values, value| set_bool(&mut values.esw_port_metadata, value),
    )
}

/// `fs_core.c: mlx5_fs_params`
fn flow_steering_mode(dev: &Arc<CoreDev>) -> Param {
    let has_hmfs = dev.module().kernel_is_at_least(6, 14);
    let (smfs, hmfs) = (dev.profile().sw_steering, dev.profile().hw_steering);
    let param = stored(
        dev,
        own(Id::FlowSteeringMode, Cmodes::RUNTIME),
        |values| ParamValue::String(values.flow_steering_mode.clone()),
        |values, value| set_string(&mut values.flow_steering_mode, value),
    );
    param.validate(move |_, value, extack| match value.as_str() {
        Some("dmfs") => Ok(()),
        Some("smfs") => check(
            smfs,
            Errno::OPNOTSUPP,
            extack,
            "mlx5_core: Software managed steering is not supported by current device",
        ),
        Some("hmfs") if has_hmfs => check(
            hmfs,
            Errno::OPNOTSUPP,
            extack,
            "mlx5_core: Hardware steering is not supported by current device",
        ),
        _ if has_hmfs => check(
            false,
            Errno::INVAL,
            extack,
            "mlx5_core: Bad parameter: supported values are [\"dmfs\", \"smfs\", \"hmfs\"]",
        ),
        _ => check(
            false,
            Errno::INVAL,
            extack,
            "mlx5_core: Bad parameter: supported values are [\"dmfs\", \"smfs\"]",
        ),
    })
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
    Param::generic(Generic::NumDoorbells, Cmodes::DRIVERINIT).validate(move |_, value, extack| {
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
fn max_macs(dev: &CoreDev) -> Param {
    let log_max = u32::from(dev.profile().log_max_current_uc_list);
    Param::generic(Generic::MaxMacs, Cmodes::DRIVERINIT).validate(move |_, value, extack| {
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
    })
}

/// `lib/nv_param.c: mlx5_devlink_enable_sriov_set`
fn enable_sriov(dev: &Arc<CoreDev>) -> Param {
    stored(
        dev,
        Param::generic(Generic::EnableSriov, Cmodes::PERMANENT),
        |values| ParamValue::Bool(values.enable_sriov),
        |values, value| set_bool(&mut values.enable_sriov, value),
    )
}

/// `lib/nv_param.c: mlx5_devlink_total_vfs_validate`
fn total_vfs(dev: &Arc<CoreDev>) -> Param {
    let max = dev.profile().max_total_vfs;
    let param = stored(
        dev,
        Param::generic(Generic::TotalVfs, Cmodes::PERMANENT),
        |values| ParamValue::U32(values.total_vfs),
        |values, value| {
            values.total_vfs = value
                .as_u64()
                .and_then(|vfs| u32::try_from(vfs).ok())
                .unwrap_or(values.total_vfs);
        },
    );
    param.validate(move |_, value, extack| {
        let fits = value.as_u64().is_some_and(|vfs| vfs <= u64::from(max));
        check_fmt(
            fits,
            Errno::INVAL,
            extack,
            format_args!("mlx5_core: Max allowed by device is {max}"),
        )
    })
}

/// `lib/nv_param.c: mlx5_nv_param_devlink_cqe_compress_validate`
fn cqe_compress_type(dev: &Arc<CoreDev>) -> Param {
    let param = stored(
        dev,
        own(Id::CqeCompressType, Cmodes::PERMANENT),
        |values| ParamValue::String(values.cqe_compress_type.clone()),
        |values, value| set_string(&mut values.cqe_compress_type, value),
    );
    param.validate(|_, value, extack| {
        let known = matches!(value.as_str(), Some("balanced" | "aggressive"));
        check(
            known,
            Errno::OPNOTSUPP,
            extack,
            "mlx5_core: Invalid value, supported values are balanced/aggressive",
        )
    })
}

/// `lib/nv_param.c: mlx5_devlink_swp_l4_csum_mode_validate`; "default" can be gone back to but not set.
fn swp_l4_csum_mode(dev: &Arc<CoreDev>) -> Param {
    let l4_only = dev.profile().swp_l4_csum_l4_only;
    let resetter = Arc::clone(dev);
    let param = stored(
        dev,
        own(Id::SwpL4CsumMode, Cmodes::PERMANENT),
        |values| ParamValue::String(values.swp_l4_csum_mode.clone()),
        |values, value| set_string(&mut values.swp_l4_csum_mode, value),
    );
    param
        .validate(move |_, value, extack| match value.as_str() {
            Some("full_csum") => Ok(()),
            Some("l4_only") => check(
                l4_only,
                Errno::OPNOTSUPP,
                extack,
                "mlx5_core: l4_only mode is not supported on this device",
            ),
            _ => check(
                false,
                Errno::INVAL,
                extack,
                "mlx5_core: Invalid value, supported values are full_csum/l4_only",
            ),
        })
        .with_default(
            |_, _, _| Ok(ParamValue::String("default".into())),
            move |_, _, _| {
                "default".clone_into(&mut resetter.settings.values().swp_l4_csum_mode);
                Ok(())
            },
        )
}
