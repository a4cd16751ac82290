//! Everything at once: devices that come, move and go, notifiers of all kinds, namespaces that end, drivers bound and
//! unbound, work queued, flushed and cancelled, from many threads. Afterwards the books must balance: every notifier has
//! heard of the end of whatever it has heard of, nothing is left, and the lock validator has nothing to say.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use driver_core::pci::{self, Address, Function, Id};
use driver_core::{
    Device, Driver, DriverCore, LockedDevice, Rng, SeededRng, Work, Workqueue, auxiliary,
};
use lock_order::{ChildDevices, DriverLock, PernetOps};
use lockdep::order::{self, Held};
use net_core::netdev::RegState;
use net_core::testutil::FakeNamespaces;
use net_core::{
    Net, NetCore, NetRef, Netdev, NetdevEvent, NetdevInit, NotifierBlock, PernetOperations,
};
use rustix::io::Errno;

const ROUNDS: usize = 900;
const SLOTS: usize = 3;

/// What the threads share.
struct World {
    core: Arc<NetCore>,
    namespaces: Arc<FakeNamespaces>,
    /// References to the namespaces that are there.
    slots: Mutex<Vec<Option<NetRef>>>,
    /// Registered devices that any thread may work on.
    devices: Mutex<Vec<Arc<Netdev>>>,
}

impl World {
    fn net(&self, rng: &SeededRng) -> NetRef {
        let slots = self.slots.lock().unwrap();
        let slot = slots[pick(rng, SLOTS)].clone();
        slot.unwrap_or_else(|| self.core.init_net_ref())
    }

    fn device(&self, rng: &SeededRng) -> Option<Arc<Netdev>> {
        let devices = self.devices.lock().unwrap();
        match devices.len() {
            0 => None,
            count => Some(Arc::clone(&devices[pick(rng, count)])),
        }
    }
}

fn pick(rng: &SeededRng, count: usize) -> usize {
    usize::try_from(rng.next_u64() % count as u64).unwrap()
}

/// A notifier that keeps books: what has come must go, and nothing comes twice.
fn bookkeeper(books: &Arc<Mutex<HashSet<usize>>>) -> Arc<NotifierBlock> {
    let books = Arc::clone(books);
    NotifierBlock::new("bookkeeper", move |_rtnl, event, dev| {
        let mut books = books.lock().unwrap_or_else(PoisonError::into_inner);
        let id = Arc::as_ptr(dev) as usize;
        match event {
            NetdevEvent::Register => assert!(books.insert(id), "{dev:?} came twice"),
            NetdevEvent::Unregister => assert!(books.remove(&id), "{dev:?} went twice"),
            NetdevEvent::Up | NetdevEvent::Down | NetdevEvent::ChangeName => {
                assert!(books.contains(&id), "{event:?} of an unknown {dev:?}");
            }
            _ => {}
        }
        Ok(())
    })
}

/// Devices that come, go up and down, are renamed and moved, and go.
fn device_thread(world: &World, seed: u64) {
    let rng = SeededRng::new(seed);
    let mut held = Held::root();
    for round in 0..ROUNDS {
        let net = world.net(&rng);
        let init = NetdevInit::ethernet(Arc::clone(net.net()), rng.eth_random_addr());
        let dev = Netdev::new(init);
        world.core.register_netdev(&mut held, &dev).unwrap();
        drop(net);
        world.devices.lock().unwrap().push(Arc::clone(&dev));
        if let Some(other) = world.device(&rng) {
            let target = world.net(&rng);
            let mut rtnl = world.core.rtnl_lock(&mut held);
            if other.reg_state() == RegState::Registered {
                match round % 4 {
                    0 => rtnl.dev_open(&other).unwrap(),
                    1 => rtnl.dev_close(&other),
                    2 => rtnl.dev_change_name(&other, "port%d").unwrap(),
                    _ => rtnl
                        .dev_change_net_namespace(&other, target.net(), Some("moved%d"))
                        .unwrap(),
                }
            }
            drop(rtnl);
            world.core.set_carrier(&other, round % 2 == 0);
        }
        let gone = {
            let mut devices = world.devices.lock().unwrap();
            let position = pick(&rng, devices.len());
            devices.swap_remove(position)
        };
        world.core.unregister_netdev(&mut held, &gone);
    }
}

/// Namespaces that come, are lived in by others, and end.
fn namespace_thread(world: &World, seed: u64) {
    let rng = SeededRng::new(seed);
    let mut held = Held::root();
    for round in 0..ROUNDS {
        let name = format!("n{seed}-{round}");
        let handle = world.namespaces.add(&name);
        let reference = if round % 3 == 0 {
            world.core.get_net_deferred(handle).unwrap()
        } else {
            world.core.get_net(&mut held, handle).unwrap()
        };
        world
            .core
            .peernet2id_alloc(world.core.init_net(), reference.net());
        let previous = {
            let mut slots = world.slots.lock().unwrap();
            slots[pick(&rng, SLOTS)].replace(reference)
        };
        drop(previous);
        world.namespaces.del(&name);
        if round % 16 == 0 {
            world.core.flush_cleanup();
        }
    }
}

