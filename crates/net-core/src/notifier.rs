//! Who wants to know what happens to network devices: the three kinds of notifier.
//!
//! | kind | hears of | takes |
//! |---|---|---|
//! | [`register_netdevice_notifier`](NetCore::register_netdevice_notifier) | every device | `pernet_ops_rwsem` for writing, then `rtnl_mutex` |
//! | [`register_netdevice_notifier_net`](NetCore::register_netdevice_notifier_net) | the devices of one namespace | `rtnl_mutex` |
//! | [`register_netdevice_notifier_dev_net`](NetCore::register_netdevice_notifier_dev_net) | those of the namespace that one device is in, wherever it moves | `rtnl_mutex` |
//!
//! The first takes `pernet_ops_rwsem` so that no namespace comes or goes while it replays the devices of all
//! (`net/core/dev.c`). That makes it unfit for drivers: their locks are taken while namespace exit holds that lock. The
//! bounds on the token say so: a driver's callback has no token that the first kind would accept.
//!
//! A new notifier is told of the devices that are there, as if they came now; one that leaves is told that they go.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lock_order::{PernetOps, Rtnl};
use lockdep::order::{Before, Held};
use rustix::io::Errno;

use crate::core::NetCore;
use crate::net::{Net, NetId, lock};
use crate::netdev::Netdev;
use crate::rtnl::RtnlGuard;
use crate::rwsem::down_write;

/// What happens to a network device (`enum netdev_cmd`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NetdevEvent {
    /// It has gone up.
    Up,
    /// It has gone down.
    Down,
    /// Its state has changed, for instance its carrier.
    Change,
    /// It has been registered, or has come to the namespace.
    Register,
    /// It is being unregistered, or leaves the namespace.
    Unregister,
    /// Its largest payload has changed.
    ChangeMtu,
    /// Its hardware address has changed.
    ChangeAddr,
    /// It is about to go down.
    GoingDown,
    /// It has been renamed.
    ChangeName,
    /// It is about to go up; an error keeps it down.
    PreUp,
    /// It is being registered and has a name; an error stops the registration.
    PostInit,
    /// It has been unregistered and is about to lose its driver's part.
    PreUninit,
}

