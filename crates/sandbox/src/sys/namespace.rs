//! Capabilities of threads, and namespaces.

use std::ffi::c_int;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use super::{Result, check, last, owned};

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
