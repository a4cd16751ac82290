//! What the supervisor tells the kernel process about a new client socket.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;

use crate::creds::NamespaceId;
use crate::sys::{self, Result};

/// One new client socket. The descriptors, our end of the pair and the relay socket, travel with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Announcement {
    pub(crate) slot: u32,
    pub(crate) netns_cookie: u64,
    /// The process that made the socket.
    pub(crate) opener: u32,
    pub(crate) opener_userns: NamespaceId,
    /// Of which netlink protocol it is.
    pub(crate) protocol: i32,
}

impl Announcement {
    const WORDS: usize = 6;

    pub(crate) fn send(
        &self,
        to: BorrowedFd<'_>,
        end: BorrowedFd<'_>,
        relay: Option<BorrowedFd<'_>>,
    ) -> Result<()> {
        let [device, inode] = self.opener_userns.to_words();
        let words: [u64; Self::WORDS] = [
            u64::from(self.slot),
            self.netns_cookie,
            u64::from(self.opener),
            device,
            inode,
            self.protocol as u64,
        ];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        match relay {
            Some(relay) => sys::send_with_fds(to, &bytes, &[end, relay]),
            None => sys::send_with_fds(to, &bytes, &[end]),
        }
    }

    /// The next announcement, or `None` when the supervisor is gone.
    pub(crate) fn receive(
        from: BorrowedFd<'_>,
    ) -> Result<Option<(Self, OwnedFd, Option<OwnedFd>)>> {
        let mut bytes = [0; 8 * Self::WORDS];
        let mut received = loop {
            match sys::recv_message(from, &mut bytes, 0) {
                Err(Errno::INTR) => {}
                other => break other?,
            }
        };
        if received.length == 0 {
            return Ok(None);
        }
        let mut words = [0_u64; Self::WORDS];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_ne_bytes(bytes.try_into().expect("chunks of 8"));
        }
        let [slot, netns_cookie, opener, device, inode, protocol] = words;
        let mut fds = received.fds.drain(..);
        let end = fds.next().ok_or(Errno::PROTO)?;
        let announcement = Self {
            slot: slot as u32,
            netns_cookie,
            opener: opener as u32,
            opener_userns: NamespaceId::from_words([device, inode]),
            protocol: protocol as i32,
        };
        Ok(Some((announcement, end, fds.next())))
    }
}
