//! Flashing the device (`dev.c: nsim_dev_flash_update`): nothing is written anywhere, but it takes its time.

use std::time::Duration;

use devlink::{FlashUpdate, Objects};
use kernfs::debugfs::{Bool, U32};
use rustix::io::Errno;

use crate::dev::NsimDev;

/// Bytes at a time.
const CHUNK_SIZE: u64 = 1000;

/// What users tell the flash to be like.
#[derive(Debug)]
pub struct Flash {
    /// `fw_update_status`: tell how far it is.
    pub fw_update_status: Bool,
    /// `fw_update_overwrite_mask`: which sections can be overwritten.
    pub fw_update_overwrite_mask: U32,
    /// `fw_update_flash_chunk_time_ms`: what 1000 bytes take. In the older kernels nobody can change it.
    pub fw_update_flash_chunk_time_ms: U32,
}

impl Flash {
    pub(crate) fn new() -> Self {
        Flash {
            fw_update_status: Bool::new(true),
            fw_update_overwrite_mask: U32::new(0),
            fw_update_flash_chunk_time_ms: U32::new(100),
        }
    }

    /// What a reload puts back.
    pub(crate) fn reset(&self) {
        self.fw_update_status.set(true);
        self.fw_update_overwrite_mask.set(0);
    }
}

/// Later kernels flash a tenth, in chunks that take ten times as long or whatever users want.
fn is_adjustable(dev: &NsimDev) -> bool {
    dev.module().kernel_is_at_least(6, 13)
}

/// Makes the files in the device's debugfs directory.
///
/// # Errors
/// `EEXIST` when they are there.
pub(crate) fn debugfs_init(dev: &NsimDev) -> Result<(), Errno> {
    let (ddir, flash) = (dev.debugfs().ddir(), dev.flash());
    ddir.create_file("fw_update_status", 0o600, flash.fw_update_status.clone())?;
    let mask = flash.fw_update_overwrite_mask.clone();
    ddir.create_file("fw_update_overwrite_mask", 0o600, mask)?;
    if is_adjustable(dev) {
        let time = flash.fw_update_flash_chunk_time_ms.clone();
        ddir.create_file("fw_update_flash_chunk_time_ms", 0o600, time)?;
    }
    Ok(())
}

/// Flashes, with the instance locked all the time.
///
/// # Errors
/// `EOPNOTSUPP` when a section is to be overwritten that cannot be.
pub(crate) fn update(
    dev: &NsimDev,
    objects: &Objects<'_>,
    update: &FlashUpdate<'_>,
) -> Result<(), Errno> {
    let (knobs, component) = (dev.flash(), update.component);
    if update.overwrite_mask & !knobs.fw_update_overwrite_mask.get() != 0 {
        return Err(Errno::OPNOTSUPP);
    }
    let size = if is_adjustable(dev) { 50_000 } else { 500_000 };
    let tell = |msg: &str, done: u64, total: u64| {
        if knobs.fw_update_status.get() {
            objects.flash_update_status_notify(msg, component, done, total);
        }
    };

    tell("Preparing to flash", 0, 0);
    for chunk in 0..size / CHUNK_SIZE {
        tell("Flashing", chunk * CHUNK_SIZE, size);
        let time = match knobs.fw_update_flash_chunk_time_ms.get() {
            _ if !is_adjustable(dev) => 10,
            0 => 1,
            time => u64::from(time),
        };
        let clock = dev.module().driver_core().clock();
        clock.sleep(Duration::from_millis(time));
    }
    if knobs.fw_update_status.get() {
        objects.flash_update_status_notify("Flashing", component, size, size);
        objects.flash_update_timeout_notify("Flash select", component, 81);
        objects.flash_update_status_notify("Flashing done", component, 0, 0);
    }
    Ok(())
}
