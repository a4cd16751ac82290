//! The two generations of the driver's locking.
//!
//! Today every device has its own lock class and the functions of one adapter share one read-write semaphore; the RoCE
//! part follows its own network device with a notifier that takes `rtnl_mutex` only. In November 2021 one mutex,
//! `mlx5_intf_mutex`, served all devices of the machine, and the RoCE part registered a *global* notifier, which takes
//! `pernet_ops_rwsem` for writing. The old way is kept because it deadlocks: reloading a device into a namespace and then
//! deleting the namespace closes a cycle of four locks, and `lockdep` must show it.

use std::fmt;

/// Which generation of locking the driver uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DriverLocking {
    /// A class of its own for each device, a semaphore for each adapter, notifiers that follow the device.
    #[default]
    Today,
    /// One global mutex and a global notifier, as in Linux 5.15.
    November2021,
}

impl DriverLocking {
    /// What the command line calls it.
    pub const fn name(self) -> &'static str {
        match self {
            DriverLocking::Today => "today",
            DriverLocking::November2021 => "2021",
        }
    }

    /// The generation of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        [Self::Today, Self::November2021]
            .into_iter()
            .find(|generation| generation.name() == name)
    }
}

impl fmt::Display for DriverLocking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
