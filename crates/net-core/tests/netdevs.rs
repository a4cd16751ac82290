//! Network devices: their names, their driver's part, and the real devices behind them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use driver_core::{DriverCore, ManualClock, SeededRng};
use lockdep::order::Held;
use net_core::netdev::RegState;
use net_core::testutil::FakeNamespaces;
use net_core::{
    Net, NetCore, NetId, Netdev, NetdevBackend, NetdevInit, NetdevOps, NetdevRequest, RealNetdev,
    RtnlGuard,
};
use rustix::io::Errno;

fn drivers() -> Arc<DriverCore> {
    DriverCore::new(Arc::new(ManualClock::new()), Arc::new(SeededRng::new(1)))
}

fn named(net: &Arc<Net>, name: &str) -> Arc<Netdev> {
    let mut init = NetdevInit::ethernet(Arc::clone(net), [2, 0, 0, 0, 0, 1]);
    init.name = name.to_owned();
    Netdev::new(init)
}

#[test]
fn names_are_checked_and_patterns_filled_with_the_lowest_number() {
    let (core, _namespaces) = FakeNamespaces::machine(drivers());
    let mut held = Held::root();
    let net = Arc::clone(core.init_net());
    let mut register = |name: &str| {
        let dev = named(&net, name);
        core.register_netdev(&mut held, &dev)
            .map(|()| (dev.name(), dev))
    };
    for bad in [
        "",
        ".",
        "..",
        "a/b",
        "a:b",
        "a b",
        "sixteen_letters_",
        "%s",
        "e%d%d",
        "%",
    ] {
        assert_eq!(register(bad).unwrap_err(), Errno::INVAL, "{bad}");
    }
    let (name, first) = register("eth%d").unwrap();
    assert_eq!(name, "eth0");
    assert_eq!(register("eth%d").unwrap().0, "eth1");
    assert_eq!(register("p%dx").unwrap().0, "p0x");
    assert_eq!(register("eth1").unwrap_err(), Errno::EXIST);
    assert_eq!(register("fifteen_letters").unwrap().0, "fifteen_letters");
    assert_eq!(register("fifteen_lette%d").unwrap().0, "fifteen_lette0");

    core.unregister_netdev(&mut Held::root(), &first);
    assert_eq!(first.reg_state(), RegState::Unregistered);
    let (name, again) = register("eth%d").unwrap();
    // The name is free again; the index is not used twice.
    assert_eq!((name.as_str(), again.ifindex()), ("eth0", 7));
    assert_eq!(first.ifindex(), 2);

    let mut rtnl = core.rtnl_lock(&mut held);
    assert_eq!(rtnl.dev_change_name(&again, "eth1"), Err(Errno::EXIST));
    rtnl.dev_change_name(&again, "uplink%d").unwrap();
    assert_eq!(again.name(), "uplink0");
    assert!(rtnl.dev_get_by_name(&net, "eth0").is_none());
    assert!(rtnl.dev_get_by_index(&net, 7).is_some());
}

/// Counts what it is asked, and fails when told to.
#[derive(Default)]
struct Ops {
    calls: Mutex<Vec<&'static str>>,
    fail: Mutex<Option<&'static str>>,
}

impl Ops {
    fn call(&self, what: &'static str) -> Result<(), Errno> {
        self.calls.lock().unwrap().push(what);
        match *self.fail.lock().unwrap() {
            Some(failing) if failing == what => Err(Errno::IO),
            _ => Ok(()),
        }
    }
}

impl NetdevOps for Ops {
    fn init(&self, _: &mut RtnlGuard<'_>, _: &Arc<Netdev>) -> Result<(), Errno> {
        self.call("init")
    }
    fn uninit(&self, _: &mut RtnlGuard<'_>, _: &Arc<Netdev>) {
        let _ = self.call("uninit");
    }
    fn open(&self, _: &mut RtnlGuard<'_>, _: &Arc<Netdev>) -> Result<(), Errno> {
        self.call("open")
    }
    fn stop(&self, _: &mut RtnlGuard<'_>, _: &Arc<Netdev>) {
        let _ = self.call("stop");
    }
}

#[test]
fn the_drivers_part_is_asked_in_order() {
    let (core, _namespaces) = FakeNamespaces::machine(drivers());
    let mut held = Held::root();
    let ops = Arc::new(Ops::default());
    let mut init = NetdevInit::ethernet(Arc::clone(core.init_net()), [2, 0, 0, 0, 0, 1]);
    init.ops = Arc::clone(&ops) as Arc<dyn NetdevOps>;
    let dev = Netdev::new(init);

    *ops.fail.lock().unwrap() = Some("init");
    assert_eq!(core.register_netdev(&mut held, &dev), Err(Errno::IO));
    *ops.fail.lock().unwrap() = Some("open");
    core.register_netdev(&mut held, &dev).unwrap();
    assert_eq!(core.rtnl_lock(&mut held).dev_open(&dev), Err(Errno::IO));
    assert!(!dev.is_up());
    *ops.fail.lock().unwrap() = None;
    core.rtnl_lock(&mut held).dev_open(&dev).unwrap();
    assert!(dev.is_up());
    core.unregister_netdev(&mut held, &dev);
    assert!(!dev.is_up());
    assert_eq!(
        *ops.calls.lock().unwrap(),
        ["init", "init", "open", "open", "stop", "uninit"]
    );
}

