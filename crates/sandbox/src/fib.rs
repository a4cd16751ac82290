//! How large a namespace's routing tables are, counted as the kernel's FIB notifiers hear of them.

use std::collections::HashSet;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use crate::netns;
use crate::rtnl::{Message, Request, Route};
use crate::sys::Result;

const RTM_GETROUTE: u16 = 26;
const RTM_GETRULE: u16 = 34;
const RTM_GETNEXTHOP: u16 = 106;

/// `struct rtmsg` and `struct fib_rule_hdr` are 12 bytes, `struct nhmsg` is 8. All begin with the address family.
const RTMSG: usize = 12;
const NHMSG: usize = 8;

const RTA_DST: u16 = 1;
const RTA_TABLE: u16 = 15;
const NHA_GROUP: u16 = 2;
const NHA_RES_GROUP: u16 = 12;
const NHA_RES_GROUP_BUCKETS: u16 = 1;

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Family {
    /// IPv4.
    Inet = libc::AF_INET as u8,
    /// IPv6.
    Inet6 = libc::AF_INET6 as u8,
}

/// A table of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FibTable {
    /// Routes of an address family, of all tables.
    Routes(Family),
    /// Rules of an address family.
    Rules(Family),
    /// Nexthop objects.
    Nexthops,
}

/// Counts the entries of a table in the namespace.
///
/// Routes that differ in less than table and destination count once, for a driver hears only of the best of them; a group of
/// nexthops counts the weights of its members, a resilient one its buckets.
///
/// # Errors
/// What the kernel says; it may not know nexthop objects.
pub fn count(namespace: BorrowedFd<'_>, table: FibTable) -> Result<u64> {
    let mut route = Route::new(netns::socket_in(namespace, libc::NETLINK_ROUTE)?);
    let (kind, header, family) = match table {
        FibTable::Routes(family) => (RTM_GETROUTE, RTMSG, family as u8),
        FibTable::Rules(family) => (RTM_GETRULE, RTMSG, family as u8),
        FibTable::Nexthops => (RTM_GETNEXTHOP, NHMSG, 0),
    };
    let request = Request::new(kind, 0, header).family(family);
    let mut destinations = HashSet::new();
    let mut entries = 0;
    let counted = route.dump(request, |message| match table {
        FibTable::Routes(_) => {
            if let Some(destination) = destination(&message) {
                destinations.insert(destination);
            }
        }
        FibTable::Rules(_) => entries += 1,
        FibTable::Nexthops => entries += nexthop_entries(&message),
    });
    match counted {
        // A kernel without nexthop objects has none.
        Err(Errno::OPNOTSUPP) if table == FibTable::Nexthops => Ok(0),
        Err(errno) => Err(errno),
        Ok(()) => Ok(entries + destinations.len() as u64),
    }
}

/// Table, length of the prefix, prefix.
fn destination(message: &Message<'_>) -> Option<(u32, u8, Vec<u8>)> {
    let [_, prefix_len, _, _, table, ..] = *message.header(RTMSG)? else {
        return None;
    };
    let word = message.attribute(RTMSG, RTA_TABLE);
    let wide = word.and_then(|word| Some(u32::from_ne_bytes(word.try_into().ok()?)));
    let prefix = message.attribute(RTMSG, RTA_DST).unwrap_or_default();
    Some((
        wide.unwrap_or(u32::from(table)),
        prefix_len,
        prefix.to_vec(),
    ))
}

fn nexthop_entries(message: &Message<'_>) -> u64 {
    if let Some(group) = message.attribute(NHMSG, NHA_RES_GROUP) {
        let buckets = crate::rtnl::attribute(group, NHA_RES_GROUP_BUCKETS);
        let buckets = buckets.and_then(|bytes| Some(u16::from_ne_bytes(bytes.try_into().ok()?)));
        return u64::from(buckets.unwrap_or(0));
    }
    match message.attribute(NHMSG, NHA_GROUP) {
        // `struct nexthop_grp`: eight bytes, the fifth is the weight less one.
        Some(group) => group
            .chunks_exact(8)
            .map(|member| u64::from(member[4]) + 1)
            .sum(),
        None => 1,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn every_namespace_has_the_kernels_first_rules() {
        let here = std::fs::File::open("/proc/thread-self/ns/net").unwrap();
        // Entering a namespace takes privilege, one's own too.
        match count(here.as_fd(), FibTable::Rules(Family::Inet)) {
            Err(Errno::PERM) => {}
            rules => assert!(rules.unwrap() >= 3),
        }
    }
}
