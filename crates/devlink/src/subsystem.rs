//! The subsystem: the table of instances and its place in the machine.
//!
//! [`Subsystem::init`] does what `devlink_init` does at boot, in the same order: pernet operations, generic netlink family,
//! global netdevice notifier. The pernet operations are how an instance comes home when its namespace dies.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, Weak};

use driver_core::{Clock, Device, FirmwareLoader, Klog};
use lock_order::{PernetOps, Rtnl};
use lockdep::order::{Before, Held};
use net_core::{Net, NetCore, NetId, NetRef, PernetOperations};
use netlink::genl::{FamilyHandle, Genl, NetnsRef};
use netlink::{ExtAck, KernelVersion};
use rustix::io::Errno;

use crate::core::Devlink;
use crate::netlink::DevlinkFamily;
use crate::ops::Ops;
use crate::port::{self, TypeWarn};
use crate::reload::{self, ReloadAction, ReloadLimit};
use crate::shared::SharedInstance;

/// The devlink subsystem of one machine.
pub struct Subsystem {
    kernel: KernelVersion,
    net_core: Arc<NetCore>,
    klog: Arc<Klog>,
    devlinks: lockdep::Mutex<Table>,
    /// The way to the listeners; set while the family is registered.
    handle: OnceLock<FamilyHandle>,
    warnings: AtomicU64,
    next_rel_index: AtomicU32,
    type_warn: TypeWarn,
    pub(crate) shared: lockdep::Mutex<Vec<SharedInstance>>,
}

/// The kernel's `devlinks` xarray: indexes of 31 bits, given out cyclically.
#[derive(Default)]
struct Table {
    by_index: BTreeMap<u32, Arc<Devlink>>,
    /// The indexes by handle, ascending. The kernel walks all instances instead; the cost of a request must not grow with
    /// their number. A handle has several for as long as an instance outlives its device.
    by_handle: HashMap<Handle, Vec<u32>>,
    next: u32,
}

/// Bus name and device name, a NUL after the first.
type Handle = Vec<u8>;

fn handle_of(bus_name: &[u8], dev_name: &[u8]) -> Handle {
    [bus_name, b"\0", dev_name].concat()
}

impl Table {
    const LIMIT: u32 = 0x7fff_ffff;

    fn free_index(&self) -> Option<u32> {
        let is_free = |index: &u32| !self.by_index.contains_key(index);
        (self.next..=Self::LIMIT).chain(0..self.next).find(is_free)
    }

    fn insert(&mut self, devlink: &Arc<Devlink>) {
        let index = devlink.index();
        let handle = handle_of(devlink.bus_name().as_bytes(), devlink.dev_name().as_bytes());
        let indexes = self.by_handle.entry(handle).or_default();
        let place = indexes.partition_point(|&other| other < index);
        indexes.insert(place, index);
        self.by_index.insert(index, Arc::clone(devlink));
    }

    fn remove(&mut self, index: u32) -> Option<Arc<Devlink>> {
        let devlink = self.by_index.remove(&index)?;
        let handle = handle_of(devlink.bus_name().as_bytes(), devlink.dev_name().as_bytes());
        if let Some(indexes) = self.by_handle.get_mut(&handle) {
            indexes.retain(|&other| other != index);
            if indexes.is_empty() {
                self.by_handle.remove(&handle);
            }
        }
        Some(devlink)
    }
}