/// Notifiers of the three kinds, that come and go.
fn notifier_thread(world: &World, seed: u64) {
    let rng = SeededRng::new(seed);
    let mut held = Held::root();
    for round in 0..ROUNDS {
        let books = Arc::default();
        let block = bookkeeper(&books);
        let core = &world.core;
        match round % 3 {
            0 => {
                core.register_netdevice_notifier(&mut held, &block).unwrap();
                core.unregister_netdevice_notifier(&mut held, &block)
                    .unwrap();
            }
            1 => {
                let net = world.net(&rng);
                core.register_netdevice_notifier_net(&mut held, net.net(), &block)
                    .unwrap();
                std::thread::yield_now();
                core.unregister_netdevice_notifier_net(&mut held, net.net(), &block)
                    .unwrap();
            }
            _ => {
                let net = world.net(&rng);
                let dev = Netdev::new(NetdevInit::ethernet(
                    Arc::clone(net.net()),
                    rng.eth_random_addr(),
                ));
                core.register_netdev(&mut held, &dev).unwrap();
                core.register_netdevice_notifier_dev_net(&mut held, &dev, &block)
                    .unwrap();
                drop(net);
                let target = world.net(&rng);
                core.rtnl_lock(&mut held)
                    .dev_change_net_namespace(&dev, target.net(), Some("followed%d"))
                    .unwrap();
                core.unregister_netdevice_notifier_dev_net(&mut held, &dev, &block)
                    .unwrap();
                core.unregister_netdev(&mut held, &dev);
            }
        }
        assert!(books.lock().unwrap().is_empty(), "round {round}");
    }
}

/// A driver whose device has a part and a network device, all made under its own lock.
struct Parent {
    core: Arc<NetCore>,
    lock: order::Mutex<DriverLock, ()>,
    bound: AtomicUsize,
}

struct Private {
    part: Arc<Device>,
    dev: Arc<Netdev>,
}

impl Driver for Parent {
    fn name(&self) -> &str {
        "parent"
    }

    fn matches(&self, device: &Device) -> bool {
        pci::function(device).is_some()
    }

    fn probe(&self, device: &mut LockedDevice<'_>) -> Result<(), Errno> {
        let parent = device.device();
        let address = pci::function(parent).unwrap().address;
        let (_guard, mut held) = self.lock.lock(device.held());
        let part = auxiliary::auxiliary_device_add(
            &self.core.drivers().auxiliary(),
            &mut held.child_devices(),
            parent,
            "parent",
            "part",
            u32::from(address.routing_id()),
            Arc::new(()),
        )?;
        let mut init = NetdevInit::ethernet(Arc::clone(self.core.init_net()), [2; 6]);
        init.parent = Some(Arc::clone(parent));
        let dev = Netdev::new(init);
        self.core.register_netdev(&mut held, &dev)?;
        drop(_guard);
        self.bound.fetch_add(1, Ordering::SeqCst);
        device.set_drvdata(Arc::new(Private { part, dev }));
        Ok(())
    }

