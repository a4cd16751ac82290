//! Notifications: what goes to the multicast group `config`, to whom, and in which order.
//!
//! A notification goes to the namespace that the instance is in, and from kernel 6.8 on it is not even built when nobody there
//! listens. While the instance is not registered there are none: the whole set comes when it is registered, or enters a
//! namespace ([`register`]), and goes in reverse order ([`unregister`]).
//!
//! A socket can ask for a part of them with `NOTIFY_FILTER_SET`. A filter compares only what it names *and* the object has:
//! a port filter lets pass what is no port.

use std::sync::Arc;

use netlink::genl::{self, Request, Socket};
use netlink::message::NLMSG_GOODSIZE;
use netlink::{Attrs, KernelVersion, RawAttr, Writer, attr, cmd};

use crate::core::{Devlink, Objects};
use crate::trap::{self, group, policer};
use crate::{dev, linecard, param, port, rate, region};

/// What a notification is about, as far as filters can ask (`struct devlink_obj_desc`).
#[derive(Debug)]
struct ObjDesc<'a> {
    index: u32,
    bus_name: &'a [u8],
    dev_name: &'a [u8],
    port_index: Option<u32>,
}

/// What a socket wants to hear. An empty one is not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    index: Option<u32>,
    bus_name: Option<Vec<u8>>,
    dev_name: Option<Vec<u8>>,
    port_index: Option<u32>,
}

impl Filter {
    /// The filter that a request asks for; `None` if it asks for none.
    pub(crate) fn from_attrs(attrs: &Attrs<'_>) -> Option<Self> {
        let name = |name: Option<RawAttr<'_>>| name.map(|name| name.text().to_vec());
        let filter = Self {
            // The index is wider on the wire than any instance's; one that does not fit matches nothing.
            index: attrs
                .get_uint(attr::INDEX)
                .map(|index| u32::try_from(index).unwrap_or(u32::MAX)),
            bus_name: name(attrs.get(attr::BUS_NAME)),
            dev_name: name(attrs.get(attr::DEV_NAME)),
            port_index: attrs.get_u32(attr::PORT_INDEX),
        };
        (filter != Self::default()).then_some(filter)
    }

    fn lets_pass(&self, desc: &ObjDesc<'_>) -> bool {
        let differs = |wanted: &Option<Vec<u8>>, has: &[u8]| {
            wanted.as_deref().is_some_and(|wanted| wanted != has)
        };
        !(self.index.is_some_and(|wanted| wanted != desc.index)
            || differs(&self.bus_name, desc.bus_name)
            || differs(&self.dev_name, desc.dev_name)
            || self
                .port_index
                .zip(desc.port_index)
                .is_some_and(|(wanted, has)| wanted != has))
    }
}

impl Devlink {
    /// Whether there is anybody to tell: the instance is registered and somebody in its namespace listens. For those who have
    /// something to prepare, or getters to call, before they [send](Self::notify_send).
    pub(crate) fn notify_need(&self) -> bool {
        self.is_registered() && self.has_listeners()
    }

    fn has_listeners(&self) -> bool {
        self.subsystem()
            .handle()
            .is_some_and(|handle| handle.has_listeners(CONFIG, genl::NetId(self.net().id().0)))
    }

