//! The driver's side of a port.

use std::sync::Arc;

use netlink::{Attrs, ExtAck, attr};
use rustix::io::Errno;

use super::{Flavour, FnOpstate, FnState, Port};
use crate::bit_set::bit_set;
use crate::core::Devl;

/// An operation that a port may have or not, where the core must know before it calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PortOp {
    /// [`PortOps::type_set`].
    TypeSet,
    /// [`PortOps::split`].
    Split,
    /// [`PortOps::unsplit`].
    Unsplit,
    /// [`PortOps::del`].
    Del,
    /// [`PortOps::fn_hw_addr_set`].
    FnHwAddrSet,
    /// [`PortOps::fn_roce_set`].
    FnRoceSet,
    /// [`PortOps::fn_migratable_set`].
    FnMigratableSet,
    /// [`PortOps::fn_ipsec_crypto_set`].
    FnIpsecCryptoSet,
    /// [`PortOps::fn_ipsec_packet_set`].
    FnIpsecPacketSet,
    /// [`PortOps::fn_max_io_eqs_set`].
    FnMaxIoEqsSet,
    /// [`PortOps::fn_state_set`].
    FnStateSet,
}

bit_set! {
    /// The operations that a port has.
    PortOpSet of PortOp
}

/// What a driver does for the commands on a port (`struct devlink_port_ops`).
///
/// A port whose driver has nothing to say uses [`NoPortOps`]. An operation that changes something exists if
/// [`provides`](Self::provides) names it: the core refuses a request as a whole, before any part of it is done, when one of
/// its parts does not exist. A getter that answers `EOPNOTSUPP`, as the default does, is left out of replies.
///
/// Getters are called for notifications too, which a network device's event causes under rtnl and without the instance lock:
/// they take no declared lock.
pub trait PortOps: Send + Sync + 'static {
    /// Which of the operations below exist, getters aside.
    fn provides(&self) -> PortOpSet {
        PortOpSet::NONE
    }

    /// Changes the port's type (`enum devlink_port_type`).
    ///
    /// # Errors
    ///
    /// Fails the request.
    fn type_set(&self, devl: &mut Devl<'_>, port: &Arc<Port>, ty: u16) -> Result<(), Errno> {
        let _ = (devl, port, ty);
        Err(Errno::OPNOTSUPP)
    }

    /// Splits the port into `count` ports; `count` has been checked against the port's attributes.
    ///
    /// # Errors
    ///
    /// Fails the request.
    fn split(
        &self,
        devl: &mut Devl<'_>,
        port: &Arc<Port>,
        count: u32,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let _ = (devl, port, count, extack);
        Err(Errno::OPNOTSUPP)
    }

    /// Joins the parts of a split port again.
    ///
    /// # Errors
    ///
    /// Fails the request.
    fn unsplit(
        &self,
        devl: &mut Devl<'_>,
        port: &Arc<Port>,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let _ = (devl, port, extack);
        Err(Errno::OPNOTSUPP)
    }

    /// Unregisters and destroys the port.
    ///
    /// # Errors
    ///
    /// Fails the request.
    fn del(&self, devl: &mut Devl<'_>, port: &Arc<Port>, extack: &mut ExtAck) -> Result<(), Errno> {
        let _ = (devl, port, extack);
        Err(Errno::OPNOTSUPP)
    }

    /// The hardware address of the port's function.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP`: left out. Others fail the reply.
    fn fn_hw_addr_get(&self, port: &Port, extack: &mut ExtAck) -> Result<Vec<u8>, Errno> {
        let _ = (port, extack);
        Err(Errno::OPNOTSUPP)
    }

    /// Changes the hardware address of the port's function; for an Ethernet port it is six bytes, unicast.
    ///
    /// # Errors
    ///
    /// Fails the request.
    fn fn_hw_addr_set(
        &self,
        devl: &mut Devl<'_>,
        port: &Arc<Port>,
        addr: &[u8],
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let _ = (devl, port, addr, extack);
        Err(Errno::OPNOTSUPP)
    }

    /// Whether the function is to be active, and whether a driver is attached to it.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP`: left out. Others fail the reply.
    fn fn_state_get(
        &self,
        port: &Port,
        extack: &mut ExtAck,
    ) -> Result<(FnState, FnOpstate), Errno> {
        let _ = (port, extack);
        Err(Errno::OPNOTSUPP)
    }

    /// Activates or deactivates the function.
    ///
    /// # Errors
    ///
    /// Fails the request.
    fn fn_state_set(
        &self,
        devl: &mut Devl<'_>,
        port: &Arc<Port>,
        state: FnState,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let _ = (devl, port, state, extack);
        Err(Errno::OPNOTSUPP)
    }

    /// How many I/O event queues the function may have.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP`: left out. Others fail the reply.
    fn fn_max_io_eqs_get(&self, port: &Port, extack: &mut ExtAck) -> Result<u32, Errno> {
        let _ = (port, extack);
        Err(Errno::OPNOTSUPP)
    }

    /// Changes how many I/O event queues the function may have.
    ///
    /// # Errors
    ///
    /// Fails the request.
    fn fn_max_io_eqs_set(
        &self,
        devl: &mut Devl<'_>,
        port: &Arc<Port>,
        max: u32,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let _ = (devl, port, max, extack);
        Err(Errno::OPNOTSUPP)
    }

    /// Whether the function has RoCE.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP`: left out. Others fail the reply.
    fn fn_roce_get(&self, port: &Port, extack: &mut ExtAck) -> Result<bool, Errno> {
        let _ = (port, extack);
        Err(Errno::OPNOTSUPP)
    }

    /// Gives the function RoCE or takes it.
    ///
    /// # Errors
    ///
    /// Fails the request.
    fn fn_roce_set(
        &self,
        devl: &mut Devl<'_>,
        port: &Arc<Port>,
        on: bool,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let _ = (devl, port, on, extack);
        Err(Errno::OPNOTSUPP)
    }

    /// Whether the function can be live-migrated; asked of virtual functions only.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP`: left out. Others fail the reply.
    fn fn_migratable_get(&self, port: &Port, extack: &mut ExtAck) -> Result<bool, Errno> {
        let _ = (port, extack);
        Err(Errno::OPNOTSUPP)
    }

    /// Makes a virtual function migratable or not.
    ///
    /// # Errors
    ///
    /// Fails the request.
    fn fn_migratable_set(
        &self,
        devl: &mut Devl<'_>,
        port: &Arc<Port>,
        on: bool,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let _ = (devl, port, on, extack);
        Err(Errno::OPNOTSUPP)
    }

    /// Whether the function has IPsec crypto offload; asked of virtual functions only.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP`: left out. Others fail the reply.
    fn fn_ipsec_crypto_get(&self, port: &Port, extack: &mut ExtAck) -> Result<bool, Errno> {
        let _ = (port, extack);
        Err(Errno::OPNOTSUPP)
    }

    /// Gives a virtual function IPsec crypto offload or takes it.
    ///
    /// # Errors
    ///
    /// Fails the request.
    fn fn_ipsec_crypto_set(
        &self,
        devl: &mut Devl<'_>,
        port: &Arc<Port>,
        on: bool,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let _ = (devl, port, on, extack);
        Err(Errno::OPNOTSUPP)
    }

    /// Whether the function has IPsec packet offload; asked of virtual functions only.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP`: left out. Others fail the reply.
    fn fn_ipsec_packet_get(&self, port: &Port, extack: &mut ExtAck) -> Result<bool, Errno> {
        let _ = (port, extack);
        Err(Errno::OPNOTSUPP)
    }

    /// Gives a virtual function IPsec packet offload or takes it.
    ///
    /// # Errors
    ///
    /// Fails the request.
    fn fn_ipsec_packet_set(
        &self,
        devl: &mut Devl<'_>,
        port: &Arc<Port>,
        on: bool,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let _ = (devl, port, on, extack);
        Err(Errno::OPNOTSUPP)
    }
}

