//! Network namespaces and their exit, rtnl, network devices and their notifiers.
//!
//! This is what `net/core/net_namespace.c` and `net/core/dev.c` are to the kernel, as far as devlink and its drivers
//! meet them. The namespaces are real ones, known by cookie; who watches them, and who makes real network devices, is
//! injected ([`NamespaceSource`], [`NetdevBackend`]), so that this crate knows no process and no system call, and tests
//! use [`testutil`]. A [`NetCore`] is one machine's worth of it.
//!
//! | module | is | kernel counterpart |
//! |---|---|---|
//! | [`net`], [`source`] | a namespace, who it is and what keeps it alive | `struct net`, `get_net` |
//! | `namespace` | how namespaces come and go: `setup_net`, `cleanup_net` | `net/core/net_namespace.c` |
//! | [`pernet`] | who wants to know of it | `register_pernet_subsys` |
//! | `nsid` | the small numbers by which namespaces know each other | `peernet2id` |
//! | `rwsem` | `pernet_ops_rwsem`, with waits that end | |
//! | [`rtnl`] | the lock of all network devices | `net/core/rtnetlink.c` |
//! | [`netdev`], `register` | a network device, its life and its moves | `net/core/dev.c` |
//! | [`notifier`] | who wants to know of those: the three kinds | `register_netdevice_notifier*` |
//! | [`fib`] | how large the routing tables are, and who minds | `net/core/fib_notifier.c` |
//! | [`backend`], [`outside`] | the real devices behind, and what others do to them | |
//!
//! # Locks
//!
//! `pernet_ops_rwsem`, then `rtnl_mutex`, as declared in `lock-order`. Namespace exit holds the first for *reading* while
//! it calls the pernet operations, and those take device and devlink locks. A *global* netdevice notifier takes it for
//! *writing* when it comes and when it goes. So whoever holds a device's or a devlink instance's lock must use the
//! `_net` or `_dev_net` notifiers, which take `rtnl_mutex` alone; that is in the types of the functions here.

pub mod backend;
mod core;
mod devices;
pub mod fib;
mod namespace;
pub mod net;
pub mod netdev;
pub mod notifier;
mod nsid;
pub mod outside;
pub mod pernet;
mod register;
pub mod rtnl;
mod rwsem;
pub mod source;
mod sysfs;
pub mod testutil;

pub use crate::core::{DevlinkCompat, NetCore};
pub use backend::{
    Cable, NetdevBackend, NetdevFlags, NetdevRequest, Plug, RealNetdev, RemovalBatch, Whereabouts,
};
pub use fib::{FibNotifier, FibRefusal, FibSource, FibTable};
pub use net::{Net, NetId, NetRef};
pub use netdev::{Netdev, NetdevInit, NetdevOps};
pub use notifier::{NetdevEvent, NotifierBlock};
pub use outside::LinkState;
pub use pernet::PernetOperations;
pub use rtnl::RtnlGuard;
pub use source::{NamespaceSource, NetnsHandle};
