//! What trapped packets are counted in, and how a driver reports them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use netlink::{Writer, attr};

use super::Trap;

/// Packets and bytes (`struct devlink_stats`). Counted without a lock: the two are not read at one instant.
#[derive(Debug, Default)]
pub(super) struct TrapStats {
    rx_packets: AtomicU64,
    rx_bytes: AtomicU64,
}

impl TrapStats {
    fn update(&self, len: u64) {
        self.rx_bytes.fetch_add(len, Ordering::Relaxed);
        self.rx_packets.fetch_add(1, Ordering::Relaxed);
    }

    /// Writes the nest `STATS`, first in it what the driver has dropped if it counts that.
    pub(super) fn put(&self, w: &mut Writer<'_>, dropped: Option<u64>) -> netlink::Result {
        w.nest(attr::STATS, |w| {
            if let Some(dropped) = dropped {
                w.put_u64(attr::stats::RX_DROPPED, dropped)?;
            }
            let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            w.put_u64(attr::stats::RX_PACKETS, read(&self.rx_packets))?;
            w.put_u64(attr::stats::RX_BYTES, read(&self.rx_bytes))
        })
    }
}

/// A registered trap, as its driver reports packets to it (`trap_ctx`).
///
/// The driver gets it when the trap is registered ([`Ops::trap_init`](crate::Ops::trap_init)). It may outlive the
/// registration; what is reported then is counted by nobody.
#[derive(Debug)]
pub struct TrapCtx {
    pub(super) trap: Trap,
    pub(super) stats: TrapStats,
    pub(super) group_stats: Arc<TrapStats>,
}

impl TrapCtx {
    /// A packet of `len` bytes has met the trap (`devlink_trap_report`). Takes no lock.
    pub fn report(&self, len: u64) {
        self.stats.update(len);
        self.group_stats.update(len);
    }

    /// Which trap it is.
    pub fn trap(&self) -> &Trap {
        &self.trap
    }
}
