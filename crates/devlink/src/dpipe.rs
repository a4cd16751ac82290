//! dpipe: a view of the device's packet pipeline, as tables that match fields of headers and act on them.
//!
//! A driver registers the headers that its tables speak of and the tables; the contents are the driver's to tell at every look
//! ([`DpipeTableOps`]). Users can do nothing but turn a table's counters on and off.
//!
//! The replies are of any length and come in many messages, though they answer a *do*: the last is a `DONE` without payload,
//! and the acknowledgement comes after that.

use std::sync::Arc;

use netlink::genl::{MultiReply, Reply, Request};
use netlink::wire::kind;
use netlink::{Attr, Error, Writer, attr, cmd};
use rustix::io::Errno;

use crate::core::{Devl, Objects};

mod definition;
mod ops;

pub use definition::{
    DpipeField, DpipeHeader, ETHERNET, ETHERNET_DST_MAC, IPV4, IPV4_DST_IP, IPV6, IPV6_DST_IP,
};
pub use ops::{DpipeAction, DpipeEntry, DpipeMatch, DpipeOf, DpipeTableOps, DpipeValue};

/// A registered table (`struct devlink_dpipe_table`).
#[derive(Clone)]
pub(crate) struct DpipeTable {
    name: &'static str,
    ops: Arc<dyn DpipeTableOps>,
    counters_enabled: bool,
    /// The counters are turned on and off by other means.
    counter_control_extern: bool,
    /// The resource that the entries are taken from, and how many units each takes.
    resource: Option<(u64, u64)>,
}

impl std::fmt::Debug for DpipeTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DpipeTable")
            .field("name", &self.name)
            .field("counters_enabled", &self.counters_enabled)
            .finish_non_exhaustive()
    }
}

// Look-ups from a request.

fn table_from(objects: &Objects<'_>, request: &Request<'_>) -> Result<usize, Error> {
    let name = request.attrs().require(attr::DPIPE_TABLE_NAME)?.text();
    let mut tables = objects.state.dpipe_tables.iter();
    let found = tables.position(|table| table.name.as_bytes() == name);
    found.ok_or(Error::new(Errno::INVAL))
}

// The encoders.

fn put_of(
    w: &mut Writer<'_>,
    nest: Attr<kind::Nest>,
    of: &DpipeOf,
    ty: Attr<kind::U32>,
) -> netlink::Result {
    w.nest(nest, |w| {
        w.put_u32(ty, of.ty)?;
        w.put_u32(attr::DPIPE_HEADER_INDEX, of.header_index)?;
        w.put_u32(attr::DPIPE_HEADER_ID, of.header.id)?;
        w.put_u32(attr::DPIPE_FIELD_ID, of.field_id)?;
        w.put_u8(attr::DPIPE_HEADER_GLOBAL, u8::from(of.header.global))
    })
}

fn put_match(w: &mut Writer<'_>, of: &DpipeMatch) -> netlink::Result {
    put_of(w, attr::DPIPE_MATCH, &of.0, attr::DPIPE_MATCH_TYPE)
}

fn put_action(w: &mut Writer<'_>, of: &DpipeAction) -> netlink::Result {
    put_of(w, attr::DPIPE_ACTION, &of.0, attr::DPIPE_ACTION_TYPE)
}

fn put_table(w: &mut Writer<'_>, table: &DpipeTable) -> netlink::Result {
    let size = table.ops.size_get();
    w.nest(attr::DPIPE_TABLE, |w| {
        w.put_str(attr::DPIPE_TABLE_NAME, table.name)?;
        w.put_u64(attr::DPIPE_TABLE_SIZE, size)?;
        let counters_enabled = u8::from(table.counters_enabled);
        w.put_u8(attr::DPIPE_TABLE_COUNTERS_ENABLED, counters_enabled)?;
        if let Some((id, units)) = table.resource {
            w.put_u64(attr::DPIPE_TABLE_RESOURCE_ID, id)?;
            w.put_u64(attr::DPIPE_TABLE_RESOURCE_UNITS, units)?;
        }
        w.nest(attr::DPIPE_TABLE_MATCHES, |w| {
            table
                .ops
                .matches()
                .iter()
                .try_for_each(|of| put_match(w, of))
        })?;
        w.nest(attr::DPIPE_TABLE_ACTIONS, |w| {
            table
                .ops
                .actions()
                .iter()
                .try_for_each(|of| put_action(w, of))
        })
    })
}

