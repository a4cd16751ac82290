//! The driver's side of shared buffers.

use std::sync::Arc;

use netlink::ExtAck;
use rustix::io::Errno;

use crate::core::Devl;
use crate::port::Port;

/// Which packets a pool or a traffic class is for (`enum devlink_sb_pool_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SbPoolType {
    /// Those that come in.
    Ingress = 0,
    /// Those that go out.
    Egress = 1,
}

/// What a threshold is (`enum devlink_sb_threshold_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SbThresholdType {
    /// A number of bytes.
    Static = 0,
    /// A share of what is free.
    Dynamic = 1,
}

/// What a pool is now (`struct devlink_sb_pool_info`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SbPoolInfo {
    /// Which packets it is for.
    pub pool_type: SbPoolType,
    /// Its size in bytes.
    pub size: u32,
    /// What its thresholds are.
    pub threshold_type: SbThresholdType,
    /// The bytes that it gives out at once.
    pub cell_size: u32,
}

/// How much is in use, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SbOccupancy {
    /// At the last snapshot.
    pub cur: u32,
    /// The most since it was cleared.
    pub max: u32,
}

/// One of a port's traffic classes; each direction has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SbTc {
    /// Which packets it is for.
    pub ty: SbPoolType,
    /// Its number in this direction.
    pub index: u16,
}

/// The pool that a traffic class is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SbTcBind {
    /// Number of the pool.
    pub pool: u16,
    /// How much of the pool it may use.
    pub threshold: u32,
}

/// What a driver does for the commands on shared buffers (the `sb_*` of `struct devlink_ops`).
///
/// The numbers of buffers, pools and traffic classes are those of a registered [`Sb`](super::Sb). What answers `EOPNOTSUPP`, as
/// the defaults do, does not exist: requests for it fail so, dumps leave it out.
pub trait SbOps: Send + Sync {
    /// What a pool is.
    ///
    /// # Errors
    ///
    /// Fails the request; so all of these.
    fn pool_get(&self, devl: &mut Devl<'_>, sb: u32, pool: u16) -> Result<SbPoolInfo, Errno> {
        let _ = (devl, sb, pool);
        Err(Errno::OPNOTSUPP)
    }

    /// Changes a pool's size, in bytes, and what its thresholds are.
    ///
    /// # Errors
    ///
    /// Fails the request.
    fn pool_set(
        &self,
        devl: &mut Devl<'_>,
        sb: u32,
        pool: u16,
        size: u32,
        threshold_type: SbThresholdType,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let _ = (devl, sb, pool, size, threshold_type, extack);
        Err(Errno::OPNOTSUPP)
    }

    /// How much of a pool a port may use.
    ///
    /// # Errors
    ///
    /// Fails the request.
    fn port_pool_get(
        &self,
        devl: &mut Devl<'_>,
        port: &Arc<Port>,
        sb: u32,
        pool: u16,
    ) -> Result<u32, Errno> {
        let _ = (devl, port, sb, pool);
        Err(Errno::OPNOTSUPP)
    }

    /// Changes how much of a pool a port may use.
    ///
    /// # Errors
    ///
    /// Fails the request.
    fn port_pool_set(
        &self,
        devl: &mut Devl<'_>,
        port: &Arc<Port>,
        sb: u32,
        pool: u16,
        threshold: u32,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let _ = (devl, port, sb, pool, threshold, extack);
        Err(Errno::OPNOTSUPP)
    }

    /// The pool that a port's traffic class is bound to.
    ///
    /// # Errors
    ///
    /// Fails the request.
    fn tc_pool_bind_get(
        &self,
        devl: &mut Devl<'_>,
        port: &Arc<Port>,
        sb: u32,
        tc: SbTc,
    ) -> Result<SbTcBind, Errno> {
        let _ = (devl, port, sb, tc);
        Err(Errno::OPNOTSUPP)
    }

    /// Binds a port's traffic class to a pool, which need not be of the same type.
    ///
    /// # Errors
    ///
    /// Fails the request.
    fn tc_pool_bind_set(
        &self,
        devl: &mut Devl<'_>,
        port: &Arc<Port>,
        sb: u32,
        tc: SbTc,
        bind: SbTcBind,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let _ = (devl, port, sb, tc, bind, extack);
        Err(Errno::OPNOTSUPP)
    }

    /// Notes how much of a buffer is in use now.
    ///
    /// # Errors
    ///
    /// Fails the request.
    fn occ_snapshot(&self, devl: &mut Devl<'_>, sb: u32) -> Result<(), Errno> {
        let _ = (devl, sb);
        Err(Errno::OPNOTSUPP)
    }

    /// Forgets how much of a buffer was in use at most.
    ///
    /// # Errors
    ///
    /// Fails the request.
    fn occ_max_clear(&self, devl: &mut Devl<'_>, sb: u32) -> Result<(), Errno> {
        let _ = (devl, sb);
        Err(Errno::OPNOTSUPP)
    }

    /// How much of a pool a port uses.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP`: left out. Others fail the request.
    fn occ_port_pool_get(
        &self,
        devl: &mut Devl<'_>,
        port: &Arc<Port>,
        sb: u32,
        pool: u16,
    ) -> Result<SbOccupancy, Errno> {
        let _ = (devl, port, sb, pool);
        Err(Errno::OPNOTSUPP)
    }

    /// How much a port's traffic class uses.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP`: left out. Others fail the request.
    fn occ_tc_port_bind_get(
        &self,
        devl: &mut Devl<'_>,
        port: &Arc<Port>,
        sb: u32,
        tc: SbTc,
    ) -> Result<SbOccupancy, Errno> {
        let _ = (devl, port, sb, tc);
        Err(Errno::OPNOTSUPP)
    }
}

/// The operations of a driver that has no shared buffers.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSbOps;

impl SbOps for NoSbOps {}
