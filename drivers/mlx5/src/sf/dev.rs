//! The driver's end of sub-functions: their devices on the auxiliary bus, and the driver for those (`sf/dev/`).
//!
//! A device appears when the firmware says that the sub-function is active, and goes when it is asked back. Its driver makes
//! a function of it like any other, with an instance of its own; but where the switch is on this host the first probe is a
//! *light* one, of the instance and its parameters only, since what the sub-function is for is usually decided by these.
//! A reload does the rest.

use std::sync::{Arc, Weak};

use ::devlink::Devlink;
use driver_core::{Device, Driver, LockedDevice, auxiliary};
use lock_order::{ChildDevices, DriverLock};
use lockdep::order::Held;
use rustix::io::Errno;

use super::{SfManager, VhcaState, external};
use crate::MODULE_NAME;
use crate::core;
use crate::core_dev::{CoreDev, Kind};
use crate::module::Module;

/// What the function and its sub-function's driver agree on (`struct mlx5_sf_dev`).
pub(crate) struct SfDev {
    parent: Weak<CoreDev>,
    module: Arc<Module>,
    fn_id: u16,
    sfnum: u32,
    adev_idx: u32,
}

impl SfDev {
    /// The number that users know the sub-function by (`sfnum_show`).
    pub(crate) fn sfnum(&self) -> u32 {
        self.sfnum
    }
}

impl Drop for SfDev {
    fn drop(&mut self) {
        self.module.adev_ida.free(self.adev_idx);
    }
}

/// The firmware has said something (`sf/dev/dev.c: mlx5_sf_dev_state_change_handler`).
#[inline(never)]
pub(super) fn state_change_handler(
    dev: &Arc<CoreDev>,
    sf: &SfManager,
    fn_id: u16,
    sfnum: u32,
    state: VhcaState,
    held: &mut Held<'_, DriverLock>,
) {
    if external::is_external(dev, fn_id) {
        return external::state_change_handler(dev, sf, fn_id, state);
    }
    let device = sf.devices().get(&fn_id).cloned();
    match (state, device) {
        (VhcaState::Allocated | VhcaState::TeardownRequest, Some(device)) => {
            sf.devices().remove(&fn_id);
            remove_aux(dev, &device, held);
        }
        (VhcaState::Active, None) => add(dev, sf, fn_id, sfnum, held),
        _ => {}
    }
}

/// `sf/dev/dev.c: mlx5_sf_dev_add`
#[inline(never)]
fn add(
    dev: &Arc<CoreDev>,
    sf: &SfManager,
    fn_id: u16,
    sfnum: u32,
    held: &mut Held<'_, DriverLock>,
) {
    let module = dev.module();
    let failed = |errno: Errno| {
        dev.err(format_args!(
            "SF DEV: fail device add for index={} sfnum={sfnum} err={}",
            fn_id - super::FIRST_FUNCTION_ID,
            -errno.raw_os_error()
        ));
    };
    let adev_idx = match module.adev_ida.alloc() {
        Ok(adev_idx) => adev_idx,
        Err(errno) => return failed(errno),
    };
    let shared = Arc::new(SfDev {
        parent: Arc::downgrade(dev),
        module: Arc::clone(module),
        fn_id,
        sfnum,
        adev_idx,
    });
    let added = auxiliary::auxiliary_device_add(
        &module.driver_core().auxiliary(),
        &mut held.child_devices(),
        dev.device(),
        MODULE_NAME,
        "sf",
        adev_idx,
        shared,
    );
    match added {
        Ok(device) => {
            // Only for users: the device works without it.
            _ = auxiliary::show(&device, "sfnum", &sfnum.to_string());
            sf.devices().insert(fn_id, device);
        }
        Err(errno) => failed(errno),
    }
}

/// `sf/dev/dev.c: mlx5_sf_dev_destroy_all`
pub(super) fn destroy_all(dev: &CoreDev, sf: &SfManager, held: &mut Held<'_, DriverLock>) {
    loop {
        let Some((_, device)) = sf.devices().pop_first() else {
            return;
        };
        remove_aux(dev, &device, held);
    }
}

fn remove_aux(dev: &CoreDev, device: &Arc<Device>, held: &mut Held<'_, DriverLock>) {
    auxiliary::auxiliary_device_delete(
        &dev.module().driver_core().auxiliary(),
        &mut held.child_devices(),
        device,
    );
}

