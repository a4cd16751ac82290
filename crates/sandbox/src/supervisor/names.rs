//! Trapped calls about addresses: `bind`, `connect`, `getsockname`, `getpeername`.

use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use super::Supervisor;
use crate::creds::Credentials;
use crate::sys::{self, Notification, Result};

/// A `sockaddr_nl` as the client gave it.
struct Address {
    family: u16,
    port_id: u32,
    groups: u32,
}

impl Address {
    fn read(call: &Notification) -> Result<Self> {
        let mut bytes = [0_u8; 12];
        sys::read_memory(call.tid, call.args[1], &mut bytes)?;
        let [f0, f1, _, _, p0, p1, p2, p3, g0, g1, g2, g3] = bytes;
        Ok(Self {
            family: u16::from_ne_bytes([f0, f1]),
            port_id: u32::from_ne_bytes([p0, p1, p2, p3]),
            groups: u32::from_ne_bytes([g0, g1, g2, g3]),
        })
    }
}

impl Supervisor {
    /// `net/netlink/af_netlink.c: netlink_bind`, done by the real socket, so that port ids are unique in the namespace
    /// among real and relayed sockets alike.
    pub(super) fn bind(&mut self, call: &Notification, slot: u32) -> Option<Result<i64>> {
        Some(self.bind_relay(call, slot).map(|()| 0))
    }

    fn bind_relay(&mut self, call: &Notification, slot: u32) -> Result<()> {
        let address = Address::read(call)?;
        if i32::from(address.family) != libc::AF_NETLINK {
            return Err(Errno::INVAL);
        }
        let socket = self.sockets.get(&slot).ok_or(Errno::BADF)?;
        let relay = socket.relay.as_ref().ok_or(Errno::BADF)?.as_fd();
        let bound = if address.port_id == 0 && sys::netlink_port_id(relay)? == 0 {
            // The kernel's own choice would be the supervisor's process; the client expects its own.
            let caller = Credentials::of(call.tid)?;
            match self.as_caller(call, || {
                sys::netlink_bind(relay, caller.own_tgid, address.groups)
            })? {
                Err(Errno::ADDRINUSE) => {
                    self.as_caller(call, || sys::netlink_bind(relay, 0, address.groups))?
                }
                other => other,
            }
        } else {
            self.as_caller(call, || {
                sys::netlink_bind(relay, address.port_id, address.groups)
            })?
        };
        let port_id = &self.slots.slot(slot).port_id;
        port_id.store(bound?, Ordering::Release);
        Ok(())
    }

    /// `netlink_connect`: the kernel is the only peer there is.
    pub(super) fn connect(&mut self, call: &Notification, _slot: u32) -> Option<Result<i64>> {
        Some(
            Address::read(call).and_then(|address| match i32::from(address.family) {
                libc::AF_UNSPEC => Ok(0),
                libc::AF_NETLINK if address.port_id == 0 && address.groups == 0 => Ok(0),
                libc::AF_NETLINK => Err(Errno::PERM),
                _ => Err(Errno::INVAL),
            }),
        )
    }

    pub(super) fn getsockname(&mut self, call: &Notification, slot: u32) -> Option<Result<i64>> {
        let socket = self.sockets.get(&slot)?;
        let port_id = match &socket.relay {
            Some(relay) => sys::netlink_port_id(relay.as_fd()).unwrap_or(0),
            None => 0,
        };
        Some(write_address(call, &sys::sockaddr_nl(port_id, 0)))
    }

    pub(super) fn getpeername(&mut self, call: &Notification, _slot: u32) -> Option<Result<i64>> {
        Some(write_address(call, &sys::sockaddr_nl(0, 0)))
    }
}

/// As `net/socket.c: move_addr_to_user`: as much of the address as there is room for, and its full length.
fn write_address(call: &Notification, address: &[u8; 12]) -> Result<i64> {
    let mut room = [0; 4];
    sys::read_memory(call.tid, call.args[2], &mut room)?;
    let room = usize::try_from(i32::from_ne_bytes(room)).map_err(|_| Errno::INVAL)?;
    let fits = room.min(address.len());
    sys::write_memory_vectored(
        call.tid,
        &[&address[..fits], &(address.len() as u32).to_ne_bytes()],
        &[
            sys::remote(call.args[1], fits),
            sys::remote(call.args[2], 4),
        ],
    )?;
    Ok(0)
}
