//! A lifelike mlx5: core, Ethernet, RDMA and LAG parts, with both generations of locking.
//!
//! A function on the PCI bus is taken by the core's driver, which sets it up, loads it and then splits it into parts on
//! the auxiliary bus; each part is bound by a driver of its own and does what its kernel counterpart does: the Ethernet
//! part registers the network device, the RDMA part an InfiniBand device that follows the network device. A reload takes
//! all of it down in reverse and brings it up again, perhaps in another network namespace. Functions carry the names of
//! the kernel's, because the reports of the lock validator show their stacks.
//!
//! | module | is | kernel counterpart (`drivers/net/ethernet/mellanox/mlx5/core/`) |
//! |---|---|---|
//! | [`module`] | what loading the modules does, and what all functions share | `main.c: mlx5_init` |
//! | [`mod@core`] | a function's life: probe, set up, load, unload | `main.c` |
//! | [`core_dev`] | the function itself | `struct mlx5_core_dev` |
//! | [`dev`] | the parts on the auxiliary bus | `dev.c` |
//! | [`ops`] | devlink operations | `devlink.c` |
//! | [`params`] | devlink parameters | `devlink.c`, `lib/nv_param.c`, `fs_core.c`, `eswitch.c`, `fw_reset.c` |
//! | [`ports`] | devlink ports | `en/devlink.c` |
//! | [`netdev`] | the Ethernet part | `en_main.c` |
//! | [`rdma`] | the RDMA part | `drivers/infiniband/hw/mlx5/main.c` |
//! | [`lag`] | link aggregation of an adapter's ports | `lag/lag.c` |
//! | [`devcom`] | what ties the functions of one adapter together | `lib/devcom.c` |
//! | [`eswitch`] | the embedded switch: vports, their ports, the modes | `eswitch.c`, `eswitch_offloads.c`, `esw/devlink_port.c` |
//! | `rep` | representors | `en_rep.c` |
//! | `host` | the host on the other side of a DPU | the firmware, `ecpf.c`, `eswitch_offloads.c` |
//! | [`sriov`] | virtual functions | `sriov.c` |
//! | [`sf`] | sub-functions, both ends | `sf/` |
//! | `firmware` | the firmware: its versions, its update | on the card |
//! | [`fw_flash`] | flashing it | `fw.c`, `mlxfw/` |
//! | [`fw_reset`] | activating it | `fw_reset.c` |
//! | [`locking`] | the two generations of locking | |
//! | [`profile`] | what differs between adapter models | the firmware |
//! | [`fault`] | what goes wrong on demand | |
//! | `health` | health reporters | `health.c`, `diag/`, `en/reporter_*.c` |
//! | `traps`, `resources`, [`rates`] | devlink objects of these kinds | `devlink.c`, `sf/hw_table.c`, `esw/qos.c` |
//! | `names` | what udev would call it | |
//!
//! Locks, outermost first: `device_lock`, the instance's lock, `&dev->intf_state_mutex`, the adapter's semaphore (or, as
//! of 2021, `mlx5_intf_mutex`), `&ldev->lock` and the lock of the uplink's network device, `rtnl_mutex`.

pub mod core;
pub mod core_dev;
pub mod dev;
pub mod devcom;
pub mod eswitch;
pub mod fault;
mod firmware;
pub mod fw_flash;
pub mod fw_reset;
mod health;
mod host;
pub mod lag;
pub mod locking;
pub mod module;
mod names;
pub mod netdev;
pub mod ops;
mod other;
pub mod params;
pub mod ports;
pub mod profile;
pub mod rates;
pub mod rdma;
mod rep;
mod resources;
pub mod sf;
pub mod sriov;
mod traps;

pub use fault::{FaultError, FaultSpec, Faults};
pub use locking::DriverLocking;
pub use module::{Config, Module};
pub use profile::{FwVersion, Profile, ProfileError};

/// The module's name: the first part of its auxiliary devices' names and the prefix of its messages to users.
pub const MODULE_NAME: &str = "mlx5_core";
