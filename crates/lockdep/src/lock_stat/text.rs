//! The figures as the kernel's file shows them, and as JSON.

use std::fmt;
use std::time::Duration;

use super::{ClassStat, Kind, LockStat, Point, Times};
use crate::record::json::{Object, array};

/// Width of the names, and of the twelve columns.
const NAME: usize = 40;
const COLUMN: usize = 14;
const LINE: usize = NAME + 1 + 12 * (COLUMN + 1);
/// So many points of each kind are shown.
const POINTS: usize = 4;

const COLUMNS: [&str; 12] = [
    "con-bounces",
    "contentions",
    "waittime-min",
    "waittime-max",
    "waittime-total",
    "waittime-avg",
    "acq-bounces",
    "acquisitions",
    "holdtime-min",
    "holdtime-max",
    "holdtime-total",
    "holdtime-avg",
];

/// Microseconds, two digits after the point.
fn microseconds(time: Duration) -> String {
    let hundredths = (time.as_nanos() + 5) / 10;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

fn times(f: &mut fmt::Formatter<'_>, times: &Times) -> fmt::Result {
    write!(f, "{:COLUMN$}", times.count)?;
    for time in [times.min, times.max, times.total, times.avg()] {
        write!(f, " {:>COLUMN$}", microseconds(time))?;
    }
    Ok(())
}

fn kind(f: &mut fmt::Formatter<'_>, name: &str, kind: &Kind) -> fmt::Result {
    write!(f, "{name:>NAME$}:{:COLUMN$} ", 0)?;
    times(f, &kind.wait)?;
    write!(f, " {:COLUMN$} ", 0)?;
    times(f, &kind.hold)?;
    writeln!(f)
}

fn points(f: &mut fmt::Formatter<'_>, name: &str, points: &[Point]) -> fmt::Result {
    if points.is_empty() {
        return Ok(());
    }
    let dashes = name.chars().count().min(NAME);
    writeln!(f, "{:>NAME$}", "-".repeat(dashes))?;
    for point in points.iter().take(POINTS) {
        let ip = format!("[<{:016x}>]", point.ip);
        writeln!(
            f,
            "{name:>NAME$} {:COLUMN$} {ip:>29} {}",
            point.count, point.location
        )?;
    }
    Ok(())
}

/// `kernel/locking/lockdep_proc.c: seq_stats`.
fn class(f: &mut fmt::Formatter<'_>, class: &ClassStat) -> fmt::Result {
    // A long name keeps its end: where it is a place in the source, that is what tells it from others.
    let room = NAME - 2;
    let length = class.name.chars().count();
    let name: String = class
        .name
        .chars()
        .skip(length.saturating_sub(room))
        .collect();
    let used = |kind: &Kind| kind.wait.count + kind.hold.count > 0;
    if used(&class.read) {
        if used(&class.write) {
            kind(f, &format!("{name}-W"), &class.write)?;
        }
        kind(f, &format!("{name}-R"), &class.read)?;
    } else {
        kind(f, &name, &class.write)?;
    }
    if class.contentions() > 0 {
        points(f, &name, &class.contention_points)?;
        points(f, &name, &class.contending_points)?;
        writeln!(f, "\n{}\n", ".".repeat(LINE))?;
    }
    Ok(())
}

impl fmt::Display for LockStat {
    /// The table of `/proc/lock_stat`, version 0.4; times in microseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = "-".repeat(LINE);
        writeln!(f, "lock_stat version 0.4\n{line}")?;
        write!(f, "{:>NAME$}", "class name")?;
        for column in COLUMNS {
            write!(f, " {column:>COLUMN$}")?;
        }
        writeln!(f, "\n{line}\n")?;
        self.classes.iter().try_for_each(|one| class(f, one))
    }
}

impl LockStat {
    /// As JSON, times in nanoseconds: `{"version": 1, "classes": [{"name", "write": {"wait": {"count", "min", "max", "total"},
    /// "hold"}, "read", "contention_points": [{"site", "count"}], "contending_points"}]}`.
    #[must_use]
    pub fn to_json(&self) -> String {
        Object::new()
            .raw("version", "1")
            .list("classes", &self.classes, class_json)
            .end()
    }
}

fn class_json(class: &ClassStat) -> String {
    Object::new()
        .text("name", &class.name)
        .raw("write", &kind_json(&class.write))
        .raw("read", &kind_json(&class.read))
        .raw(
            "contention_points",
            &array(&class.contention_points, point_json),
        )
        .raw(
            "contending_points",
            &array(&class.contending_points, point_json),
        )
        .end()
}

fn kind_json(kind: &Kind) -> String {
    Object::new()
        .raw("wait", &times_json(&kind.wait))
        .raw("hold", &times_json(&kind.hold))
        .end()
}

fn times_json(times: &Times) -> String {
    Object::new()
        .raw("count", &times.count.to_string())
        .raw("min", &times.min.as_nanos().to_string())
        .raw("max", &times.max.as_nanos().to_string())
        .raw("total", &times.total.as_nanos().to_string())
        .end()
}

fn point_json(point: &Point) -> String {
    Object::new()
        .text("site", &point.location.to_string())
        .raw("count", &point.count.to_string())
        .end()
}
