//! The little rtnetlink the sandbox speaks to the real kernel: links and namespace ids.

use std::ffi::c_int;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use crate::sys::{self, Result};

pub(crate) const NLMSG_ERROR: u16 = 2;
pub(crate) const NLMSG_DONE: u16 = 3;
pub(crate) const RTM_NEWLINK: u16 = 16;
pub(crate) const RTM_DELLINK: u16 = 17;
pub(crate) const RTM_GETLINK: u16 = 18;
pub(crate) const RTM_SETLINK: u16 = 19;
pub(crate) const RTM_NEWNSID: u16 = 88;
pub(crate) const RTM_DELNSID: u16 = 89;
pub(crate) const RTM_GETNSID: u16 = 90;

pub(crate) const IFLA_ADDRESS: u16 = 1;
pub(crate) const IFLA_IFNAME: u16 = 3;
pub(crate) const IFLA_MTU: u16 = 4;
pub(crate) const IFLA_GROUP: u16 = 27;
pub(crate) const IFLA_NET_NS_FD: u16 = 28;
pub(crate) const IFLA_NEW_NETNSID: u16 = 45;
pub(crate) const IFLA_TARGET_NETNSID: u16 = 46;
pub(crate) const IFLA_NEW_IFINDEX: u16 = 49;

pub(crate) const NETNSA_NSID: u16 = 1;
pub(crate) const NETNSA_FD: u16 = 3;

pub(crate) const RTNLGRP_LINK: u32 = 1;
pub(crate) const RTNLGRP_NSID: u32 = 28;

/// `struct ifinfomsg` is 16 bytes, `struct rtgenmsg` one, aligned to four.
pub(crate) const IFINFOMSG: usize = 16;
pub(crate) const RTGENMSG: usize = 4;

const NLMSGHDR: usize = 16;
const NLM_F_REQUEST: u16 = 1;
pub(crate) const NLM_F_ACK: u16 = 4;
pub(crate) const NLM_F_EXCL: u16 = 0x200;
pub(crate) const NLM_F_CREATE: u16 = 0x400;
/// `NLM_F_ROOT | NLM_F_MATCH`.
const NLM_F_DUMP: u16 = 0x300;

/// A request under construction.
#[derive(Debug)]
pub(crate) struct Request(Vec<u8>);

impl Request {
    /// A request of `kind` with a fixed header of zeros of the given length.
    pub(crate) fn new(kind: u16, flags: u16, header: usize) -> Self {
        let mut bytes = vec![0; NLMSGHDR + header];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(NLM_F_REQUEST | flags).to_ne_bytes());
        Self(bytes)
    }

    /// A link request about the device with index `index`.
    pub(crate) fn link(kind: u16, index: u32) -> Self {
        let mut request = Self::new(kind, 0, IFINFOMSG);
        request.0[NLMSGHDR + 4..NLMSGHDR + 8].copy_from_slice(&index.to_ne_bytes());
        request
    }

    /// The flags of a link request: `ifi_flags` and `ifi_change`.
    pub(crate) fn flags(mut self, flags: u32, change: u32) -> Self {
        self.0[NLMSGHDR + 8..NLMSGHDR + 12].copy_from_slice(&flags.to_ne_bytes());
        self.0[NLMSGHDR + 12..NLMSGHDR + 16].copy_from_slice(&change.to_ne_bytes());
        self
    }

    /// The same about one address family, with which most fixed headers begin.
    pub(crate) fn family(mut self, family: u8) -> Self {
        self.0[NLMSGHDR] = family;
        self
    }

    pub(crate) fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        self.0.extend(nested(kind, value));
        self
    }

    pub(crate) fn finish(mut self, flags: u16, seq: u32) -> Vec<u8> {
        let length = self.0.len() as u32;
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        let all = u16::from_ne_bytes([self.0[6], self.0[7]]) | flags;
        self.0[6..8].copy_from_slice(&all.to_ne_bytes());
        self.0[8..12].copy_from_slice(&seq.to_ne_bytes());
        self.0
    }
}

/// An attribute, as it stands in the value of another.
pub(crate) fn nested(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = (value.len() + 4) as u16;
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// A name as the kernel reads it.
pub(crate) fn c_name(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

/// One netlink message of an answer or notification.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) seq: u32,
    payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// The messages of a datagram.
    pub(crate) fn all(mut bytes: &'a [u8]) -> impl Iterator<Item = Self> {
        std::iter::from_fn(move || {
            let length = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
            let message = bytes.get(..length)?;
            let payload = message.get(NLMSGHDR..)?;
            bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
            Some(Self {
                kind: u16::from_ne_bytes(message[4..6].try_into().ok()?),
                seq: u32::from_ne_bytes(message[8..12].try_into().ok()?),
                payload,
            })
        })
    }

    /// The 32-bit word at `offset` of the fixed header.
    pub(crate) fn word(&self, offset: usize) -> u32 {
        self.payload.get(offset..offset + 4).map_or(0, |word| {
            u32::from_ne_bytes(word.try_into().expect("four bytes"))
        })
    }

    /// The attribute `kind` behind a fixed header of the given length.
    pub(crate) fn attribute(&self, header: usize, kind: u16) -> Option<&'a [u8]> {
        attribute(self.payload.get(header..)?, kind)
    }

    /// The fixed header, of the given length.
    pub(crate) fn header(&self, length: usize) -> Option<&'a [u8]> {
        self.payload.get(..length)
    }
}

