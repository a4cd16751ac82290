//! The small numbers by which namespaces know each other (`peernet2id`).

use std::sync::Arc;

use crate::core::NetCore;
use crate::net::{Net, lock};

impl NetCore {
    /// The id by which `net` knows `peer`; `None` if it has none.
    pub fn peernet2id(&self, net: &Net, peer: &Net) -> Option<i32> {
        lock(&net.nsids)
            .iter()
            .find(|(_, id)| **id == peer.id())
            .map(|(nsid, _)| *nsid)
    }

    /// The id by which `net` knows `peer`, given out now if there was none; the source decides, the lowest free number
    /// if it does not. `None` if either namespace is on its way out.
    pub fn peernet2id_alloc(&self, net: &Net, peer: &Net) -> Option<i32> {
        if net.is_dying() {
            return None;
        }
        if let Some(nsid) = self.peernet2id(net, peer) {
            return Some(nsid);
        }
        if peer.is_dying() {
            return None;
        }
        let given = self.source.peernet2id_alloc(net.id(), peer.id());
        let mut nsids = lock(&net.nsids);
        if let Some((nsid, _)) = nsids.iter().find(|(_, id)| **id == peer.id()) {
            return Some(*nsid);
        }
        let nsid = given.or_else(|| (0..i32::MAX).find(|nsid| !nsids.contains_key(nsid)))?;
        nsids.insert(nsid, peer.id());
        Some(nsid)
    }

    /// The namespace that `net` knows by that id (`get_net_ns_by_id`), if it is not gone. Keeps nothing alive.
    pub fn net_by_nsid(&self, net: &Net, nsid: i32) -> Option<Arc<Net>> {
        let id = lock(&net.nsids).get(&nsid).copied()?;
        self.net(id)
    }

    /// A namespace that goes is forgotten by the others, and forgets them.
    pub(crate) fn unhash_nsid(&self, gone: &Net) {
        for net in self.nets() {
            lock(&net.nsids).retain(|_, id| *id != gone.id());
        }
        lock(&gone.nsids).clear();
    }
}
