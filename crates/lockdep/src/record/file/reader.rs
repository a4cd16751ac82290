//! Reads the lines of a graph file, and says where it is damaged.

use std::str::FromStr;

use super::super::{Finding, Place, Record, RecordClass, RecordEdge, Run};
use super::{KINDS, MAGIC, VERSION};
use crate::grade::{Grade, Instances, Segment, Taken, Witness};
use crate::graph::Locker;

/// The first thing that is wrong, and at which byte.
pub(super) type Damage = (usize, String);

#[derive(Default)]
pub(super) struct Reader {
    record: Record,
    lines: usize,
    ended: bool,
}

impl Reader {
    pub(super) fn read(mut self, bytes: &[u8]) -> Result<Record, Damage> {
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
