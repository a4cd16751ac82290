//! Nested instances: an instance that belongs to an object of another one.
//!
//! The Ethernet part of a function has an instance of its own inside the function's; a sub-function's instance stands behind
//! a port of the eswitch; the functions of one chip are inside the instance that they share. The object shows the handle of
//! what is nested in it, and changes whenever the nested instance comes, goes, or moves to another namespace.
//!
//! Neither side needs the other's lock to be shown: a relation ([`Rel`]) is written before the nested instance is registered,
//! ends when that is unregistered, and is only read in between. What has changed is told by a work item, which takes the
//! lock of the instance that the object is part of, because whoever causes the change may or may not hold it; it tries, and
//! comes again later, since somebody who holds it may be waiting for the work queue (`net/devlink/core.c: devlink_rel`).

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use driver_core::Work;
use lockdep::order::{Held, Unlocked};
use netlink::wire::kind;
use netlink::{Attr, Writer, attr, cmd};

use crate::core::{Devlink, Objects};
use crate::linecard::Linecard;
use crate::{dev, port};

/// A tick of the kernel's clock, after which a work item that found the lock taken tries again.
const JIFFY: Duration = Duration::from_millis(4);

/// The object of an instance in which another instance is nested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Object {
    /// The instance itself.
    Instance,
    /// The function behind its port of this number.
    Port(u32),
    /// Its line card of this number.
    Linecard(u32),
}

/// That one instance is nested in an object of another (`struct devlink_rel`).
pub(crate) struct Rel {
    index: u32,
    nested: Weak<Devlink>,
    parent: Weak<Devlink>,
    object: Object,
    in_use: AtomicBool,
    notify_work: Work,
}

impl Rel {
    fn new(parent: &Arc<Devlink>, object: Object, nested: &Arc<Devlink>) -> Arc<Self> {
        Arc::new_cyclic(|this: &Weak<Self>| Self {
            index: parent.subsystem().next_rel_index(),
            nested: Arc::downgrade(nested),
            parent: Arc::downgrade(parent),
            object,
            in_use: AtomicBool::new(true),
            notify_work: Work::on(
                "(work_completion)(&(&rel->nested_in.notify_work)->work)",
                Weak::clone(this),
                devlink_rel_nested_in_notify_work,
            ),
        })
    }

    /// The number that orders the relations of an object.
    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    fn is_in_use(&self) -> bool {
        self.in_use.load(Ordering::Acquire)
    }

    /// The nested instance, while it is registered.
    fn nested(&self) -> Option<Arc<Devlink>> {
        self.nested
            .upgrade()
            .filter(|nested| self.is_in_use() && nested.is_registered())
    }

    /// Tells the object, from a work item, that something about the nested instance has changed.
    fn notify_work_schedule(&self, delay: Duration) {
        if let Some(parent) = self.parent.upgrade() {
            let drivers = parent.subsystem().net_core().drivers();
            drivers.system_wq().queue_delayed(&self.notify_work, delay);
        }
    }

    /// Writes the handle of what is nested; says whether there is anything.
    pub(crate) fn put(
        &self,
        w: &mut Writer<'_>,
        parent: &Devlink,
        to: Attr<kind::Nest>,
    ) -> Result<bool, netlink::Error> {
        let Some(nested) = self.nested() else {
            return Ok(false);
        };
        parent.put_nested_handle(w, &nested, to)?;
        Ok(true)
    }
}

impl fmt::Debug for Rel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rel")
            .field("index", &self.index)
            .field("object", &self.object)
            .field("in_use", &self.is_in_use())
            .finish_non_exhaustive()
    }
}

fn devlink_rel_nested_in_notify_work(rel: &Arc<Rel>, _held: &mut Held<'_, Unlocked>) {
    let Some(parent) = rel.parent.upgrade() else {
        return;
    };
    let Some(objects) = parent.try_lock() else {
        return rel.notify_work_schedule(JIFFY);
    };
    if !objects.is_registered() {
        return;
    }
    if !rel.is_in_use() {
        objects.forget_rel(rel);
    }
    match rel.object {
        Object::Instance => dev::notify(&objects, cmd::NEW),
        Object::Port(index) => {
            if let Some(port) = objects.port(index) {
                port.notify(cmd::PORT_NEW);
            }
        }
        Object::Linecard(index) => {
            if let Some(linecard) = objects.linecard(index) {
                linecard.notify(cmd::LINECARD_NEW);
            }
        }
    }
}

