//! The switch: probe, remove, and what a reload takes down and brings up (`core.c`, `spectrum.c`).
//!
//! Resources stay over a reload, for their new sizes are what it is for. All else goes and comes: ports, buffer, tables, slots, region,
//! reporter.
//! What a slot is provisioned with is in the switch's own memory and is found there again.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError, Weak};

use devlink::{Devl, Devlink, Region};
use driver_core::{Device, LockedDevice, Rng};
use rustix::io::Errno;

use crate::buffers::Buffers;
use crate::health::Health;
use crate::linecards::Slots;
use crate::module::Module;
use crate::ports::SpPort;
use crate::{buffers, dpipe, health, linecards, ports, regions, resources};

/// A switch that its driver has taken on (`struct mlxsw_sp`, with `struct mlxsw_core`).
pub struct Spectrum {
    module: Arc<Module>,
    device: Arc<Device>,
    /// Set once, right after allocation; the subsystem owns the instance, the instance owns this.
    devlink: OnceLock<Weak<Devlink>>,
    /// The ports of the switch are recognized by it.
    base_mac: [u8; 6],
    ports: lockdep::Mutex<BTreeMap<u32, SpPort>>,
    buffers: lockdep::Mutex<Buffers>,
    slots: Slots,
    health: Health,
    cr_space: lockdep::Mutex<Option<Arc<Region>>>,
}

impl Spectrum {
    /// The module that drives it.
    pub fn module(&self) -> &Arc<Module> {
        &self.module
    }

    /// The device on the bus.
    pub fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// Its devlink instance, while that is there (`priv_to_devlink`).
    pub fn devlink(&self) -> Option<Arc<Devlink>> {
        self.devlink.get().and_then(Weak::upgrade)
    }

    /// First hardware address of the switch, and its identity.
    pub fn base_mac(&self) -> [u8; 6] {
        self.base_mac
    }

    pub(crate) fn rng(&self) -> &Arc<dyn Rng> {
        self.module.driver_core().rng()
    }

    pub(crate) fn ports(&self) -> lockdep::MutexGuard<'_, BTreeMap<u32, SpPort>> {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn buffers(&self) -> lockdep::MutexGuard<'_, Buffers> {
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn slots(&self) -> &Slots {
        &self.slots
    }

    pub(crate) fn health(&self) -> &Health {
        &self.health
    }

    fn cr_space(&self) -> lockdep::MutexGuard<'_, Option<Arc<Region>>> {
        self.cr_space.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Spectrum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Spectrum({})", self.device.name())
    }
}

/// The driver takes a switch on (`core.c: mlxsw_core_bus_device_register`).
pub(crate) fn probe(module: &Arc<Module>, device: &mut LockedDevice<'_>) -> Result<(), Errno> {
    let base_mac = module.driver_core().rng().eth_random_addr();
    let sp = Arc::new_cyclic(|sp: &Weak<Spectrum>| Spectrum {
        module: Arc::clone(module),
        device: Arc::clone(device.device()),
        devlink: OnceLock::new(),
        base_mac,
        ports: lockdep::Mutex::named("mlxsw_sp->ports", BTreeMap::new()),
        buffers: lockdep::Mutex::named("mlxsw_sp->sb", Buffers::default()),
        slots: Slots::new(sp),
        health: Health::new(sp),
        cr_space: lockdep::Mutex::named("mlxsw_sp->cr_space", None),
    });
    let ops: Arc<dyn devlink::Ops> = Arc::<Spectrum>::clone(&sp);
    let net = Arc::clone(module.net_core().init_net());
    let devlink = module
        .devlink()
        .alloc(ops, net, Arc::clone(device.device()))?;
    sp.devlink
        .set(Arc::downgrade(&devlink))
        .expect("a new switch has no instance yet");
    device.set_drvdata(Arc::clone(&sp));

    let result = {
        let mut devl = devlink.lock(device.held());
        devl.register();
        let result = resources::register(&mut devl).and_then(|()| init(&sp, &mut devl));
        if result.is_err() {
            devl.resources_unregister();
            devl.unregister();
        }
        result
    };
    if result.is_err() {
        devlink.free(device.held());
    }
    result
}

/// The driver gives a switch up (`core.c: mlxsw_core_bus_device_unregister`).
pub(crate) fn remove(device: &mut LockedDevice<'_>) {
    let Some(sp) = device.drvdata::<Spectrum>() else {
        return;
    };
    let Some(devlink) = sp.devlink() else {
        return;
    };
    {
        let mut devl = devlink.lock(device.held());
        if !devl.is_reload_failed() {
            fini(&sp, &mut devl);
        }
        devl.resources_unregister();
        devl.unregister();
    }
    devlink.free(device.held());
}

/// What a reload brings up (`core.c: mlxsw_devlink_core_bus_device_reload_up`).
///
/// # Errors
/// Those of the parts; then none of it is there.
pub(crate) fn init(sp: &Spectrum, devl: &mut Devl<'_>) -> Result<(), Errno> {
    resources::occ_register(sp, devl);
    let result = buffers::init(sp, devl)
        .and_then(|()| dpipe::init(sp, devl))
        .and_then(|()| linecards::init(sp, devl))
        .and_then(|()| health::init(sp, devl))
        .and_then(|()| cr_space_init(sp, devl))
        .and_then(|()| ports::create_all(sp, devl))
        .and_then(|()| linecards::find_provisioned(sp, devl));
    if result.is_err() {
        fini(sp, devl);
    }
    result
}

/// What a reload takes down (`core.c: mlxsw_devlink_core_bus_device_reload_down`).
pub(crate) fn fini(sp: &Spectrum, devl: &mut Devl<'_>) {
    linecards::settle(sp, devl);
    ports::remove_all(sp, devl);
    devl.rate_nodes_destroy();
    cr_space_fini(sp, devl);
    health::fini(sp, devl);
    linecards::fini(sp, devl);
    dpipe::fini(devl);
    buffers::fini(devl);
    resources::occ_unregister(devl);
}

fn cr_space_init(sp: &Spectrum, devl: &mut Devl<'_>) -> Result<(), Errno> {
    *sp.cr_space() = Some(regions::init(devl)?);
    Ok(())
}

fn cr_space_fini(sp: &Spectrum, devl: &mut Devl<'_>) {
    let region = sp.cr_space().take();
    if let Some(region) = region {
        devl.region_destroy(&region);
    }
}
