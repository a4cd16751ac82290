//! Instances: the table of them, references, and the locked instance.
//!
//! Three states of knowing an instance, each a type of its own:
//!
//! * [`Arc<Devlink>`](Devlink) is a **reference**. It keeps the memory and the lock, and says nothing about registration or
//!   namespace; both may change until the lock is held.
//! * [`Devl`] is the **locked instance**. What the kernel calls `devl_*` are its methods, so they cannot be called unlocked.
//!   [`Devlink::lock`] gives it to drivers; requests get it by `Devlink::lock_registered`, which looks at registration and
//!   namespace again, for both may have changed while it waited.
//! * [`Objects`] is the locked instance without the permission to take further locks. [`Devl::parts`] separates the two for a
//!   driver that takes a lock of its own and registers objects under it.
//!
//! The table is ordered by index, and every walk over it goes up: a namespace's end depends on that (a nested instance is
//! younger than the instance that makes it, and gone when its turn comes).

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use driver_core::Device;
use lock_order::DevlinkLock;
use lockdep::DynamicClass;
use lockdep::order::{Before, Held, Mutex as OrderedMutex, MutexGuard};
use net_core::{Net, NetId};
use netlink::KernelVersion;
use rustix::io::Errno;

use crate::dpipe::{DpipeHeader, DpipeTable};
use crate::health::Reporters;
use crate::linecard::Linecard;
use crate::nested::Rel;
use crate::notify;
use crate::ops::Ops;
use crate::param::ParamItem;
use crate::port::Ports;
use crate::rate::Rates;
use crate::region::{Regions, SnapshotIds};
use crate::reload::ReloadStats;
use crate::resource::Resources;
use crate::sb::Sb;
use crate::subsystem::Subsystem;
use crate::trap::TrapItem;
use crate::trap::group::TrapGroupItem;
use crate::trap::policer::TrapPolicerItem;

/// A device's devlink instance (`struct devlink`).
///
/// Made by [`Subsystem::alloc`], given back by [`free`](Self::free).
pub struct Devlink {
    subsystem: Arc<Subsystem>,
    index: u32,
    /// None for an instance that devices share; its names come from the index then.
    dev: Option<Arc<Device>>,
    /// The index as a name.
    index_name: String,
    driver_name: String,
    /// What the instance is nested in.
    rel: lockdep::Mutex<Option<Arc<Rel>>>,
    /// What is nested in the instance, by the number of the relation.
    nested_rels: lockdep::Mutex<BTreeMap<u32, Arc<Rel>>>,
    /// The namespace; written under the instance lock, read by anyone. Not a pin: the namespace may be gone.
    net: lockdep::RwLock<Arc<Net>>,
    registered: AtomicBool,
    /// Given out without the instance lock too.
    pub(crate) snapshot_ids: SnapshotIds,
    lock: OrderedMutex<DevlinkLock, State>,
}

/// The bus name of an instance without a device, and the one by which a client says that the device name is an index
/// (`DEVLINK_INDEX_BUS_NAME`).
pub(crate) const INDEX_BUS_NAME: &str = "devlink_index";

/// What the instance lock protects.
pub(crate) struct State {
    /// The driver's operations, which are the driver's state: given back when the driver frees the instance.
    ops: Arc<dyn Ops>,
    pub(crate) ports: Ports,
    pub(crate) params: BTreeMap<u32, ParamItem>,
    pub(crate) rates: Rates,
    /// In the order of their registration; so the groups and policers.
    pub(crate) traps: Vec<TrapItem>,
    pub(crate) trap_groups: Vec<TrapGroupItem>,
    pub(crate) trap_policers: Vec<TrapPolicerItem>,
    pub(crate) regions: Regions,
    pub(crate) resources: Resources,
    pub(crate) reporters: Reporters,
    pub(crate) sbs: Vec<Sb>,
    pub(crate) dpipe_tables: Vec<DpipeTable>,
    pub(crate) dpipe_headers: Option<&'static [&'static DpipeHeader]>,
    pub(crate) linecards: Vec<Arc<Linecard>>,
    pub(crate) reload_failed: bool,
    pub(crate) stats: ReloadStats,
    pub(crate) remote_stats: ReloadStats,
}

impl State {
    fn new(ops: Arc<dyn Ops>, kernel: KernelVersion) -> Self {
        Self {
            ops,
            ports: Ports::new(kernel),
            params: BTreeMap::new(),
            rates: Rates::default(),
            traps: Vec::new(),
            trap_groups: Vec::new(),
            trap_policers: Vec::new(),
            regions: Regions::new(),
            resources: Resources::default(),
            reporters: Reporters::new(),
            sbs: Vec::new(),
            dpipe_tables: Vec::new(),
            dpipe_headers: None,
            linecards: Vec::new(),
            reload_failed: false,
            stats: ReloadStats::default(),
            remote_stats: ReloadStats::default(),
        }
    }
}

/// The operations of an instance that its driver has freed.
struct Freed;

impl Ops for Freed {}

