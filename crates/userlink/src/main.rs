//! The `userlink` command: the Linux devlink subsystem in user space, with lockdep built in.
//!
//! [`args`] says what can be asked for, a module a verb does it, and [`machine`] puts the parts of the simulated kernel together.

mod args;
mod capture;
mod clock;
mod ctl;
mod devices;
mod dmesg;
mod lockdep_cmd;
mod machine;
mod module;
mod rdma;
mod route;
mod run;
mod session;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Verb};

fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::Run(args) => run::run(args),
        Verb::Clock(args) => clock::clock(&args),
        Verb::Dmesg(args) => dmesg::dmesg(&args),
        Verb::Ctl(args) => ctl::ctl(&args),
        Verb::Profile(args) => devices::print_profile(&args.name),
        Verb::Firmware(args) => devices::print_firmware(&args.profile, &args.version),
        Verb::Module(args) => module::module(&args),
        Verb::Lockdep(args) => lockdep_cmd::lockdep(&args),
    };
    done.unwrap_or_else(|error| {
        eprintln!("userlink: {error}");
        ExitCode::from(match error.downcast_ref() {
            Some(sandbox::Error::Command { source, .. }) => run::not_executed(source),
            _ => 1,
        })
    })
}
