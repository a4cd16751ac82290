//! Loading and unloading modules: what `modprobe netdevsim` and `modprobe -r netdevsim` do inside.
//!
//! `modprobe` is given a configuration in which these modules have an `install` and a `remove` command: this program, which
//! asks the machine.

use std::fmt::Write as _;
use std::io;
use std::process::ExitCode;

use anyhow::{Error, anyhow};
use sandbox::dummy;

use crate::args::{Action, Module};

/// The modules that can be loaded and unloaded.
const MODULES: [&str; 1] = [netdevsim::MODULE_NAME];
/// One that can be loaded where the real kernel may lack it.
const DUMMY: &str = "dummy";

/// Asks the machine to load or unload a module.
///
/// # Errors
/// There is no machine, or it refuses.
pub(crate) fn module(args: &Module) -> Result<ExitCode, Error> {
    if (args.action, args.name.as_str()) == (Action::Load, DUMMY) {
        dummy::load().map_err(|errno| anyhow!("cannot load {DUMMY}: {errno}"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let action = match args.action {
        Action::Load => "load",
        Action::Unload => "unload",
    };
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
    let mut text = String::new();
    for name in MODULES {
        for (keyword, action) in [("install", "load"), ("remove", "unload")] {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{keyword} {name} '{program}' module {action} {name}");
        }
    }
    if dummy::may_be_missing() {
        let _ = writeln!(text, "install {DUMMY} '{program}' module load {DUMMY}");
    }
    text
}
