//! `psample/`: what the device would sample and send (`psample.c`). There is nobody to send it to, so it is settings only.

use std::sync::PoisonError;

use kernfs::debugfs::{Plain, U16, U32, U64};
use kernfs::{Dir, kstrto};
use rustix::io::Errno;

use crate::dev::NsimDev;

/// Makes the directory, with every setting at its default.
///
/// # Errors
/// `EEXIST` when it is there.
pub(crate) fn init(dev: &NsimDev) -> Result<Dir, Errno> {
    dev.debugfs().ddir().create_lazy_dir("psample", |dir| {
        // A directory that is being made has no entry of these names yet.
        _ = fill(dir);
    })
}

fn fill(dir: &Dir) -> Result<(), Errno> {
    for (name, default) in [
        ("rate", 100),
        ("group_num", 10),
        ("trunc_size", 0),
        ("in_ifindex", 1),
        ("out_ifindex", 2),
    ] {
        dir.create_file(name, 0o600, U32::new(default))?;
    }
    dir.create_file("out_tc", 0o600, U16::new(0))?;
    dir.create_file("out_tc_occ_max", 0o600, U64::new(10_000))?;
    dir.create_file("latency_max", 0o600, U64::new(50))?;
    let is_active = lockdep::Mutex::named("psample->is_active", false);
    let enable = Plain::new().store(move |_, text| {
        let enable = kstrto::bool(text)?;
        let mut is_active = is_active.lock().unwrap_or_else(PoisonError::into_inner);
        match (enable, *is_active) {
            (true, true) => Err(Errno::BUSY),
            (false, false) => Err(Errno::INVAL),
            _ => {
                *is_active = enable;
                Ok(())
            }
        }
    });
    dir.create_file("enable", 0o200, enable)?;
    Ok(())
}
