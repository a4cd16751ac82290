//! What comes in order goes in reverse, and a function that goes takes everything with it: instances, parts, network devices,
//! files, lock classes. In a process of its own, as it counts what the lock validator knows.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use driver_core::{Device, Driver, LockedDevice, pci};
use driver_testkit::Machine;
use kernfs::{Dir, Kind, View};
use lockdep::order::Held;
use mlx5::{Config, Module, Profile};
use netlink::attr::{self, port_fn};
use netlink::{KernelVersion, cmd};
use rustix::io::Errno;

/// One test at a time: what the lock validator knows is the process's.
static ALONE: Mutex<()> = Mutex::new(());

const PF0: &str = "pci/0000:00:09.0";

/// A driver that takes the parts before their own drivers can, and writes down when.
struct Recorder(Mutex<Vec<String>>);

impl Recorder {
    fn note(&self, what: &str, device: &LockedDevice<'_>) {
        let part = device.device().name().trim_start_matches("mlx5_core.");
        self.0.lock().unwrap().push(format!("{what}{part}"));
    }

    fn take(&self) -> String {
        std::mem::take(&mut *self.0.lock().unwrap()).join(" ")
    }
}

/// The recorder, as the bus owns it.
struct Recording(Arc<Recorder>);

impl Driver for Recording {
    fn name(&self) -> &str {
        "recorder"
    }

    fn matches(&self, device: &Device) -> bool {
        !device.name().starts_with("mlx5_core.sf.")
    }

    fn probe(&self, device: &mut LockedDevice<'_>) -> Result<(), Errno> {
        self.0.note("+", device);
        Ok(())
    }

    fn remove(&self, device: &mut LockedDevice<'_>) {
        self.0.note("-", device);
    }
}

fn mode(machine: &Arc<Machine>, mode: u16) {
    let client = machine.client(machine.init_net());
    let set = |w: &mut netlink::Writer<'_>| w.put_u16(attr::ESWITCH_MODE, mode).unwrap();
    client.request(cmd::ESWITCH_SET, PF0, set).unwrap();
}

#[test]
fn parts_go_in_reverse_order() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let machine = Machine::new(KernelVersion::V7_2);
    let recorder = Arc::new(Recorder(Mutex::default()));
    let mut held = Held::root();
    let recording = Arc::new(Recording(Arc::clone(&recorder)));
    let auxiliary = machine.driver_core.auxiliary();
    auxiliary.register_driver(&mut held, recording).unwrap();
    let mut profile = Profile::connectx_7();
    profile.physical_functions = 1;
    let module = support::plug(&machine, Config::default(), profile);
    assert_eq!(recorder.take(), "+eth.0 +rdma.0 +fwctl.0");
    let pci = machine.driver_core.pci();
    let pf = pci.find_device("0000:00:09.0").unwrap();
    pci::sriov::numvfs_store(&mut held, &pf, 1).unwrap();
    assert_eq!(recorder.take(), "+eth.1 +rdma.1 +vnet.1 +fwctl.1");
    // The device for verbs goes first, representors come last.
    mode(&machine, 1);
    assert_eq!(recorder.take(), "-rdma.0 +eth-rep.0 +rdma-rep.0");
    machine
        .client(machine.init_net())
        .reload(PF0, None)
        .unwrap();
    let reloaded = "-fwctl.0 -rdma-rep.0 -eth-rep.0 -eth.0 +eth.0 +rdma.0 +fwctl.0";
    assert_eq!(recorder.take(), reloaded);
    module.unload(&mut held).unwrap();
    let gone = "-fwctl.1 -vnet.1 -rdma.1 -eth.1 -fwctl.0 -rdma.0 -eth.0";
    assert_eq!(recorder.take(), gone);
    auxiliary.unregister_driver(&mut held, "recorder").unwrap();
}

/// All directories and files below this one.
fn files(dir: &Dir, found: &mut Vec<String>) {
    for node in dir.node().entries(View(0)) {
        found.push(node.path());
        if let (Kind::Dir(_), Some(below)) = (node.kind(), dir.dir(node.name())) {
            files(&below, found);
        }
    }
}

/// What there is, each with how often: files, lock classes, network devices, instances.
fn inventory(machine: &Arc<Machine>) -> BTreeMap<String, usize> {
    let mut found = Vec::new();
    files(&machine.driver_core.sysfs(), &mut found);
    files(&machine.driver_core.debugfs(), &mut found);
    for class in lockdep::graph().classes {
        let name = class.name.split('#').next().unwrap_or_default();
        found.push(format!("lock class {name}"));
    }
    found.extend(machine.client(machine.init_net()).dev_show());
    let mut held = Held::root();
    let rtnl = machine.net_core.rtnl_lock(&mut held);
    for net in machine.net_core.nets() {
        found.extend(rtnl.devices(&net).iter().map(|dev| dev.name()));
    }
    let mut counted = BTreeMap::new();
    for entry in found {
        // Indexes only ever rise.
        let name = entry.split(": index ").next().unwrap_or_default();
        *counted.entry(name.to_owned()).or_default() += 1;
    }
    counted
}

