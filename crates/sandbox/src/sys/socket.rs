//! Sockets: their options and identities, datagrams with credentials and descriptors.

use std::ffi::c_int;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use super::{Result, check, check_size, owned};

/// `SO_COOKIE`: the socket's number, unique while the machine is up.
const SO_COOKIE: c_int = 57;
/// `SO_NETNS_COOKIE`: the number of the socket's network namespace, never used twice.
pub(crate) const SO_NETNS_COOKIE: c_int = 71;
/// `SOL_NETLINK`.
pub(crate) const SOL_NETLINK: c_int = 270;
/// `SIOCGSKNS`: a descriptor of the socket's network namespace.
const SIOCGSKNS: libc::Ioctl = 0x894C as libc::Ioctl;

/// Both ends of a `SOCK_SEQPACKET` pair, close-on-exec.
pub(crate) fn seqpacket_pair() -> Result<(OwnedFd, OwnedFd)> {
    rustix::net::socketpair(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::SEQPACKET,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )
}

/// `getsockopt` of a fixed-size value.
pub(crate) fn get_option<T: Copy + Default>(
    fd: BorrowedFd<'_>,
    level: c_int,
    name: c_int,
) -> Result<T> {
    let mut value = T::default();
    let mut length = mem::size_of::<T>() as libc::socklen_t;
    // SAFETY: the range is exactly `value`, a plain integer or structure of integers.
    check(unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            level,
            name,
            (&raw mut value).cast(),
            &raw mut length,
        )
    })?;
    Ok(value)
}

/// `setsockopt` with the bytes of `value`.
pub(crate) fn set_option(
    fd: BorrowedFd<'_>,
    level: c_int,
    name: c_int,
    value: &[u8],
) -> Result<()> {
    // SAFETY: the kernel only reads the given bytes.
    check(unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            value.as_ptr().cast(),
            value.len() as libc::socklen_t,
        )
    })?;
    Ok(())
}

/// The identity of a socket, however often its descriptor was copied, inherited or passed.
pub(crate) fn socket_cookie(fd: BorrowedFd<'_>) -> Result<u64> {
    get_option(fd, libc::SOL_SOCKET, SO_COOKIE)
}

/// The identity of the network namespace a socket belongs to.
pub(crate) fn netns_cookie(fd: BorrowedFd<'_>) -> Result<u64> {
    get_option(fd, libc::SOL_SOCKET, SO_NETNS_COOKIE)
}

/// A descriptor of the network namespace a socket belongs to. It pins the namespace while open.
pub(crate) fn netns_of_socket(fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    // SAFETY: no memory is passed.
    owned(unsafe { libc::ioctl(fd.as_raw_fd(), SIOCGSKNS) })
}

/// A real `NETLINK_GENERIC` or `NETLINK_ROUTE` socket in the calling thread's network namespace.
pub(crate) fn netlink_socket(protocol: c_int) -> Result<OwnedFd> {
    // SAFETY: no memory is passed.
    owned(unsafe {
        libc::socket(
            libc::AF_NETLINK,
            libc::SOCK_RAW | libc::SOCK_CLOEXEC,
            protocol,
        )
    })
}

/// Binds a real netlink socket to `port_id` (0: the kernel chooses) and the first 32 groups, and returns what it got.
pub(crate) fn netlink_bind(fd: BorrowedFd<'_>, port_id: u32, groups: u32) -> Result<u32> {
    let address = sockaddr_nl(port_id, groups);
    // SAFETY: the address is a complete sockaddr_nl.
    check(unsafe {
        libc::bind(
            fd.as_raw_fd(),
            address.as_ptr().cast(),
            address.len() as libc::socklen_t,
        )
    })?;
    netlink_port_id(fd)
}

/// The port id a real netlink socket is bound to (0: not bound).
pub(crate) fn netlink_port_id(fd: BorrowedFd<'_>) -> Result<u32> {
    let mut address = [0_u8; 12];
    let mut length = address.len() as libc::socklen_t;
    // SAFETY: the kernel writes at most the 12 bytes of the array.
    check(unsafe {
        libc::getsockname(fd.as_raw_fd(), address.as_mut_ptr().cast(), &raw mut length)
    })?;
    let [_, _, _, _, a, b, c, d, ..] = address;
    Ok(u32::from_ne_bytes([a, b, c, d]))
}

/// The bytes of a `struct sockaddr_nl`.
pub(crate) fn sockaddr_nl(port_id: u32, groups: u32) -> [u8; 12] {
    let mut address = [0; 12];
    address[..2].copy_from_slice(&(libc::AF_NETLINK as u16).to_ne_bytes());
    address[4..8].copy_from_slice(&port_id.to_ne_bytes());
    address[8..].copy_from_slice(&groups.to_ne_bytes());
    address
}

/// Sends one datagram without a destination address and without SIGPIPE.
pub(crate) fn send(fd: BorrowedFd<'_>, datagram: &[u8], flags: c_int) -> Result<usize> {
    // SAFETY: the kernel only reads the slice.
    check_size(unsafe {
        libc::send(
            fd.as_raw_fd(),
            datagram.as_ptr().cast(),
            datagram.len(),
            flags | libc::MSG_NOSIGNAL,
        )
    })
}

