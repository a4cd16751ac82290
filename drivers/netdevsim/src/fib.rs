//! `fib/`: how the device shall fail to offload routes and next hops (`fib.c: nsim_fib_debugfs_init`).
//!
//! The routes are the real kernel's, which asks nobody here; so these are switches that nothing looks at.

use kernfs::Dir;
use kernfs::debugfs::{Bool, Plain};
use rustix::io::Errno;

use crate::dev::NsimDev;

/// Makes the directory, with every switch off.
///
/// # Errors
/// `EEXIST` when it is there.
pub(crate) fn init(dev: &NsimDev) -> Result<Dir, Errno> {
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
