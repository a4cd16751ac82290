//! The origin's bug: a driver's reload, called with the instance lock held, unregisters a global netdevice notifier,
//! which waits for `pernet_ops_rwsem`.
//~ lock order violation: `PernetOps` must not be taken while `DevlinkLock` is held

use lock_order::{DevlinkLock, PernetOps};
use lockdep::order::{Before, Held};

fn unregister_netdevice_notifier<H: Before<PernetOps>>(_: &mut Held<'_, H>) {}

pub fn reload_down(held: &mut Held<'_, DevlinkLock>) {
    unregister_netdevice_notifier(held);
}
