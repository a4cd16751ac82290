//! Trapped receives: `recvmsg`, `recvmmsg`, and `recvfrom`, most often only with a place for the sender's address
//! ([`Receive`](crate::Receive)).
//!
//! The supervisor takes the datagram from the client's end itself, writes data, sender (`nl_pid` 0: the kernel) and the
//! other results where the client wants them, and ends the call.
//!
//! * A datagram is **taken before the caller is woken**: else the caller's next `epoll_wait` could still see it.
//! * When the caller was killed meanwhile, or before kernel 5.19 interrupted by a signal, the datagram is **put back** at the head of the queue: the
//!   queue is emptied and sent again behind it, while the kernel process is kept from sending. Nothing is lost or
//!   reordered, and nothing of it remains here: also a native `read` of the same socket sees the right order.
//! * Only what the kernel would write is written (`net/socket.c: ____sys_recvmsg`).

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use super::parked::Wait;
use super::{ClientEnd, Supervisor};
use crate::slots::Slot;
use crate::sys::{self, Notification, Result};

/// Room for the longest datagram; a pair's default limit is below it.
const LONGEST: usize = 256 * 1024;
/// `UIO_MAXIOV`: the most ranges in one message.
const MOST_RANGES: usize = 1024;

/// Offsets in `struct msghdr`, and the length of one and of a `struct mmsghdr`.
const MSG_NAMELEN: u64 = 8;
const MSG_CONTROLLEN: u64 = 40;
const MSGHDR: usize = 56;
const MMSGHDR: u64 = 64;

/// Where datagrams pass through.
pub(super) struct Buffer(Box<[u8]>);

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Buffer").field(&self.0.len()).finish()
    }
}

impl Buffer {
    pub(super) fn new() -> Self {
        Self(vec![0; LONGEST].into_boxed_slice())
    }
}

/// One message to fill, as the client described it when it made the call.
#[derive(Debug)]
struct Message {
    /// Address of the `msghdr`; 0 for `recvfrom`.
    header: u64,
    ranges: Vec<libc::iovec>,
    room: usize,
    name: u64,
    name_room: usize,
    /// Where the name's length goes.
    name_length: u64,
}

/// A receive as the client asked for it.
#[derive(Debug)]
pub(super) struct Receive {
    first: Message,
    /// Address and number of the `mmsghdr`s of a `recvmmsg`.
    vector: Option<(u64, usize)>,
    flags: i32,
}

/// Whether a receive is over (answered, or its caller gone).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Done,
    /// There is nothing to receive.
    MustWait,
}

fn word(bytes: &[u8; MSGHDR], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// The ranges that a `msghdr` lists.
fn ranges(tid: u32, header: &[u8; MSGHDR]) -> Result<Vec<libc::iovec>> {
    let count = word(header, 24) as usize;
    if count > MOST_RANGES {
        return Err(Errno::MSGSIZE);
    }
    let mut words = vec![0_u8; count * 16];
    sys::read_memory(tid, word(header, 16), &mut words)?;
    let half = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().expect("eight bytes"));
    let range = |entry: &[u8]| sys::remote(half(&entry[..8]), half(&entry[8..]) as usize);
    Ok(words.chunks_exact(16).map(range).collect())
}

/// The ranges that the `msghdr` at this address lists.
pub(super) fn ranges_of(tid: u32, header: u64) -> Result<Vec<libc::iovec>> {
    let mut bytes = [0; MSGHDR];
    sys::read_memory(tid, header, &mut bytes)?;
    ranges(tid, &bytes)
}

impl Message {
    fn read(tid: u32, header: u64) -> Result<Self> {
        let mut bytes = [0; MSGHDR];
        sys::read_memory(tid, header, &mut bytes)?;
        let name = word(&bytes, 0);
        let name_room = i32::from_ne_bytes(bytes[8..12].try_into().expect("four bytes"));
        let ranges = ranges(tid, &bytes)?;
        if name != 0 && name_room < 0 {
            return Err(Errno::INVAL);
        }
        let room = ranges
            .iter()
            .fold(0_usize, |room, range| room.saturating_add(range.iov_len));
        Ok(Self {
            header,
            ranges,
            room,
            name,
            name_room: name_room.max(0) as usize,
            name_length: header + MSG_NAMELEN,
        })
    }

    /// The place a `recvfrom` gives.
    fn of_recvfrom(call: &Notification) -> Result<Self> {
        let [_, data, room, _, name, name_length] = call.args;
        let mut name_room = [0; 4];
        if name != 0 {
            sys::read_memory(call.tid, name_length, &mut name_room)?;
        }
        let name_room = i32::from_ne_bytes(name_room);
        Ok(Self {
            header: 0,
            ranges: vec![sys::remote(data, room as usize)],
            room: room as usize,
            name,
            name_room: usize::try_from(name_room).map_err(|_| Errno::INVAL)?,
            name_length,
        })
    }

