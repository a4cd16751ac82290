//! The generic netlink family: which instance a request is about, and who serves it.
//!
//! For each *do* the instance is found and locked here, its port too where the command needs one, and the handler of the
//! object's own file is called with them; `RELOAD` holds the device lock around it all. Each *dump* walks the instances
//! upwards, one lock at a time, and stops at any object when the datagram is full: the cursor says where it goes on, and
//! what comes or goes meanwhile may be missed or seen.

use std::fmt;
use std::sync::{Arc, Weak};

use lockdep::order::Held;
use net_core::NetId;
use netlink::devlink::Needs;
use netlink::genl::{
    Batch, Caller, DumpCursor, DumpState, Family, FamilyHandle, FamilySpec, Reply, Request,
};
use netlink::{Attrs, Error, ExtAck, KernelVersion, attr, cmd};
use rustix::io::Errno;

use crate::core::{Devl, Devlink, INDEX_BUS_NAME};
use crate::port::Port;
use crate::subsystem::Subsystem;
use crate::trap::{self, group, policer};
use crate::{
    dev, dpipe, flash, health, info, linecard, notify, param, port, rate, region, reload, resource,
    sb, selftests,
};

/// The family `devlink`.
pub(crate) struct DevlinkFamily {
    /// Not the owner: the subsystem holds on to generic netlink, which holds this.
    subsystem: Weak<Subsystem>,
    kernel: KernelVersion,
}

impl DevlinkFamily {
    pub(crate) fn new(subsystem: &Arc<Subsystem>) -> Self {
        Self {
            subsystem: Arc::downgrade(subsystem),
            kernel: subsystem.kernel(),
        }
    }

    fn subsystem(&self) -> Result<Arc<Subsystem>, Error> {
        // Only while the machine is taken apart.
        self.subsystem.upgrade().ok_or(Error::new(Errno::OPNOTSUPP))
    }
}

impl Family for DevlinkFamily {
    fn spec(&self) -> &'static FamilySpec {
        netlink::devlink::family(self.kernel)
    }

    fn registered(&self, handle: FamilyHandle) {
        if let Some(subsystem) = self.subsystem.upgrade() {
            subsystem.set_handle(handle);
        }
    }

    fn doit(
        &self,
        request: &mut Request<'_>,
        caller: &dyn Caller,
        reply: &mut Reply<'_>,
    ) -> netlink::Result {
        let served = self.serve(request, caller, reply);
        served.map_err(|error| in_the_kernels_words(error, self.kernel))
    }

    fn dumpit(
        &self,
        request: &mut Request<'_>,
        cursor: &mut DumpCursor,
        batch: &mut Batch<'_>,
    ) -> Result<DumpState, Error> {
        if request.cmd() == cmd::PORT_PARAM_GET {
            // Not an error but a warning; the words are those of the error all the same.
            let error = Error::with_msg(Errno::INVAL, param::PORT_PARAMS);
            let error = in_the_kernels_words(error, self.kernel);
            if let Some(said) = error.ext_ack() {
                *request.ext_ack() = said.clone();
            }
            return Ok(DumpState::Done);
        }
        let reads_one = matches!(
            request.cmd(),
            cmd::REGION_READ | cmd::HEALTH_REPORTER_DUMP_GET
        );
        match self.dump(request, cursor, batch) {
            // What does not even fit into an empty datagram ends the dump as if there were no more, and so does a driver's
            // failure that is told as this one (`net/devlink/netlink.c: devlink_nl_inst_iter_dumpit`).
            Err(error) if error.errno() == Errno::MSGSIZE && batch.is_empty() && !reads_one => {
                Ok(DumpState::Done)
            }
            dumped => dumped.map_err(|error| in_the_kernels_words(error, self.kernel)),
        }
    }
}

impl DevlinkFamily {
    fn serve(
        &self,
        request: &mut Request<'_>,
        caller: &dyn Caller,
        reply: &mut Reply<'_>,
    ) -> netlink::Result {
        let needs = netlink::devlink::needs(request.cmd());
        if needs == Needs::Nothing {
            notify::filter_set_doit(request);
            return Ok(());
        }
        let mut held = Held::root();
        let net = NetId(request.net().0);
        let devlink = self.subsystem()?.get_from_attrs(net, request.attrs())?;
        if needs == Needs::Device {
            let mut dev;
            let mut devl = match devlink.dev() {
                Some(device) => {
                    dev = device.lock(&mut held);
                    devlink.lock_registered(dev.held(), net)?
                }
                None => devlink.lock_registered(&mut held, net)?,
            };
            return reload::reload_doit(&mut devl, request, caller, reply);
        }
        let mut devl = devlink.lock_registered(&mut held, net)?;
        if needs == Needs::Port {
            port::check_deletion(&devl, request)?;
            let port = port_from_attrs(&devl, request.attrs())?;
            return port_doit(&mut devl, &port, request, reply);
        }
        // A handler that takes a port if one is named looks for it itself.
        instance_doit(&mut devl, request, reply)
    }

