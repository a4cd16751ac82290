//! The numbers by which the real kernel knows the nodes of the trees.
//!
//! A number stands for a node as one network namespace sees it, from its first lookup until the kernel has forgotten it as
//! often as it was told of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kernfs::{Node, View};

/// The file system's root.
pub(super) const ROOT: u64 = 1;

/// What a number stands for.
#[derive(Debug, Clone)]
pub(super) enum Inode {
    /// The root, with a directory for each view.
    Root,
    /// One view, with the two trees.
    View(View),
    /// An empty directory in a view, to mount on.
    Empty(View),
    /// A link of the real sysfs that is shown among ours: its name, and what it says.
    Link(View, Arc<(String, Vec<u8>)>),
    /// A node of a tree.
    Node(View, Arc<Node>),
}

#[derive(Debug, PartialEq, Eq, Hash, Clone)]
enum Key {
    View(View),
    Empty(View),
    Link(View, Arc<(String, Vec<u8>)>),
    /// The address is the node's for as long as it is in the table, which keeps it alive.
    Node(View, usize),
}

#[derive(Debug)]
struct Known {
    inode: Inode,
    key: Key,
    lookups: u64,
}

#[derive(Debug, Default)]
struct Table {
    known: HashMap<u64, Known>,
    numbers: HashMap<Key, u64>,
    last: u64,
}

/// All numbers in use.
#[derive(Debug, Default)]
pub(super) struct Inodes(Mutex<Table>);

impl Inodes {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the number stands for.
    pub(super) fn get(&self, number: u64) -> Option<Inode> {
        if number == ROOT {
            return Some(Inode::Root);
        }
        let table = self.lock();
        table.known.get(&number).map(|known| known.inode.clone())
    }

    /// The number of a view or node, which the kernel is now told of.
    pub(super) fn tell(&self, inode: &Inode) -> u64 {
        let key = match inode {
            Inode::Root => return ROOT,
            Inode::View(view) => Key::View(*view),
            Inode::Empty(view) => Key::Empty(*view),
            Inode::Link(view, link) => Key::Link(*view, Arc::clone(link)),
            Inode::Node(view, node) => Key::Node(*view, Arc::as_ptr(node).addr()),
        };
        let mut table = self.lock();
        let table = &mut *table;
        let number = *table.numbers.entry(key.clone()).or_insert_with(|| {
            table.last = table.last.max(ROOT) + 1;
            table.last
        });
        let known = table.known.entry(number).or_insert_with(|| Known {
            inode: inode.clone(),
            key,
            lookups: 0,
        });
        known.lookups += 1;
        number
    }

    /// The kernel forgets `times` of the times it was told.
    pub(super) fn forget(&self, number: u64, times: u64) {
        let mut table = self.lock();
        let Some(known) = table.known.get_mut(&number) else {
            return;
        };
        known.lookups = known.lookups.saturating_sub(times);
        if known.lookups == 0 {
            let gone = table.known.remove(&number);
            if let Some(known) = &gone {
                table.numbers.remove(&known.key);
            }
            drop(table);
            drop(gone); // perhaps the last reference to a driver's file
        }
    }
}
