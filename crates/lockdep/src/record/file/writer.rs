//! Writes the lines of a graph file.

use super::super::{Place, Record};
use super::{MAGIC, VERSION};
use crate::ReportKind;
use crate::grade::{Segment, Taken, Witness};

/// The contents of the file.
pub(super) fn write(record: &Record) -> String {
    let mut lines = Lines::default();
    lines.add(&[&format!("{MAGIC} {VERSION}")]);
    for run in &record.runs {
        lines.add(&["run", &run.program, &run.pid.to_string()]);
    }
    for class in &record.classes {
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
    for edge in &record.edges {
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
    for finding in record
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