/// Receives one datagram; with `MSG_TRUNC` in `flags` the result is its true length.
pub(crate) fn recv(fd: BorrowedFd<'_>, buffer: &mut [u8], flags: c_int) -> Result<usize> {
    // SAFETY: the range is exclusively ours for the call.
    check_size(unsafe {
        libc::recv(
            fd.as_raw_fd(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            flags,
        )
    })
}

/// Who sent a datagram, as the kernel stamped it: process and *real* user and group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) pid: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// Space for control messages: credentials and a few descriptors.
#[repr(C, align(8))]
struct Control([u8; 256]);

/// What came with a datagram.
#[derive(Debug, Default)]
pub(crate) struct Received {
    /// Length of the datagram as it was sent, also when it did not fit.
    pub(crate) length: usize,
    pub(crate) stamp: Option<Stamp>,
    /// The namespace a notification came from (`NETLINK_LISTEN_ALL_NSID`), if not the socket's own.
    pub(crate) nsid: Option<i32>,
    pub(crate) fds: Vec<OwnedFd>,
}

/// Receives one datagram with the sender's credentials (`SO_PASSCRED`) and passed descriptors.
pub(crate) fn recv_message(
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: c_int,
) -> Result<Received> {
    let mut control = MaybeUninit::<Control>::uninit();
    let mut range = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: an all-zero msghdr is valid.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &raw mut range;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = mem::size_of::<Control>();
    // SAFETY: the header describes `buffer` and `control`, both exclusively ours for the call.
    let length = check_size(unsafe {
        libc::recvmsg(
            fd.as_raw_fd(),
            &raw mut message,
            flags | libc::MSG_CMSG_CLOEXEC | libc::MSG_TRUNC,
        )
    })?;
    let mut received = Received {
        length,
        ..Received::default()
    };
    // SAFETY: the kernel has filled `msg_controllen` bytes of control messages, which these macros walk; descriptors
    // in them are new and ours.
    unsafe {
        let mut entry = libc::CMSG_FIRSTHDR(&raw const message);
        while !entry.is_null() {
            let data = libc::CMSG_DATA(entry);
            match ((*entry).cmsg_level, (*entry).cmsg_type) {
                (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) => {
                    let stamp: libc::ucred = ptr::read_unaligned(data.cast());
                    received.stamp = Some(Stamp {
                        pid: stamp.pid as u32,
                        uid: stamp.uid,
                        gid: stamp.gid,
                    });
                }
                (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                    let bytes = (*entry).cmsg_len - libc::CMSG_LEN(0) as usize;
                    for index in 0..bytes / mem::size_of::<RawFd>() {
                        let raw: RawFd = ptr::read_unaligned(data.cast::<RawFd>().add(index));
                        received.fds.push(OwnedFd::from_raw_fd(raw));
                    }
                }
                (SOL_NETLINK, libc::NETLINK_LISTEN_ALL_NSID) => {
                    received.nsid = Some(ptr::read_unaligned(data.cast()));
                }
                _ => {}
            }
            entry = libc::CMSG_NXTHDR(&raw const message, entry);
        }
    }
    Ok(received)
}

/// How much memory, in bytes, is taken by what was sent here and the other end has not received.
pub(crate) fn unread(fd: BorrowedFd<'_>) -> Result<u32> {
    let mut bytes: c_int = 0;
    // SAFETY: the kernel writes one int.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) })?;
    Ok(bytes.unsigned_abs())
}

/// Sends one datagram with descriptors.
pub(crate) fn send_with_fds(
    fd: BorrowedFd<'_>,
    datagram: &[u8],
    fds: &[BorrowedFd<'_>],
) -> Result<()> {
    let mut control = Control([0; 256]);
    let mut range = libc::iovec {
        iov_base: datagram.as_ptr().cast_mut().cast(),
        iov_len: datagram.len(),
    };
    // SAFETY: an all-zero msghdr is valid.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &raw mut range;
    message.msg_iovlen = 1;
    if !fds.is_empty() {
        let bytes = mem::size_of_val(fds) / mem::size_of::<BorrowedFd<'_>>() * 4;
        message.msg_control = (&raw mut control).cast();
        // SAFETY: pure arithmetic on the length.
        message.msg_controllen = unsafe { libc::CMSG_SPACE(bytes as u32) } as usize;
        // SAFETY: the control buffer is 256 bytes, 8-aligned, and holds one header with at most 32 descriptors.
        unsafe {
            let entry = libc::CMSG_FIRSTHDR(&raw const message);
            (*entry).cmsg_level = libc::SOL_SOCKET;
            (*entry).cmsg_type = libc::SCM_RIGHTS;
            (*entry).cmsg_len = libc::CMSG_LEN(bytes as u32) as usize;
            for (index, fd) in fds.iter().enumerate() {
                ptr::write_unaligned(
                    libc::CMSG_DATA(entry).cast::<RawFd>().add(index),
                    fd.as_raw_fd(),
                );
            }
        }
    }
    // SAFETY: the header describes live memory which the kernel only reads.
    check_size(unsafe { libc::sendmsg(fd.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) })?;
    Ok(())
}
