//! Ports: what a device's instance is connected to, and the network devices that stand for them.
//!
//! What a port is never changes ([`PortAttrs`]); what it is *for* does: its type follows the life of its network device,
//! which the core hears from its global netdevice notifier. That happens under rtnl and without the
//! instance lock, so the type has a lock of its own and a port is encoded from it, its attributes and the driver's
//! getters alone. One registration of a network device makes a port go from `notset` to `eth` (when the device is
//! initialized) and to `eth` with a device (when it is registered): each step is a notification.

use std::fmt;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};

use net_core::netdev::RegState;
use net_core::{DevlinkCompat, Netdev, NetdevEvent, NotifierBlock};
use netlink::genl::{Batch, DumpCursor, Reply, Request};
use netlink::{Error, ExtAck, KernelVersion, Writer, attr, cmd};
use rustix::io::Errno;

use crate::core::{Devl, Devlink, Objects};
use crate::nested::Rel;
use crate::notify::Order;

mod attrs;
mod function;
mod list;
mod ops;
mod type_warn;

pub(crate) use list::Ports;
pub(crate) use type_warn::TypeWarn;

pub use attrs::{Flavour, PortAttrs};
pub use function::{FnOpstate, FnState};
pub use ops::{NewPort, NoPortOps, PortOp, PortOpSet, PortOps};

/// A registered port (`struct devlink_port`).
///
/// A driver keeps it with its network device, which leads the core from the device's events back to the port.
pub struct Port {
    devlink: Arc<Devlink>,
    index: u32,
    attrs: Option<PortAttrs>,
    ops: Arc<dyn PortOps>,
    registered: AtomicBool,
    ty: lockdep::Mutex<TypeState>,
    /// The instance that is nested in the port's function.
    rel: lockdep::Mutex<Option<Arc<Rel>>>,
}

/// The type of a port, with the device that it has as such.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PortType {
    /// No device yet.
    #[default]
    NotSet,
    /// Ethernet; without a device while the device is not registered, or is in another namespace.
    Eth(Option<EthDevice>),
    /// InfiniBand, with the device's name.
    Ib(Option<String>),
}

impl PortType {
    /// Number of the type in `DEVLINK_ATTR_PORT_TYPE`.
    const fn number(&self) -> u16 {
        match self {
            Self::NotSet => 0,
            Self::Eth(_) => 2,
            Self::Ib(_) => 3,
        }
    }
}

/// A network device as a port remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EthDevice {
    /// The device's index.
    pub ifindex: u32,
    /// The device's name.
    pub name: String,
}

#[derive(Debug, Default)]
struct TypeState {
    ty: PortType,
    desired: u16,
    /// When the driver is warned, if the port is without a type until then.
    warn_due: Option<type_warn::Due>,
}

impl Port {
    /// The instance that the port belongs to.
    pub fn devlink(&self) -> &Arc<Devlink> {
        &self.devlink
    }

    /// The port's number within its instance.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// What the port is; `None` if the driver did not say.
    pub fn attrs(&self) -> Option<&PortAttrs> {
        self.attrs.as_ref()
    }

    /// The port's type now.
    pub fn port_type(&self) -> PortType {
        self.type_lock().ty.clone()
    }

    fn type_lock(&self) -> lockdep::MutexGuard<'_, TypeState> {
        self.ty.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_rel(&self, rel: Arc<Rel>) {
        *self.rel.lock().unwrap_or_else(PoisonError::into_inner) = Some(rel);
    }

