//! The device: probe, remove, and what a reload takes down and brings up (`dev.c`).

use std::fmt;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, Weak};

use devlink::{Devl, Devlink, Region};
use driver_core::{Device, LockedDevice};
use kernfs::Dir;
use net_core::FibNotifier;
use netlink::ExtAck;
use rustix::io::Errno;

use crate::bus::{Netdevsim, NsimBusDev};
use crate::debugfs::Debugfs;
use crate::flash::{self, Flash};
use crate::health::{self, Health};
use crate::ports::{self, NsimDevPort};
use crate::traps::{self, Traps};
use crate::vfs::{self, VfConfig};
use crate::{bpf, fib, hwstats, params, psample, region, resources};

/// A device that its driver has taken on (`struct nsim_dev`).
pub struct NsimDev {
    module: Arc<Netdevsim>,
    device: Arc<Device>,
    /// Set once, right after allocation; the subsystem owns the instance, the instance owns this.
    devlink: OnceLock<Weak<Devlink>>,
    /// The ports of the simulated switch are recognized by it.
    switch_id: [u8; 32],
    debugfs: Debugfs,
    flash: Flash,
    traps: Traps,
    /// `fib/`, `psample/`, `hwstats/`: what a reload makes anew.
    reload_dirs: lockdep::Mutex<Vec<Dir>>,
    /// `enum devlink_eswitch_mode`; written with the instance locked.
    esw_mode: AtomicU16,
    port_list: lockdep::Mutex<Vec<NsimDevPort>>,
    vf_configs: lockdep::Mutex<Vec<Arc<VfConfig>>>,
    dummy_region: lockdep::Mutex<Option<Arc<Region>>>,
    fib: lockdep::Mutex<Option<Arc<dyn FibNotifier>>>,
    health: lockdep::Mutex<Option<Health>>,
}

impl NsimDev {
    /// The module that drives it.
    pub fn module(&self) -> &Arc<Netdevsim> {
        &self.module
    }

    /// The device on the bus.
    pub fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// What the bus knows about it.
    pub fn bus_dev(&self) -> &NsimBusDev {
        self.device
            .data()
            .expect("the driver matches only devices with this data")
    }

    /// The values behind its debugfs files.
    pub fn debugfs(&self) -> &Debugfs {
        &self.debugfs
    }

    /// How it is flashed.
    pub fn flash(&self) -> &Flash {
        &self.flash
    }

    /// Its traps.
    pub fn traps(&self) -> &Traps {
        &self.traps
    }

    pub(crate) fn esw_mode(&self) -> u16 {
        self.esw_mode.load(Ordering::Relaxed)
    }

    pub(crate) fn set_esw_mode(&self, mode: u16) {
        self.esw_mode.store(mode, Ordering::Relaxed);
    }

    /// Identity of the switch that its ports are on.
    pub fn switch_id(&self) -> &[u8; 32] {
        &self.switch_id
    }

    /// Its devlink instance (`priv_to_devlink`).
    pub fn devlink(&self) -> Arc<Devlink> {
        self.devlink
            .get()
            .and_then(Weak::upgrade)
            .expect("the instance is allocated by probe and lives until remove frees it")
    }

    pub(crate) fn port_list(&self) -> lockdep::MutexGuard<'_, Vec<NsimDevPort>> {
        self.port_list
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn reload_dirs(&self) -> lockdep::MutexGuard<'_, Vec<Dir>> {
        self.reload_dirs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The configurations of its virtual functions.
    pub fn vf_configs(&self) -> lockdep::MutexGuard<'_, Vec<Arc<VfConfig>>> {
        self.vf_configs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl NsimDev {
    pub(crate) fn dummy_region(&self) -> lockdep::MutexGuard<'_, Option<Arc<Region>>> {
        self.dummy_region
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn fib(&self) -> lockdep::MutexGuard<'_, Option<Arc<dyn FibNotifier>>> {
        self.fib.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn health(&self) -> lockdep::MutexGuard<'_, Option<Health>> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for NsimDev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NsimDev({})", self.device.name())
    }
}

/// The driver takes a device on (`dev.c: nsim_drv_probe`).
#[inline(never)]
pub(crate) fn probe(module: &Arc<Netdevsim>, device: &mut LockedDevice<'_>) -> Result<(), Errno> {
    let mut switch_id = [0; 32];
    module.driver_core().rng().fill(&mut switch_id);
    let bus_dev = device.device().data::<NsimBusDev>();
    let configs = vfs::configs(bus_dev.map_or(0, |bus_dev| bus_dev.vfs.max()));
    let dev = Arc::new(NsimDev {
        module: Arc::clone(module),
        device: Arc::clone(device.device()),
        devlink: OnceLock::new(),
        switch_id,
        debugfs: Debugfs::new(),
        flash: Flash::new(),
        traps: Traps::new(),
        reload_dirs: lockdep::Mutex::named("nsim_dev->reload_dirs", Vec::new()),
        esw_mode: AtomicU16::new(0),
        port_list: lockdep::Mutex::named("nsim_dev->port_list", Vec::new()),
        vf_configs: lockdep::Mutex::named("nsim_dev->vfconfigs", configs),
        dummy_region: lockdep::Mutex::named("nsim_dev->dummy_region", None),
        fib: lockdep::Mutex::named("nsim_dev->fib_data", None),
        health: lockdep::Mutex::named("nsim_dev->health", None),
    });
    let net = Arc::clone(&dev.bus_dev().initial_net);
    let ops: Arc<dyn devlink::Ops> = Arc::<NsimDev>::clone(&dev);
    let devlink = module
        .devlink()
        .alloc(ops, net, Arc::clone(device.device()))?;
    dev.devlink
        .set(Arc::downgrade(&devlink))
        .expect("a new device has no instance yet");
    device.set_drvdata(Arc::clone(&dev));

    let result = probe_locked(&dev, &mut devlink.lock(device.held()));
    if result.is_err() {
        devlink.free(device.held());
    }
    result
}