    fn dump(
        &self,
        request: &mut Request<'_>,
        cursor: &mut DumpCursor,
        batch: &mut Batch<'_>,
    ) -> Result<DumpState, Error> {
        let mut held = Held::root();
        let subsystem = self.subsystem()?;
        let attrs = request.attrs();
        let net = NetId(request.net().0);

        match request.cmd() {
            // Dumps of one object: they cannot do without a handle, and are not called filtered.
            cmd::REGION_READ => {
                let devlink = subsystem.get_from_attrs(net, attrs)?;
                let mut devl = devlink.lock_registered(&mut held, net)?;
                return region::read_dumpit(&mut devl, request, cursor, batch);
            }
            cmd::HEALTH_REPORTER_DUMP_GET => {
                // That there is no such instance is told as if there were no such reporter.
                let found = subsystem.get_from_attrs(net, attrs);
                let devlink = found.map_err(|_| Errno::INVAL)?;
                let locked = devlink.lock_registered(&mut held, net);
                let mut devl = locked.map_err(|_| Errno::INVAL)?;
                return health::dump_get_dumpit(&mut devl, request, cursor, batch);
            }
            _ => {}
        }

        let one = attrs.has(attr::BUS_NAME) || attrs.has(attr::DEV_NAME) || attrs.has(attr::INDEX);
        // Kernel 6.1 never looks at what a dump is asked for.
        if one && self.kernel != KernelVersion::V6_1 {
            let devlink = subsystem.get_from_attrs(net, attrs)?;
            let mut devl = devlink.lock_registered(&mut held, net)?;
            batch.set_filtered();
            dump_one(&mut devl, request, cursor, batch)?;
            return Ok(DumpState::Done);
        }

        loop {
            while let Some(devlink) = next_instance(&subsystem, net, cursor) {
                if let Ok(mut devl) = devlink.lock_registered(&mut held, net) {
                    dump_one(&mut devl, request, cursor, batch)?;
                }
                cursor.instance += 1;
                cursor.index = 0;
            }
            if !health::walks_again(request, cursor) {
                return Ok(DumpState::Done);
            }
            cursor.instance = 0;
        }
    }
}

impl fmt::Debug for DevlinkFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevlinkFamily")
            .field("kernel", &self.kernel)
            .finish_non_exhaustive()
    }
}

/// Kernel 6.1 puts the name of the source file, as if of a module, in front of what it says itself. What drivers say is not in
/// the error but in the request.
fn in_the_kernels_words(mut error: Error, kernel: KernelVersion) -> Error {
    if kernel == KernelVersion::V6_1 {
        let said = error.ext_ack().and_then(ExtAck::msg).map(str::to_owned);
        if let Some(said) = said {
            error = error.msg_fmt(format_args!("leftover: {said}"));
        }
    }
    error
}

/// A warning of the core's own, of a request that goes on; in the kernel's words, as an error's text.
pub(crate) fn warn(request: &mut Request<'_>, text: &'static str) {
    match request.kernel() {
        KernelVersion::V6_1 => {
            request
                .ext_ack()
                .set_msg_fmt(format_args!("leftover: {text}"));
        }
        _ => request.ext_ack().set_msg(text),
    }
}

/// The instance that a dump comes to next; the cursor is set to it.
fn next_instance(
    subsystem: &Subsystem,
    net: NetId,
    cursor: &mut DumpCursor,
) -> Option<Arc<Devlink>> {
    let devlink = subsystem.find_get(net, u32::try_from(cursor.instance).ok()?)?;
    cursor.instance = u64::from(devlink.index());
    Some(devlink)
}

