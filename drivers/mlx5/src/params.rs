//! The function's devlink parameters.
//!
//! *driverinit* parameters are read when the function initializes (`DriverInit::load`); what they say is in effect until
//! the next reload. *runtime* and *permanent* ones live in `Settings`; a permanent value would be in the adapter's
//! non-volatile memory, and takes effect after a firmware reset. In the kernel the runtime parameters are registered by
//! the code whose behaviour they configure; one of them, `flow_steering_mode`, therefore comes and goes with each reload
//! since 6.3, when registered instances learnt to live with that.

use std::fmt;
use std::sync::Arc;

use devlink::{Cmodes, Objects, Param, ParamType};
use netlink::ExtAck;
use rustix::io::Errno;

use crate::core_dev::CoreDev;
use crate::dev as parts;
use crate::locking::DriverLocking;

mod driverinit;
mod stored;

pub use driverinit::DriverInit;
pub(crate) use stored::Settings;

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
    for (id, value) in driverinit::first_values(dev) {
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
        objects.params_register(&[stored::flow_steering_mode(dev)])?;
    }
    Ok(())
}

/// Takes back what [`fs_core_register`] has registered (`mlx5_fs_core_cleanup`).
pub(crate) fn fs_core_unregister(dev: &Arc<CoreDev>, objects: &mut Objects<'_>) {
    if steering_param_follows_load(dev) {
        objects.params_unregister(&[stored::flow_steering_mode(dev)]);
    }
}

fn steering_param_follows_load(dev: &CoreDev) -> bool {
    dev.locking() == DriverLocking::Today && dev.module().kernel_is_at_least(6, 3)
}

/// The parameters that [`register`] registers, in the kernel's groups and order, as far as the shown kernel has them.
fn lasting(dev: &Arc<CoreDev>) -> Vec<Vec<Param>> {
    let since = |major, minor| dev.module().kernel_is_at_least(major, minor);
    let mut groups = Vec::new();
    if since(6, 3) {
        if dev.is_pf() {
            groups.push(vec![stored::remote_dev_reset(dev)]);
            groups.push(vec![stored::esw_multiport(dev)]);
            groups.push(vec![stored::esw_port_metadata(dev)]);
        }
        if !steering_param_follows_load(dev) {
            groups.push(vec![stored::flow_steering_mode(dev)]);
        }
        groups.push(driverinit::core(dev).into());
    } else {
        groups.push(core_as_of_6_1(dev));
    }
    groups.push(driverinit::eth(dev));
    groups.push(driverinit::rdma());
    if parts::vnet_supported(dev) {
        groups.push(driverinit::vnet());
    }
    groups.push(driverinit::max_macs(dev));
    groups.push(driverinit::pcie_congestion(dev));
    if since(6, 18) && dev.is_pf() {
        groups.push(stored::non_volatile(dev));
    }
    groups
}

/// Before each part of the driver registered its own: one list, the same for any function.
fn core_as_of_6_1(dev: &Arc<CoreDev>) -> Vec<Param> {
    let [enable_roce, fdb_large_groups, io_eq_size, event_eq_size] = driverinit::core(dev);
    vec![
        stored::flow_steering_mode(dev),
        enable_roce,
        fdb_large_groups,
        stored::esw_port_metadata(dev),
        stored::remote_dev_reset(dev),
        io_eq_size,
        event_eq_size,
    ]
}

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
