//! What the validator has to say, and who hears it.
//!
//! A report is put together once, when a rule is broken, out of bare facts: names, addresses, stacks. It becomes text when
//! somebody asks for it. The validator goes on after a report, and makes one report per distinct cycle, whichever edge
//! closed it.

mod graded;
mod symbol;
mod task;
pub(crate) mod text;

use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

pub use graded::set_raise_handler;
pub(crate) use graded::{Graded, raised};
pub(crate) use task::Identity;
use task::Task;
pub use task::set_task_context;
pub use text::Banner;

use crate::class::Wait;
use crate::graph::{Context, Edge, Graph};
use crate::policy;
use crate::stack::Stack;
use crate::suppress::{self, Step};
use crate::thread::{HeldLock, Thread};

/// What a report is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReportKind {
    /// Locks are taken in an order that contradicts an order seen before.
    Circular,
    /// A lock is taken by a thread that holds one of its class already.
    Recursive,
    /// A lock is taken in a signal handler, and also where that handler can interrupt its holder.
    InconsistentState,
    /// A lock came to be used in a way that conflicts, through the order of locks, with the use of another in signal
    /// handlers.
    SignalInversion,
    /// A dependency connects a lock that signal handlers take with one that is not safe there.
    SignalUnsafeOrder,
    /// A lock is waited for in a way that a lock held around it does not allow.
    InvalidWaitContext,
    /// The lock that was named as serialising others is not held.
    NestNotTaken,
    /// A lock is released that is not held.
    BadUnlock,
    /// The memory of a lock is given back while it is held.
    HeldLockFreed,
    /// A thread ends, or comes to a boundary, with locks held.
    StillHeld,
    /// What the program said of its locks is not so.
    Assertion,
    /// A limit of the validator is reached.
    Limit,
}

/// One finding.
#[derive(Debug)]
pub struct Report {
    task: Task,
    body: Body,
    held: Vec<LockText>,
    stack: Stack,
    signature: String,
    graded: Mutex<Option<Graded>>,
    breaks: Mutex<Vec<String>>,
    delivered: AtomicBool,
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
        /// What the order within the class says of the two.
        compared: Option<i32>,
    },
    Inconsistent {
        lock: LockText,
        old: &'static str,
        new: &'static str,
        registered: Option<Stack>,
        /// In a hard and in a soft interrupt, open to hard and to soft interrupts.
        state: [u8; 4],
    },
    Inversion {
        lock: LockText,
        other: ClassText,
        interrupt: &'static str,
        /// The other one is used in handlers; else it is the one that is not safe there.
        other_is_safe: bool,
        /// From the one that is used in handlers to the one that is not safe there.
        path: Vec<UsageLink>,
    },
    UnsafeOrder {
        trying: LockText,
        holding: LockText,
        interrupt: &'static str,
        safe: (ClassText, Option<Stack>),
        unsafe_: (ClassText, Option<Stack>),
        /// From the safe class to the lock that is held; empty if that is it.
        before: Vec<UsageLink>,
        /// From the lock that is tried to the unsafe class; empty if that is it.
        after: Vec<UsageLink>,
    },
    WaitContext {
        lock: LockText,
        /// What the context allows, before any lock.
        context: u8,
    },
    NestNotTaken {
        address: usize,
        lock: ClassText,
        nest: ClassText,
    },
    BadUnlock {
        lock: ClassText,
    },
    HeldFreed {
        lock: LockText,
        size: usize,
    },
    StillHeld,
    Warn {
        text: String,
        at: Option<&'static Location<'static>>,
    },
    Limit {
        what: &'static str,
        limit: usize,
    },
}

/// A class, as a report prints it.
#[derive(Clone, Debug)]
pub(crate) struct ClassText {
    pub(crate) name: String,
    usage: [char; 4],
    wait: Wait,
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
    /// The line that took it, of a dependency that was known before.
    site: Option<&'static Location<'static>>,
}

/// One class of a path, with the contexts in which it was used and the stack that took it under the one before.
#[derive(Clone, Debug)]
pub(crate) struct UsageLink {
    pub(crate) class: ClassText,
    usages: Vec<(&'static str, Stack)>,
    acquired: Option<Stack>,
}

impl UsageLink {
    pub(crate) fn of(graph: &Graph, id: u32, acquired: Option<Stack>) -> Self {
        let usage = graph.class(id).map(|class| &class.usage);
        let usages = Context::all()
            .filter_map(|context| Some((context.name(), usage?.stack(context)?.clone())));
        Self {
            class: ClassText::of(graph, id),
            usages: usages.collect(),
            acquired,
        }
    }
}

impl ClassText {
    pub(crate) fn of(graph: &Graph, id: u32) -> Self {
        match graph.class(id) {
            Some(class) => Self {
                name: class.display_name(),
                usage: class.usage.characters(),
                wait: class.wait,
            },
            None => Self {
                name: "?".into(),
                usage: ['.'; 4],
                wait: Wait::NONE,
            },
        }
    }
}

impl LockText {
    pub(crate) fn of(graph: &Graph, lock: &HeldLock) -> Self {
        Self {
            address: lock.map & !1,
            class: ClassText::of(graph, lock.word.class()),
            read: !lock.word.is_write(),
            site: graph.made(lock.node).map(|made| made.site),
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
            site: None,
        }
    }

