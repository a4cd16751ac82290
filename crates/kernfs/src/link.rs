//! Symbolic links (`fs/kernfs/symlink.c`, `fs/sysfs/symlink.c`).

use std::borrow::Cow;
use std::sync::Arc;

use rustix::io::Errno;

use crate::node::{Dir, Kind, Node};

impl Dir {
    /// Makes a symbolic link in it (`sysfs_create_link`, `debugfs_create_symlink`).
    ///
    /// # Errors
    /// As [`create_file`](Dir::create_file).
    pub fn create_link(
        &self,
        name: impl Into<Cow<'static, str>>,
        target: impl Into<String>,
    ) -> Result<Arc<Node>, Errno> {
        self.create(name.into(), 0o777, Kind::Link(target.into()))
    }

    /// Makes a symbolic link in it that leads to `target`, by the shortest way up and down (`sysfs_create_link`).
    ///
    /// # Errors
    /// As [`create_file`](Dir::create_file).
    pub fn create_link_to(
        &self,
        name: impl Into<Cow<'static, str>>,
        target: &Node,
    ) -> Result<Arc<Node>, Errno> {
        self.create_link(name, way(&self.node().path(), &target.path()))
    }
}

/// What a link in the directory `from` says that leads to `to`, which is never found in `from` itself: a link to a directory
/// further up goes by that one's own directory, too (`fs/kernfs/symlink.c: kernfs_get_target_path`).
pub fn way(from: &str, to: &str) -> String {
    let [from, to] = [from, to].map(|path| {
        let names = path.split('/').filter(|name| !name.is_empty());
        names.collect::<Vec<_>>()
    });
    let last = to.len().saturating_sub(1);
    let pairs = from.iter().zip(&to[..last]);
    let common = pairs.take_while(|(from, to)| from == to).count();
    "../".repeat(from.len() - common) + &to[common..].join("/")
}

#[cfg(test)]
mod tests {
    use super::way;

    #[test]
    fn links_lead_as_in_the_kernel() {
        for (from, to, says) in [
            (
                "bus/netdevsim/devices",
                "devices/netdevsim10",
                "../../../devices/netdevsim10",
            ),
            (
                "devices/netdevsim10",
                "bus/netdevsim",
                "../../bus/netdevsim",
            ),
            (
                "devices/netdevsim10/net/eth0",
                "devices/netdevsim10",
                "../../../netdevsim10",
            ),
            (
                "devices/netdevsim10/net/eth0",
                "class/net",
                "../../../../class/net",
            ),
            (
                "devices/pci0000:00/0000:00:09.0",
                "devices/pci0000:00/0000:00:09.1",
                "../0000:00:09.1",
            ),
        ] {
            assert_eq!(way(from, to), says);
        }
    }
}
