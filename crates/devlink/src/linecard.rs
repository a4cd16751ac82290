//! Line cards: the slots of a modular switch, and what is in them.
//!
//! A slot is *provisioned* with a type of line card, by users or by the device, before a card is there: then it has that type's
//! ports. It is *active* when the card is there and is of that type; then the card's own instance can be nested in it. Both
//! steps take their time, so the driver tells of their end ([`Linecard::provision_set`] and the others) from anywhere and
//! without the instance's lock: a line card's state has a lock of its own.

use std::fmt;
use std::sync::{Arc, PoisonError};

use netlink::genl::{Batch, DumpCursor, Reply, Request};
use netlink::{Attrs, Error, ExtAck, Writer, attr, cmd};
use rustix::io::Errno;

use crate::core::{Devl, Devlink, Objects};
use crate::nested::Rel;
use crate::netlink::{dump_items, warn};
use crate::notify::Order;

/// Where a line card is on its way (`enum devlink_linecard_state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum LinecardState {
    /// Nothing is set for the slot.
    Unprovisioned = 1,
    /// Going there.
    Unprovisioning = 2,
    /// A type has been set, the device is at it.
    Provisioning = 3,
    /// The device could not.
    ProvisioningFailed = 4,
    /// The slot has the ports of its type.
    Provisioned = 5,
    /// The card is there and works.
    Active = 6,
}

/// What a driver does for the commands on line cards (`struct devlink_linecard_ops`).
pub trait LinecardOps: Send + Sync + 'static {
    /// Sets the slot up for this type, one of those that it was created with. The end is told by [`Linecard::provision_set`] or
    /// [`Linecard::provision_fail`], now or later.
    ///
    /// # Errors
    ///
    /// Fails the request; the slot is unprovisioned.
    fn provision(
        &self,
        devl: &mut Devl<'_>,
        linecard: &Arc<Linecard>,
        ty: &str,
        extack: &mut ExtAck,
    ) -> Result<(), Errno>;

    /// Clears the slot. The end is told by [`Linecard::provision_clear`], now or later.
    ///
    /// # Errors
    ///
    /// Fails the request; the slot counts as unprovisioned.
    fn unprovision(
        &self,
        devl: &mut Devl<'_>,
        linecard: &Arc<Linecard>,
        extack: &mut ExtAck,
    ) -> Result<(), Errno>;

    /// Whether the slot, provisioned already, is provisioned in the way that this type means.
    fn same_provision(&self, linecard: &Linecard, ty: &str) -> bool {
        let _ = (linecard, ty);
        false
    }
}

/// A line card's slot (`struct devlink_linecard`).
pub struct Linecard {
    devlink: Arc<Devlink>,
    index: u32,
    ops: Arc<dyn LinecardOps>,
    types: Vec<String>,
    state: lockdep::Mutex<StateLocked>,
    /// The instance that is nested in it.
    rel: lockdep::Mutex<Option<Arc<Rel>>>,
}

#[derive(Debug)]
struct StateLocked {
    state: LinecardState,
    ty: Option<String>,
}

impl Linecard {
    /// The instance that the slot belongs to.
    pub fn devlink(&self) -> &Arc<Devlink> {
        &self.devlink
    }

    /// The slot's number within its instance.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Its state now.
    pub fn state(&self) -> LinecardState {
        self.locked().state
    }

    /// The type that it is provisioned with, or is about to be.
    pub fn linecard_type(&self) -> Option<String> {
        self.locked().ty.clone()
    }

    fn locked(&self) -> lockdep::MutexGuard<'_, StateLocked> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rel(&self) -> lockdep::MutexGuard<'_, Option<Arc<Rel>>> {
        self.rel.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something else is nested in it now.
    pub(crate) fn set_rel(&self, rel: Arc<Rel>) {
        *self.rel() = Some(rel);
    }

    /// Forgets what is nested in it, if it is this and not already something else.
    pub(crate) fn forget_rel(&self, rel: &Rel) {
        let mut mine = self.rel();
        if mine
            .as_ref()
            .is_some_and(|mine| mine.index() == rel.index())
        {
            *mine = None;
        }
    }
}

impl fmt::Debug for Linecard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Linecard")
            .field("devlink", &self.devlink)
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

// Look-ups from a request.

fn linecard_from(objects: &Objects<'_>, attrs: &Attrs<'_>) -> Result<Arc<Linecard>, Errno> {
    let index = attrs.get_u32(attr::LINECARD_INDEX).ok_or(Errno::INVAL)?;
    objects.linecard(index).cloned().ok_or(Errno::NODEV)
}

// The one encoder.

impl Linecard {
    fn fill(&self, w: &mut Writer<'_>, locked: &StateLocked) -> netlink::Result {
        self.devlink.put_handle(w)?;
        w.put_u32(attr::LINECARD_INDEX, self.index)?;
        w.put_u8(attr::LINECARD_STATE, locked.state as u8)?;
        if let Some(ty) = &locked.ty {
            w.put_str(attr::LINECARD_TYPE, ty)?;
        }
        if !self.types.is_empty() {
            w.nest(attr::LINECARD_SUPPORTED_TYPES, |w| {
                let mut types = self.types.iter();
                types.try_for_each(|ty| w.put_str(attr::LINECARD_TYPE, ty))
            })?;
        }
        let rel = self.rel().clone();
        match rel {
            Some(rel) => rel.put(w, &self.devlink, attr::NESTED_DEVLINK).map(|_| ()),
            None => Ok(()),
        }
    }

