//! What `./x generate` makes of `data/devlink.toml`.

pub mod attr;
pub mod cmd;
pub(crate) mod ops;
pub(crate) mod policy;
