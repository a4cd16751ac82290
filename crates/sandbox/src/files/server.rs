//! The FUSE server: shows the trees to the real kernel.
//!
//! Next to nothing is ever cached: entries live for no time, but for those that never change, and files are read directly. So
//! what a program sees is what there is, and each request carries the thread that made it. Looking up is answered at once; reading and writing, which may wait, on a
//! [`Pool`].
//!
//! ```text
//! /COOKIE/sys/...      sysfs as a mount that belongs to the network namespace COOKIE shows it
//! /COOKIE/debug/...    debugfs
//! ```

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    KernelConfig, LockOwner, OpenAccMode, OpenFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use kernfs::{Access, Kind, Node, OpenFile, PAGE_SIZE, View};

use super::Trees;
use super::caller::Requester;
use super::inodes::{Inode, Inodes};
use super::pool::Pool;
use super::views::Views;
use super::{graft, real};
use crate::wire::Wire;

/// What may change at any time is not remembered.
const CHANGING: Duration = Duration::ZERO;

/// How long a place for something real is remembered, on the way to which everybody comes by: one of our devices might take its
/// name.
const MOUNT_POINT: Duration = Duration::from_secs(1);

/// What is there as long as the machine.
const LASTING: Duration = Duration::from_secs(1 << 30);

/// The most that is read or written at once.
const MAX_WRITE: u32 = 1 << 20;

/// Names of the two trees in a view.
const SYSFS: &str = "sys";
const DEBUGFS: &str = "debug";

/// Directories of sysfs that are never removed.
const LASTING_PLACES: [&str; 5] = ["bus", "class", "class/infiniband", "class/net", "devices"];

/// What an open handle stands for.
enum Opened {
    File(Arc<OpenFile>),
    /// The entries when the directory was opened.
    Directory(Vec<(FileType, String)>),
}

/// See the module's text.
pub(super) struct Server {
    trees: Trees,
    wire: Arc<Wire>,
    shared: Vec<(Arc<Node>, &'static str)>,
    /// What is never removed.
    lasting: Vec<Arc<Node>>,
    inodes: Inodes,
    pub(super) views: Arc<Views>,
    pool: Pool,
    opened: Mutex<(u64, HashMap<u64, Arc<Opened>>)>,
    since: SystemTime,
}

impl Server {
    pub(super) fn new(trees: Trees, wire: Arc<Wire>) -> Self {
        let find = |path: &str| {
            let step = |node: Arc<Node>, name: &str| node.lookup(View(0), name);
            let top = Arc::clone(trees.sysfs.node());
            path.split('/').try_fold(top, step)
        };
        let shared = real::SHARED.into_iter();
        let shared = shared.filter_map(|path| Some((find(path)?, path)));
        let tops = [&trees.sysfs, &trees.debugfs].map(|tree| Arc::clone(tree.node()));
        let lasting = LASTING_PLACES.into_iter().filter_map(find).chain(tops);
        Server {
            shared: shared.collect(),
            lasting: lasting.collect(),
            trees,
            views: Arc::new(Views::new(Arc::clone(&wire))),
            wire,
            inodes: Inodes::default(),
            pool: Pool::default(),
            opened: Mutex::default(),
            since: SystemTime::now(),
        }
    }

    fn opened(&self) -> MutexGuard<'_, (u64, HashMap<u64, Arc<Opened>>)> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, opened: Opened) -> FileHandle {
        let mut table = self.opened();
        table.0 += 1;
        let number = table.0;
        table.1.insert(number, Arc::new(opened));
        FileHandle(number)
    }

    fn handle(&self, handle: FileHandle) -> Option<Arc<Opened>> {
        self.opened().1.get(&handle.0).cloned()
    }

    fn file(&self, handle: FileHandle) -> Option<Arc<OpenFile>> {
        match &*self.handle(handle)? {
            Opened::File(file) => Some(Arc::clone(file)),
            Opened::Directory(_) => None,
        }
    }

    fn release(&self, handle: FileHandle) {
        let gone = self.opened().1.remove(&handle.0);
        drop(gone);
    }

    /// The directory of the real sysfs whose links are shown in this one.
    fn shared(&self, node: &Arc<Node>) -> Option<&'static str> {
        let is_it = |(shared, _): &&(Arc<Node>, &'static str)| Arc::ptr_eq(shared, node);
        self.shared.iter().find(is_it).map(|(_, path)| *path)
    }

