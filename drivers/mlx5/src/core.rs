//! A function's life: probe, set up, load, unload (`main.c`).
//!
//! Three nested states. *Probed*: the devlink instance exists, software objects and parameters are there
//! (`init_one`, `uninit_one`). *Set up*: the firmware has been started for this function. *Loaded*: the function takes
//! part in its adapter and has its parts on the auxiliary bus. A reload leaves the first state alone and goes through
//! the other two ([`unload_one`], [`load_one`]). `&dev->intf_state_mutex` is held for each such change.
//!
//! Since Linux 6.0 all of it runs with the instance locked. In November 2021 probe and remove did not lock the instance:
//! they registered it last and unregistered it first, so that nobody could see it in between.

use std::sync::Arc;

use devlink::{Devl, Devlink, Objects};
use driver_core::{Device, Driver, LockedDevice, pci};
use lock_order::{DeviceLock, DriverLock};
use lockdep::order::Held;
use rustix::io::Errno;

use crate::core_dev::{CoreDev, IntfState};
use crate::locking::DriverLocking;
use crate::module::Module;
use crate::params::{self, DriverInit};
use crate::profile::Profile;
use crate::{dev, eswitch, fw_reset, lag, ports};

/// The PCI driver `mlx5_core`.
#[derive(Debug)]
pub struct CoreDriver {
    module: Arc<Module>,
}

impl CoreDriver {
    /// The driver's name.
    pub const NAME: &'static str = crate::MODULE_NAME;

    /// The driver of this module.
    pub(crate) fn new(module: Arc<Module>) -> Self {
        CoreDriver { module }
    }

    /// The functions it is for: the physical functions of the known adapters (`mlx5_core_pci_table`).
    fn id_table() -> Vec<pci::Id> {
        Profile::ALL
            .iter()
            .map(|profile| pci::Id {
                vendor: profile.vendor,
                device: profile.device,
            })
            .collect()
    }
}

impl Driver for CoreDriver {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn matches(&self, device: &Device) -> bool {
        pci::match_device(&Self::id_table(), device).is_some()
    }

    fn probe(&self, device: &mut LockedDevice<'_>) -> Result<(), Errno> {
        probe_one(&self.module, device)
    }

    fn remove(&self, device: &mut LockedDevice<'_>) {
        remove_one(device);
    }

    fn shutdown(&self, device: &mut LockedDevice<'_>) {
        device.device().info(format_args!("Shutdown was called"));
    }
}

/// The driver takes a function on.
#[inline(never)]
fn probe_one(module: &Arc<Module>, device: &mut LockedDevice<'_>) -> Result<(), Errno> {
    let dev = CoreDev::alloc(module, device.device())?;
    let net = Arc::clone(module.net_core().init_net());
    let ops: Arc<dyn devlink::Ops> = Arc::<CoreDev>::clone(&dev);
    let devlink = match module
        .devlink()
        .alloc(ops, net, Arc::clone(device.device()))
    {
        Ok(devlink) => devlink,
        Err(errno) => {
            module.adev_ida.free(dev.adev_idx());
            return Err(errno);
        }
    };
    dev.set_devlink(&devlink);
    device.set_drvdata(Arc::clone(&dev));
    dev.info(format_args!("enabling device (0000 -> 0002)"));
    let result = init_one(&dev, device.held());
    if let Err(errno) = result {
        dev.err(format_args!(
            "mlx5_init_one failed with error code {}",
            -errno.raw_os_error()
        ));
        module.adev_ida.free(dev.adev_idx());
        devlink.free(device.held());
    }
    result
}

/// The driver gives a function up.
#[inline(never)]
fn remove_one(device: &mut LockedDevice<'_>) {
    let Some(dev) = device.drvdata::<CoreDev>() else {
        return;
    };
    let devlink = dev.devlink();
    {
        let _devl = devlink.lock(device.held());
        eswitch::disable_sriov(&dev);
    }
    uninit_one(&dev, device.held());
    dev.module().adev_ida.free(dev.adev_idx());
    devlink.free(device.held());
}

