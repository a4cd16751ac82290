//! The ports of an instance, and how drivers register them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use netlink::{KernelVersion, cmd};
use rustix::io::Errno;

use super::{Port, PortAttrs, PortOps, PortType, TypeState};
use crate::core::Objects;

/// The ports, in the order in which they are told: by number, and in kernel 6.1 as they were registered
/// (`net/devlink/leftover.c: port_list`).
pub(crate) struct Ports {
    told: BTreeMap<u64, Arc<Port>>,
    /// Where among them a port's number is, unless that is the number itself.
    places: Option<BTreeMap<u32, u64>>,
    /// How many were registered.
    registered: u64,
}

impl Ports {
    pub(crate) fn new(kernel: KernelVersion) -> Self {
        Self {
            told: BTreeMap::new(),
            places: (kernel == KernelVersion::V6_1).then(BTreeMap::new),
            registered: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    /// All of them from this place on, with the place of each.
    pub(crate) fn from(&self, place: u64) -> impl DoubleEndedIterator<Item = (u64, &Arc<Port>)> {
        self.told.range(place..).map(|(&place, port)| (place, port))
    }

    fn place(&self, index: u32) -> Option<u64> {
        match &self.places {
            None => Some(index.into()),
            Some(places) => places.get(&index).copied(),
        }
    }

    fn get(&self, index: u32) -> Option<&Arc<Port>> {
        self.told.get(&self.place(index)?)
    }

    fn insert(&mut self, port: Arc<Port>) {
        let place = match &mut self.places {
            None => port.index.into(),
            Some(places) => {
                places.insert(port.index, self.registered);
                self.registered
            }
        };
        self.registered += 1;
        self.told.insert(place, port);
    }

    fn remove(&mut self, index: u32) {
        if let Some(place) = self.place(index) {
            self.told.remove(&place);
        }
        if let Some(places) = &mut self.places {
            places.remove(&index);
        }
    }
}

impl Objects<'_> {
    /// Registers a port (`devl_port_register_with_ops`).
    ///
    /// # Errors
    ///
    /// `EBUSY` if the number is taken.
    pub fn port_register(
        &mut self,
        index: u32,
        attrs: Option<PortAttrs>,
        ops: Arc<dyn PortOps>,
    ) -> Result<Arc<Port>, Errno> {
        if self.port(index).is_some() {
            return Err(Errno::BUSY);
        }
        let port = Arc::new(Port {
            devlink: Arc::clone(self.devlink()),
            index,
            attrs,
            ops,
            registered: AtomicBool::new(true),
            ty: lockdep::Mutex::named("&devlink_port->type_lock", TypeState::default()),
            rel: lockdep::Mutex::named("&devlink_port->rel", None),
        });
        self.state.ports.insert(Arc::clone(&port));
        port.type_warn_schedule();
        port.notify(cmd::PORT_NEW);
        Ok(port)
    }

    /// Unregisters a port, whose network device must be gone before (`devl_port_unregister`).
    pub fn port_unregister(&mut self, port: &Port) {
        let has_type = port.port_type() != PortType::NotSet;
        self.devlink().warn_on(
            has_type,
            "devl_port_unregister",
            "the port still has a type",
        );
        let owner = Some(port.index);
        let has_objects = self.state.regions.contains_key(&owner)
            || self.state.reporters.contains_key(&owner)
            || self.state.resources.has_port(port.index);
        self.devlink().warn_on(
            has_objects,
            "devl_port_unregister",
            "the port still has regions, resources or health reporters",
        );
        port.type_warn_cancel();
        port.notify(cmd::PORT_DEL);
        self.state.ports.remove(port.index);
        port.registered.store(false, Ordering::Release);
    }

    /// The port of this number.
    pub fn port(&self, index: u32) -> Option<&Arc<Port>> {
        self.state.ports.get(index)
    }

    /// All ports, in the order in which they are told.
    pub fn ports(&self) -> impl DoubleEndedIterator<Item = &Arc<Port>> {
        self.state.ports.from(0).map(|(_, port)| port)
    }
}
