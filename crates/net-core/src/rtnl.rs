//! `rtnl_mutex`: the lock of all network devices and notifier chains (`net/core/rtnetlink.c`).
//!
//! What the kernel calls "under RTNL" are methods of the [`RtnlGuard`]; a notifier's callback is handed the guard, so it
//! can do all of it, too.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use lock_order::Rtnl;
use lockdep::order::{self, Before, Held};

use crate::core::NetCore;
use crate::devices::Devices;
use crate::net::{Net, NetId};
use crate::netdev::Netdev;
use crate::notifier::Chain;

/// What `rtnl_mutex` protects.
#[derive(Default)]
pub(crate) struct RtnlState {
    /// The global chain of notifiers.
    pub(crate) chain: Chain,
    pub(crate) nets: BTreeMap<NetId, NetDevices>,
}

/// The network devices of one namespace.
#[derive(Default)]
pub(crate) struct NetDevices {
    pub(crate) devices: Devices,
    /// The namespace's own chain of notifiers.
    pub(crate) chain: Chain,
    /// The last interface index that the model gave out.
    pub(crate) last_ifindex: u32,
}

/// `rtnl_mutex` is held.
pub struct RtnlGuard<'t> {
    core: &'t NetCore,
    pub(crate) state: order::MutexGuard<'t, Rtnl, RtnlState>,
    held: Held<'t, Rtnl>,
}

impl NetCore {
    /// Takes `rtnl_mutex` (`rtnl_lock`).
    #[track_caller]
    #[inline(never)]
    pub fn rtnl_lock<'t, H>(&'t self, held: &'t mut Held<'_, H>) -> RtnlGuard<'t>
    where
        H: Before<Rtnl>,
    {
        let (state, held) = self.rtnl.lock(held);
        RtnlGuard {
            core: self,
            state,
            held,
        }
    }
}

impl<'t> RtnlGuard<'t> {
    /// The machine's networking.
    pub fn core(&self) -> &'t NetCore {
        self.core
    }

    /// The permission to take what comes after `rtnl_mutex`.
    pub fn held(&mut self) -> &mut Held<'t, Rtnl> {
        &mut self.held
    }

    /// The devices of a namespace, in the order in which they came (`for_each_netdev`).
    pub fn devices(&self, net: &Net) -> Vec<Arc<Netdev>> {
        self.state
            .nets
            .get(&net.id())
            .map(|list| list.devices.all())
            .unwrap_or_default()
    }

    /// The device of that name (`__dev_get_by_name`).
    pub fn dev_get_by_name(&self, net: &Net, name: &str) -> Option<Arc<Netdev>> {
        let list = self.state.nets.get(&net.id())?;
        list.devices.by_name(name).cloned()
    }

    /// The device of that interface index (`__dev_get_by_index`).
    pub fn dev_get_by_index(&self, net: &Net, ifindex: u32) -> Option<Arc<Netdev>> {
        self.dev_by_index(net.id(), ifindex)
    }

    pub(crate) fn dev_by_index(&self, id: NetId, ifindex: u32) -> Option<Arc<Netdev>> {
        let list = self.state.nets.get(&id)?;
        list.devices.by_index(ifindex).cloned()
    }

    /// Forgets the empty lists of a namespace that is gone. A notifier that is still on its chain goes with it.
    pub(crate) fn forget_devices(&mut self, id: NetId) {
        let forgotten = self.state.nets.remove(&id);
        debug_assert!(
            forgotten.is_none_or(|left| left.devices.is_empty()),
            "devices left in {id}"
        );
    }

    pub(crate) fn net_devices(&mut self, id: NetId) -> &mut NetDevices {
        self.state.nets.entry(id).or_default()
    }
}

impl fmt::Debug for RtnlGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RtnlGuard").finish_non_exhaustive()
    }
}