/// The operations of a port that has none.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPortOps;

impl PortOps for NoPortOps {}

/// The port that a user asks for (`struct devlink_port_new_attrs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewPort {
    /// Number of the flavour, see [`Flavour::number`].
    pub flavour: u16,
    /// Number of the physical function.
    pub pfnum: u16,
    /// The number that the port is to have within its instance, if the user names one.
    pub port_index: Option<u32>,
    /// The host controller, if the user names one.
    pub controller: Option<u32>,
    /// Number of the sub-function, if the user names one and it is one.
    pub sfnum: Option<u32>,
}

impl NewPort {
    /// Reads a request; `None` if flavour or physical function are missing.
    pub(crate) fn from_attrs(attrs: &Attrs<'_>) -> Option<Self> {
        let flavour = attrs.get_u16(attr::PORT_FLAVOUR)?;
        Some(Self {
            flavour,
            pfnum: attrs.get_u16(attr::PORT_PCI_PF_NUMBER)?,
            port_index: attrs.get_u32(attr::PORT_INDEX),
            // The kernel reads this number as one of 16 bits.
            controller: attrs
                .get_u32(attr::PORT_CONTROLLER_NUMBER)
                .map(|number| number & 0xffff),
            sfnum: attrs
                .get_u32(attr::PORT_PCI_SF_NUMBER)
                .filter(|_| flavour == Flavour::PCI_SF),
        })
    }
}
