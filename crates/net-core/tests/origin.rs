//! The lock of the origin: `pernet_ops_rwsem`, held for reading by namespace exit, wanted for writing by a global notifier.
//! A test binary of its own, and one test: reports are the process's.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::{Arc, Mutex};

use driver_core::{DriverCore, ManualClock, SeededRng};
use lock_order::{DriverLock, PernetOps};
use lockdep::order::{self, Held};
use lockdep::{Banner, ReportKind};
use net_core::testutil::FakeNamespaces;
use net_core::{Net, NetCore, NotifierBlock, PernetOperations};

/// A driver as it was in 2021: it drops a global notifier whenever its device leaves a namespace, under its own mutex.
struct Driver {
    intf_mutex: order::Mutex<DriverLock, ()>,
    block: Arc<NotifierBlock>,
    results: Mutex<Vec<Result<(), rustix::io::Errno>>>,
}

impl Driver {
    #[inline(never)]
    fn roce_cleanup<L>(&self, core: &NetCore, held: &mut Held<'_, L>)
    where
        L: order::Before<DriverLock>,
    {
        let (_guard, mut held) = self.intf_mutex.lock(held);
        let mut held = held.against_declared_order("the driver's locking of November 2021");
        let result = core.unregister_netdevice_notifier(&mut held, &self.block);
        self.results.lock().unwrap().push(result);
    }
}

impl PernetOperations for Driver {
    fn name(&self) -> &str {
        "driver"
    }

    fn pre_exit(&self, core: &Arc<NetCore>, _net: &Arc<Net>, held: &mut Held<'_, PernetOps>) {
        self.roce_cleanup(core, held);
    }
}

#[test]
fn a_global_notifier_in_namespace_exit_is_reported_and_nothing_hangs() {
    let drivers = DriverCore::new(Arc::new(ManualClock::new()), Arc::new(SeededRng::new(1)));
    let (core, namespaces) = FakeNamespaces::machine(drivers);
    let mut held = Held::root();
    let driver = Arc::new(Driver {
        intf_mutex: order::Mutex::named("mlx5_intf_mutex", ()),
        block: NotifierBlock::new("roce", |_, _, _| Ok(())),
        results: Mutex::default(),
    });
    core.register_pernet_subsys(&mut held, driver.clone())
        .unwrap();

    // Outside of namespace exit the notifier comes and goes under the driver's mutex, as a reload did.
    core.register_netdevice_notifier(&mut held, &driver.block)
        .unwrap();
    driver.roce_cleanup(&core, &mut held);
    assert_eq!(*driver.results.lock().unwrap(), [Ok(())]);
    assert!(lockdep::reports().is_empty());
    core.register_netdevice_notifier(&mut held, &driver.block)
        .unwrap();

    let n1 = core.get_net(&mut held, namespaces.add("n1")).unwrap();
    drop(n1);
    namespaces.del("n1");
    core.flush_cleanup();

    // The notifier is gone all the same.
    assert_eq!(*driver.results.lock().unwrap(), [Ok(()), Ok(())]);
    assert!(
        core.unregister_netdevice_notifier(&mut held, &driver.block)
            .is_err()
    );

    let reports = lockdep::reports();
    let kinds: Vec<_> = reports.iter().map(|report| report.kind()).collect();
    assert_eq!(kinds, [ReportKind::Circular, ReportKind::Recursive]);
    let [circular, recursive] = [0, 1].map(|index| reports[index].kernel_text(&Banner::default()));
    for expected in [
        "kworker/u4:",
        " is trying to acquire lock:\n",
        "(mlx5_intf_mutex){+.+.}-{",
        "(pernet_ops_rwsem){++++}-{",
        "Workqueue: netns cleanup_net",
        "3 locks held by kworker/u4:",
        "((wq_completion)netns){+.+.}-{0:0}, at: ",
        "(net_cleanup_work){+.+.}-{0:0}, at: ",
        "unregister_netdevice_notifier+0x",
        "roce_cleanup+0x",
        "cleanup_net+0x",
        "process_one_work+0x",
        "worker_thread+0x",
    ] {
        assert!(circular.contains(expected), "{expected}\n{circular}");
    }
    // Who took it, not the function that takes it.
    let holder = circular
        .lines()
        .find(|line| line.contains("(pernet_ops_rwsem)"))
        .unwrap();
    assert!(holder.contains("::cleanup_net+0x"), "{holder}");
    for expected in [
        "WARNING: possible recursive locking detected",
        "(pernet_ops_rwsem){++++}-{",
        "Workqueue: netns cleanup_net",
    ] {
        assert!(recursive.contains(expected), "{expected}\n{recursive}");
    }
}
