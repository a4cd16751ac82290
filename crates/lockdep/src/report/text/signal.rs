//! Reports about locks that signal handlers take. The kernel's words are kept: a handler is its hard interrupt.

use std::fmt::{self, Write};

use super::Printer;
use crate::report::{ClassText, LockText, UsageLink};
use crate::stack::Stack;

impl Printer<'_> {
    /// `print_usage_bug`.
    pub(super) fn inconsistent(
        &mut self,
        lock: &LockText,
        (old, new): (&str, &str),
        registered: Option<&Stack>,
        [in_hard, in_soft, hard, soft]: [u8; 4],
    ) -> fmt::Result {
        self.headline("WARNING: inconsistent lock state", 32)?;
        writeln!(self.out, "inconsistent {{{old}}} -> {{{new}}} usage.")?;
        let who = self.who();
        writeln!(
            self.out,
            "{who} [HC{in_hard}[0]:SC{in_soft}[0]:HE{hard}:SE{soft}] takes:"
        )?;
        writeln!(
            self.out,
            "{}\n{{{old}}} state was registered at:",
            self.lock(lock)
        )?;
        if let Some(stack) = registered {
            self.frames(stack, "  ")?;
        }
        writeln!(self.out, "\nother info that might help us debug this:")?;
        writeln!(self.out, " Possible unsafe locking scenario:\n")?;
        writeln!(self.out, "       CPU0\n       ----")?;
        let name = &lock.class.name;
        writeln!(
            self.out,
            "  lock({name});\n  <Interrupt>\n    lock({name});"
        )?;
        writeln!(self.out, "\n *** DEADLOCK ***\n")
    }

    /// `print_irq_inversion_bug`.
    pub(super) fn inversion(
        &mut self,
        lock: &LockText,
        other: &ClassText,
        (interrupt, other_is_safe): (&str, bool),
        path: &[UsageLink],
    ) -> fmt::Result {
        self.headline(
            "WARNING: possible irq lock inversion dependency detected",
            56,
        )?;
        let (who, lock) = (self.who(), self.lock(lock));
        writeln!(self.out, "{who} just changed the state of lock:\n{lock}")?;
        let what = if other_is_safe {
            format!("but this lock was taken by another, {interrupt}-safe lock in the past:")
        } else {
            format!("but this lock took another, {interrupt}-unsafe lock in the past:")
        };
        writeln!(self.out, "{what}\n{}\n", self.class(other))?;
        writeln!(
            self.out,
            "\nand interrupts could create inverse lock ordering between them.\n"
        )?;
        writeln!(self.out, "\nother info that might help us debug this:")?;
        if let (Some(safe), Some(last)) = (path.first(), path.last()) {
            let middle = if path.len() > 2 { &path[1] } else { last };
            self.scenario(&safe.class.name, &middle.class.name, &last.class.name)?;
        }
        self.held()?;
        writeln!(
            self.out,
            "\nthe shortest dependencies between 2nd lock and 1st lock:"
        )?;
        self.dependencies(path)
    }

    /// `print_bad_irq_dependency`.
    pub(super) fn unsafe_order(
        &mut self,
        interrupt: &str,
        (trying, holding): (&LockText, &LockText),
        (safe, safe_at): (&ClassText, Option<&Stack>),
        (open, open_at): (&ClassText, Option<&Stack>),
        (before, after): (&[UsageLink], &[UsageLink]),
    ) -> fmt::Result {
        self.headline(
            &format!("WARNING: {interrupt}-safe -> {interrupt}-unsafe lock order detected"),
            53,
        )?;
        let (who, lock) = (self.who(), self.lock(trying));
        writeln!(
            self.out,
            "{who} [HC0[0]:SC0[0]:HE0:SE1] is trying to acquire:\n{lock}"
        )?;
        writeln!(
            self.out,
            "\nand this task is already holding:\n{}",
            self.lock(holding)
        )?;
        writeln!(self.out, "which would create a new lock dependency:")?;
        let (from, to) = (self.class(&holding.class), self.class(&trying.class));
        writeln!(self.out, "{from} ->{to}")?;
        writeln!(
            self.out,
            "\nbut this new dependency connects a {interrupt}-irq-safe lock:"
        )?;
        writeln!(self.out, "{}", self.class(safe))?;
        writeln!(self.out, "\n... which became {interrupt}-irq-safe at:")?;
        if let Some(stack) = safe_at {
            self.frames(stack, "  ")?;
        }
        writeln!(
            self.out,
            "\nto a {interrupt}-irq-unsafe lock:\n{}",
            self.class(open)
        )?;
        writeln!(
            self.out,
            "\n... which became {interrupt}-irq-unsafe at:\n..."
        )?;
        if let Some(stack) = open_at {
            self.frames(stack, "  ")?;
        }
        writeln!(self.out, "\nother info that might help us debug this:\n")?;
        let middle = match &holding.class.name {
            held if *held == safe.name => &trying.class.name,
            held => held,
        };
        self.scenario(&safe.name, middle, &open.name)?;
        self.held()?;
        writeln!(
            self.out,
            "\nthe dependencies between {interrupt}-irq-safe lock and the holding lock:"
        )?;
        self.dependencies(before)?;
        writeln!(
            self.out,
            "\nthe dependencies between the lock to be acquired"
        )?;
        writeln!(self.out, " and {interrupt}-irq-unsafe lock:")?;
        self.dependencies(after)
    }

    /// `print_irq_lock_scenario`.
    fn scenario(&mut self, safe: &str, middle: &str, open: &str) -> fmt::Result {
        if middle != open {
            writeln!(
                self.out,
                "Chain exists of:\n  {safe} --> {middle} --> {open}\n"
            )?;
        }
        writeln!(self.out, " Possible interrupt unsafe locking scenario:\n")?;
        writeln!(self.out, "       CPU0                    CPU1")?;
        writeln!(self.out, "       ----                    ----")?;
        writeln!(self.out, "  lock({open});")?;
        writeln!(
            self.out,
            "                               local_irq_disable();"
        )?;
        writeln!(self.out, "                               lock({safe});")?;
        writeln!(self.out, "                               lock({middle});")?;
        writeln!(
            self.out,
            "  <Interrupt>\n    lock({safe});\n\n *** DEADLOCK ***\n"
        )
    }

    /// `print_shortest_lock_dependencies`.
    fn dependencies(&mut self, path: &[UsageLink]) -> fmt::Result {
        for link in path {
            writeln!(self.out, "->{} {{", self.class(&link.class))?;
            for (usage, stack) in &link.usages {
                writeln!(self.out, "   {usage} at:")?;
                self.frames(stack, "                    ")?;
            }
            writeln!(self.out, " }}")?;
            if let Some(stack) = &link.acquired {
                writeln!(self.out, " ... acquired at:")?;
                self.frames(stack, "   ")?;
            }
            writeln!(self.out)?;
        }
        Ok(())
    }
}