fn instance_doit(
    devl: &mut Devl<'_>,
    request: &mut Request<'_>,
    reply: &mut Reply<'_>,
) -> netlink::Result {
    match request.cmd() {
        cmd::GET => dev::get_doit(devl, reply),
        cmd::INFO_GET => info::get_doit(devl, request, reply),
        cmd::ESWITCH_GET => dev::eswitch_get_doit(devl, reply),
        cmd::ESWITCH_SET => dev::eswitch_set_doit(devl, request),
        cmd::PARAM_GET => param::get_doit(devl, request, reply),
        cmd::PARAM_SET => param::set_doit(devl, request),
        cmd::PORT_NEW => port::new_doit(devl, request, reply),
        cmd::SB_GET => sb::get_doit(devl, request, reply),
        cmd::SB_POOL_GET => sb::pool_get_doit(devl, request, reply),
        cmd::SB_POOL_SET => sb::pool_set_doit(devl, request),
        cmd::SB_OCC_SNAPSHOT => sb::occ_snapshot_doit(devl, request),
        cmd::SB_OCC_MAX_CLEAR => sb::occ_max_clear_doit(devl, request),
        cmd::DPIPE_TABLE_GET => dpipe::table_get_doit(devl, request, reply),
        cmd::DPIPE_ENTRIES_GET => dpipe::entries_get_doit(devl, request, reply),
        cmd::DPIPE_HEADERS_GET => dpipe::headers_get_doit(devl, reply),
        cmd::DPIPE_TABLE_COUNTERS_SET => dpipe::table_counters_set_doit(devl, request),
        cmd::LINECARD_GET => linecard::get_doit(devl, request, reply),
        cmd::LINECARD_SET => linecard::set_doit(devl, request),
        cmd::RATE_GET => rate::get_doit(devl, request, reply),
        cmd::RATE_SET => rate::set_doit(devl, request),
        cmd::RATE_NEW => rate::new_doit(devl, request),
        cmd::RATE_DEL => rate::del_doit(devl, request),
        cmd::FLASH_UPDATE => flash::update_doit(devl, request),
        cmd::TRAP_GET => trap::get_doit(devl, request, reply),
        cmd::TRAP_SET => trap::set_doit(devl, request),
        cmd::TRAP_GROUP_GET => group::get_doit(devl, request, reply),
        cmd::TRAP_GROUP_SET => group::set_doit(devl, request),
        cmd::TRAP_POLICER_GET => policer::get_doit(devl, request, reply),
        cmd::TRAP_POLICER_SET => policer::set_doit(devl, request),
        cmd::SELFTESTS_GET => selftests::get_doit(devl, request, reply),
        cmd::SELFTESTS_RUN => selftests::run_doit(devl, request, reply),
        cmd::REGION_GET => region::get_doit(devl, request, reply),
        cmd::REGION_NEW => region::new_doit(devl, request, reply),
        cmd::REGION_DEL => region::del_doit(devl, request),
        cmd::RESOURCE_SET => resource::set_doit(devl, request),
        cmd::RESOURCE_DUMP => resource::dump_doit(devl, request, reply),
        cmd::HEALTH_REPORTER_GET => health::get_doit(devl, request, reply),
        cmd::HEALTH_REPORTER_SET => health::set_doit(devl, request),
        cmd::HEALTH_REPORTER_RECOVER => health::recover_doit(devl, request),
        cmd::HEALTH_REPORTER_DIAGNOSE => health::diagnose_doit(devl, request, reply),
        cmd::HEALTH_REPORTER_DUMP_CLEAR => health::dump_clear_doit(devl, request),
        cmd::HEALTH_REPORTER_TEST => health::test_doit(devl, request),
        // A command that the table of operations has, and this does not: there is none.
        _ => Err(Errno::OPNOTSUPP.into()),
    }
}

fn port_doit(
    devl: &mut Devl<'_>,
    port: &Arc<Port>,
    request: &mut Request<'_>,
    reply: &mut Reply<'_>,
) -> netlink::Result {
    match request.cmd() {
        cmd::PORT_GET => port::get_doit(port, request, reply),
        cmd::PORT_SET => port::set_doit(devl, port, request),
        cmd::PORT_DEL => port::del_doit(devl, port, request),
        cmd::PORT_SPLIT => port::split_doit(devl, port, request),
        cmd::PORT_UNSPLIT => port::unsplit_doit(devl, port, request),
        cmd::SB_PORT_POOL_GET => sb::port_pool_get_doit(devl, port, request, reply),
        cmd::SB_PORT_POOL_SET => sb::port_pool_set_doit(devl, port, request),
        cmd::SB_TC_POOL_BIND_GET => sb::tc_pool_bind_get_doit(devl, port, request, reply),
        cmd::SB_TC_POOL_BIND_SET => sb::tc_pool_bind_set_doit(devl, port, request),
        cmd::PORT_PARAM_GET | cmd::PORT_PARAM_SET => {
            Err(Error::with_msg(Errno::INVAL, param::PORT_PARAMS))
        }
        _ => Err(Errno::OPNOTSUPP.into()),
    }
}