impl Devlink {
    /// Writes the handle of an instance that is nested in this one, with its namespace if that is another
    /// (`devlink_nl_put_nested_handle`).
    fn put_nested_handle(
        &self,
        w: &mut Writer<'_>,
        nested: &Devlink,
        to: Attr<kind::Nest>,
    ) -> netlink::Result {
        w.nest(to, |w| {
            nested.put_handle(w)?;
            let (here, there) = (self.net(), nested.net());
            if here == there || !self.kernel().has(netlink::KernelVersion::new(6, 7)) {
                return Ok(());
            }
            let nsid = self.subsystem().net_core().peernet2id_alloc(&here, &there);
            // `NETNSA_NSID_NOT_ASSIGNED`: the namespace is going away.
            w.put_s32(attr::NETNS_ID, nsid.unwrap_or(-1))
        })
    }

    /// Tells the object in which the instance is nested, if it is, that the instance has changed
    /// (`devlink_rel_nested_in_notify`).
    pub(crate) fn nested_in_notify(&self) {
        if let Some(rel) = &*self.rel() {
            rel.notify_work_schedule(Duration::ZERO);
        }
    }

    /// The instance is nested in nothing any more (`devlink_rel_put`).
    pub(crate) fn rel_put(&self) {
        let rel = self.rel().take();
        if let Some(rel) = rel {
            rel.in_use.store(false, Ordering::Release);
            rel.notify_work_schedule(Duration::ZERO);
        }
    }
}

impl Objects<'_> {
    /// Writes the handles of all instances that are nested in this one (`devlink_nl_nested_fill`).
    pub(crate) fn put_nested(&self, w: &mut Writer<'_>) -> netlink::Result {
        // Copied: what is written about a nested instance takes further locks.
        let rels: Vec<_> = self.devlink().nested_rels().values().cloned().collect();
        for rel in rels {
            rel.put(w, self.devlink(), attr::NESTED_DEVLINK)?;
        }
        Ok(())
    }

    fn forget_rel(&self, rel: &Rel) {
        match rel.object {
            Object::Instance => {
                self.devlink().nested_rels().remove(&rel.index);
            }
            Object::Port(index) => {
                if let Some(port) = self.port(index) {
                    port.forget_rel(rel);
                }
            }
            Object::Linecard(index) => {
                if let Some(linecard) = self.linecard(index) {
                    linecard.forget_rel(rel);
                }
            }
        }
    }
}

// The API for drivers.

impl Devlink {
    /// Nests another instance, which is not registered yet, in this one (`devl_nested_devlink_set`). Ends when that is
    /// unregistered. No lock is needed: a driver has this instance locked, or it is one that several devices share and
    /// the *nested* one is.
    pub fn nested_devlink_set(self: &Arc<Self>, nested: &Arc<Devlink>) {
        nested.warn_on(
            nested.is_registered(),
            "devl_nested_devlink_set",
            "the nested instance is registered already",
        );
        let rel = Rel::new(self, Object::Instance, nested);
        nested.set_rel(&rel);
        self.nested_rels().insert(rel.index, rel);
    }
}

impl port::Port {
    /// Nests another instance, which is not registered yet, in the function behind this port, a local sub-function's
    /// (`devl_port_fn_devlink_set`). The instance that the port is part of need not be locked: the driver sees to it that
    /// the port stays.
    pub fn fn_devlink_set(&self, nested: &Arc<Devlink>) {
        let is_local_sf = self.attrs().is_some_and(|attrs| {
            matches!(
                attrs.flavour,
                port::Flavour::PciSf {
                    external: false,
                    ..
                }
            )
        });
        if self.devlink().warn_on(
            !is_local_sf,
            "devl_port_fn_devlink_set",
            "the port is not a local sub-function's",
        ) {
            return;
        }
        let rel = Rel::new(self.devlink(), Object::Port(self.index()), nested);
        nested.set_rel(&rel);
        self.set_rel(rel);
    }
}

impl Linecard {
    /// Nests the card's own instance, which is not registered yet, in the slot (`devlink_linecard_nested_dl_set`). Ends when
    /// that is unregistered. No lock is needed.
    pub fn nested_dl_set(&self, nested: &Arc<Devlink>) {
        let rel = Rel::new(self.devlink(), Object::Linecard(self.index()), nested);
        nested.set_rel(&rel);
        self.set_rel(rel);
    }
}
