//! A region as a driver describes it.

use std::fmt;
use std::sync::Arc;

use netlink::ExtAck;
use rustix::io::Errno;

use crate::core::Devl;

pub(super) type Take = dyn Fn(&mut Devl<'_>, &mut ExtAck) -> Result<Vec<u8>, Errno> + Send + Sync;
pub(super) type Read =
    dyn Fn(&mut Devl<'_>, &mut ExtAck, u64, &mut [u8]) -> Result<(), Errno> + Send + Sync;

/// A region as a driver describes it (`struct devlink_region_ops`, `struct devlink_port_region_ops`).
///
/// What it is not given it does not have: such a region only holds what the driver stores by itself.
#[derive(Clone)]
pub struct RegionOps {
    name: &'static str,
    pub(super) snapshot: Option<Arc<Take>>,
    pub(super) read: Option<Arc<Read>>,
}

impl RegionOps {
    /// A region of this name.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            snapshot: None,
            read: None,
        }
    }

    /// How to take a snapshot when a user asks for one: it returns as many bytes as the region has.
    #[must_use]
    pub fn snapshot(
        mut self,
        take: impl Fn(&mut Devl<'_>, &mut ExtAck) -> Result<Vec<u8>, Errno> + Send + Sync + 'static,
    ) -> Self {
        self.snapshot = Some(Arc::new(take));
        self
    }

    /// How to read what the region holds now: from an offset in bytes on, as much as the slice takes.
    #[must_use]
    pub fn read(
        mut self,
        read: impl Fn(&mut Devl<'_>, &mut ExtAck, u64, &mut [u8]) -> Result<(), Errno>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.read = Some(Arc::new(read));
        self
    }

    /// The region's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl fmt::Debug for RegionOps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegionOps")
            .field("name", &self.name)
            .field("snapshot", &self.snapshot.is_some())
            .field("read", &self.read.is_some())
            .finish()
    }
}