fn put_value<T>(w: &mut Writer<'_>, value: &DpipeValue<T>) -> netlink::Result {
    w.put_binary(attr::DPIPE_VALUE, &value.value)?;
    if let Some(mask) = &value.mask {
        w.put_binary(attr::DPIPE_VALUE_MASK, mask)?;
    }
    match value.mapping {
        Some(mapping) => w.put_u32(attr::DPIPE_VALUE_MAPPING, mapping),
        None => Ok(()),
    }
}

fn put_entry(w: &mut Writer<'_>, entry: &DpipeEntry) -> netlink::Result {
    w.nest(attr::DPIPE_ENTRY, |w| {
        w.put_u64(attr::DPIPE_ENTRY_INDEX, entry.index)?;
        if let Some(counter) = entry.counter {
            w.put_u64(attr::DPIPE_ENTRY_COUNTER, counter)?;
        }
        w.nest(attr::DPIPE_ENTRY_MATCH_VALUES, |w| {
            entry.match_values.iter().try_for_each(|value| {
                w.nest(attr::DPIPE_MATCH_VALUE, |w| {
                    put_match(w, &value.of)?;
                    put_value(w, value)
                })
            })
        })?;
        w.nest(attr::DPIPE_ENTRY_ACTION_VALUES, |w| {
            entry.action_values.iter().try_for_each(|value| {
                w.nest(attr::DPIPE_ACTION_VALUE, |w| {
                    put_action(w, &value.of)?;
                    put_value(w, value)
                })
            })
        })
    })
}

fn put_header(w: &mut Writer<'_>, header: &DpipeHeader) -> netlink::Result {
    w.nest(attr::DPIPE_HEADER, |w| {
        w.put_str(attr::DPIPE_HEADER_NAME, header.name)?;
        w.put_u32(attr::DPIPE_HEADER_ID, header.id)?;
        w.put_u8(attr::DPIPE_HEADER_GLOBAL, u8::from(header.global))?;
        w.nest(attr::DPIPE_HEADER_FIELDS, |w| {
            header.fields.iter().try_for_each(|field| {
                w.nest(attr::DPIPE_FIELD, |w| {
                    w.put_str(attr::DPIPE_FIELD_NAME, field.name)?;
                    w.put_u32(attr::DPIPE_FIELD_ID, field.id)?;
                    w.put_u32(attr::DPIPE_FIELD_BITWIDTH, field.bitwidth)?;
                    w.put_u32(attr::DPIPE_FIELD_MAPPING_TYPE, field.mapping_type)
                })
            })
        })
    })
}

/// Sends `items`, as many to a message as fit; at least one message, which without items has an empty list.
fn send_all<T>(
    devl: &Devl<'_>,
    mut reply: MultiReply<'_>,
    cmd: u8,
    list: Attr<kind::Nest>,
    items: &[T],
    put: impl Fn(&mut Writer<'_>, &T) -> netlink::Result,
) -> netlink::Result {
    let mut rest = items;
    loop {
        let mut fitted = 0;
        reply.message(cmd, |w| {
            devl.devlink().put_handle(w)?;
            w.nest(list, |w| {
                for item in rest {
                    match put(w, item) {
                        Ok(()) => fitted += 1,
                        // One that does not fit into a message of its own fits nowhere.
                        Err(error) if fitted == 0 => return Err(error),
                        Err(_) => break,
                    }
                }
                Ok(())
            })
        })?;
        rest = &rest[fitted..];
        if rest.is_empty() {
            return reply.done();
        }
        reply.flush()?;
    }
}

// The handlers.

/// `net/devlink/dpipe.c: devlink_nl_dpipe_table_get_doit`. A table that does not exist is an empty list.
pub(crate) fn table_get_doit(
    devl: &Devl<'_>,
    request: &Request<'_>,
    reply: &mut Reply<'_>,
) -> netlink::Result {
    let name = request
        .attrs()
        .get(attr::DPIPE_TABLE_NAME)
        .map(|name| name.text());
    let is_meant = |table: &&DpipeTable| name.is_none_or(|name| table.name.as_bytes() == name);
    let tables: Vec<_> = devl.state.dpipe_tables.iter().filter(is_meant).collect();
    let put = |w: &mut Writer<'_>, table: &&DpipeTable| match put_table(w, table) {
        // The kernel forgets that it had no room for the one that was asked for.
        Err(_) if name.is_some() => Ok(()),
        done => done,
    };
    send_all(
        devl,
        reply.multi(),
        cmd::DPIPE_TABLE_GET,
        attr::DPIPE_TABLES,
        &tables,
        put,
    )
}

