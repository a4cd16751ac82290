//! The system calls that neither `std` nor rustix wraps as we need them.
//!
//! Everything `unsafe` that is about one system call stands here, so that the rest of the crate reads as logic. Each
//! function does one call, returns the kernel's error as [`Errno`], and owns what it returns.

use std::ffi::{CString, c_int, c_void};
use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use rustix::io::Errno;

/// What a system call of this crate returns.
pub(crate) type Result<T> = std::result::Result<T, Errno>;

/// `SO_COOKIE`: the socket's number, unique while the machine is up.
const SO_COOKIE: c_int = 57;
/// `SO_NETNS_COOKIE`: the number of the socket's network namespace, never used twice.
pub(crate) const SO_NETNS_COOKIE: c_int = 71;
/// `SOL_NETLINK`.
pub(crate) const SOL_NETLINK: c_int = 270;
/// `SIOCGSKNS`: a descriptor of the socket's network namespace.
const SIOCGSKNS: libc::Ioctl = 0x894C as libc::Ioctl;

/// The error of the call that just failed on this thread.
pub(crate) fn last() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}

pub(crate) fn check(result: c_int) -> Result<c_int> {
    if result < 0 { Err(last()) } else { Ok(result) }
}

fn check_size(result: isize) -> Result<usize> {
    usize::try_from(result).map_err(|_| last())
}

/// Takes ownership of a descriptor a system call has just returned.
fn owned(result: c_int) -> Result<OwnedFd> {
    let fd = check(result)?;
    // SAFETY: the kernel has just made this descriptor for us and nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

// ---- notifications ------------------------------------------------------------------------------------------------

/// One trapped system call, as the kernel hands it over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Notification {
    pub(crate) id: u64,
    /// The thread that made the call (0: not in our pid namespace).
    pub(crate) tid: u32,
    pub(crate) nr: i64,
    pub(crate) args: [u64; 6],
}

/// `SECCOMP_IOCTL_NOTIF_RECV`. Waits when nothing is pending; `ENOENT`: the caller was interrupted in between.
pub(crate) fn notif_recv(listener: BorrowedFd<'_>) -> Result<Notification> {
    // SAFETY: the structure is plain integers; the kernel demands that it is zeroed and then fills it.
    let raw: libc::seccomp_notif = unsafe {
        let mut raw = mem::zeroed();
        check(libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_RECV,
            &raw mut raw,
        ))?;
        raw
    };
    Ok(Notification {
        id: raw.id,
        tid: raw.pid,
        nr: i64::from(raw.data.nr),
        args: raw.data.args,
    })
}

fn notif_send(listener: BorrowedFd<'_>, mut response: libc::seccomp_notif_resp) -> Result<()> {
    // SAFETY: the structure is complete and lives across the call.
    check(unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_SEND,
            &raw mut response,
        )
    })?;
    Ok(())
}

/// Ends a trapped call with its result. `ENOENT`: a signal has ended it before.
pub(crate) fn notif_answer(listener: BorrowedFd<'_>, id: u64, result: Result<i64>) -> Result<()> {
    let (val, error) = match result {
        Ok(value) => (value, 0),
        Err(errno) => (0, -errno.raw_os_error()),
    };
    notif_send(
        listener,
        libc::seccomp_notif_resp {
            id,
            val,
            error,
            flags: 0,
        },
    )
}

/// Ends a trapped call as a signal does (`ERESTARTSYS`): after the handler it begins again or fails with `EINTR`, as the
/// handler's `SA_RESTART` says. Only for a thread that certainly has a signal to take, or it would see a strange error.
pub(crate) fn notif_interrupt(listener: BorrowedFd<'_>, id: u64) -> Result<()> {
    const ERESTARTSYS: i32 = 512;
    notif_send(
        listener,
        libc::seccomp_notif_resp {
            id,
            val: 0,
            error: -ERESTARTSYS,
            flags: 0,
        },
    )
}

