//! The handle by which entries are made and removed.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use rustix::io::Errno;

use super::{DIRECTORY_MODE, Directory, Entries, Kind, MOUNT_POINT_MODE, Node, View, lock};
use crate::open::File;

/// A directory to make entries in. A clone is the same directory; dropping it removes nothing.
#[derive(Clone)]
pub struct Dir {
    pub(super) node: Arc<Node>,
    /// This handle is the one that fills a lazy directory.
    pub(super) filling: bool,
}

impl Dir {
    pub(super) fn of(node: &Arc<Node>) -> Self {
        Dir {
            node: Arc::clone(node),
            filling: false,
        }
    }

    /// The directory as a node.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Makes a directory in it, mode 0755 (`sysfs_create_dir`, `debugfs_create_dir`).
    ///
    /// # Errors
    /// As [`create_file`](Dir::create_file).
    pub fn create_dir(&self, name: impl Into<Cow<'static, str>>) -> Result<Dir, Errno> {
        let kind = Kind::Dir(Entries::new(None));
        Ok(Self::of(&self.create(name.into(), DIRECTORY_MODE, kind)?))
    }

    /// Makes a directory in it whose first entries are made when somebody looks at it for the first time: what a thousand
    /// ports have each costs nothing until then. `fill` is dropped when the directory is removed.
    ///
    /// # Errors
    /// As [`create_file`](Dir::create_file).
    pub fn create_lazy_dir(
        &self,
        name: impl Into<Cow<'static, str>>,
        fill: impl FnOnce(&Dir) + Send + 'static,
    ) -> Result<Dir, Errno> {
        let kind = Kind::Dir(Entries::new(Some(Box::new(fill))));
        Ok(Self::of(&self.create(name.into(), DIRECTORY_MODE, kind)?))
    }

    /// Makes a directory in it that looks its entries up.
    ///
    /// # Errors
    /// As [`create_file`](Dir::create_file).
    pub fn create_dynamic_dir(
        &self,
        name: impl Into<Cow<'static, str>>,
        directory: impl Directory + 'static,
    ) -> Result<Arc<Node>, Errno> {
        self.create(name.into(), DIRECTORY_MODE, Kind::dynamic(directory))
    }

    /// Makes a directory in it that is there to be mounted on (`sysfs_create_mount_point`). It stands for something that is
    /// not in this tree, and gives way to whatever else is made under its name.
    ///
    /// # Errors
    /// As [`create_file`](Dir::create_file).
    pub fn create_mount_point(&self, name: impl Into<Cow<'static, str>>) -> Result<(), Errno> {
        self.create(name.into(), MOUNT_POINT_MODE, Kind::MountPoint)
            .map(drop)
    }

    /// Makes a file in it (`sysfs_create_file`, `debugfs_create_file`).
    ///
    /// # Errors
    /// `EEXIST` when the name is taken, `ENOENT` when the directory has been removed, `EINVAL` for a name that cannot be one.
    pub fn create_file(
        &self,
        name: impl Into<Cow<'static, str>>,
        mode: u16,
        file: impl File + 'static,
    ) -> Result<Arc<Node>, Errno> {
        self.create(name.into(), mode, Kind::file(file))
    }

    /// The directory in it of that name, if there is one.
    pub fn dir(&self, name: &str) -> Option<Dir> {
        let node = self.node.lookup(View(0), name)?;
        matches!(node.kind, Kind::Dir(_)).then(|| Self::of(&node))
    }

    /// Removes the entry of that name, if there is one: see [`Node::remove`].
    pub fn remove_entry(&self, name: &str) {
        if let Some(node) = self.node.lookup(View(0), name) {
            node.remove();
        }
    }

    /// Removes the directory with all that is in it: see [`Node::remove`].
    pub fn remove(&self) {
        self.node.remove();
    }

    pub(crate) fn create(
        &self,
        name: Cow<'static, str>,
        mode: u16,
        kind: Kind,
    ) -> Result<Arc<Node>, Errno> {
        if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
            return Err(Errno::INVAL);
        }
        let Kind::Dir(entries) = &self.node.kind else {
            return Err(Errno::NOTDIR);
        };
        if !self.filling {
            self.node.fill(entries);
        }
        let node = Node::new(
            &self.node.shared,
            Arc::downgrade(&self.node),
            name.clone(),
            mode,
            kind,
        );
        let mut map = lock(&entries.map);
        if self.node.is_removed() {
            return Err(Errno::NOENT);
        }
        match map.get(&name).map(|taken| &taken.kind) {
            None | Some(Kind::MountPoint) => {}
            Some(_) => return Err(Errno::EXIST),
        }
        map.insert(name, Arc::clone(&node));
        Ok(node)
    }
}

impl fmt::Debug for Dir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.node.fmt(f)
    }
}
