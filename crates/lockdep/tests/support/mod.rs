//! What several test programs need.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

pub(crate) mod json;
#[allow(dead_code, reason = "one test program needs it")]
pub(crate) mod sarif;
