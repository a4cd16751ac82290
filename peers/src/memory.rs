//! `peer memory`: what lockdep keeps in memory, in bytes: `CLASS CHAIN EDGE`.
//!
//! Every allocation of the process is counted. A chain is told with what is noted of those who make it, an edge with its stacks
//! and witnesses; all are told with the room that tables keep for more of their kind.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use lockdep::{DynamicClass, Mutex};

/// So many locks are taken alone, and so many edges are made.
const MANY: usize = 4096;
/// So many locks are nested three deep in every way.
const NEST: usize = 32;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The system's allocator, with the bytes in use counted.
struct Counting;

// SAFETY: the system's allocator does all the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        IN_USE.fetch_add(size.wrapping_sub(layout.size()), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(memory, layout, size) }
    }
}

fn locks(count: usize) -> Vec<Mutex<()>> {
    let lock = |_| Mutex::with_class(DynamicClass::new("lock"), ());
    (0..count).map(lock).collect()
}

/// Takes these locks, each under those before it.
fn nest(locks: &[&Mutex<()>]) {
    let guards: Vec<_> = locks.iter().map(|lock| lock.lock()).collect();
    drop(guards);
}

/// By how many bytes `work` makes the process larger, `count` times.
fn each(count: usize, work: impl FnOnce()) -> f64 {
    let before = IN_USE.load(Relaxed);
    work();
    IN_USE.load(Relaxed).wrapping_sub(before).cast_signed() as f64 / count as f64
}

/// Prints the three figures.
pub fn tell() {
    let few = locks(NEST);
    let few: Vec<&Mutex<()>> = few.iter().collect();
    for (at, outer) in few.iter().enumerate() {
        for inner in &few[at + 1..] {
            nest(&[outer, inner]);
        }
    }
    let chain = each(NEST * (NEST - 1) * (NEST - 2) / 6, || {
        for outer in 0..NEST {
            for middle in outer + 1..NEST {
                for inner in middle + 1..NEST {
                    nest(&[few[outer], few[middle], few[inner]]);
                }
            }
        }
    });
    let many = locks(2 * MANY);
    let alone = each(many.len(), || many.iter().for_each(|lock| nest(&[lock])));
    let under = each(MANY, || {
        let (outer, inner) = many.split_at(MANY);
        for (outer, inner) in outer.iter().zip(inner) {
            nest(&[outer, inner]);
        }
    });
    println!("{:.0} {chain:.0} {:.0}", alone - chain, under - chain);
}
