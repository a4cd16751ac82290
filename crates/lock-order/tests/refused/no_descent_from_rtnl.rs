//! Only who holds an instance lock or a driver's lock may go on to a child device.
//~ lock order violation: no descent to `DeviceTree` is declared for who holds `Rtnl`

use lock_order::{ChildDevices, Rtnl};
use lockdep::order::Held;

pub fn children(held: &mut Held<'_, Rtnl>) {
    let _ = held.child_devices();
}
