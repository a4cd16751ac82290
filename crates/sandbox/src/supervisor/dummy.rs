//! Trapped sends: requests for network devices of a type that the real kernel lacks ([`crate::dummy`]).
//!
//! The client's memory is changed before it sends, and the call goes on to the real kernel.

use rustix::io::Errno;

use super::{ClientEnd, Supervisor};
use crate::dummy::{self, STAND_IN};
use crate::rtnl::RTM_NEWLINK;
use crate::sys::{self, Notification, Result};

/// Longer than any request for a link.
const LONGEST: usize = 64 * 1024;
/// Where a message's type stands, and how many bytes are needed to see it.
const KIND: usize = 4;
const HEAD: usize = 6;

impl Supervisor {
    /// Whatever it is about to send, the call goes on.
    pub(super) fn send_message(&mut self, call: &Notification) {
        let ranges = super::receive::ranges_of(call.tid, call.args[1]);
        // What cannot be read the real kernel refuses better.
        let _ = ranges.and_then(|ranges| self.replace_dummies(call, &ranges));
        self.pass_on(call);
    }

    /// The same for one range of memory.
    pub(super) fn replace_dummies_in(&mut self, call: &Notification, data: u64, length: u64) {
        let _ = self.replace_dummies(call, &[sys::remote(data, length as usize)]);
    }

    fn replace_dummies(&mut self, call: &Notification, ranges: &[libc::iovec]) -> Result<()> {
        let Some(first) = ranges.first().filter(|range| range.iov_len >= HEAD) else {
            return Ok(());
        };
        let mut head = [0; HEAD];
        sys::read_memory(call.tid, first.iov_base as u64, &mut head)?;
        if u16::from_ne_bytes([head[KIND], head[KIND + 1]]) != RTM_NEWLINK {
            return Ok(());
        }
        let length = ranges
            .iter()
            .fold(0_usize, |sum, range| sum.saturating_add(range.iov_len));
        if length > LONGEST {
            return Err(Errno::MSGSIZE);
        }
        let mut datagram = vec![0; length];
        sys::read_memory_vectored(call.tid, ranges, &mut datagram)?;
        let places = dummy::places(&datagram);
        if places.is_empty() || !self.is_route(call) || !self.dummies.are_missing() {
            return Ok(());
        }
        for place in places {
            let address = address_of(ranges, place).ok_or(Errno::FAULT)?;
            let to = sys::remote(address, STAND_IN.len());
            sys::write_memory_vectored(call.tid, &[STAND_IN], &[to])?;
        }
        Ok(())
    }

    /// Whether the call is about an rtnetlink socket. Messages of other protocols have other types of the same numbers.
    fn is_route(&mut self, call: &Notification) -> bool {
        if let ClientEnd::Ours(_, slot) = self.client_end(call) {
            let protocol = self.sockets.get(&slot).map(|socket| socket.protocol);
            return protocol == Some(libc::NETLINK_ROUTE);
        }
        let Ok(fd) = self.threads.descriptor(call.tid, call.args[0] as i32) else {
            return false;
        };
        rustix::net::sockopt::socket_domain(&fd) == Ok(rustix::net::AddressFamily::NETLINK)
            // rtnetlink is number zero, which rustix has no name for.
            && rustix::net::sockopt::socket_protocol(&fd) == Ok(None)
    }
}

/// The address at which `place` lies, if what is there lies in one piece.
fn address_of(ranges: &[libc::iovec], mut place: usize) -> Option<u64> {
    for range in ranges {
        if place < range.iov_len {
            let fits = range.iov_len - place >= STAND_IN.len();
            return fits.then_some(range.iov_base as u64 + place as u64);
        }
        place -= range.iov_len;
    }
    None
}
