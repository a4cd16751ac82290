//! The function's resources: how many sub-functions it can have (`sf/hw_table.c: mlx5_sf_hw_table_res_register`).

use devlink::{NewResource, Objects, RESOURCE_ID_PARENT_TOP, ResourceSizeParams, ResourceUnit};
use rustix::io::Errno;

use crate::core_dev::CoreDev;

/// `MLX5_DL_RES_MAX_LOCAL_SFS`, `MLX5_DL_RES_MAX_EXTERNAL_SFS`
const MAX_LOCAL_SFS: u64 = 1;
const MAX_EXTERNAL_SFS: u64 = 2;
/// `MLX5_DL_PORT_RES_MAX_SFS`
const PORT_MAX_SFS: u64 = 1;

const fn functions(name: &'static str, id: u64, most: u16) -> NewResource {
    let most = most as u64;
    NewResource {
        name,
        id,
        parent: RESOURCE_ID_PARENT_TOP,
        size: most,
        size_params: ResourceSizeParams {
            size_min: most,
            size_max: most,
            size_granularity: 1,
            unit: ResourceUnit::Entry,
        },
    }
}

/// A physical function has some, since 6.3.
fn has_any(dev: &CoreDev) -> bool {
    dev.is_pf() && dev.module().kernel_is_at_least(6, 3)
}

/// Registers what a physical function has.
///
/// # Errors
/// `EEXIST` when they are registered.
pub(crate) fn register(dev: &CoreDev, objects: &mut Objects<'_>) -> Result<(), Errno> {
    if has_any(dev) {
        let eswitch = &dev.profile().eswitch;
        objects.resource_register(functions("max_local_SFs", MAX_LOCAL_SFS, eswitch.local_sfs))?;
        let external = functions("max_external_SFs", MAX_EXTERNAL_SFS, eswitch.external_sfs);
        objects.resource_register(external)?;
    }
    Ok(())
}

/// Takes them back.
pub(crate) fn unregister(dev: &CoreDev, objects: &mut Objects<'_>) {
    if has_any(dev) {
        objects.resources_unregister();
    }
}

/// Registers what the port of the host's physical function has, since 7.1
/// (`esw/devlink_port.c: mlx5_esw_devlink_port_res_register`).
///
/// # Errors
/// `EEXIST` when it is registered.
pub(crate) fn port_register(
    dev: &CoreDev,
    objects: &mut Objects<'_>,
    port: u32,
) -> Result<(), Errno> {
    if !dev.module().kernel_is_at_least(7, 1) {
        return Ok(());
    }
    let most = dev.profile().eswitch.external_sfs;
    objects.port_resource_register(port, functions("max_SFs", PORT_MAX_SFS, most))
}
