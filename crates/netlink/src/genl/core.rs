//! One machine's generic netlink: which families there are, and which sockets.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock, Weak};

use super::ctrl::{self, Controller};
use super::family::{Family, FamilySpec};
use super::mishaps::Mishaps;
use super::multicast::FamilyHandle;
use super::socket::{DumpSlot, Socket};
use crate::KernelVersion;
use crate::message::{
    GENL_HDRLEN, GENL_ID_CTRL, MessageHeader, NLM_F_MULTI, NLMSG_GOODSIZE, NLMSG_HDRLEN,
};
use crate::sync::{RwLock, RwLockReadGuard, lock, read, write};
use crate::wire::RawAttrs;
use crate::writer::{GenlHeader, Writer, put_genl_message};

/// Whether a real kernel stands behind this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// No: what no family here serves is answered with the kernel's error.
    None,
    /// Yes: what no family here serves is handed back to be relayed.
    Kernel,
}

/// A part of a datagram that is for somebody else. Ranges are in bytes and cover whole messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unclaimed {
    /// A message for the real kernel.
    Message(Range<usize>),
    /// A dump of all families: the real kernel's, with [`Genl::family_entries`] put before its end.
    FamilyDump(Range<usize>),
}

#[derive(Clone)]
pub(crate) struct Registered {
    pub(crate) id: u16,
    pub(crate) first_group: u32,
    pub(crate) spec: &'static FamilySpec,
    pub(crate) family: Arc<dyn Family>,
}

/// Whom a message is for.
pub(crate) enum Claim {
    /// A family here, the controller included.
    Family(Registered),
    /// The controller's list of all families, of which the real kernel has most.
    FamilyDump,
    /// No family here.
    Nobody,
}

/// Generic netlink (`net/netlink/genetlink.c`).
pub struct Genl {
    kernel: KernelVersion,
    controller: Registered,
    upstream: Upstream,
    families: RwLock<Vec<Registered>>,
    sockets: RwLock<Vec<Arc<Socket>>>,
    pub(super) mishaps: OnceLock<Arc<dyn Mishaps>>,
}

impl Genl {
    /// Generic netlink without families.
    pub fn new(kernel: KernelVersion, upstream: Upstream) -> Arc<Self> {
        Arc::new_cyclic(|genl| {
            let family = Arc::new(Controller {
                genl: Weak::clone(genl),
                kernel,
            });
            let spec = family.spec();
            // The controller's group has the controller's id, as in the kernel.
            let first_group = u32::from(GENL_ID_CTRL);
            let controller = Registered {
                id: GENL_ID_CTRL,
                first_group,
                spec,
                family,
            };
            Self {
                kernel,
                controller,
                upstream,
                families: RwLock::new(Vec::new()),
                sockets: RwLock::new(Vec::new()),
                mishaps: OnceLock::new(),
            }
        })
    }

    /// The emulated kernel.
    pub fn kernel(&self) -> KernelVersion {
        self.kernel
    }

    pub(crate) fn upstream(&self) -> Upstream {
        self.upstream
    }

    /// Registers a family under an id (at least 19) and numbers its multicast groups from
    /// `first_group` on. With a real kernel upstream, both must be numbers that it does not use.
    pub fn register(
        self: &Arc<Self>,
        family: Arc<dyn Family>,
        id: u16,
        first_group: u32,
    ) -> FamilyHandle {
        let spec = family.spec();
        let handle = FamilyHandle {
            genl: Arc::downgrade(self),
            id,
            version: spec.version,
            first_group,
        };
        family.registered(handle.clone());
        write(&self.families).push(Registered {
            id,
            first_group,
            spec,
            family,
        });
        handle
    }

    fn find(&self, wanted: impl Fn(&Registered) -> bool) -> Option<Registered> {
        // A real kernel upstream tells about its own controller.
        let controller = Some(&self.controller).filter(|_| self.upstream == Upstream::None);
        let families = read(&self.families);
        controller
            .into_iter()
            .chain(families.iter())
            .find(|family| wanted(family))
            .cloned()
    }

