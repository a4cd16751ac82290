//! The declared order of userlink's core locks, in one table.
//!
//! A lock further down may be taken while one further up is held, never the other way round: the other way does not
//! compile (see [`lockdep::order`]). `pernet_ops_rwsem` stands first. Namespace exit holds it for reading while it takes a
//! devlink instance's lock; so nobody who holds an instance lock may wait for it, which is what registering or
//! unregistering a *global* netdevice notifier does. Drivers that hold their instance lock use the `_net` and `_dev_net`
//! notifiers, which need `rtnl_mutex` only.

use lockdep::order::{Descend, Held};

lockdep::order::lock_order! {
    /// `pernet_ops_rwsem`: the list of namespaces and of pernet operations (`net/core/net_namespace.c`). Read by namespace exit,
    /// written by whoever registers pernet operations or a global netdevice notifier.
    pub PernetOps "pernet_ops_rwsem";
    /// No lock: the point from which a device may be locked. A driver comes back to it for a child device.
    pub DeviceTree "device tree";
    /// `device_lock()` (`drivers/base/core.c`). As in the kernel it is listed as held but not checked at run time: one class
    /// holds every device of every bus, parents and children alike. A physical function's driver makes virtual functions, which are
    /// devices further down, under it.
    pub DeviceLock "&dev->mutex" (novalidate, descends DeviceTree);
    /// The lock of a devlink instance, a class of its own per instance (`net/devlink/core.c: devlink_alloc_ns`).
    pub DevlinkLock "&devlink->lock" (descends DeviceTree);
    /// The drivers' own locks; their order among themselves is checked at run time.
    pub DriverLock "driver lock" (nests, descends DeviceTree);
    /// `rtnl_mutex` (`net/core/rtnetlink.c`).
    pub Rtnl "rtnl_mutex";
    /// The chains of netdevice notifiers and the table of netdevices.
    pub NetdevTable "netdev table";
    /// The namespaces known by cookie.
    pub NetTable "net table";
    /// The lists of listeners of the multicast groups.
    pub Subscribers "nl_table_lock";
}

/// The way down to a child device, for who holds a lock from which the table lets one descend.
pub trait ChildDevices<L> {
    /// From here, child devices may be locked. `pernet_ops_rwsem` stays out of reach.
    fn child_devices(&mut self) -> Held<'_, DeviceTree>
    where
        L: Descend<DeviceTree>;
}

impl<L> ChildDevices<L> for Held<'_, L> {
    fn child_devices(&mut self) -> Held<'_, DeviceTree>
    where
        L: Descend<DeviceTree>,
    {
        self.descend()
    }
}

/// The examples of lockdep's guide.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/lockdep.md")]
struct Guide;
