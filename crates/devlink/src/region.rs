//! Regions: memory of a device that users can read, at once or as it was when a snapshot was taken.
//!
//! A region belongs to an instance or to one of its ports. A snapshot is bytes under a number. The numbers are the
//! instance's (`ids`): who takes snapshots of several regions for one reason gives them one number. A user asks for a
//! snapshot with `REGION_NEW`, a driver takes one whenever something has happened, also without the instance lock; so the
//! snapshots have a lock of their own.
//!
//! Reading is a dump of one object: message by message, as many chunks of 256 bytes as the datagram takes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError};

use netlink::genl::{Batch, DumpCursor, Reply, Request};
use netlink::{Attrs, Error, KernelVersion, RawAttr, Writer, attr, cmd};
use rustix::io::Errno;

use crate::core::{Devl, Devlink, Objects};
use crate::netlink::dump_items;
use crate::notify::Order;

mod ids;
mod ops;
mod read;

pub use ids::SnapshotId;
pub(crate) use ids::SnapshotIds;
pub use ops::RegionOps;
pub(crate) use read::read_dumpit;

/// A region of a device (`struct devlink_region`).
pub struct Region {
    devlink: Arc<Devlink>,
    port: Option<u32>,
    ops: RegionOps,
    max_snapshots: u32,
    size: u64,
    snapshots: lockdep::Mutex<Vec<Snapshot>>,
}

/// What a region held at some time.
struct Snapshot {
    id: u32,
    data: Vec<u8>,
}

/// The regions of an instance: its own under no number, which come first everywhere, those of a port under the port's.
pub(crate) type Regions = BTreeMap<Option<u32>, Vec<Arc<Region>>>;

