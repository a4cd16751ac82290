//! Buses, devices, drivers, workqueues and the kernel-style log.
//!
//! This is what `drivers/base/`, `kernel/workqueue.c` and `kernel/printk/` are to the kernel: the part that knows
//! which device is bound to which driver and who may run when, and nothing of networking. A [`DriverCore`] is one
//! simulated machine's worth of it; there are no global variables, so a test builds its own.
//!
//! | module | is | kernel counterpart |
//! |---|---|---|
//! | [`mod@core`] | the machine: clock, log, random numbers, buses, system workqueue | |
//! | [`bus`] | a bus: its devices, its drivers, how they meet | `drivers/base/bus.c` |
//! | [`device`] | a device and `device_lock` | `drivers/base/core.c` |
//! | [`driver`] | what a driver provides | `include/linux/device/driver.h` |
//! | `dd` | probe, bind, release | `drivers/base/dd.c` |
//! | [`pci`], [`auxiliary`] | the two buses with a naming scheme of their own | `drivers/pci`, `drivers/base/auxiliary.c` |
//! | `sysfs`, [`power`] | what `/sys/bus/` and `/sys/devices/` show | `drivers/base/bus.c`, `drivers/base/core.c` |
//! | [`workqueue`] | work items and their workers | `kernel/workqueue.c` |
//! | [`firmware`] | firmware files | `drivers/base/firmware_loader` |
//! | [`klog`] | the log that `userlink dmesg` shows | `kernel/printk` |
//! | [`clock`], [`rng`], [`ida`] | time, chance and small numbers | |
//!
//! Locks: `device_lock` is the declared level `DeviceLock`; everything else in here is a leaf that is never held while
//! foreign code runs.

pub mod auxiliary;
pub mod bus;
pub mod clock;
pub mod core;
mod dd;
pub mod device;
pub mod driver;
pub mod firmware;
pub mod ida;
pub mod klog;
pub mod pci;
pub mod power;
pub mod rng;
mod sysfs;
pub mod workqueue;

pub use crate::core::{Build, DriverCore};
pub use bus::Bus;
pub use clock::{Clock, ManualClock, RealClock, VirtualClock};
pub use device::{Device, LockedDevice};
pub use driver::Driver;
pub use firmware::{Firmware, FirmwareFiles, FirmwareLoader};
pub use ida::Ida;
pub use klog::{Klog, Level};
pub use rng::{Rng, SeededRng};
pub use workqueue::{Work, Workqueue};
