//! Network devices of type `dummy`, on a machine whose own kernel has none.
//!
//! A dummy is a place for addresses and routes: whatever it is given to send is lost. The kernel's type `ifb` is that, too, as
//! long as nobody redirects traffic to it, down to the flags: neither ARP nor multicast. So a request for a dummy
//! becomes one for an ifb, in the memory of the client that is about to send it: what is sent, by whom and with which rights stays
//! the client's. Such a device calls itself an ifb when it is asked for its details, and one that is made without a
//! name is called `ifb0`.
//!
//! Where the kernel has dummies, or a module that makes them, nothing of this happens.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::io::Errno;
use rustix::net::SendFlags;
use rustix::net::netlink::SocketAddrNetlink;

use crate::rtnl::{self, IFINFOMSG, Message, Request, Route, c_name};
use crate::sys::{self, Result};

const DUMMY: &str = "dummy";
const IFB: &str = "ifb";
/// What stands in the place of `dummy`. The kernel reads up to the first zero.
pub(crate) const STAND_IN: &[u8; DUMMY.len()] = b"ifb\0\0";

/// The device that the kernel's module makes when it is loaded.
const FIRST: &str = "dummy0";
/// No device can have this name (`net/core/dev.c: dev_valid_name`).
const NO_NAME: &str = "/";

const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;

/// Whether the kernel may lack the type. Says so of too many kernels rather than of too few, and costs nothing worth mentioning.
pub fn may_be_missing() -> bool {
    // There is a folder if it is built in, too, since it has a parameter.
    let is_there = Path::new("/sys/module/dummy").exists();
    let release = rustix::system::uname();
    let release = release.release().to_string_lossy();
    let is_module = |end: &str| {
        let path = format!("/lib/modules/{release}/kernel/drivers/net/dummy.ko{end}");
        Path::new(&path).exists()
    };
    !is_there && !["", ".xz", ".zst", ".gz"].into_iter().any(is_module)
}

/// Has the module loaded, from inside the process tree: by asking for something that no dummy can be.
///
/// # Errors
/// `EOPNOTSUPP`: there are no dummies here, nor anything that could take their place. `EPERM`: not for this user.
pub fn load() -> Result<()> {
    let socket = sys::netlink_socket(libc::NETLINK_ROUTE)?;
    let request = request(DUMMY, NO_NAME).finish(rtnl::NLM_F_ACK, 0);
    // With an address, as who is trapped sends.
    let kernel = SocketAddrNetlink::new(0, 0);
    rustix::net::sendto(&socket, &request, SendFlags::empty(), &kernel)?;
    let mut answer = [0; 512];
    let length = sys::recv(socket.as_fd(), &mut answer, 0)?;
    let error = Message::all(&answer[..length]).next().map(|it| it.word(0));
    verdict(Errno::from_raw_os_error(-(error.unwrap_or(0) as i32)))
}

/// Has the module unloaded, from inside the process tree: removes the device that the module makes by itself.
///
/// The result are the names of what else there is of the other type in the caller's namespace. The module would take its dummies with
/// it, but from here nobody can tell which they are; so if there is anything, nothing is removed.
///
/// # Errors
/// What the kernel says to the listing and the removing.
pub fn unload() -> Result<Vec<String>> {
    let mut route = Route::new(sys::netlink_socket(libc::NETLINK_ROUTE)?);
    let mut names = Vec::new();
    route.dump(Request::link(rtnl::RTM_GETLINK, 0), |link| {
        if kind_of(&link).is_some_and(|kind| is(kind, IFB)) {
            names.push(link.name());
        }
    })?;
    if names == [FIRST] {
        route.call(delete_first(), |_| {})?;
        names.clear();
    }
    Ok(names)
}

/// A request to remove the device that the module makes.
fn delete_first() -> Request {
    Request::link(rtnl::RTM_DELLINK, 0).attribute(rtnl::IFLA_IFNAME, &c_name(FIRST))
}

