//! Two threads that wait for each other: one holds a driver's lock and wants `pernet_ops_rwsem` for writing, namespace exit
//! holds that for reading and wants the driver's lock. A test binary of its own, and one test: reports are the process's.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};

use driver_core::{DriverCore, SeededRng, clock::RealClock};
use lock_order::{DriverLock, PernetOps};
use lockdep::ReportKind;
use lockdep::order::{self, Held};
use net_core::testutil::FakeNamespaces;
use net_core::{Net, NetCore, NotifierBlock, PernetOperations};

struct Driver {
    mutex: order::Mutex<DriverLock, ()>,
    exiting: Mutex<Sender<()>>,
    go_on: Mutex<Receiver<()>>,
}

impl PernetOperations for Driver {
    fn name(&self) -> &str {
        "driver"
    }

    fn pre_exit(&self, _core: &Arc<NetCore>, _net: &Arc<Net>, held: &mut Held<'_, PernetOps>) {
        self.exiting.lock().unwrap().send(()).unwrap();
        self.go_on.lock().unwrap().recv().unwrap();
        drop(self.mutex.lock(held));
    }
}

#[test]
fn the_report_comes_instead_of_the_deadlock() {
    let drivers = DriverCore::new(Arc::new(RealClock::new()), Arc::new(SeededRng::new(1)));
    let (core, namespaces) = FakeNamespaces::machine(drivers);
    let mut held = Held::root();
    let (exiting, in_exit) = mpsc::channel();
    let (go_on, wait) = mpsc::channel();
    let driver = Arc::new(Driver {
        mutex: order::Mutex::named("mlx5_intf_mutex", ()),
        exiting: Mutex::new(exiting),
        go_on: Mutex::new(wait),
    });
    core.register_pernet_subsys(&mut held, driver.clone())
        .unwrap();
    let block = NotifierBlock::new("roce", |_, _, _| Ok(()));
    core.register_netdevice_notifier(&mut held, &block).unwrap();
    drop(core.get_net(&mut held, namespaces.add("n1")).unwrap());
    namespaces.del("n1");
    in_exit.recv().unwrap();

    {
        let (_guard, mut held) = driver.mutex.lock(&mut held);
        go_on.send(()).unwrap();
        let mut held = held.against_declared_order("a driver of 2021");
        core.unregister_netdevice_notifier(&mut held, &block)
            .unwrap();
    }
    core.flush_cleanup();
    assert_eq!(core.nets().len(), 1);

    let reports = lockdep::reports();
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].kind(), ReportKind::Circular);
    let mut classes = reports[0].classes();
    classes.sort_unstable();
    classes.dedup();
    assert_eq!(classes, ["mlx5_intf_mutex", "pernet_ops_rwsem"]);
}
