//! Trapped sends: requests that a client must not think are done before they are.
//!
//! The real kernel carries a request out within the call that sends it. Most clients wait for the answer anyhow, and for them a
//! send is not trapped. But the `devlink` tool flashes in a child process that sends and then says to its parent that the flash
//! is over; until then the parent shows the progress. So a request that its service declares slow
//! ([`Options::slow_requests`](crate::Options::slow_requests)) is sent by the supervisor, which keeps its sender in the call
//! until the answer is there, or a signal.
//!
//! What the supervisor sends bears its own stamp, so it leaves the sender's in the socket's slot. One such request at a
//! time: another one of the same socket goes its own way, at once.

use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

use super::parked::Wait;
use super::{ClientEnd, Supervisor};
use crate::creds::Credentials;
use crate::sys::{self, Notification};

/// Bytes of a generic netlink request's headers.
const HEADERS: usize = 20;
/// `NLM_F_ACK`: the request is answered in any case, so its end can be seen.
const NLM_F_ACK: u16 = 4;

impl Supervisor {
    pub(super) fn send(&mut self, call: &Notification) {
        self.replace_dummies_in(call, call.args[1], call.args[2]);
        let (fd, slot) = match self.client_end(call) {
            ClientEnd::Ours(fd, slot) => (fd, slot),
            ClientEnd::Abandoned | ClientEnd::Foreign => return self.pass_on(call),
        };
        let Some(datagram) = self.slow_request(call, slot) else {
            return self.pass_on(call);
        };
        let Ok(sender) = Credentials::of(call.tid) else {
            return self.pass_on(call);
        };
        let shared = self.slots.slot(slot);
        shared.sender_uid.store(sender.uids[0], Ordering::Relaxed);
        shared.sender_gid.store(sender.gids[0], Ordering::Relaxed);
        shared.sender_pid.store(sender.tgid, Ordering::Release);
        // If there is no room now, the client waits for it in its own call.
        match sys::send(fd.as_fd(), &datagram, libc::MSG_DONTWAIT) {
            Ok(_) => {
                let sent = Wait::Sent(datagram.len() as i64);
                self.park(*call, sent, fd, slot, None);
            }
            Err(_) => self.pass_on(call),
        }
    }

    /// The request, if it is one for which its sender shall wait.
    fn slow_request(&self, call: &Notification, slot: u32) -> Option<Vec<u8>> {
        let [_, data, length, ..] = call.args;
        let mut headers = [0; HEADERS];
        sys::read_memory(call.tid, data, &mut headers).ok()?;
        let half = |at: usize| u16::from_ne_bytes([headers[at], headers[at + 1]]);
        let (kind, flags, cmd) = (half(4), half(6), headers[16]);
        let is_slow = self.settings.slow_requests.contains(&(kind, cmd));
        if !is_slow || flags & NLM_F_ACK == 0 || self.is_held(slot) {
            return None;
        }
        let mut datagram = vec![0; usize::try_from(length).ok().filter(|&len| len <= 65536)?];
        sys::read_memory(call.tid, data, &mut datagram).ok()?;
        Some(datagram)
    }
}
