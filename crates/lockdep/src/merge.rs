//! One graph from several runs: finds the inversion of which each half was seen in another run, process or test.
//!
//! Classes are the same when their names are: a class that is known by its construction site, name or key has the same
//! name in every run. Classes that belong to one object and share their name with others (`name`, `name#2`) cannot be told
//! apart across runs, and stay apart. Threads of different runs are different threads, except the main threads of one
//! program: there is only one of those at a time. A gate is the same lock in two runs if each run knows only one
//! lock of the class. That two runs met in the same locks cannot be known, so what takes more than one is *class only*.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::path::Path;

use crate::ReportKind;
use crate::grade::{self, Instances, Segment, Taken, Witness};
use crate::graph::Locker;
use crate::record::{FileError, Finding, Record, RecordClass, RecordEdge};
use crate::report::cycle_signature;

/// A dependency of the merged graph keeps so many witnesses, those of many runs before many of one.
const WITNESSES: usize = 24;

/// Reads graph files and merges them: see [`Record::merge`].
///
/// # Errors
/// The first file that cannot be read.
pub fn merge<P: AsRef<Path>>(files: impl IntoIterator<Item = P>) -> Result<Record, FileError> {
    let records: Result<Vec<Record>, FileError> = files
        .into_iter()
        .map(|file| Record::read(file.as_ref()))
        .collect();
    Ok(Record::merge(&records?))
}

impl Record {
    /// One record of several, with the cycles that all of them together make, graded.
    #[must_use]
    pub fn merge(records: &[Self]) -> Self {
        let mut merger = Merger::default();
        merger.find_shared(records);
        for record in records {
            merger.add(record);
        }
        merger.one_lock_for_each_lonely_class();
        merger.find_cycles();
        merger.record.sort();
        merger.record
    }
}

#[derive(Default)]
struct Merger {
    record: Record,
    /// Names that several classes of one run share.
    shared: HashSet<String>,
    classes: HashMap<String, usize>,
    edges: HashMap<(usize, usize), usize>,
    threads: HashMap<(String, u32), u32>,
    others: HashSet<String>,
}

impl Merger {
    fn find_shared(&mut self, records: &[Record]) {
        for record in records {
            let shared = record.classes.iter().filter(|class| class.shared_name);
            self.shared
                .extend(shared.map(|class| plain(&class.name).to_owned()));
        }
    }

    fn add(&mut self, record: &Record) {
        let first_run = self.record.runs.len();
        self.record.runs.extend_from_slice(&record.runs);
        let classes: Vec<usize> = record
            .classes
            .iter()
            .map(|class| {
                let mut class = RecordClass {
                    writers: Vec::new(),
                    ..class.clone()
                };
                if self.shared.contains(plain(&class.name)) {
                    let run = record.runs.first().cloned().unwrap_or_default();
                    class.name += &format!(" [{} {}]", run.program, run.pid);
                }
                let next = self.record.classes.len();
                let at = *self.classes.entry(class.name.clone()).or_insert(next);
                if at == next {
                    self.record.classes.push(class);
                } else {
                    let known = &mut self.record.classes[at];
                    known.level = known.level.take().or(class.level);
                    known.usage = both_usages(&known.usage, &class.usage);
                }
                at
            })
            .collect();
        for (class, &at) in record.classes.iter().zip(&classes) {
            let writers = class.writers.iter();
            let writers: Vec<Witness> = writers
                .map(|writer| self.witness(writer, record, &classes, first_run))
                .collect();
            let known = &mut self.record.classes[at].writers;
            known.extend(writers);
            thin(known);
        }
        for edge in &record.edges {
            let (from, to) = (classes[edge.from], classes[edge.to]);
            let witnesses = edge
                .witnesses
                .iter()
                .map(|witness| self.witness(witness, record, &classes, first_run));
            let witnesses: Vec<Witness> = witnesses.collect();
            let next = self.record.edges.len();
            let at = *self.edges.entry((from, to)).or_insert(next);
            if at == next {
                self.record.edges.push(RecordEdge {
                    from,
                    to,
                    run: first_run + edge.run,
                    witnesses,
                    ..edge.clone()
                });
                continue;
            }
            let known = &mut self.record.edges[at];
            known.lockers = known.lockers.with(edge.lockers);
            known.reported |= edge.reported;
            known.bridge &= edge.bridge;
            known.breaks = known.breaks.take().or_else(|| edge.breaks.clone());
            known.witnesses.extend(witnesses);
            thin(&mut known.witnesses);
        }
        for finding in record
            .findings
            .iter()
            .filter(|finding| finding.kind != ReportKind::Circular)
        {
            if self.others.insert(finding.signature.clone()) {
                self.record.findings.push(finding.clone());
            }
        }
    }