/// The auxiliary driver `mlx5_core.sf`.
#[derive(Debug)]
pub(crate) struct SfDriver;

impl SfDriver {
    pub(crate) const NAME: &'static str = "mlx5_core.sf";
}

impl Driver for SfDriver {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn module(&self) -> &str {
        MODULE_NAME
    }

    fn matches(&self, device: &Device) -> bool {
        auxiliary::match_id(&["mlx5_core.sf"], device).is_some()
    }

    fn probe(&self, device: &mut LockedDevice<'_>) -> Result<(), Errno> {
        mlx5_sf_dev_probe(device)
    }

    fn remove(&self, device: &mut LockedDevice<'_>) {
        mlx5_sf_dev_remove(device);
    }
}

#[inline(never)]
fn mlx5_sf_dev_probe(device: &mut LockedDevice<'_>) -> Result<(), Errno> {
    let sf_dev = auxiliary::shared::<SfDev>(device.device()).ok_or(Errno::NODEV)?;
    let parent = sf_dev.parent.upgrade().ok_or(Errno::NODEV)?;
    let module = parent.module();
    let (fn_id, sfnum) = (sf_dev.fn_id, sf_dev.sfnum());
    let dev = CoreDev::alloc_sf(&parent, device.device(), fn_id, sfnum, sf_dev.adev_idx);
    let ops: Arc<dyn ::devlink::Ops> = Arc::<CoreDev>::clone(&dev);
    let net = Arc::clone(module.net_core().init_net());
    let devlink = module
        .devlink()
        .alloc(ops, net, Arc::clone(device.device()))?;
    dev.set_devlink(&devlink);
    device.set_drvdata(Arc::clone(&dev));
    // Before, all its parts were there at once.
    let light = module.kernel_is_at_least(6, 5);
    dev.set_lightweight(light);
    if module.kernel_is_at_least(6, 7) {
        peer_devlink_set(&parent, fn_id, &devlink);
    }
    let result = match light {
        true => core::init_one_light(&dev, device.held()),
        false => core::init_one(&dev, device.held()),
    };
    if let Err(errno) = result {
        dev.warn(format_args!("mlx5_init_one err={}", -errno.raw_os_error()));
        devlink.free(device.held());
    }
    result
}

#[inline(never)]
fn mlx5_sf_dev_remove(device: &mut LockedDevice<'_>) {
    let Some(dev) = device.drvdata::<CoreDev>() else {
        return;
    };
    let devlink = dev.devlink();
    if dev.is_lightweight() {
        core::uninit_one_light(&dev, device.held());
    } else {
        core::uninit_one(&dev, device.held());
    }
    devlink.free(device.held());
}

/// The port at the switch's end shows the sub-function's instance (`sf/dev/driver.c: mlx5_core_peer_devlink_set`).
fn peer_devlink_set(parent: &CoreDev, fn_id: u16, devlink: &Arc<Devlink>) {
    let Some(sf) = parent.sf() else { return };
    // As long as the sub-function is in the table its port is there.
    let table = sf.table();
    if !table.contains_key(&fn_id) {
        return;
    }
    let vport = parent.eswitch().and_then(|esw| esw.vport(fn_id));
    if let Some(port) = vport.and_then(|vport| vport.port()) {
        port.fn_devlink_set(devlink);
    }
}

/// A sub-function's driver takes it into use (`main.c: mlx5_function_enable`). Nothing for other functions.
///
/// # Errors
/// `EIO` when it has been asked back meanwhile.
pub(crate) fn init_hca(dev: &CoreDev) -> Result<(), Errno> {
    command(dev, |sf, fn_id| sf.firmware.init_hca(fn_id))
}

/// A sub-function's driver lets go of it (`main.c: mlx5_function_disable`). Nothing for other functions.
pub(crate) fn teardown_hca(dev: &CoreDev) {
    // That it was not in use is what was wanted.
    _ = command(dev, |sf, fn_id| sf.firmware.teardown_hca(fn_id));
}

fn command(
    dev: &CoreDev,
    f: impl FnOnce(&SfManager, u16) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let Kind::Sf { parent, fn_id, .. } = dev.kind() else {
        return Ok(());
    };
    let parent = parent.upgrade().ok_or(Errno::IO)?;
    let sf = parent.sf().ok_or(Errno::IO)?;
    f(sf, *fn_id)?;
    sf.events.raise(*fn_id);
    Ok(())
}
