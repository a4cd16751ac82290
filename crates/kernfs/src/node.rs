//! Directories, files and links; making and removing them (`fs/kernfs/dir.c`).

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, Weak};

use lockdep::{Class, ClassKey, LockMap};
use rustix::io::Errno;

use crate::active::{Active, Drain, Inside};
use crate::open::File;

mod dir;

pub use dir::Dir;

/// Mode of directories.
const DIRECTORY_MODE: u16 = 0o755;

/// Mode of directories that are there to be mounted on (`make_empty_dir_inode`).
pub const MOUNT_POINT_MODE: u16 = 0o555;

static SYSFS_OPEN: ClassKey = ClassKey::new("&of->mutex");
static DEBUGFS_OPEN: ClassKey = ClassKey::new("&attr->mutex");

/// Whose manners a tree has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TreeKind {
    Sysfs,
    Debugfs,
}

/// A whole tree.
pub struct Tree {
    kind: TreeKind,
    root: Arc<Node>,
}

/// What the nodes of a tree have in common.
pub(crate) struct Shared {
    kind: TreeKind,
    next_ino: AtomicU64,
    drain: Drain,
    /// The pseudo-locks of active references, a class for each name: a file's handler may remove files of other names.
    maps: lockdep::Mutex<HashMap<String, Arc<LockMap>>>,
}

/// Through which mount a tree is looked at: the cookie of the network namespace that the mount belongs to. Directories of
/// network devices show those of that namespace only (`KERNFS_NS`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct View(pub u64);

/// A directory, file or link.
pub struct Node {
    ino: u64,
    name: Cow<'static, str>,
    mode: u16,
    parent: Weak<Node>,
    kind: Kind,
    active: Active,
    /// The pseudo-lock of a file's active references.
    map: Option<Arc<LockMap>>,
    shared: Arc<Shared>,
}

/// What a node is.
pub enum Kind {
    /// A directory whose entries are made and removed.
    Dir(Entries),
    /// A directory whose entries are looked up elsewhere.
    Dynamic(Lookups),
    /// A directory with nothing in it, for others to mount on. It gives way to whatever else is made under its name.
    MountPoint,
    /// A file.
    File(Arc<dyn File>),
    /// A symbolic link, and what it says.
    Link(String),
}

/// The entries of a directory.
pub struct Entries {
    map: lockdep::Mutex<BTreeMap<Cow<'static, str>, Arc<Node>>>,
    /// Everything that was promised is there.
    filled: AtomicBool,
    fill: lockdep::Mutex<Option<Fill>>,
}

type Fill = Box<dyn FnOnce(&Dir) + Send>;

/// The entries of a directory that are not kept here.
pub struct Lookups {
    directory: Arc<dyn Directory>,
    /// The nodes that somebody still uses, so that a name stands for the same node as long as it stands for the same thing.
    nodes: lockdep::Mutex<HashMap<(View, String), Met>>,
}

/// What a name stood for when it was last looked up, and its node.
type Met = (u64, Weak<Node>);

/// A directory whose entries are looked up when they are asked for.
pub trait Directory: Send + Sync {
    /// The entry of that name; `id` says whether it is the same thing as the last time.
    fn lookup(&self, view: View, name: &str) -> Option<DynamicEntry>;

    /// The names of all entries.
    fn list(&self, view: View) -> Vec<String>;
}

/// What a [`Directory`] finds.
#[derive(Debug)]
pub struct DynamicEntry {
    /// Different for different things of the same name.
    pub id: u64,
    /// The permission bits.
    pub mode: u16,
    /// What it is.
    pub kind: Kind,
}

impl Tree {
    /// A tree with the manners of sysfs: what is removed answers `ENODEV`.
    pub fn sysfs() -> Self {
        Self::new(TreeKind::Sysfs, DIRECTORY_MODE)
    }

    /// A tree with the manners of debugfs: what is removed answers `EIO`.
    pub fn debugfs() -> Self {
        Self::new(TreeKind::Debugfs, 0o700)
    }

