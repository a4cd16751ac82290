//! The shared buffer (`spectrum_buffers.c`).
//!
//! The switch counts its buffer in cells. A dynamic threshold is a step of a scale, from 1 to 14 in the switch and from 3 to
//! 16 for users; a static one is a number of cells, bytes for users. What is in use no packet causes: a snapshot draws it
//! from the machine's random numbers, and the switch remembers the most that it was, until that is cleared.

use std::collections::BTreeMap;
use std::sync::Arc;

use devlink::{
    Devl, Port, Sb, SbOccupancy, SbOps, SbPoolInfo, SbPoolType, SbTc, SbTcBind, SbThresholdType,
};
use netlink::ExtAck;
use rustix::io::Errno;

use crate::device::Spectrum;
use crate::ports::CPU_PORT;

/// Number of the only shared buffer.
const SB: u32 = 0;
/// Bytes of a cell.
const CELL: u32 = 96;
/// The buffer, in cells.
const CELLS: u32 = 146_090;
/// What of it is kept for the processor in each direction, in bytes.
const CPU_SIZE: u32 = 256_000;
/// Traffic classes for packets that come in.
const INGRESS_TCS: u16 = 8;
/// Traffic classes for packets that go out, the second half of them for multicast.
const EGRESS_TCS: u16 = 16;
/// The least and the most of a dynamic threshold, in the switch.
const DYNAMIC: std::ops::RangeInclusive<u32> = 1..=14;
/// From the switch's scale to the users'.
const TO_ALPHA: u32 = 2;
/// The pool of multicast packets, whose size and thresholds are the whole buffer, and stay so.
const MULTICAST_POOL: u16 = 8;
/// The most that a snapshot finds in use of one thing, in cells.
const MOST_IN_USE: u64 = 64;

/// A pool as the switch begins with it.
struct PoolDefault {
    ty: SbPoolType,
    mode: SbThresholdType,
    cells: u32,
    freeze_mode: bool,
    freeze_size: bool,
    /// A port's threshold, in the switch's scale or in bytes.
    port: u32,
    /// The same of the port towards the processor.
    cpu: u32,
}

const fn pool(ty: SbPoolType, cells: u32, port: u32) -> PoolDefault {
    PoolDefault {
        ty,
        mode: SbThresholdType::Dynamic,
        cells,
        freeze_mode: false,
        freeze_size: false,
        port,
        cpu: 0,
    }
}

const CPU_CELLS: u32 = CPU_SIZE.div_ceil(CELL);
const REST: u32 = CELLS - CPU_CELLS;

/// The pools, in the order of their numbers.
const POOLS: [PoolDefault; 11] = {
    use SbPoolType::{Egress, Ingress};
    [
        pool(Ingress, REST, 14),
        pool(Ingress, 0, 1),
        pool(Ingress, 0, 1),
        pool(Ingress, 0, 1),
        PoolDefault {
            freeze_mode: true,
            ..pool(Egress, REST, 7)
        },
        pool(Egress, 0, 1),
        pool(Egress, 0, 1),
        pool(Egress, 0, 1),
        PoolDefault {
            mode: SbThresholdType::Static,
            freeze_mode: true,
            freeze_size: true,
            cpu: 90_000,
            ..pool(Egress, CELLS, 90_000)
        },
        PoolDefault {
            freeze_mode: true,
            ..pool(Ingress, CPU_CELLS, 8)
        },
        PoolDefault {
            freeze_mode: true,
            cpu: 14,
            ..pool(Egress, CPU_CELLS, 1)
        },
    ]
};

/// A pool now (`struct mlxsw_sp_sb_pr`).
#[derive(Clone, Copy, Debug)]
struct Pool {
    mode: SbThresholdType,
    cells: u32,
}