impl Subsystem {
    /// Registers the subsystem with the machine's namespaces, generic netlink and network devices. The family gets the id and its
    /// multicast group the number given, neither used by anyone else on the machine.
    ///
    /// # Errors
    ///
    /// Those of the registrations.
    pub fn init<H: Before<PernetOps> + Before<Rtnl>>(
        held: &mut Held<'_, H>,
        net_core: &Arc<NetCore>,
        genl: &Arc<Genl>,
        family_id: u16,
        first_group: u32,
    ) -> Result<Arc<Self>, Errno> {
        let subsystem = Arc::new_cyclic(|subsystem| Self {
            kernel: genl.kernel(),
            net_core: Arc::clone(net_core),
            klog: Arc::clone(net_core.klog()),
            devlinks: lockdep::Mutex::named("&devlinks.xa_lock", Table::default()),
            handle: OnceLock::new(),
            warnings: AtomicU64::new(0),
            next_rel_index: AtomicU32::new(1),
            type_warn: TypeWarn::new(subsystem),
            shared: lockdep::Mutex::named("shd_mutex", Vec::new()),
        });
        net_core
            .register_pernet_subsys(held, Arc::new(DevlinkPernet(Arc::downgrade(&subsystem))))?;
        genl.register(
            Arc::new(DevlinkFamily::new(&subsystem)),
            family_id,
            first_group,
        );
        net_core.register_netdevice_notifier(held, &port::netdevice_notifier())?;
        net_core.set_devlink_compat(port::compat());
        Ok(subsystem)
    }

    /// Makes an instance for `dev`, in the namespace `net`; not registered yet (`devlink_alloc_ns`).
    ///
    /// # Errors
    ///
    /// `EINVAL` if the reload actions and limits that `ops` states make no sense, `ENOSPC` if all indexes are taken.
    pub fn alloc(
        self: &Arc<Self>,
        ops: Arc<dyn Ops>,
        net: Arc<Net>,
        dev: Arc<Device>,
    ) -> Result<Arc<Devlink>, Errno> {
        let driver_name = dev
            .driver()
            .map_or_else(String::new, |driver| driver.name().to_owned());
        self.alloc_for(ops, net, Some(dev), driver_name)
    }

    /// As [`alloc`](Self::alloc), perhaps without a device (`__devlink_alloc`).
    pub(crate) fn alloc_for(
        self: &Arc<Self>,
        ops: Arc<dyn Ops>,
        net: Arc<Net>,
        dev: Option<Arc<Device>>,
        driver_name: String,
    ) -> Result<Arc<Devlink>, Errno> {
        if !reload::actions_valid(&*ops) {
            return Err(Errno::INVAL);
        }
        let mut table = self.table();
        let index = table.free_index().ok_or(Errno::NOSPC)?;
        table.next = if index == Table::LIMIT { 0 } else { index + 1 };
        let devlink = Arc::new(Devlink::new(
            Arc::clone(self),
            index,
            ops,
            net,
            dev,
            driver_name,
        ));
        table.insert(&devlink);
        Ok(devlink)
    }

    /// A reference to the first registered instance in `net` whose index is `from` or more.
    pub(crate) fn find_get(&self, net: NetId, from: u32) -> Option<Arc<Devlink>> {
        self.find(from, |devlink| {
            devlink.is_registered() && devlink.is_in(net)
        })
    }

    /// A reference to the registered instance of this index, if it is in `net`.
    pub(crate) fn get_by_index(&self, net: NetId, index: u32) -> Option<Arc<Devlink>> {
        let devlink = self.table().by_index.get(&index).cloned()?;
        (devlink.is_registered() && devlink.is_in(net)).then_some(devlink)
    }

    /// A reference to the registered instance of this handle, if it is in `net`.
    pub(crate) fn get_by_name(
        &self,
        net: NetId,
        bus_name: &[u8],
        dev_name: &[u8],
    ) -> Option<Arc<Devlink>> {
        let table = self.table();
        let indexes = table.by_handle.get(&handle_of(bus_name, dev_name))?;
        let mut named = indexes.iter().filter_map(|index| table.by_index.get(index));
        let found = named.find(|devlink| devlink.is_registered() && devlink.is_in(net));
        found.cloned()
    }

    fn find(&self, from: u32, wanted: impl Fn(&Devlink) -> bool) -> Option<Arc<Devlink>> {
        self.table()
            .by_index
            .range(from..)
            .map(|(_, devlink)| devlink)
            .find(|devlink| wanted(devlink))
            .cloned()
    }

    pub(crate) fn forget(&self, index: u32) {
        let gone = self.table().remove(index);
        // Not under the table's lock: this may be the last reference, and what it drops takes locks.
        drop(gone);
    }

