//! Small programs of locks: what they are made of, how they are made up, and how one is made smaller.

use std::fmt;

use lockdep::Mode;

/// What a lock is, and with that how it can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `lockdep::Mutex`.
    Mutex,
    /// `lockdep::RwLock`: a waiting writer goes first.
    RwLock,
    /// A lock whose readers may also be recursive ones, who never queue behind a waiting writer.
    Recursive,
}

/// One step of a thread. Acquisitions are numbered within a thread, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Acquire {
        id: usize,
        lock: usize,
        mode: Mode,
        /// Not waited for. If it fails, nothing is taken until the step that would release it.
        attempt: bool,
    },
    Release {
        id: usize,
    },
}

impl Op {
    pub(crate) const fn id(self) -> usize {
        match self {
            Self::Acquire { id, .. } | Self::Release { id } => id,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) locks: Vec<Kind>,
    pub(crate) threads: Vec<Vec<Op>>,
}

/// The same numbers from the same seed on every machine (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

impl Program {
    /// The program of this seed: 2 to 4 threads, 2 to 5 locks, up to 5 acquisitions a thread, and in some a gate that most
    /// threads take around everything.
    pub(crate) fn random(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let kind = |random: &mut Random| match random.below(5) {
            0 | 1 => Kind::Mutex,
            2 | 3 => Kind::RwLock,
            _ => Kind::Recursive,
        };
        let locks: Vec<Kind> = (0..2 + random.below(4))
            .map(|_| kind(&mut random))
            .collect();
        let count = 2 + random.below(3);
        let gated = locks.len() > 2 && random.percent(35);
        let threads = (0..count).map(|_| {
            let longest = if count == 4 { 3 } else { 5 };
            Self::thread(&mut random, &locks, longest, gated)
        });
        let threads = threads.collect();
        Self { locks, threads }
    }

    /// The program of this seed, with some of the readers of recursive locks upgradable ones.
    pub(crate) fn random_upgradable(seed: u64) -> Self {
        let mut program = Self::random(seed);
        let mut random = Random(seed);
        for lock in &mut program.locks {
            if *lock == Kind::RwLock {
                *lock = Kind::Recursive;
            }
        }
        let locks = program.locks.clone();
        for ops in &mut program.threads {
            let mut held: Vec<(usize, usize, Mode)> = Vec::new();
            for op in ops {
                match op {
                    Op::Acquire { id, lock, mode, .. } => {
                        // Run alone, an attempt must not fail.
                        let again = held.iter().any(|(_, of, _)| of == lock);
                        if locks[*lock] == Kind::Recursive
                            && *mode != Mode::Write
                            && !again
                            && random.percent(60)
                        {
                            *mode = Mode::Upgradable;
                        }
                        held.push((*id, *lock, *mode));
                    }
                    Op::Release { id } => held.retain(|(of, ..)| of != id),
                }
            }
        }
        program
    }

    /// The program of these threads: `A` for writing, `r`, `R` and `u` before it for reading, `?` after it for an attempt, `-A` to release.
    pub(crate) fn parse(locks: &[Kind], threads: &[&str]) -> Self {
        let thread = |text: &&str| {
            let mut open: Vec<(char, usize)> = Vec::new();
            let mut ops = Vec::new();
            for (id, word) in text.split_whitespace().enumerate() {
                let name = word.trim_matches(['-', 'r', 'R', 'u', '?']).chars().next();
                let name = name.expect("a step names a lock");
                if word.starts_with('-') {
                    let at = open.iter().rposition(|&(of, _)| of == name);
                    let (_, id) = open.remove(at.expect("only what is held is released"));
                    ops.push(Op::Release { id });
                    continue;
                }
                open.push((name, id));
                ops.push(Op::Acquire {
                    id,
                    lock: usize::from(name as u8 - b'A'),
                    mode: match word.as_bytes()[0] {
                        b'r' => Mode::Read,
                        b'R' => Mode::RecursiveRead,
                        b'u' => Mode::Upgradable,
                        _ => Mode::Write,
                    },
                    attempt: word.ends_with('?'),
                });
            }
            ops
        };
        Self {
            locks: locks.to_vec(),
            threads: threads.iter().map(thread).collect(),
        }
    }

