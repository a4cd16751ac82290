//! Resources: what a device has a limited number of, as a tree of sizes.
//!
//! A size that a user sets waits as the new size until the driver asks for it, which it does when it initializes: so it takes a
//! reload. What does not fit into its parent makes that invalid, and the reload is refused before it begins. How much of a
//! resource is in use the driver says, when it can.
//!
//! A port has resources of its own since kernel 7.2; users see them but do not set them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use netlink::genl::{Batch, DumpCursor, Reply, Request};
use netlink::{Error, KernelVersion, Writer, attr, cmd};
use rustix::io::Errno;

use crate::core::{Devl, Devlink, Objects};

type Occupancy = dyn Fn(&Devlink) -> u64 + Send + Sync;

/// What a resource is counted in; the number is the one of `DEVLINK_ATTR_RESOURCE_UNIT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ResourceUnit {
    /// Entries of a table.
    Entry = 0,
}

/// Which sizes a resource can have, in its unit (`struct devlink_resource_size_params`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceSizeParams {
    /// The smallest.
    pub size_min: u64,
    /// The largest.
    pub size_max: u64,
    /// Of what each size is a multiple.
    pub size_granularity: u64,
    /// The unit.
    pub unit: ResourceUnit,
}

/// The parent of resources that have none (`DEVLINK_RESOURCE_ID_PARENT_TOP`).
pub const RESOURCE_ID_PARENT_TOP: u64 = 0;

/// A registered resource with its parts (`struct devlink_resource`).
struct Resource {
    name: &'static str,
    id: u64,
    size: u64,
    /// What the size is to be after the next reload.
    size_new: u64,
    /// Whether the parts fit.
    size_valid: bool,
    size_params: ResourceSizeParams,
    occ_get: Option<Arc<Occupancy>>,
    parts: List,
}

#[derive(Default)]
struct List(Vec<Resource>);

/// The resources of an instance: its own under no number, those of a port under the port's.
#[derive(Default)]
pub(crate) struct Resources(BTreeMap<Option<u32>, List>);

impl Resources {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a port has any.
    pub(crate) fn has_port(&self, port: u32) -> bool {
        self.0.contains_key(&Some(port))
    }

    /// The resources of one owner, if it has any.
    fn of(&self, owner: Option<u32>) -> Option<&List> {
        self.0.get(&owner)
    }

