//! Graph files: what a run has learnt, for another process to read.
//!
//! Text, a line a fact, fields separated by tabs; `\t`, `\n` and `\\` stand for what they name. The first line is
//! `lockdep-graph VERSION`, the last one says how many lines there are, so that a file that was cut off is known as such.
//!
//! ```text
//! run      PROGRAM PID
//! class    NAME USAGE CHECKED SHARED-NAME LEVEL-TABLE LEVEL
//! writer   RUN THREAD TID NAME CLOCK HELD TAKEN   (of the class above)
//! edge     FROM TO LOCKERS REPORTED BRIDGE RUN THREAD TID BREAKS
//! held     SITE ADDRESS FUNCTION…            (of the edge above)
//! taken    SITE ADDRESS FUNCTION…            (of the edge above)
//! witness  RUN THREAD TID NAME CLOCK HELD TAKEN   (of the edge above)
//! finding  KIND SIGNATURE SITE TEXT CLASS…        (what is no cycle: cycles follow from the edges)
//! end      LINES
//! ```

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::{Finding, Place, Record, RecordClass, RecordEdge, Run};
use crate::ReportKind;
use crate::grade::{Grade, Instances, Segment, Taken, Witness};
use crate::graph::Locker;

const MAGIC: &str = "lockdep-graph";
const VERSION: &str = "1";

/// A graph file that cannot be read: which, where in it, and why. One line.
#[derive(Debug)]
pub struct FileError {
    path: PathBuf,
    /// Byte offset of the line; nothing if the file could not be opened.
    offset: Option<usize>,
    what: String,
}

impl FileError {
    /// Where the damage begins: the offset of the line in bytes.
    #[must_use]
    pub fn offset(&self) -> Option<usize> {
        self.offset
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, offset, what } = self;
        match offset {
            Some(offset) => write!(f, "{}: byte {offset}: {what}", path.display()),
            None => write!(f, "{}: {what}", path.display()),
        }
    }
}

impl std::error::Error for FileError {}

/// Every kind of finding that is no cycle.
const KINDS: [ReportKind; 11] = [
    ReportKind::Recursive,
    ReportKind::InconsistentState,
    ReportKind::SignalInversion,
    ReportKind::SignalUnsafeOrder,
    ReportKind::InvalidWaitContext,
    ReportKind::NestNotTaken,
    ReportKind::BadUnlock,
    ReportKind::HeldLockFreed,
    ReportKind::StillHeld,
    ReportKind::Assertion,
    ReportKind::Limit,
];

impl Record {
    /// The record as the contents of a graph file.
    #[must_use]
    pub fn to_file(&self) -> String {
        let mut lines = Lines::default();
        lines.add(&[&format!("{MAGIC} {VERSION}")]);
        for run in &self.runs {
            lines.add(&["run", &run.program, &run.pid.to_string()]);
        }
        for class in &self.classes {
            let (table, level) = class.level.clone().unwrap_or_default();
            let (checked, shared) = (flag(class.checked), flag(class.shared_name));
            lines.add(&[
                "class",
                &class.name,
                &class.usage,
                checked,
                shared,
                &table,
                &level,
            ]);
            for writer in &class.writers {
                lines.witness("writer", writer);
            }
        }
        for edge in &self.edges {
            let numbers =
                [edge.from, edge.to, edge.lockers.bits().into()].map(|number| number.to_string());
            let [from, to, lockers] = &numbers;
            let (run, tid) = (edge.run.to_string(), edge.thread.1.to_string());
            let breaks = edge.breaks.as_deref().unwrap_or("");
            let (reported, bridge) = (flag(edge.reported), flag(edge.bridge));
            lines.add(&[
                "edge",
                from,
                to,
                lockers,
                reported,
                bridge,
                &run,
                &edge.thread.0,
                &tid,
                breaks,
            ]);
            lines.place("held", &edge.held);
            lines.place("taken", &edge.taken);
            for witness in &edge.witnesses {
                lines.witness("witness", witness);
            }
        }
        for finding in self
            .findings
            .iter()
            .filter(|finding| finding.kind != ReportKind::Circular)
        {
            let kind = format!("{:?}", finding.kind);
            let site = finding.site.as_deref().unwrap_or("");
            let mut fields = vec!["finding", &kind, &finding.signature, site, &finding.text];
            fields.extend(finding.classes.iter().map(String::as_str));
            lines.add(&fields);
            if let (Some(grade), Some(instances)) = (finding.grade, finding.instances) {
                let mut fields = vec!["grade", grade.name(), instances.name()];
                fields.extend(finding.gates.iter().map(String::as_str));
                lines.add(&fields);
            }
        }
        let count = (lines.count + 1).to_string();
        lines.add(&["end", &count]);
        lines.text
    }

