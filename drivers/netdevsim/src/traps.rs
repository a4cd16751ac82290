//! The device's packet traps (`dev.c: nsim_dev_traps_init`).
//!
//! Every 100 ms a worker reports a UDP packet for each port that is up and each trap whose action is not *drop*; so the
//! counters of such traps rise. Nothing else comes of the packets. The worker begins when a port goes up and ends when none is: a
//! machine full of idle devices stays idle, and nobody can tell the difference.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use devlink::{
    GenericTrap, GenericTrapGroup, Objects, Trap, TrapAction, TrapCtx, TrapGroup, TrapGroupId,
    TrapMetadata, TrapPolicer, TrapType,
};
use driver_core::Work;
use kernfs::debugfs::{Bool, Plain};
use lockdep::order::{Held, Unlocked};
use netlink::ExtAck;
use rustix::io::Errno;

use crate::dev::NsimDev;

/// How often packets are reported (`NSIM_TRAP_REPORT_INTERVAL_MS`).
const REPORT_INTERVAL: Duration = Duration::from_millis(100);

/// When the worker tries again if somebody has the instance: after a tick of 250 Hz.
const JIFFY: Duration = Duration::from_millis(4);

/// Bytes of a reported packet: Ethernet, IPv4 and UDP headers and 100 more.
const PACKET_LEN: u64 = 14 + 20 + 8 + 100;

/// The policers, in the order of their registration.
const POLICERS: [TrapPolicer; 3] = [
    policer(1, 1000, 128),
    policer(2, 2000, 256),
    policer(3, 3000, 512),
];

const fn policer(id: u32, rate: u64, burst: u64) -> TrapPolicer {
    TrapPolicer {
        id,
        init_rate: rate,
        init_burst: burst,
        max_rate: 8000,
        min_rate: 1,
        max_burst: 65536,
        min_burst: 8,
    }
}

/// The groups, each with its policer.
const GROUPS: [TrapGroup; 6] = [
    TrapGroup::generic(GenericTrapGroup::L2Drops, 0),
    TrapGroup::generic(GenericTrapGroup::L3Drops, 1),
    TrapGroup::generic(GenericTrapGroup::L3Exceptions, 1),
    TrapGroup::generic(GenericTrapGroup::BufferDrops, 2),
    TrapGroup::generic(GenericTrapGroup::AclDrops, 3),
    TrapGroup::generic(GenericTrapGroup::McSnooping, 3),
];

/// The traps.
const TRAPS: [Trap; 14] = [
    drop(GenericTrap::SmacMc, GenericTrapGroup::L2Drops),
    drop(GenericTrap::VlanTagMismatch, GenericTrapGroup::L2Drops),
    drop(GenericTrap::IngressVlanFilter, GenericTrapGroup::L2Drops),
    drop(GenericTrap::IngressStpFilter, GenericTrapGroup::L2Drops),
    drop(GenericTrap::EmptyTxList, GenericTrapGroup::L2Drops),
    drop(GenericTrap::PortLoopbackFilter, GenericTrapGroup::L2Drops),
    Trap::driver(
        0,
        "fid_miss",
        TrapType::Exception,
        TrapAction::Trap,
        TrapGroupId::Generic(GenericTrapGroup::L2Drops),
        TrapMetadata::IN_PORT,
    ),
    drop(GenericTrap::BlackholeRoute, GenericTrapGroup::L3Drops),
    other(
        GenericTrap::TtlError,
        TrapAction::Trap,
        GenericTrapGroup::L3Exceptions,
    ),
    drop(GenericTrap::TailDrop, GenericTrapGroup::BufferDrops),
    acl_drop(GenericTrap::IngressFlowActionDrop),
    acl_drop(GenericTrap::EgressFlowActionDrop),
    other(
        GenericTrap::IgmpQuery,
        TrapAction::Mirror,
        GenericTrapGroup::McSnooping,
    ),
    other(
        GenericTrap::IgmpV1Report,
        TrapAction::Trap,
        GenericTrapGroup::McSnooping,
    ),
];