/// The attribute `kind` among some attributes.
pub(crate) fn attribute(mut rest: &[u8], kind: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16::from_ne_bytes(rest.get(..2)?.try_into().ok()?));
        let this = u16::from_ne_bytes(rest.get(2..4)?.try_into().ok()?) & 0x3fff;
        let value = rest.get(4..length)?;
        if this == kind {
            return Some(value);
        }
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
}

impl Message<'_> {
    /// The name in a link message.
    pub(crate) fn name(&self) -> String {
        let name = self.attribute(IFINFOMSG, IFLA_IFNAME).unwrap_or_default();
        String::from_utf8_lossy(name.strip_suffix(&[0]).unwrap_or(name)).into_owned()
    }
}

/// A request-and-answer connection to rtnetlink in one network namespace.
#[derive(Debug)]
pub(crate) struct Route {
    socket: OwnedFd,
    seq: u32,
    /// What an answer is read into.
    buffer: Vec<u8>,
}

/// The longest datagram that the kernel answers with.
const ANSWER: usize = 64 * 1024;

impl Route {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        let buffer = Vec::new();
        Self {
            socket,
            seq: 0,
            buffer,
        }
    }

    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Sends a request and hands every message of the answer, but for the acknowledgement, to `each`.
    pub(crate) fn call(&mut self, request: Request, each: impl FnMut(Message<'_>)) -> Result<()> {
        self.talk(request, NLM_F_ACK, each)
    }

    /// Sends a dump request.
    pub(crate) fn dump(&mut self, request: Request, each: impl FnMut(Message<'_>)) -> Result<()> {
        self.talk(request, NLM_F_DUMP, each)
    }

    fn talk(
        &mut self,
        request: Request,
        flags: u16,
        mut each: impl FnMut(Message<'_>),
    ) -> Result<()> {
        self.seq += 1;
        sys::send(self.socket.as_fd(), &request.finish(flags, self.seq), 0)?;
        self.buffer.resize(ANSWER, 0);
        loop {
            let length = match sys::recv(self.socket.as_fd(), &mut self.buffer, 0) {
                Err(Errno::INTR) => continue,
                other => other?,
            };
            for message in Message::all(&self.buffer[..length]) {
                if message.seq != self.seq {
                    continue; // of a request that was given up
                }
                match (message.kind, message.word(0) as i32) {
                    (NLMSG_ERROR | NLMSG_DONE, 0) => return Ok(()),
                    (NLMSG_ERROR | NLMSG_DONE, error) => {
                        return Err(Errno::from_raw_os_error(-error));
                    }
                    _ => each(message),
                }
            }
        }
    }
}

/// `struct ifreq` with 24 bytes of union.
#[repr(C, align(8))]
pub(crate) struct IfReq {
    name: [u8; 16],
    pub(crate) value: [u8; 24],
}

impl IfReq {
    /// An interface request about the device `name`, at most 15 bytes long.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let mut request = Self {
            name: [0; 16],
            value: [0; 24],
        };
        if name.is_empty() || name.len() > 15 || name.bytes().any(|byte| byte == 0) {
            return Err(Errno::INVAL);
        }
        request.name[..name.len()].copy_from_slice(name.as_bytes());
        Ok(request)
    }

    /// The name in it.
    pub(crate) fn name(&self) -> String {
        let name = self
            .name
            .split(|&byte| byte == 0)
            .next()
            .unwrap_or_default();
        String::from_utf8_lossy(name).into_owned()
    }

    /// Runs an interface ioctl.
    pub(crate) fn ioctl(&mut self, fd: BorrowedFd<'_>, command: libc::Ioctl) -> Result<c_int> {
        // SAFETY: the structure has the size and layout of `struct ifreq`, which interface ioctls read and write.
        sys::check(unsafe { libc::ioctl(fd.as_raw_fd(), command, &raw mut *self) })
    }
}

/// The index of the device `name`.
pub(crate) fn index(socket: BorrowedFd<'_>, name: &str) -> Result<u32> {
    let mut request = IfReq::new(name)?;
    request.ioctl(socket, libc::SIOCGIFINDEX as libc::Ioctl)?;
    let [a, b, c, d, ..] = request.value;
    Ok(u32::from_ne_bytes([a, b, c, d]))
}

/// Brings a device up (`IFF_UP`).
pub(crate) fn set_up(socket: BorrowedFd<'_>, name: &str) -> Result<()> {
    let mut request = IfReq::new(name)?;
    request.ioctl(socket, libc::SIOCGIFFLAGS as libc::Ioctl)?;
    request.value[0] |= libc::IFF_UP as u8;
    request.ioctl(socket, libc::SIOCSIFFLAGS as libc::Ioctl)?;
    Ok(())
}
