//! The memory that supervisor and kernel process share: one slot a client socket, and the counters.
//!
//! The supervisor answers the trapped calls of a socket (`bind`, `setsockopt`, …), the kernel process serves its
//! datagrams; what both must know stands in the socket's slot. Every field is an atomic, so nobody waits, with one
//! exception: [`Slot::lock_sending`] keeps the kernel process from sending for the microsecond in which the supervisor
//! puts back a datagram that an interrupted call had consumed. That lock lies between processes, where lockdep cannot
//! see; nothing is taken while it is held, and a holder that died is passed over after a second.
//!
//! The mapping is anonymous, made before the fork, and only touched pages cost memory.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

use crate::sys::{self, Stamp};

/// The most client sockets at one time.
pub(crate) const SLOTS: usize = 4096;

/// `SOL_NETLINK` options of a socket, one bit `1 << NETLINK_…` each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketOptions(u32);

impl SocketOptions {
    const NO_ENOBUFS: u32 = 5;
    const LISTEN_ALL_NSID: u32 = 8;
    const CAP_ACK: u32 = 10;
    const EXT_ACK: u32 = 11;
    const GET_STRICT_CHK: u32 = 12;

    pub(crate) const fn bit(option: u32) -> u32 {
        1 << option
    }

    const fn has(self, option: u32) -> bool {
        self.0 & Self::bit(option) != 0
    }

    /// `NETLINK_CAP_ACK`: an error answer does not repeat the whole request.
    pub const fn cap_ack(self) -> bool {
        self.has(Self::CAP_ACK)
    }

    /// `NETLINK_EXT_ACK`: answers may carry attributes that explain them.
    pub const fn ext_ack(self) -> bool {
        self.has(Self::EXT_ACK)
    }

    /// `NETLINK_GET_STRICT_CHK`: dump requests are checked strictly.
    pub const fn strict_check(self) -> bool {
        self.has(Self::GET_STRICT_CHK)
    }

    /// `NETLINK_LISTEN_ALL_NSID`: hears the groups of all namespaces that have an id in its own.
    pub const fn listen_all_nsid(self) -> bool {
        self.has(Self::LISTEN_ALL_NSID)
    }

    /// `NETLINK_NO_ENOBUFS`: does not want to be told that it was too slow.
    pub(crate) const fn no_enobufs(self) -> bool {
        self.has(Self::NO_ENOBUFS)
    }
}

/// What both processes know of one client socket.
#[repr(C, align(64))]
#[derive(Debug)]
pub(crate) struct Slot {
    /// How many of the two processes still use the slot; 0: free.
    users: AtomicU32,
    /// 1 while a process sends to the client's end.
    sending: AtomicU32,
    /// The netlink port id; 0: not bound yet.
    pub(crate) port_id: AtomicU32,
    /// Bits of [`SocketOptions`].
    pub(crate) options: AtomicU32,
    /// Membership in our own multicast groups, counted from the first.
    pub(crate) groups: AtomicU32,
    /// 1: the next receive fails with `ENOBUFS` (the kernel's `sk_err`).
    enobufs: AtomicU32,
    /// 1: a datagram was lost, and the client has not read all since (`NETLINK_S_CONGESTED`).
    congested: AtomicU32,
    /// The largest buffer the client has received with, in bytes; 0: unknown.
    pub(crate) longest_receive: AtomicU32,
    /// Who sent the request that the supervisor sends in a client's stead.
    pub(crate) sender_pid: AtomicU32,
    pub(crate) sender_uid: AtomicU32,
    pub(crate) sender_gid: AtomicU32,
    /// 1: the service has opened its session.
    attached: AtomicU32,
    /// 1: the service has given the socket up.
    abandoned: AtomicU32,
}

impl Slot {
    pub(crate) fn options(&self) -> SocketOptions {
        SocketOptions(self.options.load(Ordering::Acquire))
    }

    /// Who sent the request that the supervisor has sent.
    pub(crate) fn vouched_sender(&self) -> Stamp {
        Stamp {
            pid: self.sender_pid.load(Ordering::Acquire),
            uid: self.sender_uid.load(Ordering::Relaxed),
            gid: self.sender_gid.load(Ordering::Relaxed),
        }
    }