/// What a notifier calls: under `rtnl_mutex`, which it is handed. An error vetoes where the kernel lets it (`PostInit`,
/// `Register`, `ChangeName`, `PreUp`) and keeps later notifiers from hearing of the event.
type Callback =
    Box<dyn Fn(&mut RtnlGuard<'_>, NetdevEvent, &Arc<Netdev>) -> Result<(), Errno> + Send + Sync>;

/// Someone who wants to know (`struct notifier_block`).
pub struct NotifierBlock {
    name: &'static str,
    priority: i32,
    call: Callback,
}

impl NotifierBlock {
    /// A notifier of priority 0. The name is for who debugs.
    pub fn new<F>(name: &'static str, call: F) -> Arc<Self>
    where
        F: Fn(&mut RtnlGuard<'_>, NetdevEvent, &Arc<Netdev>) -> Result<(), Errno>
            + Send
            + Sync
            + 'static,
    {
        NotifierBlock::with_priority(name, 0, call)
    }

    /// A notifier that is called before all of lower priority.
    pub fn with_priority<F>(name: &'static str, priority: i32, call: F) -> Arc<Self>
    where
        F: Fn(&mut RtnlGuard<'_>, NetdevEvent, &Arc<Netdev>) -> Result<(), Errno>
            + Send
            + Sync
            + 'static,
    {
        Arc::new(NotifierBlock {
            name,
            priority,
            call: Box::new(call),
        })
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }
}

impl fmt::Debug for NotifierBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotifierBlock")
            .field("name", &self.name)
            .field("priority", &self.priority)
            .finish_non_exhaustive()
    }
}

/// Notifiers, highest priority first, equal ones in the order of registration (`struct raw_notifier_head`).
#[derive(Default)]
pub(crate) struct Chain(Vec<Arc<NotifierBlock>>);

impl Chain {
    fn register(&mut self, block: &Arc<NotifierBlock>) -> Result<(), Errno> {
        if self.contains(block) {
            return Err(Errno::EXIST);
        }
        let position = self
            .0
            .iter()
            .position(|other| other.priority < block.priority)
            .unwrap_or(self.0.len());
        self.0.insert(position, Arc::clone(block));
        Ok(())
    }

    fn unregister(&mut self, block: &Arc<NotifierBlock>) -> Result<(), Errno> {
        let position = self
            .0
            .iter()
            .position(|other| Arc::ptr_eq(other, block))
            .ok_or(Errno::NOENT)?;
        self.0.remove(position);
        Ok(())
    }

    fn contains(&self, block: &Arc<NotifierBlock>) -> bool {
        self.0.iter().any(|other| Arc::ptr_eq(other, block))
    }
}

/// How long a global notifier waits for `pernet_ops_rwsem` before it goes on without. All it does is protected by
/// `rtnl_mutex` too.
const PATIENCE: Duration = Duration::from_secs(2);

impl NetCore {
    /// Registers a global notifier and tells it of every device in every namespace.
    ///
    /// When the calling thread itself holds `pernet_ops_rwsem`, or a lock that the holder waits for, which only
    /// `Held::against_declared_order` makes possible, a kernel would stop here for ever. Here the lock validator reports
    /// it, and the function goes on without the lock; in the second case after two seconds.
    ///
    /// # Errors
    /// `EEXIST` when it is registered; what it answers to `Register`, after the replay has been undone.
    #[inline(never)]
    pub fn register_netdevice_notifier<H>(
        &self,
        held: &mut Held<'_, H>,
        block: &Arc<NotifierBlock>,
    ) -> Result<(), Errno>
    where
        H: Before<PernetOps> + Before<Rtnl>,
    {
        if let Ok((_list, mut held)) = down_write!(self.pernet_ops_rwsem, held, PATIENCE) {
            return self.rtnl_lock(&mut held).register_global(block);
        }
        self.rtnl_lock(held).register_global(block)
    }

    /// Unregisters a global notifier, after telling it that every device goes. As to `pernet_ops_rwsem`, see
    /// [`register_netdevice_notifier`](NetCore::register_netdevice_notifier).
    ///
    /// # Errors
    /// `ENOENT` when it is not registered.
    #[inline(never)]
    pub fn unregister_netdevice_notifier<H>(
        &self,
        held: &mut Held<'_, H>,
        block: &Arc<NotifierBlock>,
    ) -> Result<(), Errno>
    where
        H: Before<PernetOps> + Before<Rtnl>,
    {
        if let Ok((_list, mut held)) = down_write!(self.pernet_ops_rwsem, held, PATIENCE) {
            return self.rtnl_lock(&mut held).unregister_global(block);
        }
        self.rtnl_lock(held).unregister_global(block)
    }

    /// Registers a notifier for one namespace and tells it of the devices there.
    ///
    /// # Errors
    /// `EEXIST` when it is registered there; what it answers to `Register`, after the replay has been undone.
    #[inline(never)]
    pub fn register_netdevice_notifier_net<H>(
        &self,
        held: &mut Held<'_, H>,
        net: &Net,
        block: &Arc<NotifierBlock>,
    ) -> Result<(), Errno>
    where
        H: Before<Rtnl>,
    {
        self.rtnl_lock(held).register_net(net.id(), block, false)
    }

    /// Unregisters a notifier of one namespace, after telling it that the devices there go.
    ///
    /// # Errors
    /// `ENOENT` when it is not registered there.
    #[inline(never)]
    pub fn unregister_netdevice_notifier_net<H>(
        &self,
        held: &mut Held<'_, H>,
        net: &Net,
        block: &Arc<NotifierBlock>,
    ) -> Result<(), Errno>
    where
        H: Before<Rtnl>,
    {
        self.rtnl_lock(held).unregister_net(net.id(), block)
    }

    /// Registers a notifier for the namespace that `dev` is in. When the device moves, so does the notifier: it is told
    /// that the devices of the old namespace go and that those of the new one come.
    ///
    /// # Errors
    /// As [`register_netdevice_notifier_net`](NetCore::register_netdevice_notifier_net).
    #[inline(never)]
    pub fn register_netdevice_notifier_dev_net<H>(
        &self,
        held: &mut Held<'_, H>,
        dev: &Arc<Netdev>,
        block: &Arc<NotifierBlock>,
    ) -> Result<(), Errno>
    where
        H: Before<Rtnl>,
    {
        let mut rtnl = self.rtnl_lock(held);
        rtnl.register_net(dev.net().id(), block, false)?;
        lock(&dev.net_notifiers).push(Arc::clone(block));
        Ok(())
    }

    /// Unregisters a notifier that follows `dev`, after telling it that the devices of its namespace go.
    ///
    /// # Errors
    /// `ENOENT` when it does not follow that device.
    #[inline(never)]
    pub fn unregister_netdevice_notifier_dev_net<H>(
        &self,
        held: &mut Held<'_, H>,
        dev: &Arc<Netdev>,
        block: &Arc<NotifierBlock>,
    ) -> Result<(), Errno>
    where
        H: Before<Rtnl>,
    {
        let mut rtnl = self.rtnl_lock(held);
        let removed = {
            let mut following = lock(&dev.net_notifiers);
            let position = following
                .iter()
                .position(|other| Arc::ptr_eq(other, block))
                .ok_or(Errno::NOENT)?;
            following.remove(position)
        };
        rtnl.unregister_net(dev.net().id(), &removed)
    }
}

impl RtnlGuard<'_> {
    fn register_global(&mut self, block: &Arc<NotifierBlock>) -> Result<(), Errno> {
        self.state.chain.register(block)?;
        let mut told = Vec::new();
        for net in self.core().nets() {
            if let Err(errno) = self.replay_register(net.id(), block) {
                for net in told.into_iter().rev() {
                    self.replay_unregister(net, block);
                }
                self.state.chain.unregister(block)?;
                return Err(errno);
            }
            told.push(net.id());
        }
        Ok(())
    }

    fn unregister_global(&mut self, block: &Arc<NotifierBlock>) -> Result<(), Errno> {
        self.state.chain.unregister(block)?;
        for net in self.core().nets() {
            self.replay_unregister(net.id(), block);
        }
        Ok(())
    }

    fn register_net(
        &mut self,
        net: NetId,
        block: &Arc<NotifierBlock>,
        ignore_veto: bool,
    ) -> Result<(), Errno> {
        self.net_devices(net).chain.register(block)?;
        match self.replay_register(net, block) {
            Err(errno) if !ignore_veto => {
                self.net_devices(net).chain.unregister(block)?;
                Err(errno)
            }
            _ => Ok(()),
        }
    }

    fn unregister_net(&mut self, net: NetId, block: &Arc<NotifierBlock>) -> Result<(), Errno> {
        self.net_devices(net).chain.unregister(block)?;
        self.replay_unregister(net, block);
        Ok(())
    }

    /// The notifiers that follow a device go with it, in both directions told of what they leave and what they find.
    pub(crate) fn move_netdevice_notifiers_dev_net(
        &mut self,
        dev: &Netdev,
        from: NetId,
        to: NetId,
    ) {
        let following = lock(&dev.net_notifiers).clone();
        for block in following {
            // Neither can fail in a way that matters: the block is on the old chain, and a veto is ignored.
            let _ = self.unregister_net(from, &block);
            let _ = self.register_net(to, &block, true);
        }
    }

    /// Tells one notifier of the devices of a namespace.
    fn replay_register(&mut self, net: NetId, block: &Arc<NotifierBlock>) -> Result<(), Errno> {
        let devices = self.net_devices(net).devices.all();
        for (index, dev) in devices.iter().enumerate() {
            if let Err(errno) = (block.call)(self, NetdevEvent::Register, dev) {
                for dev in devices[..index].iter().rev() {
                    self.tell_going(block, dev);
                }
                return Err(errno);
            }
            if dev.is_up() {
                // As in the kernel, nobody can veto what has happened.
                let _ = (block.call)(self, NetdevEvent::Up, dev);
            }
        }
        Ok(())
    }

    /// Tells one notifier that the devices of a namespace go.
    fn replay_unregister(&mut self, net: NetId, block: &Arc<NotifierBlock>) {
        for dev in self.net_devices(net).devices.all() {
            self.tell_going(block, &dev);
        }
    }

    fn tell_going(&mut self, block: &Arc<NotifierBlock>, dev: &Arc<Netdev>) {
        if dev.is_up() {
            let _ = (block.call)(self, NetdevEvent::GoingDown, dev);
            let _ = (block.call)(self, NetdevEvent::Down, dev);
        }
        let _ = (block.call)(self, NetdevEvent::Unregister, dev);
    }

    /// Tells everybody who wants to know: the notifiers of the device's namespace, then the global ones. The first error
    /// ends the round and is returned (`call_netdevice_notifiers`).
    #[inline(never)]
    pub(crate) fn call_netdevice_notifiers(
        &mut self,
        event: NetdevEvent,
        dev: &Arc<Netdev>,
    ) -> Result<(), Errno> {
        let net = dev.net().id();
        for block in self.net_devices(net).chain.0.clone() {
            // One that left during this round is not called any more.
            if self.net_devices(net).chain.contains(&block) {
                (block.call)(self, event, dev)?;
            }
        }
        for block in self.state.chain.0.clone() {
            if self.state.chain.contains(&block) {
                (block.call)(self, event, dev)?;
            }
        }
        Ok(())
    }
}