    fn witness(
        &mut self,
        witness: &Witness,
        record: &Record,
        classes: &[usize],
        first_run: usize,
    ) -> Witness {
        let own = &record.runs[witness.run];
        let run = first_run + witness.run;
        let mut witness = witness.clone().with_classes(|class| classes[class]);
        witness.run = run;
        let is_main = i32::try_from(own.pid).is_ok_and(|pid| pid == witness.tid);
        let segment = &witness.segment;
        let key = |thread: u32| -> (String, u32) {
            if is_main && thread == segment.thread {
                // The main threads of all runs of a program are one.
                (own.program.clone(), 0)
            } else {
                (run.to_string(), thread)
            }
        };
        let mut renumber = |thread: u32| {
            let next = self.threads.len() as u32;
            *self.threads.entry(key(thread)).or_insert(next)
        };
        let mut clock: Vec<(u32, u32)> = segment
            .clock
            .iter()
            .map(|&(thread, epoch)| (renumber(thread), epoch))
            .collect();
        clock.sort_unstable();
        let thread = renumber(segment.thread);
        witness.segment = Segment {
            thread,
            clock: clock.into(),
        };
        let place = |taken: &Taken| Taken {
            instance: taken.instance & ((1 << 48) - 1) | (run as u64) << 48,
            ..*taken
        };
        witness.held = witness.held.iter().map(place).collect();
        witness.taken = place(&witness.taken);
        witness
    }

    /// Where each run knows one lock of a class, it is taken for the same lock.
    fn one_lock_for_each_lonely_class(&mut self) {
        let mut locks: HashMap<(usize, u32), HashSet<u64>> = HashMap::new();
        let Record { edges, classes, .. } = &mut self.record;
        let witnesses = edges.iter().flat_map(|edge| &edge.witnesses);
        let writers = classes.iter().flat_map(|class| &class.writers);
        for witness in witnesses.chain(writers) {
            for taken in witness.held.iter().chain([&witness.taken]) {
                locks
                    .entry((witness.run, taken.class))
                    .or_default()
                    .insert(taken.instance);
            }
        }
        let many: HashSet<u32> = locks
            .into_iter()
            .filter(|(_, locks)| locks.len() > 1)
            .map(|((_, class), _)| class)
            .collect();
        let one = |taken: &Taken| Taken {
            instance: if many.contains(&taken.class) {
                taken.instance
            } else {
                0
            },
            ..*taken
        };
        let witnesses = edges.iter_mut().flat_map(|edge| &mut edge.witnesses);
        let writers = classes.iter_mut().flat_map(|class| &mut class.writers);
        for witness in witnesses.chain(writers) {
            witness.held = witness.held.iter().map(one).collect();
            witness.taken = one(&witness.taken);
        }
    }

    /// The shortest cycle through each dependency, each cycle once.
    fn find_cycles(&mut self) {
        let mut after: Vec<Vec<usize>> = vec![Vec::new(); self.record.classes.len()];
        for (at, edge) in self.record.edges.iter().enumerate() {
            after[edge.from].push(at);
        }
        let mut found: BTreeMap<String, Finding> = BTreeMap::new();
        for at in 0..self.record.edges.len() {
            let Some(cycle) = self.cycle_through(at, &after) else {
                continue;
            };
            let finding = self.finding(cycle);
            let known = found
                .entry(finding.signature.clone())
                .or_insert_with(|| finding.clone());
            if (known.grade, known.instances) < (finding.grade, finding.instances) {
                *known = finding;
            }
        }
        self.record.findings.extend(found.into_values());
    }