    /// The lock at the end of a dependency.
    pub(crate) fn of(graph: &Graph, edge: &Edge) -> Self {
        Self {
            class: ClassText::of(graph, edge.to),
            stack: edge.taken.stack.clone(),
            site: edge.taken.site,
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
            Body::Inconsistent { .. } => ReportKind::InconsistentState,
            Body::Inversion { .. } => ReportKind::SignalInversion,
            Body::UnsafeOrder { .. } => ReportKind::SignalUnsafeOrder,
            Body::WaitContext { .. } => ReportKind::InvalidWaitContext,
            Body::NestNotTaken { .. } => ReportKind::NestNotTaken,
            Body::BadUnlock { .. } => ReportKind::BadUnlock,
            Body::HeldFreed { .. } => ReportKind::HeldLockFreed,
            Body::StillHeld => ReportKind::StillHeld,
            Body::Warn { .. } => ReportKind::Assertion,
            Body::Limit { .. } => ReportKind::Limit,
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
            Body::Recursive {
                trying, holding, ..
            } => {
                vec![&trying.class.name, &holding.class.name]
            }
            Body::Inconsistent { lock, .. }
            | Body::WaitContext { lock, .. }
            | Body::HeldFreed { lock, .. } => vec![&lock.class.name],
            Body::Inversion { lock, other, .. } => vec![&lock.class.name, &other.name],
            Body::UnsafeOrder { safe, unsafe_, .. } => vec![&safe.0.name, &unsafe_.0.name],
            Body::NestNotTaken { lock, nest, .. } => vec![&lock.name, &nest.name],
            Body::BadUnlock { lock } => vec![&lock.name],
            Body::StillHeld => self.held.iter().map(|lock| &*lock.class.name).collect(),
            Body::Warn { .. } | Body::Limit { .. } => Vec::new(),
        }
    }

    /// The dependencies of a cycle, for who looks for one of them.
    pub(crate) fn steps(&self) -> Vec<Step> {
        let Body::Circular {
            trying,
            holding,
            links,
        } = &self.body
        else {
            return Vec::new();
        };
        let before = std::iter::once(&holding.class).chain(links.iter().map(|link| &link.class));
        let sites = std::iter::once(trying.site).chain(links.iter().skip(1).map(|link| link.site));
        let steps = before.zip(links).zip(sites);
        steps
            .map(|((before, link), site)| {
                let site = site.map(|site| format!("{}:{}", site.file(), site.line()));
                (before.name.clone(), link.class.name.clone(), site)
            })
            .collect()
    }

    /// The line that caused it, `file:line`, where it is known.
    #[must_use]
    pub fn site(&self) -> Option<String> {
        let site = match &self.body {
            Body::Circular { trying, .. }
            | Body::Recursive { trying, .. }
            | Body::UnsafeOrder { trying, .. } => trying.site,
            Body::Inconsistent { lock, .. }
            | Body::Inversion { lock, .. }
            | Body::WaitContext { lock, .. }
            | Body::HeldFreed { lock, .. } => lock.site,
            Body::StillHeld => self.held.last().and_then(|lock| lock.site),
            Body::Warn { at, .. } => *at,
            Body::NestNotTaken { .. } | Body::BadUnlock { .. } | Body::Limit { .. } => None,
        };
        site.map(|site| format!("{}:{}", site.file(), site.line()))
    }

    /// Name and id of the thread that caused it.
    #[must_use]
    pub fn thread(&self) -> (&str, i32) {
        (&self.task.identity.comm, self.task.identity.tid)
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
        graded: Mutex::new(Graded::at_once(&body)),
        body,
        held,
        stack,
        signature,
        breaks: Mutex::new(Vec::new()),
        delivered: AtomicBool::new(false),
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
    lock().clone()
}

/// The list of reports.
pub(crate) fn lock() -> MutexGuard<'static, Vec<Arc<Report>>> {
    REPORTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Who is called, on the thread that caused it and before that thread waits, with every report from now on. The default
/// prints the report on standard error, with its grade ([`Policy::Print`](crate::Policy)). The handler may take locks; a report that it causes itself is kept
/// ([`reports`]) but not handed to it.
pub fn set_handler(handler: impl Fn(&Arc<Report>) + Send + Sync + 'static) {
    *HANDLER.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(handler));
}

/// Keeps the reports and hands them out. Not under the graph lock.
pub(crate) fn deliver(reports: Vec<Arc<Report>>) {
    for report in reports {
        if suppress::accepts(&report) {
            continue;
        }
        report.delivered.store(true, Ordering::Relaxed);
        lock().push(Arc::clone(&report));
        task::outside_handler(|| {
            let handler = HANDLER
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            match handler {
                Some(handler) => handler(&report),
                None => policy::print(&report),
            }
        });
    }
}
