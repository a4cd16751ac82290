//! Trapped socket options: `SOL_NETLINK`, and those of `SOL_SOCKET` in which the pair differs from a netlink socket.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use super::Supervisor;
use crate::creds::{self, Credentials, NamespaceId};
use crate::slots::SocketOptions;
use crate::sys::{self, Notification, Result};

const NETLINK_ADD_MEMBERSHIP: i32 = 1;
const NETLINK_DROP_MEMBERSHIP: i32 = 2;

impl Supervisor {
    /// Runs `act`, which the kernel checks, with no more capabilities than the caller has.
    pub(super) fn as_caller<R>(&self, call: &Notification, act: impl FnOnce() -> R) -> Result<R> {
        let own = self.own.creds.caps;
        let caller = Credentials::of(call.tid)?;
        // In another user namespace the capabilities mean nothing over the sockets that this process made or holds for
        // others; joining a privileged group there is refused rather than lent.
        let same = NamespaceId::of_process(call.tid, "user") == Ok(self.own.userns);
        let effective = if same { caller.caps.effective } else { 0 };
        creds::with_effective(own, effective, act)
    }

    pub(super) fn setsockopt(&mut self, call: &Notification, slot: u32) -> Option<Result<i64>> {
        let (level, name) = (call.args[1] as i32, call.args[2] as i32);
        if level == libc::SOL_SOCKET {
            self.set_receive_buffer(call, slot, name);
            return None; // the pair keeps the value and checks the permission
        }
        Some(self.set_netlink_option(call, slot, name).map(|()| 0))
    }

    /// The queue to a client is limited by the sender's buffer: what the client sets as its receive buffer is set there.
    fn set_receive_buffer(&self, call: &Notification, slot: u32, name: i32) {
        let mut value = [0; 4];
        let socket = self.sockets.get(&slot);
        if let (Some(socket), Ok(_)) =
            (socket, sys::read_memory(call.tid, call.args[3], &mut value))
        {
            let end = socket.end.as_fd();
            let ours = if name == libc::SO_RCVBUFFORCE {
                libc::SO_SNDBUFFORCE
            } else {
                libc::SO_SNDBUF
            };
            let _ = self.as_caller(call, || {
                sys::set_option(end, libc::SOL_SOCKET, ours, &value)
            });
        }
    }

    fn set_netlink_option(&self, call: &Notification, slot: u32, name: i32) -> Result<()> {
        let length = call.args[4] as i32;
        let mut bytes = [0; 4];
        if length < 0 {
            return Err(Errno::INVAL);
        }
        if length >= 4 {
            sys::read_memory(call.tid, call.args[3], &mut bytes)?;
        }
        let value = u32::from_ne_bytes(bytes);
        let shared = self.slots.slot(slot);
        if matches!(name, NETLINK_ADD_MEMBERSHIP | NETLINK_DROP_MEMBERSHIP)
            && self.settings.groups.contains(&value)
        {
            let bit = 1 << (value - self.settings.groups.start);
            if name == NETLINK_ADD_MEMBERSHIP {
                if self.kernel.is_some() {
                    shared.await_attached();
                }
                shared.groups.fetch_or(bit, Ordering::AcqRel);
            } else {
                shared.groups.fetch_and(!bit, Ordering::AcqRel);
            }
            return Ok(());
        }
        let socket = self.sockets.get(&slot).ok_or(Errno::BADF)?;
        let relay = socket.relay.as_ref().ok_or(Errno::BADF)?.as_fd();
        let given = &bytes[..(length as usize).min(4)];
        self.as_caller(call, || {
            sys::set_option(relay, sys::SOL_NETLINK, name, given)
        })??;
        if (0..32).contains(&name) {
            if name == libc::NETLINK_NO_ENOBUFS && value != 0 {
                shared.clear_congested();
            }
            let bit = SocketOptions::bit(name as u32);
            if value == 0 {
                shared.options.fetch_and(!bit, Ordering::AcqRel);
            } else {
                shared.options.fetch_or(bit, Ordering::AcqRel);
            }
        }
        Ok(())
    }

    pub(super) fn getsockopt(&mut self, call: &Notification, slot: u32) -> Option<Result<i64>> {
        Some(self.get_option(call, slot).map(|()| 0))
    }

    fn get_option(&self, call: &Notification, slot: u32) -> Result<()> {
        let socket = self.sockets.get(&slot).ok_or(Errno::BADF)?;
        let mut length = [0; 4];
        sys::read_memory(call.tid, call.args[4], &mut length)?;
        let room = usize::try_from(i32::from_ne_bytes(length)).map_err(|_| Errno::INVAL)?;
        let (level, name) = (call.args[1] as i32, call.args[2] as i32);
        if level == sys::SOL_NETLINK {
            let relay = socket.relay.as_ref().ok_or(Errno::BADF)?;
            let mut value = vec![0; room.min(4096)];
            let mut length = value.len() as libc::socklen_t;
            // SAFETY: the range is `value`, and the kernel writes no more than the given length.
            sys::check(unsafe {
                libc::getsockopt(
                    relay.as_raw_fd(),
                    level,
                    name,
                    value.as_mut_ptr().cast(),
                    &raw mut length,
                )
            })?;
            // A list of memberships says how much room it needs, also when it had less.
            let written = value.len().min(length as usize);
            return write_option(call, &value[..written], length);
        }
        let word = |value: i32| value.to_ne_bytes().to_vec();
        let value = match name {
            libc::SO_TYPE => word(socket.kind),
            libc::SO_DOMAIN => word(libc::AF_NETLINK),
            libc::SO_PROTOCOL => word(socket.protocol),
            sys::SO_NETNS_COOKIE => socket.netns_cookie.to_ne_bytes().to_vec(),
            libc::SO_PEERCRED => [0, -1, -1].into_iter().flat_map(word).collect(),
            _ => return Err(Errno::NOPROTOOPT),
        };
        if name == sys::SO_NETNS_COOKIE && room < value.len() {
            return Err(Errno::INVAL);
        }
        let fits = room.min(value.len());
        write_option(call, &value[..fits], fits as u32)
    }
}

fn write_option(call: &Notification, value: &[u8], length: u32) -> Result<()> {
    sys::write_memory_vectored(
        call.tid,
        &[value, &length.to_ne_bytes()],
        &[
            sys::remote(call.args[3], value.len()),
            sys::remote(call.args[4], 4),
        ],
    )
}
