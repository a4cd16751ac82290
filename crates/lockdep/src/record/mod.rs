//! What a run has learnt, as plain data: the one structure behind every output.
//!
//! [`Record::take`] gathers classes, dependencies with both of their sites and stacks, and findings with their grades.
//! From there it becomes JSON, SARIF, DOT or a page ([`Record::to_json`] and so on), or a graph file that another
//! process can read ([`Record::to_file`]). Records of several runs become one with [`merge`](crate::merge()).

mod dot;
pub(crate) mod exit;
mod file;
mod html;
pub(crate) mod json;
mod sarif;

use std::collections::HashMap;
use std::fmt::Write as _;

pub use exit::write_graph;
pub use file::FileError;

use crate::grade::{Grade, Instances, Taken, Witness};
use crate::graph::{self, Edge, End, Locker};
use crate::report::text::frames::Namer;
use crate::report::{self, Banner, Report};
use crate::{ReportKind, thread};

/// What one run, or several, have learnt.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// The runs that it comes from.
    pub runs: Vec<Run>,
    /// The classes of locks.
    pub classes: Vec<RecordClass>,
    /// What was taken while what was held.
    pub edges: Vec<RecordEdge>,
    /// What is wrong, worst first.
    pub findings: Vec<Finding>,
}

/// One run of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// The program's file name.
    pub program: String,
    /// Its process id.
    pub pid: u32,
}

/// A class of locks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordClass {
    /// The name that reports print.
    pub name: String,
    /// The four characters that reports print in braces.
    pub usage: String,
    /// Its level in a declared order: table and name.
    pub level: Option<(String, String)>,
    /// Whether the order of its locks is checked.
    pub checked: bool,
    /// It belongs to one object, and shares its name with the classes of others.
    pub shared_name: bool,
    /// Some of those who asked for its locks for writing.
    pub(crate) writers: Vec<Witness>,
}

/// One of the two locks of a dependency.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The line that took it: `file:line`.
    pub site: Option<String>,
    /// The functions that took it, innermost first.
    pub stack: Vec<String>,
    /// Address of the lock.
    pub instance: u64,
}

/// A dependency.
#[derive(Clone, Debug)]
pub struct RecordEdge {
    /// Index of the class that was held.
    pub from: usize,
    /// Index of the class that was taken.
    pub to: usize,
    pub(crate) lockers: Locker,
    /// How the first lock was taken, when the dependency was first seen.
    pub held: Place,
    /// How the second lock was taken.
    pub taken: Place,
    /// Name and id of the thread that was seen first.
    pub thread: (String, i32),
    /// It closed a cycle that was reported.
    pub reported: bool,
    /// It was not seen itself: it stands for a class that has ended.
    pub bridge: bool,
    /// What it breaks of the declared order.
    pub breaks: Option<String>,
    /// Index of the run that saw it first.
    pub run: usize,
    pub(crate) witnesses: Vec<Witness>,
}

/// Something that is wrong.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What it is about.
    pub kind: ReportKind,
    /// The same for the same finding in another run.
    pub signature: String,
    /// How likely it is to become a deadlock; nothing if it is about the validator itself.
    pub grade: Option<Grade>,
    /// Whether its parts were seen to meet in the same locks.
    pub instances: Option<Instances>,
    /// The locks that keep the parts of a cycle from each other.
    pub gates: Vec<String>,
    /// Names of the classes that it is about.
    pub classes: Vec<String>,
    /// Of a cycle: indices of its dependencies, in order. Empty if a class of it has ended.
    pub cycle: Vec<usize>,
    /// The threads that make it, by name and id.
    pub threads: Vec<(String, i32)>,
    /// What it breaks of the declared order.
    pub breaks: Vec<String>,
    /// The line that completed it: `file:line`.
    pub site: Option<String>,
    /// No run saw all of it.
    pub across_runs: bool,
    /// The whole report.
    pub text: String,
}

impl RecordEdge {
    /// With which kinds of locker it was seen: `ER`, `EN`, `SR`, `SN`, the first letter for the lock that was held
    /// (exclusive, shared), the second for the one that was taken (recursive reader, not).
    #[must_use]
    pub fn lockers(&self) -> Vec<&'static str> {
        self.lockers.names()
    }
}

