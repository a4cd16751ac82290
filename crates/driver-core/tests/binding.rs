//! How devices and drivers meet and part: in which order, under which lock, with which words in the log.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::{Arc, Mutex};

use driver_core::pci::{self, Address, Function, Id};
use driver_core::{Device, Driver, DriverCore, LockedDevice, ManualClock, SeededRng, auxiliary};
use kernfs::{Kind, Node, View};
use lock_order::{ChildDevices, DeviceLock, DriverLock};
use lockdep::order::{self, Held};
use rustix::io::Errno;

type Trace = Arc<Mutex<Vec<String>>>;

fn machine() -> Arc<DriverCore> {
    DriverCore::new(Arc::new(ManualClock::new()), Arc::new(SeededRng::new(1)))
}

fn function(address: &str) -> Function {
    let id = Id {
        vendor: 0x15b3,
        device: 0x101d,
    };
    Function::ethernet(address.parse::<Address>().unwrap(), id)
}

fn take(trace: &Trace) -> Vec<String> {
    std::mem::take(&mut *trace.lock().unwrap())
}

/// Takes every PCI device of one id, and writes down what is asked of it.
struct Recorder {
    name: &'static str,
    trace: Trace,
    fail: Option<Errno>,
}

impl Recorder {
    fn new(name: &'static str, trace: &Trace) -> Arc<Self> {
        Arc::new(Recorder {
            name,
            trace: Arc::clone(trace),
            fail: None,
        })
    }

    fn note(&self, what: &str, device: &LockedDevice<'_>) {
        self.trace
            .lock()
            .unwrap()
            .push(format!("{} {what} {}", self.name, device.device().name()));
    }
}

impl Driver for Recorder {
    fn name(&self) -> &str {
        self.name
    }

    fn matches(&self, device: &Device) -> bool {
        let table = [Id {
            vendor: 0x15b3,
            device: 0x101d,
        }];
        pci::match_device(&table, device).is_some()
    }

    fn probe(&self, device: &mut LockedDevice<'_>) -> Result<(), Errno> {
        self.note("probe", device);
        device.set_drvdata(Arc::new(self.name.to_owned()));
        self.fail.map_or(Ok(()), Err)
    }

    fn remove(&self, device: &mut LockedDevice<'_>) {
        assert!(device.drvdata::<String>().is_some());
        self.note("remove", device);
    }

    fn shutdown(&self, device: &mut LockedDevice<'_>) {
        self.note("shutdown", device);
    }
}

#[test]
fn a_driver_takes_the_devices_that_are_there_and_those_that_come() {
    let (core, trace) = (machine(), Trace::default());
    let (pci, mut held) = (core.pci(), Held::root());
    for address in ["0000:00:09.0", "0000:00:0a.0"] {
        pci::add_function(&pci, &mut held, None, function(address)).unwrap();
    }
    let mut other = function("0000:00:0b.0");
    other.id.device = 0x1572;
    pci::add_function(&pci, &mut held, None, other).unwrap();

    pci.register_driver(&mut held, Recorder::new("mlx5_core", &trace))
        .unwrap();
    assert_eq!(
        take(&trace),
        [
            "mlx5_core probe 0000:00:09.0",
            "mlx5_core probe 0000:00:0a.0"
        ]
    );

    let late = pci::add_function(&pci, &mut held, None, function("0000:00:0c.0")).unwrap();
    assert_eq!(take(&trace), ["mlx5_core probe 0000:00:0c.0"]);
    assert_eq!(late.driver().unwrap().name(), "mlx5_core");
    assert_eq!(*late.drvdata::<String>().unwrap(), "mlx5_core");

    pci.unregister_driver(&mut held, "mlx5_core").unwrap();
    assert_eq!(
        take(&trace),
        [
            "mlx5_core remove 0000:00:0c.0",
            "mlx5_core remove 0000:00:0a.0",
            "mlx5_core remove 0000:00:09.0"
        ]
    );
    assert!(late.driver().is_none());
    assert!(late.drvdata::<String>().is_none());
    assert!(lockdep::reports().is_empty());
}

