//! The device's copy of its namespace's routes, rules and nexthops, of which it holds as many as its resources say (`fib.c`).
//!
//! The tables are the real kernel's: how full the device is, is how full they are.

use std::sync::Arc;

use devlink::Devl;
use kernfs::Dir;
use kernfs::debugfs::{Bool, Plain};
use net_core::{FibNotifier, FibRefusal, FibTable, Net};
use netlink::ExtAck;
use rustix::io::Errno;

use crate::dev::NsimDev;
use crate::resources;

/// The sizes of the resources when the device was initialized.
struct Limits([(FibTable, u64); 5]);

impl FibNotifier for Limits {
    fn max(&self, table: FibTable) -> u64 {
        let limit = self.0.iter().find(|(of, _)| *of == table);
        limit.map_or(u64::MAX, |&(_, max)| max)
    }

    fn refusal(&self, table: FibTable) -> FibRefusal {
        match table {
            // The notifier of routes says no without saying why, which is this errno.
            FibTable::Ipv4 | FibTable::Ipv6 => FibRefusal {
                errno: Errno::PERM,
                text: "netdevsim: Exceeded number of supported fib entries",
            },
            FibTable::Ipv4Rules | FibTable::Ipv6Rules => FibRefusal {
                errno: Errno::NOSPC,
                text: "netdevsim: Exceeded number of supported fib rule entries",
            },
            FibTable::Nexthops => FibRefusal {
                errno: Errno::NOSPC,
                text: "netdevsim: Exceeded number of supported nexthops",
            },
        }
    }
}

/// Begins to mirror the tables of the instance's namespace (`fib.c: nsim_fib_create`).
///
/// # Errors
/// `EPERM` or `ENOSPC`, with a text, when the namespace has more than the device holds.
pub(crate) fn create(dev: &NsimDev, devl: &mut Devl<'_>, extack: &mut ExtAck) -> Result<(), Errno> {
    let limits = FibTable::ALL.map(|table| {
        let size = devl.resource_size_get(resources::id_of(table));
        (table, size.unwrap_or(u64::MAX))
    });
    let notifier: Arc<dyn FibNotifier> = Arc::new(Limits(limits));
    let net = devl.devlink().net();
    let net_core = dev.module().net_core();
    if let Err(refusal) = net_core.register_fib_notifier(&net, Arc::clone(&notifier)) {
        extack.set_msg(refusal.text);
        return Err(refusal.errno);
    }
    *dev.fib() = Some(notifier);
    for table in FibTable::ALL {
        let net_core = Arc::clone(net_core);
        let net: Arc<Net> = Arc::clone(&net);
        devl.resource_occ_get_register(resources::id_of(table), move |_| {
            net_core.fib_entries(&net, table)
        });
    }
    Ok(())
}

/// Ends that, if it has begun (`fib.c: nsim_fib_destroy`).
pub(crate) fn destroy(dev: &NsimDev, devl: &mut Devl<'_>) {
    let Some(fib) = dev.fib().take() else {
        return;
    };
    for table in FibTable::ALL {
        devl.resource_occ_get_unregister(resources::id_of(table));
    }
    dev.module().net_core().unregister_fib_notifier(&fib);
}

/// Makes the directory `fib/`, with every switch off (`fib.c: nsim_fib_debugfs_init`): how the device shall fail to offload
/// routes and next hops. The routes are the real kernel's, which asks nobody here; so nothing looks at these switches.
///
/// # Errors
/// `EEXIST` when it is there.
pub(crate) fn debugfs_init(dev: &NsimDev) -> Result<Dir, Errno> {
    dev.debugfs().ddir().create_lazy_dir("fib", |dir| {
        // A directory that is being made has no entry of these names yet.
        _ = fill(dir);
    })
}

fn fill(dir: &Dir) -> Result<(), Errno> {
    for name in [
        "fail_route_offload",
        "fail_res_nexthop_group_replace",
        "fail_nexthop_bucket_replace",
        "fail_route_delete",
    ] {
        dir.create_file(name, 0o600, Bool::new(false))?;
    }
    // What is written must name a next hop group that the device has offloaded. It has none.
    let activity = Plain::new().store(|_, _| Err(Errno::INVAL));
    dir.create_file("nexthop_bucket_activity", 0o200, activity)?;
    Ok(())
}