    // Notifications.

    /// With the state locked, so that the notifications come in the order of the states.
    fn notify_locked(&self, locked: &StateLocked, cmd: u8) {
        if self.devlink.notify_need() {
            self.devlink
                .notify_send(None, cmd, |w| self.fill(w, locked));
        }
    }

    pub(crate) fn notify(&self, cmd: u8) {
        self.notify_locked(&self.locked(), cmd);
    }

    /// Changes the state and tells.
    fn change(&self, locked: &mut StateLocked, state: LinecardState) {
        locked.state = state;
        if state == LinecardState::Unprovisioned {
            locked.ty = None;
        }
        self.notify_locked(locked, cmd::LINECARD_NEW);
    }
}

/// One notification for each line card, in the order of creation or against it.
pub(crate) fn notify_all(objects: &Objects<'_>, cmd: u8, order: Order) {
    let linecards = objects.state.linecards.iter();
    order
        .of(linecards)
        .for_each(|linecard| linecard.notify(cmd));
}

// The handlers.

pub(crate) fn get_doit(
    devl: &Devl<'_>,
    request: &Request<'_>,
    reply: &mut Reply<'_>,
) -> netlink::Result {
    let linecard = linecard_from(devl, &request.attrs())?;
    let locked = linecard.locked();
    reply.send(cmd::LINECARD_NEW, |w| linecard.fill(w, &locked))
}

pub(crate) fn get_dump_one(
    devl: &Devl<'_>,
    cursor: &mut DumpCursor,
    batch: &mut Batch<'_>,
) -> netlink::Result {
    dump_items(&devl.state.linecards, cursor, |linecard| {
        let locked = linecard.locked();
        batch.put(cmd::LINECARD_NEW, |w| linecard.fill(w, &locked))
    })
}

/// `net/devlink/linecard.c: devlink_nl_linecard_set_doit`
pub(crate) fn set_doit(devl: &mut Devl<'_>, request: &mut Request<'_>) -> netlink::Result {
    let linecard = linecard_from(devl, &request.attrs())?;
    match request.attrs().get(attr::LINECARD_TYPE).map(|ty| ty.text()) {
        None => Ok(()),
        Some([]) => type_unset(devl, &linecard, request),
        Some(ty) => type_set(devl, &linecard, ty, request),
    }
}

fn busy_on_its_way(state: LinecardState) -> netlink::Result {
    let text = match state {
        LinecardState::Provisioning => "Line card is currently being provisioned",
        LinecardState::Unprovisioning => "Line card is currently being unprovisioned",
        _ => return Ok(()),
    };
    Err(Error::with_msg(Errno::BUSY, text))
}

fn type_set(
    devl: &mut Devl<'_>,
    linecard: &Arc<Linecard>,
    ty: &[u8],
    request: &mut Request<'_>,
) -> netlink::Result {
    let mut locked = linecard.locked();
    busy_on_its_way(locked.state)?;
    let mut types = linecard.types.iter();
    let ty = types
        .find(|known| known.as_bytes() == ty)
        .ok_or_else(|| Error::with_msg(Errno::INVAL, "Unsupported line card type provided"))?;
    let is_free = matches!(
        locked.state,
        LinecardState::Unprovisioned | LinecardState::ProvisioningFailed
    );
    if !is_free {
        let text = "Line card already provisioned";
        if linecard.ops.same_provision(linecard, ty) {
            warn(request, text);
            return Ok(());
        }
        return Err(Error::with_msg(Errno::BUSY, text));
    }
    locked.ty = Some(ty.clone());
    linecard.change(&mut locked, LinecardState::Provisioning);
    drop(locked);
    let result = linecard
        .ops
        .provision(devl, linecard, ty, request.ext_ack());
    if result.is_err() {
        linecard.change(&mut linecard.locked(), LinecardState::Unprovisioned);
    }
    Ok(result?)
}

fn type_unset(
    devl: &mut Devl<'_>,
    linecard: &Arc<Linecard>,
    request: &mut Request<'_>,
) -> netlink::Result {
    let mut locked = linecard.locked();
    busy_on_its_way(locked.state)?;
    match locked.state {
        LinecardState::ProvisioningFailed => {
            linecard.change(&mut locked, LinecardState::Unprovisioned);
            return Ok(());
        }
        LinecardState::Unprovisioned => {
            warn(request, "Line card is not provisioned");
            return Ok(());
        }
        _ => {}
    }
    linecard.change(&mut locked, LinecardState::Unprovisioning);
    drop(locked);
    let result = linecard.ops.unprovision(devl, linecard, request.ext_ack());
    if result.is_err() {
        linecard.change(&mut linecard.locked(), LinecardState::Unprovisioned);
    }
    Ok(result?)
}

// The API for drivers.

impl Objects<'_> {
    /// Creates a slot that can be provisioned with these types (`devl_linecard_create`).
    ///
    /// # Errors
    ///
    /// `EEXIST` if the number is taken.
    pub fn linecard_create(
        &mut self,
        index: u32,
        types: Vec<String>,
        ops: Arc<dyn LinecardOps>,
    ) -> Result<Arc<Linecard>, Errno> {
        if self.linecard(index).is_some() {
            return Err(Errno::EXIST);
        }
        let locked = StateLocked {
            state: LinecardState::Unprovisioned,
            ty: None,
        };
        let linecard = Arc::new(Linecard {
            devlink: Arc::clone(self.devlink()),
            index,
            ops,
            types,
            state: lockdep::Mutex::named("&linecard->state_lock", locked),
            rel: lockdep::Mutex::named("&linecard->rel", None),
        });
        self.state.linecards.push(Arc::clone(&linecard));
        linecard.notify(cmd::LINECARD_NEW);
        Ok(linecard)
    }

