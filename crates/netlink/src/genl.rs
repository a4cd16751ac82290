//! Generic netlink: families, their controller, sockets, and the life of a request.
//!
//! A [`Genl`] is one machine's generic netlink (`net/netlink/genetlink.c`). Families register with
//! it, sockets attach to it, and [`Genl::receive`] takes each datagram a client sends through the
//! kernel's checks in the kernel's order, to the family's handler, and answers.

mod ack;
mod caller;
mod core;
mod ctrl;
mod dump;
mod family;
mod mishaps;
mod multicast;
mod policy_dump;
mod receive;
mod reply;
mod request;
mod running;
mod socket;

pub use caller::{Caller, NetId, NetnsRef};
pub use core::{Genl, Unclaimed, Upstream};
pub use dump::{Batch, DumpCursor, DumpState};
pub use family::{Family, FamilySpec, Half, Op, Permission, Published};
pub use mishaps::Mishaps;
pub use multicast::FamilyHandle;
pub use reply::{MultiReply, Reply};
pub use request::Request;
pub use socket::{AtomicOptions, Options, SendError, Socket, Transport};
