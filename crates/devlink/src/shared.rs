//! Instances that several devices share: one for a chip with many functions (`net/devlink/sh_dev.c`).
//!
//! The first function that asks for one makes it, the last one that gives it back ends it. It has no device: its handle is
//! `devlink_index/INDEX`, and it stays in the first namespace. The functions' own instances are nested in it, and here the
//! order is the other way round than with other nested instances: a function has its own instance locked when it uses the
//! shared one, so nothing may lock a function's instance with the shared one locked.

use std::sync::{Arc, PoisonError};

use lock_order::DevlinkLock;
use lockdep::order::{Before, Held};
use rustix::io::Errno;

use crate::core::Devlink;
use crate::ops::Ops;
use crate::subsystem::Subsystem;

/// One shared instance (`struct devlink_shd`).
pub(crate) struct SharedInstance {
    id: String,
    devlink: Arc<Devlink>,
    users: usize,
}

/// A shared instance does nothing of itself.
struct NoOps;

impl Ops for NoOps {}

impl Subsystem {
    /// The instance that everything of this identity shares, made now if it is the first to ask (`devlink_shd_get`). To be
    /// given back by [`shared_put`](Self::shared_put).
    ///
    /// # Errors
    ///
    /// `ENOSPC` if all indexes are taken.
    pub fn shared_get<H: Before<DevlinkLock>>(
        self: &Arc<Self>,
        held: &mut Held<'_, H>,
        id: &str,
        driver_name: &str,
    ) -> Result<Arc<Devlink>, Errno> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = shared.iter_mut().find(|known| known.id == id) {
            known.users += 1;
            return Ok(Arc::clone(&known.devlink));
        }
        let net = Arc::clone(self.net_core().init_net());
        let devlink = self.alloc_for(Arc::new(NoOps), net, None, driver_name.to_owned())?;
        devlink.register(held);
        shared.push(SharedInstance {
            id: id.to_owned(),
            devlink: Arc::clone(&devlink),
            users: 1,
        });
        Ok(devlink)
    }

    /// Gives back what [`shared_get`](Self::shared_get) has given; the last one ends it (`devlink_shd_put`).
    pub fn shared_put<H: Before<DevlinkLock>>(
        &self,
        held: &mut Held<'_, H>,
        devlink: &Arc<Devlink>,
    ) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(place) = shared
            .iter()
            .position(|known| Arc::ptr_eq(&known.devlink, devlink))
        else {
            return;
        };
        shared[place].users -= 1;
        if shared[place].users == 0 {
            let last = shared.remove(place);
            last.devlink.unregister(held);
            last.devlink.free(held);
        }
    }
}
