//! The simulated network device that devlink developers know.
//!
//! Devices are made and removed by hand ([`Netdevsim::new_device`], [`Netdevsim::del_device`]), as through the files of
//! `/sys/bus/netdevsim`. Each has a devlink instance, some parameters and, per port, a network device; and it can be told to
//! misbehave ([`debugfs`]).
//!
//! | module | is | kernel counterpart (`drivers/net/netdevsim/`) |
//! |---|---|---|
//! | [`bus`] | the bus: making and removing devices | `bus.c` |
//! | [`dev`] | the device: probe, remove, what a reload takes down and brings up | `dev.c` |
//! | [`ops`] | devlink operations | `dev.c` |
//! | [`params`] | devlink parameters | `dev.c` |
//! | [`ports`] | devlink ports | `dev.c` |
//! | [`vfs`] | virtual functions and the eswitch | `bus.c`, `dev.c` |
//! | [`rates`] | devlink rate objects | `dev.c` |
//! | [`traps`] | devlink traps, and the worker that reports packets | `dev.c` |
//! | [`flash`] | flashing | `dev.c` |
//! | `ptp` | the directories of the ports' clocks | `netdev.c` |
//! | `psample`, `hwstats`, `bpf` | debugfs files without a data path behind them | `psample.c`, `hwstats.c`, `bpf.c` |
//! | [`netdev`] | network devices | `netdev.c` |
//! | `region`, `resources` | devlink region and resources | `dev.c` |
//! | `fib` | what fills the resources | `fib.c` |
//! | `health` | devlink health reporters | `health.c` |
//! | `sysfs`, `peer` | the files of the bus and of its devices | `bus.c` |
//! | `port_files` | the debugfs files of a port | `netdev.c`, `ethtool.c` … |
//! | [`debugfs`] | the debugfs directory, and the files of no object | `dev.c` |

mod bpf;
pub mod bus;
pub mod debugfs;
pub mod dev;
mod fib;
pub mod flash;
mod health;
mod hwstats;
pub mod netdev;
pub mod ops;
pub mod params;
mod peer;
mod port_files;
pub mod ports;
mod psample;
mod ptp;
pub mod rates;
mod region;
mod resources;
mod sysfs;
pub mod traps;
pub mod vfs;

pub use bus::{Config, Netdevsim};
pub use dev::NsimDev;

/// The module's name: of the bus, of its driver, and the prefix of its messages to users.
pub const MODULE_NAME: &str = "netdevsim";
