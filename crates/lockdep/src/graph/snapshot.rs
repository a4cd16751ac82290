//! The dependency graph, for whoever wants to look at it.

use std::fmt::Write;

use super::End;
use crate::thread;

/// A snapshot of the dependency graph.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// The classes that were taken so far, in the order in which they were first taken.
    pub classes: Vec<ClassInfo>,
    /// The dependencies between them.
    pub edges: Vec<EdgeInfo>,
    /// How many chains of locks were found in order.
    pub chains: usize,
}

/// One class of the graph.
#[derive(Clone, Debug)]
pub struct ClassInfo {
    /// The name that reports print.
    pub name: String,
    /// The four characters that reports print in braces.
    pub usage: String,
    /// The level in a declared order: its table and its name.
    pub level: Option<(&'static str, &'static str)>,
    /// Whether the order of its locks is checked.
    pub checked: bool,
}

/// One dependency: `to` was taken while `from` was held.
#[derive(Clone, Debug)]
pub struct EdgeInfo {
    /// Index of the class that was held.
    pub from: usize,
    /// Index of the class that was taken.
    pub to: usize,
    /// With which kinds of locker it was seen: `ER`, `EN`, `SR`, `SN`, the first letter for the lock that was held
    /// (exclusive, shared), the second for the one that was taken (recursive reader, not).
    pub lockers: Vec<&'static str>,
    /// The line that took the first lock, `file:line`, when the dependency was first seen.
    pub held_at: Option<String>,
    /// The line that took the second lock.
    pub taken_at: Option<String>,
    /// Addresses of the two locks.
    pub instances: (usize, usize),
    /// Name and id of the thread that was seen first.
    pub thread: (String, i32),
    /// Whether it closed a cycle that was reported.
    pub reported: bool,
    /// Whether it stands for a class that has ended, and was not seen itself.
    pub bridge: bool,
}

/// What has been learnt so far.
#[must_use]
pub fn graph() -> Graph {
    thread::quietly(|| {
        let graph = super::lock();
        let mut index = std::collections::HashMap::new();
        let mut classes = Vec::new();
        for (id, class) in graph.classes() {
            index.insert(id, classes.len());
            classes.push(ClassInfo {
                name: class.display_name(),
                usage: class.usage.characters().iter().collect(),
                level: class.level.map(|level| (level.table, level.name)),
                checked: class.checked,
            });
        }
        let site = |end: &End| {
            end.site
                .map(|site| format!("{}:{}", site.file(), site.line()))
        };
        let edges = graph.edges().map(|edge| EdgeInfo {
            from: index[&edge.from],
            to: index[&edge.to],
            lockers: edge.lockers.names(),
            held_at: site(&edge.held),
            taken_at: site(&edge.taken),
            instances: (edge.held.instance, edge.taken.instance),
            thread: (edge.comm.to_string(), edge.tid),
            reported: edge.reported,
            bridge: edge.bridge,
        });
        Graph {
            edges: edges.collect(),
            classes,
            chains: graph.chain_count(),
        }
    })
}

impl Graph {
    /// The names of the classes at both ends of each dependency.
    pub fn dependencies(&self) -> impl Iterator<Item = (&str, &str)> {
        self.edges
            .iter()
            .map(|edge| (&*self.classes[edge.from].name, &*self.classes[edge.to].name))
    }

    /// The graph as JSON: `{"classes": [...], "edges": [...], "chains": n}`, with the fields of [`ClassInfo`] and [`EdgeInfo`].
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = String::from("{\"classes\":[");
        for (at, class) in self.classes.iter().enumerate() {
            let level = class.level.map_or("null".into(), |(table, name)| {
                quote(&format!("{table}::{name}"))
            });
            // Writing to a string cannot fail, here and below.
            let _ = write!(
                json,
                "{}\n{{\"name\":{},\"usage\":{},\"level\":{level},\"checked\":{}}}",
                comma(at),
                quote(&class.name),
                quote(&class.usage),
                class.checked
            );
        }
        json += "],\"edges\":[";
        for (at, edge) in self.edges.iter().enumerate() {
            let place = |place: &Option<String>| place.as_deref().map_or("null".into(), quote);
            let lockers: Vec<String> = edge.lockers.iter().map(|locker| quote(locker)).collect();
            let _ = write!(
                json,
                "{}\n{{\"from\":{},\"to\":{},\"lockers\":[{}],\"held_at\":{},\"taken_at\":{},\"thread\":{},\"tid\":{},\
                 \"reported\":{},\"bridge\":{}}}",
                comma(at),
                edge.from,
                edge.to,
                lockers.join(","),
                place(&edge.held_at),
                place(&edge.taken_at),
                quote(&edge.thread.0),
                edge.thread.1,
                edge.reported,
                edge.bridge
            );
        }
        let _ = write!(json, "],\"chains\":{}}}", self.chains);
        json
    }
}

fn comma(at: usize) -> &'static str {
    if at == 0 { "" } else { "," }
}

/// A JSON string.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted += "\\\"",
            '\\' => quoted += "\\\\",
            c if c.is_control() => quoted += &format!("\\u{:04x}", u32::from(c)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_json_cannot_hold_is_escaped() {
        assert_eq!(quote("a\"b\\c\n"), r#""a\"b\\c\u000a""#);
    }
}
