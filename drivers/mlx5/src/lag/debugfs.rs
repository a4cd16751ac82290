//! What debugfs tells of the aggregation: `mlx5/ADDRESS/lag/` (`lag/debugfs.c`).

use std::sync::{Arc, Weak};

use kernfs::debugfs::Plain;
use rustix::io::Errno;

use super::Lag;
use crate::core_dev::CoreDev;

/// The directory of the module's functions.
const ROOT: &str = "mlx5";

type Show = fn(&Lag) -> Result<String, Errno>;

const FILES: [(&str, Show); 6] = [
    ("type", |ldev| {
        active(ldev).map(|()| "multiport_eswitch\n".to_owned())
    }),
    ("port_sel_mode", |ldev| {
        active(ldev).map(|()| "mpesw\n".to_owned())
    }),
    ("state", |ldev| {
        let state = if ldev.is_active() {
            "active"
        } else {
            "disabled"
        };
        Ok(format!("{state}\n"))
    }),
    ("flags", |ldev| {
        active(ldev).map(|()| "shared_fdb:on\nfdb_selection_mode:native\n".to_owned())
    }),
    // No port stands in for another one: the mapping is never filled in.
    ("mapping", |ldev| {
        active(ldev)?;
        let ports = 1..=ldev.functions().len();
        Ok(ports.map(|port| format!("{port}:0\n")).collect())
    }),
    ("members", |ldev| {
        let functions = ldev.functions();
        Ok(functions
            .iter()
            .map(|dev| format!("{}\n", dev.device().name()))
            .collect())
    }),
];

fn active(ldev: &Lag) -> Result<(), Errno> {
    ldev.is_active().then_some(()).ok_or(Errno::INVAL)
}

/// Makes the files of a function that takes part (`mlx5_ldev_add_debugfs`). debugfs is help, not function: what fails is left out.
pub(super) fn add(dev: &Arc<CoreDev>) {
    let debugfs = dev.module().driver_core().debugfs();
    let root = debugfs
        .dir(ROOT)
        .map_or_else(|| debugfs.create_dir(ROOT), Ok);
    let lag = root.and_then(|root| {
        let name = dev.device().name().to_owned();
        root.create_dir(name)?.create_dir("lag")
    });
    let Ok(lag) = lag else { return };
    for (name, show) in FILES {
        let dev: Weak<CoreDev> = Arc::downgrade(dev);
        let file = Plain::new().show(move |_| {
            let ldev = dev.upgrade().and_then(|dev| super::of(&dev));
            show(&*ldev.ok_or(Errno::IO)?)
        });
        let _ = lag.create_file(name, 0o444, file);
    }
}

/// `mlx5_ldev_remove_debugfs`
pub(super) fn remove(dev: &CoreDev) {
    let debugfs = dev.module().driver_core().debugfs();
    if let Some(root) = debugfs.dir(ROOT) {
        root.remove_entry(dev.device().name());
    }
}