/// Real devices as the operating system would have them: names and indices by namespace.
#[derive(Default)]
struct FakeKernel {
    devices: Mutex<BTreeMap<(NetId, String), u32>>,
}

struct FakeTap {
    kernel: Arc<FakeKernel>,
    net: NetId,
    name: String,
    ifindex: u32,
}

struct Backend(Arc<FakeKernel>);

impl FakeKernel {
    fn add(&self, net: NetId, pattern: &str, ifindex: u32) -> Result<String, Errno> {
        let mut devices = self.devices.lock().unwrap();
        let name = match pattern.split_once("%d") {
            None => pattern.to_owned(),
            Some((prefix, suffix)) => (0..)
                .map(|number| format!("{prefix}{number}{suffix}"))
                .find(|name| !devices.contains_key(&(net, name.clone())))
                .unwrap(),
        };
        if devices.contains_key(&(net, name.clone())) {
            return Err(Errno::EXIST);
        }
        devices.insert((net, name.clone()), ifindex);
        Ok(name)
    }

    fn remove(&self, net: NetId, name: &str) {
        self.devices.lock().unwrap().remove(&(net, name.to_owned()));
    }

    fn names(&self, net: NetId) -> Vec<String> {
        let devices = self.devices.lock().unwrap();
        devices
            .keys()
            .filter(|(id, _)| *id == net)
            .map(|(_, name)| name.clone())
            .collect()
    }
}

impl NetdevBackend for Backend {
    fn create(&self, request: &NetdevRequest<'_>) -> Result<Box<dyn RealNetdev>, Errno> {
        let net = request.net.id();
        Ok(Box::new(FakeTap {
            kernel: Arc::clone(&self.0),
            net,
            name: self.0.add(net, request.name, 41)?,
            ifindex: 41,
        }))
    }
}

impl RealNetdev for FakeTap {
    fn name(&self) -> String {
        self.name.clone()
    }
    fn ifindex(&self) -> u32 {
        self.ifindex
    }
    fn set_carrier(&mut self, _carrier: bool) -> Result<(), Errno> {
        Ok(())
    }
    fn rename(&mut self, name: &str) -> Result<(), Errno> {
        self.name = {
            let name = self.kernel.add(self.net, name, self.ifindex)?;
            self.kernel.remove(self.net, &self.name);
            name
        };
        Ok(())
    }
    fn move_to(&mut self, net: &Arc<Net>, name: &str) -> Result<(), Errno> {
        let name = self.kernel.add(net.id(), name, self.ifindex + 1)?;
        self.kernel.remove(self.net, &self.name);
        (self.net, self.name, self.ifindex) = (net.id(), name, self.ifindex + 1);
        Ok(())
    }
}

impl Drop for FakeTap {
    fn drop(&mut self) {
        self.kernel.remove(self.net, &self.name);
    }
}

#[test]
fn a_real_device_gives_name_and_index_and_goes_along() {
    let namespaces = Arc::new(FakeNamespaces::default());
    let kernel = Arc::new(FakeKernel::default());
    let core = NetCore::new(
        drivers(),
        namespaces.unnamed(),
        namespaces.clone(),
        Some(Arc::new(Backend(Arc::clone(&kernel)))),
    )
    .unwrap();
    let mut held = Held::root();
    let net = Arc::clone(core.init_net());
    // Somebody else's device.
    kernel.add(net.id(), "eth0", 2).unwrap();

    let dev = named(&net, "eth%d");
    core.register_netdev(&mut held, &dev).unwrap();
    assert_eq!((dev.name().as_str(), dev.ifindex()), ("eth1", 41));
    let taken = named(&net, "eth0");
    assert_eq!(core.register_netdev(&mut held, &taken), Err(Errno::EXIST));

    let n1 = core.get_net(&mut held, namespaces.add("n1")).unwrap();
    kernel.add(n1.net().id(), "eth1", 3).unwrap();
    {
        let mut rtnl = core.rtnl_lock(&mut held);
        assert_eq!(
            rtnl.dev_change_name(&dev, "eth0"),
            Err(Errno::EXIST),
            "the real name is taken by another's device"
        );
        // A failed move leaves it where it was, registered.
        assert_eq!(
            rtnl.dev_change_net_namespace(&dev, n1.net(), None),
            Err(Errno::EXIST)
        );
        assert_eq!((dev.net(), dev.name()), (Arc::clone(&net), "eth1".into()));
        assert_eq!(rtnl.devices(&net).len(), 1);
        rtnl.dev_change_net_namespace(&dev, n1.net(), Some("dev%d"))
            .unwrap();
    }
    assert_eq!((dev.name().as_str(), dev.ifindex()), ("dev0", 42));
    assert_eq!(kernel.names(net.id()), ["eth0"]);
    assert_eq!(kernel.names(n1.net().id()), ["dev0", "eth1"]);

    core.unregister_netdev(&mut held, &dev);
    assert_eq!(kernel.names(n1.net().id()), ["eth1"]);
    assert!(lockdep::reports().is_empty());
}

#[test]
fn the_devlink_port_is_tied_once() {
    let (core, _namespaces) = FakeNamespaces::machine(drivers());
    let dev = named(core.init_net(), "eth%d");
    assert!(dev.devlink_port().is_none());
    assert!(dev.set_devlink_port(Arc::new(7u32)));
    assert!(!dev.set_devlink_port(Arc::new(8u32)));
    let port = dev.devlink_port().unwrap().clone().downcast::<u32>();
    assert_eq!(*port.unwrap(), 7);
}
