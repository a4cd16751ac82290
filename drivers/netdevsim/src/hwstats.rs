//! `hwstats/l3/`: which network devices the device counts traffic of (`hwstats.c`).
//!
//! The counts are for the network devices' own statistics, which the real kernel keeps; here it is the list of devices that
//! users make through the files.

use std::sync::{Arc, PoisonError, Weak};

use kernfs::debugfs::Plain;
use kernfs::{Dir, kstrto};
use rustix::io::Errno;

use crate::dev::NsimDev;

/// The loopback device of every namespace, which is none of the machine's.
const LOOPBACK_IFINDEX: i32 = 1;

/// What a file does with the list and an interface index, of a device that is there or not.
type Action = fn(&mut Vec<i32>, i32, bool) -> Result<(), Errno>;

/// The interface indexes on the list (`hwstats->l3_list`).
type List = lockdep::Mutex<Vec<i32>>;

fn lock(list: &List) -> lockdep::MutexGuard<'_, Vec<i32>> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the directory, with nothing on the list.
///
/// # Errors
/// `EEXIST` when it is there.
pub(crate) fn init(dev: &Arc<NsimDev>) -> Result<Dir, Errno> {
    let ddir = dev.debugfs().ddir();
    let dev = Arc::downgrade(dev);
    ddir.create_lazy_dir("hwstats", move |dir| {
        // A directory that is being made has no entry of these names yet.
        _ = fill(&dev, dir);
    })
}

fn fill(dev: &Weak<NsimDev>, dir: &Dir) -> Result<(), Errno> {
    let l3 = dir.create_dir("l3")?;
    let list = Arc::new(List::named("&hwstats->hwsdev_list_lock", Vec::new()));
    let file = |action: Action| {
        let (dev, list) = (Weak::clone(dev), Arc::clone(&list));
        Plain::new().store(move |cx, text| {
            let ifindex = kstrto::int(text, 0)?;
            let dev = dev.upgrade().ok_or(Errno::NODEV)?;
            let rtnl = dev.module().net_core().rtnl_lock(cx.held());
            let net = dev.devlink().net();
            let is_there = |ifindex: i32| {
                let index = u32::try_from(ifindex).ok();
                let known = index.and_then(|index| rtnl.dev_get_by_index(&net, index));
                known.is_some() || ifindex == LOOPBACK_IFINDEX
            };
            let mut list = lock(&list);
            // Who goes leaves the list.
            list.retain(|&listed| is_there(listed));
            action(&mut list, ifindex, is_there(ifindex))
        })
    };
    l3.create_file("enable_ifindex", 0o200, file(enable))?;
    l3.create_file("disable_ifindex", 0o200, file(disable))?;
    l3.create_file("fail_next_enable", 0o200, file(fail_next))?;
    Ok(())
}

/// `hwstats.c: nsim_dev_hwstats_enable_ifindex`
fn enable(list: &mut Vec<i32>, ifindex: i32, is_there: bool) -> Result<(), Errno> {
    if !is_there {
        return Err(Errno::NODEV);
    }
    if !list.contains(&ifindex) {
        list.push(ifindex);
    }
    Ok(())
}

/// `hwstats.c: nsim_dev_hwstats_disable_ifindex`
fn disable(list: &mut Vec<i32>, ifindex: i32, _: bool) -> Result<(), Errno> {
    let place = list.iter().position(|&listed| listed == ifindex);
    list.remove(place.ok_or(Errno::NOENT)?);
    Ok(())
}

/// `hwstats.c: nsim_dev_hwstats_fail_ifindex`. Nobody asks for the counts, so nothing fails.
#[allow(clippy::ptr_arg, reason = "one of three of a type")]
fn fail_next(list: &mut Vec<i32>, ifindex: i32, _: bool) -> Result<(), Errno> {
    match list.contains(&ifindex) {
        true => Ok(()),
        false => Err(Errno::NOENT),
    }
}