impl Pool {
    /// A threshold as users know it.
    fn threshold_out(self, max_buff: u32) -> u32 {
        match self.mode {
            SbThresholdType::Dynamic => max_buff.wrapping_add(TO_ALPHA),
            SbThresholdType::Static => max_buff.wrapping_mul(CELL),
        }
    }

    fn threshold_in(self, threshold: u32, extack: &mut ExtAck) -> Result<u32, Errno> {
        match self.mode {
            SbThresholdType::Dynamic => {
                let step = threshold.checked_sub(TO_ALPHA);
                step.filter(|step| DYNAMIC.contains(step)).ok_or_else(|| {
                    refuse(extack, "mlxsw_spectrum: Invalid dynamic threshold value")
                })
            }
            SbThresholdType::Static => Ok(threshold.div_ceil(CELL)),
        }
    }
}

/// How much of something is in use, in cells.
#[derive(Clone, Copy, Debug, Default)]
struct Use {
    /// The most since it was cleared, which the switch knows.
    watermark: u32,
    /// What the last snapshot has found.
    snapshot: SbOccupancy,
}

impl Use {
    fn snapshot(&mut self, cur: u32) {
        self.watermark = self.watermark.max(cur);
        self.snapshot = SbOccupancy {
            cur: cur * CELL,
            max: self.watermark * CELL,
        };
    }
}

/// What a port may use of a pool (`struct mlxsw_sp_sb_pm`).
#[derive(Clone, Copy, Debug)]
struct PortPool {
    max_buff: u32,
    used: Use,
}

/// The pool of a traffic class (`struct mlxsw_sp_sb_cm`).
#[derive(Clone, Copy, Debug)]
struct Tc {
    pool: u16,
    max_buff: u32,
    used: Use,
}

#[derive(Clone, Debug)]
struct PortBuffers {
    pools: [PortPool; POOLS.len()],
    ingress: [Tc; INGRESS_TCS as usize],
    egress: [Tc; EGRESS_TCS as usize],
}

impl PortBuffers {
    fn new(cpu: bool) -> Self {
        let port_pool = |default: &PoolDefault| {
            let max_buff = if cpu { default.cpu } else { default.port };
            PortPool {
                max_buff: match default.mode {
                    SbThresholdType::Dynamic => max_buff,
                    SbThresholdType::Static => max_buff.div_ceil(CELL),
                },
                used: Use::default(),
            }
        };
        let tc = |pool, max_buff| Tc {
            pool,
            max_buff,
            used: Use::default(),
        };
        Self {
            pools: POOLS.each_ref().map(port_pool),
            ingress: std::array::from_fn(|i| match (cpu, i) {
                (false, 0) => tc(0, 8),
                (false, _) => tc(0, 1),
                (true, _) => tc(0, 0),
            }),
            egress: std::array::from_fn(|i| match (cpu, i) {
                (false, 0..8) => tc(4, 9),
                (false, _) => tc(MULTICAST_POOL, CELLS),
                (true, 0..=5 | 7) => tc(10, 8),
                (true, _) => tc(10, 0),
            }),
        }
    }

    fn tc(&mut self, tc: SbTc) -> Option<&mut Tc> {
        match tc.ty {
            SbPoolType::Ingress => self.ingress.get_mut(usize::from(tc.index)),
            SbPoolType::Egress => self.egress.get_mut(usize::from(tc.index)),
        }
    }

    fn used(&mut self) -> impl Iterator<Item = &mut Use> {
        let pools = self.pools.iter_mut().map(|pool| &mut pool.used);
        let tcs = self.ingress.iter_mut().chain(&mut self.egress);
        pools.chain(tcs.map(|tc| &mut tc.used))
    }
}

/// The buffer of a switch (`struct mlxsw_sp_sb`).
#[derive(Debug)]
pub(crate) struct Buffers {
    pools: [Pool; POOLS.len()],
    ports: BTreeMap<u32, PortBuffers>,
}

