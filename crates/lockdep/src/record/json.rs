//! JSON, by hand: the structures are few, and nobody who uses the locks should have to compile a serialiser.

use std::fmt::Write;

use super::{Finding, Place, Record, RecordClass, RecordEdge, Run};

/// A JSON string.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => {
                // Writing to a string cannot fail.
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A JSON object under construction.
pub(crate) struct Object(String);

impl Object {
    pub(crate) fn new() -> Self {
        Self(String::from("{"))
    }

    /// Adds a field whose value is JSON already.
    pub(crate) fn raw(mut self, name: &str, value: &str) -> Self {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0 += &quote(name);
        self.0.push(':');
        self.0 += value;
        self
    }

    pub(crate) fn text(self, name: &str, value: &str) -> Self {
        self.raw(name, &quote(value))
    }

    pub(crate) fn optional(self, name: &str, value: Option<&str>) -> Self {
        self.raw(name, &value.map_or("null".into(), quote))
    }

    pub(crate) fn list<T>(self, name: &str, values: &[T], json: impl FnMut(&T) -> String) -> Self {
        self.raw(name, &array(values, json))
    }

    pub(crate) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// A JSON array.
pub(crate) fn array<T>(values: &[T], json: impl FnMut(&T) -> String) -> String {
    let values: Vec<String> = values.iter().map(json).collect();
    format!("[{}]", values.join(","))
}

impl Record {
    /// The record as JSON: `{"version": 1, "runs": […], "classes": […], "edges": […], "findings": […]}`, with the fields of
    /// [`Run`], [`RecordClass`], [`RecordEdge`] and [`Finding`].
    #[must_use]
    pub fn to_json(&self) -> String {
        Object::new()
            .raw("version", "1")
            .list("runs", &self.runs, run)
            .list("classes", &self.classes, class)
            .list("edges", &self.edges, edge)
            .list("findings", &self.findings, finding)
            .end()
    }
}

pub(super) fn run(run: &Run) -> String {
    Object::new()
        .text("program", &run.program)
        .raw("pid", &run.pid.to_string())
        .end()
}

pub(super) fn class(class: &RecordClass) -> String {
    let level = class
        .level
        .as_ref()
        .map(|(table, name)| format!("{table}::{name}"));
    Object::new()
        .text("name", &class.name)
        .text("usage", &class.usage)
        .optional("level", level.as_deref())
        .raw("checked", &class.checked.to_string())
        .end()
}

fn place(place: &Place) -> String {
    Object::new()
        .optional("site", place.site.as_deref())
        .list("stack", &place.stack, |line| quote(line))
        .text("instance", &format!("{:#x}", place.instance))
        .end()
}

pub(super) fn thread((name, id): &(String, i32)) -> String {
    Object::new()
        .text("name", name)
        .raw("id", &id.to_string())
        .end()
}

fn edge(edge: &RecordEdge) -> String {
    Object::new()
        .raw("from", &edge.from.to_string())
        .raw("to", &edge.to.to_string())
        .list("lockers", &edge.lockers(), |locker| quote(locker))
        .raw("held", &place(&edge.held))
        .raw("taken", &place(&edge.taken))
        .raw("thread", &thread(&edge.thread))
        .raw("run", &edge.run.to_string())
        .raw("reported", &edge.reported.to_string())
        .raw("bridge", &edge.bridge.to_string())
        .optional("breaks", edge.breaks.as_deref())
        .end()
}

pub(super) fn finding(finding: &Finding) -> String {
    Object::new()
        .text("kind", &format!("{:?}", finding.kind))
        .text("signature", &finding.signature)
        .optional("grade", finding.grade.map(|grade| grade.name()))
        .optional(
            "instances",
            finding.instances.map(|instances| instances.name()),
        )
        .list("gates", &finding.gates, |gate| quote(gate))
        .list("classes", &finding.classes, |class| quote(class))
        .list("cycle", &finding.cycle, usize::to_string)
        .list("threads", &finding.threads, thread)
        .list("breaks", &finding.breaks, |breaks| quote(breaks))
        .optional("site", finding.site.as_deref())
        .raw("across_runs", &finding.across_runs.to_string())
        .text("text", &finding.text)
        .end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_json_cannot_hold_is_escaped() {
        assert_eq!(quote("a\"b\\c\n\u{1}"), r#""a\"b\\c\n\u0001""#);
    }
}