#[test]
fn nobody_finds_a_device_whose_files_are_being_made() {
    let core = machine();
    let (pci, mut held) = (core.pci(), Held::root());
    let device = Device::new(&pci, "0000:00:0a.0".to_owned(), None, ());
    let bus = Arc::downgrade(&pci);
    device.set_groups(move |_| {
        // Who found it now could remove it, and its files would come after that.
        let found = bus.upgrade().unwrap().find_device("0000:00:0a.0");
        assert!(found.is_none());
        Ok(Vec::new())
    });
    pci.add_device(&mut held, &device).unwrap();
    assert!(pci.find_device("0000:00:0a.0").is_some());
    pci.remove_device(&mut held, &device);
    for place in ["bus/pci/devices/0000:00:0a.0", "devices/0000:00:0a.0"] {
        assert!(find(&core, place).is_none(), "{place}");
    }
}

#[test]
fn names_are_unique_on_a_bus() {
    let (core, trace) = (machine(), Trace::default());
    let (pci, mut held) = (core.pci(), Held::root());
    pci::add_function(&pci, &mut held, None, function("0000:00:09.0")).unwrap();
    let again = pci::add_function(&pci, &mut held, None, function("0000:00:09.0"));
    assert_eq!(again.unwrap_err(), Errno::EXIST);

    pci.register_driver(&mut held, Recorder::new("mlx5_core", &trace))
        .unwrap();
    let again = pci.register_driver(&mut held, Recorder::new("mlx5_core", &trace));
    assert_eq!(again.unwrap_err(), Errno::BUSY);
    assert_eq!(
        core.klog().text(),
        "[    0.000000] Error: Driver 'mlx5_core' is already registered, aborting...\n"
    );
}

#[test]
fn a_failed_probe_is_logged_and_the_next_driver_has_its_turn() {
    let (core, trace) = (machine(), Trace::default());
    let (pci, mut held) = (core.pci(), Held::root());
    for (name, fail) in [
        ("shy", Some(Errno::NODEV)),
        ("broken", Some(Errno::IO)),
        ("good", None),
    ] {
        let driver = Recorder {
            name,
            trace: Arc::clone(&trace),
            fail,
        };
        pci.register_driver(&mut held, Arc::new(driver)).unwrap();
    }
    let device = pci::add_function(&pci, &mut held, None, function("0000:00:09.0")).unwrap();
    assert_eq!(device.driver().unwrap().name(), "good");
    assert_eq!(*device.drvdata::<String>().unwrap(), "good");
    assert_eq!(
        core.klog().text(),
        "[    0.000000] broken 0000:00:09.0: probe with driver broken failed with error -5\n"
    );
}

#[test]
fn binding_by_hand_answers_as_sysfs_does() {
    let (core, trace) = (machine(), Trace::default());
    let (pci, mut held) = (core.pci(), Held::root());
    let device = pci::add_function(&pci, &mut held, None, function("0000:00:09.0")).unwrap();
    pci.register_driver(&mut held, Recorder::new("mlx5_core", &trace))
        .unwrap();

    assert_eq!(
        pci.bind(&mut held, "0000:00:09.0", "mlx5_core"),
        Err(Errno::BUSY)
    );
    assert_eq!(
        pci.unbind(&mut held, "0000:00:09.0", "vfio-pci"),
        Err(Errno::NODEV)
    );
    assert_eq!(pci.unbind(&mut held, "0000:00:09.0", "mlx5_core"), Ok(()));
    assert!(device.driver().is_none());
    assert_eq!(
        pci.unbind(&mut held, "0000:00:09.0", "mlx5_core"),
        Err(Errno::NODEV)
    );
    assert_eq!(
        pci.bind(&mut held, "0000:00:1f.0", "mlx5_core"),
        Err(Errno::NODEV)
    );
    assert_eq!(pci.bind(&mut held, "0000:00:09.0", "mlx5_core"), Ok(()));
    assert_eq!(
        take(&trace),
        [
            "mlx5_core probe 0000:00:09.0",
            "mlx5_core remove 0000:00:09.0",
            "mlx5_core probe 0000:00:09.0"
        ]
    );
}