    fn new(kind: TreeKind, mode: u16) -> Self {
        let shared = Arc::new(Shared {
            kind,
            next_ino: AtomicU64::new(1),
            drain: Drain::new(),
            maps: lockdep::Mutex::named("kernfs class names", HashMap::new()),
        });
        let root = Node::new(
            &shared,
            Weak::new(),
            Cow::Borrowed(""),
            mode,
            Kind::Dir(Entries::new(None)),
        );
        Tree { kind, root }
    }

    /// The directory that everything is below.
    pub fn root(&self) -> Dir {
        Dir::of(&self.root)
    }
}

impl Shared {
    pub(crate) fn kind(&self) -> TreeKind {
        self.kind
    }

    /// What a removed file answers.
    pub(crate) fn gone(&self) -> Errno {
        match self.kind {
            TreeKind::Sysfs => Errno::NODEV,
            TreeKind::Debugfs => Errno::IO,
        }
    }

    pub(crate) fn open_file_class(&self) -> &'static ClassKey {
        match self.kind {
            TreeKind::Sysfs => &SYSFS_OPEN,
            TreeKind::Debugfs => &DEBUGFS_OPEN,
        }
    }

    fn map(&self, name: &str) -> Arc<LockMap> {
        let mut maps = lock(&self.maps);
        if let Some(map) = maps.get(name) {
            return Arc::clone(map);
        }
        let class = match self.kind {
            TreeKind::Sysfs => format!("kn->active({name})"),
            TreeKind::Debugfs => format!("debugfs:{name}"),
        };
        let map = Arc::new(LockMap::with_class(Class::named(class)));
        maps.insert(name.to_owned(), Arc::clone(&map));
        map
    }
}

impl Kind {
    /// A directory that looks its entries up.
    pub fn dynamic(directory: impl Directory + 'static) -> Self {
        Kind::Dynamic(Lookups {
            directory: Arc::new(directory),
            nodes: lockdep::Mutex::named("kernfs lookups", HashMap::new()),
        })
    }

    /// A file.
    pub fn file(file: impl File + 'static) -> Self {
        Kind::File(Arc::new(file))
    }
}

impl Entries {
    fn new(fill: Option<Fill>) -> Self {
        Entries {
            map: lockdep::Mutex::named("kernfs_rwsem", BTreeMap::new()),
            filled: AtomicBool::new(fill.is_none()),
            fill: lockdep::Mutex::named("kernfs lazy", fill),
        }
    }
}

impl Node {
    fn new(
        shared: &Arc<Shared>,
        parent: Weak<Node>,
        name: Cow<'static, str>,
        mode: u16,
        kind: Kind,
    ) -> Arc<Self> {
        let map = matches!(kind, Kind::File(_)).then(|| shared.map(&name));
        Arc::new(Node {
            ino: shared.next_ino.fetch_add(1, Ordering::Relaxed),
            map,
            name,
            mode,
            parent,
            kind,
            active: Active::default(),
            shared: Arc::clone(shared),
        })
    }

    /// Its number, different from every other one that the tree ever had.
    pub fn ino(&self) -> u64 {
        self.ino
    }

    /// Its name in its directory; the root has none.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The permission bits.
    pub fn mode(&self) -> u16 {
        self.mode
    }

    /// What it is.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The directory it is in, while that exists.
    pub fn parent(&self) -> Option<Arc<Node>> {
        self.parent.upgrade()
    }

    /// Whether it has been removed.
    pub fn is_removed(&self) -> bool {
        self.active.is_removed()
    }

    /// Where it is, from the root: `bus/netdevsim/new_device`.
    pub fn path(&self) -> String {
        match self.parent() {
            Some(parent) if !parent.name.is_empty() => format!("{}/{}", parent.path(), self.name),
            _ => self.name.clone().into_owned(),
        }
    }

