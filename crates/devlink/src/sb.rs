//! Shared buffers: the packet memory that a switch's ports share.
//!
//! A buffer has pools, the ingress ones numbered before the egress ones. A port may use each pool up to a threshold; each of
//! its traffic classes is bound to one pool, with a threshold of its own. The core keeps only the counts. What is
//! configured and how much is in use is the driver's to say ([`SbOps`]), at every look.

use std::sync::Arc;

use netlink::genl::{Batch, DumpCursor, Reply, Request};
use netlink::{Attrs, Error, Writer, attr, cmd};
use rustix::io::Errno;

use crate::core::{Devl, Devlink, Objects};
use crate::port::Port;

mod ops;

pub use ops::{
    NoSbOps, SbOccupancy, SbOps, SbPoolInfo, SbPoolType, SbTc, SbTcBind, SbThresholdType,
};

/// A shared buffer as the driver registers it (`struct devlink_sb`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sb {
    /// Its number within the instance.
    pub index: u32,
    /// Its size in bytes.
    pub size: u32,
    /// How many of its pools are for packets that come in; they have the first numbers.
    pub ingress_pools: u16,
    /// How many of its pools are for packets that go out.
    pub egress_pools: u16,
    /// Traffic classes of a port for packets that come in.
    pub ingress_tcs: u16,
    /// Traffic classes of a port for packets that go out.
    pub egress_tcs: u16,
}

impl Sb {
    fn pools(&self) -> u16 {
        self.ingress_pools.wrapping_add(self.egress_pools)
    }

    fn tcs(&self, ty: SbPoolType) -> u16 {
        match ty {
            SbPoolType::Ingress => self.ingress_tcs,
            SbPoolType::Egress => self.egress_tcs,
        }
    }

    /// Every traffic class of a port, in the order of the dumps.
    fn all_tcs(&self) -> impl Iterator<Item = SbTc> + use<> {
        let of = |ty, count| (0..count).map(move |index| SbTc { ty, index });
        let ingress = of(SbPoolType::Ingress, self.ingress_tcs);
        ingress.chain(of(SbPoolType::Egress, self.egress_tcs))
    }
}

// Look-ups from a request. What is missing or out of range is plainly EINVAL.

fn sb_from(objects: &Objects<'_>, attrs: &Attrs<'_>) -> Result<Sb, Errno> {
    let index = attrs.get_u32(attr::SB_INDEX).ok_or(Errno::INVAL)?;
    let mut all = objects.state.sbs.iter();
    all.find(|sb| sb.index == index)
        .copied()
        .ok_or(Errno::NODEV)
}

fn pool_index_from(sb: &Sb, attrs: &Attrs<'_>) -> Result<u16, Errno> {
    let pool = attrs.get_u16(attr::SB_POOL_INDEX);
    pool.filter(|&pool| pool < sb.pools()).ok_or(Errno::INVAL)
}

fn pool_from(objects: &Objects<'_>, attrs: &Attrs<'_>) -> Result<(Sb, u16), Errno> {
    let sb = sb_from(objects, attrs)?;
    Ok((sb, pool_index_from(&sb, attrs)?))
}

fn pool_type_from(attrs: &Attrs<'_>) -> Result<SbPoolType, Errno> {
    match attrs.get_u8(attr::SB_POOL_TYPE) {
        Some(0) => Ok(SbPoolType::Ingress),
        Some(1) => Ok(SbPoolType::Egress),
        _ => Err(Errno::INVAL),
    }
}

fn threshold_type_from(attrs: &Attrs<'_>) -> Result<SbThresholdType, Errno> {
    match attrs.get_u8(attr::SB_POOL_THRESHOLD_TYPE) {
        Some(0) => Ok(SbThresholdType::Static),
        Some(1) => Ok(SbThresholdType::Dynamic),
        _ => Err(Errno::INVAL),
    }
}

fn tc_from(objects: &Objects<'_>, attrs: &Attrs<'_>) -> Result<(Sb, SbTc), Errno> {
    let sb = sb_from(objects, attrs)?;
    let ty = pool_type_from(attrs)?;
    let tc = attrs.get_u16(attr::SB_TC_INDEX);
    let index = tc.filter(|&tc| tc < sb.tcs(ty)).ok_or(Errno::INVAL)?;
    Ok((sb, SbTc { ty, index }))
}

fn threshold_from(attrs: &Attrs<'_>) -> Result<u32, Error> {
    let threshold = attrs.require(attr::SB_THRESHOLD)?;
    // The policy has seen to its length.
    threshold.u32().ok_or(Error::new(Errno::INVAL))
}