    /// The shortest strong path from the end of a dependency back to its start, with the dependency itself.
    fn cycle_through(&self, first: usize, after: &[Vec<usize>]) -> Option<Vec<usize>> {
        let edges = &self.record.edges;
        let (start, target) = (edges[first].to, edges[first].from);
        if start == target {
            return None;
        }
        // A class is reached behind a recursive reader (weak) or not; see `graph::search`.
        let weak = edges[first].lockers.ends_in_recursive_reader();
        let mut visits: Vec<Visit> = vec![(start, weak, None)];
        let mut seen: HashSet<(usize, bool)> = HashSet::from([(start, weak)]);
        let mut queue = VecDeque::from([0]);
        while let Some(at) = queue.pop_front() {
            let (class, weak, _) = visits[at];
            if class == target {
                let closing = edges[first].lockers;
                let closing = if weak {
                    closing.after_recursive_reader()
                } else {
                    closing
                };
                if closing.is_none() {
                    continue;
                }
                let mut path = vec![first];
                let mut at = at;
                let mut tail = Vec::new();
                while let Some((from, edge)) = visits[at].2 {
                    tail.push(edge);
                    at = from;
                }
                path.extend(tail.into_iter().rev());
                return Some(path);
            }
            for &next in &after[class] {
                let lockers: Locker = edges[next].lockers;
                let lockers = if weak {
                    lockers.after_recursive_reader()
                } else {
                    lockers
                };
                if lockers.is_none() || next == first {
                    continue;
                }
                let state = (edges[next].to, lockers.ends_in_recursive_reader());
                if seen.insert(state) {
                    queue.push_back(visits.len());
                    visits.push((state.0, state.1, Some((at, next))));
                }
            }
        }
        None
    }

    fn finding(&self, cycle: Vec<usize>) -> Finding {
        let edges = &self.record.edges;
        let nodes: Vec<u32> = cycle.iter().map(|&at| edges[at].from as u32).collect();
        let witnesses: Vec<&[Witness]> = cycle.iter().map(|&at| &*edges[at].witnesses).collect();
        let writers = |class: &u32| &*self.record.classes[*class as usize].writers;
        let writers: Vec<&[Witness]> = nodes.iter().map(writers).collect();
        let verdict = grade::grade(&nodes, &witnesses, &writers);
        let across_runs = !self.seen_by_one_run(&cycle);
        let name = |class: &u32| self.record.classes[*class as usize].name.clone();
        let classes: Vec<String> = nodes.iter().map(name).collect();
        Finding {
            kind: ReportKind::Circular,
            signature: cycle_signature(classes.clone()),
            grade: Some(verdict.grade),
            instances: Some(if across_runs {
                Instances::ClassOnly
            } else {
                verdict.instances
            }),
            gates: verdict.gates.iter().map(name).collect(),
            classes,
            threads: verdict
                .threads
                .into_iter()
                .map(|(comm, tid)| (comm.to_string(), tid))
                .collect(),
            site: edges[cycle[0]].taken.site.clone(),
            breaks: cycle
                .iter()
                .filter_map(|&at| edges[at].breaks.clone())
                .collect(),
            across_runs,
            text: String::new(),
            cycle,
        }
    }

    fn seen_by_one_run(&self, cycle: &[usize]) -> bool {
        let runs = |at: &usize| -> HashSet<usize> {
            let edge = &self.record.edges[*at];
            edge.witnesses
                .iter()
                .map(|witness| witness.run)
                .chain([edge.run])
                .collect()
        };
        let all = cycle.iter().map(runs).reduce(|one, other| &one & &other);
        all.is_some_and(|all| !all.is_empty())
    }
}

/// A class that the search has come to, whether only behind a recursive reader, and from where: visit and edge.
type Visit = (usize, bool, Option<(usize, usize)>);

/// A name without what tells namesakes apart.
fn plain(name: &str) -> &str {
    let name = name
        .rsplit_once('/')
        .filter(|(_, subclass)| subclass.parse::<u32>().is_ok())
        .map_or(name, |(name, _)| name);
    name.rsplit_once('#')
        .filter(|(_, version)| version.parse::<u32>().is_ok())
        .map_or(name, |(name, _)| name)
}

/// What the characters of two runs say together.
fn both_usages(one: &str, other: &str) -> String {
    let both = |(one, other): (char, char)| match (one, other) {
        ('.', other) => other,
        (one, '.') => one,
        (one, other) if one == other => one,
        _ => '?',
    };
    one.chars().zip(other.chars()).map(both).collect()
}

/// Keeps the witnesses that differ most: one of each run and thread before a second one.
fn thin(witnesses: &mut Vec<Witness>) {
    if witnesses.len() <= WITNESSES {
        return;
    }
    let mut seen: HashMap<(usize, u32), usize> = HashMap::new();
    let mut ranked: Vec<(usize, Witness)> = witnesses
        .drain(..)
        .map(|witness| {
            let count = seen
                .entry((witness.run, witness.segment.thread))
                .or_default();
            *count += 1;
            (*count, witness)
        })
        .collect();
    ranked.sort_by_key(|(count, _)| *count);
    witnesses.extend(
        ranked
            .into_iter()
            .take(WITNESSES)
            .map(|(_, witness)| witness),
    );
}
