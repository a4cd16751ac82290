//! Two instances may be locked one under the other only by going down to a child device.
//~ lock order violation: `DevlinkLock` must not be taken while `DevlinkLock` is held

use lock_order::DevlinkLock;
use lockdep::order::{Held, Mutex};

pub fn both(one: &Mutex<DevlinkLock, ()>, other: &Mutex<DevlinkLock, ()>) {
    let mut root = Held::root();
    let (_one, mut held) = one.lock(&mut root);
    let _ = other.lock(&mut held);
}
