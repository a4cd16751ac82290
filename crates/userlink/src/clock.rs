//! `userlink clock`: the machine's time, and how tests move it on.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Error;
use driver_core::{Clock, VirtualClock};
use sandbox::KernelSide;

use crate::args;

/// Prints the machine's time to standard output, after moving it on if that was asked for.
///
/// # Errors
/// There is no machine, it does not answer, or its time is the real one and cannot be moved.
pub(crate) fn clock(args: &args::Clock) -> Result<ExitCode, Error> {
    let request = match args.action {
        Some(args::ClockAction::Advance { seconds }) => format!("clock advance {seconds}"),
        None => "clock".to_owned(),
    };
    let machine = sandbox::ctl::locate()?;
    sandbox::ctl::request(&machine, &request, &mut io::stdout().lock())?;
    Ok(ExitCode::SUCCESS)
}

/// Answers it, in the machine.
pub(crate) fn serve(
    side: &KernelSide,
    clock: Arc<dyn Clock>,
    virtual_clock: Option<Arc<VirtualClock>>,
) {
    side.control().verb("clock", move |words, out| {
        match words {
            [] => {}
            ["advance", seconds] => {
                let by = seconds.parse().map(Duration::try_from_secs_f64);
                let Ok(Ok(by)) = by else {
                    return Err(format!("not a number of seconds: {seconds}"));
                };
                let Some(clock) = &virtual_clock else {
                    return Err(
                        "the machine runs on real time: use `run --clock virtual`".to_owned()
                    );
                };
                clock.advance(by);
            }
            _ => return Err("usage: clock [advance SECONDS]".to_owned()),
        }
        let now = clock.now();
        writeln!(out, "{}.{:06}", now.as_secs(), now.subsec_micros())
            .map_err(|error| error.to_string())
    });
}