// The encoders. What the driver says is asked before the message begins.

fn fill(w: &mut Writer<'_>, devlink: &Devlink, sb: &Sb) -> netlink::Result {
    devlink.put_handle(w)?;
    w.put_u32(attr::SB_INDEX, sb.index)?;
    w.put_u32(attr::SB_SIZE, sb.size)?;
    w.put_u16(attr::SB_INGRESS_POOL_COUNT, sb.ingress_pools)?;
    w.put_u16(attr::SB_EGRESS_POOL_COUNT, sb.egress_pools)?;
    w.put_u16(attr::SB_INGRESS_TC_COUNT, sb.ingress_tcs)?;
    w.put_u16(attr::SB_EGRESS_TC_COUNT, sb.egress_tcs)
}

/// What one message of a kind says, read from the driver.
type Filled<T> = Result<T, Errno>;

struct Pool {
    sb: Sb,
    index: u16,
    info: SbPoolInfo,
}

impl Pool {
    fn read(devl: &mut Devl<'_>, sb: Sb, index: u16) -> Filled<Self> {
        let info = devl.ops().sb_ops().pool_get(devl, sb.index, index)?;
        Ok(Self { sb, index, info })
    }

    fn fill(&self, w: &mut Writer<'_>, devlink: &Devlink) -> netlink::Result {
        devlink.put_handle(w)?;
        w.put_u32(attr::SB_INDEX, self.sb.index)?;
        w.put_u16(attr::SB_POOL_INDEX, self.index)?;
        w.put_u8(attr::SB_POOL_TYPE, self.info.pool_type as u8)?;
        w.put_u32(attr::SB_POOL_SIZE, self.info.size)?;
        w.put_u8(attr::SB_POOL_THRESHOLD_TYPE, self.info.threshold_type as u8)?;
        w.put_u32(attr::SB_POOL_CELL_SIZE, self.info.cell_size)
    }
}

/// A driver that cannot tell leaves it out.
fn if_told(occupancy: Filled<SbOccupancy>) -> Filled<Option<SbOccupancy>> {
    match occupancy {
        Err(Errno::OPNOTSUPP) => Ok(None),
        told => told.map(Some),
    }
}

fn put_occupancy(w: &mut Writer<'_>, occupancy: Option<SbOccupancy>) -> netlink::Result {
    let Some(occupancy) = occupancy else {
        return Ok(());
    };
    w.put_u32(attr::SB_OCC_CUR, occupancy.cur)?;
    w.put_u32(attr::SB_OCC_MAX, occupancy.max)
}

struct PortPool {
    sb: Sb,
    port: u32,
    index: u16,
    threshold: u32,
    occupancy: Option<SbOccupancy>,
}

impl PortPool {
    fn read(devl: &mut Devl<'_>, port: &Arc<Port>, sb: Sb, index: u16) -> Filled<Self> {
        let ops = devl.ops();
        let threshold = ops.sb_ops().port_pool_get(devl, port, sb.index, index)?;
        let occupancy = ops.sb_ops().occ_port_pool_get(devl, port, sb.index, index);
        Ok(Self {
            sb,
            port: port.index(),
            index,
            threshold,
            occupancy: if_told(occupancy)?,
        })
    }

    fn fill(&self, w: &mut Writer<'_>, devlink: &Devlink) -> netlink::Result {
        devlink.put_handle(w)?;
        w.put_u32(attr::PORT_INDEX, self.port)?;
        w.put_u32(attr::SB_INDEX, self.sb.index)?;
        w.put_u16(attr::SB_POOL_INDEX, self.index)?;
        w.put_u32(attr::SB_THRESHOLD, self.threshold)?;
        put_occupancy(w, self.occupancy)
    }
}

struct TcPoolBind {
    sb: Sb,
    port: u32,
    tc: SbTc,
    bind: SbTcBind,
    occupancy: Option<SbOccupancy>,
}

impl TcPoolBind {
    fn read(devl: &mut Devl<'_>, port: &Arc<Port>, sb: Sb, tc: SbTc) -> Filled<Self> {
        let ops = devl.ops();
        let bind = ops.sb_ops().tc_pool_bind_get(devl, port, sb.index, tc)?;
        let occupancy = ops.sb_ops().occ_tc_port_bind_get(devl, port, sb.index, tc);
        Ok(Self {
            sb,
            port: port.index(),
            tc,
            bind,
            occupancy: if_told(occupancy)?,
        })
    }