    /// The next receive is to fail with `ENOBUFS`, if the client wants to hear of such.
    pub(crate) fn set_enobufs(&self) {
        if !self.options().no_enobufs() {
            self.enobufs.store(1, Ordering::Release);
        }
    }

    /// Whether this receive is to fail so; the next one is not.
    pub(crate) fn take_enobufs(&self) -> bool {
        self.enobufs.load(Ordering::Relaxed) != 0 && self.enobufs.swap(0, Ordering::AcqRel) != 0
    }

    /// A datagram found no room. The client is told once, until it has read all
    /// (`net/netlink/af_netlink.c: netlink_overrun`).
    pub(crate) fn overrun(&self) {
        if !self.options().no_enobufs() && self.congested.swap(1, Ordering::AcqRel) == 0 {
            self.set_enobufs();
        }
    }

    /// Whether the client has lost something and not read all since.
    pub(crate) fn is_congested(&self) -> bool {
        self.congested.load(Ordering::Acquire) != 0
    }

    /// The client has read all, or does not want to be told of losses any more.
    pub(crate) fn clear_congested(&self) {
        self.congested.store(0, Ordering::Release);
    }

    /// Keeps the other process from sending to this client while the guard lives.
    pub(crate) fn lock_sending(&self) -> Sending<'_> {
        let mut since = None;
        let mut tries = 0_u32;
        while self
            .sending
            .compare_exchange_weak(0, 1, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            tries += 1;
            if tries < 64 {
                std::hint::spin_loop();
                continue;
            }
            thread::yield_now();
            let since = *since.get_or_insert_with(Instant::now);
            if since.elapsed() > Duration::from_secs(1) {
                break; // the holder is dead: its send is a single system call
            }
        }
        Sending { slot: self }
    }

    /// The service knows of the socket: from now on it hears notifications.
    pub(crate) fn set_attached(&self) {
        self.attached.store(1, Ordering::Release);
    }

    /// The service gives the socket up although the client has not closed it.
    pub(crate) fn abandon(&self) {
        self.abandoned.store(1, Ordering::Release);
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire) != 0
    }

    /// Waits until the service knows of the socket, at most a second: who has joined a group must miss nothing from then
    /// on. The service is told of the socket when it is made, so there is hardly ever anything to wait for.
    pub(crate) fn await_attached(&self) {
        let mut since = None;
        while self.attached.load(Ordering::Acquire) == 0 {
            let since = *since.get_or_insert_with(Instant::now);
            if since.elapsed() > Duration::from_secs(1) {
                return;
            }
            thread::sleep(Duration::from_micros(20));
        }
    }

    /// One of the two processes is done with the slot.
    pub(crate) fn release(&self) {
        self.users.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Right to send to a client; see [`Slot::lock_sending`].
#[derive(Debug)]
pub(crate) struct Sending<'a> {
    slot: &'a Slot,
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.slot.sending.store(0, Ordering::Release);
    }
}

/// What was served; kept in the mapping because the supervisor reports it.
#[repr(C, align(64))]
#[derive(Debug)]
pub(crate) struct Counters {
    /// Sockets opened.
    pub(crate) sockets: AtomicU64,
    /// Datagrams clients have sent.
    pub(crate) requests: AtomicU64,
    /// Trapped calls.
    pub(crate) notifications: AtomicU64,
    /// Trapped calls handed to the real kernel.
    pub(crate) continued: AtomicU64,
    /// Receives that a signal interrupted after the datagram was taken; it was put back.
    pub(crate) put_back: AtomicU64,
}

/// How many namespaces with limited routes are known one by one.
const LIMITED: usize = 15;

/// The cookie that stands for every namespace. None has it.
const EVERY: u64 = u64::MAX;

#[repr(C)]
struct Shared {
    counters: Counters,
    /// The cookies of the namespaces whose routes are limited; 0: none.
    limited: [AtomicU64; LIMITED],
    slots: [Slot; SLOTS],
}

/// The mapping. It is inherited by fork and lives as long as the process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slots(&'static SharedRef);

/// A name for `Shared` that can be printed.
#[repr(transparent)]
struct SharedRef(Shared);

impl std::fmt::Debug for SharedRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.counters.fmt(f)
    }
}

