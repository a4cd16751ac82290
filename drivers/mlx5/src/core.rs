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
use std::sync::atomic::Ordering;

use devlink::{Devl, Devlink, Objects};
use driver_core::{Device, Driver, LockedDevice, pci};
use lock_order::{DeviceLock, DriverLock};
use lockdep::order::Held;
use rustix::io::Errno;

use crate::core_dev::{CoreDev, IntfState, Kind};
use crate::locking::DriverLocking;
use crate::module::Module;
use crate::params::{self, DriverInit};
use crate::{dev, eswitch, fw_reset, health, host, lag, ports, resources, sf, sriov, traps};

/// Mellanox.
const VENDOR: u16 = 0x15b3;

/// Device ids of the physical functions that the driver takes (`mlx5_core_pci_table`).
pub(crate) const PHYSICAL_FUNCTIONS: &[u16] = &[
    0x1013, 0x1015, 0x1017, 0x1019, 0x101b, 0x101d, 0x101f, 0x1021, 0x1023, 0x1025, 0xa2d2, 0xa2d6,
    0xa2dc, 0xa2df,
];

/// Device ids of the virtual functions that the driver takes.
const VIRTUAL_FUNCTIONS: &[u16] = &[0x1014, 0x1016, 0x1018, 0x101a, 0x101c, 0x101e, 0xa2d3];

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
}

impl Driver for CoreDriver {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn matches(&self, device: &Device) -> bool {
        pci::function(device).is_some_and(|function| {
            let id = function.id;
            id.vendor == VENDOR
                && (PHYSICAL_FUNCTIONS.contains(&id.device)
                    || VIRTUAL_FUNCTIONS.contains(&id.device))
        })
    }

    fn probe(&self, device: &mut LockedDevice<'_>) -> Result<(), Errno> {
        probe_one(&self.module, device)
    }

    fn remove(&self, device: &mut LockedDevice<'_>) {
        remove_one(device);
    }

    fn can_configure_sriov(&self) -> bool {
        true
    }

