//! What is fed to devlink, and what is asked of its answers: used by the program of this crate and by the targets of
//! `cargo fuzz` in `fuzz/`.

#![allow(missing_docs, reason = "used by the programs beside it")]

pub mod encoder;
pub mod machine;
pub mod mutate;
pub mod random;
pub mod requests;

use std::sync::{Mutex, PoisonError};

/// What was being tried when something failed.
pub static TRYING: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Remembers the input that is being tried.
fn trying(input: &[u8]) {
    let mut trying = TRYING.lock().unwrap_or_else(PoisonError::into_inner);
    trying.clear();
    trying.extend_from_slice(input);
}

/// Hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