    fn fill(&self, w: &mut Writer<'_>, devlink: &Devlink) -> netlink::Result {
        devlink.put_handle(w)?;
        w.put_u32(attr::PORT_INDEX, self.port)?;
        w.put_u32(attr::SB_INDEX, self.sb.index)?;
        w.put_u16(attr::SB_TC_INDEX, self.tc.index)?;
        w.put_u8(attr::SB_POOL_TYPE, self.tc.ty as u8)?;
        w.put_u16(attr::SB_POOL_INDEX, self.bind.pool)?;
        w.put_u32(attr::SB_THRESHOLD, self.bind.threshold)?;
        put_occupancy(w, self.occupancy)
    }
}

// The handlers of commands on the instance.

pub(crate) fn get_doit(
    devl: &Devl<'_>,
    request: &Request<'_>,
    reply: &mut Reply<'_>,
) -> netlink::Result {
    let sb = sb_from(devl, &request.attrs())?;
    reply.send(cmd::SB_NEW, |w| fill(w, devl.devlink(), &sb))
}

pub(crate) fn pool_get_doit(
    devl: &mut Devl<'_>,
    request: &Request<'_>,
    reply: &mut Reply<'_>,
) -> netlink::Result {
    let (sb, index) = pool_from(devl, &request.attrs())?;
    let pool = Pool::read(devl, sb, index)?;
    reply.send(cmd::SB_POOL_NEW, |w| pool.fill(w, devl.devlink()))
}

pub(crate) fn pool_set_doit(devl: &mut Devl<'_>, request: &mut Request<'_>) -> netlink::Result {
    let attrs = request.attrs();
    let (sb, index) = pool_from(devl, &attrs)?;
    let threshold_type = threshold_type_from(&attrs)?;
    let size = attrs.require(attr::SB_POOL_SIZE)?.u32();
    let size = size.ok_or(Errno::INVAL)?;
    let ops = devl.ops();
    let extack = request.ext_ack();
    Ok(ops
        .sb_ops()
        .pool_set(devl, sb.index, index, size, threshold_type, extack)?)
}

pub(crate) fn occ_snapshot_doit(devl: &mut Devl<'_>, request: &Request<'_>) -> netlink::Result {
    let sb = sb_from(devl, &request.attrs())?;
    Ok(devl.ops().sb_ops().occ_snapshot(devl, sb.index)?)
}

pub(crate) fn occ_max_clear_doit(devl: &mut Devl<'_>, request: &Request<'_>) -> netlink::Result {
    let sb = sb_from(devl, &request.attrs())?;
    Ok(devl.ops().sb_ops().occ_max_clear(devl, sb.index)?)
}

// The handlers of commands on a port.

pub(crate) fn port_pool_get_doit(
    devl: &mut Devl<'_>,
    port: &Arc<Port>,
    request: &Request<'_>,
    reply: &mut Reply<'_>,
) -> netlink::Result {
    let (sb, index) = pool_from(devl, &request.attrs())?;
    let pool = PortPool::read(devl, port, sb, index)?;
    reply.send(cmd::SB_PORT_POOL_NEW, |w| pool.fill(w, devl.devlink()))
}

pub(crate) fn port_pool_set_doit(
    devl: &mut Devl<'_>,
    port: &Arc<Port>,
    request: &mut Request<'_>,
) -> netlink::Result {
    let attrs = request.attrs();
    let (sb, index) = pool_from(devl, &attrs)?;
    let threshold = threshold_from(&attrs)?;
    let ops = devl.ops();
    let extack = request.ext_ack();
    Ok(ops
        .sb_ops()
        .port_pool_set(devl, port, sb.index, index, threshold, extack)?)
}

pub(crate) fn tc_pool_bind_get_doit(
    devl: &mut Devl<'_>,
    port: &Arc<Port>,
    request: &Request<'_>,
    reply: &mut Reply<'_>,
) -> netlink::Result {
    let (sb, tc) = tc_from(devl, &request.attrs())?;
    let bind = TcPoolBind::read(devl, port, sb, tc)?;
    reply.send(cmd::SB_TC_POOL_BIND_NEW, |w| bind.fill(w, devl.devlink()))
}

pub(crate) fn tc_pool_bind_set_doit(
    devl: &mut Devl<'_>,
    port: &Arc<Port>,
    request: &mut Request<'_>,
) -> netlink::Result {
    let attrs = request.attrs();
    let (sb, tc) = tc_from(devl, &attrs)?;
    let bind = SbTcBind {
        pool: pool_index_from(&sb, &attrs)?,
        threshold: threshold_from(&attrs)?,
    };
    let ops = devl.ops();
    let extack = request.ext_ack();
    Ok(ops
        .sb_ops()
        .tc_pool_bind_set(devl, port, sb.index, tc, bind, extack)?)
}

