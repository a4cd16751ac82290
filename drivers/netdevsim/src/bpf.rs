//! The switches of BPF offload (`bpf.c: nsim_bpf_dev_init`). No program gets here: the real kernel offers it to the real network
//! device.

use kernfs::debugfs::{Bool, U32};
use rustix::io::Errno;

use crate::dev::NsimDev;

/// Makes the files and the directory of bound programs in the device's debugfs directory; they stay as long as that.
///
/// # Errors
/// `EEXIST` when they are there.
pub(crate) fn debugfs_init(dev: &NsimDev) -> Result<(), Errno> {
    let ddir = dev.debugfs().ddir();
    ddir.create_dir("bpf_bound_progs")?;
    ddir.create_file("bpf_bind_accept", 0o600, Bool::new(true))?;
    ddir.create_file("bpf_bind_verifier_delay", 0o600, U32::new(0))?;
    ddir.create_file("bpf_bind_verifier_accept", 0o600, Bool::new(true))?;
    Ok(())
}