/// A request for a device.
fn request(kind: &str, name: &str) -> Request {
    let info = rtnl::nested(IFLA_INFO_KIND, kind.as_bytes());
    Request::new(
        rtnl::RTM_NEWLINK,
        rtnl::NLM_F_CREATE | rtnl::NLM_F_EXCL,
        IFINFOMSG,
    )
    .attribute(rtnl::IFLA_IFNAME, &c_name(name))
    .attribute(IFLA_LINKINFO, &info)
}

/// What it says of a type that a device without a possible name was refused.
fn verdict(errno: Errno) -> Result<()> {
    match errno {
        Errno::INVAL => Ok(()),
        errno => Err(errno),
    }
}

/// The type of a link, as it stands in a message.
fn kind_of<'a>(link: &Message<'a>) -> Option<&'a [u8]> {
    let info = link.attribute(IFINFOMSG, IFLA_LINKINFO)?;
    rtnl::attribute(info, IFLA_INFO_KIND)
}

fn is(kind: &[u8], name: &str) -> bool {
    kind.strip_suffix(&[0]).unwrap_or(kind) == name.as_bytes()
}

/// Where a datagram of rtnetlink has the word `dummy` as the type of a link that is to be.
pub(crate) fn places(datagram: &[u8]) -> Vec<usize> {
    Message::all(datagram)
        .filter(|message| message.kind == rtnl::RTM_NEWLINK)
        .filter_map(|message| kind_of(&message))
        .filter(|kind| is(kind, DUMMY))
        .map(|kind| kind.as_ptr().addr() - datagram.as_ptr().addr())
        .collect()
}

/// The supervisor's knowledge of it.
#[derive(Debug)]
pub(crate) struct Dummies {
    /// Whether a device is made when the first one is asked for.
    makes_first: bool,
    missing: Option<bool>,
    made_first: bool,
}

impl Dummies {
    /// `makes_first`: see [`Options::dummy0`](crate::Options::dummy0).
    pub(crate) fn new(makes_first: bool) -> Self {
        Self {
            makes_first,
            missing: None,
            made_first: false,
        }
    }

    /// Whether another type takes the place of dummies. The first time the kernel is asked, which loads its module if it has one.
    pub(crate) fn are_missing(&mut self) -> bool {
        if let Some(missing) = self.missing {
            return missing;
        }
        let missing = self.find_out().unwrap_or(false);
        self.missing = Some(missing);
        missing
    }

    fn find_out(&mut self) -> Result<bool> {
        let mut route = Route::new(sys::netlink_socket(libc::NETLINK_ROUTE)?);
        let mut knows = |kind: &str| match route.call(request(kind, NO_NAME), |_| {}) {
            Err(Errno::OPNOTSUPP) => Ok(false),
            Err(errno) => verdict(errno).map(|()| true),
            Ok(()) => Err(Errno::IO), // a device with that name?
        };
        let missing = !knows(DUMMY)? && knows(IFB)?;
        if missing && self.makes_first {
            self.made_first = route.call(request(IFB, FIRST), |_| {}).is_ok();
        }
        Ok(missing)
    }
}

impl Drop for Dummies {
    /// What nobody asked for does not stay behind.
    fn drop(&mut self) {
        if !self.made_first {
            return;
        }
        if let Ok(socket) = sys::netlink_socket(libc::NETLINK_ROUTE) {
            let _ = Route::new(socket).call(delete_first(), |_| {});
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_links_of_that_type_are_found() {
        let found = |kind, name| places(&request(kind, name).finish(0, 1));
        let place = found("dummy", "d7")[0];
        let datagram = request("dummy", "d7").finish(0, 1);
        assert_eq!(&datagram[place..place + 5], b"dummy");
        assert_eq!(found("dummy\0", "d7"), [place]);
        assert!(found("dummy2", "d7").is_empty());
        assert!(found("ifb", "dummy").is_empty());
        let two = [datagram.as_slice(), &datagram].concat();
        assert_eq!(places(&two), [place, place + datagram.len()]);
        assert!(places(&datagram[..datagram.len() - 1]).is_empty());
        let mut other = datagram;
        other[4] = rtnl::RTM_GETLINK as u8;
        assert!(places(&other).is_empty());
    }
}