const fn drop(trap: GenericTrap, group: GenericTrapGroup) -> Trap {
    other(trap, TrapAction::Drop, group)
}

const fn acl_drop(trap: GenericTrap) -> Trap {
    let group = GenericTrapGroup::AclDrops;
    let metadata = TrapMetadata::IN_PORT_AND_FA_COOKIE;
    Trap::generic(trap, TrapAction::Drop, group, metadata)
}

const fn other(trap: GenericTrap, action: TrapAction, group: GenericTrapGroup) -> Trap {
    Trap::generic(trap, action, group, TrapMetadata::IN_PORT)
}

/// The device's traps: what users tell them to do wrong, and the registered ones.
#[derive(Debug)]
pub struct Traps {
    /// `trap_flow_action_cookie`: the cookie of the flow action that traps packets into the two ACL traps, if there is one.
    fa_cookie: Arc<lockdep::Mutex<Option<Vec<u8>>>>,
    /// `fail_trap_group_set`: fail to bind a group to a policer.
    pub fail_trap_group_set: Bool,
    /// `fail_trap_policer_set`: fail to change a policer.
    pub fail_trap_policer_set: Bool,
    /// `fail_trap_policer_counter_get`: fail to read a policer's counter.
    pub fail_trap_policer_counter_get: Bool,
    /// `fail_trap_drop_counter_get`: fail to read a trap's counter of drops.
    pub fail_trap_drop_counter_get: Bool,
    data: lockdep::Mutex<Option<Arc<TrapData>>>,
}

/// The registered traps (`struct nsim_trap_data`).
#[derive(Debug)]
struct TrapData {
    items: lockdep::Mutex<Vec<(Arc<TrapCtx>, TrapAction)>>,
    /// What the policers claim to have dropped; each read raises it.
    policers_cnt: [AtomicU64; POLICERS.len()],
    /// What the traps claim to have dropped, all together; each read raises it.
    pkt_cnt: AtomicU64,
    report_dw: Work,
    /// A port goes up: the worker is not to end although none is up yet.
    going_up: AtomicBool,
}

impl Traps {
    pub(crate) fn new() -> Self {
        Traps {
            fa_cookie: Arc::new(lockdep::Mutex::named("&nsim_dev->fa_cookie_lock", None)),
            fail_trap_group_set: Bool::new(false),
            fail_trap_policer_set: Bool::new(false),
            fail_trap_policer_counter_get: Bool::new(false),
            fail_trap_drop_counter_get: Bool::new(false),
            data: lockdep::Mutex::named("nsim_dev->trap_data", None),
        }
    }

    fn data(&self) -> Option<Arc<TrapData>> {
        lock(&self.data).clone()
    }
}

fn lock<T>(mutex: &lockdep::Mutex<T>) -> lockdep::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the files in the device's debugfs directory.
///
/// # Errors
/// `EEXIST` when they are there.
pub(crate) fn debugfs_init(dev: &NsimDev) -> Result<(), Errno> {
    let (ddir, traps) = (dev.debugfs().ddir(), dev.traps());
    let (shown, stored) = (Arc::clone(&traps.fa_cookie), Arc::clone(&traps.fa_cookie));
    let cookie = Plain::new()
        .show(move |_| lock(&shown).as_deref().map(to_hex).ok_or(Errno::INVAL))
        .store(move |cx, text| {
            if cx.offset() != 0 {
                return Err(Errno::INVAL);
            }
            *lock(&stored) = Some(from_hex(text)?);
            Ok(())
        });
    ddir.create_file("trap_flow_action_cookie", 0o600, cookie)?;
    for (name, fail) in [
        ("fail_trap_group_set", &traps.fail_trap_group_set),
        ("fail_trap_policer_set", &traps.fail_trap_policer_set),
        (
            "fail_trap_policer_counter_get",
            &traps.fail_trap_policer_counter_get,
        ),
        (
            "fail_trap_drop_counter_get",
            &traps.fail_trap_drop_counter_get,
        ),
    ] {
        ddir.create_file(name, 0o600, fail.clone())?;
    }
    Ok(())
}

