//! Rust libraries that others wrote, as peers: what we write they read, and what they write we read.
//!
//! The messages are made up: any attributes, any values, nests within nests, from the table that our own code is generated
//! from. `netlink-bindings` is generated from the kernel's official specification and knows devlink's attributes by name;
//! `neli` knows how attributes lie in a message, and nothing of devlink.

mod bindings;
mod generic;
mod message;
mod pushes;
mod table;

/// So many made-up messages a test; what went wrong names the seed of its message.
const MESSAGES: u64 = 2_000;