    /// The family with this id.
    pub(crate) fn family_by_id(&self, id: u16) -> Option<Registered> {
        self.find(|family| family.id == id)
    }

    /// The family with this name.
    pub(crate) fn family_by_name(&self, name: &[u8]) -> Option<Registered> {
        self.find(|family| family.spec.name.as_bytes() == name)
    }

    /// All families, in the order of their ids.
    pub(crate) fn families(&self) -> Vec<Registered> {
        let mut families = read(&self.families).clone();
        if self.upstream == Upstream::None {
            families.push(self.controller.clone());
        }
        families.sort_by_key(|family| family.id);
        families
    }

    /// Whom a request is for.
    pub(crate) fn claim(&self, header: MessageHeader, message: &[u8]) -> Claim {
        if header.kind != GENL_ID_CTRL {
            return self
                .family_by_id(header.kind)
                .map_or(Claim::Nobody, Claim::Family);
        }
        if self.upstream == Upstream::None {
            return Claim::Family(self.controller.clone());
        }
        // Only what asks for a family of ours is ours: look, without judging.
        let cmd = message.get(NLMSG_HDRLEN).copied();
        if cmd == Some(ctrl::GETFAMILY) && header.is_dump() {
            return Claim::FamilyDump;
        }
        let body = NLMSG_HDRLEN + GENL_HDRLEN;
        let mut named = None;
        let mut numbered = None;
        for attr in RawAttrs::new(message.get(body..).unwrap_or_default(), body as u32) {
            if attr.number() == ctrl::FAMILY_NAME.number() {
                named = Some(self.family_by_name(attr.text()).is_some());
            } else if attr.number() == ctrl::FAMILY_ID.number() {
                numbered = Some(attr.u16().is_some_and(|id| self.family_by_id(id).is_some()));
            }
        }
        let first = if header.is_dump() {
            numbered.or(named)
        } else {
            named.or(numbered)
        };
        if first == Some(true) {
            Claim::Family(self.controller.clone())
        } else {
            Claim::Nobody
        }
    }

    /// The entries of the families here for a list of all families: one `CTRL_CMD_NEWFAMILY`
    /// message each, as parts of the dump that `request` (a whole message) asked for. None for a request that the real
    /// kernel refuses: its error is the whole answer.
    pub fn family_entries(&self, socket: &Socket, request: &[u8]) -> Vec<u8> {
        let header = MessageHeader::parse(request).unwrap_or_default();
        let mut entries = Vec::new();
        if !ctrl::lists_families(request) {
            return entries;
        }
        for family in self.families() {
            let header = GenlHeader {
                family: GENL_ID_CTRL,
                flags: NLM_F_MULTI,
                seq: header.seq,
                portid: socket.options().portid(),
                cmd: ctrl::NEWFAMILY,
                version: self.controller.spec.version,
            };
            // A family that does not fit into a datagram has no entry, as with the kernel.
            let limit = entries.len() + NLMSG_GOODSIZE;
            let put = |writer: &mut Writer<'_>| ctrl::put_family(writer, &family);
            let _ = put_genl_message(&mut entries, limit, self.kernel, header, put);
        }
        entries
    }

    /// Lets a socket hear notifications.
    pub fn attach(&self, socket: Arc<Socket>) {
        write(&self.sockets).push(socket);
    }

    /// Forgets a socket that is closed, and the dump it was in the middle of.
    pub fn detach(&self, socket: &Arc<Socket>) {
        write(&self.sockets).retain(|other| !Arc::ptr_eq(other, socket));
        let dump = std::mem::take(&mut *lock(&socket.dump));
        // The dump's end may drop objects of the family: not under our lock.
        if let DumpSlot::Waiting(dump) = dump {
            drop(dump);
        }
    }

    pub(crate) fn sockets(&self) -> RwLockReadGuard<'_, Vec<Arc<Socket>>> {
        read(&self.sockets)
    }
}

impl fmt::Debug for Genl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Genl")
            .field("kernel", &self.kernel)
            .field("upstream", &self.upstream)
            .finish_non_exhaustive()
    }
}
