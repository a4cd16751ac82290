//! What clients and the machine say to each other, written down: `--capture`.
//!
//! The file is what `tcpdump -i nlmon0 -w FILE` writes on a real machine (pcap, link type `LINKTYPE_NETLINK`), so Wireshark and tcpdump
//! read it; the eight bytes that a netlink packet has no use for tell the namespace of the client's socket (`SO_NETNS_COOKIE`), since
//! the file has the conversations of all namespaces. Only what the machine itself hears and says is in it; the real kernel's part of a conversation can be captured with nlmon.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use lockdep::Mutex;
use netlink::genl::SendError;

/// `LINKTYPE_NETLINK`.
const LINK_TYPE: u32 = 253;
/// `ARPHRD_NETLINK`.
const HARDWARE: u16 = 824;
/// `NETLINK_GENERIC`.
const PROTOCOL: u16 = 16;
/// The bytes that stand before every datagram: packet type, hardware type, length and room of an address, protocol.
const COOKED: usize = 16;

/// Which way a datagram goes (`include/uapi/linux/if_packet.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    /// `PACKET_USER`.
    Client = 6,
    /// `PACKET_KERNEL`.
    Kernel = 7,
}

/// A file of datagrams.
#[derive(Debug)]
pub(crate) struct Capture(Mutex<File>);

impl Capture {
    /// Makes the file.
    pub(crate) fn create(path: &Path) -> io::Result<Arc<Self>> {
        let mut header = Vec::with_capacity(24);
        header.extend(0xa1b2_c3d4_u32.to_ne_bytes()); // with microseconds
        header.extend(2_u16.to_ne_bytes());
        header.extend(4_u16.to_ne_bytes());
        header.extend([0; 8]);
        header.extend((256 * 1024_u32).to_ne_bytes());
        header.extend(LINK_TYPE.to_ne_bytes());
        let mut file = File::create(path)?;
        file.write_all(&header)?;
        Ok(Arc::new(Self(Mutex::named("capture", file))))
    }

    /// Writes a datagram to the machine down.
    pub(crate) fn heard(&self, netns_cookie: u64, datagram: &[u8]) {
        let _ = self.around(To::Kernel, netns_cookie, datagram, || Ok(()));
    }

    /// Writes a datagram to a client down, and lets `send` send it: nobody sees an answer whose record is still to come. What a full
    /// queue or a closed socket refused is not in the file, except the end of an answer whose client had read enough: a kernel has
    /// queued all of it before the client can go.
    ///
    /// # Errors
    /// Those of `send`.
    pub(crate) fn said(
        &self,
        netns_cookie: u64,
        datagram: &[u8],
        send: impl FnOnce() -> Result<(), SendError>,
    ) -> Result<(), SendError> {
        self.around(To::Client, netns_cookie, datagram, send)
    }

    fn around(
        &self,
        to: To,
        netns_cookie: u64,
        datagram: &[u8],
        send: impl FnOnce() -> Result<(), SendError>,
    ) -> Result<(), SendError> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let length = (COOKED + datagram.len()) as u32;
        let mut record = Vec::with_capacity(16 + length as usize);
        for word in [now.as_secs() as u32, now.subsec_micros(), length, length] {
            record.extend(word.to_ne_bytes());
        }
        record.extend((to as u16).to_be_bytes());
        record.extend(HARDWARE.to_be_bytes());
        record.extend([0; 2]);
        record.extend(netns_cookie.to_ne_bytes());
        record.extend(PROTOCOL.to_be_bytes());
        record.extend(datagram);
        let mut file = self
            .0
            .lock()
            .unwrap_or_else(lockdep::PoisonError::into_inner);
        // A full disk must not stop the machine; the file is short then.
        let start = file.stream_position();
        let _ = file.write_all(&record);
        let sent = send();
        let kept = sent.is_ok() || (sent == Err(SendError::Gone) && is_answer(datagram));
        if let (false, Ok(start)) = (kept, start) {
            let _ = file.set_len(start);
            let _ = file.seek(SeekFrom::Start(start));
        }
        sent
    }
}

/// Whether a datagram is for one client (`nlmsg_pid`); notifications are for port 0.
fn is_answer(datagram: &[u8]) -> bool {
    datagram
        .get(12..16)
        .is_some_and(|pid| pid != 0_u32.to_ne_bytes())
}