impl Default for Buffers {
    fn default() -> Self {
        let pool = |default: &PoolDefault| Pool {
            mode: default.mode,
            cells: default.cells,
        };
        Self {
            pools: POOLS.each_ref().map(pool),
            ports: BTreeMap::from([(CPU_PORT, PortBuffers::new(true))]),
        }
    }
}

impl Buffers {
    /// A port begins with the defaults (`mlxsw_sp_port_buffers_init`).
    pub(crate) fn port_init(&mut self, port: u32) {
        self.ports.insert(port, PortBuffers::new(false));
    }

    pub(crate) fn port_fini(&mut self, port: u32) {
        self.ports.remove(&port);
    }

    fn pool(&mut self, pool: u16) -> Result<&mut Pool, Errno> {
        self.pools.get_mut(usize::from(pool)).ok_or(Errno::INVAL)
    }

    fn port(&mut self, port: &Port) -> Result<&mut PortBuffers, Errno> {
        self.ports.get_mut(&port.index()).ok_or(Errno::INVAL)
    }

    fn port_pool(&mut self, port: &Port, pool: u16) -> Result<&mut PortPool, Errno> {
        let port = self.port(port)?;
        port.pools.get_mut(usize::from(pool)).ok_or(Errno::INVAL)
    }

    fn tc(&mut self, port: &Port, tc: SbTc) -> Result<&mut Tc, Errno> {
        self.port(port)?.tc(tc).ok_or(Errno::INVAL)
    }
}

/// The switch's buffer, with the defaults (`mlxsw_sp_buffers_init`).
pub(crate) fn init(sp: &Spectrum, devl: &mut Devl<'_>) -> Result<(), Errno> {
    *sp.buffers() = Buffers::default();
    let of = |ty| POOLS.iter().filter(|pool| pool.ty == ty).count() as u16;
    devl.sb_register(Sb {
        index: SB,
        size: CELLS * CELL,
        ingress_pools: of(SbPoolType::Ingress),
        egress_pools: of(SbPoolType::Egress),
        ingress_tcs: INGRESS_TCS,
        egress_tcs: EGRESS_TCS,
    })
}

pub(crate) fn fini(devl: &mut Devl<'_>) {
    devl.sb_unregister(SB);
}

fn refuse(extack: &mut ExtAck, text: &'static str) -> Errno {
    extack.set_msg(text);
    Errno::INVAL
}

impl SbOps for Spectrum {
    fn pool_get(&self, _devl: &mut Devl<'_>, _sb: u32, pool: u16) -> Result<SbPoolInfo, Errno> {
        let now = *self.buffers().pool(pool)?;
        Ok(SbPoolInfo {
            pool_type: POOLS[usize::from(pool)].ty,
            size: now.cells * CELL,
            threshold_type: now.mode,
            cell_size: CELL,
        })
    }

    fn pool_set(
        &self,
        _devl: &mut Devl<'_>,
        _sb: u32,
        pool: u16,
        size: u32,
        mode: SbThresholdType,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let mut buffers = self.buffers();
        let now = buffers.pool(pool)?;
        let default = &POOLS[usize::from(pool)];
        if size > CELLS * CELL {
            return Err(refuse(
                extack,
                "mlxsw_spectrum: Exceeded shared buffer size",
            ));
        }
        if default.freeze_mode && default.mode != mode {
            let text = "mlxsw_spectrum: Changing this pool's threshold type is forbidden";
            return Err(refuse(extack, text));
        }
        if default.freeze_size && default.cells != size.div_ceil(CELL) {
            let text = "mlxsw_spectrum: Changing this pool's size is forbidden";
            return Err(refuse(extack, text));
        }
        *now = Pool {
            mode,
            cells: size.div_ceil(CELL),
        };
        Ok(())
    }

    fn port_pool_get(
        &self,
        _devl: &mut Devl<'_>,
        port: &Arc<Port>,
        _sb: u32,
        pool: u16,
    ) -> Result<u32, Errno> {
        let mut buffers = self.buffers();
        let max_buff = buffers.port_pool(port, pool)?.max_buff;
        Ok(buffers.pool(pool)?.threshold_out(max_buff))
    }

