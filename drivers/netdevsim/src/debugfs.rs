//! The values behind the files of `/sys/kernel/debug/netdevsim/netdevsimN/` (`dev.c: nsim_dev_debugfs_init`).
//!
//! Some show what is in effect (`max_macs`, `test1`: the driverinit values of the last probe or reload), some tell the
//! device to misbehave. Each is a word of its own that is read and written without a lock, as in the kernel.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// The values of one device.
#[derive(Debug)]
pub struct Debugfs {
    /// `max_macs`: the driverinit value in effect.
    pub max_macs: Number,
    /// `test1`: the driverinit value in effect.
    pub test1: Switch,
    /// `test2`: the value of the runtime parameter.
    pub test2: Number,
    /// `dont_allow_reload`: refuse to go down for a reload.
    pub dont_allow_reload: Switch,
    /// `fail_reload`: fail to come up again.
    pub fail_reload: Switch,
}

impl Debugfs {
    pub(crate) fn new() -> Self {
        Debugfs {
            max_macs: Number::new(crate::params::MAX_MACS_DEFAULT),
            test1: Switch::new(crate::params::TEST1_DEFAULT),
            test2: Number::new(crate::params::TEST2_DEFAULT),
            dont_allow_reload: Switch::new(false),
            fail_reload: Switch::new(false),
        }
    }
}

/// A file with `Y` or `N` in it.
#[derive(Debug)]
pub struct Switch(AtomicBool);

impl Switch {
    const fn new(on: bool) -> Self {
        Switch(AtomicBool::new(on))
    }

    /// Whether it is on.
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Turns it on or off.
    pub fn set(&self, on: bool) {
        self.0.store(on, Ordering::Relaxed);
    }
}

/// A file with a 32-bit number in it.
#[derive(Debug)]
pub struct Number(AtomicU32);

impl Number {
    const fn new(value: u32) -> Self {
        Number(AtomicU32::new(value))
    }

    /// The number.
    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Changes the number.
    pub fn set(&self, value: u32) {
        self.0.store(value, Ordering::Relaxed);
    }
}
