//! Everything that the table allows: down the order, among drivers' locks, down to a child device, and behind the escape.

use lock_order::{ChildDevices, DeviceLock, DeviceTree, DevlinkLock, DriverLock, PernetOps, Rtnl};
use lockdep::order::{Before, Held, Mutex, RwLock};

fn unregister_netdevice_notifier<H: Before<PernetOps>>(_: &mut Held<'_, H>) {}
fn unregister_netdevice_notifier_net<H: Before<Rtnl>>(_: &mut Held<'_, H>) {}

pub fn down(pernet: &RwLock<PernetOps, ()>, device: &Mutex<DeviceLock, ()>, devlink: &Mutex<DevlinkLock, ()>, driver: [&Mutex<DriverLock, ()>; 2], rtnl: &Mutex<Rtnl, ()>) {
    let mut root = Held::root();
    unregister_netdevice_notifier(&mut root);
    let (_pernet, mut held) = pernet.read(&mut root);
    let mut tree = held.advance::<DeviceTree>();
    let (_device, mut held) = device.lock(&mut tree);
    let (_devlink, mut held) = devlink.lock(&mut held);
    let (_one, mut held) = driver[0].lock(&mut held);
    let (_other, mut held) = driver[1].lock(&mut held);
    let (_rtnl, _held) = rtnl.lock(&mut held);
}

pub fn child(held: &mut Held<'_, DriverLock>, device: &Mutex<DeviceLock, ()>, devlink: &Mutex<DevlinkLock, ()>) {
    unregister_netdevice_notifier_net(held);
    let mut tree = held.child_devices();
    let (_device, mut held) = device.lock(&mut tree);
    let (_devlink, _held) = devlink.lock(&mut held);
}

pub fn escape(held: &mut Held<'_, DevlinkLock>) {
    unregister_netdevice_notifier(&mut held.against_declared_order("as the driver did in 2021"));
}