fn to_hex(bytes: &[u8]) -> Vec<u8> {
    let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// Pairs of hexadecimal digits, and one byte after them that may be anything
/// (`dev.c: nsim_dev_trap_fa_cookie_write`).
fn from_hex(text: &[u8]) -> Result<Vec<u8>, Errno> {
    let (_, digits) = text.split_last().ok_or(Errno::INVAL)?;
    if digits.len() % 2 != 0 {
        return Err(Errno::INVAL);
    }
    let value = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
    digits
        .chunks(2)
        .map(|pair| Some(value(pair[0])? << 4 | value(pair[1])?))
        .collect::<Option<_>>()
        .ok_or(Errno::INVAL)
}

/// Registers policers, groups and traps (`dev.c: nsim_dev_traps_init`).
///
/// # Errors
/// Those of the registrations; then none is left.
pub(crate) fn init(dev: &Arc<NsimDev>, objects: &mut Objects<'_>) -> Result<(), Errno> {
    let name = "(work_completion)(&(&nsim_dev->trap_data->trap_report_dw)->work)";
    let data = TrapData {
        items: lockdep::Mutex::named("&nsim_trap_data->trap_lock", Vec::new()),
        policers_cnt: Default::default(),
        pkt_cnt: AtomicU64::new(0),
        report_dw: Work::on(name, Arc::downgrade(dev), nsim_dev_trap_report_work),
        going_up: AtomicBool::new(false),
    };
    *lock(&dev.traps().data) = Some(Arc::new(data));

    let registered = objects.trap_policers_register(&POLICERS).and_then(|()| {
        let groups = objects.trap_groups_register(&GROUPS).and_then(|()| {
            let traps = objects.traps_register(&TRAPS);
            if traps.is_err() {
                objects.trap_groups_unregister(&GROUPS);
            }
            traps
        });
        if groups.is_err() {
            objects.trap_policers_unregister(&POLICERS);
        }
        groups
    });
    if registered.is_err() {
        *lock(&dev.traps().data) = None;
    }
    registered
}

/// Ends the worker and unregisters all (`dev.c: nsim_dev_traps_exit`). Nothing if they are not registered.
pub(crate) fn exit(dev: &NsimDev, objects: &mut Objects<'_>) {
    let Some(data) = dev.traps().data() else {
        return;
    };
    // The worker only tries the instance's lock, which is held here.
    data.report_dw.cancel_sync();
    objects.traps_unregister(&TRAPS);
    objects.trap_groups_unregister(&GROUPS);
    objects.trap_policers_unregister(&POLICERS);
    *lock(&dev.traps().data) = None;
}

/// A port of the device goes up: packets arrive from now on.
pub(crate) fn port_goes_up(dev: &NsimDev) {
    if let Some(data) = dev.traps().data() {
        data.going_up.store(true, Ordering::SeqCst);
        let system_wq = dev.module().driver_core().system_wq();
        system_wq.queue_delayed(&data.report_dw, REPORT_INTERVAL);
    }
}

/// `dev.c: nsim_dev_trap_report_work`
fn nsim_dev_trap_report_work(dev: &Arc<NsimDev>, _held: &mut Held<'_, Unlocked>) {
    let Some(data) = dev.traps().data() else {
        return;
    };
    let delay = match dev.devlink().try_lock() {
        Some(_objects) => {
            let going_up = data.going_up.swap(false, Ordering::SeqCst);
            if !(report(dev, &data) || going_up) {
                return;
            }
            REPORT_INTERVAL
        }
        None => JIFFY,
    };
    let system_wq = dev.module().driver_core().system_wq();
    system_wq.queue_delayed(&data.report_dw, delay);
}

/// Reports a packet for each port that is up and each trap that lets it through; whether a port is up.
fn report(dev: &NsimDev, data: &TrapData) -> bool {
    let ports = dev.port_list();
    let running = ports.iter().filter(|port| port.is_up()).count();
    let items = lock(&data.items);
    for _ in 0..running {
        for (trap_ctx, action) in items.iter() {
            if *action != TrapAction::Drop {
                trap_ctx.report(PACKET_LEN);
            }
        }
    }
    running > 0
}

// The device's part of the commands.

/// `dev.c: nsim_dev_devlink_trap_init`
pub(crate) fn trap_init(dev: &NsimDev, trap: &Trap, trap_ctx: &Arc<TrapCtx>) -> Result<(), Errno> {
    let data = dev.traps().data().ok_or(Errno::NOENT)?;
    lock(&data.items).push((Arc::clone(trap_ctx), trap.init_action()));
    Ok(())
}

/// `dev.c: nsim_dev_devlink_trap_action_set`
pub(crate) fn trap_action_set(dev: &NsimDev, trap: &Trap, action: TrapAction) -> Result<(), Errno> {
    let data = dev.traps().data().ok_or(Errno::NOENT)?;
    let mut items = lock(&data.items);
    let item = items
        .iter_mut()
        .find(|(trap_ctx, _)| trap_ctx.trap().id() == trap.id());
    item.ok_or(Errno::NOENT)?.1 = action;
    Ok(())
}

/// `dev.c: nsim_dev_devlink_trap_group_set`
pub(crate) fn trap_group_set(dev: &NsimDev) -> Result<(), Errno> {
    match dev.traps().fail_trap_group_set.get() {
        true => Err(Errno::INVAL),
        false => Ok(()),
    }
}

/// `dev.c: nsim_dev_devlink_trap_policer_set`
pub(crate) fn trap_policer_set(dev: &NsimDev, extack: &mut ExtAck) -> Result<(), Errno> {
    if dev.traps().fail_trap_policer_set.get() {
        extack.set_msg("netdevsim: User setup the operation to fail for testing purposes");
        return Err(Errno::INVAL);
    }
    Ok(())
}

/// `dev.c: nsim_dev_devlink_trap_policer_counter_get`
pub(crate) fn trap_policer_counter_get(
    dev: &NsimDev,
    policer: &TrapPolicer,
) -> Result<Option<u64>, Errno> {
    let data = dev.traps().data().ok_or(Errno::NOENT)?;
    let place = POLICERS.iter().position(|mine| mine.id == policer.id);
    let place = place.filter(|_| !dev.traps().fail_trap_policer_counter_get.get());
    let cnt = &data.policers_cnt[place.ok_or(Errno::INVAL)?];
    Ok(Some(cnt.fetch_add(1, Ordering::Relaxed)))
}

/// `dev.c: nsim_dev_devlink_trap_drop_counter_get`
pub(crate) fn trap_drop_counter_get(dev: &NsimDev) -> Result<Option<u64>, Errno> {
    let data = dev.traps().data().ok_or(Errno::NOENT)?;
    if dev.traps().fail_trap_drop_counter_get.get() {
        return Err(Errno::INVAL);
    }
    Ok(Some(data.pkt_cnt.fetch_add(1, Ordering::Relaxed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_pairs_of_digits_and_one_byte_more() {
        assert_eq!(from_hex(b"aAbb0c\n"), Ok(vec![0xaa, 0xbb, 0x0c]));
        assert_eq!(from_hex(b"aab"), Ok(vec![0xaa]));
        assert_eq!(from_hex(b"\n"), Ok(Vec::new()));
        for wrong in [&b""[..], b"aa", b"xyz", b"xyz\n", b"a\n", b"ag\n"] {
            assert_eq!(from_hex(wrong), Err(Errno::INVAL), "{wrong:?}");
        }
        assert_eq!(to_hex(&[0xaa, 0xbb, 0x0c]), b"aabb0c");
    }
}
