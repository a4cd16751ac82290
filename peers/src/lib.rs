//! lockdep beside its peers: what each costs, and what each says.
//!
//! One program, `peer`, is every one of them, a process each: `peer serve LOCK` is told what to measure ([`serve`]), and
//! `peer scenario LOCK SCENARIO` plays one of eleven short programs and says what the validator thought of it
//! ([`scenario`]). `peer memory` says what lockdep remembers in how many bytes ([`memory`]). `peer-detecting` is the same with
//! parking_lot's `deadlock_detection`, `peer-off` and `peer-stat` are with lockdep's features `off` and `lock_stat`. userlink's
//! `bench` program starts them, in turns.

pub mod cells;
pub mod family;
pub mod locks;
pub mod memory;
pub mod scenario;
pub mod serve;

use anyhow::{Context as _, Result, bail};

/// The program.
///
/// # Errors
/// When it is told something that it does not know.
pub fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["serve", lock] => serve::serve(lock).with_context(|| format!("serve {lock}")),
        ["memory"] => {
            memory::tell();
            Ok(())
        }
        ["scenario", lock, scenario] => {
            scenario::play(lock, scenario).with_context(|| format!("{lock}, {scenario}"))
        }
        _ => bail!("usage: peer serve LOCK, peer scenario LOCK SCENARIO, peer memory"),
    }
}
