//! The differences that remain, and why: the table of `docs/conformance.md`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Error};

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The kernel, or `all`.
    pub kernel: String,
    /// The transcript.
    pub transcript: String,
    /// The step, or `wire NAME`.
    pub what: String,
}

/// The explained differences.
#[derive(Clone, Debug, Default)]
pub struct Known(Vec<Row>);

impl Known {
    /// Reads the tables of the document: rows whose first cells are a kernel, a transcript and step numbers (or `wire` and
    /// names), separated by commas.
    ///
    /// # Errors
    /// The document cannot be read.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Ok(Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let mut rows = Vec::new();
        for line in text.lines().filter(|line| line.starts_with('|')) {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let [_, kernels, transcript, steps, ..] = cells[..] else {
                continue;
            };
            let is_kernel = |it: &str| it == "all" || it.starts_with(|c: char| c.is_ascii_digit());
            for kernel in kernels.split(", ").filter(|it| is_kernel(it)) {
                for what in steps.split(", ") {
                    rows.push(Row {
                        kernel: kernel.into(),
                        transcript: transcript.into(),
                        what: what.into(),
                    });
                }
            }
        }
        Self(rows)
    }

    /// Whether a difference is explained.
    pub fn explains(&self, kernel: &str, transcript: &str, what: &str) -> bool {
        self.0.iter().any(|row| {
            (row.kernel == kernel || row.kernel == "all")
                && row.transcript == transcript
                && row.what == what
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let known = Known::parse(
            "| kernel | list | step | why |\n|---|---|---|---|\n| 6.1, 6.12 | 01-dev | 5, wire x | because |\n",
        );
        assert!(known.explains("6.12", "01-dev", "5"));
        assert!(known.explains("6.1", "01-dev", "wire x"));
        assert!(!known.explains("7.2", "01-dev", "5"));
        assert!(!known.explains("6.1", "01-dev", "6"));
    }
}
