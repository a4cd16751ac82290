//! The `userlink` command as its users meet it: the real binary, real clients, real namespaces.
//!
//! Every test starts a machine with `userlink run` and types commands into it ([`machine`]). A test that cannot run here
//! (no root, no client installed) says `skipped: NAME: REASON` on standard error, and `./x test` counts it as skipped.

mod card;
mod clients;
mod command;
mod dummy;
mod faults;
mod files;
mod flash;
mod hostile;
mod identity;
mod leaks;
mod lifecycle;
mod lockdep;
mod machine;
mod monitor;
mod netplan;
mod objects;
mod order;
mod origin;
mod peers;
mod rdma;
mod refusals;
mod relay;
mod spectrum;
mod views;
mod wire;
