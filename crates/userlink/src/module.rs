//! Loading and unloading modules: what `modprobe netdevsim` and `modprobe -r netdevsim` do inside.
//!
//! `modprobe` is given a configuration in which these modules have an `install` and a `remove` command: this program, which
//! asks the machine.

use std::fmt::Write as _;
use std::io;
use std::process::ExitCode;

use anyhow::{Error, anyhow, bail};
use driver_core::pci::VfioPci;
use sandbox::dummy;

use crate::args::{Action, Module};

/// The modules that can be loaded and unloaded.
const MODULES: [&str; 2] = [netdevsim::MODULE_NAME, VfioPci::MODULE_NAME];
/// One that can be loaded and unloaded where the real kernel may lack it.
const DUMMY: &str = "dummy";

/// Asks the machine to load or unload a module.
///
/// # Errors
/// There is no machine, or it refuses.
pub(crate) fn module(args: &Module) -> Result<ExitCode, Error> {
    let action = match args.action {
        Action::Load => "load",
        Action::Unload => "unload",
    };
    if args.name == DUMMY {
        let left = match args.action {
            Action::Load => dummy::load().map(|()| Vec::new()),
            Action::Unload => dummy::unload(),
        };
        let left = left.map_err(|errno| anyhow!("cannot {action} {DUMMY}: {errno}"))?;
        if !left.is_empty() {
            let left = left.join(", ");
            bail!("cannot unload {DUMMY}: {left} may be of that type, remove that first");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let machine = sandbox::ctl::locate()?;
    let request = format!("module {action} {}", args.name);
    sandbox::ctl::request(&machine, &request, &mut io::stdout().lock())?;
    Ok(ExitCode::SUCCESS)
}

/// What `modprobe` is to read (`modprobe.d(5)`).
pub(crate) fn modprobe_conf() -> String {
    let Some(program) = std::env::current_exe()
        .ok()
        .and_then(|path| Some(path.to_str()?.replace('\'', r"'\''")))
    else {
        return String::new();
    };
    let mut modules = MODULES.to_vec();
    if dummy::may_be_missing() {
        modules.push(DUMMY);
    }
    let mut text = String::new();
    for name in modules {
        for (keyword, action) in [("install", "load"), ("remove", "unload")] {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{keyword} {name} '{program}' module {action} {name}");
        }
    }
    text
}