    fn table(&self) -> lockdep::MutexGuard<'_, Table> {
        self.devlinks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The kernel that the machine shows.
    pub fn kernel(&self) -> KernelVersion {
        self.kernel
    }

    pub(crate) fn net_core(&self) -> &Arc<NetCore> {
        &self.net_core
    }

    pub(crate) fn next_rel_index(&self) -> u32 {
        self.next_rel_index.fetch_add(1, Ordering::Relaxed)
    }

    /// Where drivers find firmware.
    pub(crate) fn firmware(&self) -> &Arc<dyn FirmwareLoader> {
        self.net_core.drivers().firmware()
    }

    /// Ports that are without a type.
    pub(crate) fn type_warn(&self) -> &TypeWarn {
        &self.type_warn
    }

    /// The machine's clock.
    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        self.net_core.drivers().clock()
    }

    pub(crate) fn handle(&self) -> Option<&FamilyHandle> {
        self.handle.get()
    }

    pub(crate) fn set_handle(&self, handle: FamilyHandle) {
        // A family is registered once.
        _ = self.handle.set(handle);
    }

    /// The machine's namespace that a request has named.
    pub(crate) fn net_of(&self, netns: &NetnsRef) -> Result<Arc<Net>, Errno> {
        match netns.handle.downcast_ref::<NetRef>() {
            Some(net) => Ok(Arc::clone(net.net())),
            None => self.net_core.net(NetId(netns.net.0)).ok_or(Errno::INVAL),
        }
    }

    /// How many rules drivers have broken since boot; each has a line in the log.
    pub fn warnings(&self) -> u64 {
        self.warnings.load(Ordering::Relaxed)
    }

    pub(crate) fn warn(&self, what: fmt::Arguments<'_>) {
        self.warnings.fetch_add(1, Ordering::Relaxed);
        self.klog.warn(format_args!("WARNING: devlink {what}"));
    }
}

impl fmt::Debug for Subsystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subsystem")
            .field("kernel", &self.kernel)
            .finish_non_exhaustive()
    }
}

/// What happens to the instances of a namespace that goes: they go home.
struct DevlinkPernet(Weak<Subsystem>);

impl PernetOperations for DevlinkPernet {
    fn name(&self) -> &str {
        "devlink"
    }

    fn pre_exit(&self, core: &Arc<NetCore>, net: &Arc<Net>, held: &mut Held<'_, PernetOps>) {
        if let Some(subsystem) = self.0.upgrade() {
            devlink_pernet_pre_exit(&subsystem, core, net, held);
        }
    }
}

/// Reloads every instance of a namespace that goes into the first one. Upwards: an instance that is made by another's driver
/// is gone when its turn would come.
///
/// A driver that cannot be reloaded is left alone, silently; the instance of one that fails stays where it is, out of
/// every user's reach, until its driver removes it or the device is bound anew.
#[inline(never)]
fn devlink_pernet_pre_exit(
    subsystem: &Subsystem,
    core: &Arc<NetCore>,
    net: &Arc<Net>,
    held: &mut Held<'_, PernetOps>,
) {
    let mut from = 0;
    while let Some(devlink) = subsystem.find_get(net.id(), from) {
        from = devlink.index() + 1;
        // One that several devices share has no driver to reload it, and never leaves the first namespace.
        let Some(dev) = devlink.dev() else {
            continue;
        };
        let mut dev = dev.lock(held);
        // Unregistered, or moved away by a user, while we waited: then there is nothing to do.
        let Ok(mut devl) = devlink.lock_registered(dev.held(), net.id()) else {
            continue;
        };
        let home = Arc::clone(core.init_net());
        let (action, limit) = (ReloadAction::DriverReinit, ReloadLimit::Unspec);
        let reloaded =
            reload::devlink_reload(&mut devl, Some(home), action, limit, &mut ExtAck::default());
        if reloaded.is_err_and(|errno| errno != Errno::OPNOTSUPP) {
            subsystem.klog.warn(format_args!(
                "Failed to reload devlink instance into init_net"
            ));
        }
    }
}
