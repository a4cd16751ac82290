//! Parameters: named settings of a device, in up to three configuration modes.
//!
//! A runtime or permanent value lives in the driver, which reads and writes it through the parameter's functions. A
//! *driverinit* value lives here: what the user sets waits as the new value, becomes *the* value at the next reload with
//! `driver_reinit`, and the driver asks for it when it initializes. A driverinit parameter that the driver has not given a
//! value yet is invisible: `PARAM_GET` answers `EOPNOTSUPP`, dumps and notifications leave it out.
//!
//! Parameters of ports were planned and never came; their three commands answer what the kernel answers.

use std::sync::Arc;

use netlink::genl::{Batch, DumpCursor, Reply, Request};
use netlink::wire::kind;
use netlink::{Attr, Error, ExtAck, KernelVersion, RawAttr, Writer, attr, cmd};
use rustix::io::Errno;

use crate::core::{Devl, Devlink, Objects};
use crate::notify::Order;
use crate::reload::ReloadActions;

mod definition;
mod generic;
mod value;

pub use definition::Param;
pub use generic::Generic;
pub use value::{Cmode, Cmodes, MAX_ARRAY_SIZE, MAX_STRING_VALUE, ParamType, ParamValue};

/// A registered parameter (`struct devlink_param_item`).
#[derive(Debug)]
pub(crate) struct ParamItem {
    param: Arc<Param>,
    /// How many were registered on the instance before it.
    registered: u32,
    driverinit: Option<ParamValue>,
    driverinit_new: Option<ParamValue>,
    driverinit_default: Option<ParamValue>,
}

// Look-ups.

/// All parameters in their order, each with its place in it: by number, before 6.3 as they were registered.
fn ordered<'a>(objects: &'a Objects<'_>) -> Vec<(u32, &'a ParamItem)> {
    let params = objects.state.params.iter();
    if objects.devlink().kernel().has(KernelVersion::new(6, 3)) {
        return params.map(|(id, item)| (*id, item)).collect();
    }
    let mut items: Vec<_> = params.map(|(_, item)| (item.registered, item)).collect();
    items.sort_unstable_by_key(|(place, _)| *place);
    items
}

// Look-ups from a request.

fn find<'a>(objects: &'a Objects<'_>, request: &Request<'_>) -> Result<&'a ParamItem, Error> {
    let name = request.attrs().require(attr::PARAM_NAME)?.text();
    let item = objects
        .state
        .params
        .values()
        .find(|item| item.param.name.as_bytes() == name);
    item.ok_or(Error::new(Errno::INVAL))
}

/// Reads the value that a request wants to set; the checks are the kernel's own, for the policy does not know the type.
fn value_from(request: &mut Request<'_>, ty: ParamType) -> Result<ParamValue, Errno> {
    let is_data = |attr: &RawAttr<'_>| attr.number() == attr::PARAM_VALUE_DATA.number();
    let data: Vec<RawAttr<'_>> = request.attrs().iter().filter(is_data).collect();
    let last = data.last().map(|data| data.payload);
    if ty == ParamType::Bool {
        return match last {
            Some([]) => Ok(ParamValue::Bool(true)),
            Some(_) => Err(Errno::INVAL),
            None => Ok(ParamValue::Bool(false)),
        };
    }
    let payload = last.ok_or(Errno::INVAL)?;
    let value = match ty {
        ParamType::U8 => payload
            .try_into()
            .ok()
            .map(|bytes| ParamValue::U8(u8::from_ne_bytes(bytes))),
        ParamType::U16 => payload
            .try_into()
            .ok()
            .map(|bytes| ParamValue::U16(u16::from_ne_bytes(bytes))),
        ParamType::U32 => payload
            .try_into()
            .ok()
            .map(|bytes| ParamValue::U32(u32::from_ne_bytes(bytes))),
        ParamType::U64 => payload
            .try_into()
            .ok()
            .map(|bytes| ParamValue::U64(u64::from_ne_bytes(bytes))),
        ParamType::String => string_from(payload).map(ParamValue::String),
        ParamType::U64Array => Some(ParamValue::U64Array(array_from(&data, request.ext_ack())?)),
        ParamType::Bool => None,
    };
    value.ok_or(Errno::INVAL)
}

