//! Link aggregation of an adapter's ports (`lag/lag.c`).
//!
//! The functions of one adapter share one [`Lag`], from the first that is loaded to the last that is unloaded. It follows
//! the network devices of the functions with a notifier of one namespace, which needs `rtnl_mutex` only. Bonds are the real
//! kernel's, which nobody here hears of, so there is one way to aggregate the ports: to make them one switch
//! (`mpesw`), by the parameter `esw_multiport`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, Weak};

use lock_order::DriverLock;
use lockdep::ClassKey;
use lockdep::order::{self, Before, Held};
use net_core::{Net, Netdev, NetdevEvent, NotifierBlock};

use crate::core_dev::CoreDev;
use crate::devcom::Component;
use crate::locking::DriverLocking;

mod debugfs;
pub(crate) mod mpesw;

static LDEV_LOCK: ClassKey = ClassKey::new("&ldev->lock");

/// What the functions of one adapter share (`struct mlx5_lag`).
pub struct Lag {
    /// Where the notifier is registered.
    net: Arc<Net>,
    nb: Arc<NotifierBlock>,
    state: order::Mutex<DriverLock, LagState>,
    tracker: Arc<lockdep::Mutex<Tracker>>,
    members: lockdep::Mutex<Members>,
}

/// What everybody may ask. Changed under `&ldev->lock`, and a leaf (`lag_lock`).
#[derive(Default)]
struct Members {
    /// The functions that take part, by their number.
    functions: BTreeMap<u8, Weak<CoreDev>>,
    /// Their ports are one switch (`MLX5_LAG_MODE_MPESW`).
    multiport: bool,
}

#[derive(Debug, Default)]
struct LagState {
    /// Eswitches that are changing their mode: until they are done nothing is aggregated.
    mode_changes_in_progress: u32,
    /// The last function has left; nobody may join any more.
    dead: bool,
}

/// What is known about the functions' links (`struct lag_tracker`). Written by the notifier, so a leaf.
#[derive(Debug, Default)]
struct Tracker {
    ports: BTreeMap<u8, Port>,
}

#[derive(Debug)]
struct Port {
    netdev: Arc<Netdev>,
    link_up: bool,
}

impl Lag {
    fn alloc(dev: &CoreDev, held: &mut Held<'_, DriverLock>) -> Arc<Self> {
        let net_core = dev.module().net_core();
        let net = match dev.locking() {
            DriverLocking::Today => dev.devlink().net(),
            DriverLocking::November2021 => Arc::clone(net_core.init_net()),
        };
        let tracker = Arc::new(lockdep::Mutex::named("ldev->tracker", Tracker::default()));
        let nb = NotifierBlock::new("lag_netdev_event", {
            let tracker = Arc::clone(&tracker);
            move |_rtnl, event, netdev| {
                lag_netdev_event(&tracker, event, netdev);
                Ok(())
            }
        });
        if let Err(errno) = net_core.register_netdevice_notifier_net(held, &net, &nb) {
            dev.err(format_args!(
                "Failed to register LAG netdev notifier: {errno}"
            ));
        }
        Arc::new(Lag {
            net,
            nb,
            state: order::Mutex::with_class(&LDEV_LOCK, LagState::default()),
            tracker,
            members: lockdep::Mutex::named("lag_lock", Members::default()),
        })
    }

    fn members(&self) -> lockdep::MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The functions, by number.
    fn functions(&self) -> Vec<Arc<CoreDev>> {
        let members = self.members();
        members
            .functions
            .values()
            .filter_map(Weak::upgrade)
            .collect()
    }

    /// `__mlx5_lag_is_active`
    fn is_active(&self) -> bool {
        self.members().multiport
    }

    fn tracker(&self) -> lockdep::MutexGuard<'_, Tracker> {
        self.tracker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the function in, unless the last one has just left.
    fn add(&self, dev: &Arc<CoreDev>, held: &mut Held<'_, DriverLock>) -> bool {
        let (state, _held) = self.state.lock(held);
        if state.dead {
            return false;
        }
        let functions = &mut self.members().functions;
        functions.insert(dev.dev_index(), Arc::downgrade(dev));
        true
    }
}

impl fmt::Debug for Lag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lag")
            .field("net", &self.net.id())
            .finish_non_exhaustive()
    }
}

/// Under `rtnl_mutex`.
fn lag_netdev_event(tracker: &lockdep::Mutex<Tracker>, event: NetdevEvent, netdev: &Arc<Netdev>) {
    if !matches!(
        event,
        NetdevEvent::Up | NetdevEvent::Down | NetdevEvent::Change
    ) {
        return;
    }
    let mut tracker = tracker.lock().unwrap_or_else(PoisonError::into_inner);
    let port = tracker
        .ports
        .values_mut()
        .find(|port| Arc::ptr_eq(&port.netdev, netdev));
    if let Some(port) = port {
        port.link_up = netdev.is_up() && netdev.carrier();
    }
}

