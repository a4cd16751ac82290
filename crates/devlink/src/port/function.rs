//! The function behind a port: the nest that shows it and the requests that change it.

use std::sync::Arc;

use netlink::attr::port_fn as fn_attr;
use netlink::genl::Request;
use netlink::{Bitfield32, Error, ExtAck, KernelVersion, RawAttr, Writer, attr};
use rustix::io::Errno;

use super::{Port, PortOp, PortType};
use crate::core::Devl;

/// Longest hardware address of any device (`MAX_ADDR_LEN`).
const MAX_ADDR_LEN: usize = 32;

const NO_HW_ADDR: &str = "Port doesn't support function attributes";
const NO_STATE: &str = "Function does not support state setting";

/// Whether a function is to be active (`enum devlink_port_fn_state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FnState {
    /// The function does not exist for its host.
    Inactive = 0,
    /// The function may be used.
    Active = 1,
}

/// Whether a driver is attached to a function (`enum devlink_port_fn_opstate`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FnOpstate {
    /// No driver.
    Detached = 0,
    /// A driver uses it.
    Attached = 1,
}

/// A capability of a function: its bit in the capabilities, who may have it, and what the kernel says where it is missing.
struct Cap {
    bit: u32,
    set: PortOp,
    vf_only: bool,
    unsupported: &'static str,
    not_a_vf: &'static str,
}

const ROCE: Cap = Cap {
    bit: 1 << 0,
    set: PortOp::FnRoceSet,
    vf_only: false,
    unsupported: "Port doesn't support RoCE function attribute",
    not_a_vf: "",
};

const MIGRATABLE: Cap = Cap {
    bit: 1 << 1,
    set: PortOp::FnMigratableSet,
    vf_only: true,
    unsupported: "Port doesn't support migratable function attribute",
    not_a_vf: "migratable function attribute supported for VFs only",
};

const IPSEC_CRYPTO: Cap = Cap {
    bit: 1 << 2,
    set: PortOp::FnIpsecCryptoSet,
    vf_only: true,
    unsupported: "Port doesn't support ipsec_crypto function attribute",
    not_a_vf: "ipsec_crypto function attribute supported for VFs only",
};

const IPSEC_PACKET: Cap = Cap {
    bit: 1 << 3,
    set: PortOp::FnIpsecPacketSet,
    vf_only: true,
    unsupported: "Port doesn't support ipsec_packet function attribute",
    not_a_vf: "ipsec_packet function attribute supported for VFs only",
};

/// What a getter gives, if the driver has it.
fn some<T>(got: Result<T, Errno>) -> Result<Option<T>, Errno> {
    match got {
        Err(Errno::OPNOTSUPP) => Ok(None),
        other => other.map(Some),
    }
}

impl Port {
    fn is_pci_vf(&self) -> bool {
        self.attrs
            .as_ref()
            .is_some_and(|attrs| attrs.flavour.is_pci_vf())
    }

    fn fn_caps(&self, extack: &mut ExtAck) -> Result<Bitfield32, Errno> {
        let ops = &self.ops;
        let mut caps = Bitfield32::default();
        let mut add = |cap: Cap, on: Option<bool>| {
            if let Some(on) = on {
                caps.selector |= cap.bit;
                caps.value |= if on { cap.bit } else { 0 };
            }
        };
        add(ROCE, some(ops.fn_roce_get(self, extack))?);
        if self.is_pci_vf() {
            add(MIGRATABLE, some(ops.fn_migratable_get(self, extack))?);
            add(IPSEC_CRYPTO, some(ops.fn_ipsec_crypto_get(self, extack))?);
            add(IPSEC_PACKET, some(ops.fn_ipsec_packet_get(self, extack))?);
        }
        Ok(caps)
    }
}

/// Writes the function's nest; nothing if the driver tells nothing (`devlink_nl_port_function_attrs_put`).
pub(super) fn put(w: &mut Writer<'_>, port: &Port, extack: &mut ExtAck) -> netlink::Result {
    let nest = w.nest_start(attr::PORT_FUNCTION)?;
    match put_attrs(w, port, extack) {
        Ok(true) => w.nest_end(nest),
        Ok(false) => {
            w.nest_cancel(nest);
            Ok(())
        }
        Err(error) => {
            w.nest_cancel(nest);
            Err(error)
        }
    }
}

/// Whether anything was written.
fn put_attrs(w: &mut Writer<'_>, port: &Port, extack: &mut ExtAck) -> Result<bool, Error> {
    let mut any = false;
    if let Some(addr) = some(port.ops.fn_hw_addr_get(port, extack))? {
        w.put_binary(fn_attr::HW_ADDR, &addr)?;
        any = true;
    }
    let caps = port.fn_caps(extack)?;
    if caps.selector != 0 {
        w.put_bitfield32(fn_attr::CAPS, caps)?;
        any = true;
    }
    if let Some((state, opstate)) = some(port.ops.fn_state_get(port, extack))? {
        w.put_u8(fn_attr::STATE, state as u8)?;
        w.put_u8(fn_attr::OPSTATE, opstate as u8)?;
        any = true;
    }
    if let Some(max) = some(port.ops.fn_max_io_eqs_get(port, extack))? {
        w.put_u32(fn_attr::MAX_IO_EQS, max)?;
        any = true;
    }
    if let Some(rel) = port.rel() {
        any |= rel.put(w, port.devlink(), fn_attr::DEVLINK)?;
    }
    Ok(any)
}

