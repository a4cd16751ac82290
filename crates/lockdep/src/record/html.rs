//! One page with everything in it: findings, graph, sites and stacks. It loads nothing from anywhere.

use std::collections::HashMap;
use std::hash::Hash;

use super::json::{self, Object, array, quote};
use super::{Place, Record, RecordEdge};

/// The page; the data goes where the mark is.
const PAGE: &str = include_str!("page.html");
const MARK: &str = "/*RECORD*/";

impl Record {
    /// The record as one self-contained HTML page.
    #[must_use]
    pub fn to_html(&self) -> String {
        // Within a script element only its end tag and comments mean anything to the parser; JSON can spell them otherwise.
        let json = self.to_page_json().replace('<', "\\u003c");
        PAGE.replacen(MARK, &json, 1)
    }

    /// What the page needs of [`to_json`](Record::to_json), with every function, stack and line written once and told by its
    /// number: most dependencies have stacks in common with many others.
    fn to_page_json(&self) -> String {
        let (mut frames, mut stacks, mut sites) = (Once::new(), Once::new(), Once::new());
        let mut place = |place: &Place| {
            let stack: Vec<usize> = place
                .stack
                .iter()
                .map(|frame| frames.number(frame))
                .collect();
            let site = place.site.as_ref().map(|site| sites.number(site));
            let site = site.map_or_else(|| "null".into(), |site| site.to_string());
            format!("[{site},{}]", stacks.number(&stack))
        };
        let mut edge = |edge: &RecordEdge| {
            let mut object = Object::new()
                .raw("from", &edge.from.to_string())
                .raw("to", &edge.to.to_string())
                .raw("held", &place(&edge.held))
                .raw("taken", &place(&edge.taken))
                .raw("thread", &json::thread(&edge.thread))
                .raw("run", &edge.run.to_string());
            for (name, is) in [("reported", edge.reported), ("bridge", edge.bridge)] {
                if is {
                    object = object.raw(name, "true");
                }
            }
            if let Some(breaks) = &edge.breaks {
                object = object.text("breaks", breaks);
            }
            object.end()
        };
        let edges = array(&self.edges, &mut edge);
        Object::new()
            .list("runs", &self.runs, json::run)
            .list("classes", &self.classes, json::class)
            .raw("edges", &edges)
            .list("findings", &self.findings, json::finding)
            .list("sites", &sites.all, |site| quote(site))
            .list("frames", &frames.all, |frame| quote(frame))
            .list("stacks", &stacks.all, |stack| {
                array(stack, usize::to_string)
            })
            .end()
    }
}

/// Values, each kept once, and their numbers.
struct Once<T> {
    numbers: HashMap<T, usize>,
    all: Vec<T>,
}

impl<T: Clone + Eq + Hash> Once<T> {
    fn new() -> Self {
        Self {
            numbers: HashMap::new(),
            all: Vec::new(),
        }
    }

    fn number(&mut self, value: &T) -> usize {
        if let Some(&number) = self.numbers.get(value) {
            return number;
        }
        self.numbers.insert(value.clone(), self.all.len());
        self.all.push(value.clone());
        self.all.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_one_mark_and_no_address() {
        assert_eq!(PAGE.matches(MARK).count(), 1);
        let addresses = PAGE.matches("://").count();
        let namespaces = PAGE.matches("http://www.w3.org/2000/svg").count();
        assert_eq!(addresses, namespaces, "the page loads nothing");
    }

    #[test]
    fn a_name_cannot_end_the_script() {
        let record = Record {
            classes: vec![crate::record::RecordClass {
                name: "</script><b>".into(),
                ..Default::default()
            }],
            ..Record::default()
        };
        assert!(!record.to_html().contains("</script><b>"));
    }
}
