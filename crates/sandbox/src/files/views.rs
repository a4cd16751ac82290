//! Which network namespaces have a view of the trees, so that the views of those that have ended can be taken back.
//!
//! What the real kernel has once looked up it keeps until memory runs short, used or not, and with it the server keeps all that
//! the kernel was told of: some eighty directories a view. So whenever a view is new, those whose namespace has ended meanwhile are
//! declared invalid, and the kernel forgets all that is in them.

use std::collections::HashSet;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use fuser::{INodeNo, Notifier};
use kernfs::{Caller, Netns, View};

use super::caller::Requester;
use super::inodes::ROOT;
use super::pool::Pool;
use crate::wire::Wire;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Views {
    wire: Arc<Wire>,
    watched: Mutex<HashSet<View>>,
    /// The way to the real kernel, once there is a connection.
    pub(super) notifier: OnceLock<Notifier>,
}

impl Views {
    pub(super) fn new(wire: Arc<Wire>) -> Self {
        Views {
            wire,
            watched: Mutex::default(),
            notifier: OnceLock::new(),
        }
    }

    /// A view is looked up, by a thread that is in its namespace; otherwise it may not be known when that ends, and the view stays.
    pub(super) fn meet(&self, view: View, requester: Requester, pool: &Pool) {
        if !self.wire.knows(view.0) {
            match requester.netns() {
                Ok(Netns {
                    cookie,
                    fd: Some(fd),
                }) if cookie == view.0 => self.wire.know(cookie, fd.as_fd()),
                _ => return,
            }
        }
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let has_ended = |view: &View| !self.wire.knows(view.0);
        let ended: Vec<View> = watched.iter().copied().filter(has_ended).collect();
        watched.retain(|view| !ended.contains(view));
        watched.insert(view);
        drop(watched);
        if let (Some(notifier), false) = (self.notifier.get(), ended.is_empty()) {
            let notifier = notifier.clone();
            // The kernel first waits until nobody looks anything up at the root, as whoever asks for the new view does.
            pool.run(move || {
                for view in ended {
                    // At worst it stays.
                    let _ = notifier.inval_entry(INodeNo(ROOT), view.0.to_string().as_ref());
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kernfs::Tree;
    use rustix::fs::{Mode, OFlags};

    use super::super::{Trees, mount};
    use super::*;
    use crate::{netns, sys, userns};

    /// Needs real root, to mount; elsewhere there is nothing to test. Of each view that a machine had ever seen, the server kept
    /// every directory that was mounted on: 10 KB for each network namespace that a command was run in.
    #[test]
    fn the_kernel_forgets_the_views_of_namespaces_that_have_ended() {
        if !userns::is_privileged() || std::fs::File::open("/dev/fuse").is_err() {
            return;
        }
        let (sysfs, debugfs) = (Tree::sysfs(), Tree::debugfs());
        let bus = sysfs.root().create_dir("bus").unwrap();
        let trees = Trees {
            sysfs: sysfs.root(),
            debugfs: debugfs.root(),
        };
        let root = mount(trees, Wire::new().unwrap()).unwrap();
        let look = || {
            sys::unshare(libc::CLONE_NEWNET).unwrap();
            let own = netns::open_current().unwrap();
            let path = format!("{}/sys/bus", netns::cookie_of(own.as_fd()).unwrap());
            rustix::fs::openat(&root, path, OFlags::PATH, Mode::empty()).unwrap();
        };
        let in_a_namespace_that_ends = || {
            std::thread::scope(|scope| scope.spawn(look).join().unwrap());
            // The server has one reference for each view in which the kernel knows the directory.
            Arc::strong_count(bus.node())
        };
        let one = in_a_namespace_that_ends();
        for _ in 0..20 {
            in_a_namespace_that_ends();
        }
        // The kernel takes its time to end them.
        let mut tries = 0;
        while in_a_namespace_that_ends() > one + 5 {
            tries += 1;
            assert!(
                tries < 200,
                "{} views are kept",
                Arc::strong_count(bus.node()) - one
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
