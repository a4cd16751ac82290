//! rtnl is the innermost of the core's locks: who holds it takes no instance lock.
//~ lock order violation: `DevlinkLock` must not be taken while `Rtnl` is held

use lock_order::{DevlinkLock, Rtnl};
use lockdep::order::{Held, Mutex};

pub fn notifier(rtnl: &Mutex<Rtnl, ()>, devlink: &Mutex<DevlinkLock, ()>, held: &mut Held<'static, lockdep::order::Unlocked>) {
    let (_rtnl, mut held) = rtnl.lock(held);
    let _ = devlink.lock(&mut held);
}
