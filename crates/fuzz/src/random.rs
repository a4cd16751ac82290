//! Reproducible chance.

/// A generator of numbers (xorshift), the same for the same seed; before that, the numbers of an input, if there is one.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
    input: std::vec::IntoIter<u8>,
}

impl Random {
    /// A generator; the seed 0 would stay 0, so it is another one.
    pub fn new(seed: u64) -> Self {
        Random {
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            input: Vec::new().into_iter(),
        }
    }

    /// A generator that gives what a fuzzer has thought of, two bytes a number, and then is as any other.
    pub fn of_input(input: Vec<u8>) -> Self {
        Random {
            input: input.into_iter(),
            ..Random::new(0)
        }
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        if let Some(low) = self.input.next() {
            return u64::from(low) | u64::from(self.input.next().unwrap_or(0)) << 8;
        }
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    /// A number below `end`; 0 if that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.number() % end.max(1) as u64) as usize
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        from.get(self.below(from.len())).copied()
    }

    /// Some bytes, fewer than `end` of them.
    pub fn bytes(&mut self, end: usize) -> Vec<u8> {
        (0..self.below(end)).map(|_| self.number() as u8).collect()
    }
}
