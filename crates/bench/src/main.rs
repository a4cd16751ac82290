//! userlink's figures, each measured beside what it is compared with.
//!
//! `bench WHAT --userlink BINARY --peers DIRECTORY --out DIRECTORY` measures, prints a table and writes
//! `DIRECTORY/WHAT.json`. This program is also every other process of a measurement: `bench client` inside and outside a
//! machine ([`client`]), and `bench echo`, the peer of the floor ([`echo`]); only lockdep's peers are programs of their own
//! ([`lockdep`]). Two figures that are compared are always taken in turns, a short round of the one and a
//! short round of the other, many times over: what disturbs the machine then disturbs both.

mod card;
mod client;
mod echo;
mod instances;
mod lockdep;
mod locks;
mod netdevsim;
mod rows;
mod stats;
mod way;

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

/// Where the binary under test is, and where results go.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) userlink: PathBuf,
    /// The directory of the programs that are lockdep's peers.
    pub(crate) peers: PathBuf,
    pub(crate) out: PathBuf,
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().unwrap_or_else(|| "way".to_owned());
    match what.as_str() {
        "client" => return client::serve(),
        "echo" => return echo::serve(),
        _ => {}
    }
    let mut setting = Setting {
        userlink: "target/release/userlink".into(),
        peers: "target/peers/release".into(),
        out: "target/bench".into(),
    };
    while let Some(option) = arguments.next() {
        let value = arguments
            .next()
            .with_context(|| format!("{option} needs a value"))?;
        match option.as_str() {
            "--userlink" => setting.userlink = value.into(),
            "--peers" => setting.peers = value.into(),
            "--out" => setting.out = value.into(),
            _ => bail!("unknown option {option}"),
        }
    }
    if what == "lockdep-peers" {
        return lockdep::verdicts::write(&setting.peers);
    }
    let rows = match what.as_str() {
        "way" => way::measure(&setting)?,
        "locks" => locks::measure(),
        "mlx5" => card::measure()?,
        "devlink" => instances::measure()?,
        "netdevsim" => netdevsim::measure(&setting)?,
        "lockdep" => lockdep::measure(&setting.peers)?,
        _ => bail!(
            "nothing to measure is called {what}; there are: way, locks, devlink, mlx5, netdevsim, lockdep, lockdep-peers"
        ),
    };
    rows::print(&rows);
    let path = rows::write(&rows, &setting.out, &what)?;
    println!("written to {}", path.display());
    Ok(())
}
