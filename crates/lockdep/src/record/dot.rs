//! Graphviz: one node a class, one arrow a dependency, what makes a finding in colour.

use std::fmt::Write;

use super::Record;
use super::json::quote;
use crate::grade::Grade;

impl Record {
    /// The graph for `dot`. Classes without dependencies are left out.
    #[must_use]
    pub fn to_dot(&self) -> String {
        let mut dot = String::from(
            "digraph lockdep {\n  rankdir=TB;\n  node [shape=box, style=rounded, fontname=\"sans-serif\"];\n",
        );
        let used = |class: usize| {
            self.edges
                .iter()
                .any(|edge| edge.from == class || edge.to == class)
        };
        for (at, class) in self.classes.iter().enumerate().filter(|&(at, _)| used(at)) {
            // Writing to a string cannot fail, here and below.
            let _ = writeln!(dot, "  c{at} [label={}];", quote(&class.name));
        }
        for (at, edge) in self.edges.iter().enumerate() {
            let worst = self
                .findings
                .iter()
                .filter(|finding| finding.cycle.contains(&at))
                .filter_map(|finding| finding.grade)
                .max();
            let colour = match worst {
                Some(Grade::Certain | Grade::Deadlock) => ", color=\"#c1121f\", penwidth=2",
                Some(_) => ", color=\"#b8860b\", penwidth=2",
                None if edge.bridge => ", style=dashed",
                None => "",
            };
            let label = edge.taken.site.as_deref().unwrap_or("");
            let label = label.rsplit('/').next().unwrap_or(label);
            let constraint = if edge.reported {
                ", constraint=false"
            } else {
                ""
            };
            let _ = writeln!(
                dot,
                "  c{} -> c{} [tooltip={}{colour}{constraint}];",
                edge.from,
                edge.to,
                quote(label)
            );
        }
        dot.push_str("}\n");
        dot
    }
}