    fn remove(&self, device: &mut LockedDevice<'_>) {
        let private = device.drvdata::<Private>().unwrap();
        let (_guard, mut held) = self.lock.lock(device.held());
        self.core.unregister_netdev(&mut held, &private.dev);
        let bus = self.core.drivers().auxiliary();
        auxiliary::auxiliary_device_delete(&bus, &mut held.child_devices(), &private.part);
        self.bound.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Part;

impl Driver for Part {
    fn name(&self) -> &str {
        "parent.part"
    }

    fn matches(&self, device: &Device) -> bool {
        auxiliary::match_id(&["parent.part"], device).is_some()
    }

    fn probe(&self, _device: &mut LockedDevice<'_>) -> Result<(), Errno> {
        Ok(())
    }

    fn remove(&self, _device: &mut LockedDevice<'_>) {}
}

/// Functions plugged in and out, bound and unbound by hand.
fn plug_thread(world: &World, bus_number: u8) {
    let mut held = Held::root();
    let pci = world.core.drivers().pci();
    let id = Id {
        vendor: 1,
        device: 1,
    };
    for round in 0..ROUNDS {
        let slot = u8::try_from(round % 32).unwrap();
        let address = Address::new(0, bus_number, slot, 0).unwrap();
        let function = Function::ethernet(address, id);
        let device = pci::add_function(&pci, &mut held, None, function).unwrap();
        // The driver itself comes and goes meanwhile, so these may find nothing to do.
        let _ = pci.unbind(&mut held, device.name(), "parent");
        let _ = pci.bind(&mut held, device.name(), "parent");
        pci.remove_device(&mut held, &device);
    }
}

/// The driver comes and goes.
fn driver_thread(world: &World, parent: &Arc<Parent>) {
    let mut held = Held::root();
    let pci = world.core.drivers().pci();
    for _ in 0..ROUNDS / 3 {
        pci.register_driver(&mut held, Arc::clone(parent) as Arc<dyn Driver>)
            .unwrap();
        std::thread::yield_now();
        pci.unregister_driver(&mut held, "parent").unwrap();
    }
}

/// Work queued, flushed and cancelled, on queues of its own and the machine's.
fn work_thread(world: &World, seed: u64) {
    let rng = SeededRng::new(seed);
    let drivers = world.core.drivers();
    let wq = Workqueue::alloc_ordered(drivers.workers(), format!("stress{seed}"));
    let runs = Arc::new(AtomicUsize::new(0));
    let work = {
        let (runs, core) = (Arc::clone(&runs), Arc::downgrade(&world.core));
        Work::new("stress_work", move |held| {
            runs.fetch_add(1, Ordering::SeqCst);
            if let Some(core) = core.upgrade() {
                drop(core.rtnl_lock(held));
            }
        })
    };
    let mut queued = 0;
    for _ in 0..ROUNDS {
        let target = match pick(&rng, 2) {
            0 => &wq,
            _ => drivers.system_wq(),
        };
        let came = match pick(&rng, 3) {
            0 => target.queue_delayed(&work, Duration::from_micros(rng.next_u64() % 200)),
            _ => target.queue(&work),
        };
        queued += usize::from(came);
        match pick(&rng, 4) {
            0 => drop(std::hint::black_box(work.flush())),
            1 => queued -= usize::from(work.cancel_sync()),
            2 => wq.flush(),
            _ => {}
        }
    }
    queued -= usize::from(work.cancel_sync());
    assert_eq!(runs.load(Ordering::SeqCst), queued, "work lost or doubled");
}

/// Looks at every device of a namespace that ends.
struct Looker;

impl PernetOperations for Looker {
    fn name(&self) -> &str {
        "looker"
    }

    fn pre_exit(&self, core: &Arc<NetCore>, net: &Arc<Net>, held: &mut Held<'_, PernetOps>) {
        for dev in core.rtnl_lock(held).devices(net) {
            assert_eq!(dev.net(), *net);
        }
    }
}

#[test]
fn everything_at_once() {
    let drivers = DriverCore::real_time(1);
    let (core, namespaces) = FakeNamespaces::machine(drivers);
    let mut held = Held::root();
    let world = World {
        core: Arc::clone(&core),
        namespaces,
        slots: Mutex::new(vec![None; SLOTS]),
        devices: Mutex::default(),
    };
    core.register_pernet_subsys(&mut held, Arc::new(Looker))
        .unwrap();
    core.drivers()
        .auxiliary()
        .register_driver(&mut held, Arc::new(Part))
        .unwrap();
    let books = Arc::default();
    let witness = bookkeeper(&books);
    core.register_netdevice_notifier(&mut held, &witness)
        .unwrap();
    let parent = Arc::new(Parent {
        core: Arc::clone(&core),
        lock: order::Mutex::named("parent_lock", ()),
        bound: AtomicUsize::new(0),
    });

    std::thread::scope(|scope| {
        let (world, parent) = (&world, &parent);
        for seed in 0..2 {
            scope.spawn(move || device_thread(world, 100 + seed));
            scope.spawn(move || namespace_thread(world, 200 + seed));
            scope.spawn(move || notifier_thread(world, 300 + seed));
            scope.spawn(move || plug_thread(world, u8::try_from(seed).unwrap()));
            scope.spawn(move || work_thread(world, 400 + seed));
        }
        scope.spawn(move || driver_thread(world, parent));
    });

    // Everybody goes home.
    world.slots.lock().unwrap().clear();
    core.flush_cleanup();
    assert_eq!(core.nets().len(), 1);
    assert!(world.devices.lock().unwrap().is_empty());
    assert_eq!(parent.bound.load(Ordering::SeqCst), 0);
    let init = Arc::clone(core.init_net());
    assert!(core.rtnl_lock(&mut held).devices(&init).is_empty());
    assert!(books.lock().unwrap().is_empty());
    core.unregister_netdevice_notifier(&mut held, &witness)
        .unwrap();
    core.drivers().dismantle(&mut held);

    // A panic on a worker is caught and logged.
    let log = core.klog().text();
    assert!(
        !log.contains("panicked") && !log.contains("failed"),
        "{log}"
    );

    let reports: Vec<_> = lockdep::reports()
        .iter()
        .map(|report| report.kernel_text(&lockdep::Banner::default()))
        .collect();
    assert!(reports.is_empty(), "{}", reports.join("\n"));
    let violations = order::check_observed();
    assert!(violations.is_empty(), "{violations:?}");

    // Nothing keeps the machine alive.
    let machine = Arc::downgrade(&core);
    drop((world, core, parent, witness));
    assert!(machine.upgrade().is_none());
}
