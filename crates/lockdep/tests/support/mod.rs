//! What several test programs need.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

pub(crate) mod json;
pub(crate) mod sarif;