    /// Writes a graph file: under another name first, so that nobody ever sees half of it.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        let beside = path.with_file_name(name);
        fs::write(&beside, self.to_file())?;
        fs::rename(&beside, path)
    }

    /// Reads a graph file.
    ///
    /// # Errors
    /// A file that cannot be read, is no graph file, is of a newer version, damaged or cut off.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let error = |offset, what| FileError {
            path: path.to_owned(),
            offset,
            what,
        };
        let bytes = fs::read(path).map_err(|io| error(None, io.to_string()))?;
        Reader::default()
            .read(&bytes)
            .map_err(|(offset, what)| error(Some(offset), what))
    }
}

const fn flag(flag: bool) -> &'static str {
    if flag { "1" } else { "0" }
}

#[derive(Default)]
struct Lines {
    text: String,
    count: usize,
}

impl Lines {
    fn add(&mut self, fields: &[&str]) {
        for (at, field) in fields.iter().enumerate() {
            if at > 0 {
                self.text.push('\t');
            }
            for c in field.chars() {
                match c {
                    '\t' => self.text.push_str("\\t"),
                    '\n' => self.text.push_str("\\n"),
                    '\\' => self.text.push_str("\\\\"),
                    c => self.text.push(c),
                }
            }
        }
        self.text.push('\n');
        self.count += 1;
    }

    fn place(&mut self, what: &str, place: &Place) {
        let instance = place.instance.to_string();
        let mut fields = vec![what, place.site.as_deref().unwrap_or(""), &instance];
        fields.extend(place.stack.iter().map(String::as_str));
        self.add(&fields);
    }

    fn witness(&mut self, what: &str, witness: &Witness) {
        let Segment { thread, clock } = &witness.segment;
        let clock: Vec<String> = clock
            .iter()
            .map(|(thread, epoch)| format!("{thread}:{epoch}"))
            .collect();
        let held: Vec<String> = witness.held.iter().map(taken_text).collect();
        self.add(&[
            what,
            &witness.run.to_string(),
            &thread.to_string(),
            &witness.tid.to_string(),
            &witness.comm,
            &clock.join(","),
            &held.join(","),
            &taken_text(&witness.taken),
        ]);
    }
}

fn taken_text(taken: &Taken) -> String {
    format!(
        "{}:{}:{}:{}",
        taken.class,
        taken.instance,
        taken.mode,
        flag(taken.excludes)
    )
}

/// The first thing that is wrong, and at which byte.
type Damage = (usize, String);

#[derive(Default)]
struct Reader {
    record: Record,
    lines: usize,
    ended: bool,
}