impl Region {
    /// The region's name, unique within its instance or port.
    pub fn name(&self) -> &str {
        self.ops.name()
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    fn snapshots(&self) -> lockdep::MutexGuard<'_, Vec<Snapshot>> {
        self.snapshots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region")
            .field("devlink", &self.devlink)
            .field("port", &self.port)
            .field("name", &self.name())
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

// Look-ups from a request.

/// Where a request looks: on the instance, or on the port that it names.
fn owner_from(objects: &Objects<'_>, attrs: Attrs<'_>) -> Result<Option<u32>, Errno> {
    match attrs.get_u32(attr::PORT_INDEX) {
        Some(index) if objects.port(index).is_none() => Err(Errno::NODEV),
        owner => Ok(owner),
    }
}

fn find(objects: &Objects<'_>, owner: Option<u32>, name: &[u8]) -> Option<Arc<Region>> {
    let regions = objects.state.regions.get(&owner)?;
    let named = |region: &&Arc<Region>| region.name().as_bytes() == name;
    regions.iter().find(named).cloned()
}

fn find_snapshot(snapshots: &[Snapshot], id: u32) -> Option<&Snapshot> {
    snapshots.iter().find(|snapshot| snapshot.id == id)
}

// The encoders: of a region with its snapshots, and of what has happened to one or the other.

impl Region {
    fn put_identity(&self, w: &mut Writer<'_>) -> netlink::Result {
        self.devlink.put_handle(w)?;
        if let Some(port) = self.port {
            w.put_u32(attr::PORT_INDEX, port)?;
        }
        w.put_str(attr::REGION_NAME, self.name())
    }

    /// `devlink_nl_region_fill`
    fn fill(&self, w: &mut Writer<'_>) -> netlink::Result {
        self.put_identity(w)?;
        w.put_u64(attr::REGION_SIZE, self.size)?;
        w.put_u32(attr::REGION_MAX_SNAPSHOTS, self.max_snapshots)?;
        // Older kernels take a nest that does not fit for a wrong request, which ends a dump there.
        let no_room = if w.kernel() < KernelVersion::V7_2 {
            Errno::INVAL
        } else {
            Errno::MSGSIZE
        };
        let nest = w.nest_start(attr::REGION_SNAPSHOTS).map_err(|_| no_room)?;
        for snapshot in self.snapshots().iter() {
            let inner = w.nest_start(attr::REGION_SNAPSHOT).map_err(|_| no_room)?;
            w.put_u32(attr::REGION_SNAPSHOT_ID, snapshot.id)?;
            w.nest_end(inner)?;
        }
        w.nest_end(nest)
    }

    /// `devlink_nl_region_notify_build`
    fn fill_event(&self, w: &mut Writer<'_>, snapshot: Option<u32>) -> netlink::Result {
        self.put_identity(w)?;
        match snapshot {
            Some(id) => w.put_u32(attr::REGION_SNAPSHOT_ID, id),
            None => w.put_u64(attr::REGION_SIZE, self.size),
        }
    }
}

// Notifications.

impl Region {
    /// Tells that the region, or one of its snapshots, has come or goes. Filters by port do not see these as a port's.
    fn notify(&self, snapshot: Option<u32>, cmd: u8) {
        if self.devlink.notify_need() {
            self.devlink
                .notify_send(None, cmd, |w| self.fill_event(w, snapshot));
        }
    }
}

/// One notification for each region of the instance itself; those of ports are left out, as in the kernel.
pub(crate) fn notify_all(objects: &Objects<'_>, cmd: u8, order: Order) {
    let regions = objects.state.regions.get(&None);
    order
        .of(regions.into_iter().flatten())
        .for_each(|region| region.notify(None, cmd));
}

// The handlers.

/// `net/devlink/region.c: devlink_nl_region_get_doit`
pub(crate) fn get_doit(
    devl: &Devl<'_>,
    request: &mut Request<'_>,
    reply: &mut Reply<'_>,
) -> netlink::Result {
    let name = request.attrs().require(attr::REGION_NAME)?.text();
    let owner = owner_from(devl, request.attrs())?;
    let region = find(devl, owner, name).ok_or(Errno::INVAL)?;
    reply.send(cmd::REGION_GET, |w| region.fill(w))
}

/// Dumps the instance's regions and those of its ports, counted through.
pub(crate) fn get_dump_one(
    devl: &Devl<'_>,
    cursor: &mut DumpCursor,
    batch: &mut Batch<'_>,
) -> netlink::Result {
    let regions = devl.state.regions.values().flatten();
    dump_items(regions, cursor, |region| {
        batch.put(cmd::REGION_GET, |w| region.fill(w))
    })
}

/// `net/devlink/region.c: devlink_nl_region_del_doit`
pub(crate) fn del_doit(devl: &Devl<'_>, request: &mut Request<'_>) -> netlink::Result {
    let name = request.attrs().require(attr::REGION_NAME)?.text();
    let id = request.attrs().require(attr::REGION_SNAPSHOT_ID)?.u32();
    let owner = owner_from(devl, request.attrs())?;
    let region = find(devl, owner, name).ok_or(Errno::INVAL)?;
    let mut snapshots = region.snapshots();
    let at = snapshots
        .iter()
        .position(|snapshot| Some(snapshot.id) == id)
        .ok_or(Errno::INVAL)?;
    region.snapshot_del(&mut snapshots, at);
    Ok(())
}

/// `net/devlink/region.c: devlink_nl_region_new_doit`
pub(crate) fn new_doit(
    devl: &mut Devl<'_>,
    request: &mut Request<'_>,
    reply: &mut Reply<'_>,
) -> netlink::Result {
    let refuse = |errno, text| Err(Error::with_msg(errno, text));
    let unnamed = |missing: Error| missing.msg("No region name provided");
    let name = request
        .attrs()
        .require(attr::REGION_NAME)
        .map_err(unnamed)?;
    let owner = owner_from(devl, request.attrs())?;
    let Some(region) = find(devl, owner, name.text()) else {
        return refuse(Errno::INVAL, "The requested region does not exist");
    };
    let Some(take) = region.ops.snapshot.clone() else {
        return refuse(
            Errno::OPNOTSUPP,
            "The requested region does not support taking an immediate snapshot",
        );
    };

    // Held while the driver takes the snapshot, so that the place and the number stay free for it.
    let mut snapshots = region.snapshots();
    if region.is_full(&snapshots) {
        return refuse(
            Errno::NOSPC,
            "The region has reached the maximum number of stored snapshots",
        );
    }
    let ids = &region.devlink.snapshot_ids;
    let wanted = request
        .attrs()
        .get(attr::REGION_SNAPSHOT_ID)
        .and_then(|id: RawAttr<'_>| id.u32());
    let id = match wanted {
        Some(id) if find_snapshot(&snapshots, id).is_some() => {
            return refuse(Errno::EXIST, "The requested snapshot id is already in use");
        }
        Some(id) => ids.insert(id).map(|()| id)?,
        None => ids
            .alloc()
            .map_err(|errno| Error::with_msg(errno, "Failed to allocate a new snapshot id"))?,
    };

    let taken = take(devl, request.ext_ack())
        .and_then(|data| region.snapshot_add(&mut snapshots, id, data));
    if let Err(errno) = taken {
        ids.put(id);
        return Err(errno.into());
    }
    if wanted.is_some() {
        return Ok(());
    }
    // The number that was found here is never given up: the kernel counts its own use of it and does not count that back.
    let replied = reply.send(cmd::REGION_NEW, |w| region.fill_event(w, Some(id)));
    if replied.is_err() {
        let last = snapshots.len() - 1;
        region.snapshot_del(&mut snapshots, last);
    }
    replied
}

// The API for drivers.

impl Region {
    fn is_full(&self, snapshots: &[Snapshot]) -> bool {
        u32::try_from(snapshots.len()).unwrap_or(u32::MAX) >= self.max_snapshots
    }

    /// `__devlink_region_snapshot_create`, with the snapshots locked.
    fn snapshot_add(
        &self,
        snapshots: &mut Vec<Snapshot>,
        id: u32,
        data: Vec<u8>,
    ) -> Result<(), Errno> {
        if self.is_full(snapshots) {
            return Err(Errno::NOSPC);
        }
        if find_snapshot(snapshots, id).is_some() {
            return Err(Errno::EXIST);
        }
        self.devlink.snapshot_ids.get(id)?;
        snapshots.push(Snapshot { id, data });
        self.notify(Some(id), cmd::REGION_NEW);
        Ok(())
    }

    /// `devlink_region_snapshot_del`, with the snapshots locked.
    fn snapshot_del(&self, snapshots: &mut Vec<Snapshot>, at: usize) {
        let id = snapshots[at].id;
        self.notify(Some(id), cmd::REGION_DEL);
        snapshots.remove(at);
        self.devlink.snapshot_ids.put(id);
    }

    /// Stores a snapshot that the driver has taken, whether or not it holds the instance lock
    /// (`devlink_region_snapshot_create`).
    ///
    /// # Errors
    ///
    /// `ENOSPC` if the region holds as many snapshots as it can, `EEXIST` if it has one of this number.
    pub fn snapshot_create(&self, id: &SnapshotId<'_>, data: Vec<u8>) -> Result<(), Errno> {
        self.snapshot_add(&mut self.snapshots(), id.id(), data)
    }
}

impl Devlink {
    /// A number for snapshots of any of the instance's regions; it stays taken while this, or a snapshot that was stored
    /// under it, is there (`devlink_region_snapshot_id_get`).
    ///
    /// # Errors
    ///
    /// `EBUSY` if all of them are taken.
    pub fn region_snapshot_id_get(&self) -> Result<SnapshotId<'_>, Errno> {
        self.snapshot_ids.hold()
    }
}

impl Objects<'_> {
    /// Makes a region of so many bytes that holds at most `max_snapshots` (`devl_region_create`).
    ///
    /// # Errors
    ///
    /// `EEXIST` if there is one of this name.
    pub fn region_create(
        &mut self,
        ops: RegionOps,
        max_snapshots: u32,
        size: u64,
    ) -> Result<Arc<Region>, Errno> {
        self.region_create_for(None, ops, max_snapshots, size)
    }

    /// The same for a port (`devlink_port_region_create`).
    ///
    /// # Errors
    ///
    /// `ENODEV` if there is no such port, `EEXIST` if it has a region of this name.
    pub fn port_region_create(
        &mut self,
        port: u32,
        ops: RegionOps,
        max_snapshots: u32,
        size: u64,
    ) -> Result<Arc<Region>, Errno> {
        self.port(port).ok_or(Errno::NODEV)?;
        self.region_create_for(Some(port), ops, max_snapshots, size)
    }

    fn region_create_for(
        &mut self,
        port: Option<u32>,
        ops: RegionOps,
        max_snapshots: u32,
        size: u64,
    ) -> Result<Arc<Region>, Errno> {
        if find(self, port, ops.name().as_bytes()).is_some() {
            return Err(Errno::EXIST);
        }
        let region = Arc::new(Region {
            devlink: Arc::clone(self.devlink()),
            port,
            ops,
            max_snapshots,
            size,
            snapshots: lockdep::Mutex::named("&region->snapshot_lock", Vec::new()),
        });
        let regions = self.state.regions.entry(port).or_default();
        regions.push(Arc::clone(&region));
        region.notify(None, cmd::REGION_NEW);
        Ok(region)
    }

    /// Removes a region and its snapshots (`devl_region_destroy`).
    pub fn region_destroy(&mut self, region: &Arc<Region>) {
        {
            let mut snapshots = region.snapshots();
            while !snapshots.is_empty() {
                region.snapshot_del(&mut snapshots, 0);
            }
        }
        if let Some(regions) = self.state.regions.get_mut(&region.port) {
            regions.retain(|other| !Arc::ptr_eq(other, region));
            if regions.is_empty() {
                self.state.regions.remove(&region.port);
            }
        }
        region.notify(None, cmd::REGION_DEL);
    }
}