    fn find_mut(&mut self, id: u64) -> Option<&mut Resource> {
        self.0.get_mut(&None)?.find_mut(id)
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resource")
            .field("name", &self.name)
            .field("id", &self.id)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

// Look-ups: numbers are unique in the whole tree.

impl List {
    fn find_mut(&mut self, id: u64) -> Option<&mut Resource> {
        self.0.iter_mut().find_map(|resource| {
            if resource.id == id {
                Some(resource)
            } else {
                resource.parts.find_mut(id)
            }
        })
    }

    /// Sets the new size of a resource, and finds out anew whether its parts fit into it and it into its parent.
    fn set_size_new(&mut self, id: u64, size: u64) -> bool {
        for resource in &mut self.0 {
            if resource.id == id {
                resource.size_new = size;
                resource.validate_parts();
                return true;
            }
            if resource.parts.set_size_new(id, size) {
                // Only the parent is looked at, not what is above it.
                if resource.parts.0.iter().any(|part| part.id == id) {
                    resource.validate_parts();
                }
                return true;
            }
        }
        false
    }

    fn is_valid(&self) -> bool {
        self.0
            .iter()
            .all(|resource| resource.size_valid && resource.parts.is_valid())
    }
}

impl Resource {
    /// `devlink_resource_validate_children`. The sum wraps, as in the kernel: two parts without limit fit.
    fn validate_parts(&mut self) {
        let sizes = self.parts.0.iter().map(|part| part.size_new);
        let sum = sizes.fold(0, u64::wrapping_add);
        self.size_valid = sum <= self.size_new;
    }

    /// `devlink_resource_validate_size`: all of it is looked at, the last text counts.
    fn validate_size(&self, size: u64) -> netlink::Result {
        let params = &self.size_params;
        let wrong_granularity = size
            .checked_rem(params.size_granularity)
            .is_some_and(|rest| rest != 0);
        let texts = [
            (size > params.size_max, "Size larger than maximum"),
            (size < params.size_min, "Size smaller than minimum"),
            (wrong_granularity, "Wrong granularity"),
        ];
        match texts.into_iter().rfind(|&(wrong, _)| wrong) {
            Some((_, text)) => Err(Error::with_msg(Errno::INVAL, text)),
            None => Ok(()),
        }
    }
}

// The one encoder.

impl Resource {
    /// `devlink_resource_put`
    fn put(&self, w: &mut Writer<'_>, devlink: &Devlink) -> netlink::Result {
        w.nest(attr::RESOURCE, |w| {
            w.put_str(attr::RESOURCE_NAME, self.name)?;
            w.put_u64(attr::RESOURCE_SIZE, self.size)?;
            w.put_u64(attr::RESOURCE_ID, self.id)?;
            if self.size != self.size_new {
                w.put_u64(attr::RESOURCE_SIZE_NEW, self.size_new)?;
            }
            if let Some(occ_get) = &self.occ_get {
                w.put_u64(attr::RESOURCE_OCC, occ_get(devlink))?;
            }
            w.put_u64(attr::RESOURCE_SIZE_GRAN, self.size_params.size_granularity)?;
            w.put_u64(attr::RESOURCE_SIZE_MAX, self.size_params.size_max)?;
            w.put_u64(attr::RESOURCE_SIZE_MIN, self.size_params.size_min)?;
            w.put_u8(attr::RESOURCE_UNIT, self.size_params.unit as u8)?;
            if self.parts.0.is_empty() {
                return Ok(());
            }
            w.put_u8(attr::RESOURCE_SIZE_VALID, u8::from(self.size_valid))?;
            w.nest(attr::RESOURCE_LIST, |w| {
                self.parts
                    .0
                    .iter()
                    .try_for_each(|part| part.put(w, devlink))
            })
        })
    }
}

/// Writes a message with as many of the resources as it takes, from number `from` on; returns how far it came.
///
/// # Errors
///
/// `EMSGSIZE` if it does not even take one.
fn fill(
    w: &mut Writer<'_>,
    devlink: &Devlink,
    owner: Option<u32>,
    list: &List,
    from: usize,
) -> Result<usize, Error> {
    devlink.put_handle(w)?;
    if let Some(port) = owner {
        w.put_u32(attr::PORT_INDEX, port)?;
    }
    let nest = w.nest_start(attr::RESOURCE_LIST)?;
    let mut next = from;
    while let Some(resource) = list.0.get(next) {
        match resource.put(w, devlink) {
            Ok(()) => next += 1,
            Err(error) if next == from => {
                w.nest_cancel(nest);
                return Err(error);
            }
            Err(_) => break,
        }
    }
    w.nest_end(nest)?;
    Ok(next)
}

// The handlers.

/// `net/devlink/resource.c: devlink_nl_resource_set_doit`
pub(crate) fn set_doit(devl: &mut Devl<'_>, request: &mut Request<'_>) -> netlink::Result {
    let attrs = request.attrs();
    attrs.require(attr::RESOURCE_ID)?;
    attrs.require(attr::RESOURCE_SIZE)?;
    // The policy lets only full numbers through.
    let id = attrs.get_u64(attr::RESOURCE_ID).ok_or(Errno::INVAL)?;
    let size = attrs.get_u64(attr::RESOURCE_SIZE).ok_or(Errno::INVAL)?;
    let resources = &mut devl.state.resources;
    resources
        .find_mut(id)
        .ok_or(Errno::INVAL)?
        .validate_size(size)?;
    if let Some(list) = resources.0.get_mut(&None) {
        list.set_size_new(id, size);
    }
    Ok(())
}

/// Serves the *do*, which answers in several messages: `net/devlink/resource.c: devlink_nl_resource_dump_doit`.
pub(crate) fn dump_doit(
    devl: &Devl<'_>,
    request: &mut Request<'_>,
    reply: &mut Reply<'_>,
) -> netlink::Result {
    // Before 7.2 ports have no resources, and whatever port is named is not looked for.
    let owner = if request.kernel() < KernelVersion::V7_2 {
        None
    } else {
        request.attrs().get_u32(attr::PORT_INDEX)
    };
    if owner.is_some_and(|port| devl.port(port).is_none()) {
        return Err(Errno::NODEV.into());
    }
    let list = devl.state.resources.of(owner).ok_or(Errno::OPNOTSUPP)?;
    let mut reply = reply.multi();
    let mut next = 0;
    loop {
        let from = next;
        reply.message(cmd::RESOURCE_DUMP, |w| {
            next = fill(w, devl.devlink(), owner, list, from)?;
            Ok(())
        })?;
        if next == list.0.len() {
            return reply.done();
        }
        reply.flush()?;
    }
}

/// The bits of `DEVLINK_ATTR_RESOURCE_SCOPE_MASK`.
const SCOPE_DEV: u32 = 1;
const SCOPE_PORT: u32 = 2;

/// Dumps the resources of the instance, then those of each port: `net/devlink/resource.c: devlink_nl_resource_dump_one`. The
/// cursor's index counts the resources of one owner; its offset is 0 for the instance, else one more than the port's place.
pub(crate) fn dump_one(
    devl: &Devl<'_>,
    request: &mut Request<'_>,
    cursor: &mut DumpCursor,
    batch: &mut Batch<'_>,
) -> netlink::Result {
    let scope_attr = request.attrs().get(attr::RESOURCE_SCOPE_MASK);
    let scope = match scope_attr.map(|scope| (scope, scope.u32().unwrap_or(0))) {
        Some((scope, 0)) => {
            let text = "empty resource scope selection";
            return Err(Error::with_msg(Errno::INVAL, text).bad_attr(scope));
        }
        Some((_, bits)) => bits,
        None => SCOPE_DEV | SCOPE_PORT,
    };
    if cursor.offset == 0 {
        if scope & SCOPE_DEV != 0 {
            dump_owner(devl, None, cursor, batch)?;
        }
        cursor.offset = 1;
    }
    if scope & SCOPE_PORT != 0 {
        let first = cursor.offset - 1;
        for (place, port) in devl.state.ports.from(first) {
            if place > first {
                // The last port is done, or the one at which the last datagram stopped is gone.
                cursor.index = 0;
            }
            cursor.offset = place + 1;
            dump_owner(devl, Some(port.index()), cursor, batch)?;
        }
    }
    cursor.offset = 0;
    Ok(())
}

/// Dumps what one owner has, as far as the datagram goes; the message at its end keeps what fitted.
fn dump_owner(
    devl: &Devl<'_>,
    owner: Option<u32>,
    cursor: &mut DumpCursor,
    batch: &mut Batch<'_>,
) -> netlink::Result {
    let Some(list) = devl.state.resources.of(owner) else {
        return Ok(());
    };
    let from = usize::try_from(cursor.index).unwrap_or(usize::MAX);
    let mut next = from;
    batch.put(cmd::RESOURCE_DUMP, |w| {
        next = fill(w, devl.devlink(), owner, list, from)?;
        Ok(())
    })?;
    if next < list.0.len() {
        cursor.index = next as u64;
        return Err(Errno::MSGSIZE.into());
    }
    cursor.index = 0;
    Ok(())
}

/// Whether the instance's new sizes fit into each other; what a reload looks at first (`devlink_resources_validate`).
pub(crate) fn validate(objects: &Objects<'_>) -> netlink::Result {
    let resources = objects.state.resources.of(None);
    if resources.is_none_or(List::is_valid) {
        return Ok(());
    }
    let text = "resources size validation failed";
    Err(Error::with_msg(Errno::INVAL, text))
}

// The API for drivers.

/// A resource as a driver registers it.
#[derive(Clone, Copy, Debug)]
pub struct NewResource {
    /// Its name, for the path by which users call it.
    pub name: &'static str,
    /// Its number, unique within the instance or the port, and not [`RESOURCE_ID_PARENT_TOP`].
    pub id: u64,
    /// The number of the resource that it is a part of, or [`RESOURCE_ID_PARENT_TOP`].
    pub parent: u64,
    /// Its size, in its unit.
    pub size: u64,
    /// Which sizes it can have.
    pub size_params: ResourceSizeParams,
}

impl Objects<'_> {
    /// Registers a resource of the instance (`devl_resource_register`).
    ///
    /// # Errors
    ///
    /// `EEXIST` if the number is taken, `EINVAL` if the parent is unknown.
    pub fn resource_register(&mut self, new: NewResource) -> Result<(), Errno> {
        self.resource_register_for(None, new)
    }

    /// Registers a resource of a port (`devl_port_resource_register`).
    ///
    /// # Errors
    ///
    /// As [`resource_register`](Self::resource_register); `ENODEV` if there is no such port.
    pub fn port_resource_register(&mut self, port: u32, new: NewResource) -> Result<(), Errno> {
        self.port(port).ok_or(Errno::NODEV)?;
        self.resource_register_for(Some(port), new)
    }

    fn resource_register_for(&mut self, owner: Option<u32>, new: NewResource) -> Result<(), Errno> {
        self.devlink().warn_on(
            new.id == RESOURCE_ID_PARENT_TOP,
            "devl_resource_register",
            "the resource has the number of no resource",
        );
        let resource = Resource {
            name: new.name,
            id: new.id,
            size: new.size,
            size_new: new.size,
            size_valid: true,
            size_params: new.size_params,
            occ_get: None,
            parts: List::default(),
        };
        let lists = &mut self.state.resources.0;
        if let Some(list) = lists.get_mut(&owner) {
            if list.find_mut(new.id).is_some() {
                return Err(Errno::EXIST);
            }
        }
        let siblings = if new.parent == RESOURCE_ID_PARENT_TOP {
            lists.entry(owner).or_default()
        } else {
            let list = lists.get_mut(&owner).ok_or(Errno::INVAL)?;
            &mut list.find_mut(new.parent).ok_or(Errno::INVAL)?.parts
        };
        siblings.0.push(resource);
        Ok(())
    }

    /// Unregisters all resources of the instance (`devl_resources_unregister`).
    pub fn resources_unregister(&mut self) {
        self.state.resources.0.remove(&None);
    }

    /// Unregisters all resources of a port (`devl_port_resources_unregister`).
    pub fn port_resources_unregister(&mut self, port: u32) {
        self.state.resources.0.remove(&Some(port));
    }

    /// The size that the driver shall initialize with, which is the resource's size from now on
    /// (`devl_resource_size_get`).
    ///
    /// # Errors
    ///
    /// `EINVAL` if there is no such resource.
    pub fn resource_size_get(&mut self, id: u64) -> Result<u64, Errno> {
        let resource = self.state.resources.find_mut(id).ok_or(Errno::INVAL)?;
        resource.size = resource.size_new;
        Ok(resource.size)
    }

    /// Tells how to find out how much of a resource is in use (`devl_resource_occ_get_register`). It is called with the
    /// instance locked and takes no declared lock.
    pub fn resource_occ_get_register(
        &mut self,
        id: u64,
        occ_get: impl Fn(&Devlink) -> u64 + Send + Sync + 'static,
    ) {
        match self.state.resources.find_mut(id) {
            Some(resource) if resource.occ_get.is_none() => {
                resource.occ_get = Some(Arc::new(occ_get));
            }
            _ => {
                self.devlink().warn_on(
                    true,
                    "devl_resource_occ_get_register",
                    "no such resource without occupancy",
                );
            }
        }
    }

    /// The opposite (`devl_resource_occ_get_unregister`).
    pub fn resource_occ_get_unregister(&mut self, id: u64) {
        let resource = self.state.resources.find_mut(id);
        if resource
            .and_then(|resource| resource.occ_get.take())
            .is_none()
        {
            self.devlink().warn_on(
                true,
                "devl_resource_occ_get_unregister",
                "no such resource with occupancy",
            );
        }
    }
}