impl Finding {
    /// How it is ordered among others: the worst first.
    fn rank(
        &self,
    ) -> (
        std::cmp::Reverse<Option<Grade>>,
        std::cmp::Reverse<Option<Instances>>,
    ) {
        // What is no cycle was seen to happen: it stands with the worst.
        let grade = self.grade.unwrap_or(Grade::Certain);
        (
            std::cmp::Reverse(Some(grade)),
            std::cmp::Reverse(self.instances),
        )
    }

    /// One line: kind, classes, grade.
    #[must_use]
    pub fn headline(&self) -> String {
        let mut text = self.signature.clone();
        if let (Some(grade), Some(instances)) = (self.grade, self.instances) {
            text += &format!(" [{grade}, {instances}]");
        }
        text
    }
}

impl Record {
    /// What this process has learnt so far. Names stacks, which takes milliseconds for each hundred dependencies.
    #[must_use]
    pub fn take() -> Self {
        thread::quietly(Self::gather)
    }

    fn gather() -> Self {
        let mut record = Self {
            runs: vec![Run::this()],
            ..Self::default()
        };
        let mut cycles: Vec<(String, Vec<usize>)> = Vec::new();
        let mut edges: Vec<Edge> = Vec::new();
        let mut writers: Vec<Vec<Witness>> = Vec::new();
        let mut breaks: Vec<Option<String>> = Vec::new();
        let mut index = HashMap::new();
        {
            let graph = graph::lock();
            let mut names: HashMap<&str, usize> = HashMap::new();
            for (_, class) in graph.classes() {
                *names.entry(&class.name).or_default() += usize::from(class.subclass == 0);
            }
            for (id, class) in graph.classes() {
                index.insert(id, record.classes.len());
                writers.push(graph.writers(id).to_vec());
                let level = class
                    .level
                    .map(|level| (level.table.to_owned(), level.name.to_owned()));
                record.classes.push(RecordClass {
                    name: class.display_name(),
                    usage: class.usage.characters().iter().collect(),
                    level,
                    checked: class.checked,
                    shared_name: names[&*class.name] > 1,
                    writers: Vec::new(),
                });
            }
            let mut by_ends = HashMap::new();
            for edge in graph.edges() {
                by_ends.insert((edge.from, edge.to), edges.len());
                breaks.push(graph.broken((edge.from, edge.to)));
                edges.push(edge.clone());
            }
            for (nodes, report) in graph.reported_cycles() {
                let next = nodes.iter().skip(1).chain(nodes.first());
                let ends = nodes
                    .iter()
                    .zip(next)
                    .map(|(&from, &to)| by_ends.get(&(from, to)).copied());
                if let Some(edges) = ends.collect::<Option<Vec<_>>>() {
                    cycles.push((report.signature().to_owned(), edges));
                }
            }
        }
        // Names are looked up without the graph lock: it takes a while.
        let mut namer = Namer::default();
        let missing = record.classes.len();
        let mut gone = false;
        let mut class = |id: u32| {
            index.get(&id).copied().unwrap_or_else(|| {
                gone = true;
                missing
            })
        };
        for (edge, breaks) in edges.into_iter().zip(breaks) {
            record.edges.push(RecordEdge {
                from: class(edge.from),
                to: class(edge.to),
                lockers: edge.lockers,
                held: Place::of(&edge.held, &mut namer),
                taken: Place::of(&edge.taken, &mut namer),
                thread: (edge.comm.to_string(), edge.tid),
                reported: edge.reported,
                bridge: edge.bridge,
                breaks,
                run: 0,
                witnesses: edge
                    .witnesses
                    .into_iter()
                    .map(|witness| witness.with_classes(|id| class(id as u32)))
                    .collect(),
            });
        }
        for (known, writers) in record.classes.iter_mut().zip(writers) {
            let renumbered = writers
                .into_iter()
                .map(|writer| writer.with_classes(|id| class(id as u32)));
            known.writers = renumbered.collect();
        }
        if gone {
            // Witnesses may name classes that have ended.
            record.classes.push(RecordClass {
                name: "(ended)".into(),
                usage: "....".into(),
                ..RecordClass::default()
            });
        }
        for report in report::reports() {
            let cycle = cycles
                .iter()
                .find(|(signature, _)| signature == report.signature());
            let cycle = cycle.map(|(_, edges)| edges.clone()).unwrap_or_default();
            record.findings.push(Finding::of(&report, cycle));
        }
        record.sort();
        record
    }

