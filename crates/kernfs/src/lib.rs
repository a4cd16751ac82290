//! The tree of directories, files and links that sysfs and debugfs are (`fs/kernfs/`, `fs/sysfs/`, `fs/debugfs/`).
//!
//! A driver hangs its files below a [`Dir`]; each has a mode and a [`File`], which says what a read shows and what a write
//! does. Nothing here knows how the tree is served: a server looks names up ([`Node::lookup`]), opens files
//! ([`Node::open`]) and passes reads and writes on, each with a [`Caller`] who says who asks.
//!
//! Removal waits for the reads and writes that run on what is removed, as `kernfs_drain` and `debugfs_file_put` see to it;
//! a file may remove itself. So whoever removes a file must hold no lock that the file's own handler takes; the pseudo-lock
//! `kn->active(NAME)` shows lockdep that wait. Handlers that must take such a lock say so first
//! ([`Context::break_active_protection`]).
//!
//! | module | is | kernel counterpart |
//! |---|---|---|
//! | [`node`] | directories, files, links; making and removing them | `fs/kernfs/dir.c` |
//! | [`link`] | symbolic links | `fs/kernfs/symlink.c` |
//! | [`open`] | an open file | `fs/kernfs/file.c` |
//! | [`context`] | who reads or writes | |
//! | [`sysfs`] | attributes: one page of text | `fs/sysfs/file.c` |
//! | [`debugfs`] | values and files with more freedom | `fs/debugfs/file.c`, `fs/libfs.c` |
//! | [`kstrto`] | numbers as the kernel reads them | `lib/kstrtox.c`, `lib/vsprintf.c` |

mod active;
pub mod context;
pub mod debugfs;
pub mod kstrto;
pub mod link;
pub mod node;
pub mod open;
pub mod sysfs;

pub use context::{Caller, Context, Netns, Nobody};
pub use link::way;
pub use node::{Dir, Directory, DynamicEntry, Kind, MOUNT_POINT_MODE, Node, Tree, View};
pub use open::{Access, File, OpenFile, State};

/// One page: the most that a sysfs attribute shows or is given.
pub const PAGE_SIZE: usize = 4096;