// The dumps. The cursor counts the objects of a kind over all buffers and ports.

/// Dumps what `objects` lists for each buffer, as `put` writes it. A buffer of which the driver has nothing to say is left out.
fn dump<T>(
    devl: &mut Devl<'_>,
    cursor: &mut DumpCursor,
    objects: impl Fn(&Devl<'_>, &Sb) -> Vec<T>,
    mut put: impl FnMut(&mut Devl<'_>, Sb, T) -> netlink::Result,
) -> netlink::Result {
    let mut at = 0;
    for sb in devl.state.sbs.clone() {
        for object in objects(devl, &sb) {
            if at >= cursor.index {
                match put(devl, sb, object) {
                    Ok(()) => {}
                    Err(error) if error.errno() == Errno::OPNOTSUPP => break,
                    Err(error) => {
                        cursor.index = at;
                        return Err(error);
                    }
                }
            }
            at += 1;
        }
    }
    Ok(())
}

pub(crate) fn get_dump_one(
    devl: &mut Devl<'_>,
    cursor: &mut DumpCursor,
    batch: &mut Batch<'_>,
) -> netlink::Result {
    dump(
        devl,
        cursor,
        |_, _| vec![()],
        |devl, sb, ()| batch.put(cmd::SB_NEW, |w| fill(w, devl.devlink(), &sb)),
    )
}

pub(crate) fn pool_get_dump_one(
    devl: &mut Devl<'_>,
    cursor: &mut DumpCursor,
    batch: &mut Batch<'_>,
) -> netlink::Result {
    dump(
        devl,
        cursor,
        |_, sb| (0..sb.pools()).collect(),
        |devl, sb, index| {
            let pool = Pool::read(devl, sb, index)?;
            batch.put(cmd::SB_POOL_NEW, |w| pool.fill(w, devl.devlink()))
        },
    )
}

/// Each port with each of `of_a_port`.
fn with_ports<T>(devl: &Devl<'_>, of_a_port: impl Fn() -> Vec<T>) -> Vec<(Arc<Port>, T)> {
    let ports = devl.ports();
    ports
        .flat_map(|port| of_a_port().into_iter().map(|of| (Arc::clone(port), of)))
        .collect()
}

pub(crate) fn port_pool_get_dump_one(
    devl: &mut Devl<'_>,
    cursor: &mut DumpCursor,
    batch: &mut Batch<'_>,
) -> netlink::Result {
    let objects = |devl: &Devl<'_>, sb: &Sb| with_ports(devl, || (0..sb.pools()).collect());
    dump(devl, cursor, objects, |devl, sb, (port, index)| {
        let pool = PortPool::read(devl, &port, sb, index)?;
        batch.put(cmd::SB_PORT_POOL_NEW, |w| pool.fill(w, devl.devlink()))
    })
}

pub(crate) fn tc_pool_bind_get_dump_one(
    devl: &mut Devl<'_>,
    cursor: &mut DumpCursor,
    batch: &mut Batch<'_>,
) -> netlink::Result {
    let objects = |devl: &Devl<'_>, sb: &Sb| with_ports(devl, || sb.all_tcs().collect());
    dump(devl, cursor, objects, |devl, sb, (port, tc)| {
        let bind = TcPoolBind::read(devl, &port, sb, tc)?;
        batch.put(cmd::SB_TC_POOL_BIND_NEW, |w| bind.fill(w, devl.devlink()))
    })
}

// The API for drivers.

impl Objects<'_> {
    /// Registers a shared buffer (`devl_sb_register`). Users are told nothing of it, nor of its end.
    ///
    /// # Errors
    ///
    /// `EEXIST` if the number is taken.
    pub fn sb_register(&mut self, sb: Sb) -> Result<(), Errno> {
        if self.state.sbs.iter().any(|other| other.index == sb.index) {
            return Err(Errno::EXIST);
        }
        self.state.sbs.push(sb);
        Ok(())
    }

    /// Unregisters a shared buffer (`devl_sb_unregister`).
    pub fn sb_unregister(&mut self, index: u32) {
        let before = self.state.sbs.len();
        self.state.sbs.retain(|sb| sb.index != index);
        let unknown = self.state.sbs.len() == before;
        self.devlink()
            .warn_on(unknown, "devl_sb_unregister", "no such shared buffer");
    }
}
