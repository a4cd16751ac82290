//! A network namespace: who it is, and what keeps it alive.
//!
//! A [`Net`] is the machine's knowledge of a namespace; it keeps memory, never the namespace itself
//! (`net->passive`). What keeps the namespace alive is a [`NetRef`], which carries the source's handle (`get_net`). A
//! devlink instance or a network device refers to its namespace by `Arc<Net>` and is moved out when the namespace ends.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

use crate::source::NetnsHandle;

/// A namespace's cookie: unique as long as the operating system runs, unlike its inode number (`SO_NETNS_COOKIE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetId(pub u64);

impl fmt::Display for NetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "net:{}", self.0)
    }
}

/// What the machine knows about a namespace (`struct net`).
pub struct Net {
    id: NetId,
    dying: AtomicBool,
    /// The pernet operations have been told of it.
    set_up: AtomicBool,
    generic: lockdep::Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
    pub(crate) nsids: lockdep::Mutex<BTreeMap<i32, NetId>>,
}

impl Net {
    pub(crate) fn new(id: NetId) -> Arc<Self> {
        Arc::new(Net {
            id,
            dying: AtomicBool::new(false),
            set_up: AtomicBool::new(false),
            generic: lockdep::Mutex::named("net->gen", HashMap::new()),
            nsids: lockdep::Mutex::named("&net->nsid_lock", BTreeMap::new()),
        })
    }

    /// Its cookie.
    pub fn id(&self) -> NetId {
        self.id
    }

    /// Whether its exit has begun or is due: no new references, no new objects (`check_net` says no, `net->is_dying`).
    pub fn is_dying(&self) -> bool {
        self.dying.load(Ordering::Acquire)
    }

    /// Marks the end; `false` if it had begun before.
    pub(crate) fn set_dying(&self) -> bool {
        !self.dying.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn is_set_up(&self) -> bool {
        self.set_up.load(Ordering::Acquire)
    }

    /// Marks that the pernet operations know of it; `false` if they did before.
    pub(crate) fn set_set_up(&self) -> bool {
        !self.set_up.swap(true, Ordering::AcqRel)
    }

    /// What a subsystem keeps for this namespace (`net_generic`), one value a type.
    pub fn generic<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let value = lock(&self.generic).get(&TypeId::of::<T>()).cloned();
        value?.downcast().ok()
    }

    /// Keeps a value for this namespace, usually from [`init`](crate::PernetOperations::init); returns what was there.
    pub fn set_generic<T: Any + Send + Sync>(&self, value: Arc<T>) -> Option<Arc<T>> {
        let previous = lock(&self.generic).insert(TypeId::of::<T>(), value);
        previous?.downcast().ok()
    }

    /// The subsystems' values, to be dropped outside the lock.
    pub(crate) fn take_generic(&self) -> impl Drop + use<> {
        std::mem::take(&mut *lock(&self.generic))
            .into_values()
            .collect::<Vec<_>>()
    }
}

impl PartialEq for Net {
    /// The same namespace (`net_eq`).
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Net {}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Net")
            .field("id", &self.id)
            .field("dying", &self.is_dying())
            .finish_non_exhaustive()
    }
}

/// An active reference: as long as it lives, so does the namespace (`get_net`; dropping it is `put_net`).
#[derive(Clone, Debug)]
pub struct NetRef {
    net: Arc<Net>,
    handle: Arc<dyn NetnsHandle>,
}

impl NetRef {
    pub(crate) fn new(net: Arc<Net>, handle: Arc<dyn NetnsHandle>) -> Self {
        NetRef { net, handle }
    }

    /// The namespace.
    pub fn net(&self) -> &Arc<Net> {
        &self.net
    }

    /// What keeps it alive.
    pub fn handle(&self) -> &Arc<dyn NetnsHandle> {
        &self.handle
    }
}

pub(crate) fn lock<T>(mutex: &lockdep::Mutex<T>) -> lockdep::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
