//! The result of a measurement: rows, printed as a table and written as JSON.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// One figure.
#[derive(Debug)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) case: String,
    /// The figure, in `unit`.
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// What it is compared with, measured in the same run, in the same unit.
    pub(crate) floor: f64,
    /// The name of that.
    pub(crate) against: &'static str,
    /// The most that the value may be, in the same unit; `None` for a figure that is only told.
    pub(crate) target: Option<f64>,
}

impl Row {
    /// Of nothing, everything is as much as it is.
    fn ratio(&self) -> f64 {
        match self.floor {
            0.0 => self.value,
            floor => self.value / floor,
        }
    }

    /// Whether the target is met; a figure without one misses nothing.
    fn ok(&self) -> bool {
        self.target.is_none_or(|target| self.value <= target)
    }
}

/// Prints the table.
pub(crate) fn print(rows: &[Row]) {
    let width = rows.iter().map(|row| row.case.len()).max().unwrap_or(0);
    println!(
        "{:width$} {:>10} {:>10} {:>7} {:>10}      compared with",
        "case", "value", "floor", "ratio", "target"
    );
    for row in rows {
        let target = row
            .target
            .map_or_else(|| "-".to_owned(), |target| format!("{target:.2}"));
        let verdict = if row.target.is_none() {
            ""
        } else if row.ok() {
            "ok"
        } else {
            "MISS"
        };
        println!(
            "{:width$} {:>7.2} {} {:>7.2} {} {:>7.2} {:>7} {} {:4} {}",
            row.case,
            row.value,
            row.unit,
            row.floor,
            row.unit,
            row.ratio(),
            target,
            row.unit,
            verdict,
            row.against
        );
    }
}

/// Writes the rows as `out/what.json` and returns that path.
pub(crate) fn write(rows: &[Row], out: &Path, what: &str) -> Result<PathBuf> {
    let mut text = String::from("[\n");
    for (at, row) in rows.iter().enumerate() {
        let target = row
            .target
            .map_or_else(|| "null".to_owned(), |target| format!("{target:.4}"));
        write!(
            text,
            r#"  {{"case": "{}", "value": {:.4}, "unit": "{}", "floor": {:.4}, "ratio": {:.4}, "target": {target}, "ok": {}}}"#,
            row.case,
            row.value,
            row.unit,
            row.floor,
            row.ratio(),
            row.ok()
        )?;
        text.push_str(if at + 1 < rows.len() { ",\n" } else { "\n" });
    }
    text.push_str("]\n");
    std::fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    let path = out.join(what).with_extension("json");
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
