//! The same bug one step further away: in the remove of a child device, which the parent's reload brings about.
//~ lock order violation: `PernetOps` must not be taken while `DeviceLock` is held

use lock_order::{ChildDevices, DeviceLock, DriverLock, PernetOps};
use lockdep::order::{Before, Held, Mutex};

fn unregister_netdevice_notifier<H: Before<PernetOps>>(_: &mut Held<'_, H>) {}

pub fn detach_device(held: &mut Held<'_, DriverLock>, child: &Mutex<DeviceLock, ()>) {
    let mut tree = held.child_devices();
    let (_device, mut held) = child.lock(&mut tree);
    unregister_netdevice_notifier(&mut held);
}