/// Dumps one instance's objects, from where the cursor stands.
fn dump_one(
    devl: &mut Devl<'_>,
    request: &mut Request<'_>,
    cursor: &mut DumpCursor,
    batch: &mut Batch<'_>,
) -> netlink::Result {
    match request.cmd() {
        cmd::GET => dev::get_dump_one(devl, batch),
        cmd::INFO_GET => info::get_dump_one(devl, request, batch),
        cmd::PARAM_GET => param::get_dump_one(devl, request, cursor, batch),
        cmd::PORT_GET => port::get_dump_one(devl, request, cursor, batch),
        cmd::SB_GET => sb::get_dump_one(devl, cursor, batch),
        cmd::SB_POOL_GET => sb::pool_get_dump_one(devl, cursor, batch),
        cmd::SB_PORT_POOL_GET => sb::port_pool_get_dump_one(devl, cursor, batch),
        cmd::SB_TC_POOL_BIND_GET => sb::tc_pool_bind_get_dump_one(devl, cursor, batch),
        cmd::LINECARD_GET => linecard::get_dump_one(devl, cursor, batch),
        cmd::RATE_GET => rate::get_dump_one(devl, cursor, batch),
        cmd::TRAP_GET => trap::get_dump_one(devl, cursor, batch),
        cmd::TRAP_GROUP_GET => group::get_dump_one(devl, cursor, batch),
        cmd::TRAP_POLICER_GET => policer::get_dump_one(devl, cursor, batch),
        cmd::SELFTESTS_GET => selftests::get_dump_one(devl, request, batch),
        cmd::REGION_GET => region::get_dump_one(devl, cursor, batch),
        cmd::RESOURCE_DUMP => resource::dump_one(devl, request, cursor, batch),
        cmd::HEALTH_REPORTER_GET => health::get_dump_one(devl, request, cursor, batch),
        // Parameters of ports: nobody has any.
        _ => Ok(()),
    }
}

/// Puts the objects of a list into a dump, from the place at which the cursor stands; it is left at the one that did not fit.
pub(crate) fn dump_items<T>(
    items: impl IntoIterator<Item = T>,
    cursor: &mut DumpCursor,
    mut put: impl FnMut(T) -> netlink::Result,
) -> netlink::Result {
    let from = usize::try_from(cursor.index).unwrap_or(usize::MAX);
    for (at, item) in items.into_iter().enumerate().skip(from) {
        if let Err(error) = put(item) {
            cursor.index = at as u64;
            return Err(error);
        }
    }
    Ok(())
}

/// `net/devlink/port.c: devlink_port_get_from_attrs`
fn port_from_attrs(devl: &Devl<'_>, attrs: Attrs<'_>) -> Result<Arc<Port>, Errno> {
    let index = attrs.get_u32(attr::PORT_INDEX).ok_or(Errno::INVAL)?;
    devl.port(index).cloned().ok_or(Errno::NODEV)
}

impl Subsystem {
    /// A reference to the instance that a request names, by index or by both names
    /// (`net/devlink/netlink.c: devlink_get_from_attrs_lock`).
    fn get_from_attrs(&self, net: NetId, attrs: Attrs<'_>) -> Result<Arc<Devlink>, Errno> {
        let (bus_name, dev_name) = (attrs.get(attr::BUS_NAME), attrs.get(attr::DEV_NAME));
        if let Some(index) = attrs.get_uint(attr::INDEX) {
            if bus_name.is_some() || dev_name.is_some() {
                return Err(Errno::INVAL);
            }
            // The policy lets only numbers of 32 bits through.
            let index = u32::try_from(index).map_err(|_| Errno::NODEV)?;
            return self.get_by_index(net, index).ok_or(Errno::NODEV);
        }
        let (Some(bus_name), Some(dev_name)) = (bus_name, dev_name) else {
            return Err(Errno::INVAL);
        };
        let by_index = bus_name.text() == INDEX_BUS_NAME.as_bytes()
            && self.kernel() >= KernelVersion::new(7, 1);
        let found = if by_index {
            let index = std::str::from_utf8(dev_name.text())
                .ok()
                .and_then(|name| name.parse().ok());
            index.and_then(|index| self.get_by_index(net, index))
        } else {
            self.get_by_name(net, bus_name.text(), dev_name.text())
        };
        found.ok_or(Errno::NODEV)
    }
}