pub(crate) fn entries_get_doit(
    devl: &mut Devl<'_>,
    request: &Request<'_>,
    reply: &mut Reply<'_>,
) -> netlink::Result {
    let table = table_from(devl, request)?;
    let table = devl.state.dpipe_tables[table].clone();
    let entries = table.ops.entries_dump(devl, table.counters_enabled)?;
    send_all(
        devl,
        reply.multi(),
        cmd::DPIPE_ENTRIES_GET,
        attr::DPIPE_ENTRIES,
        &entries,
        put_entry,
    )
}

pub(crate) fn headers_get_doit(devl: &Devl<'_>, reply: &mut Reply<'_>) -> netlink::Result {
    let headers = devl.state.dpipe_headers.ok_or(Errno::OPNOTSUPP)?;
    let put = |w: &mut Writer<'_>, header: &&DpipeHeader| put_header(w, header);
    send_all(
        devl,
        reply.multi(),
        cmd::DPIPE_HEADERS_GET,
        attr::DPIPE_HEADERS,
        headers,
        put,
    )
}

pub(crate) fn table_counters_set_doit(
    devl: &mut Devl<'_>,
    request: &Request<'_>,
) -> netlink::Result {
    let attrs = request.attrs();
    attrs.require(attr::DPIPE_TABLE_NAME)?;
    let enable = attrs.require(attr::DPIPE_TABLE_COUNTERS_ENABLED)?.u8();
    let enable = enable.is_some_and(|enable| enable != 0);
    let table = table_from(devl, request)?;
    let table = &mut devl.state.dpipe_tables[table];
    if table.counter_control_extern {
        return Err(Errno::OPNOTSUPP.into());
    }
    if table.counters_enabled != enable {
        table.counters_enabled = enable;
        let ops = Arc::clone(&table.ops);
        ops.counters_set_update(devl, enable);
    }
    Ok(())
}

// The API for drivers. Users are told nothing of what comes and goes here.

impl Objects<'_> {
    /// States the headers that the tables speak of (`devl_dpipe_headers_register`).
    pub fn dpipe_headers_register(&mut self, headers: &'static [&'static DpipeHeader]) {
        self.state.dpipe_headers = Some(headers);
    }

    /// There are no headers any more (`devl_dpipe_headers_unregister`).
    pub fn dpipe_headers_unregister(&mut self) {
        self.state.dpipe_headers = None;
    }

    /// Registers a table (`devl_dpipe_table_register`). With `counter_control_extern` users cannot turn its counters on or off.
    ///
    /// # Errors
    ///
    /// `EEXIST` if there is one of that name.
    pub fn dpipe_table_register(
        &mut self,
        name: &'static str,
        ops: Arc<dyn DpipeTableOps>,
        counter_control_extern: bool,
    ) -> Result<(), Errno> {
        if self.dpipe_table(name).is_some() {
            return Err(Errno::EXIST);
        }
        self.state.dpipe_tables.push(DpipeTable {
            name,
            ops,
            counters_enabled: false,
            counter_control_extern,
            resource: None,
        });
        Ok(())
    }

    /// Unregisters a table, if there is one of that name (`devl_dpipe_table_unregister`).
    pub fn dpipe_table_unregister(&mut self, name: &str) {
        self.state.dpipe_tables.retain(|table| table.name != name);
    }

    /// Whether the entries of a table are to be counted (`devlink_dpipe_table_counter_enabled`).
    pub fn dpipe_table_counter_enabled(&self, name: &str) -> bool {
        self.dpipe_table(name)
            .is_some_and(|table| table.counters_enabled)
    }

    /// States that each entry of a table takes `units` of a resource (`devl_dpipe_table_resource_set`).
    ///
    /// # Errors
    ///
    /// `EINVAL` if there is no such table.
    pub fn dpipe_table_resource_set(
        &mut self,
        name: &str,
        resource_id: u64,
        units: u64,
    ) -> Result<(), Errno> {
        let mut tables = self.state.dpipe_tables.iter_mut();
        let table = tables.find(|table| table.name == name);
        table.ok_or(Errno::INVAL)?.resource = Some((resource_id, units));
        Ok(())
    }

    fn dpipe_table(&self, name: &str) -> Option<&DpipeTable> {
        self.state
            .dpipe_tables
            .iter()
            .find(|table| table.name == name)
    }
}