/// Brings a new function all the way up.
#[inline(never)]
fn init_one(dev: &Arc<CoreDev>, held: &mut Held<'_, DeviceLock>) -> Result<(), Errno> {
    let devlink = dev.devlink();
    if dev.locking() == DriverLocking::November2021 {
        return init_one_unlocked(dev, &devlink, held);
    }
    let mut devl = devlink.lock(held);
    // Since 6.3 an instance may be registered before its objects, and users see them appear one by one.
    let registers_first = dev.module().kernel_is_at_least(6, 3);
    if registers_first {
        devl.register();
    }
    let result = init_one_devl_locked(dev, &mut devl);
    match result {
        Ok(()) if !registers_first => devl.register(),
        Err(_) if registers_first => devl.unregister(),
        _ => {}
    }
    result
}

/// The instance is locked throughout.
#[inline(never)]
fn init_one_devl_locked(dev: &Arc<CoreDev>, devl: &mut Devl<'_>) -> Result<(), Errno> {
    let (objects, held) = devl.parts();
    let (mut state, mut held) = dev.intf_state_mutex().lock(held);
    function_setup(dev);
    init_once(dev);
    params::register(dev, objects)?;
    state.config = DriverInit::load(objects);
    let result = load(dev, Some(&mut *objects), &mut held).and_then(|()| {
        state.up = true;
        ports::uplink_register(dev, objects, state.config)?;
        dev::register_device(dev, &mut state, &mut held)
    });
    if let Err(errno) = result {
        undo_init(dev, &mut state, Some(&mut *objects), &mut held);
        ports::uplink_unregister(dev, objects);
        params::unregister(dev, objects);
        return Err(errno);
    }
    Ok(())
}

/// As of November 2021: nobody sees the instance yet, so only its own short sections lock it.
#[inline(never)]
fn init_one_unlocked(
    dev: &Arc<CoreDev>,
    devlink: &Arc<Devlink>,
    held: &mut Held<'_, DeviceLock>,
) -> Result<(), Errno> {
    let config = {
        let mut devl = devlink.lock(held);
        params::register(dev, &mut devl)?;
        let config = DriverInit::load(&devl);
        if let Err(errno) = ports::uplink_register(dev, &mut devl, config) {
            params::unregister(dev, &mut devl);
            return Err(errno);
        }
        config
    };
    let result = {
        let (mut state, mut held) = dev.intf_state_mutex().lock(held);
        state.config = config;
        function_setup(dev);
        init_once(dev);
        let result = load(dev, None, &mut held).and_then(|()| {
            state.up = true;
            dev::register_device(dev, &mut state, &mut held)
        });
        if result.is_err() {
            undo_init(dev, &mut state, None, &mut held);
        }
        result
    };
    let mut devl = devlink.lock(held);
    match result {
        Ok(()) => devl.register(),
        Err(_) => {
            ports::uplink_unregister(dev, &mut devl);
            params::unregister(dev, &mut devl);
        }
    }
    result
}

/// Takes back what a failed initialization has done under the state mutex.
fn undo_init(
    dev: &Arc<CoreDev>,
    state: &mut IntfState,
    objects: Option<&mut Objects<'_>>,
    held: &mut Held<'_, DriverLock>,
) {
    dev::unregister_device(dev, state, held);
    if std::mem::take(&mut state.up) {
        unload(dev, objects, held);
    }
    cleanup_once(dev);
    function_teardown(dev);
}

/// Takes a function all the way down.
#[inline(never)]
fn uninit_one(dev: &Arc<CoreDev>, held: &mut Held<'_, DeviceLock>) {
    let devlink = dev.devlink();
    if dev.locking() == DriverLocking::November2021 {
        devlink.unregister(held);
        {
            let (mut state, mut held) = dev.intf_state_mutex().lock(held);
            uninit_loaded(dev, &mut state, None, &mut held);
        }
        let mut devl = devlink.lock(held);
        ports::uplink_unregister(dev, &mut devl);
        params::unregister(dev, &mut devl);
        return;
    }
    let mut devl = devlink.lock(held);
    let unregisters_first = !dev.module().kernel_is_at_least(6, 3);
    if unregisters_first {
        devl.unregister();
    }
    {
        let (objects, held) = devl.parts();
        let (mut state, mut held) = dev.intf_state_mutex().lock(held);
        uninit_loaded(dev, &mut state, Some(&mut *objects), &mut held);
        params::unregister(dev, objects);
    }
    if !unregisters_first {
        devl.unregister();
    }
}