impl Reader {
    fn read(mut self, bytes: &[u8]) -> Result<Record, Damage> {
        let mut offset = 0;
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.line(line).map_err(|what| (offset, what))?;
            offset += line.len();
        }
        if self.lines == 0 {
            return Err((
                0,
                format!("not a graph file: it does not begin with \"{MAGIC}\""),
            ));
        }
        if !self.ended {
            return Err((offset, "cut off: there is no last line".into()));
        }
        self.check().map_err(|what| (offset, what))?;
        Ok(self.record)
    }

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        let text = std::str::from_utf8(line).map_err(|_| self.damaged("not text"))?;
        if self.lines == 0 {
            self.first(text)?;
            self.lines = 1;
            return Ok(());
        }
        let Some(text) = text.strip_suffix('\n') else {
            return Err("cut off: the line has no end".into());
        };
        if self.ended {
            return Err(self.damaged("a line behind the last one"));
        }
        self.lines += 1;
        let fields: Option<Vec<String>> = text.split('\t').map(unescape).collect();
        let fields = fields.ok_or_else(|| self.damaged("a backslash that means nothing"))?;
        self.fact(&mut Fields(fields.into_iter()))
            .map_err(|what| self.damaged(&what))
    }

    fn first(&self, text: &str) -> Result<(), String> {
        let version = text
            .strip_prefix(MAGIC)
            .and_then(|rest| rest.strip_prefix(' '));
        let version = version.and_then(|version| version.strip_suffix('\n'));
        match version {
            Some(VERSION) => Ok(()),
            Some(version) if version.parse::<u32>().is_ok() => Err(format!(
                "version {version} of the format is newer than this program, which reads {VERSION}"
            )),
            _ => Err(format!(
                "not a graph file: it does not begin with \"{MAGIC}\""
            )),
        }
    }

    fn damaged(&self, what: &str) -> String {
        format!("damaged: {what}")
    }

    fn fact(&mut self, fields: &mut Fields) -> Result<(), String> {
        let record = &mut self.record;
        match &*fields.text()? {
            "run" => record.runs.push(Run {
                program: fields.text()?,
                pid: fields.number()?,
            }),
            "class" => record.classes.push(RecordClass {
                name: fields.text()?,
                usage: fields.text()?,
                checked: fields.flag()?,
                shared_name: fields.flag()?,
                level: Some((fields.text()?, fields.text()?))
                    .filter(|(table, _)| !table.is_empty()),
                writers: Vec::new(),
            }),
            "writer" => {
                let class = record.classes.last_mut().ok_or("no class yet")?;
                class.writers.push(fields.witness()?);
            }
            "edge" => record.edges.push(RecordEdge {
                from: fields.number()?,
                to: fields.number()?,
                lockers: Locker::from_bits(fields.number()?).ok_or("no kind of locker")?,
                reported: fields.flag()?,
                bridge: fields.flag()?,
                run: fields.number()?,
                thread: (fields.text()?, fields.number()?),
                breaks: Some(fields.text()?).filter(|breaks| !breaks.is_empty()),
                held: Place::default(),
                taken: Place::default(),
                witnesses: Vec::new(),
            }),
            "held" => record.edges.last_mut().ok_or("no edge yet")?.held = fields.place()?,
            "taken" => record.edges.last_mut().ok_or("no edge yet")?.taken = fields.place()?,
            "witness" => {
                let witness = fields.witness()?;
                record
                    .edges
                    .last_mut()
                    .ok_or("no edge yet")?
                    .witnesses
                    .push(witness);
            }
            "finding" => record.findings.push(fields.finding()?),
            "grade" => {
                let finding = record.findings.last_mut().ok_or("no finding yet")?;
                let (grade, instances) = (fields.text()?, fields.text()?);
                finding.grade = Some(Grade::named(&grade).ok_or("no grade")?);
                finding.instances = Some(Instances::named(&instances).ok_or("no kind of meeting")?);
                finding.gates = fields.0.by_ref().collect();
            }
            "end" => {
                if fields.number::<usize>()? != self.lines {
                    return Err("lines are missing".into());
                }
                self.ended = true;
            }
            other => return Err(format!("{other:?} is no fact")),
        }
        match fields.0.next() {
            Some(field) => Err(format!("{field:?} is one field too many")),
            None => Ok(()),
        }
    }

    /// Whether all numbers name something.
    fn check(&self) -> Result<(), String> {
        let Record {
            runs,
            classes,
            edges,
            ..
        } = &self.record;
        let class = |at: usize| at < classes.len();
        let witness = |witness: &Witness| {
            witness.run < runs.len()
                && class(witness.taken.class as usize)
                && witness.held.iter().all(|held| class(held.class as usize))
        };
        let edge = |edge: &RecordEdge| {
            class(edge.from)
                && class(edge.to)
                && edge.run < runs.len()
                && edge.witnesses.iter().all(witness)
        };
        if let Some(at) = classes
            .iter()
            .position(|class| !class.writers.iter().all(witness))
        {
            return Err(format!(
                "damaged: class {at} has a writer of a class or run that is not there"
            ));
        }
        match edges.iter().position(|it| !edge(it)) {
            Some(at) => Err(format!(
                "damaged: edge {at} names a class or run that is not there"
            )),
            None => Ok(()),
        }
    }
}

/// The fields of a line that are not read yet.
struct Fields(std::vec::IntoIter<String>);

impl Fields {
    fn text(&mut self) -> Result<String, String> {
        self.0.next().ok_or_else(|| "a field is missing".into())
    }

    fn number<T: FromStr>(&mut self) -> Result<T, String> {
        number(&self.text()?)
    }

    fn flag(&mut self) -> Result<bool, String> {
        match &*self.text()? {
            "0" => Ok(false),
            "1" => Ok(true),
            other => Err(format!("{other:?} is neither 0 nor 1")),
        }
    }

