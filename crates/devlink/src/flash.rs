//! `FLASH_UPDATE`: gives the device another firmware.
//!
//! The request returns when the flash has ended, and the instance is locked all the time; so what users see of the progress
//! are notifications, which need no lock of their receiver's: the client that waits for the end hears them on another socket.
//! Other instances go on as ever.

use driver_core::Firmware;
use netlink::genl::Request;
use netlink::{Error, RawAttr, Writer, attr, cmd};
use rustix::io::Errno;

use crate::core::{Devl, Objects};
use crate::info;

/// What is to be flashed (`struct devlink_flash_update_params`).
#[derive(Debug)]
pub struct FlashUpdate<'a> {
    /// The file's contents.
    pub fw: &'a Firmware,
    /// Which of the components that the driver lists; `None` for all of them.
    pub component: Option<&'a str>,
    /// Which sections to overwrite rather than to keep: 1 for settings, 2 for identifiers.
    pub overwrite_mask: u32,
}

// The one encoder.

/// A step on the way; of the beginning and the end only the command is told.
#[derive(Clone, Copy, Debug, Default)]
struct Status<'a> {
    msg: Option<&'a str>,
    component: Option<&'a str>,
    done: u64,
    total: u64,
    /// Seconds.
    timeout: u64,
}

/// Writes the notification's attributes (`net/devlink/dev.c: devlink_nl_flash_update_fill`).
fn fill(w: &mut Writer<'_>, objects: &Objects<'_>, status: Option<Status<'_>>) -> netlink::Result {
    objects.devlink().put_handle(w)?;
    let Some(status) = status else {
        return Ok(());
    };
    if let Some(msg) = status.msg {
        w.put_str(attr::FLASH_UPDATE_STATUS_MSG, msg)?;
    }
    if let Some(component) = status.component {
        w.put_str(attr::FLASH_UPDATE_COMPONENT, component)?;
    }
    w.put_u64(attr::FLASH_UPDATE_STATUS_DONE, status.done)?;
    w.put_u64(attr::FLASH_UPDATE_STATUS_TOTAL, status.total)?;
    w.put_u64(attr::FLASH_UPDATE_STATUS_TIMEOUT, status.timeout)
}

// Notifications.

fn notify(objects: &Objects<'_>, cmd: u8, status: Option<Status<'_>>) {
    objects
        .devlink()
        .notify_send(None, cmd, |w| fill(w, objects, status));
}

// The handler.

/// `net/devlink/dev.c: devlink_nl_flash_update_doit`
pub(crate) fn update_doit(devl: &mut Devl<'_>, request: &mut Request<'_>) -> netlink::Result {
    let ops = devl.ops();
    if !ops.can_flash() {
        return Err(Errno::OPNOTSUPP.into());
    }
    let attrs = request.attrs();
    let file_name = attrs.require(attr::FLASH_UPDATE_FILE_NAME)?;
    let component = component_from(devl, request)?;

    let overwrite_mask = match attrs.get(attr::FLASH_UPDATE_OVERWRITE_MASK) {
        Some(mask) if !ops.can_overwrite() => {
            let text = "overwrite settings are not supported by this device";
            return refuse(request, mask, Errno::OPNOTSUPP, text);
        }
        _ => attrs
            .get_bitfield32(attr::FLASH_UPDATE_OVERWRITE_MASK)
            .map_or(0, |sections| sections.value & sections.selector),
    };

    let dev = devl.devlink().dev().map(|dev| &**dev);
    let loader = devl.devlink().subsystem().firmware();
    let fw = match loader.request(dev, file_name.text()) {
        Ok(fw) => fw,
        Err(errno) => {
            let text = "failed to locate the requested firmware file";
            return refuse(request, file_name, errno, text);
        }
    };

    let update = FlashUpdate {
        fw: &fw,
        component: component.as_deref(),
        overwrite_mask,
    };
    notify(devl, cmd::FLASH_UPDATE, None);
    let flashed = ops.flash_update(devl, &update, request.ext_ack());
    notify(devl, cmd::FLASH_UPDATE_END, None);
    Ok(flashed?)
}

/// An errno with what is wrong with an attribute. Kernel 6.1 puts nothing in front of these texts, as if a driver said them.
fn refuse<T>(
    request: &mut Request<'_>,
    attr: RawAttr<'_>,
    errno: Errno,
    text: &'static str,
) -> Result<T, Error> {
    request.ext_ack().set_msg(text);
    request.ext_ack().set_bad_attr(attr);
    Err(errno.into())
}

/// The component that a request names; the driver must list it.
fn component_from(devl: &mut Devl<'_>, request: &mut Request<'_>) -> Result<Option<String>, Error> {
    let Some(component) = request.attrs().get(attr::FLASH_UPDATE_COMPONENT) else {
        return Ok(None);
    };
    if !devl.ops().has_info() {
        let text = "component update is not supported by this device";
        return refuse(request, component, Errno::OPNOTSUPP, text);
    }
    if !info::has_component(devl, component.text())? {
        let text = "selected component is not supported by this device";
        return refuse(request, component, Errno::INVAL, text);
    }
    // A driver's own name, so it is text.
    Ok(Some(String::from_utf8_lossy(component.text()).into_owned()))
}

// The API for drivers.

impl Objects<'_> {
    /// Tells how far the flash is: `done` of `total`, in a unit of the driver's; both 0 if that cannot be said
    /// (`devlink_flash_update_status_notify`).
    pub fn flash_update_status_notify(
        &self,
        msg: &str,
        component: Option<&str>,
        done: u64,
        total: u64,
    ) {
        let status = Status {
            msg: Some(msg),
            component,
            done,
            total,
            ..Status::default()
        };
        notify(self, cmd::FLASH_UPDATE_STATUS, Some(status));
    }

    /// Tells that the flash does something that may take so many seconds (`devlink_flash_update_timeout_notify`).
    pub fn flash_update_timeout_notify(&self, msg: &str, component: Option<&str>, timeout: u64) {
        let status = Status {
            msg: Some(msg),
            component,
            timeout,
            ..Status::default()
        };
        notify(self, cmd::FLASH_UPDATE_STATUS, Some(status));
    }
}
