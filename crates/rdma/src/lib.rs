//! InfiniBand devices as management software sees them (`drivers/infiniband/core/`).
//!
//! A driver registers a device that speaks RDMA over a network device; nobody here sends packets, so the verbs are not there.
//! What is there is what tools list: the class `infiniband` in sysfs, and the part of netlink that `rdma` of iproute2 asks
//! (`NETLINK_RDMA`, which is no generic netlink). All of it is looked up when it is asked for: a device says what it is through its
//! driver's [`Ops`] at that moment, and follows renames, link states and firmware by itself.
//!
//! | module | is | kernel counterpart |
//! |---|---|---|
//! | [`device`] | devices, and the list of them | `device.c` |
//! | `sysfs` | their directories and attributes | `sysfs.c` |
//! | [`nldev`] | their netlink | `netlink.c`, `nldev.c` |
//!
//! Devices are shared by all network namespaces, as they are unless `rdma system set netns exclusive` is said.

pub mod device;
pub mod nldev;
mod sysfs;

pub use device::{
    Core, Gid, GidType, IbDevice, LinkSpeed, NodeAttribute, Ops, PortAttr, PortState,
};