    pub(crate) fn sort(&mut self) {
        self.findings.sort_by_key(Finding::rank);
    }

    /// The findings that one has to act on: what is graded [`Grade::Deadlock`] or worse, or not at all.
    #[must_use]
    pub fn deadlocks(&self) -> usize {
        let is_deadlock =
            |finding: &&Finding| finding.grade.is_none_or(|grade| grade >= Grade::Deadlock);
        self.findings.iter().filter(is_deadlock).count()
    }

    /// The findings for people: each with its grade, its dependencies and the lines and stacks of both ends.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            // Writing to a string cannot fail, here and below.
            let _ = writeln!(text, "{}", finding.headline());
            if finding.across_runs {
                let _ = writeln!(text, "  no run saw all of it");
            }
            if !finding.gates.is_empty() {
                let _ = writeln!(text, "  kept apart by {}", finding.gates.join(", "));
            }
            for breaks in &finding.breaks {
                let _ = writeln!(text, "  breaks the declared order {breaks}");
            }
            for &edge in &finding.cycle {
                self.edge_text(&mut text, &self.edges[edge]);
            }
            text.push('\n');
        }
        text
    }

    fn edge_text(&self, text: &mut String, edge: &RecordEdge) {
        let run = &self.runs[edge.run];
        let _ = writeln!(
            text,
            "  {} was taken while {} was held, by {}/{} of {}[{}]:",
            self.classes[edge.to].name,
            self.classes[edge.from].name,
            edge.thread.0,
            edge.thread.1,
            run.program,
            run.pid
        );
        for (what, place) in [("held since", &edge.held), ("taken at", &edge.taken)] {
            let _ = writeln!(text, "    {what} {}", place.site.as_deref().unwrap_or("?"));
            for line in &place.stack {
                let _ = writeln!(text, "      {line}");
            }
        }
    }
}

impl Run {
    /// The run of this process.
    fn this() -> Self {
        let program = std::env::current_exe().ok();
        let name = program.as_deref().and_then(std::path::Path::file_name);
        Self {
            program: name
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default(),
            pid: std::process::id(),
        }
    }
}

impl Place {
    fn of(end: &End, namer: &mut Namer) -> Self {
        Self {
            site: end
                .site
                .map(|site| format!("{}:{}", site.file(), site.line())),
            stack: end
                .stack
                .as_ref()
                .map(|stack| namer.lines(stack))
                .unwrap_or_default(),
            instance: end.instance as u64,
        }
    }
}

impl Witness {
    /// The same with other numbers for the classes.
    pub(crate) fn with_classes(self, mut class: impl FnMut(usize) -> usize) -> Self {
        let mut renumber = |taken: &Taken| Taken {
            class: class(taken.class as usize) as u32,
            ..*taken
        };
        Self {
            held: self.held.iter().map(&mut renumber).collect(),
            taken: renumber(&self.taken),
            ..self
        }
    }
}

impl Finding {
    fn of(report: &Report, cycle: Vec<usize>) -> Self {
        Self {
            kind: report.kind(),
            signature: report.signature().to_owned(),
            grade: report.grade(),
            instances: report.instances(),
            gates: report.gates(),
            classes: report.classes().into_iter().map(str::to_owned).collect(),
            cycle,
            threads: match report.cycle_threads() {
                threads if threads.is_empty() => {
                    vec![(report.thread().0.to_owned(), report.thread().1)]
                }
                threads => threads,
            },
            breaks: report.breaks(),
            site: report.site(),
            across_runs: false,
            text: report.kernel_text(&Banner::default()),
        }
    }
}