#[test]
fn a_removed_device_is_given_up_and_binds_no_more() {
    let (core, trace) = (machine(), Trace::default());
    let (pci, mut held) = (core.pci(), Held::root());
    pci.register_driver(&mut held, Recorder::new("mlx5_core", &trace))
        .unwrap();
    let device = pci::add_function(&pci, &mut held, None, function("0000:00:09.0")).unwrap();
    pci.shutdown(&mut held);
    pci.remove_device(&mut held, &device);
    assert_eq!(
        take(&trace),
        [
            "mlx5_core probe 0000:00:09.0",
            "mlx5_core shutdown 0000:00:09.0",
            "mlx5_core remove 0000:00:09.0"
        ]
    );
    assert!(pci.devices().is_empty());
    assert!(device.lock(&mut held).is_dead());
}

/// Splits its function into two parts, which it adds and removes with a lock of its own held, as mlx5 does.
struct Parent {
    core: Arc<DriverCore>,
    lock: order::Mutex<DriverLock, Vec<Arc<Device>>>,
}

impl Driver for Parent {
    fn name(&self) -> &str {
        "mlx5_core"
    }

    fn matches(&self, device: &Device) -> bool {
        pci::function(device).is_some()
    }

    fn probe(&self, device: &mut LockedDevice<'_>) -> Result<(), Errno> {
        let parent = device.device();
        let (mut parts, mut held) = self.lock.lock(device.held());
        for part in ["eth", "rdma"] {
            parts.push(auxiliary::auxiliary_device_add(
                &self.core.auxiliary(),
                &mut held.child_devices(),
                parent,
                "mlx5_core",
                part,
                0,
                Arc::new(format!("shared with {part}")),
            )?);
        }
        Ok(())
    }

    fn remove(&self, device: &mut LockedDevice<'_>) {
        let (mut parts, mut held) = self.lock.lock(device.held());
        while let Some(part) = parts.pop() {
            let bus = self.core.auxiliary();
            auxiliary::auxiliary_device_delete(&bus, &mut held.child_devices(), &part);
        }
    }
}

struct Part {
    name: &'static str,
    trace: Trace,
}

impl Driver for Part {
    fn name(&self) -> &str {
        self.name
    }

    fn matches(&self, device: &Device) -> bool {
        auxiliary::match_id(&[self.name], device).is_some()
    }

    fn probe(&self, device: &mut LockedDevice<'_>) -> Result<(), Errno> {
        let name = device.device().name();
        let shared = auxiliary::shared::<String>(device.device()).unwrap();
        self.trace
            .lock()
            .unwrap()
            .push(format!("probe {name}, {shared}"));
        Ok(())
    }

    fn remove(&self, device: &mut LockedDevice<'_>) {
        let name = device.device().name();
        self.trace.lock().unwrap().push(format!("remove {name}"));
    }
}

#[test]
fn parts_come_and_go_with_their_parent() {
    let (core, trace) = (machine(), Trace::default());
    let mut held = Held::root();
    for name in ["mlx5_core.eth", "mlx5_core.rdma"] {
        let trace = Arc::clone(&trace);
        core.auxiliary()
            .register_driver(&mut held, Arc::new(Part { name, trace }))
            .unwrap();
    }
    let parent = Parent {
        core: Arc::clone(&core),
        lock: order::Mutex::named("intf_state_mutex", Vec::new()),
    };
    core.pci()
        .register_driver(&mut held, Arc::new(parent))
        .unwrap();
    pci::add_function(&core.pci(), &mut held, None, function("0000:00:09.0")).unwrap();
    let eth = core.auxiliary().find_device("mlx5_core.eth.0").unwrap();
    assert_eq!(eth.parent().unwrap().name(), "0000:00:09.0");
    assert_eq!(auxiliary::part_name(&eth), Some("eth"));
    assert_eq!(auxiliary::id(&eth), Some(0));

    core.dismantle(&mut held);
    assert_eq!(
        take(&trace),
        [
            "probe mlx5_core.eth.0, shared with eth",
            "probe mlx5_core.rdma.0, shared with rdma",
            "remove mlx5_core.rdma.0",
            "remove mlx5_core.eth.0"
        ]
    );
    assert!(core.buses().iter().all(|bus| bus.devices().is_empty()));
    assert!(lockdep::reports().is_empty());
}