/// Lets the real kernel serve a trapped call.
pub(crate) fn notif_continue(listener: BorrowedFd<'_>, id: u64) -> Result<()> {
    notif_send(
        listener,
        libc::seccomp_notif_resp {
            id,
            val: 0,
            error: 0,
            flags: libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32,
        },
    )
}

/// Whether the trapped call still waits for its answer.
pub(crate) fn notif_valid(listener: BorrowedFd<'_>, id: u64) -> bool {
    // SAFETY: the kernel only reads the number.
    unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_ID_VALID,
            &raw const id,
        ) == 0
    }
}

/// Ends a trapped `socket()` with a copy of `fd` in the caller's table, in one step.
pub(crate) fn notif_add_fd(
    listener: BorrowedFd<'_>,
    id: u64,
    fd: BorrowedFd<'_>,
    close_on_exec: bool,
) -> Result<()> {
    let add = libc::seccomp_notif_addfd {
        id,
        flags: libc::SECCOMP_ADDFD_FLAG_SEND as u32,
        srcfd: fd.as_raw_fd() as u32,
        newfd: 0,
        newfd_flags: if close_on_exec {
            libc::O_CLOEXEC as u32
        } else {
            0
        },
    };
    // SAFETY: the structure is complete and only read by the kernel.
    check(unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_ADDFD,
            &raw const add,
        )
    })?;
    Ok(())
}

/// Wakes the supervisor on the caller's own processor (kernel 6.6); older kernels refuse, which costs only time.
pub(crate) fn notif_sync_wake_up(listener: BorrowedFd<'_>) {
    const SYNC_WAKE_UP: u64 = 1;
    // SAFETY: the argument of this command is the number itself.
    unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS,
            SYNC_WAKE_UP,
        );
    }
}

// ---- other processes ----------------------------------------------------------------------------------------------

/// `pidfd_open`; `thread` asks for a descriptor of this very thread (`PIDFD_THREAD`, kernel 6.9).
pub(crate) fn pidfd_open(pid: u32, thread: bool) -> Result<OwnedFd> {
    let flags = if thread { libc::O_EXCL } else { 0 };
    // SAFETY: no memory is passed.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid as c_int, flags) } as c_int)
}

/// A copy of the descriptor `fd` of the process or thread behind `pidfd`.
pub(crate) fn pidfd_getfd(pidfd: BorrowedFd<'_>, fd: RawFd) -> Result<OwnedFd> {
    // SAFETY: no memory is passed.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), fd, 0) } as c_int)
}

/// A range of another process's memory.
pub(crate) fn remote(address: u64, length: usize) -> libc::iovec {
    libc::iovec {
        iov_base: address as *mut c_void,
        iov_len: length,
    }
}

/// Reads `into` from the memory of the thread `tid`; fails with `EFAULT` unless all of it could be read.
pub(crate) fn read_memory(tid: u32, address: u64, into: &mut [u8]) -> Result<()> {
    read_memory_vectored(tid, &[remote(address, into.len())], into)
}

/// Reads the ranges `from` one after the other into `into`, whose length is their sum.
pub(crate) fn read_memory_vectored(tid: u32, from: &[libc::iovec], into: &mut [u8]) -> Result<()> {
    if into.is_empty() {
        return Ok(());
    }
    let local = libc::iovec {
        iov_base: into.as_mut_ptr().cast(),
        iov_len: into.len(),
    };
    // SAFETY: `local` is a valid, exclusive range; the remote addresses are checked by the kernel.
    let read = check_size(unsafe {
        libc::process_vm_readv(
            tid as libc::pid_t,
            &raw const local,
            1,
            from.as_ptr(),
            from.len() as libc::c_ulong,
            0,
        )
    })?;
    if read == into.len() {
        Ok(())
    } else {
        Err(Errno::FAULT)
    }
}