    /// Writes a received datagram and all that the kernel reports with it. `length` is its true length.
    fn fill(&self, tid: u32, data: &[u8], flags: i32, many: bool) -> Result<usize> {
        let fits = data.len().min(self.room);
        let mut to = Vec::with_capacity(self.ranges.len() + 5);
        let mut left = fits;
        for range in &self.ranges {
            let part = range.iov_len.min(left);
            if part > 0 {
                to.push(libc::iovec {
                    iov_base: range.iov_base,
                    iov_len: part,
                });
            }
            left -= part;
        }
        let sender = sys::sockaddr_nl(0, 0);
        let name_length = (sender.len() as u32).to_ne_bytes();
        let result = if flags & libc::MSG_TRUNC != 0 {
            data.len()
        } else {
            fits
        };
        let mut out_flags = flags & libc::MSG_CMSG_CLOEXEC;
        if data.len() > fits {
            out_flags |= libc::MSG_TRUNC;
        }
        let out_flags = out_flags.to_ne_bytes();
        let message_length = (result as u32).to_ne_bytes();
        let mut from: [&[u8]; 6] = [&data[..fits], &[], &[], &[], &[], &[]];
        if self.name != 0 {
            from[1] = &sender[..self.name_room.min(sender.len())];
            to.push(sys::remote(self.name, from[1].len()));
            from[2] = &name_length;
            to.push(sys::remote(self.name_length, 4));
        }
        if self.header != 0 {
            // No control messages: length 0, and right behind it the flags.
            from[3] = &[0; 8];
            from[4] = &out_flags;
            to.push(sys::remote(self.header + MSG_CONTROLLEN, 12));
        }
        if many {
            from[5] = &message_length;
            to.push(sys::remote(self.header + MSGHDR as u64, 4));
        }
        sys::write_memory_vectored(tid, &from, &to)?;
        Ok(result)
    }
}

impl Receive {
    fn read(call: &Notification) -> Result<Self> {
        let [_, header, count, flags, ..] = call.args;
        match call.nr {
            libc::SYS_recvmsg => Ok(Self {
                first: Message::read(call.tid, header)?,
                vector: None,
                flags: count as i32,
            }),
            libc::SYS_recvmmsg => Ok(Self {
                first: Message::read(call.tid, header)?,
                vector: Some((header, (count as usize).min(MOST_RANGES))),
                flags: flags as i32,
            }),
            _ => Ok(Self {
                first: Message::of_recvfrom(call)?,
                vector: None,
                flags: flags as i32,
            }),
        }
    }
}

impl Supervisor {
    pub(super) fn receive(&mut self, call: &Notification) {
        let (fd, slot) = match self.client_end(call) {
            ClientEnd::Ours(fd, slot) => (fd, slot),
            ClientEnd::Abandoned => {
                self.answer(call, Err(Errno::CONNREFUSED));
                return;
            }
            ClientEnd::Foreign => return self.pass_on(call),
        };
        let receive = match Receive::read(call) {
            Ok(receive) => receive,
            Err(errno) => {
                self.answer(call, Err(errno));
                return;
            }
        };
        let longest = &self.slots.slot(slot).longest_receive;
        let room = u32::try_from(receive.first.room).unwrap_or(u32::MAX);
        if room > longest.load(Ordering::Relaxed) {
            longest.store(room, Ordering::Relaxed);
        }
        if self.try_receive(call, &receive, fd.as_fd(), slot) == Progress::Done {
            return;
        }
        let waits = receive.flags & libc::MSG_DONTWAIT == 0
            && rustix::fs::fcntl_getfl(&fd)
                .is_ok_and(|flags| !flags.contains(rustix::fs::OFlags::NONBLOCK));
        if !waits {
            self.answer(call, Err(Errno::AGAIN));
            return;
        }
        let timeout =
            rustix::net::sockopt::socket_timeout(&fd, rustix::net::sockopt::Timeout::Recv);
        let wait = Wait::Receive(receive);
        self.park(*call, wait, fd, slot, timeout.unwrap_or(None));
    }

    /// Receives if there is something to receive.
    pub(super) fn try_receive(
        &mut self,
        call: &Notification,
        receive: &Receive,
        fd: BorrowedFd<'_>,
        slot: u32,
    ) -> Progress {
        let shared = self.slots.slot(slot);
        if shared.take_enobufs() {
            if !self.answer(call, Err(Errno::NOBUFS)) {
                shared.set_enobufs();
            }
            return Progress::Done;
        }
        let taken = match self.take(fd, receive.flags) {
            Err(Errno::AGAIN) => return Progress::MustWait,
            Err(errno) => {
                self.answer(call, Err(errno));
                return Progress::Done;
            }
            Ok(length) => length,
        };
        // The caller may be gone, and its memory in other use.
        let result = if self.still_waits(call) {
            let data = &self.buffer.0[..taken];
            receive
                .first
                .fill(call.tid, data, receive.flags, receive.vector.is_some())
        } else {
            Err(Errno::INTR)
        };
        if let (Ok(_), Some((vector, count))) = (&result, receive.vector) {
            self.receive_more(call, receive, fd, slot, vector, count, taken);
            return Progress::Done;
        }
        let result = result.map(|length| length as i64);
        if !self.answer(call, result) && receive.flags & libc::MSG_PEEK == 0 {
            let datagram = self.buffer.0[..taken].to_vec();
            self.put_back(slot, fd, vec![datagram]);
        }
        Progress::Done
    }

