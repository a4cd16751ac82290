//! What was carried out and what was refused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use netlink::genl::Op;
use netlink::{KernelVersion, cmd};

/// A command, and whether as a dump.
pub(crate) type Half = (u8, bool);

/// What the kernel never carries out.
const NEVER: [Half; 2] = [(cmd::PORT_PARAM_GET, false), (cmd::PORT_PARAM_SET, false)];

/// What has to happen besides commands.
const DEEDS: [&str; 8] = [
    "netdevsim moved",
    "switch moved",
    "adapter moved",
    "netdevsim in switchdev mode",
    "adapter in switchdev mode",
    "sub-function asked",
    "line card asked",
    "fault happened",
];

#[derive(Default)]
struct Counts {
    commands: BTreeMap<Half, [u64; 2]>,
    deeds: BTreeMap<&'static str, u64>,
}

/// Counts for all threads.
#[derive(Default)]
pub(crate) struct Tally(Mutex<Counts>);

impl Tally {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A command was answered.
    pub(crate) fn answered(&self, half: Half, carried_out: bool) {
        let mut counts = self.counts();
        counts.commands.entry(half).or_default()[usize::from(carried_out)] += 1;
    }

    /// Something else was done.
    pub(crate) fn did(&self, deed: &'static str) {
        assert!(DEEDS.contains(&deed), "{deed}");
        *self.counts().deeds.entry(deed).or_default() += 1;
    }

    /// How many commands were carried out, and how many refused.
    pub(crate) fn totals(&self) -> (u64, u64) {
        let counts = self.counts();
        let all = counts.commands.values();
        all.fold((0, 0), |(done, refused), [no, yes]| {
            (done + yes, refused + no)
        })
    }

    /// Commands of which a half was never carried out.
    pub(crate) fn wanted(&self, kernel: KernelVersion) -> Vec<u8> {
        let counts = self.counts();
        let done = |half| {
            counts
                .commands
                .get(&half)
                .is_some_and(|[_, done]| *done > 0)
        };
        let ops = netlink::devlink::family(kernel).ops.iter();
        let wanted = ops.filter(|op| halves(op).any(|half| !done(half) && !NEVER.contains(&half)));
        wanted.map(|op| op.cmd).collect()
    }

    /// Whether nothing is missing.
    pub(crate) fn is_complete(&self, kernel: KernelVersion) -> bool {
        self.missing(kernel).is_empty()
    }

    /// What has not happened yet: commands that were never carried out or never refused, and other deeds.
    pub(crate) fn missing(&self, kernel: KernelVersion) -> BTreeSet<String> {
        let counts = self.counts();
        let mut missing = BTreeSet::new();
        for op in netlink::devlink::family(kernel).ops {
            for half in halves(op) {
                let [refused, done] = counts.commands.get(&half).copied().unwrap_or_default();
                let name = format!("{}{}", half.0, if half.1 { " dump" } else { "" });
                if done == 0 && !NEVER.contains(&half) {
                    missing.insert(format!("{name} carried out"));
                }
                if refused == 0 && !half.1 {
                    missing.insert(format!("{name} refused"));
                }
            }
        }
        let undone = DEEDS
            .iter()
            .filter(|deed| !counts.deeds.contains_key(*deed));
        missing.extend(undone.map(ToString::to_string));
        missing
    }
}

fn halves(op: &Op) -> impl Iterator<Item = Half> {
    let doit = op.doit.is_some().then_some((op.cmd, false));
    let dump = op.dump.is_some().then_some((op.cmd, true));
    doit.into_iter().chain(dump)
}