#[test]
fn the_device_lock_excludes() {
    let core = machine();
    let device = pci::add_function(
        &core.pci(),
        &mut Held::root(),
        None,
        function("0000:00:09.0"),
    )
    .unwrap();
    let mut held = Held::root();
    let locked = device.lock(&mut held);
    let other = {
        let device = Arc::clone(&device);
        std::thread::spawn(move || {
            let mut held = Held::root();
            let mut locked = device.lock(&mut held);
            let _: &mut Held<'_, DeviceLock> = locked.held();
        })
    };
    std::thread::sleep(std::time::Duration::from_millis(20));
    assert!(!other.is_finished());
    drop(locked);
    other.join().unwrap();
}

/// What is at this place of sysfs.
fn find(core: &DriverCore, path: &str) -> Option<Arc<Node>> {
    let top = Arc::clone(core.sysfs().node());
    let step = |node: Arc<Node>, name: &str| node.lookup(View(0), name);
    path.split('/').try_fold(top, step)
}

/// What the link at this place says.
fn link(core: &DriverCore, path: &str) -> String {
    match find(core, path).expect(path).kind() {
        Kind::Link(target) => target.clone(),
        other => panic!("{path} is {other:?}"),
    }
}

#[test]
fn buses_have_links_to_devices_below_sys_devices() {
    let (core, trace) = (machine(), Trace::default());
    let (pci, mut held) = (core.pci(), Held::root());
    pci.register_driver(&mut held, Recorder::new("mlx5_core", &trace))
        .unwrap();
    let function = function("0000:08:00.1");
    let device = pci::add_function(&pci, &mut held, None, function).unwrap();
    let part = Device::new(
        &core.auxiliary(),
        "mlx5_core.eth.1",
        Some(Arc::clone(&device)),
        (),
    );
    core.auxiliary().add_device(&mut held, &part).unwrap();

    let place = "devices/pci0000:08/0000:08:00.1";
    for (path, says) in [
        ("bus/pci/devices/0000:08:00.1", format!("../../../{place}")),
        (
            "bus/auxiliary/devices/mlx5_core.eth.1",
            format!("../../../{place}/mlx5_core.eth.1"),
        ),
        (
            "bus/pci/drivers/mlx5_core/0000:08:00.1",
            format!("../../../../{place}"),
        ),
        (&format!("{place}/subsystem"), "../../../bus/pci".into()),
        (
            &format!("{place}/driver"),
            "../../../bus/pci/drivers/mlx5_core".into(),
        ),
        (
            &format!("{place}/mlx5_core.eth.1/subsystem"),
            "../../../../bus/auxiliary".into(),
        ),
    ] {
        assert_eq!(link(&core, path), says, "{path}");
    }
    core.auxiliary().remove_device(&mut held, &part);
    pci.remove_device(&mut held, &device);
    for path in [
        place,
        "bus/pci/devices/0000:08:00.1",
        "bus/pci/drivers/mlx5_core/0000:08:00.1",
    ] {
        assert!(find(&core, path).is_none(), "{path}");
    }
    core.unregister_bus("pci");
    assert!(find(&core, "bus/pci").is_none());
}

#[test]
fn a_function_that_is_removed_is_found_again() {
    let core = machine();
    let (pci, mut held) = (core.pci(), Held::root());
    let first = pci::add_function(&pci, &mut held, None, function("0000:00:09.1")).unwrap();
    let second = pci::add_function(&pci, &mut held, None, function("0000:00:09.0")).unwrap();
    for device in [&first, &second, &first] {
        pci::remove(&pci, &mut held, device);
    }
    assert!(pci.devices().is_empty());
    // Another one has taken its place.
    let other = pci::add_function(&pci, &mut held, None, function("0000:00:09.1")).unwrap();
    pci::rescan(&pci, &mut held);
    let names = || -> Vec<String> {
        let devices = pci.devices();
        devices
            .iter()
            .map(|device| device.name().to_owned())
            .collect()
    };
    assert_eq!(names(), ["0000:00:09.1", "0000:00:09.0"]);
    pci.remove_device(&mut held, &other);
    pci::rescan(&pci, &mut held);
    pci::rescan(&pci, &mut held);
    assert_eq!(names(), ["0000:00:09.0", "0000:00:09.1"]);
}
