//! The origin's bug, written against today's API: a driver that, while its instance is locked, unregisters a *global*
//! netdevice notifier. Built by `lock_order.rs`, one feature at a time.

use std::sync::Arc;

use devlink::{Devl, Ops, ReloadDown};
use lock_order::DriverLock;
use net_core::{NetCore, Netdev, NotifierBlock};
use netlink::ExtAck;
use rustix::io::Errno;

pub struct RoceDriver {
    pub net_core: Arc<NetCore>,
    pub netdev: Arc<Netdev>,
    pub nb: Arc<NotifierBlock>,
    pub intf_mutex: lockdep::order::Mutex<DriverLock, ()>,
}

impl Ops for RoceDriver {
    #[cfg(feature = "global")]
    fn reload_down(&self, devl: &mut Devl<'_>, _: ReloadDown, _: &mut ExtAck) -> Result<(), Errno> {
        self.net_core.unregister_netdevice_notifier(devl.held(), &self.nb)
    }

    /// As it was in 2021: a lock of the driver's own in between.
    #[cfg(feature = "global_under_driver_lock")]
    fn reload_down(&self, devl: &mut Devl<'_>, _: ReloadDown, _: &mut ExtAck) -> Result<(), Errno> {
        let (_guard, mut held) = self.intf_mutex.lock(devl.held());
        self.net_core.unregister_netdevice_notifier(&mut held, &self.nb)
    }

    #[cfg(feature = "escape")]
    fn reload_down(&self, devl: &mut Devl<'_>, _: ReloadDown, _: &mut ExtAck) -> Result<(), Errno> {
        let mut held = devl.held().against_declared_order("the driver's locking of November 2021");
        self.net_core.unregister_netdevice_notifier(&mut held, &self.nb)
    }

    /// The cure: a notifier that follows the device from namespace to namespace.
    #[cfg(feature = "dev_net")]
    fn reload_down(&self, devl: &mut Devl<'_>, _: ReloadDown, _: &mut ExtAck) -> Result<(), Errno> {
        self.net_core.unregister_netdevice_notifier_dev_net(devl.held(), &self.netdev, &self.nb)
    }
}