    fn thread(random: &mut Random, locks: &[Kind], longest: usize, gated: bool) -> Vec<Op> {
        let mut ops = Vec::new();
        let mut held: Vec<(usize, usize, Mode)> = Vec::new();
        let mut ids = 0..;
        let mut take = |lock, mode, attempt, ops: &mut Vec<Op>| {
            let id = ids.next().expect("the numbers do not end");
            ops.push(Op::Acquire {
                id,
                lock,
                mode,
                attempt,
            });
            (id, lock, mode)
        };
        let gate = (gated && random.percent(85)).then(|| {
            let mode = Self::mode(random, locks[0]);
            take(0, mode, false, &mut ops).0
        });
        let mut left = 1 + random.below(longest);
        while left > 0 || !held.is_empty() {
            if left > 0 && (held.is_empty() || random.percent(65)) {
                left -= 1;
                let lock = usize::from(gated) + random.below(locks.len() - usize::from(gated));
                let mode = Self::mode(random, locks[lock]);
                let attempt = random.percent(15);
                let again = held.iter().find(|&&(_, other, _)| other == lock);
                if let Some(&(_, _, before)) = again {
                    let reads = mode != Mode::Write && before != Mode::Write;
                    // Run alone, an attempt must not fail; and who waits for itself for certain is dull.
                    if !reads && (attempt || !random.percent(5)) {
                        continue;
                    }
                }
                held.push(take(lock, mode, attempt, &mut ops));
            } else {
                let newest = held.len() - 1;
                let at = if random.percent(75) {
                    newest
                } else {
                    random.below(held.len())
                };
                let (id, ..) = held.remove(at);
                ops.push(Op::Release { id });
            }
        }
        ops.extend(gate.map(|id| Op::Release { id }));
        ops
    }

    fn mode(random: &mut Random, kind: Kind) -> Mode {
        match (kind, random.below(4)) {
            (Kind::Mutex, _) | (_, 0) | (Kind::RwLock, 1) => Mode::Write,
            (Kind::RwLock, _) | (Kind::Recursive, 1) => Mode::Read,
            (Kind::Recursive, _) => Mode::RecursiveRead,
        }
    }

    /// Every program that has one acquisition or one thread less.
    pub(crate) fn smaller(&self) -> Vec<Self> {
        let mut all = Vec::new();
        for thread in 0..self.threads.len() {
            let mut without = self.clone();
            without.threads.remove(thread);
            all.push(without);
            let ids = self.threads[thread].iter().filter_map(|op| match op {
                Op::Acquire { id, .. } => Some(*id),
                Op::Release { .. } => None,
            });
            for id in ids {
                let mut without = self.clone();
                without.threads[thread].retain(|op| op.id() != id);
                all.push(without);
            }
        }
        all
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, ops) in self.threads.iter().enumerate() {
            write!(f, "  thread {at}:")?;
            let name = |lock: usize| char::from(b'A' + lock as u8);
            let mut locks = std::collections::HashMap::new();
            for op in ops {
                match *op {
                    Op::Acquire {
                        id,
                        lock,
                        mode,
                        attempt,
                    } => {
                        locks.insert(id, name(lock));
                        let mode = match mode {
                            Mode::Write => "",
                            Mode::Read => "r",
                            Mode::RecursiveRead => "R",
                            Mode::Upgradable => "u",
                        };
                        let attempt = if attempt { "?" } else { "" };
                        write!(f, " {mode}{}{attempt}", name(lock))?;
                    }
                    Op::Release { id } => write!(f, " -{}", locks[&id])?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