    fn find(&self, requester: Requester, parent: &Inode, name: &str) -> Option<Inode> {
        match parent {
            Inode::Root => name.parse().ok().map(|cookie| Inode::View(View(cookie))),
            Inode::View(view) => match name {
                SYSFS => Some(Inode::Node(*view, Arc::clone(self.trees.sysfs.node()))),
                DEBUGFS => Some(Inode::Node(*view, Arc::clone(self.trees.debugfs.node()))),
                graft::EMPTY => Some(Inode::Empty(*view)),
                _ => None,
            },
            Inode::Empty(_) | Inode::Link(..) => None,
            Inode::Node(view, node) => match self.look_up(*view, node, name) {
                Some(found) => Some(Inode::Node(*view, found)),
                None => {
                    let target = real::link(requester, *view, self.shared(node)?, name)?;
                    Some(Inode::Link(*view, Arc::new((name.to_owned(), target))))
                }
            },
        }
    }

    fn look_up(&self, view: View, node: &Arc<Node>, name: &str) -> Option<Arc<Node>> {
        if self.shared(node) == Some(real::CLASS_NET) {
            // What was done to a network device before must be seen in its files.
            self.wire.settle();
        }
        node.lookup(view, name)
    }

    fn entries(&self, requester: Requester, inode: &Inode) -> Vec<(FileType, String)> {
        let directory = |name: &str| (FileType::Directory, name.to_owned());
        let mut entries = vec![directory("."), directory("..")];
        match inode {
            Inode::Root | Inode::Empty(_) | Inode::Link(..) => {}
            Inode::View(_) => entries.extend([directory(SYSFS), directory(DEBUGFS)]),
            Inode::Node(view, node) => {
                let found = node.entries(*view);
                entries.extend(
                    found
                        .iter()
                        .map(|node| (kind(node), node.name().to_owned())),
                );
                if let Some(path) = self.shared(node) {
                    for name in real::links(requester, *view, path) {
                        if !found.iter().any(|node| node.name() == name) {
                            entries.push((FileType::Symlink, name));
                        }
                    }
                }
            }
        }
        entries
    }

    /// How long the real kernel may remember what is found under a name, and what it is.
    fn lifetime(&self, inode: &Inode) -> Duration {
        match inode {
            Inode::Root | Inode::View(_) | Inode::Empty(_) => LASTING,
            Inode::Link(..) => CHANGING,
            Inode::Node(_, node) => match node.kind() {
                Kind::MountPoint => MOUNT_POINT,
                _ if self.lasting.iter().any(|other| Arc::ptr_eq(other, node)) => LASTING,
                _ => CHANGING,
            },
        }
    }

    fn attributes(&self, number: u64, inode: &Inode) -> FileAttr {
        // As kernfs has it, links have no size.
        let (kind, perm, size, subdirs) = match inode {
            Inode::Root | Inode::View(_) | Inode::Empty(_) => (FileType::Directory, 0o755, 0, 0),
            Inode::Link(..) => (FileType::Symlink, 0o777, 0, 0),
            Inode::Node(_, node) => {
                let size = match node.kind() {
                    Kind::File(_) => PAGE_SIZE as u64,
                    _ => 0,
                };
                (kind(node), node.mode(), size, node.subdirs())
            }
        };
        FileAttr {
            ino: INodeNo(number),
            size,
            blocks: 0,
            atime: self.since,
            mtime: self.since,
            ctime: self.since,
            crtime: self.since,
            kind,
            perm,
            nlink: match kind {
                FileType::Directory => 2 + subdirs as u32,
                _ => 1,
            },
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: PAGE_SIZE as u32,
            flags: 0,
        }
    }
}

fn kind(node: &Node) -> FileType {
    match node.kind() {
        Kind::Dir(_) | Kind::Dynamic(_) | Kind::MountPoint => FileType::Directory,
        Kind::File(_) => FileType::RegularFile,
        Kind::Link(_) => FileType::Symlink,
    }
}

fn errno(errno: rustix::io::Errno) -> Errno {
    Errno::from_i32(errno.raw_os_error())
}