/// Changes what the nest of a request names. First everything is checked to exist, then it is done, the state last, so that a
/// function is complete when it is activated (`net/devlink/port.c: devlink_port_function_set`).
pub(super) fn set(
    devl: &mut Devl<'_>,
    port: &Arc<Port>,
    nest: RawAttr<'_>,
    request: &mut Request<'_>,
) -> netlink::Result {
    let parsed = request.attrs().nested(
        nest,
        netlink::devlink::nests(request.kernel()).port_function,
        request.ext_ack(),
    );
    let parsed = parsed.map_err(|error| error.msg("Fail to parse port function attributes"))?;
    let attrs = parsed.attrs();
    let has = port.ops.provides();
    // Kernel 6.1 looks whether an operation exists when it comes to it.
    let checks_first = request.kernel() != KernelVersion::V6_1;
    let refuse = |text, attr| Err(Error::with_msg(Errno::OPNOTSUPP, text).bad_attr(attr));

    let hw_addr = attrs.get(fn_attr::HW_ADDR);
    let has_hw_addr = has.contains(PortOp::FnHwAddrSet);
    if let Some(attr) = hw_addr.filter(|_| checks_first && !has_hw_addr) {
        return refuse(NO_HW_ADDR, attr);
    }
    let state = attrs.get(fn_attr::STATE);
    let has_state = has.contains(PortOp::FnStateSet);
    if let Some(attr) = state.filter(|_| checks_first && !has_state) {
        return refuse(NO_STATE, attr);
    }
    let caps = attrs.get_bitfield32(fn_attr::CAPS).unwrap_or_default();
    if let Some(attr) = attrs.get(fn_attr::CAPS) {
        for cap in [ROCE, MIGRATABLE, IPSEC_CRYPTO, IPSEC_PACKET] {
            if caps.selector & cap.bit == 0 {
                continue;
            }
            if !has.contains(cap.set) {
                return refuse(cap.unsupported, attr);
            }
            if cap.vf_only && !port.is_pci_vf() {
                return refuse(cap.not_a_vf, attr);
            }
        }
    }
    let max_io_eqs = attrs.get(fn_attr::MAX_IO_EQS);
    if let Some(attr) = max_io_eqs.filter(|_| !has.contains(PortOp::FnMaxIoEqsSet)) {
        return refuse("Function does not support max_io_eqs setting", attr);
    }

    let extack = request.ext_ack();
    if let Some(attr) = hw_addr {
        hw_addr_set(devl, port, attr.payload, extack)?;
    }
    let ops = Arc::clone(&port.ops);
    let on = |cap: Cap| (caps.selector & cap.bit != 0).then_some(caps.value & cap.bit != 0);
    if let Some(on) = on(ROCE) {
        ops.fn_roce_set(devl, port, on, extack)?;
    }
    if let Some(on) = on(MIGRATABLE) {
        ops.fn_migratable_set(devl, port, on, extack)?;
    }
    if let Some(on) = on(IPSEC_CRYPTO) {
        ops.fn_ipsec_crypto_set(devl, port, on, extack)?;
    }
    if let Some(on) = on(IPSEC_PACKET) {
        ops.fn_ipsec_packet_set(devl, port, on, extack)?;
    }
    if let Some(max) = max_io_eqs.and_then(RawAttr::u32) {
        ops.fn_max_io_eqs_set(devl, port, max, extack)?;
    }
    if state.is_some() && !has_state {
        return Err(Error::with_msg(Errno::OPNOTSUPP, NO_STATE));
    }
    match state.and_then(RawAttr::u8) {
        Some(0) => ops.fn_state_set(devl, port, FnState::Inactive, extack)?,
        // The policy has refused what is neither.
        Some(_) => ops.fn_state_set(devl, port, FnState::Active, extack)?,
        None => {}
    }
    Ok(())
}

fn hw_addr_set(
    devl: &mut Devl<'_>,
    port: &Arc<Port>,
    addr: &[u8],
    extack: &mut ExtAck,
) -> netlink::Result {
    let refuse = |text| Err(Error::with_msg(Errno::INVAL, text));
    if addr.len() > MAX_ADDR_LEN {
        return refuse("Port function hardware address too long");
    }
    if matches!(port.port_type(), PortType::Eth(_)) {
        if addr.len() != 6 {
            return refuse("Address must be 6 bytes for Ethernet device");
        }
        // Zeros are nobody's address and no group's either: drivers take them for "none".
        if addr[0] & 1 != 0 {
            return refuse("Non-unicast hardware address unsupported");
        }
    }
    if !port.ops.provides().contains(PortOp::FnHwAddrSet) {
        return Err(Error::with_msg(Errno::OPNOTSUPP, NO_HW_ADDR));
    }
    Ok(Arc::clone(&port.ops).fn_hw_addr_set(devl, port, addr, extack)?)
}
