//! What happens to clients on a busy machine, on demand: a dump that something interferes with, a notification that finds no room.

use std::fmt;
use std::sync::Arc;

use super::core::{Genl, Registered};
use crate::message::GENL_ID_CTRL;

/// Decides when the clients of the families here are unlucky. The controller's are never.
pub trait Mishaps: Send + Sync + fmt::Debug {
    /// Whether the dump that begins now is interfered with: from its second datagram on, and in its end, its messages have
    /// `NLM_F_DUMP_INTR` (`include/net/netlink.h: nl_dump_check_consistent`).
    fn interrupts_dump(&self) -> bool;

    /// Whether this notification to a member of the group is lost. It hears so with the next one: that receive fails with
    /// `ENOBUFS`.
    fn loses_notification(&self) -> bool;
}

impl Genl {
    /// From now on these happen. Returns `false` if there are some already, which stay.
    pub fn set_mishaps(&self, mishaps: Arc<dyn Mishaps>) -> bool {
        self.mishaps.set(mishaps).is_ok()
    }

    pub(crate) fn interrupts_dump(&self, family: &Registered) -> bool {
        let mishaps = self.mishaps.get().filter(|_| family.id != GENL_ID_CTRL);
        mishaps.is_some_and(|mishaps| mishaps.interrupts_dump())
    }

    pub(crate) fn loses_notification(&self) -> bool {
        let mishaps = self.mishaps.get();
        mishaps.is_some_and(|mishaps| mishaps.loses_notification())
    }
}
