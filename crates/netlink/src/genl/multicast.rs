//! Notifications: one message to every member of a group in a namespace.

use std::fmt;
use std::sync::{Arc, Weak};

use super::caller::NetId;
use super::core::Genl;
use super::socket::{SendError, Socket};
use crate::error::Result;
use crate::message::NLMSG_GOODSIZE;
use crate::writer::{GenlHeader, Writer, put_genl_message};

/// A registered family's way to its listeners.
#[derive(Clone)]
pub struct FamilyHandle {
    pub(crate) genl: Weak<Genl>,
    pub(crate) id: u16,
    pub(crate) version: u8,
    /// The id of the family's first group; the others follow.
    pub(crate) first_group: u32,
}

impl FamilyHandle {
    /// The family's id.
    pub fn id(&self) -> u16 {
        self.id
    }

    /// Whether anybody would hear a notification of the family's group number `group` from `net`
    /// (`genl_has_listeners`).
    pub fn has_listeners(&self, group: usize, net: NetId) -> bool {
        let group = self.first_group + group as u32;
        self.genl
            .upgrade()
            .is_some_and(|genl| genl.any_listener(group, net, |_| true))
    }

    /// Sends a notification to the members of the group in `net` that `wanted` accepts. Built only
    /// if there is one; port id, sequence number and flags are 0. A member whose queue is full
    /// loses it and hears so at its next receive; nobody waits.
    ///
    /// # Errors
    /// What `fill` returns, and then nothing is sent.
    pub fn multicast(
        &self,
        group: usize,
        net: NetId,
        cmd: u8,
        wanted: impl Fn(&Socket) -> bool,
        fill: impl FnOnce(&mut Writer<'_>) -> Result,
    ) -> Result {
        let Some(genl) = self.genl.upgrade() else {
            return Ok(());
        };
        let group = self.first_group + group as u32;
        if !genl.any_listener(group, net, &wanted) {
            return Ok(());
        }
        let header = GenlHeader {
            family: self.id,
            flags: 0,
            seq: 0,
            portid: 0,
            cmd,
            version: self.version,
        };
        let mut datagram = Vec::with_capacity(512);
        put_genl_message(&mut datagram, NLMSG_GOODSIZE, genl.kernel(), header, fill)?;
        genl.each_listener(group, net, |socket| {
            if !wanted(socket) {
                return;
            }
            if genl.loses_notification() {
                socket.options().set_enobufs();
            } else if socket.transport().notify(&datagram, net) == Err(SendError::Full) {
                socket.options().set_overrun();
            }
        });
        Ok(())
    }
}

impl Genl {
    fn hears(socket: &Socket, group: u32, net: NetId) -> bool {
        let options = socket.options();
        options.is_member(group) && (socket.net() == net || options.listens_all_nsid())
    }

    fn any_listener(&self, group: u32, net: NetId, wanted: impl Fn(&Socket) -> bool) -> bool {
        self.sockets()
            .iter()
            .any(|socket| Self::hears(socket, group, net) && wanted(socket))
    }

    fn each_listener(&self, group: u32, net: NetId, mut deliver: impl FnMut(&Arc<Socket>)) {
        for socket in self
            .sockets()
            .iter()
            .filter(|socket| Self::hears(socket, group, net))
        {
            deliver(socket);
        }
    }
}

impl fmt::Debug for FamilyHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FamilyHandle")
            .field("id", &self.id)
            .field("first_group", &self.first_group)
            .finish_non_exhaustive()
    }
}