fn string_from(payload: &[u8]) -> Option<String> {
    let len = payload.iter().position(|&byte| byte == 0)?;
    if len > MAX_STRING_VALUE {
        return None;
    }
    // The kernel takes any bytes; a name of a mode that is not text cannot be one that a driver knows.
    Some(String::from_utf8_lossy(&payload[..len]).into_owned())
}

fn array_from(data: &[RawAttr<'_>], extack: &mut ExtAck) -> Result<Vec<u64>, Errno> {
    let mut values = Vec::with_capacity(data.len());
    for &element in data {
        if values.len() == MAX_ARRAY_SIZE {
            return Err(Errno::MSGSIZE);
        }
        values.push(match element.payload.len() {
            4 => element.u32().map(u64::from).ok_or(Errno::INVAL)?,
            8 => element.u64().ok_or(Errno::INVAL)?,
            _ => {
                extack.set_bad_attr(element);
                return Err(Errno::INVAL);
            }
        });
    }
    Ok(values)
}

// The one encoder.

struct Filled {
    cmode: Cmode,
    value: ParamValue,
    default: Option<ParamValue>,
}

/// Reads the values of all supported modes; done before the message begins, so that a failure leaves nothing half-written.
fn read_values(
    devlink: &Devlink,
    item: &ParamItem,
    extack: &mut ExtAck,
) -> Result<Vec<Filled>, Errno> {
    let param = &*item.param;
    let supported = Cmode::ALL
        .into_iter()
        .filter(|&cmode| param.cmodes.contains(cmode));
    supported
        .map(|cmode| {
            if cmode == Cmode::Driverinit {
                let value = item
                    .driverinit_new
                    .as_ref()
                    .or(item.driverinit.as_ref())
                    .cloned()
                    .ok_or(Errno::OPNOTSUPP)?;
                let default = item
                    .driverinit
                    .as_ref()
                    .and(item.driverinit_default.clone());
                return Ok(Filled {
                    cmode,
                    value,
                    default,
                });
            }
            let get = param.get.as_ref().ok_or(Errno::OPNOTSUPP)?;
            let value = get(devlink, cmode, extack)?;
            let default = match param
                .get_default
                .as_ref()
                .map(|get| get(devlink, cmode, extack))
            {
                None | Some(Err(Errno::OPNOTSUPP)) => None,
                Some(default) => Some(default?),
            };
            Ok(Filled {
                cmode,
                value,
                default,
            })
        })
        .collect()
}

/// Writes the parameter's attributes (`devlink_nl_param_fill`).
fn fill(
    w: &mut Writer<'_>,
    devlink: &Devlink,
    item: &ParamItem,
    values: &[Filled],
) -> netlink::Result {
    devlink.put_handle(w)?;
    w.nest(attr::PARAM, |w| {
        w.put_str(attr::PARAM_NAME, item.param.name)?;
        if item.param.generic {
            w.put_flag(attr::PARAM_GENERIC)?;
        }
        w.put_u8(attr::PARAM_TYPE, item.param.ty as u8)?;
        w.nest(attr::PARAM_VALUES_LIST, |w| {
            values.iter().try_for_each(|filled| {
                w.nest(attr::PARAM_VALUE, |w| {
                    w.put_u8(attr::PARAM_VALUE_CMODE, filled.cmode as u8)?;
                    put_value(w, attr::PARAM_VALUE_DATA, &filled.value, false)?;
                    filled.default.iter().try_for_each(|default| {
                        put_value(w, attr::PARAM_VALUE_DEFAULT, default, true)
                    })
                })
            })
        })
    })
}

fn put_value(
    w: &mut Writer<'_>,
    to: Attr<kind::Dynamic>,
    value: &ParamValue,
    is_default: bool,
) -> netlink::Result {
    match value {
        ParamValue::U8(v) => w.put_u8(to.of(), *v),
        ParamValue::U16(v) => w.put_u16(to.of(), *v),
        ParamValue::U32(v) => w.put_u32(to.of(), *v),
        ParamValue::U64(v) => w.put_u64(to.of(), *v),
        ParamValue::String(v) => w.put_str(to.of(), v),
        // A value is a flag: present or not. A default that is false must differ from no default, so it has a byte.
        ParamValue::Bool(v) if is_default => w.put_u8(to.of(), u8::from(*v)),
        ParamValue::Bool(true) => w.put_flag(to.of()),
        ParamValue::Bool(false) => Ok(()),
        ParamValue::U64Array(v) => v
            .iter()
            .try_for_each(|&element| w.put_uint(to.of(), element)),
    }
}

// Notifications.

fn notify(objects: &Objects<'_>, item: &ParamItem, cmd: u8) {
    let devlink = objects.devlink();
    if !devlink.notify_need() {
        return;
    }
    // A parameter that cannot be read now is left out, as in a dump.
    if let Ok(values) = read_values(devlink, item, &mut ExtAck::default()) {
        devlink.notify_send(None, cmd, |w| fill(w, devlink, item, &values));
    }
}

/// One notification for each parameter.
pub(crate) fn notify_all(objects: &Objects<'_>, cmd: u8, order: Order) {
    let items = ordered(objects).into_iter();
    order
        .of(items)
        .for_each(|(_, item)| notify(objects, item, cmd));
}

// The handlers.

pub(crate) fn get_doit(
    devl: &mut Devl<'_>,
    request: &mut Request<'_>,
    reply: &mut Reply<'_>,
) -> netlink::Result {
    let item = find(devl, request)?;
    let values = read_values(devl.devlink(), item, request.ext_ack())?;
    reply.send(cmd::PARAM_GET, |w| fill(w, devl.devlink(), item, &values))
}

/// Dumps the instance's parameters, from the place at which the cursor stands; those that cannot be read now are left out.
pub(crate) fn get_dump_one(
    devl: &Devl<'_>,
    request: &mut Request<'_>,
    cursor: &mut DumpCursor,
    batch: &mut Batch<'_>,
) -> netlink::Result {
    let devlink = devl.devlink();
    let from = u32::try_from(cursor.index).unwrap_or(u32::MAX);
    let items = ordered(devl).into_iter();
    for (place, item) in items.filter(|(place, _)| *place >= from) {
        let filled = read_values(devlink, item, request.ext_ack())
            .map_err(Error::from)
            .and_then(|values| batch.put(cmd::PARAM_GET, |w| fill(w, devlink, item, &values)));
        match filled {
            Err(error) if error.errno() != Errno::OPNOTSUPP => {
                cursor.index = u64::from(place);
                return Err(error);
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// `net/devlink/param.c: __devlink_nl_cmd_param_set_doit`
pub(crate) fn set_doit(devl: &mut Devl<'_>, request: &mut Request<'_>) -> netlink::Result {
    let param = Arc::clone(&find(devl, request)?.param);
    let ty = request.attrs().require(attr::PARAM_TYPE)?.u8();
    if ty != Some(param.ty as u8) {
        return Err(Errno::INVAL.into());
    }

    let reset_default = request.attrs().get_flag(attr::PARAM_RESET_DEFAULT);
    let new = if reset_default {
        None
    } else {
        Some(value_from(request, param.ty)?)
    };
    if let (Some(value), Some(validate)) = (&new, &param.validate) {
        validate(devl.devlink(), value, request.ext_ack())?;
    }

    let cmode = request
        .attrs()
        .require(attr::PARAM_VALUE_CMODE)?
        .u8()
        .and_then(Cmode::from_u8);
    let cmode = cmode
        .filter(|&cmode| param.cmodes.contains(cmode))
        .ok_or(Errno::OPNOTSUPP)?;

    if cmode == Cmode::Driverinit {
        let item = devl.item_mut(param.id).ok_or(Errno::INVAL)?;
        let value = match new {
            Some(value) => value,
            None if item.driverinit.is_none() => {
                return Err(Error::with_msg(
                    Errno::OPNOTSUPP,
                    "Default value not available",
                ));
            }
            None => item.driverinit_default.clone().ok_or(Errno::OPNOTSUPP)?,
        };
        item.driverinit_new = Some(value);
    } else {
        let set = param.set.as_ref().ok_or(Errno::OPNOTSUPP)?;
        match new {
            // Kernel 6.1 gives the driver's function no place to say anything.
            Some(value) if request.kernel() == KernelVersion::V6_1 => {
                set(devl, cmode, &value, &mut ExtAck::default())?;
            }
            Some(value) => set(devl, cmode, &value, request.ext_ack())?,
            None => param.reset_default.as_ref().ok_or(Errno::OPNOTSUPP)?(
                devl,
                cmode,
                request.ext_ack(),
            )?,
        }
    }
    devl.param_value_changed(param.id);
    Ok(())
}

/// What `PORT_PARAM_GET` and `PORT_PARAM_SET` say of every port; in a dump it is a warning.
pub(crate) const PORT_PARAMS: &str = "Port params are not supported";

// The API for drivers.

impl Objects<'_> {
    /// Registers parameters, in the order given; all or none (`devl_params_register`).
    ///
    /// # Errors
    ///
    /// `EBUSY` if one of the numbers is taken.
    pub fn params_register(&mut self, params: &[Param]) -> Result<(), Errno> {
        for (done, param) in params.iter().enumerate() {
            if let Err(errno) = self.param_register(param) {
                self.params_unregister(&params[..done]);
                return Err(errno);
            }
        }
        Ok(())
    }

    fn param_register(&mut self, param: &Param) -> Result<(), Errno> {
        if let Some(what) = param.verify() {
            self.devlink().warn_on(true, "devlink_param_register", what);
        }
        if self.state.params.contains_key(&param.id) {
            return Err(Errno::BUSY);
        }
        let param = Arc::new(param.clone());
        let id = param.id;
        let registered = self.state.params.values().map(|item| item.registered + 1);
        let item = ParamItem {
            param,
            registered: registered.max().unwrap_or(0),
            driverinit: None,
            driverinit_new: None,
            driverinit_default: None,
        };
        self.state.params.insert(id, item);
        self.param_value_changed(id);
        Ok(())
    }

    /// Unregisters parameters, in the order given (`devl_params_unregister`).
    pub fn params_unregister(&mut self, params: &[Param]) {
        for param in params {
            let Some(item) = self.state.params.get(&param.id) else {
                self.devlink()
                    .warn_on(true, "devlink_param_unregister", "no such parameter");
                continue;
            };
            notify(self, item, cmd::PARAM_DEL);
            self.state.params.remove(&param.id);
        }
    }

    /// The driverinit value that the driver shall initialize with (`devl_param_driverinit_value_get`).
    ///
    /// # Errors
    ///
    /// `EINVAL` for an unknown parameter, `EOPNOTSUPP` if it has no driverinit value or the device cannot be reloaded.
    pub fn param_driverinit_value_get(&self, id: u32) -> Result<ParamValue, Errno> {
        let reloads = self.ops().reload_actions() != ReloadActions::NONE;
        if self.devlink().warn_on(
            !reloads,
            "devl_param_driverinit_value_get",
            "the device cannot be reloaded",
        ) {
            return Err(Errno::OPNOTSUPP);
        }
        let item = self.state.params.get(&id).ok_or(Errno::INVAL)?;
        item.driverinit.clone().ok_or(Errno::OPNOTSUPP)
    }

    /// The driver's first driverinit value, which is also the default (`devl_param_driverinit_value_set`).
    pub fn param_driverinit_value_set(&mut self, id: u32, value: ParamValue) {
        let fits = |item: &&mut ParamItem| {
            item.param.cmodes.contains(Cmode::Driverinit) && item.param.ty == value.ty()
        };
        let Some(item) = self.item_mut(id).filter(fits) else {
            self.devlink().warn_on(
                true,
                "devl_param_driverinit_value_set",
                "no such driverinit parameter",
            );
            return;
        };
        item.driverinit_default = Some(value.clone());
        item.driverinit = Some(value);
        self.param_value_changed(id);
    }

    /// Tells the users that a value has changed other than by their request (`devl_param_value_changed`).
    pub(crate) fn param_value_changed(&mut self, id: u32) {
        match self.state.params.get(&id) {
            Some(item) => notify(self, item, cmd::PARAM_NEW),
            None => {
                self.devlink()
                    .warn_on(true, "devl_param_value_changed", "no such parameter");
            }
        }
    }

    /// Makes the values that users have set the driverinit values (`devlink_params_driverinit_load_new`).
    pub(crate) fn params_driverinit_load_new(&mut self) {
        for item in self.state.params.values_mut() {
            if let Some(value) = item.driverinit_new.take() {
                item.driverinit = Some(value);
            }
        }
    }

    fn item_mut(&mut self, id: u32) -> Option<&mut ParamItem> {
        self.state.params.get_mut(&id)
    }
}
