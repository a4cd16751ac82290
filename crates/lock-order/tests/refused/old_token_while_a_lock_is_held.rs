//! The token that a lock was taken with is out of use as long as the lock is held.
//~ cannot borrow `root` as mutable more than once at a time

use lock_order::{PernetOps, Rtnl};
use lockdep::order::{Held, Mutex, RwLock};

pub fn around(rtnl: &Mutex<Rtnl, u32>, pernet: &RwLock<PernetOps, ()>) -> u32 {
    let mut root = Held::root();
    let (rtnl, _held) = rtnl.lock(&mut root);
    let _ = pernet.write(&mut root);
    *rtnl
}