impl Slots {
    /// Makes the mapping, all slots free.
    pub(crate) fn new() -> sys::Result<Self> {
        // SAFETY: a new anonymous mapping overlaps nothing.
        let start = unsafe {
            mmap_anonymous(
                std::ptr::null_mut(),
                std::mem::size_of::<SharedRef>(),
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
            )?
        };
        let start = NonNull::new(start.cast::<SharedRef>()).ok_or(rustix::io::Errno::NOMEM)?;
        // SAFETY: the mapping is zeroed, page-aligned, of the right size and never unmapped; all fields are atomics,
        // for which zero is valid and which other processes may change.
        Ok(Self(unsafe { start.as_ref() }))
    }

    /// Says whose routes are limited, from now on.
    pub(crate) fn limit_routes_of(self, cookies: &[u64]) {
        let all = [EVERY];
        let cookies = if cookies.len() > LIMITED {
            &all
        } else {
            cookies
        };
        let given = cookies.iter().copied().chain(std::iter::repeat(0));
        for (place, cookie) in self.0.0.limited.iter().zip(given) {
            place.store(cookie, Ordering::Release);
        }
    }

    /// Whether any namespace's are.
    pub(crate) fn limits_any_routes(self) -> bool {
        self.0.0.limited[0].load(Ordering::Acquire) != 0
    }

    /// Whether those of the namespace with this cookie are.
    pub(crate) fn limits_routes_of(self, cookie: u64) -> bool {
        let mut limited = self.0.0.limited.iter();
        limited.any(|place| {
            let place = place.load(Ordering::Acquire);
            place == cookie || place == EVERY
        })
    }

    pub(crate) fn counters(self) -> &'static Counters {
        &self.0.0.counters
    }

    pub(crate) fn slot(self, index: u32) -> &'static Slot {
        &self.0.0.slots[index as usize]
    }

    /// Takes a free slot for both processes, cleared. Only the supervisor calls this.
    pub(crate) fn allocate(self, hint: u32) -> Option<u32> {
        let slots = &self.0.0.slots;
        let index = (0..SLOTS)
            .map(|offset| (hint as usize + offset) % SLOTS)
            .find(|&index| slots[index].users.load(Ordering::Acquire) == 0)?;
        let slot = &slots[index];
        for field in [
            &slot.sending,
            &slot.port_id,
            &slot.options,
            &slot.groups,
            &slot.enobufs,
            &slot.congested,
            &slot.longest_receive,
            &slot.sender_pid,
            &slot.sender_uid,
            &slot.sender_gid,
            &slot.attached,
            &slot.abandoned,
        ] {
            field.store(0, Ordering::Relaxed);
        }
        slot.users.store(2, Ordering::Release);
        Some(index as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_free_again_when_both_processes_are_done() {
        let slots = Slots::new().unwrap();
        assert_eq!(slots.allocate(0), Some(0));
        slots.slot(0).port_id.store(7, Ordering::Relaxed);
        assert_eq!(slots.allocate(0), Some(1));
        slots.slot(0).release();
        assert_eq!(slots.allocate(0), Some(2));
        slots.slot(0).release();
        assert_eq!(slots.allocate(0), Some(0));
        assert_eq!(slots.slot(0).port_id.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn who_is_congested_is_told_once() {
        let slots = Slots::new().unwrap();
        let slot = slots.slot(0);
        for _ in 0..2 {
            slot.overrun();
            assert!(slot.take_enobufs());
            slot.overrun();
            assert!(!slot.take_enobufs() && slot.is_congested());
            slot.clear_congested();
        }
        let quiet = SocketOptions::bit(SocketOptions::NO_ENOBUFS);
        slot.options.store(quiet, Ordering::Relaxed);
        slot.overrun();
        assert!(!slot.take_enobufs() && !slot.is_congested());
    }

    #[test]
    fn slots_run_out() {
        let slots = Slots::new().unwrap();
        for index in 0..SLOTS as u32 {
            assert_eq!(slots.allocate(index), Some(index));
        }
        assert_eq!(slots.allocate(5), None);
    }

    #[test]
    fn a_dead_sender_is_passed_over() {
        let slots = Slots::new().unwrap();
        std::mem::forget(slots.slot(0).lock_sending());
        let start = Instant::now();
        drop(slots.slot(0).lock_sending());
        assert!(start.elapsed() >= Duration::from_secs(1));
        drop(slots.slot(0).lock_sending());
    }
}
