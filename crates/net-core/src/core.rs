//! One simulated machine's worth of networking.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError, Weak};

use driver_core::{DriverCore, Klog, Work, Workqueue};
use lock_order::Rtnl;
use lockdep::order::{self, Held, Unlocked};
use rustix::io::Errno;

use crate::backend::NetdevBackend;
use crate::fib::Fib;
use crate::namespace::cleanup_net;
use crate::net::{Net, NetRef};
use crate::netdev::Netdev;
use crate::pernet::PernetList;
use crate::register::DefaultDevice;
use crate::rtnl::RtnlState;
use crate::rwsem::PernetRwsem;
use crate::source::{NamespaceSource, NetnsHandle};
use crate::sysfs::ClassDir;

/// Namespaces, network devices and their notifiers of one machine.
pub struct NetCore {
    me: Weak<NetCore>,
    drivers: Arc<DriverCore>,
    pub(crate) source: Arc<dyn NamespaceSource>,
    pub(crate) backend: Option<Arc<dyn NetdevBackend>>,
    pub(crate) init_net: Arc<Net>,
    init_handle: Arc<dyn NetnsHandle>,
    /// The list of pernet operations; held for reading while a namespace comes or goes.
    pub(crate) pernet_ops_rwsem: PernetRwsem<PernetList>,
    /// The namespaces, the oldest first. A leaf.
    nets: lockdep::RwLock<Vec<Arc<Net>>>,
    /// One namespace is set up at a time.
    pub(crate) setup_lock: lockdep::Mutex<()>,
    pub(crate) cleanup_list: lockdep::Mutex<Vec<Arc<Net>>>,
    pub(crate) netns_wq: Workqueue,
    pub(crate) setup_work: Work,
    pub(crate) cleanup_work: Work,
    pub(crate) rtnl: order::Mutex<Rtnl, RtnlState>,
    pub(crate) linkwatch_list: lockdep::Mutex<VecDeque<Arc<Netdev>>>,
    pub(crate) linkwatch_work: Work,
    pub(crate) fib: Fib,
    /// What sysfs shows: the registered devices. A leaf.
    pub(crate) class_net: lockdep::Mutex<Vec<Arc<Netdev>>>,
    devlink_compat: OnceLock<DevlinkCompat>,
}

/// What network devices show of their devlink ports (`net/devlink/port.c: devlink_compat_phys_port_name_get`,
/// `devlink_compat_switch_id_get`). Each answers `EOPNOTSUPP` for what a port has not got.
#[derive(Clone, Copy, Debug)]
pub struct DevlinkCompat {
    /// The port's name on the outside of the device.
    pub phys_port_name: fn(&Netdev) -> Result<String, Errno>,
    /// The identity of the switch that the port is on.
    pub switch_id: fn(&Netdev) -> Result<Vec<u8>, Errno>,
}

impl NetCore {
    /// Networking on this driver core, which starts in the namespace behind `init`. With a backend, network devices are
    /// real.
    ///
    /// # Errors
    /// What the source says about watching `init`.
    pub fn new(
        drivers: Arc<DriverCore>,
        init: Arc<dyn NetnsHandle>,
        source: Arc<dyn NamespaceSource>,
        backend: Option<Arc<dyn NetdevBackend>>,
    ) -> Result<Arc<Self>, Errno> {
        source.watch(&*init)?;
        let netns_wq = Workqueue::alloc_ordered(drivers.workers(), "netns");
        let init_net = Net::new(init.id());
        init_net.set_set_up();
        let class = drivers.sysfs().dir("class");
        let core = Arc::new_cyclic(|me: &Weak<NetCore>| NetCore {
            me: Weak::clone(me),
            source,
            backend,
            nets: lockdep::RwLock::named("net_rwsem", vec![Arc::clone(&init_net)]),
            init_net,
            init_handle: init,
            pernet_ops_rwsem: PernetRwsem::new(PernetList::starting_with(Arc::new(DefaultDevice))),
            setup_lock: lockdep::Mutex::named("setup_net", ()),
            cleanup_list: lockdep::Mutex::named("cleanup_list", Vec::new()),
            netns_wq,
            setup_work: Work::on("net_setup_work", Weak::clone(me), NetCore::setup_new_nets),
            cleanup_work: Work::on("net_cleanup_work", Weak::clone(me), cleanup_net),
            rtnl: order::Mutex::new(RtnlState::default()),
            linkwatch_list: lockdep::Mutex::named("lweventlist_lock", VecDeque::new()),
            linkwatch_work: Work::on("linkwatch_work", Weak::clone(me), linkwatch_event),
            fib: Fib::new(),
            class_net: lockdep::Mutex::named("class net", Vec::new()),
            devlink_compat: OnceLock::new(),
            drivers,
        });
        if let Some(class) = class {
            // A machine has one networking, and so one such directory.
            let _ = class.create_dynamic_dir("net", ClassDir(Arc::downgrade(&core)));
        }
        Ok(core)
    }

    /// The driver core below.
    pub fn drivers(&self) -> &Arc<DriverCore> {
        &self.drivers
    }

    /// From now on network devices show what devlink knows of their ports. `false` if there is a devlink already.
    pub fn set_devlink_compat(&self, compat: DevlinkCompat) -> bool {
        self.devlink_compat.set(compat).is_ok()
    }

    pub(crate) fn devlink_compat(&self) -> Option<DevlinkCompat> {
        self.devlink_compat.get().copied()
    }

    /// The machine's log.
    pub fn klog(&self) -> &Arc<Klog> {
        self.drivers.klog()
    }

    /// An active reference to the namespace that the machine starts in.
    pub fn init_net_ref(&self) -> NetRef {
        NetRef::new(Arc::clone(&self.init_net), Arc::clone(&self.init_handle))
    }

    pub(crate) fn arc(&self) -> Arc<NetCore> {
        // `&self` came from an `Arc`: there is no other way to get a `NetCore`.
        self.me
            .upgrade()
            .expect("a NetCore in use is owned by an Arc")
    }

    pub(crate) fn read_nets(&self) -> lockdep::RwLockReadGuard<'_, Vec<Arc<Net>>> {
        self.nets.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write_nets(&self) -> lockdep::RwLockWriteGuard<'_, Vec<Arc<Net>>> {
        self.nets.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The work item `linkwatch_work`: tells of carriers that have come or gone (`net/core/link_watch.c`).
fn linkwatch_event(core: &Arc<NetCore>, held: &mut Held<'_, Unlocked>) {
    core.rtnl_lock(held).linkwatch_run_queue();
}

impl fmt::Debug for NetCore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetCore")
            .field("nets", &self.nets())
            .finish_non_exhaustive()
    }
}