    /// Sends a notification about the instance, or about its port of this number, if the instance is registered. One that cannot
    /// be built is dropped, as the kernel does.
    pub(crate) fn notify_send(
        &self,
        port_index: Option<u32>,
        cmd: u8,
        fill: impl FnOnce(&mut Writer<'_>) -> netlink::Result,
    ) {
        if !self.is_registered() {
            return;
        }
        let Some(handle) = self.subsystem().handle() else {
            return;
        };
        if !self.kernel().has(NEED_IS_ASKED) && !self.has_listeners() {
            // Built all the same, and drivers notice: their counters are read.
            let mut unheard = Vec::new();
            _ = fill(&mut Writer::new(
                &mut unheard,
                NLMSG_GOODSIZE,
                self.kernel(),
            ));
            return;
        }
        let desc = ObjDesc {
            index: self.index(),
            bus_name: self.bus_name().as_bytes(),
            dev_name: self.dev_name().as_bytes(),
            port_index,
        };
        let wanted = |socket: &Socket| {
            socket
                .private::<Filter>(handle.id())
                .is_none_or(|filter| filter.lets_pass(&desc))
        };
        _ = handle.multicast(CONFIG, genl::NetId(self.net().id().0), cmd, wanted, fill);
    }
}

/// From this kernel on, a notification that nobody would hear is not built.
const NEED_IS_ASKED: KernelVersion = KernelVersion::new(6, 8);

/// Place of the multicast group `config` among the family's groups.
const CONFIG: usize = 0;

/// Tells of the instance and of all that it has: it is registered, or enters a namespace (`devlink_notify_register`).
pub(crate) fn register(objects: &Objects<'_>) {
    dev::notify(objects, cmd::NEW);
    linecard::notify_all(objects, cmd::LINECARD_NEW, Order::Up);
    port::notify_all(objects, cmd::PORT_NEW, Order::Up);
    policer::notify_all(objects, cmd::TRAP_POLICER_NEW, Order::Up);
    group::notify_all(objects, cmd::TRAP_GROUP_NEW, Order::Up);
    trap::notify_all(objects, cmd::TRAP_NEW, Order::Up);
    rate::notify_all(objects, cmd::RATE_NEW, Order::Up);
    region::notify_all(objects, cmd::REGION_NEW, Order::Up);
    param::notify_all(objects, cmd::PARAM_NEW, Order::Up);
}

/// Tells that all the instance has goes, and the instance: kind for kind [`register`] backwards, within a kind upwards since
/// the kernel has numbers for all objects (`devlink_notify_unregister`).
pub(crate) fn unregister(objects: &Objects<'_>) {
    let order = match objects.devlink().kernel() {
        KernelVersion::V6_1 => Order::Down,
        _ => Order::Up,
    };
    param::notify_all(objects, cmd::PARAM_DEL, order);
    // These have no numbers: they are lists in the kernel, and gone through from their ends.
    region::notify_all(objects, cmd::REGION_DEL, Order::Down);
    rate::notify_all(objects, cmd::RATE_DEL, Order::Down);
    trap::notify_all(objects, cmd::TRAP_DEL, Order::Down);
    group::notify_all(objects, cmd::TRAP_GROUP_DEL, Order::Down);
    policer::notify_all(objects, cmd::TRAP_POLICER_DEL, Order::Down);
    port::notify_all(objects, cmd::PORT_DEL, order);
    linecard::notify_all(objects, cmd::LINECARD_DEL, Order::Down);
    dev::notify(objects, cmd::DEL);
}

/// In which order the objects of a kind are told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Smallest number first.
    Up,
    /// Largest number first.
    Down,
}

impl Order {
    /// The objects in this order.
    pub(crate) fn of<T>(
        self,
        mut objects: impl DoubleEndedIterator<Item = T>,
    ) -> impl Iterator<Item = T> {
        std::iter::from_fn(move || match self {
            Self::Up => objects.next(),
            Self::Down => objects.next_back(),
        })
    }
}

/// What kernel 6.1 tells the namespace that an instance leaves, before the driver takes its objects down.
pub(crate) fn leave(objects: &Objects<'_>) {
    param::notify_all(objects, cmd::PARAM_DEL, Order::Up);
    dev::notify(objects, cmd::DEL);
}

/// What kernel 6.1 tells the namespace that an instance has entered, after the driver has brought its objects up.
pub(crate) fn enter(objects: &Objects<'_>) {
    dev::notify(objects, cmd::NEW);
    param::notify_all(objects, cmd::PARAM_NEW, Order::Up);
}

/// Serves `NOTIFY_FILTER_SET`: the socket's filter is the one of its last request, none if that names nothing.
pub(crate) fn filter_set_doit(request: &mut Request<'_>) {
    let filter = Filter::from_attrs(&request.attrs());
    request.set_private(filter.map(|filter| Arc::new(filter) as _));
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEV: ObjDesc<'_> = ObjDesc {
        index: 3,
        bus_name: b"pci",
        dev_name: b"0000:00:09.0",
        port_index: None,
    };

    #[test]
    fn a_filter_compares_only_what_it_names_and_the_object_has() {
        let port = ObjDesc {
            port_index: Some(7),
            ..DEV
        };
        let by_port = Filter {
            port_index: Some(7),
            ..Filter::default()
        };
        assert!(by_port.lets_pass(&DEV));
        assert!(by_port.lets_pass(&port));
        assert!(!by_port.lets_pass(&ObjDesc {
            port_index: Some(8),
            ..DEV
        }));

        let by_bus = Filter {
            bus_name: Some(b"pci".to_vec()),
            ..Filter::default()
        };
        assert!(by_bus.lets_pass(&DEV));
        assert!(!by_bus.lets_pass(&ObjDesc {
            bus_name: b"auxiliary",
            ..DEV
        }));

        assert!(
            Filter {
                index: Some(3),
                ..Filter::default()
            }
            .lets_pass(&DEV)
        );
        assert!(
            !Filter {
                index: Some(4),
                ..by_bus
            }
            .lets_pass(&DEV)
        );
    }
}
