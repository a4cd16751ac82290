//! The embedded switch of a function, in legacy mode: how its ports are numbered and what it says in the log.

use crate::core_dev::CoreDev;

/// The vport number of the uplink, the port with the connector (`MLX5_VPORT_UPLINK`).
pub const VPORT_UPLINK: u16 = 0xffff;

/// The devlink index of a vport: the function's id in the upper half, so that indexes are unique in an adapter
/// (`eswitch.h: mlx5_esw_vport_to_devlink_port_index`).
pub const fn vport_to_devlink_port_index(vhca_id: u16, vport: u16) -> u32 {
    (vhca_id as u32) << 16 | vport as u32
}

/// The switch is set up once in the life of a function (`eswitch.c: mlx5_eswitch_init`).
pub(crate) fn init(dev: &CoreDev) {
    let profile = dev.profile();
    dev.info(format_args!(
        "E-Switch: Total vports {}, per vport: max uc({}) max mc({})",
        profile.total_vports(),
        1u32 << profile.log_max_current_uc_list,
        1u32 << profile.log_max_current_mc_list,
    ));
}

/// What is left of virtual functions goes (`eswitch.c: mlx5_eswitch_disable_sriov`).
pub(crate) fn disable_sriov(dev: &CoreDev) {
    dev.info(format_args!("E-Switch: Unload vfs: {}", status(dev)));
    disable(dev);
}

/// Back to legacy mode with nothing in it (`eswitch.c: mlx5_eswitch_disable`).
pub(crate) fn disable(dev: &CoreDev) {
    dev.info(format_args!("E-Switch: Disable: {}", status(dev)));
}

/// The end of the switch (`eswitch.c: mlx5_eswitch_cleanup`).
pub(crate) fn cleanup(dev: &CoreDev) {
    dev.info(format_args!("E-Switch: cleanup"));
}

/// Kernels before 6.5 know no virtual functions of the embedded processor.
fn status(dev: &CoreDev) -> &'static str {
    if dev.module().kernel_is_at_least(6, 5) {
        "mode(LEGACY), nvfs(0), necvfs(0), active vports(0)"
    } else {
        "mode(LEGACY), nvfs(0), active vports(0)"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_carry_the_function_in_the_upper_half() {
        assert_eq!(vport_to_devlink_port_index(0, VPORT_UPLINK), 65_535);
        assert_eq!(vport_to_devlink_port_index(1, VPORT_UPLINK), 131_071);
        assert_eq!(vport_to_devlink_port_index(1, 0x8000), 98_304);
    }
}
