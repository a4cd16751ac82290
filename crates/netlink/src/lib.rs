//! Generic netlink and devlink's wire: attributes, policies, extended acknowledgements, families.
//!
//! The lower half is bytes. A [`Writer`] builds messages and cannot overflow; [`Attrs`] are a
//! request's attributes after its [`policy`] has accepted them. The facts about devlink
//! ([`attr`], [`cmd`], [`devlink`]) are generated from `data/devlink.toml`, the one table of this
//! project; each says since which kernel it holds, see [`KernelVersion`].
//!
//! The upper half, [`genl`], is generic netlink as the kernel speaks it: families, their controller,
//! requests and acknowledgements, dumps that resume, multicast. It knows no processes and no
//! devices: datagrams go through a [`genl::Transport`], who asks is a [`genl::Caller`], and what a
//! command does is a [`genl::Family`]'s business.

mod attrs;
mod error;
mod generated;
mod sync;
mod version;
mod writer;

pub mod devlink;
pub mod genl;
pub mod message;
pub mod policy;
#[cfg(feature = "testutil")]
pub mod testutil;
pub mod wire;

pub use attrs::{Attrs, Bitfield32, NestedAttrs};
pub use error::{Error, ExtAck, Result};
pub use generated::{attr, cmd};
pub use version::{KernelVersion, UnknownKernel};
pub use wire::{Attr, RawAttr, RawAttrs};
pub use writer::{Nest, Writer, put_message};