impl Devlink {
    pub(crate) fn new(
        subsystem: Arc<Subsystem>,
        index: u32,
        ops: Arc<dyn Ops>,
        net: Arc<Net>,
        dev: Option<Arc<Device>>,
        driver_name: String,
    ) -> Self {
        let class = DynamicClass::new("&devlink->lock");
        let state = State::new(ops, subsystem.kernel());
        Self {
            subsystem,
            index,
            dev,
            index_name: index.to_string(),
            driver_name,
            rel: lockdep::Mutex::named("&devlink->rel", None),
            nested_rels: lockdep::Mutex::named("&devlink->nested_rels", BTreeMap::new()),
            net: lockdep::RwLock::named("&devlink->_net", net),
            registered: AtomicBool::new(false),
            snapshot_ids: SnapshotIds::new(),
            lock: OrderedMutex::with_class(class, state),
        }
    }

    /// The instance's index: never 0-padded, given out cyclically, the order of every dump.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// First half of the handle: the name of the device's bus, `devlink_index` without a device.
    pub fn bus_name(&self) -> &str {
        self.dev.as_ref().map_or(INDEX_BUS_NAME, |dev| dev.bus())
    }

    /// Second half of the handle: the device's name, the index without a device.
    pub fn dev_name(&self) -> &str {
        self.dev.as_ref().map_or(&self.index_name, |dev| dev.name())
    }

    /// The device that the instance belongs to; `None` if several share it.
    pub fn dev(&self) -> Option<&Arc<Device>> {
        self.dev.as_ref()
    }

    /// What the instance is nested in.
    pub(crate) fn rel(&self) -> lockdep::MutexGuard<'_, Option<Arc<Rel>>> {
        self.rel
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// What is nested in the instance.
    pub(crate) fn nested_rels(&self) -> lockdep::MutexGuard<'_, BTreeMap<u32, Arc<Rel>>> {
        self.nested_rels
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn set_rel(&self, rel: &Arc<Rel>) {
        *self.rel() = Some(Arc::clone(rel));
    }

    /// Name of the driver that made the instance.
    pub fn driver_name(&self) -> &str {
        &self.driver_name
    }

    /// The kernel that the machine shows.
    pub fn kernel(&self) -> KernelVersion {
        self.subsystem.kernel()
    }

    /// The network namespace that the instance is in now. Stays so only while the instance is locked.
    pub fn net(&self) -> Arc<Net> {
        Arc::clone(
            &self
                .net
                .read()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        )
    }

    pub(crate) fn is_in(&self, net: NetId) -> bool {
        self.net().id() == net
    }

    /// Whether the instance is open to users now. Stays so only while the instance is locked.
    pub fn is_registered(&self) -> bool {
        self.registered.load(Ordering::Acquire)
    }

    pub(crate) fn subsystem(&self) -> &Arc<Subsystem> {
        &self.subsystem
    }

    /// Locks the instance (`devl_lock`).
    #[track_caller]
    #[inline(always)]
    pub fn lock<'t, H: Before<DevlinkLock>>(
        self: &'t Arc<Self>,
        held: &'t mut Held<'_, H>,
    ) -> Devl<'t> {
        let (state, held) = self.lock.lock(held);
        Devl {
            objects: Objects {
                devlink: self,
                state,
            },
            held,
        }
    }

    /// Locks the instance if nobody has it (`devl_trylock`): for work that may be called off by who holds the lock, and so
    /// must not wait for it. Nothing of the declared order may be taken under it.
    #[track_caller]
    pub fn try_lock(self: &Arc<Self>) -> Option<Objects<'_>> {
        Some(Objects {
            devlink: self,
            state: self.lock.try_lock()?,
        })
    }

    /// Locks the instance for a request from `net`.
    ///
    /// Looks again at what was true when the instance was found: it may have been unregistered since, and a reload may have
    /// taken it to another namespace (the second the kernel leaves out).
    ///
    /// # Errors
    ///
    /// `ENODEV` if the instance is no longer there for that namespace.
    #[track_caller]
    #[inline(always)]
    pub(crate) fn lock_registered<'t, H: Before<DevlinkLock>>(
        self: &'t Arc<Self>,
        held: &'t mut Held<'_, H>,
        net: NetId,
    ) -> Result<Devl<'t>, Errno> {
        let devl = self.lock(held);
        if devl.is_registered() && self.is_in(net) {
            Ok(devl)
        } else {
            Err(Errno::NODEV)
        }
    }

    /// Opens the instance to users (`devlink_register`).
    pub fn register<H: Before<DevlinkLock>>(self: &Arc<Self>, held: &mut Held<'_, H>) {
        self.lock(held).register();
    }

    /// Closes the instance to users (`devlink_unregister`).
    pub fn unregister<H: Before<DevlinkLock>>(self: &Arc<Self>, held: &mut Held<'_, H>) {
        self.lock(held).unregister();
    }

    /// Takes the instance out of the table. The driver's last act on it; whoever still has a reference finds it unregistered.
    ///
    /// Warns, as `devlink_free` does, about every kind of object that the driver has left behind.
    pub fn free<H: Before<DevlinkLock>>(self: &Arc<Self>, held: &mut Held<'_, H>) {
        self.warn_on(
            self.is_registered(),
            "devlink_free",
            "the instance is registered",
        );
        let mut devl = self.lock(held);
        let state = &*devl.state;
        let left = [
            (!state.ports.is_empty(), "ports are left"),
            (!state.rates.is_empty(), "rate objects are left"),
            (!state.traps.is_empty(), "traps are left"),
            (!state.trap_groups.is_empty(), "trap groups are left"),
            (!state.trap_policers.is_empty(), "trap policers are left"),
            (!state.regions.is_empty(), "regions are left"),
            (!state.resources.is_empty(), "resources are left"),
            (!state.reporters.is_empty(), "health reporters are left"),
        ];
        for (is_left, what) in left {
            self.warn_on(is_left, "devlink_free", what);
        }
        self.warn_on(
            !devl.state.dpipe_tables.is_empty(),
            "devlink_free",
            "dpipe tables are left",
        );
        self.warn_on(
            !devl.state.sbs.is_empty(),
            "devlink_free",
            "shared buffers are left",
        );
        self.warn_on(
            !devl.state.linecards.is_empty(),
            "devlink_free",
            "line cards are left",
        );
        // What the driver gave it leads back to the driver, and from there to the instance. Dropped after the lock: it may be
        // the last of it, and a driver's drop is foreign code. That parameters are left is no fault, in the kernel neither.
        let freed = std::mem::replace(&mut *devl.state, State::new(Arc::new(Freed), self.kernel()));
        drop(devl);
        drop(freed);
        self.subsystem.forget(self.index);
    }

    /// What the kernel's `WARN_ON` is for: a driver has broken the rules, the core goes on.
    pub(crate) fn warn_on(&self, broken: bool, function: &str, what: &str) -> bool {
        if broken {
            self.subsystem.warn(format_args!(
                "{}/{}: {function}: {what}",
                self.bus_name(),
                self.dev_name()
            ));
        }
        broken
    }
}