    fn port_pool_set(
        &self,
        _devl: &mut Devl<'_>,
        port: &Arc<Port>,
        _sb: u32,
        pool: u16,
        threshold: u32,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        if port.index() == CPU_PORT {
            let text = "mlxsw_spectrum: Changing CPU port's threshold is forbidden";
            return Err(refuse(extack, text));
        }
        let mut buffers = self.buffers();
        let max_buff = buffers.pool(pool)?.threshold_in(threshold, extack)?;
        buffers.port_pool(port, pool)?.max_buff = max_buff;
        Ok(())
    }

    fn tc_pool_bind_get(
        &self,
        _devl: &mut Devl<'_>,
        port: &Arc<Port>,
        _sb: u32,
        tc: SbTc,
    ) -> Result<SbTcBind, Errno> {
        let mut buffers = self.buffers();
        let tc = *buffers.tc(port, tc)?;
        Ok(SbTcBind {
            pool: tc.pool,
            threshold: buffers.pool(tc.pool)?.threshold_out(tc.max_buff),
        })
    }

    fn tc_pool_bind_set(
        &self,
        _devl: &mut Devl<'_>,
        port: &Arc<Port>,
        _sb: u32,
        tc: SbTc,
        bind: SbTcBind,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        if port.index() == CPU_PORT {
            let text = "mlxsw_spectrum: Changing CPU port's binding is forbidden";
            return Err(refuse(extack, text));
        }
        let mut buffers = self.buffers();
        let pool = *buffers.pool(bind.pool)?;
        if POOLS[usize::from(bind.pool)].ty != tc.ty {
            let text =
                "mlxsw_spectrum: Binding egress TC to ingress pool and vice versa is forbidden";
            return Err(refuse(extack, text));
        }
        let now = buffers.tc(port, tc)?;
        if now.pool == MULTICAST_POOL {
            if bind.pool != MULTICAST_POOL {
                let text = "mlxsw_spectrum: Binding this TC to a different pool is forbidden";
                return Err(refuse(extack, text));
            }
            // The kernel compares with a number that no user can know.
            let text = "mlxsw_spectrum: Changing this TC's threshold is forbidden";
            return Err(refuse(extack, text));
        }
        now.max_buff = pool.threshold_in(bind.threshold, extack)?;
        now.pool = bind.pool;
        Ok(())
    }

    fn occ_snapshot(&self, _devl: &mut Devl<'_>, _sb: u32) -> Result<(), Errno> {
        let rng = self.rng();
        let mut buffers = self.buffers();
        for used in buffers.ports.values_mut().flat_map(PortBuffers::used) {
            // At most 64, which fits.
            used.snapshot((rng.next_u64() % (MOST_IN_USE + 1)) as u32);
        }
        Ok(())
    }

    fn occ_max_clear(&self, _devl: &mut Devl<'_>, _sb: u32) -> Result<(), Errno> {
        let mut buffers = self.buffers();
        for used in buffers.ports.values_mut().flat_map(PortBuffers::used) {
            used.watermark = 0;
        }
        Ok(())
    }

    fn occ_port_pool_get(
        &self,
        _devl: &mut Devl<'_>,
        port: &Arc<Port>,
        _sb: u32,
        pool: u16,
    ) -> Result<SbOccupancy, Errno> {
        Ok(self.buffers().port_pool(port, pool)?.used.snapshot)
    }

    fn occ_tc_port_bind_get(
        &self,
        _devl: &mut Devl<'_>,
        port: &Arc<Port>,
        _sb: u32,
        tc: SbTc,
    ) -> Result<SbOccupancy, Errno> {
        Ok(self.buffers().tc(port, tc)?.used.snapshot)
    }
}
