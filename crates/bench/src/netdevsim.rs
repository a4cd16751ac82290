//! What netdevsim costs with real network devices: a thousand ports, and devices that come and go from many shells at once.
//!
//! Everything is done as a user does it, by the files and with the real `devlink`, inside `userlink run` in namespaces of its own.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Error, Result, ensure};

use crate::Setting;
use crate::rows::Row;
use crate::stats::median;

/// Rounds of the three steps with a thousand ports.
const ROUNDS: usize = 3;

/// The three steps, and what the real kernel needs for them under emulation, in seconds: a third of it is the limit.
const STEPS: [(&str, f64); 3] = [
    ("make 1,000 ports with netdevs", 1.0),
    ("reload them", 13.0),
    ("remove them", 12.0),
];

/// Prints how long each step takes, in nanoseconds.
const PORTS: &str = r#"
took() { start=$(date +%s%N); "$@" || exit 1; echo $(($(date +%s%N) - start)); }
write() { echo "$1" > /sys/bus/netdevsim/$2; }
took write '10 1000' new_device
took devlink dev reload netdevsim/netdevsim10
[ "$(ls /sys/class/net | grep -c eni10n)" = 1000 ] || exit 2
took write 10 del_device
"#;

/// See the file. Devices, shells, rounds.
const STORM: &str = include_str!("../../userlink/tests/storm.sh");
const SIZE: [&str; 3] = ["100", "8", "20"];

/// How much bigger the machine may be after the storm, in KB: 2,000 devices have come and gone.
const MEMORY: f64 = 4096.0;

/// All rows of `./x bench netdevsim`.
///
/// # Errors
/// A step that did not work.
pub(crate) fn measure(setting: &Setting) -> Result<Vec<Row>> {
    let mut took: [Vec<f64>; 3] = Default::default();
    for _ in 0..ROUNDS {
        let text = inside(setting, PORTS, &[])?;
        let times: Vec<f64> = text.lines().filter_map(|line| line.parse().ok()).collect();
        ensure!(times.len() == took.len(), "not three times: {text}");
        for (times, time) in took.iter_mut().zip(times) {
            times.push(time / 1e9);
        }
    }
    let steps = STEPS.into_iter().zip(took);
    let mut rows: Vec<Row> = steps
        .map(|((case, kernel), times)| Row {
            case: case.to_owned(),
            value: median(times),
            unit: "s",
            floor: kernel,
            against: "a real kernel under emulation",
            target: Some(kernel / 3.0),
        })
        .collect();
    let text = inside(setting, STORM, &SIZE)?;
    for line in text.lines() {
        let mut words = line.split(' ');
        let what = words.next().unwrap_or_default();
        let mut number = || {
            words
                .next()
                .context("a number is missing")?
                .parse::<f64>()
                .map_err(Error::from)
        };
        let (before, after) = (number()?, number()?);
        let (unit, more) = match what {
            "memory" => ("KB", MEMORY),
            _ => ("  ", 0.0),
        };
        let [devices, shells, rounds] = SIZE;
        rows.push(Row {
            case: format!("{what} after {devices} devices, {shells} shells, {rounds} rounds"),
            value: after,
            unit,
            floor: before,
            against: "before",
            target: Some(before + more),
        });
    }
    Ok(rows)
}

/// Runs a shell script on a machine, in a user, mount and network namespace of its own.
fn inside(setting: &Setting, script: &str, arguments: &[&str]) -> Result<String> {
    let userlink = setting.userlink.canonicalize()?;
    let folder = userlink.parent().context("the program has no folder")?;
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("unshare")
        .args(["-Urmn", "--propagation", "private", "sh", "-c"])
        .arg(r#"mount -t tmpfs tmpfs /run && mount -t sysfs sysfs /sys && exec "$@""#)
        .arg("sh")
        .arg(&userlink)
        .args(["run", "--device", "netdevsim@1,ports=0", "--", "sh", "-c"])
        .args([script, "sh"])
        .args(arguments)
        // The folder of the machine is not one of others to sweep.
        .env("TMPDIR", "/run")
        .env("PATH", format!("{}:{path}", folder.display()))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("unshare cannot be run")?;
    ensure!(output.status.success(), "it ended with {}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}
