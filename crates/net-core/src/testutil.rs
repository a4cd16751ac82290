//! Made-up namespaces and devices, for tests of this crate and of those above.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use driver_core::DriverCore;
use rustix::io::Errno;

use crate::core::NetCore;
use crate::net::NetId;
use crate::source::{NamespaceSource, NetnsHandle};

/// Namespaces that exist only here. Like real ones they live as long as they have a name or a handle, and like real ones
/// they never come back with the same cookie.
#[derive(Debug, Default)]
pub struct FakeNamespaces {
    next: AtomicU64,
    core: OnceLock<Weak<NetCore>>,
    names: Mutex<BTreeMap<String, Arc<FakeNetns>>>,
}

/// A handle of a made-up namespace.
#[derive(Debug)]
pub struct FakeNetns {
    id: NetId,
    source: Weak<FakeNamespaces>,
}

impl FakeNamespaces {
    /// A machine with made-up namespaces and no real devices, and who makes the namespaces.
    ///
    /// # Panics
    /// Never: nothing here can fail.
    pub fn machine(drivers: Arc<DriverCore>) -> (Arc<NetCore>, Arc<FakeNamespaces>) {
        let source = Arc::new(FakeNamespaces::default());
        let init = source.unnamed();
        let core = NetCore::new(
            drivers,
            init,
            Arc::clone(&source) as Arc<dyn NamespaceSource>,
            None,
        )
        .expect("made-up namespaces can always be watched");
        let _ = source.core.set(Arc::downgrade(&core));
        (core, source)
    }

    /// A namespace without a name: it ends with its last handle.
    pub fn unnamed(self: &Arc<Self>) -> Arc<FakeNetns> {
        Arc::new(FakeNetns {
            // The cookies of a real machine start at 1, which is the first namespace's.
            id: NetId(self.next.fetch_add(1, Ordering::Relaxed) + 1),
            source: Arc::downgrade(self),
        })
    }

    /// `ip netns add NAME`.
    pub fn add(self: &Arc<Self>, name: &str) -> Arc<FakeNetns> {
        let namespace = self.unnamed();
        self.names
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.to_owned(), Arc::clone(&namespace));
        namespace
    }

    /// `ip netns del NAME`. The namespace ends if nobody has a handle; its exit is then queued when this returns.
    pub fn del(&self, name: &str) {
        let namespace = self
            .names
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name);
        drop(namespace);
    }
}

impl Drop for FakeNetns {
    fn drop(&mut self) {
        let source = self.source.upgrade();
        let core = source.and_then(|source| source.core.get()?.upgrade());
        if let Some(core) = core {
            core.net_gone(self.id);
        }
    }
}

impl NetnsHandle for FakeNetns {
    fn id(&self) -> NetId {
        self.id
    }
}

impl NamespaceSource for FakeNamespaces {
    fn watch(&self, _namespace: &dyn NetnsHandle) -> Result<(), Errno> {
        Ok(())
    }
}
