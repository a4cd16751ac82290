//! Stacks of this very run: taken as bare addresses, named only when somebody reads a report.

use std::collections::HashMap;
use std::sync::Arc;

use crate::hash::BuildMultiply;

/// The return addresses of a thread, innermost first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Stack(Arc<[usize]>);

/// Deeper frames are cut off; the kernel keeps 64.
const FRAMES: usize = 64;

impl Stack {
    /// The calling thread's stack.
    pub(crate) fn capture() -> Self {
        let mut frames = [0_usize; FRAMES];
        let mut count = 0;
        backtrace::trace(|frame| {
            frames[count] = frame.ip().addr();
            count += 1;
            count < FRAMES
        });
        Self(frames[..count].into())
    }

    /// In the place of one that was not kept.
    pub(crate) fn none() -> Self {
        Self(Arc::from([]))
    }

    pub(crate) fn addresses(&self) -> &[usize] {
        &self.0
    }
}

/// Keeps each distinct stack once.
#[derive(Debug)]
pub(crate) struct Depot(HashMap<Stack, (), BuildMultiply>);

impl Depot {
    pub(crate) const fn new() -> Self {
        Self(HashMap::with_hasher(BuildMultiply::new()))
    }

    /// How many stacks are kept.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The stored stack that equals this one. Nothing if there is none and there are so many already.
    pub(crate) fn keep(&mut self, stack: &Stack, limit: usize) -> Option<Stack> {
        if let Some((kept, ())) = self.0.get_key_value(stack) {
            return Some(kept.clone());
        }
        if self.0.len() >= limit {
            return None;
        }
        self.0.insert(stack.clone(), ());
        Some(stack.clone())
    }
}
