//! Small numbers, lowest free first (`lib/idr.c: ida_alloc`).

use std::collections::BTreeSet;

use lockdep::Mutex;
use rustix::io::Errno;

/// An allocator of the numbers from `min` to `max`; the lowest free one is given out first.
#[derive(Debug)]
pub struct Ida {
    min: u32,
    max: u32,
    used: Mutex<BTreeSet<u32>>,
}

impl Ida {
    /// Numbers from zero to `i32::MAX`, as `ida_alloc` gives them.
    pub fn new() -> Self {
        Ida::range(0, i32::MAX as u32)
    }

    /// Numbers from `min` to `max`, both included (`ida_alloc_range`).
    pub fn range(min: u32, max: u32) -> Self {
        Ida {
            min,
            max,
            used: Mutex::named("ida", BTreeSet::new()),
        }
    }

    /// The lowest free number.
    ///
    /// # Errors
    /// `ENOSPC` when none is free.
    pub fn alloc(&self) -> Result<u32, Errno> {
        let mut used = self.lock();
        let mut candidate = self.min;
        for number in used.iter() {
            if *number != candidate {
                break;
            }
            candidate = candidate.checked_add(1).ok_or(Errno::NOSPC)?;
        }
        if candidate > self.max {
            return Err(Errno::NOSPC);
        }
        used.insert(candidate);
        Ok(candidate)
    }

    /// Gives a number back. Giving back a free number does nothing.
    pub fn free(&self, number: u32) {
        self.lock().remove(&number);
    }

    fn lock(&self) -> lockdep::MutexGuard<'_, BTreeSet<u32>> {
        self.used
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Default for Ida {
    fn default() -> Self {
        Ida::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_number_comes_first() {
        let ida = Ida::new();
        assert_eq!(ida.alloc(), Ok(0));
        assert_eq!(ida.alloc(), Ok(1));
        assert_eq!(ida.alloc(), Ok(2));
        ida.free(1);
        assert_eq!(ida.alloc(), Ok(1));
        assert_eq!(ida.alloc(), Ok(3));
    }

    #[test]
    fn a_full_range_is_enospc() {
        let ida = Ida::range(4, 5);
        assert_eq!(ida.alloc(), Ok(4));
        assert_eq!(ida.alloc(), Ok(5));
        assert_eq!(ida.alloc(), Err(Errno::NOSPC));
    }
}