    /// What is nested in the port's function.
    fn rel(&self) -> Option<Arc<Rel>> {
        self.rel
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Forgets what is nested in the port's function, if it is this and not already something else.
    pub(crate) fn forget_rel(&self, rel: &Rel) {
        let mut current = self.rel.lock().unwrap_or_else(PoisonError::into_inner);
        if current
            .as_ref()
            .is_some_and(|current| current.index() == rel.index())
        {
            *current = None;
        }
    }

    fn set_type(&self, ty: PortType) {
        let registered = self.registered.load(Ordering::Acquire);
        self.devlink.warn_on(
            !registered,
            "__devlink_port_type_set",
            "the port is not registered",
        );
        match ty {
            PortType::NotSet => self.type_warn_schedule(),
            PortType::Eth(_) | PortType::Ib(_) => self.type_warn_cancel(),
        }
        self.type_lock().ty = ty;
        self.notify(cmd::PORT_NEW);
    }

    /// Makes it an InfiniBand port with the device of this name (`devlink_port_type_ib_set`).
    pub fn type_ib_set(&self, ibdev: &str) {
        self.set_type(PortType::Ib(Some(ibdev.to_owned())));
    }

    /// Makes it a port without a type, for InfiniBand ports (`devlink_port_type_clear`).
    pub fn type_clear(&self) {
        self.set_type(PortType::NotSet);
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Port")
            .field("devlink", &self.devlink)
            .field("index", &self.index)
            .field("attrs", &self.attrs)
            .finish_non_exhaustive()
    }
}

// The one encoder.

impl Port {
    fn fill(&self, w: &mut Writer<'_>, extack: &mut ExtAck) -> netlink::Result {
        self.devlink.put_handle(w)?;
        w.put_u32(attr::PORT_INDEX, self.index)?;
        self.put_type(w)?;
        if let Some(attrs) = &self.attrs {
            attrs.put(w)?;
        }
        // What a driver answers for a function that it cannot read is not passed on: the kernel says EMSGSIZE.
        function::put(w, self, extack).map_err(|_| Errno::MSGSIZE)?;
        match self.attrs.as_ref().and_then(|attrs| attrs.linecard) {
            Some(linecard) => w.put_u32(attr::LINECARD_INDEX, linecard),
            None => Ok(()),
        }
    }