/// A function that is loaded joins the others of its adapter, or makes the [`Lag`] that they will join.
#[inline(never)]
pub(crate) fn lag_add_mdev(dev: &Arc<CoreDev>, held: &mut Held<'_, DriverLock>) {
    if !dev.is_pf() {
        return;
    }
    let component = Component::of(dev);
    let (_guard, mut held) = component.sem().write(held);
    let joined = component
        .peers(dev)
        .iter()
        .filter_map(|peer| of(peer))
        .find(|ldev| ldev.add(dev, &mut held));
    let ldev = joined.unwrap_or_else(|| {
        let ldev = Lag::alloc(dev, &mut held);
        ldev.add(dev, &mut held);
        ldev
    });
    set(dev, Some(ldev));
    debugfs::add(dev);
}

/// A function that is unloaded leaves; the last one takes the notifier with it.
#[inline(never)]
pub(crate) fn lag_remove_mdev(dev: &Arc<CoreDev>, held: &mut Held<'_, DriverLock>) {
    let Some(ldev) = set(dev, None) else {
        return;
    };
    debugfs::remove(dev);
    let last = {
        let (mut state, _held) = ldev.state.lock(held);
        let functions = &mut ldev.members().functions;
        functions.remove(&dev.dev_index());
        state.dead = functions.is_empty();
        state.dead
    };
    if last {
        let net_core = dev.module().net_core();
        if let Err(errno) = net_core.unregister_netdevice_notifier_net(held, &ldev.net, &ldev.nb) {
            dev.err(format_args!(
                "Failed to unregister LAG netdev notifier: {errno}"
            ));
        }
    }
}

/// The function's eswitch begins to change: what is aggregated is not, until [`enable_change`] (`lag.c:
/// mlx5_lag_disable_change`).
pub(crate) fn disable_change<H: Before<DriverLock>>(dev: &Arc<CoreDev>, held: &mut Held<'_, H>) {
    change(dev, held, |ldev, changes, held| {
        mpesw::disable_locked(ldev, held);
        changes + 1
    });
}

/// The function's eswitch has changed (`lag.c: mlx5_lag_enable_change`).
pub(crate) fn enable_change<H: Before<DriverLock>>(dev: &Arc<CoreDev>, held: &mut Held<'_, H>) {
    change(dev, held, |_, changes, _| changes.saturating_sub(1));
}

fn change<H: Before<DriverLock>>(
    dev: &Arc<CoreDev>,
    held: &mut Held<'_, H>,
    count: impl FnOnce(&Lag, u32, &mut Held<'_, DriverLock>) -> u32,
) {
    let Some(ldev) = of(dev) else { return };
    let (_guard, mut held) = Component::of(dev).sem().write(held);
    let (mut state, mut held) = ldev.state.lock(&mut held);
    state.mode_changes_in_progress = count(&ldev, state.mode_changes_in_progress, &mut held);
}

/// Whether the function's port is aggregated (`mlx5_lag_is_active`).
pub(crate) fn is_active(dev: &CoreDev) -> bool {
    of(dev).is_some_and(|ldev| ldev.is_active())
}

/// The functions whose switches are one with this function's, itself among them, by number; none while it is alone.
pub(crate) fn shared_fdb(dev: &CoreDev) -> Vec<Arc<CoreDev>> {
    let ldev = of(dev).filter(|ldev| ldev.is_active());
    ldev.map(|ldev| ldev.functions()).unwrap_or_default()
}

/// The network device of the function's port.
pub(crate) fn netdev(dev: &CoreDev) -> Option<Arc<Netdev>> {
    let ldev = of(dev)?;
    let tracker = ldev.tracker();
    Some(Arc::clone(&tracker.ports.get(&dev.dev_index())?.netdev))
}

/// The function's network device is there.
pub(crate) fn lag_add_netdev(dev: &CoreDev, netdev: &Arc<Netdev>) {
    if let Some(ldev) = of(dev) {
        let port = Port {
            netdev: Arc::clone(netdev),
            link_up: false,
        };
        ldev.tracker().ports.insert(dev.dev_index(), port);
    }
}

/// The function's network device goes.
pub(crate) fn lag_remove_netdev(dev: &CoreDev) {
    if let Some(ldev) = of(dev) {
        let gone = ldev.tracker().ports.remove(&dev.dev_index());
        drop(gone);
    }
}

fn of(dev: &CoreDev) -> Option<Arc<Lag>> {
    dev.lag
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}

fn set(dev: &CoreDev, ldev: Option<Arc<Lag>>) -> Option<Arc<Lag>> {
    let mut lag = dev.lag.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::replace(&mut *lag, ldev)
}
