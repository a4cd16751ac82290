//! The kernel's coarse clock: periods of health reporters are compared in its ticks, and one attribute shows it.

use driver_core::Clock;

/// Ticks in a second, as Debian builds its kernels.
const HZ: u64 = 250;

const MS_PER_TICK: u64 = 1000 / HZ;

/// The count at boot: five minutes before 32 bits overflow (`INITIAL_JIFFIES`).
const AT_BOOT: u64 = (0_u32.wrapping_sub(300 * HZ as u32)) as u64;

/// As many ticks as count for ever (`MAX_JIFFY_OFFSET`).
const FOR_EVER: u64 = (i64::MAX as u64 >> 1) - 1;

/// A time in ticks. It wraps, and so do comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Jiffies(u64);

impl Jiffies {
    /// What the kernel has before it has a time.
    pub(super) const ZERO: Self = Self(0);

    pub(super) fn now(clock: &dyn Clock) -> Self {
        let ticks = clock.now().as_millis() / u128::from(MS_PER_TICK);
        Self(AT_BOOT.wrapping_add(ticks as u64))
    }

    /// So many milliseconds later, rounded up to ticks. Of the number only 32 bits count, and one above 2^31 is for ever
    /// (`msecs_to_jiffies`).
    pub(super) fn plus_ms(self, ms: u64) -> Self {
        let ms = ms as u32;
        let ticks = if ms > i32::MAX as u32 {
            FOR_EVER
        } else {
            u64::from(ms).div_ceil(MS_PER_TICK)
        };
        Self(self.0.wrapping_add(ticks))
    }

    /// Whether it is later than `other` (`time_after`).
    pub(super) fn is_after(self, other: Self) -> bool {
        (other.0.wrapping_sub(self.0) as i64) < 0
    }

    /// In milliseconds, of which 32 bits count (`jiffies_to_msecs`).
    pub(super) fn as_ms(self) -> u64 {
        u64::from((self.0 as u32).wrapping_mul(MS_PER_TICK as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use driver_core::ManualClock;
    use std::time::Duration;

    #[test]
    fn milliseconds_are_counted_as_the_kernel_counts_them() {
        let clock = ManualClock::new();
        let boot = Jiffies::now(&clock);
        // Five minutes before the overflow of 32 bits of ticks.
        assert_eq!(boot.as_ms(), u64::from(u32::MAX - 300_000) + 1);
        clock.advance(Duration::from_millis(300_007));
        assert_eq!(Jiffies::now(&clock).as_ms(), 4);

        assert!(boot.plus_ms(1).is_after(boot));
        assert!(!boot.plus_ms(0).is_after(boot));
        assert!(!boot.plus_ms(1 << 32).is_after(boot));
        assert!(boot.plus_ms(u64::MAX).is_after(Jiffies::now(&clock)));
        assert!(!Jiffies::ZERO.plus_ms(60_000).is_after(boot));
    }
}
