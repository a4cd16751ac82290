//! `userlink dmesg`: the kernel-style log of the machine.

use std::io;
use std::process::ExitCode;

use anyhow::Error;

use crate::args::Dmesg;

/// Copies the log to standard output.
///
/// # Errors
/// There is no machine, or it does not answer.
pub(crate) fn dmesg(args: &Dmesg) -> Result<ExitCode, Error> {
    let request = if args.follow { "dmesg follow" } else { "dmesg" };
    let machine = sandbox::ctl::locate()?;
    match sandbox::ctl::request(&machine, request, &mut io::stdout().lock()) {
        // `userlink dmesg | head` has seen enough.
        Err(sandbox::Error::Control { source, .. })
            if source.kind() == io::ErrorKind::BrokenPipe =>
        {
            Ok(ExitCode::SUCCESS)
        }
        result => Ok(result.map(|()| ExitCode::SUCCESS)?),
    }
}