    /// The entry of that name in this directory.
    pub fn lookup(self: &Arc<Self>, view: View, name: &str) -> Option<Arc<Node>> {
        match &self.kind {
            Kind::Dir(entries) => {
                self.fill(entries);
                lock(&entries.map).get(name).cloned()
            }
            Kind::Dynamic(lookups) => {
                let entry = lookups.directory.lookup(view, name)?;
                let mut nodes = lock(&lookups.nodes);
                let key = (view, name.to_owned());
                if let Some((id, node)) = nodes.get(&key) {
                    if let (true, Some(node)) = (*id == entry.id, node.upgrade()) {
                        return Some(node);
                    }
                }
                let parent = Arc::downgrade(self);
                let name = Cow::Owned(name.to_owned());
                let node = Node::new(&self.shared, parent, name, entry.mode, entry.kind);
                nodes.retain(|_, (_, node)| node.strong_count() > 0);
                nodes.insert(key, (entry.id, Arc::downgrade(&node)));
                Some(node)
            }
            Kind::MountPoint | Kind::File(_) | Kind::Link(_) => None,
        }
    }

    /// How many directories are in this one, of those that have been made.
    pub fn subdirs(&self) -> usize {
        let Kind::Dir(entries) = &self.kind else {
            return 0;
        };
        let is_dir = |node: &&Arc<Node>| !matches!(node.kind, Kind::File(_) | Kind::Link(_));
        lock(&entries.map).values().filter(is_dir).count()
    }

    /// All entries of this directory.
    pub fn entries(self: &Arc<Self>, view: View) -> Vec<Arc<Node>> {
        match &self.kind {
            Kind::Dir(entries) => {
                self.fill(entries);
                lock(&entries.map).values().cloned().collect()
            }
            Kind::Dynamic(lookups) => {
                let names = lookups.directory.list(view);
                names
                    .iter()
                    .filter_map(|name| self.lookup(view, name))
                    .collect()
            }
            Kind::MountPoint | Kind::File(_) | Kind::Link(_) => Vec::new(),
        }
    }

    /// Removes it with all that is below it, and waits until nobody is inside the handlers of its files any more, except
    /// the calling thread itself (`kernfs_remove`). Does nothing with what has been removed.
    pub fn remove(self: &Arc<Self>) {
        if let Some(parent) = self.parent() {
            if let Kind::Dir(entries) = &parent.kind {
                let mut map = lock(&entries.map);
                if map
                    .get(&self.name)
                    .is_some_and(|node| Arc::ptr_eq(node, self))
                {
                    map.remove(&self.name);
                }
            }
        }
        let mut files = Vec::new();
        self.deactivate(&mut files);
        for file in files {
            if let Some(map) = &file.map {
                file.active.drain(&file.shared.drain, map);
            }
        }
    }

    /// Lets nobody into anything from here down any more.
    fn deactivate(self: &Arc<Self>, files: &mut Vec<Arc<Node>>) {
        self.active.deactivate();
        match &self.kind {
            Kind::Dir(entries) => {
                // What nobody ever looked at need not be made to be removed.
                let fill = lock(&entries.fill).take();
                drop(fill);
                let children = std::mem::take(&mut *lock(&entries.map));
                for child in children.values() {
                    child.deactivate(files);
                }
            }
            Kind::File(_) => files.push(Arc::clone(self)),
            Kind::Dynamic(_) | Kind::MountPoint | Kind::Link(_) => {}
        }
    }

    /// Enters the handler of a file; `None` when it has been removed.
    pub(crate) fn enter(&self) -> Option<Inside<'_>> {
        self.active.get(&self.shared.drain, self.map.as_deref()?)
    }

    pub(crate) fn tree(&self) -> &Shared {
        &self.shared
    }

    fn fill(self: &Arc<Self>, entries: &Entries) {
        if entries.filled.load(Ordering::Acquire) {
            return;
        }
        let mut fill = lock(&entries.fill);
        if let Some(fill) = fill.take() {
            fill(&Dir {
                node: Arc::clone(self),
                filling: true,
            });
        }
        entries.filled.store(true, Ordering::Release);
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({}, {:o})", self.path(), self.mode)
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Dir(_) => f.write_str("Dir"),
            Kind::Dynamic(_) => f.write_str("Dynamic"),
            Kind::MountPoint => f.write_str("MountPoint"),
            Kind::File(_) => f.write_str("File"),
            Kind::Link(target) => write!(f, "Link({target:?})"),
        }
    }
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(lock(&self.map).keys()).finish()
    }
}

impl fmt::Debug for Lookups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lookups")
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tree({:?})", self.kind)
    }
}

fn lock<T: ?Sized>(mutex: &lockdep::Mutex<T>) -> lockdep::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
