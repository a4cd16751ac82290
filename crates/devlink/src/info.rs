//! `INFO_GET`: serial numbers and versions.
//!
//! The driver writes them into the reply through an [`InfoReq`]. The same list tells which components can be flashed, so the
//! driver is asked for it then too, and what it says goes nowhere but to who looks for a component
//! (`has_component`).

use std::fmt;

use netlink::genl::{Batch, Reply, Request};
use netlink::wire::kind;
use netlink::{Attr, Error, ExtAck, KernelVersion, Writer, attr, cmd};
use rustix::io::Errno;

use crate::core::Devl;

/// What a version is the version of (`enum devlink_info_version_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionType {
    /// Something that cannot be flashed by itself.
    None,
    /// A component that a user can name when flashing.
    Component,
}

/// The reply of `INFO_GET` while the driver writes into it (`struct devlink_info_req`).
pub struct InfoReq<'a, 'w> {
    to: To<'a, 'w>,
}

/// Where it goes.
enum To<'a, 'w> {
    /// Into a reply.
    Reply(&'a mut Writer<'w>),
    /// To who wants to know whether there is a component of this name.
    Lookup { name: &'a [u8], found: &'a mut bool },
}

impl InfoReq<'_, '_> {
    /// The device's serial number.
    ///
    /// # Errors
    ///
    /// `EMSGSIZE` if it does not fit; so all of these.
    pub fn serial_number(&mut self, serial: &str) -> Result<(), Errno> {
        self.text(attr::INFO_SERIAL_NUMBER, serial)
    }

    /// The serial number of the board that carries the device.
    pub fn board_serial_number(&mut self, serial: &str) -> Result<(), Errno> {
        self.text(attr::INFO_BOARD_SERIAL_NUMBER, serial)
    }

    /// A version that never changes, such as a board's revision.
    pub fn version_fixed(&mut self, name: &str, value: &str) -> Result<(), Errno> {
        self.version(attr::INFO_VERSION_FIXED, name, value, VersionType::None)
    }

    /// The version of what runs now.
    pub fn version_running(&mut self, name: &str, value: &str) -> Result<(), Errno> {
        self.version_running_ext(name, value, VersionType::None)
    }

    /// The version of what runs now, and what of.
    pub fn version_running_ext(
        &mut self,
        name: &str,
        value: &str,
        of: VersionType,
    ) -> Result<(), Errno> {
        self.version(attr::INFO_VERSION_RUNNING, name, value, of)
    }

    /// The version of what is stored and would run after a reload or reset.
    pub fn version_stored(&mut self, name: &str, value: &str) -> Result<(), Errno> {
        self.version_stored_ext(name, value, VersionType::None)
    }

    /// The version of what is stored and would run after a reload or reset, and what of.
    pub fn version_stored_ext(
        &mut self,
        name: &str,
        value: &str,
        of: VersionType,
    ) -> Result<(), Errno> {
        self.version(attr::INFO_VERSION_STORED, name, value, of)
    }

    fn text(&mut self, to: Attr<kind::Str>, text: &str) -> Result<(), Errno> {
        match &mut self.to {
            To::Reply(w) => w.put_str(to, text).map_err(|error| error.errno()),
            To::Lookup { .. } => Ok(()),
        }
    }

    fn version(
        &mut self,
        to: Attr<kind::Nest>,
        name: &str,
        value: &str,
        of: VersionType,
    ) -> Result<(), Errno> {
        let w = match &mut self.to {
            To::Reply(w) => w,
            To::Lookup {
                name: wanted,
                found,
            } => {
                **found |= of == VersionType::Component && name.as_bytes() == *wanted;
                return Ok(());
            }
        };
        // The newer kernels leave out what has no value.
        if value.is_empty() && w.kernel() >= KernelVersion::V7_2 {
            return Ok(());
        }
        let put = w.nest(to, |w| {
            w.put_str(attr::INFO_VERSION_NAME, name)?;
            w.put_str(attr::INFO_VERSION_VALUE, value)
        });
        put.map_err(|error| error.errno())
    }
}

impl fmt::Debug for InfoReq<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InfoReq").finish_non_exhaustive()
    }
}

/// Whether the driver lists a component of this name (`net/devlink/dev.c: devlink_flash_component_get`).
///
/// # Errors
///
/// The driver's.
pub(crate) fn has_component(devl: &mut Devl<'_>, name: &[u8]) -> Result<bool, Errno> {
    let mut found = false;
    let to = To::Lookup {
        name,
        found: &mut found,
    };
    let ops = devl.ops();
    ops.info_get(devl, &mut InfoReq { to }, &mut ExtAck::default())?;
    Ok(found)
}

/// `net/devlink/dev.c: devlink_nl_info_fill`
fn fill(w: &mut Writer<'_>, devl: &mut Devl<'_>, extack: &mut ExtAck) -> netlink::Result {
    let (devlink, ops) = (devl.devlink(), devl.ops());
    devlink.put_handle(w)?;
    // In kernel 6.1 drivers state their names, and all do so first.
    let driver_first = w.kernel() == KernelVersion::V6_1;
    let put_driver = |w: &mut Writer<'_>| match devlink.driver_name() {
        "" => Ok(()),
        name => w.put_str(attr::INFO_DRIVER_NAME, name),
    };
    if driver_first {
        put_driver(w)?;
    }
    if ops.has_info() {
        let to = To::Reply(&mut *w);
        ops.info_get(devl, &mut InfoReq { to }, extack)?;
    }
    if driver_first { Ok(()) } else { put_driver(w) }
}

/// Kernel 6.1 has nothing to tell where the driver has nothing.
fn is_told(devl: &Devl<'_>, kernel: KernelVersion) -> bool {
    kernel != KernelVersion::V6_1 || devl.ops().has_info()
}

pub(crate) fn get_doit(
    devl: &mut Devl<'_>,
    request: &mut Request<'_>,
    reply: &mut Reply<'_>,
) -> netlink::Result {
    if !is_told(devl, request.kernel()) {
        return Err(Error::new(Errno::OPNOTSUPP));
    }
    reply.send(cmd::INFO_GET, |w| fill(w, devl, request.ext_ack()))
}

pub(crate) fn get_dump_one(
    devl: &mut Devl<'_>,
    request: &mut Request<'_>,
    batch: &mut Batch<'_>,
) -> netlink::Result {
    if !is_told(devl, request.kernel()) {
        return Ok(());
    }
    match batch.put(cmd::INFO_GET, |w| fill(w, devl, request.ext_ack())) {
        Err(error) if error.errno() == Errno::OPNOTSUPP => Ok(()),
        done => done,
    }
}