/// Writes the slices `from`, taken as one stream, to the ranges `to` of the memory of the thread `tid`; fails with
/// `EFAULT` unless all of it could be written.
///
/// The kernel takes at most 1024 ranges in one call; more is `EINVAL`.
pub(crate) fn write_memory_vectored(tid: u32, from: &[&[u8]], to: &[libc::iovec]) -> Result<()> {
    const MOST: usize = 8;
    debug_assert!(from.len() <= MOST);
    let mut local = [libc::iovec {
        iov_base: ptr::null_mut(),
        iov_len: 0,
    }; MOST];
    let mut total = 0;
    for (entry, slice) in local.iter_mut().zip(from) {
        *entry = libc::iovec {
            iov_base: slice.as_ptr().cast_mut().cast(),
            iov_len: slice.len(),
        };
        total += slice.len();
    }
    if total == 0 {
        return Ok(());
    }
    // SAFETY: the local ranges are live slices which the kernel only reads; the remote ones are checked by the kernel.
    let written = check_size(unsafe {
        libc::process_vm_writev(
            tid as libc::pid_t,
            local.as_ptr(),
            from.len() as libc::c_ulong,
            to.as_ptr(),
            to.len() as libc::c_ulong,
            0,
        )
    })?;
    if written == total {
        Ok(())
    } else {
        Err(Errno::FAULT)
    }
}

/// Whether the memory of `tid` may be read: address 0 is never mapped, so `EFAULT` says that only it is missing.
pub(crate) fn check_memory(tid: u32) -> Result<()> {
    match read_memory(tid, 0, &mut [0]) {
        Ok(()) | Err(Errno::FAULT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

// ---- sockets ------------------------------------------------------------------------------------------------------

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

// ---- capabilities and namespaces ----------------------------------------------------------------------------------

/// `CAP_NET_ADMIN`.
pub(crate) const CAP_NET_ADMIN: u32 = 12;
/// `CAP_SYS_ADMIN`.
pub(crate) const CAP_SYS_ADMIN: u32 = 21;

/// A thread's capability sets, one bit a capability.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Capabilities {
    pub(crate) effective: u64,
    pub(crate) permitted: u64,
    pub(crate) inheritable: u64,
}

const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// The calling thread's capabilities.
pub(crate) fn capget() -> Result<Capabilities> {
    let header = [CAPABILITY_VERSION_3, 0];
    let mut data = [0_u32; 6];
    // SAFETY: version 3 fills two triples of 32-bit words.
    if unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), data.as_mut_ptr()) } < 0 {
        return Err(last());
    }
    let join = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    Ok(Capabilities {
        effective: join(data[0], data[3]),
        permitted: join(data[1], data[4]),
        inheritable: join(data[2], data[5]),
    })
}

/// Sets the calling thread's capabilities; no other thread is touched.
pub(crate) fn capset(caps: Capabilities) -> Result<()> {
    let header = [CAPABILITY_VERSION_3, 0];
    let low = |set: u64| set as u32;
    let high = |set: u64| (set >> 32) as u32;
    let data = [
        low(caps.effective),
        low(caps.permitted),
        low(caps.inheritable),
        high(caps.effective),
        high(caps.permitted),
        high(caps.inheritable),
    ];
    // SAFETY: version 3 reads two triples of 32-bit words.
    if unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) } < 0 {
        return Err(last());
    }
    Ok(())
}

/// `setns` of the calling thread.
pub(crate) fn setns(namespace: BorrowedFd<'_>, kind: c_int) -> Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::setns(namespace.as_raw_fd(), kind) })?;
    Ok(())
}

/// `unshare` of the calling thread.
pub(crate) fn unshare(flags: c_int) -> Result<()> {
    // SAFETY: no memory is passed. Callers do not unshare the descriptor table, so owned descriptors stay valid.
    check(unsafe { libc::unshare(flags) })?;
    Ok(())
}

