//! The way of a request and what the machine costs: round trips, start, and calls that have nothing to do with devlink.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::Setting;
use crate::client::Client;
use crate::echo::Echo;
use crate::rows::Row;
use crate::stats::{median, nanoseconds};

/// Rounds of each measurement, in turns with the others.
const ROUNDS: usize = 60;
/// Round trips in a round.
const TRIPS: usize = 200;
/// Calls without a round trip in a round.
const CALLS: usize = 5000;

/// All rows of `./x bench way`.
pub(crate) fn measure(setting: &Setting) -> Result<Vec<Row>> {
    let mut rows = requests(setting)?;
    rows.push(start(&setting.userlink)?);
    rows.extend(crate::locks::measure());
    Ok(rows)
}

/// Round trips and unrelated calls: four processes in turns.
fn requests(setting: &Setting) -> Result<Vec<Row>> {
    let echo = Echo::start()?;
    let mut outside = Client::start(None)?;
    let mut trapped = Client::start(Some((&setting.userlink, &["--receive", "trapped"])))?;
    let mut native = Client::start(Some((&setting.userlink, &["--receive", "native"])))?;

    let jobs = ["getppid", "read", "recvmsg"];
    let mut floor = Vec::new();
    let mut kernel = Vec::new();
    let mut requests = [const { Vec::new() }; 2];
    let mut calls = [const { [const { Vec::new() }; 3] }; 2];
    for round in 0..=ROUNDS {
        let trips = [
            echo.round(TRIPS)?,
            outside.round("controller", TRIPS)?,
            trapped.round("devlink", TRIPS)?,
            native.round("devlink", TRIPS)?,
        ];
        let mut unrelated = [[0.0; 3]; 2];
        for (at, job) in jobs.into_iter().enumerate() {
            unrelated[0][at] = outside.round(job, CALLS)?;
            unrelated[1][at] = trapped.round(job, CALLS)?;
        }
        if round == 0 {
            continue; // everything is met for the first time
        }
        floor.push(trips[0]);
        kernel.push(trips[1]);
        requests[0].push(trips[2]);
        requests[1].push(trips[3]);
        for place in 0..2 {
            for at in 0..jobs.len() {
                calls[place][at].push(unrelated[place][at]);
            }
        }
    }

    let microseconds = |values: Vec<f64>| median(values) / 1e3;
    let (floor, kernel) = (microseconds(floor), microseconds(kernel));
    let [with_trap, without] = requests.map(microseconds);
    let (echo, real) = (
        "AF_UNIX SEQPACKET echo between two processes",
        "GETFAMILY nlctrl of the real kernel, outside",
    );
    let row = |case: &str, value, floor, against, target| Row {
        case: case.to_owned(),
        value,
        unit: "us",
        floor,
        against,
        target,
    };
    let mut rows = vec![
        row(
            "DEV_GET, receive trapped",
            with_trap,
            floor,
            echo,
            Some(4.0 * floor),
        ),
        row(
            "DEV_GET, receive native",
            without,
            floor,
            echo,
            Some(1.5 * floor),
        ),
        row("DEV_GET, receive trapped", with_trap, kernel, real, None),
        row("DEV_GET, receive native", without, kernel, real, None),
    ];
    let [before, after] = calls.map(|place| place.map(median));
    for (at, job) in jobs.into_iter().enumerate() {
        let target = match job {
            // Nothing is added to them but what the kernel does in a process that has any filter at all.
            "getppid" | "read" => Some(before[at] + 60.0),
            _ => None,
        };
        let case = if job == "recvmsg" {
            "send + recvmsg on another socket".to_owned()
        } else {
            format!("{job}, inside")
        };
        rows.push(Row {
            case,
            value: after[at],
            unit: "ns",
            floor: before[at],
            against: "the same outside",
            target,
        });
    }
    Ok(rows)
}

/// `userlink run true`, from its start to its end.
fn start(userlink: &Path) -> Result<Row> {
    let time = |command: &mut Command| -> Result<f64> {
        let start = Instant::now();
        let status = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .with_context(|| format!("{command:?}"))?;
        ensure!(status.success(), "{command:?}: {status}");
        Ok(nanoseconds(start) / 1e6)
    };
    let (mut values, mut floors) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let value = time(Command::new(userlink).args(["run", "true"]))?;
        let floor = time(&mut Command::new("true"))?;
        if round > 0 {
            values.push(value);
            floors.push(floor);
        }
    }
    Ok(Row {
        case: "userlink run true".to_owned(),
        value: median(values),
        unit: "ms",
        floor: median(floors),
        against: "true",
        target: Some(10.0),
    })
}
