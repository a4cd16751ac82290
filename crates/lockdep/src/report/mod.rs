//! What the validator has to say, and who hears it.
//!
//! A report is put together once, when a rule is broken, out of bare facts: names, addresses, stacks. It becomes text when
//! somebody asks for it. The validator goes on after a report, and makes one report per distinct cycle, whichever edge
//! closed it.

mod symbol;
mod task;
mod text;

use std::panic::Location;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

pub(crate) use task::Task;
pub use task::set_task_context;
pub use text::Banner;

use crate::class::Kind;
use crate::graph::{Edge, Graph};
use crate::stack::Stack;
use crate::thread::{HeldLock, Thread};

/// What a report is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReportKind {
    /// Locks are taken in an order that contradicts an order seen before.
    Circular,
    /// A lock is taken by a thread that holds one of its class already.
    Recursive,
    /// A lock is released that is not held.
    BadUnlock,
}

/// One finding.
#[derive(Debug)]
pub struct Report {
    task: Task,
    body: Body,
    held: Vec<LockText>,
    stack: Stack,
    signature: String,
}

/// What differs between the kinds of report.
#[derive(Debug)]
pub(crate) enum Body {
    Circular {
        trying: LockText,
        holding: LockText,
        /// The chain of dependencies from the lock that is tried to the one that is held.
        links: Vec<Link>,
    },
    Recursive {
        trying: LockText,
        holding: LockText,
    },
    BadUnlock {
        lock: ClassText,
    },
}

/// A class, as a report prints it.
#[derive(Clone, Debug)]
pub(crate) struct ClassText {
    pub(crate) name: String,
    usage: [char; 4],
    kind: Kind,
}

/// A lock that is held or tried, as a report prints it.
#[derive(Clone, Debug)]
pub(crate) struct LockText {
    address: usize,
    pub(crate) class: ClassText,
    read: bool,
    site: Option<&'static Location<'static>>,
    ip: usize,
}

/// One lock of the chain of dependencies, with the stack that took it.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) class: ClassText,
    stack: Option<Stack>,
}

impl ClassText {
    pub(crate) fn of(graph: &Graph, id: u32) -> Self {
        match graph.class(id) {
            Some(class) => Self {
                name: class.display_name(),
                usage: class.usage.characters(),
                kind: class.kind,
            },
            None => Self {
                name: "?".into(),
                usage: ['.'; 4],
                kind: Kind::Pseudo,
            },
        }
    }
}

impl LockText {
    pub(crate) fn of(graph: &Graph, lock: &HeldLock) -> Self {
        Self {
            address: lock.map,
            class: ClassText::of(graph, lock.word.class()),
            read: !lock.word.is_write(),
            site: graph.chain(lock.key).map(|chain| chain.site),
            ip: lock.ip,
        }
    }

    /// The lock that is taken now; its chain is not known yet.
    pub(crate) fn tried(graph: &Graph, lock: &HeldLock, site: &'static Location<'static>) -> Self {
        Self {
            site: Some(site),
            ..Self::of(graph, lock)
        }
    }
}

impl Link {
    /// The lock that is tried now.
    pub(crate) fn start(graph: &Graph, lock: &HeldLock, stack: &Stack) -> Self {
        Self {
            class: ClassText::of(graph, lock.word.class()),
            stack: Some(stack.clone()),
        }
    }

    /// The lock at the end of a dependency.
    pub(crate) fn of(graph: &Graph, edge: &Edge) -> Self {
        Self {
            class: ClassText::of(graph, edge.to),
            stack: edge.taken.stack.clone(),
        }
    }
}

impl Report {
    /// What it is about.
    #[must_use]
    pub fn kind(&self) -> ReportKind {
        match self.body {
            Body::Circular { .. } => ReportKind::Circular,
            Body::Recursive { .. } => ReportKind::Recursive,
            Body::BadUnlock { .. } => ReportKind::BadUnlock,
        }
    }

    /// What makes this finding the same as another one: the kind and the classes, whichever of them came first.
    #[must_use]
    pub fn signature(&self) -> &str {
        &self.signature
    }

    /// The classes that it is about: of a cycle, from the lock that was tried along the dependencies to the one that was held.
    #[must_use]
    pub fn classes(&self) -> Vec<&str> {
        match &self.body {
            Body::Circular { links, .. } => links.iter().map(|link| &*link.class.name).collect(),
            Body::Recursive { trying, holding } => vec![&trying.class.name, &holding.class.name],
            Body::BadUnlock { lock } => vec![&lock.name],
        }
    }

    /// Name and id of the thread that caused it.
    #[must_use]
    pub fn thread(&self) -> (&str, i32) {
        (&self.task.comm, self.task.tid)
    }
}

/// Puts a report together.
pub(crate) fn new(
    graph: &Graph,
    thread: &Thread,
    signature: String,
    body: Body,
    stack: Stack,
) -> Arc<Report> {
    let held = thread
        .held()
        .map(|lock| LockText::of(graph, &lock))
        .collect();
    Arc::new(Report {
        task: Task::current(),
        body,
        held,
        stack,
        signature,
    })
}

/// The name of a class without what tells namesakes apart.
pub(crate) fn plain_name(graph: &Graph, id: u32) -> String {
    graph
        .class(id)
        .map_or_else(String::new, |class| class.name.to_string())
}

/// The signature of a cycle: its classes in order, beginning with the one that makes it smallest.
pub(crate) fn cycle_signature(names: Vec<String>) -> String {
    let start = (0..names.len())
        .min_by_key(|&start| {
            names[start..]
                .iter()
                .chain(&names[..start])
                .collect::<Vec<_>>()
        })
        .unwrap_or(0);
    let cycle: Vec<&str> = names[start..]
        .iter()
        .chain(&names[..start])
        .map(String::as_str)
        .collect();
    format!("circular: {}", cycle.join(" --> "))
}

/// Who is called with each report.
type Handler = dyn Fn(&Arc<Report>) + Send + Sync;

static REPORTS: Mutex<Vec<Arc<Report>>> = Mutex::new(Vec::new());
static HANDLER: RwLock<Option<Arc<Handler>>> = RwLock::new(None);

/// Every report so far, oldest first.
#[must_use]
pub fn reports() -> Vec<Arc<Report>> {
    REPORTS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}

/// Who is called, on the thread that caused it and before that thread waits, with every report from now on. The default
/// prints the report on standard error. The handler may take locks; a report that it causes itself is kept
/// ([`reports`]) but not handed to it.
pub fn set_handler(handler: impl Fn(&Arc<Report>) + Send + Sync + 'static) {
    *HANDLER.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(handler));
}

/// Keeps the reports and hands them out. Not under the graph lock.
pub(crate) fn deliver(reports: Vec<Arc<Report>>) {
    for report in reports {
        REPORTS
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::clone(&report));
        task::outside_handler(|| {
            let handler = HANDLER
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            match handler {
                Some(handler) => handler(&report),
                None => eprintln!("{}", report.kernel_text(&Banner::default())),
            }
        });
    }
}
