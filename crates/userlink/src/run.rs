//! `userlink run`: the command, on a machine that has devlink.

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use anyhow::{Error, anyhow};
use netlink::KernelVersion;
use sandbox::{Options, Outcome};

use crate::args::{ClockKind, DriverLocking, NetdevNames, Receive, Run};
use crate::devices::DeviceSpec;
use crate::machine::{self, Config, Machine};
use crate::module;

/// Runs the command and ends as it ends.
///
/// # Errors
/// One sentence on what the machine refuses, and the remedy.
pub(crate) fn run(args: Run) -> Result<ExitCode, Error> {
    let command = if args.command.is_empty() {
        vec![std::env::var_os("SHELL").unwrap_or_else(|| OsString::from("/bin/sh"))]
    } else {
        args.command.clone()
    };
    let receive = args.receive;
    let config = config(args)?;
    let loses = config
        .faults
        .iter()
        .any(mlx5::FaultSpec::loses_notifications);
    let options = Options {
        receive: match receive {
            Receive::Native => sandbox::Receive::Native,
            // Or some clients would never hear what was asked for.
            Receive::Trapped if !loses => sandbox::Receive::Trapped,
            Receive::Trapped | Receive::All => sandbox::Receive::All,
        },
        groups: machine::GROUPS,
        slow_requests: vec![(machine::FAMILY_ID, netlink::cmd::FLASH_UPDATE)],
        // What udev comes with tells the module not to.
        dummy0: !config.udev_names,
        environment: Vec::new(),
        modprobe: module::modprobe_conf(),
    };
    let outcome = sandbox::run(options, &command, |side| Machine::boot(config, side))?;
    eprintln!("userlink: {}", summary(&outcome));
    // A status is a byte; what the sandbox returns is one already.
    Ok(ExitCode::from(
        u8::try_from(outcome.status).unwrap_or(u8::MAX),
    ))
}

fn config(args: Run) -> Result<Config, Error> {
    let kernel = match args.kernel {
        Some(version) => version
            .parse()
            .map_err(|error| anyhow!("--kernel: {error}"))?,
        None => KernelVersion::DEFAULT,
    };
    let mut devices = Vec::new();
    for device in &args.devices {
        devices.extend(DeviceSpec::parse(device)?);
    }
    if args.devices.is_empty() {
        devices.push(DeviceSpec::default_device());
    }
    let faults = args.faults.iter().map(|fault| fault.parse());
    let faults = faults.collect::<Result<_, mlx5::FaultError>>()?;
    Ok(Config {
        faults,
        seed: args.seed,
        kernel,
        devices,
        november_2021: args.driver_locking == DriverLocking::November2021,
        udev_names: args.netdev_names == NetdevNames::Udev,
        virtual_clock: args.clock == ClockKind::Virtual,
        firmware: args.firmware,
        log: args.log,
        capture: args.capture,
        lock_graph: args.lock_graph,
    })
}

/// The exit status of a command that could not be executed, as shells have it.
pub(crate) fn not_executed(error: &io::Error) -> u8 {
    match error.kind() {
        io::ErrorKind::NotFound => 127,
        _ => 126,
    }
}

/// What was served, or that nobody ever asked.
fn summary(outcome: &Outcome) -> String {
    let Outcome {
        sockets, requests, ..
    } = *outcome;
    if sockets == 0 {
        return "warning: nothing that the command ran ever opened devlink (no generic netlink socket was opened)"
            .into();
    }
    let count = |n: u64, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let mut text = format!(
        "served {}, {}",
        count(sockets, "socket"),
        count(requests, "request")
    );
    if outcome.left_behind {
        text += "; processes that are still running have lost their devlink";
    }
    text
}
