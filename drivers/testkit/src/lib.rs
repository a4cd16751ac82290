//! A machine with made-up namespaces and a devlink client, for the drivers' tests.
//!
//! The machine is the real one from generic netlink down: requests and replies are datagrams, and what a test expects is
//! written as the `devlink` tool of iproute2 would print it ([`text`]). Only the namespaces and the network devices exist
//! nowhere else. A test that fails says why by panicking, and so does this crate.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

pub mod client;
pub mod text;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use devlink::Subsystem;
use driver_core::DriverCore;
use lockdep::order::Held;
use net_core::testutil::{FakeNamespaces, FakeNetns};
use net_core::{NetCore, NetId};
use netlink::KernelVersion;
use netlink::genl::{Genl, Upstream};

pub use client::{Client, Refusal, refused};

/// devlink's family number: that of a machine where devlink comes first, as its multicast group's is.
pub const FAMILY_ID: u16 = 0x15;
const FIRST_GROUP: u32 = 5;

/// One simulated machine without drivers.
#[derive(Debug)]
pub struct Machine {
    /// Buses, workqueues, log.
    pub driver_core: Arc<DriverCore>,
    /// Namespaces and network devices.
    pub net_core: Arc<NetCore>,
    /// Who makes the namespaces.
    pub namespaces: Arc<FakeNamespaces>,
    /// Generic netlink.
    pub genl: Arc<Genl>,
    /// devlink.
    pub devlink: Arc<Subsystem>,
    handles: Mutex<BTreeMap<NetId, Weak<FakeNetns>>>,
}

impl Machine {
    /// A machine that shows this kernel.
    pub fn new(kernel: KernelVersion) -> Arc<Self> {
        Machine::with(kernel, DriverCore::real_time(1))
    }

    /// A machine that shows this kernel, with the clock and the random numbers of `driver_core`.
    pub fn with(kernel: KernelVersion, driver_core: Arc<DriverCore>) -> Arc<Self> {
        let (net_core, namespaces) = FakeNamespaces::machine(Arc::clone(&driver_core));
        let genl = Genl::new(kernel, Upstream::None);
        let devlink =
            Subsystem::init(&mut Held::root(), &net_core, &genl, FAMILY_ID, FIRST_GROUP).unwrap();
        Arc::new(Machine {
            driver_core,
            net_core,
            namespaces,
            genl,
            devlink,
            handles: Mutex::default(),
        })
    }

    /// `ip netns add NAME`.
    pub fn netns_add(&self, name: &str) -> NetId {
        let netns = self.namespaces.add(name);
        let handle: Arc<dyn net_core::NetnsHandle> = Arc::<FakeNetns>::clone(&netns);
        let id = handle.id();
        // Whoever first opens a socket there makes it known; a test wants it known at once.
        self.net_core.get_net(&mut Held::root(), handle).unwrap();
        self.handles().insert(id, Arc::downgrade(&netns));
        id
    }

    /// `ip netns del NAME`, and waits until the namespace is gone.
    pub fn netns_del(&self, name: &str) {
        self.namespaces.del(name);
        self.net_core.flush_cleanup();
    }

    /// The first namespace.
    pub fn init_net(&self) -> NetId {
        self.net_core.init_net().id()
    }

    /// A client whose socket is in this namespace.
    pub fn client(self: &Arc<Self>, net: NetId) -> Client {
        Client::new(Arc::clone(self), net)
    }

    /// What the log says, without the stamps.
    pub fn log(&self) -> Vec<String> {
        let records = self.driver_core.klog().read(0).records;
        records
            .iter()
            .map(|record| record.text.to_string())
            .collect()
    }

    pub(crate) fn handle(&self, id: NetId) -> Option<Arc<FakeNetns>> {
        self.handles().get(&id).and_then(Weak::upgrade)
    }

    fn handles(&self) -> std::sync::MutexGuard<'_, BTreeMap<NetId, Weak<FakeNetns>>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs `f` in a thread of this name, which lock reports show as the task's.
pub fn task<R: Send>(name: &str, f: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|scope| {
        let task = std::thread::Builder::new().name(name.to_owned());
        let outcome = task.spawn_scoped(scope, f).unwrap().join();
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
