//! What the kernel shows in `/proc/lockdep`, `/proc/lockdep_chains` and `/proc/lockdep_stats`, in its layout, so that what reads
//! those reads these (`kernel/locking/lockdep_proc.c`). In the place of a key's address stands the number of the class.

use std::collections::HashSet;
use std::fmt::Write;

use crate::chain::Word;
use crate::graph::{self, Graph};
use crate::{reports, thread};

/// How much has been learnt, and how much there is room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Classes, subclasses counted.
    pub classes: usize,
    /// So many classes fit.
    pub max_classes: usize,
    /// Dependencies.
    pub dependencies: usize,
    /// So many dependencies fit.
    pub max_dependencies: usize,
    /// Dependencies and all that follow from them.
    pub all_dependencies: usize,
    /// Chains of locks that were found in order.
    pub chains: usize,
    /// So many chains fit; further ones are validated each time.
    pub max_chains: usize,
    /// Chains of which it is still noted who makes them.
    pub learning_chains: usize,
    /// Distinct stacks that are kept.
    pub stacks: usize,
    /// So many stacks fit.
    pub max_stacks: usize,
    /// Acquisitions that are kept to grade cycles by.
    pub witnesses: usize,
    /// So many locks of one thread are followed.
    pub max_depth: usize,
    /// Reports so far.
    pub reports: usize,
}

/// How much has been learnt so far.
#[must_use]
pub fn stats() -> Stats {
    let reports = reports().len();
    thread::quietly(|| {
        let graph = graph::lock();
        let classes = || graph.classes().map(|(id, _)| id);
        Stats {
            classes: classes().count(),
            max_classes: graph.limits.classes,
            dependencies: graph.edges().count(),
            max_dependencies: graph.limits.dependencies,
            all_dependencies: classes().map(|id| reach(&graph, id, true)).sum(),
            chains: graph.chain_count(),
            max_chains: graph.limits.chains,
            learning_chains: graph.learning_count(),
            stacks: graph.stacks.count(),
            max_stacks: graph.limits.stacks,
            witnesses: graph
                .edges()
                .map(|edge| edge.witnesses.len())
                .sum::<usize>()
                + classes().map(|id| graph.writers(id).len()).sum::<usize>(),
            max_depth: graph.limits.depth,
            reports,
        }
    })
}

/// How many classes can be reached from one, without itself.
fn reach(graph: &Graph, id: u32, forwards: bool) -> usize {
    let mut seen = HashSet::from([id]);
    let mut open = vec![id];
    while let Some(id) = open.pop() {
        let Some(class) = graph.class(id) else {
            continue;
        };
        let edges = if forwards {
            &class.after
        } else {
            &class.before
        };
        for &edge in edges {
            let edge = graph.edge(edge);
            let next = if forwards { edge.to } else { edge.from };
            if seen.insert(next) {
                open.push(next);
            }
        }
    }
    seen.len() - 1
}

/// As `/proc/lockdep`: each class with how many follow and precede it, and what was taken directly under it.
#[must_use]
pub fn lockdep() -> String {
    thread::quietly(|| {
        let graph = graph::lock();
        let mut text = String::from("all lock classes:\n");
        for (id, class) in graph.classes() {
            // The kernel counts the class itself. Writing to a string cannot fail, here and below.
            let _ = writeln!(
                text,
                "{id:016x} FD: {:5} BD: {:5} {}: {}",
                reach(&graph, id, true) + 1,
                reach(&graph, id, false) + 1,
                class.usage.characters().iter().collect::<String>(),
                class.display_name()
            );
            for &edge in &class.after {
                let to = graph.edge(edge).to;
                let name = graph
                    .class(to)
                    .map_or_else(String::new, |class| class.display_name());
                let _ = writeln!(text, " -> [{to:016x}] {name}");
            }
            text.push('\n');
        }
        text
    })
}

/// As `/proc/lockdep_chains`: each chain of locks that was found in order.
#[must_use]
pub fn lockdep_chains() -> String {
    thread::quietly(|| {
        let graph = graph::lock();
        let mut text = String::from("all lock chains:\n");
        for words in graph.chains() {
            let in_handler = words.last().is_some_and(|word| word.has(Word::IN_HANDLER));
            let context = if in_handler { "hardirq" } else { "0" };
            let _ = writeln!(text, "irq_context: {context}");
            for word in words {
                let id = word.class();
                if let Some(class) = graph.class(id) {
                    let _ = writeln!(text, "[{id:016x}] {}", class.display_name());
                }
            }
            text.push('\n');
        }
        text
    })
}

/// As `/proc/lockdep_stats`, with those of its lines that mean something here.
#[must_use]
pub fn lockdep_stats() -> String {
    let stats = stats();
    let mut text = String::new();
    let mut line = |name: &str, value: usize, max: Option<usize>| {
        let max = max.map_or_else(String::new, |max| format!(" [max: {max}]"));
        let _ = writeln!(text, " {:<31}{value:11}{max}", format!("{name}:"));
    };
    line("lock-classes", stats.classes, Some(stats.max_classes));
    line(
        "direct dependencies",
        stats.dependencies,
        Some(stats.max_dependencies),
    );
    line("all direct dependencies", stats.all_dependencies, None);
    line("dependency chains", stats.chains, Some(stats.max_chains));
    line("learning chains", stats.learning_chains, None);
    line(
        "number of stack traces",
        stats.stacks,
        Some(stats.max_stacks),
    );
    line("witnesses", stats.witnesses, None);
    line("max locking depth", stats.max_depth, None);
    line("reports", stats.reports, None);
    line("debug_locks", 1, None);
    text
}