/// The part of [`uninit_one`] that needs the state mutex.
fn uninit_loaded(
    dev: &Arc<CoreDev>,
    state: &mut IntfState,
    mut objects: Option<&mut Objects<'_>>,
    held: &mut Held<'_, DriverLock>,
) {
    eswitch::disable(dev);
    dev::unregister_device(dev, state, held);
    if let Some(objects) = objects.as_deref_mut() {
        ports::uplink_unregister(dev, objects);
    }
    if std::mem::take(&mut state.up) {
        unload(dev, objects, held);
    } else {
        dev.warn(format_args!("uninit_one: interface is down, NOP"));
    }
    cleanup_once(dev);
    function_teardown(dev);
}

/// First half of a reload: parts, load and set-up are taken back; parameters and software objects stay.
#[inline(never)]
pub fn unload_one(dev: &Arc<CoreDev>, devl: &mut Devl<'_>) {
    let (objects, held) = devl.parts();
    let (mut state, mut held) = dev.intf_state_mutex().lock(held);
    eswitch::disable(dev);
    dev::detach_device(dev, &mut state, &mut held);
    ports::uplink_unregister(dev, objects);
    if !std::mem::take(&mut state.up) {
        dev.warn(format_args!("unload_one: interface is down, NOP"));
        return;
    }
    unload(dev, Some(objects), &mut held);
    function_teardown(dev);
}

/// Second half of a reload: set up, load, and put the parts back, with the driverinit parameters of now.
///
/// # Errors
/// Those of the steps; the function is then as [`unload_one`] has left it.
#[inline(never)]
pub fn load_one(dev: &Arc<CoreDev>, devl: &mut Devl<'_>) -> Result<(), Errno> {
    let (objects, held) = devl.parts();
    let (mut state, mut held) = dev.intf_state_mutex().lock(held);
    if state.up {
        dev.warn(format_args!("interface is up, NOP"));
        return Ok(());
    }
    function_setup(dev);
    state.config = DriverInit::load(objects);
    if let Err(errno) = load(dev, Some(&mut *objects), &mut held) {
        function_teardown(dev);
        return Err(errno);
    }
    state.up = true;
    let result = ports::uplink_register(dev, objects, state.config)
        .and_then(|()| dev::attach_device(dev, &mut state, &mut held));
    if result.is_err() {
        dev::detach_device(dev, &mut state, &mut held);
        ports::uplink_unregister(dev, objects);
        state.up = false;
        unload(dev, Some(objects), &mut held);
        function_teardown(dev);
    }
    result
}

/// Starts the firmware for this function.
#[inline(never)]
fn function_setup(dev: &CoreDev) {
    dev.info(format_args!("firmware version: {}", dev.firmware.running()));
    dev.info(format_args!("{}", dev.profile().pcie_bandwidth));
}

/// Takes the function from the firmware. Nothing of it is visible.
fn function_teardown(_dev: &CoreDev) {}

/// Software objects that live as long as the function is probed. Its log lines are all that users see of them.
#[inline(never)]
fn init_once(dev: &CoreDev) {
    dev.info(format_args!(
        "Rate limit: {} rates are supported, range: 0Mbps to {}Mbps",
        dev.profile().rate_limits,
        dev.profile().max_rate_mbps
    ));
    eswitch::init(dev);
}

fn cleanup_once(dev: &CoreDev) {
    eswitch::cleanup(dev);
}

/// The function takes part in its adapter. `objects` is missing where the instance is not locked.
#[inline(never)]
fn load(
    dev: &Arc<CoreDev>,
    objects: Option<&mut Objects<'_>>,
    held: &mut Held<'_, DriverLock>,
) -> Result<(), Errno> {
    dev.info(format_args!(
        "Port module event: module {}, Cable plugged",
        dev.dev_index()
    ));
    fw_reset::events_start(dev);
    if let Some(objects) = objects {
        params::fs_core_register(dev, objects)?;
    }
    lag::lag_add_mdev(dev, held);
    Ok(())
}

/// The function leaves its adapter.
#[inline(never)]
fn unload(dev: &Arc<CoreDev>, objects: Option<&mut Objects<'_>>, held: &mut Held<'_, DriverLock>) {
    lag::lag_remove_mdev(dev, held);
    if let Some(objects) = objects {
        params::fs_core_unregister(dev, objects);
    }
    fw_reset::events_stop(dev);
}
