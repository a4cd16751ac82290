//! The facts about devlink.

pub mod attr;
pub mod cmd;
