//! The verdicts: what was played beside what was recorded.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Error};

use crate::golden::{Status, Transcript};
use crate::masks::Masks;
use crate::play::Played;
use crate::wire::{self, Datagram};

/// What is the case with one thing that was compared.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The step's number, or `wire NAME`.
    pub what: String,
    /// What the shell was given.
    pub command: String,
    /// How the two differ; empty if they do not.
    pub difference: String,
}

impl Verdict {
    /// No difference.
    pub fn is_equal(&self) -> bool {
        self.difference.is_empty()
    }
}

/// What all comparisons came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Steps and conversations that were equal.
    pub equal: usize,
    /// Those that differed.
    pub different: usize,
    /// Those among them that the document does not explain.
    pub unexplained: usize,
}

/// Compares what a stage's `host` folder has with the transcript and the recorded conversations.
///
/// # Errors
/// The results cannot be read.
pub fn compare(
    transcript: &Transcript,
    skip: &[u32],
    recorded: &BTreeMap<String, Vec<Datagram>>,
    masks: &Masks,
    host: &Path,
) -> Result<Vec<Verdict>, Error> {
    let played = results(&host.join("played.jsonl"))?;
    let captured = fs::read(host.join("wire.pcap")).unwrap_or_default();
    let mut verdicts = Vec::new();
    for step in &transcript.steps {
        if skip.contains(&step.n) {
            continue;
        }
        let verdict = |what: String, difference: String| Verdict {
            what,
            command: step.command.clone(),
            difference,
        };
        let got = played.get(&step.n);
        let difference = match got {
            None => "not played: the machine was gone\n".into(),
            Some(got) => {
                let mut text = String::new();
                if got.rc != step.rc {
                    let (was, is) = (status(&step.rc), status(&got.rc));
                    let _ = writeln!(text, "  status: {was} became {is}");
                }
                let mask = |printed: &str| masks.text(&step.command, printed);
                lines(&mut text, "stdout", &mask(&step.stdout), &mask(&got.stdout));
                lines(&mut text, "stderr", &mask(&step.stderr), &mask(&got.stderr));
                text
            }
        };
        verdicts.push(verdict(step.n.to_string(), difference));
        if let Some((name, datagrams)) = step
            .captured()
            .and_then(|name| recorded.get_key_value(name))
        {
            let ours = got.map_or_else(Vec::new, |got| {
                wire::captured(&captured, got.captured.0, got.captured.1)
            });
            let mut text = String::new();
            let (was, is) = (masks.conversation(datagrams), masks.conversation(&ours));
            lines(&mut text, "wire", &was, &is);
            verdicts.push(verdict(format!("wire {name}"), text));
        }
    }
    Ok(verdicts)
}

/// What was played, by the step's number.
pub(crate) fn results(path: &Path) -> Result<BTreeMap<u32, Played>, Error> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut all = BTreeMap::new();
    for line in text.lines() {
        let played: Played = serde_json::from_str(line).context("an unfinished result")?;
        all.insert(played.n, played);
    }
    Ok(all)
}

fn status(status: &Status) -> String {
    match status {
        Status::Code(code) => code.to_string(),
        Status::Other(word) => word.clone(),
    }
}

/// The lines that differ, `-` as recorded and `+` as played.
fn lines(out: &mut String, what: &str, was: &str, is: &str) {
    if was == is {
        return;
    }
    let _ = writeln!(out, "  {what}:");
    let was: Vec<&str> = was.split_inclusive('\n').collect();
    let is: Vec<&str> = is.split_inclusive('\n').collect();
    let mut line = |sign: char, text: &str| {
        let end = if text.ends_with('\n') {
            ""
        } else {
            " (no newline)"
        };
        let _ = writeln!(
            out,
            "    {sign} {}{end}",
            visible(text.trim_end_matches('\n'))
        );
    };
    let (mut i, mut j) = (0, 0);
    for (at, other) in common(&was, &is) {
        was[i..at].iter().for_each(|text| line('-', text));
        is[j..other].iter().for_each(|text| line('+', text));
        (i, j) = (at + 1, other + 1);
    }
    was[i..].iter().for_each(|text| line('-', text));
    is[j..].iter().for_each(|text| line('+', text));
}

/// A line with its control characters escaped.
fn visible(text: &str) -> String {
    let escape = |c: char| match c {
        '\t' => vec![c],
        c if c.is_control() => c.escape_default().collect(),
        c => vec![c],
    };
    text.chars().flat_map(escape).collect()
}

/// The places of a longest common subsequence; for long texts only the common beginning and end.
fn common(a: &[&str], b: &[&str]) -> Vec<(usize, usize)> {
    let start = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let (rest_a, rest_b) = (&a[start..], &b[start..]);
    let end = rest_a
        .iter()
        .rev()
        .zip(rest_b.iter().rev())
        .take_while(|(x, y)| x == y)
        .count();
    let (n, m) = (rest_a.len() - end, rest_b.len() - end);
    let mut pairs: Vec<_> = (0..start).map(|at| (at, at)).collect();
    if n * m <= 1 << 20 {
        let mut longest = vec![vec![0_u32; m + 1]; n + 1];
        for i in (0..n).rev() {
            for j in (0..m).rev() {
                longest[i][j] = match rest_a[i] == rest_b[j] {
                    true => longest[i + 1][j + 1] + 1,
                    false => longest[i + 1][j].max(longest[i][j + 1]),
                };
            }
        }
        let (mut i, mut j) = (0, 0);
        while i < n && j < m {
            if rest_a[i] == rest_b[j] {
                pairs.push((start + i, start + j));
                (i, j) = (i + 1, j + 1);
            } else if longest[i + 1][j] >= longest[i][j + 1] {
                i += 1;
            } else {
                j += 1;
            }
        }
    }
    pairs.extend((0..end).map(|at| (start + n + at, start + m + at)));
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_that_differ_are_shown() {
        let mut text = String::new();
        lines(&mut text, "stdout", "a\nb\nc\n", "a\nx\nc");
        assert_eq!(
            text,
            "  stdout:\n    - b\n    - c\n    + x\n    + c (no newline)\n"
        );
        text.clear();
        lines(&mut text, "stdout", "same\n", "same\n");
        assert_eq!(text, "");
    }
}
