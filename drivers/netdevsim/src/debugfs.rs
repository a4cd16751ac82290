//! The files of `/sys/kernel/debug/netdevsim/netdevsimN/` that belong to no object of devlink (`dev.c: nsim_dev_debugfs_init`).
//!
//! Some show what is in effect (`max_macs`, `test1`: the driverinit values of the last probe or reload), some tell the
//! device to misbehave. Each is a word of its own that is read and written without a lock, as in the kernel. What belongs to
//! an object (health reporters, traps, ports) is made by that object's module, in [`ddir`](Debugfs::ddir) or below it.

use std::sync::OnceLock;

use kernfs::Dir;
use kernfs::debugfs::{Bool, U32};
use rustix::io::Errno;

/// The values of one device, and the directory with their files.
#[derive(Debug)]
pub struct Debugfs {
    /// `max_macs`: the driverinit value in effect.
    pub max_macs: U32,
    /// `test1`: the driverinit value in effect.
    pub test1: Bool,
    /// `test2`: the value of the runtime parameter.
    pub test2: U32,
    /// `dont_allow_reload`: refuse to go down for a reload.
    pub dont_allow_reload: Bool,
    /// `fail_reload`: fail to come up again.
    pub fail_reload: Bool,
    dirs: OnceLock<Dirs>,
}

#[derive(Debug)]
struct Dirs {
    ddir: Dir,
    ports: Dir,
    nodes: Dir,
}

impl Debugfs {
    pub(crate) fn new() -> Self {
        Debugfs {
            max_macs: U32::new(crate::params::MAX_MACS_DEFAULT),
            test1: Bool::new(crate::params::TEST1_DEFAULT),
            test2: U32::new(crate::params::TEST2_DEFAULT),
            dont_allow_reload: Bool::new(false),
            fail_reload: Bool::new(false),
            dirs: OnceLock::new(),
        }
    }

    /// Makes the device's directory in the module's (`dev.c: nsim_dev_debugfs_init`). `sleeps`: it is of a kernel in which
    /// setting up UDP tunnel ports can be told to take its time; `has_test2`: of one that has that parameter.
    ///
    /// # Errors
    /// `EEXIST` when there is one of that name; then nothing was made.
    pub(crate) fn init(
        &self,
        module: &Dir,
        name: &str,
        sleeps: bool,
        has_test2: bool,
    ) -> Result<(), Errno> {
        let ddir = module.create_dir(name.to_owned())?;
        let dirs = Dirs {
            ports: ddir.create_dir("ports")?,
            nodes: ddir.create_dir("rate_nodes")?,
            ddir,
        };
        let ddir = &dirs.ddir;
        ddir.create_file("max_macs", 0o600, self.max_macs.clone())?;
        ddir.create_file("test1", 0o600, self.test1.clone())?;
        if has_test2 {
            ddir.create_file("test2", 0o600, self.test2.clone())?;
        }
        ddir.create_file("dont_allow_reload", 0o600, self.dont_allow_reload.clone())?;
        ddir.create_file("fail_reload", 0o600, self.fail_reload.clone())?;
        udp_ports(ddir, sleeps)?;
        self.dirs
            .set(dirs)
            .expect("a device is probed once and makes its files once");
        Ok(())
    }

    /// Removes all that is left of the device's files (`dev.c: nsim_dev_debugfs_exit`).
    pub(crate) fn exit(&self) {
        if let Some(dirs) = self.dirs.get() {
            dirs.ddir.remove();
        }
    }

    /// The device's own directory.
    pub fn ddir(&self) -> &Dir {
        &self.dirs().ddir
    }

    /// `ports/`: a directory for each port.
    pub(crate) fn ports_ddir(&self) -> &Dir {
        &self.dirs().ports
    }

    /// `rate_nodes/`: a directory for each rate node.
    pub(crate) fn nodes_ddir(&self) -> &Dir {
        &self.dirs().nodes
    }

    fn dirs(&self) -> &Dirs {
        self.dirs.get().expect(
            "probe makes the directories before any object, and objects go before the device",
        )
    }
}

/// `udp_tunnels.c: nsim_udp_tunnels_debugfs_create`
fn udp_ports(ddir: &Dir, sleeps: bool) -> Result<(), Errno> {
    for name in [
        "udp_ports_sync_all",
        "udp_ports_open_only",
        "udp_ports_ipv4_only",
        "udp_ports_shared",
        "udp_ports_static_iana_vxlan",
    ] {
        ddir.create_file(name, 0o600, Bool::new(false))?;
    }
    if sleeps {
        ddir.create_file("udp_ports_sleep", 0o600, U32::new(0))?;
    }
    Ok(())
}