    fn put_type(&self, w: &mut Writer<'_>) -> netlink::Result {
        let state = self.type_lock();
        w.put_u16(attr::PORT_TYPE, state.ty.number())?;
        if state.desired != 0 {
            w.put_u16(attr::PORT_DESIRED_TYPE, state.desired)?;
        }
        match &state.ty {
            PortType::Eth(Some(device)) => {
                w.put_u32(attr::PORT_NETDEV_IFINDEX, device.ifindex)?;
                w.put_str(attr::PORT_NETDEV_NAME, &device.name)
            }
            PortType::Ib(Some(ibdev)) => w.put_str(attr::PORT_IBDEV_NAME, ibdev),
            PortType::NotSet | PortType::Eth(None) | PortType::Ib(None) => Ok(()),
        }
    }
}

// Notifications.

impl Port {
    pub(crate) fn notify(&self, cmd: u8) {
        if self.devlink.notify_need() {
            self.devlink.notify_send(Some(self.index), cmd, |w| {
                self.fill(w, &mut ExtAck::default())
            });
        }
    }
}

/// One notification for each port.
pub(crate) fn notify_all(objects: &Objects<'_>, cmd: u8, order: Order) {
    order.of(objects.ports()).for_each(|port| port.notify(cmd));
}

// The handlers.

pub(crate) fn get_doit(
    port: &Port,
    request: &mut Request<'_>,
    reply: &mut Reply<'_>,
) -> netlink::Result {
    reply.send(cmd::PORT_NEW, |w| port.fill(w, request.ext_ack()))
}

/// What a dump of ports and the answer to `PORT_NEW` call themselves: in kernel 6.1, what is meant for instances.
fn told_as(kernel: KernelVersion) -> u8 {
    match kernel {
        KernelVersion::V6_1 => cmd::NEW,
        _ => cmd::PORT_NEW,
    }
}

/// Dumps the instance's ports, from the place at which the cursor stands.
pub(crate) fn get_dump_one(
    devl: &Devl<'_>,
    request: &mut Request<'_>,
    cursor: &mut DumpCursor,
    batch: &mut Batch<'_>,
) -> netlink::Result {
    for (place, port) in devl.state.ports.from(cursor.index) {
        if let Err(error) = batch.put(told_as(request.kernel()), |w| {
            port.fill(w, request.ext_ack())
        }) {
            cursor.index = place;
            return Err(error);
        }
    }
    Ok(())
}

/// `net/devlink/port.c: devlink_nl_port_set_doit`
pub(crate) fn set_doit(
    devl: &mut Devl<'_>,
    port: &Arc<Port>,
    request: &mut Request<'_>,
) -> netlink::Result {
    if let Some(wanted) = request.attrs().get_u16(attr::PORT_TYPE) {
        port.desired_type_set(devl, wanted)?;
    }
    if let Some(nest) = request.attrs().get(attr::PORT_FUNCTION) {
        function::set(devl, port, nest, request)?;
        port.notify(cmd::PORT_NEW);
    }
    Ok(())
}

impl Port {
    fn desired_type_set(self: &Arc<Self>, devl: &mut Devl<'_>, wanted: u16) -> Result<(), Errno> {
        if !self.ops.provides().contains(PortOp::TypeSet) {
            return Err(Errno::OPNOTSUPP);
        }
        if self.type_lock().ty.number() == wanted {
            return Ok(());
        }
        Arc::clone(&self.ops).type_set(devl, self, wanted)?;
        self.type_lock().desired = wanted;
        self.notify(cmd::PORT_NEW);
        Ok(())
    }
}

/// `net/devlink/port.c: devlink_nl_port_split_doit`
pub(crate) fn split_doit(
    devl: &mut Devl<'_>,
    port: &Arc<Port>,
    request: &mut Request<'_>,
) -> netlink::Result {
    let count = request
        .attrs()
        .require(attr::PORT_SPLIT_COUNT)?
        .u32()
        .unwrap_or(0);
    if !port.ops.provides().contains(PortOp::Split) {
        return Err(Errno::OPNOTSUPP.into());
    }
    let attrs = port.attrs.as_ref();
    if !attrs.is_some_and(|attrs| attrs.splittable) {
        let is_part = matches!(
            attrs,
            Some(PortAttrs {
                flavour: Flavour::Physical {
                    split_subport: Some(_),
                    ..
                },
                ..
            })
        );
        let text = if is_part {
            "Port cannot be split further"
        } else {
            "Port cannot be split"
        };
        return Err(Error::with_msg(Errno::INVAL, text));
    }
    if count < 2 || !count.is_power_of_two() || attrs.is_none_or(|attrs| count > attrs.lanes) {
        return Err(Error::with_msg(Errno::INVAL, "Invalid split count"));
    }
    Ok(Arc::clone(&port.ops).split(devl, port, count, request.ext_ack())?)
}

/// `net/devlink/port.c: devlink_nl_port_unsplit_doit`
pub(crate) fn unsplit_doit(
    devl: &mut Devl<'_>,
    port: &Arc<Port>,
    request: &mut Request<'_>,
) -> netlink::Result {
    if !port.ops.provides().contains(PortOp::Unsplit) {
        return Err(Errno::OPNOTSUPP.into());
    }
    Ok(Arc::clone(&port.ops).unsplit(devl, port, request.ext_ack())?)
}

/// `net/devlink/port.c: devlink_nl_port_new_doit`
pub(crate) fn new_doit(
    devl: &mut Devl<'_>,
    request: &mut Request<'_>,
    reply: &mut Reply<'_>,
) -> netlink::Result {
    let ops = devl.ops();
    if !ops.can_create_ports() {
        return Err(Errno::OPNOTSUPP.into());
    }
    let new = NewPort::from_attrs(&request.attrs())
        .ok_or_else(|| Error::with_msg(Errno::INVAL, "Port flavour or PCI PF are not specified"))?;
    let port = ops.port_new(devl, &new, request.ext_ack())?;
    let replied = reply.send(told_as(request.kernel()), |w| {
        port.fill(w, &mut ExtAck::default())
    });
    if replied.is_err() {
        // The kernel takes the port back; what the driver says to that is of no use to anyone.
        _ = Arc::clone(&port.ops).del(devl, &port, &mut ExtAck::default());
    }
    replied
}

/// In kernel 6.1 the deletion of a port was the device's operation: whether it exists was asked before the port was looked for.
pub(crate) fn check_deletion(devl: &Devl<'_>, request: &Request<'_>) -> netlink::Result {
    if request.cmd() != cmd::PORT_DEL || request.kernel() != KernelVersion::V6_1 {
        return Ok(());
    }
    if !devl.ops().can_create_ports() {
        return Err(Errno::OPNOTSUPP.into());
    }
    let unnamed = |missing: Error| missing.msg("Port index is not specified");
    let index = request.attrs().require(attr::PORT_INDEX);
    index.map(|_| ()).map_err(unnamed)
}

/// `net/devlink/port.c: devlink_nl_port_del_doit`
pub(crate) fn del_doit(
    devl: &mut Devl<'_>,
    port: &Arc<Port>,
    request: &mut Request<'_>,
) -> netlink::Result {
    if !port.ops.provides().contains(PortOp::Del) {
        return Err(Errno::OPNOTSUPP.into());
    }
    Ok(Arc::clone(&port.ops).del(devl, port, request.ext_ack())?)
}

/// What network devices show of their ports in sysfs. No lock is needed: only what never changes is asked for.
pub(crate) fn compat() -> DevlinkCompat {
    fn attrs(dev: &Netdev) -> Result<&PortAttrs, Errno> {
        let port = dev.devlink_port().and_then(|port| port.downcast_ref());
        port.and_then(Port::attrs).ok_or(Errno::OPNOTSUPP)
    }
    DevlinkCompat {
        phys_port_name: |dev| {
            let attrs = attrs(dev)?;
            attrs.phys_port_name().ok_or(match attrs.flavour {
                Flavour::Virtual => Errno::OPNOTSUPP,
                _ => Errno::INVAL,
            })
        },
        switch_id: |dev| match &attrs(dev)?.switch_id[..] {
            [] => Err(Errno::OPNOTSUPP),
            id => Ok(id.to_vec()),
        },
    }
}

/// Who follows the network devices of all ports, in every namespace.
pub(crate) fn netdevice_notifier() -> Arc<NotifierBlock> {
    NotifierBlock::new("devlink_port_netdevice_nb", |_rtnl, event, dev| {
        if let Some(port) = dev
            .devlink_port()
            .and_then(|port| port.downcast_ref::<Port>())
        {
            devlink_port_netdevice_event(port, event, dev);
        }
        Ok(())
    })
}

/// `net/devlink/port.c: devlink_port_netdevice_event`, under rtnl and without the instance lock.
fn devlink_port_netdevice_event(port: &Port, event: NetdevEvent, dev: &Netdev) {
    // A device can be sent to another namespace than its instance's: there the port has no device.
    let is_here = port.devlink.is_in(dev.net().id());
    let device = || EthDevice {
        ifindex: dev.ifindex(),
        name: dev.name(),
    };
    let as_it_is = |device: Option<EthDevice>| match port.port_type() {
        PortType::Eth(_) => PortType::Eth(device),
        other => other,
    };
    if port.devlink.kernel() == KernelVersion::V6_1 {
        return port_type_in_6_1(port, event, dev, is_here);
    }
    match event {
        NetdevEvent::PostInit => port.set_type(PortType::Eth(None)),
        NetdevEvent::Register | NetdevEvent::ChangeName if is_here => {
            port.set_type(as_it_is(Some(device())));
        }
        NetdevEvent::Unregister if is_here => port.set_type(as_it_is(None)),
        NetdevEvent::PreUninit => port.set_type(PortType::NotSet),
        _ => {}
    }
}

/// In kernel 6.1 drivers set a port's type themselves, after they have registered its device and before they unregister it;
/// that is told. What happens to the device in between is seen in the port, but not told.
fn port_type_in_6_1(port: &Port, event: NetdevEvent, dev: &Netdev, is_here: bool) {
    let device = is_here.then(|| EthDevice {
        ifindex: dev.ifindex(),
        name: dev.name(),
    });
    let typed = port.port_type() != PortType::NotSet;
    let goes = matches!(
        dev.reg_state(),
        RegState::Unregistering | RegState::Unregistered
    );
    match event {
        NetdevEvent::Register if !typed => port.set_type(PortType::Eth(device)),
        NetdevEvent::Unregister if goes => port.set_type(PortType::NotSet),
        NetdevEvent::Unregister => port.type_lock().ty = PortType::Eth(None),
        NetdevEvent::Register | NetdevEvent::ChangeName => {
            port.type_lock().ty = PortType::Eth(device);
        }
        _ => {}
    }
}
