//! Reports about the order of locks: cycles and recursion.

use std::fmt::{self, Write};

use super::Printer;
use crate::report::{Link, LockText};

impl Printer<'_> {
    /// `print_circular_bug`.
    pub(super) fn circular(
        &mut self,
        trying: &LockText,
        holding: &LockText,
        links: &[Link],
    ) -> fmt::Result {
        self.headline("WARNING: possible circular locking dependency detected", 54)?;
        self.trying(trying, holding)?;
        writeln!(self.out, "\nwhich lock already depends on the new lock.\n")?;
        writeln!(
            self.out,
            "\nthe existing dependency chain (in reverse order) is:"
        )?;
        for (depth, link) in links.iter().enumerate().rev() {
            writeln!(self.out, "\n-> #{depth}{}:", self.class(&link.class))?;
            if let Some(stack) = &link.stack {
                self.frames(stack, "       ")?;
            }
        }
        writeln!(self.out, "\nother info that might help us debug this:\n")?;
        self.circular_scenario(trying, holding, links)
    }

    /// `print_circular_lock_scenario`: if the chain has a lock between the two, it stands for all that lies in between.
    fn circular_scenario(
        &mut self,
        trying: &LockText,
        holding: &LockText,
        links: &[Link],
    ) -> fmt::Result {
        let (source, target) = (&trying.class.name, &holding.class.name);
        let middle = links.len().checked_sub(2).and_then(|at| links.get(at));
        let parent = middle.map_or(source, |link| &link.class.name);
        if parent != source {
            writeln!(
                self.out,
                "Chain exists of:\n  {source} --> {parent} --> {target}\n"
            )?;
        }
        writeln!(self.out, " Possible unsafe locking scenario:\n")?;
        writeln!(self.out, "       CPU0                    CPU1")?;
        writeln!(self.out, "       ----                    ----")?;
        writeln!(self.out, "  {}({target});", verb(holding))?;
        writeln!(self.out, "                               lock({parent});")?;
        writeln!(self.out, "                               lock({target});")?;
        writeln!(self.out, "  {}({source});", verb(trying))?;
        writeln!(self.out, "\n *** DEADLOCK ***\n")
    }

    /// `print_deadlock_bug`.
    pub(super) fn recursive(
        &mut self,
        trying: &LockText,
        holding: &LockText,
        compared: Option<i32>,
    ) -> fmt::Result {
        self.headline("WARNING: possible recursive locking detected", 44)?;
        self.trying(trying, holding)?;
        if let Some(compared) = compared {
            writeln!(
                self.out,
                "and the lock comparison function returns {compared}:"
            )?;
        }
        writeln!(self.out, "\nother info that might help us debug this:")?;
        writeln!(self.out, " Possible unsafe locking scenario:\n")?;
        writeln!(self.out, "       CPU0\n       ----")?;
        writeln!(self.out, "  lock({});", holding.class.name)?;
        writeln!(self.out, "  lock({});", trying.class.name)?;
        writeln!(self.out, "\n *** DEADLOCK ***\n")?;
        writeln!(self.out, " May be due to missing lock nesting notation\n")
    }
}

/// `rlock` for readers, as in the scenarios.
fn verb(lock: &LockText) -> &'static str {
    if lock.read { "rlock" } else { "lock" }
}