    /// Destroys a slot (`devl_linecard_destroy`).
    pub fn linecard_destroy(&mut self, linecard: &Arc<Linecard>) {
        linecard.notify(cmd::LINECARD_DEL);
        self.state
            .linecards
            .retain(|other| !Arc::ptr_eq(other, linecard));
    }

    /// The slot of this number.
    pub fn linecard(&self, index: u32) -> Option<&Arc<Linecard>> {
        let mut linecards = self.state.linecards.iter();
        linecards.find(|linecard| linecard.index == index)
    }
}

impl Linecard {
    /// The slot is provisioned with this type: it was asked for, or the device has always been so
    /// (`devlink_linecard_provision_set`).
    pub fn provision_set(&self, ty: &str) {
        let mut locked = self.locked();
        let other = locked.ty.as_deref().is_some_and(|asked| asked != ty);
        locked.ty = Some(ty.to_owned());
        self.change(&mut locked, LinecardState::Provisioned);
        drop(locked);
        let function = "devlink_linecard_provision_set";
        self.devlink
            .warn_on(other, function, "another type was asked for");
    }

    /// The slot is unprovisioned (`devlink_linecard_provision_clear`).
    pub fn provision_clear(&self) {
        self.change(&mut self.locked(), LinecardState::Unprovisioned);
    }

    /// The slot could not be provisioned (`devlink_linecard_provision_fail`).
    pub fn provision_fail(&self) {
        self.change(&mut self.locked(), LinecardState::ProvisioningFailed);
    }

    /// The card is there and works (`devlink_linecard_activate`).
    pub fn activate(&self) {
        let mut locked = self.locked();
        let early = locked.state != LinecardState::Provisioned;
        self.change(&mut locked, LinecardState::Active);
        drop(locked);
        let function = "devlink_linecard_activate";
        self.devlink
            .warn_on(early, function, "the line card is not provisioned");
    }

    /// The card does not work any more (`devlink_linecard_deactivate`).
    pub fn deactivate(&self) {
        let mut locked = self.locked();
        match locked.state {
            LinecardState::Active => self.change(&mut locked, LinecardState::Provisioned),
            // It goes as part of that.
            LinecardState::Unprovisioning => {}
            _ => {
                drop(locked);
                let function = "devlink_linecard_deactivate";
                self.devlink
                    .warn_on(true, function, "the line card is not active");
            }
        }
    }
}