    /// Takes (or, with `MSG_PEEK`, copies) the next datagram into the buffer.
    fn take(&mut self, fd: BorrowedFd<'_>, flags: i32) -> Result<usize> {
        let flags = flags & libc::MSG_PEEK | libc::MSG_DONTWAIT | libc::MSG_TRUNC;
        match sys::recv(fd, &mut self.buffer.0, flags)? {
            0 => Err(Errno::CONNREFUSED), // our machine is gone
            length => Ok(length.min(LONGEST)),
        }
    }

    /// The rest of a `recvmmsg`. It ends with the first message that is not there yet: the kernel would wait for all of
    /// them unless told otherwise (`MSG_WAITFORONE`), which no program can count on, since any signal ends that wait.
    #[expect(clippy::too_many_arguments, reason = "the state of one call")]
    fn receive_more(
        &mut self,
        call: &Notification,
        receive: &Receive,
        fd: BorrowedFd<'_>,
        slot: u32,
        vector: u64,
        count: usize,
        first: usize,
    ) {
        let mut taken = vec![self.buffer.0[..first].to_vec()];
        let peek = receive.flags & libc::MSG_PEEK != 0;
        while taken.len() < count && !peek {
            let header = vector + MMSGHDR * taken.len() as u64;
            let Ok(message) = Message::read(call.tid, header) else {
                break;
            };
            let Ok(length) = self.take(fd, receive.flags) else {
                break;
            };
            let data = &self.buffer.0[..length];
            taken.push(data.to_vec());
            if message.fill(call.tid, data, receive.flags, true).is_err() {
                break;
            }
        }
        if !self.answer(call, Ok(taken.len() as i64)) && !peek {
            self.put_back(slot, fd, taken);
        }
    }

    /// Puts datagrams that no caller got back at the head of the client's queue, in their order.
    fn put_back(&mut self, slot: u32, fd: BorrowedFd<'_>, datagrams: Vec<Vec<u8>>) {
        if let Some(socket) = self.sockets.get(&slot) {
            let shared = self.slots.slot(slot);
            requeue(
                shared,
                socket.end.as_fd(),
                fd,
                &mut self.buffer.0,
                datagrams,
            );
            let counters = self.slots.counters();
            counters.put_back.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Empties the queue from `end` to `client` and sends all of it again behind `datagrams`.
fn requeue(
    slot: &Slot,
    end: BorrowedFd<'_>,
    client: BorrowedFd<'_>,
    buffer: &mut [u8],
    mut datagrams: Vec<Vec<u8>>,
) {
    let _sending = slot.lock_sending();
    let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
    while let Ok(length @ 1..) = sys::recv(client, buffer, flags) {
        datagrams.push(buffer[..length.min(buffer.len())].to_vec());
    }
    for datagram in &datagrams {
        // They were all in this queue before, so there is room for them; if not, the client is told as always.
        if sys::send(end, datagram, libc::MSG_DONTWAIT).is_err() {
            slot.overrun();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::Slots;

    #[test]
    fn what_is_put_back_comes_first_and_a_full_queue_holds_it() {
        let (end, client) = sys::seqpacket_pair().unwrap();
        let slots = Slots::new().unwrap();
        let slot = slots.slot(slots.allocate(0).unwrap());
        let mut sent = 0_u32;
        while sys::send(
            end.as_fd(),
            &sent.to_ne_bytes().repeat(300),
            libc::MSG_DONTWAIT,
        )
        .is_ok()
        {
            sent += 1;
        }
        let mut buffer = vec![0; 4096];
        let take = |buffer: &mut [u8]| {
            let length = sys::recv(client.as_fd(), buffer, libc::MSG_DONTWAIT).unwrap();
            buffer[..length].to_vec()
        };
        let taken = vec![take(&mut buffer), take(&mut buffer)];
        requeue(slot, end.as_fd(), client.as_fd(), &mut buffer, taken);
        assert!(!slot.is_congested());
        for number in 0..sent {
            assert_eq!(take(&mut buffer), number.to_ne_bytes().repeat(300));
        }
        assert!(sys::recv(client.as_fd(), &mut buffer, libc::MSG_DONTWAIT).is_err());
    }
}