impl Filesystem for Server {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // The nearest that the kernel allows is fine.
        let _ = config.set_max_write(MAX_WRITE);
        Ok(())
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let requester = Requester { tid: request.pid() };
        let found = self
            .inodes
            .get(parent.0)
            .and_then(|parent| self.find(requester, &parent, name.to_str()?));
        match found {
            Some(inode) => {
                if let Inode::View(view) = inode {
                    self.views.meet(view, requester, &self.pool);
                }
                let number = self.inodes.tell(&inode);
                let attributes = self.attributes(number, &inode);
                reply.entry(&self.lifetime(&inode), &attributes, Generation(0));
            }
            None => reply.error(Errno::ENOENT),
        }
    }

    fn forget(&self, _: &Request, number: INodeNo, times: u64) {
        self.inodes.forget(number.0, times);
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.inodes.get(number.0) {
            Some(inode) => {
                reply.attr(&self.lifetime(&inode), &self.attributes(number.0, &inode));
            }
            None => reply.error(Errno::ENOENT),
        }
    }

    /// A shell's `>` truncates, which means nothing here; modes and owners stay what they are.
    fn setattr(
        &self,
        request: &Request,
        number: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        _size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        handle: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        if mode.is_some() || uid.is_some() || gid.is_some() {
            reply.error(Errno::EPERM);
        } else {
            self.getattr(request, number, handle, reply);
        }
    }

    fn readlink(&self, _: &Request, number: INodeNo, reply: ReplyData) {
        match self.inodes.get(number.0) {
            Some(Inode::Node(_, node)) => match node.kind() {
                Kind::Link(target) => reply.data(target.as_bytes()),
                _ => reply.error(Errno::EINVAL),
            },
            Some(Inode::Link(_, link)) => reply.data(&link.1),
            _ => reply.error(Errno::EINVAL),
        }
    }

    // What sysfs says to who wants to make or remove something by hand.

    fn create(
        &self,
        _: &Request,
        _parent: INodeNo,
        _name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        reply.error(Errno::EACCES);
    }

    fn mknod(
        &self,
        _: &Request,
        _parent: INodeNo,
        _name: &OsStr,
        _mode: u32,
        _umask: u32,
        _rdev: u32,
        reply: ReplyEntry,
    ) {
        reply.error(Errno::EPERM);
    }

    fn mkdir(
        &self,
        _: &Request,
        _parent: INodeNo,
        _name: &OsStr,
        _mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        reply.error(Errno::EPERM);
    }

    fn unlink(&self, _: &Request, _parent: INodeNo, _name: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EPERM);
    }

    fn rmdir(&self, _: &Request, _parent: INodeNo, _name: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EPERM);
    }

    fn open(&self, _: &Request, number: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let Some(Inode::Node(_, node)) = self.inodes.get(number.0) else {
            return reply.error(Errno::EISDIR);
        };
        let mode = flags.acc_mode();
        let access = Access {
            read: mode != OpenAccMode::O_WRONLY,
            write: mode != OpenAccMode::O_RDONLY,
        };
        match node.open(access) {
            Ok(file) => {
                let handle = self.keep(Opened::File(Arc::new(file)));
                reply.opened(handle, FopenFlags::FOPEN_DIRECT_IO);
            }
            Err(error) => reply.error(errno(error)),
        }
    }

    fn read(
        &self,
        request: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let Some(file) = self.file(handle) else {
            return reply.error(Errno::EBADF);
        };
        let requester = Requester { tid: request.pid() };
        self.pool
            .run(move || match file.read(&requester, offset, size as usize) {
                Ok(data) => reply.data(&data),
                Err(error) => reply.error(errno(error)),
            });
    }

    fn write(
        &self,
        request: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let Some(file) = self.file(handle) else {
            return reply.error(Errno::EBADF);
        };
        let requester = Requester { tid: request.pid() };
        let data = data.to_vec();
        let wire = Arc::clone(&self.wire);
        self.pool.run(move || {
            // What the writer did to a network device before, the driver must find done.
            wire.settle();
            match file.write(&requester, offset, &data) {
                Ok(length) => reply.written(length as u32),
                Err(error) => reply.error(errno(error)),
            }
        });
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        Self::release(self, handle);
        reply.ok();
    }

    fn opendir(&self, request: &Request, number: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.inodes.get(number.0) {
            Some(inode) => {
                let requester = Requester { tid: request.pid() };
                let entries = self.entries(requester, &inode);
                reply.opened(self.keep(Opened::Directory(entries)), FopenFlags::empty());
            }
            None => reply.error(Errno::ENOENT),
        }
    }

    fn readdir(
        &self,
        _: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let Some(opened) = self.handle(handle) else {
            return reply.error(Errno::EBADF);
        };
        let Opened::Directory(entries) = &*opened else {
            return reply.error(Errno::ENOTDIR);
        };
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        for (place, (kind, name)) in entries.iter().enumerate().skip(from) {
            if reply.add(number, place as u64 + 1, *kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        reply: ReplyEmpty,
    ) {
        Self::release(self, handle);
        reply.ok();
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}
