//! What ties the functions of one adapter together (`lib/devcom.c`).
//!
//! Adding and removing parts, and joining or leaving a link aggregation, is done one function at a time per adapter:
//! today under a semaphore that belongs to the adapter, in November 2021 under one mutex for the whole machine.

use std::fmt;
use std::sync::{Arc, PoisonError, Weak};

use lock_order::DriverLock;
use lockdep::order::{self, Held};
use lockdep::{ClassKey, DynamicClass};

use crate::core_dev::CoreDev;
use crate::locking::DriverLocking;

/// The mutex of November 2021: one for all devices.
static MLX5_INTF_MUTEX: ClassKey = ClassKey::new("mlx5_intf_mutex");

/// What is locked while functions of an adapter come and go. The mutex of 2021 is one that nobody reads.
type ComponentLock = order::RwLock<DriverLock, ()>;

/// The adapters of the machine.
#[derive(Debug)]
pub(crate) struct Devcom {
    locking: DriverLocking,
    intf_mutex: Arc<ComponentLock>,
    components: lockdep::Mutex<Vec<Weak<Component>>>,
}

impl Devcom {
    pub(crate) fn new(locking: DriverLocking) -> Self {
        Devcom {
            locking,
            intf_mutex: Arc::new(ComponentLock::with_class(&MLX5_INTF_MUTEX, ())),
            components: lockdep::Mutex::named("comp_dev_list_lock", Vec::new()),
        }
    }

    /// The adapter of this system image GUID; it lives as long as one of its functions
    /// (`devcom.c: mlx5_devcom_register_component`).
    pub(crate) fn register_component(&self, system_image_guid: u64) -> Arc<Component> {
        let mut components = self
            .components
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        components.retain(|component| component.strong_count() > 0);
        let known = components
            .iter()
            .filter_map(Weak::upgrade)
            .find(|component| component.system_image_guid == system_image_guid);
        known.unwrap_or_else(|| {
            let lock = match self.locking {
                DriverLocking::Today => {
                    let class = DynamicClass::new("&comp->sem");
                    Arc::new(ComponentLock::with_class(class, ()))
                }
                DriverLocking::November2021 => Arc::clone(&self.intf_mutex),
            };
            let component = Arc::new(Component {
                system_image_guid,
                lock,
                functions: lockdep::Mutex::named("&comp->comp_dev_list_head", Vec::new()),
            });
            components.push(Arc::downgrade(&component));
            component
        })
    }
}

/// One adapter: the functions with the same system image GUID.
pub(crate) struct Component {
    system_image_guid: u64,
    lock: Arc<ComponentLock>,
    functions: lockdep::Mutex<Vec<Weak<CoreDev>>>,
}

impl Component {
    /// The adapter of a physical function.
    pub(crate) fn of(dev: &CoreDev) -> &Component {
        dev.hca_devcom_comp()
            .expect("a physical function is part of its adapter from its allocation on")
    }

    /// The adapter's lock, taken for writing by `mlx5_devcom_comp_lock` today and by `mlx5_dev_list_lock` in 2021.
    pub(crate) fn sem(&self) -> &ComponentLock {
        &self.lock
    }

    /// Makes a function findable by the others of its adapter.
    pub(crate) fn add(&self, dev: &Arc<CoreDev>) {
        self.list().push(Arc::downgrade(dev));
    }

    /// The other functions of the adapter. To be called with the adapter's lock held.
    pub(crate) fn peers(&self, dev: &CoreDev) -> Vec<Arc<CoreDev>> {
        let mut functions = self.list();
        functions.retain(|function| function.strong_count() > 0);
        let alive: Vec<_> = functions.iter().filter_map(Weak::upgrade).collect();
        drop(functions);
        alive
            .into_iter()
            .filter(|peer| !std::ptr::eq(&**peer, dev))
            .collect()
    }

    fn list(&self) -> lockdep::MutexGuard<'_, Vec<Weak<CoreDev>>> {
        self.functions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs `f` with the lock of the function's adapter held. Today only functions that can be aggregated are part of an
/// adapter in this sense, so virtual and sub-functions take none (`devcom.c: mlx5_devcom_comp_lock`).
#[inline(always)]
pub(crate) fn with_comp_lock<R>(
    dev: &CoreDev,
    held: &mut Held<'_, DriverLock>,
    f: impl FnOnce(&mut Held<'_, DriverLock>) -> R,
) -> R {
    match dev.hca_devcom_comp() {
        Some(component) => {
            let (_guard, mut held) = component.sem().write(held);
            f(&mut held)
        }
        None => f(held),
    }
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Component({:016x})", self.system_image_guid)
    }
}