    fn place(&mut self) -> Result<Place, String> {
        Ok(Place {
            site: Some(self.text()?).filter(|site| !site.is_empty()),
            instance: self.number()?,
            stack: self.0.by_ref().collect(),
        })
    }

    fn witness(&mut self) -> Result<Witness, String> {
        let run = self.number()?;
        let thread = self.number()?;
        let (tid, comm) = (self.number()?, self.text()?);
        let mut clock: Vec<(u32, u32)> = list(&self.text()?, |[thread, epoch]| {
            Ok((number(thread)?, number(epoch)?))
        })?;
        clock.sort_unstable();
        let held: Vec<Taken> = list(&self.text()?, taken)?;
        let [taken] = list(&self.text()?, taken)?[..] else {
            return Err("a witness takes one lock".into());
        };
        Ok(Witness {
            run,
            segment: Segment {
                thread,
                clock: clock.into(),
            },
            held: held.into(),
            taken,
            comm: comm.into(),
            tid,
        })
    }

    fn finding(&mut self) -> Result<Finding, String> {
        let kind = self.text()?;
        let kind = KINDS.into_iter().find(|it| format!("{it:?}") == kind);
        let signature = self.text()?;
        let site = Some(self.text()?).filter(|site| !site.is_empty());
        Ok(Finding {
            kind: kind.ok_or("no kind of finding")?,
            signature,
            text: self.text()?,
            classes: self.0.by_ref().collect(),
            grade: None,
            instances: None,
            gates: Vec::new(),
            cycle: Vec::new(),
            threads: Vec::new(),
            breaks: Vec::new(),
            site,
            across_runs: false,
        })
    }
}

fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is no number here"))
}

fn taken(fields: [&str; 4]) -> Result<Taken, String> {
    let [class, instance, mode, excludes] = fields;
    Ok(Taken {
        class: number(class)?,
        instance: number(instance)?,
        mode: number(mode)?,
        excludes: excludes == "1",
    })
}

/// Entries separated by commas, each of `N` parts separated by colons.
fn list<T, const N: usize>(
    text: &str,
    entry: impl Fn([&str; N]) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let entries = text.split(',').filter(|entry| !entry.is_empty());
    entries
        .map(|text| {
            let parts: Vec<&str> = text.split(':').collect();
            let parts =
                <[&str; N]>::try_from(parts).map_err(|_| format!("{text:?} has not {N} parts"))?;
            entry(parts)
        })
        .collect()
}

fn unescape(field: &str) -> Option<String> {
    let mut text = String::with_capacity(field.len());
    let mut chars = field.chars();
    while let Some(c) = chars.next() {
        text.push(match c {
            '\\' => match chars.next()? {
                't' => '\t',
                'n' => '\n',
                '\\' => '\\',
                _ => return None,
            },
            c => c,
        });
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn damage(text: &str) -> Damage {
        Reader::default().read(text.as_bytes()).expect_err(text)
    }

    #[test]
    fn a_file_says_what_is_wrong_with_it_and_where() {
        assert_eq!(damage("").0, 0);
        assert!(damage("hello\n").1.contains("not a graph file"));
        assert!(damage("lockdep-graph 7\nend\t2\n").1.contains("version 7"));
        assert_eq!(
            damage("lockdep-graph 1\n").1,
            "cut off: there is no last line"
        );
        let (offset, what) = damage("lockdep-graph 1\nrun\tx\t1\nclass\ta");
        assert_eq!((offset, &*what), (24, "cut off: the line has no end"));
        let (offset, what) = damage("lockdep-graph 1\nrun\tx\tmany\nend\t3\n");
        assert_eq!(
            (offset, &*what),
            (16, "damaged: \"many\" is no number here")
        );
        assert!(
            damage("lockdep-graph 1\nend\t3\n")
                .1
                .contains("lines are missing")
        );
        let edge = "edge\t0\t1\t8\t0\t0\t0\tx\t1\t\n";
        assert!(
            damage(&format!("lockdep-graph 1\n{edge}end\t3\n"))
                .1
                .contains("not there")
        );
    }

    #[test]
    fn every_prefix_of_a_file_is_refused() {
        let record = Record {
            runs: vec![Run {
                program: "tab\there".into(),
                pid: 1,
            }],
            ..Record::default()
        };
        let text = record.to_file();
        let read = Reader::default()
            .read(text.as_bytes())
            .expect("the whole file");
        assert_eq!(read.runs, record.runs);
        for end in 0..text.len() {
            damage(&text[..end]);
        }
    }
}
