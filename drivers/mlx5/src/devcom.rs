//! What ties the functions of one adapter together (`lib/devcom.c`).
//!
//! Adding and removing parts, and joining or leaving a link aggregation, is done one function at a time per adapter:
//! today under a semaphore that belongs to the adapter, in November 2021 under one mutex for the whole machine.

use std::fmt;
use std::sync::{Arc, PoisonError, Weak};

use lock_order::DriverLock;
use lockdep::order::{self, Before, Held};
use lockdep::{ClassKey, DynamicClass};

use crate::core::CoreDev;
use crate::locking::DriverLocking;

/// The mutex of November 2021: one for all devices.
static MLX5_INTF_MUTEX: ClassKey = ClassKey::new("mlx5_intf_mutex");

/// The adapters of the machine.
#[derive(Debug)]
pub(crate) struct Devcom {
    locking: DriverLocking,
    intf_mutex: Arc<order::Mutex<DriverLock, ()>>,
    components: lockdep::Mutex<Vec<Weak<Component>>>,
}

impl Devcom {
    pub(crate) fn new(locking: DriverLocking) -> Self {
        Devcom {
            locking,
            intf_mutex: Arc::new(order::Mutex::with_class(&MLX5_INTF_MUTEX, ())),
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
                DriverLocking::Today => ComponentLock::Semaphore(order::RwLock::with_class(
                    DynamicClass::new("&comp->sem"),
                    (),
                )),
                DriverLocking::November2021 => ComponentLock::Global(Arc::clone(&self.intf_mutex)),
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
    lock: ComponentLock,
    functions: lockdep::Mutex<Vec<Weak<CoreDev>>>,
}

enum ComponentLock {
    Semaphore(order::RwLock<DriverLock, ()>),
    Global(Arc<order::Mutex<DriverLock, ()>>),
}

/// Keeps the adapter's lock.
#[must_use = "the lock is released at once if the guard is not kept"]
pub(crate) enum ComponentGuard<'t> {
    Semaphore(
        #[expect(dead_code, reason = "held for its drop")]
        order::RwLockWriteGuard<'t, DriverLock, ()>,
    ),
    Global(
        #[expect(dead_code, reason = "held for its drop")] order::MutexGuard<'t, DriverLock, ()>,
    ),
}

impl Component {
    /// Takes the adapter's lock: today's `mlx5_devcom_comp_lock`, the `mlx5_dev_list_lock` of 2021.
    #[track_caller]
    #[inline(always)]
    pub(crate) fn lock<'t, H: Before<DriverLock>>(
        &'t self,
        held: &'t mut Held<'_, H>,
    ) -> (ComponentGuard<'t>, Held<'t, DriverLock>) {
        match &self.lock {
            ComponentLock::Semaphore(semaphore) => {
                let (guard, held) = semaphore.write(held);
                (ComponentGuard::Semaphore(guard), held)
            }
            ComponentLock::Global(mutex) => {
                let (guard, held) = mutex.lock(held);
                (ComponentGuard::Global(guard), held)
            }
        }
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

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Component({:016x})", self.system_image_guid)
    }
}
