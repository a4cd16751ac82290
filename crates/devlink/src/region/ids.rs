//! The numbers of snapshots: one set per instance, each number with a count of its users.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use rustix::io::Errno;

/// The numbers in use (`devlink->snapshot_ids`, an xarray).
#[derive(Debug)]
pub(crate) struct SnapshotIds(lockdep::Mutex<BTreeMap<u32, u64>>);

impl SnapshotIds {
    pub(crate) fn new() -> Self {
        Self(lockdep::Mutex::named(
            "&devlink->snapshot_ids.xa_lock",
            BTreeMap::new(),
        ))
    }

    fn counts(&self) -> lockdep::MutexGuard<'_, BTreeMap<u32, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the smallest number that is free, for one user.
    ///
    /// # Errors
    ///
    /// `EBUSY` if none is.
    pub(super) fn alloc(&self) -> Result<u32, Errno> {
        let mut counts = self.counts();
        let mut free = 0;
        for &taken in counts.keys() {
            if taken != free {
                break;
            }
            free = free.checked_add(1).ok_or(Errno::BUSY)?;
        }
        counts.insert(free, 1);
        Ok(free)
    }

    /// Takes this number, for no user yet.
    ///
    /// # Errors
    ///
    /// `EEXIST` if it is taken.
    pub(super) fn insert(&self, id: u32) -> Result<(), Errno> {
        let mut counts = self.counts();
        if counts.contains_key(&id) {
            return Err(Errno::EXIST);
        }
        counts.insert(id, 0);
        Ok(())
    }

    /// One more user of a number that is taken.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is not.
    pub(super) fn get(&self, id: u32) -> Result<(), Errno> {
        let mut counts = self.counts();
        *counts.get_mut(&id).ok_or(Errno::INVAL)? += 1;
        Ok(())
    }

    /// One user less; without any the number is free.
    pub(super) fn put(&self, id: u32) {
        let mut counts = self.counts();
        match counts.get_mut(&id) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                counts.remove(&id);
            }
        }
    }

    /// [`alloc`](Self::alloc), given back when the result is dropped.
    pub(super) fn hold(&self) -> Result<SnapshotId<'_>, Errno> {
        Ok(SnapshotId {
            ids: self,
            id: self.alloc()?,
        })
    }
}

/// A number that a driver stores snapshots under; dropping it is `devlink_region_snapshot_id_put`.
#[derive(Debug)]
#[must_use = "the number is free again when this is dropped, unless a snapshot has it"]
pub struct SnapshotId<'a> {
    ids: &'a SnapshotIds,
    id: u32,
}

impl SnapshotId<'_> {
    /// The number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }
}

impl Drop for SnapshotId<'_> {
    fn drop(&mut self) {
        self.ids.put(self.id);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_free_when_its_last_user_is_gone() {
        let ids = SnapshotIds::new();
        assert_eq!((ids.alloc(), ids.alloc()), (Ok(0), Ok(1)));
        ids.get(0).unwrap();
        ids.put(0);
        assert_eq!(ids.alloc(), Ok(2));
        ids.put(0);
        assert_eq!(ids.alloc(), Ok(0));
        assert_eq!(ids.get(9), Err(Errno::INVAL));
    }

    #[test]
    fn a_number_that_was_asked_for_has_no_user_yet() {
        let ids = SnapshotIds::new();
        ids.insert(u32::MAX).unwrap();
        assert_eq!(ids.insert(u32::MAX), Err(Errno::EXIST));
        ids.put(u32::MAX);
        ids.insert(u32::MAX).unwrap();
        assert_eq!(ids.alloc(), Ok(0));
        assert_eq!(ids.hold().unwrap().id(), 1);
        assert_eq!(ids.alloc(), Ok(1));
    }
}
