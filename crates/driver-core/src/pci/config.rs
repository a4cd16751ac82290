//! A function's configuration space, as `lspci` reads it (`drivers/pci/pci-sysfs.c: pci_read_config`).
//!
//! What drivers read is in [`Function`](super::Function); here it is put where the PCI specification wants it: the header,
//! the PCI Express capability without which there is no extended space, and the capability of SR-IOV. The rest is zero, and
//! nothing can be written.

use std::sync::{Arc, Weak};

use kernfs::{Context, File, State};
use rustix::io::Errno;

use super::{function, sriov};
use crate::device::Device;

/// How large it is, for a function of PCI Express.
const SIZE: usize = 4096;

const COMMAND: usize = 0x04;
const COMMAND_MEMORY_MASTER: u16 = 0x0006;
const STATUS: usize = 0x06;
const STATUS_CAPABILITIES: u16 = 0x0010;
const CAPABILITIES: usize = 0x34;
/// Where the capability of PCI Express is.
const EXPRESS: usize = 0x60;
const CAP_ID_EXP: u8 = 0x10;
/// Version 2, an endpoint.
const EXPRESS_FLAGS: u16 = 0x0002;
/// Where the extended capabilities begin.
const EXTENDED: usize = 0x100;
/// `PCI_EXT_CAP_ID_SRIOV`, version 1, the last one.
const CAP_ID_SRIOV: u32 = 0x0001_0010;

/// The file `config`.
pub(super) struct Config(pub(super) Weak<Device>);

impl File for Config {
    fn has_show(&self) -> bool {
        true
    }

    fn has_store(&self) -> bool {
        false
    }

    fn read(&self, cx: &mut Context<'_>, state: &mut State, size: usize) -> Result<Vec<u8>, Errno> {
        let device = self.0.upgrade().ok_or(Errno::NODEV)?;
        state.text = space(&device).ok_or(Errno::NODEV)?;
        Ok(state.slice(cx.offset(), size))
    }

    fn write(&self, _: &mut Context<'_>, _: &mut State, _: &[u8]) -> Result<usize, Errno> {
        Err(Errno::PERM)
    }
}

fn space(device: &Arc<Device>) -> Option<Vec<u8>> {
    let function = function(device)?;
    let mut space = Space(vec![0; SIZE]);
    // A virtual function has no identity of its own there.
    let is_virtual = sriov::physfn(device).is_some();
    let id = |id: u16| if is_virtual { 0xffff } else { id };
    space.put16(0x00, id(function.id.vendor));
    space.put16(0x02, id(function.id.device));
    if device.driver().is_some() {
        space.put16(COMMAND, COMMAND_MEMORY_MASTER);
    }
    space.put16(STATUS, STATUS_CAPABILITIES);
    space.put32(0x08, function.class << 8 | u32::from(function.revision));
    space.put16(0x2c, function.subsystem.vendor);
    space.put16(0x2e, function.subsystem.device);
    space.0[CAPABILITIES] = EXPRESS as u8;
    space.0[EXPRESS] = CAP_ID_EXP;
    space.put16(EXPRESS + 2, EXPRESS_FLAGS);
    let total = sriov::total_vfs(device);
    if total > 0 {
        let numvfs = sriov::num_vfs(device);
        space.put32(EXTENDED, CAP_ID_SRIOV);
        // Enabled, and their memory too, while there are some.
        space.put16(EXTENDED + 0x08, if numvfs > 0 { 0x0009 } else { 0 });
        space.put16(EXTENDED + 0x0c, total);
        space.put16(EXTENDED + 0x0e, total);
        space.put16(EXTENDED + 0x10, numvfs);
        space.put16(EXTENDED + 0x14, function.vf.offset);
        space.put16(EXTENDED + 0x16, function.vf.stride);
        space.put16(EXTENDED + 0x1a, function.vf.device);
    }
    Some(space.0)
}

struct Space(Vec<u8>);

impl Space {
    fn put16(&mut self, at: usize, value: u16) {
        self.0[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }

    fn put32(&mut self, at: usize, value: u32) {
        self.0[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
}