    fn sriov_configure(&self, device: &mut LockedDevice<'_>, num_vfs: u16) -> Result<u16, Errno> {
        sriov::core_sriov_configure(device, num_vfs)
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
    let result = shd_init(&dev, device.held()).and_then(|()| init_one(&dev, device.held()));
    if let Err(errno) = result {
        dev.err(format_args!(
            "mlx5_init_one failed with error code {}",
            -errno.raw_os_error()
        ));
        shd_uninit(&dev, device.held());
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
    fw_reset::drain(&dev);
    host::drain(&dev);
    sriov::disable(&dev, device);
    uninit_one(&dev, device.held());
    shd_uninit(&dev, device.held());
    dev.module().adev_ida.free(dev.adev_idx());
    dev.devlink().free(device.held());
}

/// The instance that all physical functions of the chip share, since 7.1 (`sh_devlink.c: mlx5_shd_init`).
fn shd_init(dev: &CoreDev, held: &mut Held<'_, DeviceLock>) -> Result<(), Errno> {
    let module = dev.module();
    let shares =
        dev.is_pf() && dev.locking() == DriverLocking::Today && module.kernel_is_at_least(7, 1);
    if !shares {
        return Ok(());
    }
    let id = &dev.profile().serial_number;
    let shared = module.devlink().shared_get(held, id, CoreDriver::NAME)?;
    _ = dev.shd.set(shared);
    Ok(())
}

fn shd_uninit(dev: &CoreDev, held: &mut Held<'_, DeviceLock>) {
    if let Some(shared) = dev.shd.get() {
        dev.module().devlink().shared_put(held, shared);
    }
}

/// Brings a new function all the way up.
#[inline(never)]
pub(crate) fn init_one(dev: &Arc<CoreDev>, held: &mut Held<'_, DeviceLock>) -> Result<(), Errno> {
    let devlink = dev.devlink();
    if dev.locking() == DriverLocking::November2021 {
        return init_one_unlocked(dev, &devlink, held);
    }
    let mut devl = devlink.lock(held);
    health::reporters_create(dev, &mut devl)?;
    if let Some(shared) = dev.shd.get() {
        shared.nested_devlink_set(&devlink);
    }
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
    if result.is_err() {
        health::reporters_destroy(dev, &mut devl);
    }
    result
}

/// The instance is locked throughout. Also what a reload does with a sub-function that was probed lightly.
///
/// # Errors
/// Those of the steps; nothing is left then.
#[inline(never)]
pub(crate) fn init_one_devl_locked(dev: &Arc<CoreDev>, devl: &mut Devl<'_>) -> Result<(), Errno> {
    let (objects, held) = devl.parts();
    let (mut state, mut held) = dev.intf_state_mutex().lock(held);
    let light = dev.is_lightweight();
    function_setup(dev)?;
    init_once(dev);
    if let Err(errno) = resources::register(dev, objects) {
        cleanup_once(dev);
        function_teardown(dev);
        return Err(errno);
    }
    if !light {
        if let Err(errno) = params::register(dev, objects) {
            resources::unregister(dev, objects);
            cleanup_once(dev);
            function_teardown(dev);
            return Err(errno);
        }
    }
    dev.set_config(DriverInit::load(objects));
    let result = load(dev, Some(&mut *objects), &mut held).and_then(|()| {
        state.up = true;
        ports::uplink_register(dev, objects)?;
        dev.set_lightweight(false);
        dev::register_device(dev, &mut held)
    });
    if let Err(errno) = result {
        undo_init(dev, &mut state, Some(&mut *objects), &mut held);
        resources::unregister(dev, objects);
        ports::uplink_unregister(dev, objects);
        dev.set_lightweight(light);
        if !light {
            params::unregister(dev, objects);
        }
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
    {
        let mut devl = devlink.lock(held);
        params::register(dev, &mut devl)?;
        dev.set_config(DriverInit::load(&devl));
        if let Err(errno) = ports::uplink_register(dev, &mut devl) {
            params::unregister(dev, &mut devl);
            return Err(errno);
        }
    }
    let result = {
        let (mut state, mut held) = dev.intf_state_mutex().lock(held);
        function_setup(dev).and_then(|()| {
            init_once(dev);
            let result = load(dev, None, &mut held).and_then(|()| {
                state.up = true;
                dev::register_device(dev, &mut held)
            });
            if result.is_err() {
                undo_init(dev, &mut state, None, &mut held);
            }
            result
        })
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
    dev::unregister_device(dev, held);
    if std::mem::take(&mut state.up) {
        unload(dev, objects, held);
    }
    cleanup_once(dev);
    function_teardown(dev);
}

/// Takes a function all the way down.
#[inline(never)]
pub(crate) fn uninit_one(dev: &Arc<CoreDev>, held: &mut Held<'_, DeviceLock>) {
    let devlink = dev.devlink();
    if dev.locking() == DriverLocking::November2021 {
        devlink.unregister(held);
        {
            let mut devl = devlink.lock(held);
            let (objects, held) = devl.parts();
            eswitch::disable(dev, objects, held);
        }
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
    devl.rate_nodes_destroy();
    let unregisters_first = !dev.module().kernel_is_at_least(6, 3);
    if unregisters_first {
        devl.unregister();
    }
    {
        let (objects, held) = devl.parts();
        let (mut state, mut held) = dev.intf_state_mutex().lock(held);
        eswitch::disable(dev, objects, &mut held);
        resources::unregister(dev, objects);
        uninit_loaded(dev, &mut state, Some(&mut *objects), &mut held);
        params::unregister(dev, objects);
    }
    if !unregisters_first {
        devl.unregister();
    }
    health::reporters_destroy(dev, &mut devl);
}

/// The part of [`uninit_one`] that needs the state mutex.
fn uninit_loaded(
    dev: &Arc<CoreDev>,
    state: &mut IntfState,
    mut objects: Option<&mut Objects<'_>>,
    held: &mut Held<'_, DriverLock>,
) {
    dev::unregister_device(dev, held);
    if let Some(objects) = objects.as_deref_mut() {
        ports::uplink_unregister(dev, objects);
    }
    if std::mem::take(&mut state.up) {
        unload(dev, objects, held);
        cleanup_once(dev);
        function_teardown(dev);
    } else {
        dev.warn(format_args!("mlx5_uninit_one: interface is down, NOP"));
        cleanup_once(dev);
    }
}

/// A sub-function on the host that has its switch: the instance and its parameters, nothing else
/// (`main.c: mlx5_init_one_light`).
///
/// # Errors
/// `EIO` when it has been asked back meanwhile; those of the parameters.
#[inline(never)]
pub(crate) fn init_one_light(
    dev: &Arc<CoreDev>,
    held: &mut Held<'_, DeviceLock>,
) -> Result<(), Errno> {
    let devlink = dev.devlink();
    let mut devl = devlink.lock(held);
    health::reporters_create(dev, &mut devl)?;
    devl.register();
    let result = function_setup(dev).and_then(|()| {
        let registered = params::register(dev, &mut devl);
        if registered.is_err() {
            function_teardown(dev);
        }
        registered
    });
    if result.is_err() {
        devl.unregister();
        health::reporters_destroy(dev, &mut devl);
    }
    result
}

/// `main.c: mlx5_uninit_one_light`
#[inline(never)]
pub(crate) fn uninit_one_light(dev: &Arc<CoreDev>, held: &mut Held<'_, DeviceLock>) {
    let devlink = dev.devlink();
    let mut devl = devlink.lock(held);
    params::unregister(dev, &mut devl);
    devl.unregister();
    health::reporters_destroy(dev, &mut devl);
    drop(devl);
    function_teardown(dev);
}

/// First half of the reload of a sub-function that was probed lightly (`main.c: mlx5_unload_one_light`).
pub(crate) fn unload_one_light(dev: &CoreDev) {
    function_teardown(dev);
}

/// First half of a reload: parts, load and set-up are taken back; parameters and software objects stay.
#[inline(never)]
pub fn unload_one(dev: &Arc<CoreDev>, devl: &mut Devl<'_>) {
    devl.rate_nodes_destroy();
    let (objects, held) = devl.parts();
    let (mut state, mut held) = dev.intf_state_mutex().lock(held);
    eswitch::disable(dev, objects, &mut held);
    dev::detach_device(dev, &mut held);
    ports::uplink_unregister(dev, objects);
    if !std::mem::take(&mut state.up) {
        dev.warn(format_args!(
            "mlx5_unload_one_devl_locked: interface is down, NOP"
        ));
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
    function_setup(dev)?;
    dev.set_config(DriverInit::load(objects));
    if let Err(errno) = load(dev, Some(&mut *objects), &mut held) {
        function_teardown(dev);
        return Err(errno);
    }
    state.up = true;
    let result =
        ports::uplink_register(dev, objects).and_then(|()| dev::attach_device(dev, &mut held));
    if result.is_err() {
        dev::detach_device(dev, &mut held);
        ports::uplink_unregister(dev, objects);
        state.up = false;
        unload(dev, Some(objects), &mut held);
        function_teardown(dev);
    }
    result
}

/// Starts the firmware for this function.
///
/// # Errors
/// `ETIMEDOUT` for a virtual function that never comes up; `EIO` for a sub-function that has been asked back.
#[inline(never)]
fn function_setup(dev: &CoreDev) -> Result<(), Errno> {
    dev.info(format_args!(
        "firmware version: {}",
        dev.firmware().running()
    ));
    match dev.kind() {
        Kind::Pf => dev.info(format_args!("{}", dev.profile().pcie_bandwidth)),
        Kind::Vf { number, .. } => {
            // What becomes of it, its physical function is asked.
            let physfn = pci::sriov::physfn(dev.device());
            let pf = physfn.as_ref().map_or(dev.device(), |(pf, _)| pf);
            if dev.faults_of(pf).misses_vf(*number) {
                dev.err(format_args!(
                    "Firmware over 120000 MS in pre-initializing state, aborting"
                ));
                return Err(Errno::TIMEDOUT);
            }
        }
        Kind::Sf { .. } => sf::init_hca(dev)?,
    }
    dev.set_up.store(true, Ordering::Release);
    Ok(())
}

/// Takes the function from the firmware. Nothing of it is visible, but for a sub-function.
fn function_teardown(dev: &CoreDev) {
    if dev.set_up.swap(false, Ordering::AcqRel) {
        sf::teardown_hca(dev);
    }
}

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
    if dev.is_pf() {
        dev.info(format_args!(
            "Port module event: module {}, Cable plugged",
            dev.dev_index()
        ));
    }
    fw_reset::events_start(dev);
    match objects {
        Some(objects) => {
            params::fs_core_register(dev, objects)?;
            sf::events_start(dev);
            lag::lag_add_mdev(dev, held);
            sriov::attach(dev, objects, held)?;
            traps::register(dev, objects)
        }
        None => {
            sf::events_start(dev);
            lag::lag_add_mdev(dev, held);
            Ok(())
        }
    }
}

/// The function leaves its adapter.
#[inline(never)]
fn unload(dev: &Arc<CoreDev>, objects: Option<&mut Objects<'_>>, held: &mut Held<'_, DriverLock>) {
    let mut objects = objects;
    if let Some(objects) = objects.as_deref_mut() {
        traps::unregister(dev, objects);
    }
    sf::events_stop(dev, held);
    if let Some(objects) = objects {
        sriov::detach(dev, objects, held);
        lag::lag_remove_mdev(dev, held);
        sf::hw_table_destroy(dev);
        params::fs_core_unregister(dev, objects);
    } else {
        lag::lag_remove_mdev(dev, held);
        sf::hw_table_destroy(dev);
    }
    fw_reset::events_stop(dev);
}