/// An ioctl on a namespace descriptor that returns a related namespace (`NS_GET_USERNS`, `NS_GET_PARENT`).
pub(crate) fn related_namespace(
    namespace: BorrowedFd<'_>,
    command: libc::Ioctl,
) -> Result<OwnedFd> {
    // SAFETY: no memory is passed.
    owned(unsafe { libc::ioctl(namespace.as_raw_fd(), command) })
}

/// The kind (`CLONE_NEW…`) of a namespace descriptor; `ENOTTY` when it is something else.
pub(crate) fn namespace_kind(namespace: BorrowedFd<'_>) -> Result<c_int> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::ioctl(namespace.as_raw_fd(), libc::NS_GET_NSTYPE) })
}

/// The user in whose name a user namespace was made, as seen from our own.
pub(crate) fn namespace_owner(namespace: BorrowedFd<'_>) -> Result<u32> {
    const NS_GET_OWNER_UID: libc::Ioctl = 0xb704 as libc::Ioctl;
    let mut uid: libc::uid_t = 0;
    // SAFETY: the kernel writes one uid_t.
    check(unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_OWNER_UID, &raw mut uid) })?;
    Ok(uid)
}

// ---- processes ----------------------------------------------------------------------------------------------------

/// `fork`, for a process that has only one thread.
pub(crate) enum Fork {
    Child,
    Parent(libc::pid_t),
}

/// Forks. The caller has only one thread, so the child may do anything.
pub(crate) fn fork() -> Result<Fork> {
    // SAFETY: the crate forks only from single-threaded processes, so no lock is left held in the child.
    match check(unsafe { libc::fork() })? {
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(pid)),
    }
}

/// Ends the process at once, without destructors or exit handlers.
pub(crate) fn exit_now(status: c_int) -> ! {
    // SAFETY: does not return.
    unsafe { libc::_exit(status) }
}

/// `kill`.
pub(crate) fn kill(pid: libc::pid_t, signal: c_int) -> Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::kill(pid, signal) })?;
    Ok(())
}

/// Waits for a child; `None` with `WNOHANG` when it still runs. The raw wait status otherwise.
pub(crate) fn wait(pid: libc::pid_t, flags: c_int) -> Result<Option<c_int>> {
    let mut status = 0;
    loop {
        // SAFETY: the kernel writes one int.
        match check(unsafe { libc::waitpid(pid, &raw mut status, flags) }) {
            Ok(0) => return Ok(None),
            Ok(_) => return Ok(Some(status)),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// `prctl` with one numeric argument.
pub(crate) fn prctl(option: c_int, value: libc::c_ulong) -> Result<()> {
    // SAFETY: used only with options whose argument is a number.
    check(unsafe { libc::prctl(option, value, 0_u64, 0_u64, 0_u64) })?;
    Ok(())
}

/// Replaces the process image; returns only on failure.
pub(crate) fn exec(program: &[CString]) -> Errno {
    let mut pointers: Vec<_> = program.iter().map(|word| word.as_ptr()).collect();
    pointers.push(ptr::null());
    // SAFETY: a null-terminated array of NUL-terminated strings, alive across the call.
    unsafe { libc::execvp(pointers[0], pointers.as_ptr()) };
    last()
}

/// Raises the soft limit of open descriptors to the hard one and returns the old limits.
pub(crate) fn raise_open_files() -> Option<libc::rlimit> {
    let mut old = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the kernel writes and then reads one rlimit.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut old) != 0 {
            return None;
        }
        let new = libc::rlimit {
            rlim_cur: old.rlim_max,
            rlim_max: old.rlim_max,
        };
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const new);
    }
    Some(old)
}

/// Gives a child back the limits its parent was started with.
pub(crate) fn restore_open_files(old: libc::rlimit) {
    // SAFETY: the kernel reads one rlimit.
    unsafe {
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const old);
    }
}
