//! Gives a process tree a machine that has devlink: interposition, namespaces, network devices.
//!
//! [`run`] starts a command so that every generic netlink socket it or its children open is served by a [`Service`] in a
//! process of its own, the *kernel process*, while everything else of the system stays what it is. The clients are
//! unmodified: a seccomp filter traps the few calls that concern such sockets, the *supervisor* answers them, and the
//! client gets one end of an `AF_UNIX` pair over which its datagrams flow straight to the kernel process. What is for a
//! family of the real kernel is relayed to it with the rights of the client.
//!
//! The crate carries datagrams. It does not know what they say.
//!
//! | part | modules |
//! |---|---|
//! | starting and ending | `options`, `launch`, `signals`, `userns`, `mounts`, `error` |
//! | the supervisor | `filter`, `supervisor`, `opener` |
//! | between the two | `slots`, `announce` |
//! | the kernel process | `kernel`, `service`, `client`, `relay`, `caller`, `creds` |
//! | namespaces and devices | `netns`, `wire`, `tap`, `cable`, `rtnl`, [`fib`], [`dummy`] |
//! | sysfs and debugfs | `files` |
//! | the control socket | [`ctl`] |
//! | under all of them | `sys` |

mod announce;
mod cable;
mod caller;
mod client;
mod creds;
pub mod ctl;
pub mod dummy;
mod error;
pub mod fib;
mod files;
mod filter;
mod kernel;
mod launch;
mod mounts;
mod netns;
mod opener;
mod options;
mod relay;
mod rtnl;
mod service;
mod signals;
mod slots;
mod supervisor;
mod sys;
mod tap;
mod userns;
mod wire;

pub use caller::{NetnsRef, Sender};
pub use client::ClientSocket;
pub use error::Error;
pub use kernel::{KernelSide, RouteLimits};
pub use launch::run;
pub use netns::open_by_cookie;
pub use options::{Options, Outcome, Receive};
pub use service::{Service, Session};
pub use slots::SocketOptions;
pub use tap::Taps;
pub use wire::{Event, Events, Wire};
