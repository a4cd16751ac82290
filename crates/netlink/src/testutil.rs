//! For tests: sockets in memory, requests written by hand, and what real kernels answered.

mod capture;
mod client;
mod show;

pub use capture::{Capture, CapturedMessage, Case, Ids, captures, cases, mask};
pub use client::{Client, Nobody, Queue, RequestBuilder};
pub use show::show;
