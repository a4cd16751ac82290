//! The region `dummy`: as if the device had 32 KiB of memory, with something else in it at every look (`dev.c`).

use std::sync::Arc;

use devlink::{Devl, RegionOps};
use kernfs::debugfs::Plain;
use rustix::io::Errno;

use crate::MODULE_NAME;
use crate::dev::NsimDev;

/// `NSIM_DEV_DUMMY_REGION_SIZE`
const SIZE: u64 = 32 * 1024;

/// `NSIM_DEV_DUMMY_REGION_SNAPSHOT_MAX`
const MAX_SNAPSHOTS: u32 = 16;

/// Makes the region (`dev.c: nsim_dev_dummy_region_init`).
///
/// # Errors
/// `EEXIST` when it is there.
pub(crate) fn init(dev: &Arc<NsimDev>, devl: &mut Devl<'_>) -> Result<(), Errno> {
    let weak = Arc::downgrade(dev);
    let ops = RegionOps::new("dummy").snapshot(move |_, _| {
        let dev = weak.upgrade().ok_or(Errno::NODEV)?;
        Ok(memory(&dev))
    });
    let region = devl.region_create(ops, MAX_SNAPSHOTS, SIZE)?;
    *dev.dummy_region() = Some(region);
    Ok(())
}

/// Removes the region, if it is there (`dev.c: nsim_dev_dummy_region_exit`).
pub(crate) fn exit(dev: &NsimDev, devl: &mut Devl<'_>) {
    let region = dev.dummy_region().take();
    if let Some(region) = region {
        devl.region_destroy(&region);
    }
}

/// `dev.c: nsim_dev_take_snapshot`
fn memory(dev: &NsimDev) -> Vec<u8> {
    let mut memory = vec![0; SIZE as usize];
    dev.module().driver_core().rng().fill(&mut memory);
    memory
}

/// Makes the file `take_snapshot`, which takes one as if the device had asked for it.
///
/// # Errors
/// `EEXIST` when it is there.
pub(crate) fn debugfs_init(dev: &Arc<NsimDev>) -> Result<(), Errno> {
    let weak = Arc::downgrade(dev);
    let file = Plain::new().store(move |_, _| take_snapshot(&*weak.upgrade().ok_or(Errno::NODEV)?));
    dev.debugfs()
        .ddir()
        .create_file("take_snapshot", 0o200, file)
        .map(drop)
}

/// Removes the file, if it is there.
pub(crate) fn debugfs_exit(dev: &NsimDev) {
    dev.debugfs().ddir().remove_entry("take_snapshot");
}

/// `dev.c: nsim_dev_take_snapshot_write`, without the instance lock.
fn take_snapshot(dev: &NsimDev) -> Result<(), Errno> {
    let log = dev.module().driver_core().klog();
    let devlink = dev.devlink();
    let id = devlink
        .region_snapshot_id_get()
        .inspect_err(|_| log.err(format_args!("{MODULE_NAME}: Failed to get snapshot id")))?;
    let region = dev.dummy_region().clone().ok_or(Errno::NODEV)?;
    let created = region.snapshot_create(&id, memory(dev));
    if created.is_err() {
        log.err(format_args!(
            "{MODULE_NAME}: Failed to create region snapshot"
        ));
    }
    created
}