/// What there is more often, and what was not there.
fn more(
    after: &BTreeMap<String, usize>,
    before: &BTreeMap<String, usize>,
) -> BTreeMap<String, usize> {
    let is_more =
        |(name, count): &(&String, &usize)| before.get(*name).is_none_or(|old| old < *count);
    let found = after.iter().filter(is_more);
    found.map(|(name, count)| (name.clone(), *count)).collect()
}

#[test]
fn a_function_takes_everything_with_it() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let machine = Machine::new(KernelVersion::V7_2);
    let module = support::plug(&machine, Config::default(), Profile::connectx_7());
    let pci = machine.driver_core.pci();
    let mut held = Held::root();
    // The first time something happens, its locks' classes are met.
    fill(&machine, &module);
    replug(&machine);
    let before = inventory(&machine);
    for _ in 0..3 {
        fill(&machine, &module);
        let full = inventory(&machine);
        let came = more(&full, &before);
        for name in [
            "pci/0000:00:09.2",
            "lock class &devlink->lock",
            "devices/pci0000:00/0000:00:09.2",
        ] {
            assert!(came.contains_key(name), "{name}: {came:#?}");
        }
        replug(&machine);
        let after = inventory(&machine);
        assert_eq!(more(&before, &after), BTreeMap::new());
        // A class that is met for the first time is none that was left behind: that is one of a name that there was.
        let mut left = more(&after, &before);
        left.retain(|name, _| !name.starts_with("lock class ") || before.contains_key(name));
        assert_eq!(left, BTreeMap::new());
    }
    module.unload(&mut held).unwrap();
    assert!(pci.devices().iter().all(|device| device.driver().is_none()));
    assert_eq!(machine.devlink.warnings(), 0, "{:#?}", machine.log());
    let reports = lockdep::reports();
    assert!(reports.is_empty(), "{reports:#?}");
}

/// Everything alive on the first function, which is then removed and found again.
fn replug(machine: &Arc<Machine>) {
    let pci = machine.driver_core.pci();
    let mut held = Held::root();
    let pf = pci.find_device("0000:00:09.0").unwrap();
    pci::remove(&pci, &mut held, &pf);
    assert!(pci.find_device("0000:00:09.0").is_none());
    pci::rescan(&pci, &mut held);
    machine.netns_del("n1");
    // Notifications of nested instances may still be under way, with the instances in their hands.
    machine.driver_core.system_wq().flush();
}

/// Virtual functions, one in another namespace; sub-functions, active and not; a reporter in error.
fn fill(machine: &Arc<Machine>, module: &Arc<Module>) {
    let (pci, client) = (
        machine.driver_core.pci(),
        machine.client(machine.init_net()),
    );
    let mut held = Held::root();
    let pf = pci.find_device("0000:00:09.0").unwrap();
    pci::sriov::numvfs_store(&mut held, &pf, 3).unwrap();
    mode(machine, 1);
    let netns = machine.netns_add("n1");
    client.reload("pci/0000:00:09.3", Some(netns)).unwrap();
    for sfnum in 0..3 {
        let add = |w: &mut netlink::Writer<'_>| {
            w.put_u16(attr::PORT_FLAVOUR, 7).unwrap();
            w.put_u16(attr::PORT_PCI_PF_NUMBER, 0).unwrap();
            w.put_u32(attr::PORT_PCI_SF_NUMBER, sfnum).unwrap();
        };
        client.request(cmd::PORT_NEW, PF0, add).unwrap();
    }
    for port in [32768, 32769] {
        let activate = |w: &mut netlink::Writer<'_>| {
            w.nest(attr::PORT_FUNCTION.flagged(), |w| {
                w.put_u8(port_fn::STATE, 1)
            })
            .unwrap();
        };
        let handle = format!("{PF0}/{port}");
        client.request(cmd::PORT_SET, &handle, activate).unwrap();
    }
    let start = Instant::now();
    let attached = || {
        let shown = client.dev_show();
        shown.iter().filter(|line| line.contains(".sf.")).count()
    };
    while attached() < 2 {
        assert!(start.elapsed() < Duration::from_secs(20), "not attached");
        std::thread::sleep(Duration::from_millis(1));
    }
    module.faults().add("recover-fail,times=1".parse().unwrap());
    let dev = module.function("0000:00:09.0").unwrap();
    let raised = module.raise_syndrome(&mut held, &dev, 0x10, true);
    assert!(raised.is_err());
}