fn probe_locked(dev: &Arc<NsimDev>, devl: &mut Devl<'_>) -> Result<(), Errno> {
    // Since 6.3 the instance is registered before its objects, and users see them appear one by one.
    let registers_first = dev.module.kernel_is_at_least(6, 3);
    if registers_first {
        devl.register();
    }
    let result = resources::register(devl).and_then(|()| {
        let made = params::register(dev, devl).and_then(|()| {
            let made = make_debugfs(dev).and_then(|()| create(dev, devl, &mut ExtAck::default()));
            if made.is_err() {
                dev.debugfs.exit();
                params::unregister(dev, devl);
            }
            made
        });
        if made.is_err() {
            devl.resources_unregister();
        }
        made
    });
    match result {
        Ok(()) if !registers_first => devl.register(),
        Err(_) if registers_first => devl.unregister(),
        _ => {}
    }
    result
}

fn make_debugfs(dev: &NsimDev) -> Result<(), Errno> {
    let module = dev.module.ddir().ok_or(Errno::NODEV)?;
    let sleeps = !dev.module.kernel_is_at_least(7, 0);
    let has_test2 = dev.module.kernel_is_at_least(7, 0);
    dev.debugfs
        .init(&module, dev.device.name(), sleeps, has_test2)?;
    vfs::make_files(dev.debugfs.ddir(), &dev.device)?;
    flash::debugfs_init(dev)?;
    traps::debugfs_init(dev)?;
    bpf::debugfs_init(dev)
}

fn make_reload_dirs(dev: &Arc<NsimDev>) -> Result<(), Errno> {
    let mut dirs = dev.reload_dirs();
    dirs.push(fib::debugfs_init(dev)?);
    dirs.push(psample::init(dev)?);
    dirs.push(hwstats::init(dev)?);
    Ok(())
}

/// The driver gives a device up (`dev.c: nsim_drv_remove`).
#[inline(never)]
pub(crate) fn remove(device: &mut LockedDevice<'_>) {
    let Some(dev) = device.drvdata::<NsimDev>() else {
        return;
    };
    let devlink = dev.devlink();
    {
        let mut devl = devlink.lock(device.held());
        let unregisters_first = !dev.module.kernel_is_at_least(6, 3);
        if unregisters_first {
            devl.unregister();
        }
        reload_destroy(&dev, &mut devl);
        dev.debugfs.exit();
        params::unregister(&dev, &mut devl);
        devl.resources_unregister();
        if !unregisters_first {
            devl.unregister();
        }
    }
    devlink.free(device.held());
}

/// What a reload brings up again (`dev.c: nsim_dev_reload_create`).
///
/// # Errors
/// Those of the objects; then none of it is there.
#[inline(never)]
pub(crate) fn reload_create(
    dev: &NsimDev,
    devl: &mut Devl<'_>,
    extack: &mut ExtAck,
) -> Result<(), Errno> {
    // What is bound to the driver has the driver's data.
    let this: Arc<NsimDev> = dev.device.drvdata().ok_or(Errno::NODEV)?;
    dev.flash.reset();
    params::load_driverinit_values(dev, devl);
    create(&this, devl, extack)
}

/// What probe and reload bring up, in the kernel's order; all or none.
fn create(dev: &Arc<NsimDev>, devl: &mut Devl<'_>, extack: &mut ExtAck) -> Result<(), Errno> {
    let created = region::init(dev, devl)
        .and_then(|()| traps::init(dev, devl))
        .and_then(|()| fib::create(dev, devl, extack))
        .and_then(|()| health::init(dev, devl))
        .and_then(|()| make_reload_dirs(dev))
        .and_then(|()| ports::add_all(dev, devl))
        .and_then(|()| region::debugfs_init(dev));
    if created.is_err() {
        destroy(dev, devl);
    }
    created
}

/// Takes down what [`create`] has brought up, as far as it came.
fn destroy(dev: &NsimDev, devl: &mut Devl<'_>) {
    region::debugfs_exit(dev);
    vfs::remove_all(dev, devl);
    ports::del_all(dev, devl);
    let dirs = std::mem::take(&mut *dev.reload_dirs());
    for dir in dirs.iter().rev() {
        dir.remove();
    }
    health::exit(dev, devl);
    fib::destroy(dev, devl);
    traps::exit(dev, devl);
    region::exit(dev, devl);
}

/// What a reload takes down; nothing if the last one failed and has left nothing (`dev.c: nsim_dev_reload_destroy`).
#[inline(never)]
pub(crate) fn reload_destroy(dev: &NsimDev, devl: &mut Devl<'_>) {
    if !devl.is_reload_failed() {
        destroy(dev, devl);
    }
}
