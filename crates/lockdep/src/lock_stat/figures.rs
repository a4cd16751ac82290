//! Where the figures are kept: each thread adds to a block of its own, and who wants them adds the blocks up.
//!
//! A block belongs to one thread at a time and is passed on with what is in it when the thread ends, so that nothing has to
//! be moved. Its mutex is taken by nobody else but for an instant by who looks. The kernel has one set of figures for each
//! processor instead (`kernel/locking/lockdep.c: cpu_lock_stats`).

use std::cell::Cell;
use std::collections::HashMap;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Times;
use crate::graph;
use crate::hash::BuildMultiply;
use crate::thread;

/// A line of the program, and the code that it became.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Site {
    pub(crate) location: &'static Location<'static>,
    /// 0 if it is not known.
    pub(crate) ip: usize,
}

/// Lines, and how often it was each: a line that is called from many places counts once.
pub(super) type Sites = Vec<(Site, u64)>;

/// As many lines of a class are told apart in one block.
const SITES: usize = 32;

/// What was measured of one class; of each two figures, the first is of writers, the second of readers.
#[derive(Debug, Default)]
pub(super) struct Figures {
    pub(super) wait: [Times; 2],
    pub(super) hold: [Times; 2],
    /// Who waited.
    pub(super) waiters: Sites,
    /// For whom.
    pub(super) holders: Sites,
}

pub(super) type Table = HashMap<u32, Figures, BuildMultiply>;

/// The figures of one thread after the other.
pub(crate) struct Block {
    taken: AtomicBool,
    table: Mutex<Table>,
}

static BLOCKS: Mutex<Vec<&'static Block>> = Mutex::new(Vec::new());

/// The block of a thread.
struct Mine {
    block: Cell<Option<&'static Block>>,
    /// The thread is in here: a signal handler, or the program's allocator if it has locks, is not measured meanwhile.
    busy: Cell<bool>,
}

thread_local! {
    static MINE: Mine = const {
        Mine {
            block: Cell::new(None),
            busy: Cell::new(false),
        }
    };
}

impl Drop for Mine {
    fn drop(&mut self) {
        if let Some(block) = self.block.take() {
            // Pairs with the acquire in `block`; the table has a mutex besides.
            block.taken.store(false, Ordering::Release);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A block that no thread has.
fn block() -> &'static Block {
    let mut blocks = lock(&BLOCKS);
    let free = blocks
        .iter()
        .find(|block| !block.taken.swap(true, Ordering::Acquire));
    if let Some(free) = free {
        return free;
    }
    let block: &'static Block = Box::leak(Box::new(Block {
        taken: AtomicBool::new(true),
        table: Mutex::default(),
    }));
    blocks.push(block);
    block
}

/// Adds to the figures of a class. Where thread-local values have been destroyed already nothing is added.
fn add(class: u32, add: impl FnOnce(&mut Figures)) {
    // The validator's own locks, and its allocator's: it may have the graph locked, which comes after the figures.
    if thread::with(|thread| thread.busy.get()) {
        return;
    }
    let _ = MINE.try_with(|mine| {
        if mine.busy.replace(true) {
            return;
        }
        let block = mine.block.get().unwrap_or_else(|| {
            let block = block();
            mine.block.set(Some(block));
            block
        });
        let mut table = lock(&block.table);
        if table.len() == table.capacity() && !table.contains_key(&class) {
            forget_ended(&mut table);
        }
        add(table.entry(class).or_default());
        drop(table);
        mine.busy.set(false);
    });
}

/// Takes out the classes that have ended, before the table grows: they would come to be more and more.
#[cold]
fn forget_ended(table: &mut Table) {
    thread::quietly(|| {
        let graph = graph::lock();
        table.retain(|&id, _| graph.class(id).is_some());
    });
}

/// A lock of the class was held for so long.
pub(crate) fn held(class: u32, shared: bool, time: Duration) {
    add(class, |figures| {
        figures.hold[usize::from(shared)].add(time);
    });
}

/// A lock of the class was waited for, for so long, on this line, while that one had it.
pub(crate) fn waited(class: u32, shared: bool, time: Duration, site: Site, holder: Option<Site>) {
    add(class, |figures| {
        figures.wait[usize::from(shared)].add(time);
        count(&mut figures.waiters, site, 1, SITES);
        if let Some(holder) = holder {
            count(&mut figures.holders, holder, 1, SITES);
        }
    });
}

/// Counts a line, if there is room for it.
fn count(sites: &mut Sites, site: Site, times: u64, room: usize) {
    let known = sites.iter_mut();
    let mut same = known.filter(|(known, _)| known.location == site.location);
    if let Some((_, count)) = same.next() {
        *count += times;
    } else if sites.len() < room {
        sites.push((site, times));
    }
}

/// The figures of all threads together.
pub(super) fn sum() -> Table {
    let mut all = Table::default();
    thread::quietly(|| {
        let busy = MINE.try_with(|mine| mine.busy.replace(true));
        for block in lock(&BLOCKS).iter() {
            for (&class, figures) in lock(&block.table).iter() {
                let sum = all.entry(class).or_default();
                for kind in 0..2 {
                    sum.wait[kind].merge(&figures.wait[kind]);
                    sum.hold[kind].merge(&figures.hold[kind]);
                }
                for &(site, times) in &figures.waiters {
                    count(&mut sum.waiters, site, times, usize::MAX);
                }
                for &(site, times) in &figures.holders {
                    count(&mut sum.holders, site, times, usize::MAX);
                }
            }
        }
        if let Ok(busy) = busy {
            let _ = MINE.try_with(|mine| mine.busy.set(busy));
        }
    });
    all
}

/// Begins anew.
pub(super) fn clear() {
    thread::quietly(|| {
        for block in lock(&BLOCKS).iter() {
            lock(&block.table).clear();
        }
    });
}

/// All figures, held still while the process forks.
pub(crate) struct AtRest {
    _tables: Vec<MutexGuard<'static, Table>>,
    _blocks: MutexGuard<'static, Vec<&'static Block>>,
}

/// Waits until nobody adds to any figures. Not for a thread that does.
pub(crate) fn rest() -> Option<AtRest> {
    if MINE.try_with(|mine| mine.busy.get()).unwrap_or(false) {
        return None;
    }
    let blocks = lock(&BLOCKS);
    Some(AtRest {
        _tables: blocks.iter().map(|block| lock(&block.table)).collect(),
        _blocks: blocks,
    })
}