impl fmt::Debug for Devlink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Devlink")
            .field("index", &self.index)
            .field(
                "handle",
                &format_args!("{}/{}", self.bus_name(), self.dev_name()),
            )
            .field("registered", &self.is_registered())
            .finish_non_exhaustive()
    }
}

/// The locked instance: its objects, and the permission to take the locks that come after its own.
pub struct Devl<'t> {
    objects: Objects<'t>,
    held: Held<'t, DevlinkLock>,
}

impl<'t> Devl<'t> {
    /// The permission to take what may follow the instance lock: drivers' locks, rtnl, child devices.
    pub fn held(&mut self) -> &mut Held<'t, DevlinkLock> {
        &mut self.held
    }

    /// Both halves at once, for a driver that takes a lock of its own and registers objects while it holds it.
    pub fn parts(&mut self) -> (&mut Objects<'t>, &mut Held<'t, DevlinkLock>) {
        (&mut self.objects, &mut self.held)
    }
}

impl<'t> Deref for Devl<'t> {
    type Target = Objects<'t>;

    fn deref(&self) -> &Objects<'t> {
        &self.objects
    }
}

impl<'t> DerefMut for Devl<'t> {
    fn deref_mut(&mut self) -> &mut Objects<'t> {
        &mut self.objects
    }
}

impl fmt::Debug for Devl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Devl").field(self.objects.devlink).finish()
    }
}

/// The objects of a locked instance.
pub struct Objects<'t> {
    devlink: &'t Arc<Devlink>,
    pub(crate) state: MutexGuard<'t, DevlinkLock, State>,
}

impl<'t> Objects<'t> {
    /// The instance that is locked.
    pub fn devlink(&self) -> &'t Arc<Devlink> {
        self.devlink
    }

    /// The driver's operations.
    pub fn ops(&self) -> Arc<dyn Ops> {
        Arc::clone(&self.state.ops)
    }

    /// Whether the instance is open to users; cannot change while it is locked.
    pub fn is_registered(&self) -> bool {
        self.devlink.is_registered()
    }

    /// Opens the instance to users and tells them of it and of all that it has (`devl_register`).
    ///
    /// A driver may do this before or after it registers the instance's objects.
    pub fn register(&mut self) {
        self.devlink.warn_on(
            self.is_registered(),
            "devl_register",
            "the instance is registered already",
        );
        self.devlink.registered.store(true, Ordering::Release);
        notify::register(self);
        self.devlink.nested_in_notify();
    }

    /// Tells the users that all objects and the instance go, and closes it to them (`devl_unregister`).
    pub fn unregister(&mut self) {
        self.devlink.warn_on(
            !self.is_registered(),
            "devl_unregister",
            "the instance is not registered",
        );
        notify::unregister(self);
        self.devlink.registered.store(false, Ordering::Release);
        self.devlink.rel_put();
    }

    /// Whether the last reload failed half-way: the driver's objects are down.
    pub fn is_reload_failed(&self) -> bool {
        self.state.reload_failed
    }

    /// Moves the instance to another namespace. Only a reload does that, with the notifications around it.
    pub(crate) fn set_net(&mut self, net: Arc<Net>) {
        *self
            .devlink
            .net
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = net;
    }
}

impl fmt::Debug for Objects<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Objects").field(self.devlink).finish()
    }
}
