//! Reports that are not about the order of locks.

use std::fmt::{self, Write};
use std::panic::Location;

use super::Printer;
use crate::report::{ClassText, LockText};

impl Printer<'_> {
    /// `print_unlock_imbalance_bug`.
    pub(super) fn bad_unlock(&mut self, lock: &ClassText) -> fmt::Result {
        self.headline("WARNING: bad unlock balance detected!", 37)?;
        writeln!(
            self.out,
            "{} is trying to release lock ({}) at:",
            self.who(),
            lock.name
        )?;
        if let Some(frame) = self.stack_lines(&self.report.stack).first() {
            writeln!(self.out, "{frame}")?;
        }
        writeln!(self.out, "but there are no more locks to release!")?;
        writeln!(self.out, "\nother info that might help us debug this:")
    }

    /// `print_lock_invalid_wait_context`.
    pub(super) fn wait_context(&mut self, lock: &LockText, context: u8) -> fmt::Result {
        self.headline("[ BUG: Invalid wait context ]", 29)?;
        writeln!(
            self.out,
            "{} is trying to lock:\n{}",
            self.who(),
            self.lock(lock)
        )?;
        let context = self.wait_number(if context == u8::MAX { 5 } else { context });
        writeln!(self.out, "other info that might help us debug this:")?;
        writeln!(self.out, "context-{{{context}:{context}}}")
    }

    /// `print_lock_nested_lock_not_held`.
    pub(super) fn nest_not_taken(
        &mut self,
        address: usize,
        lock: &ClassText,
        nest: &ClassText,
    ) -> fmt::Result {
        self.headline("WARNING: Nested lock was not taken", 34)?;
        let (who, class) = (self.who(), self.class(lock));
        writeln!(self.out, "{who} is trying to lock:\n{address:016x}{class}")?;
        writeln!(self.out, "\nbut this task is not holding:\n{}", nest.name)?;
        writeln!(self.out, "\nother info that might help us debug this:")
    }

    /// `print_freed_lock_bug`.
    pub(super) fn held_freed(&mut self, lock: &LockText, size: usize) -> fmt::Result {
        self.headline("WARNING: held lock freed!", 25)?;
        let (who, from) = (self.who(), lock.address);
        let to = from + size - 1;
        writeln!(
            self.out,
            "{who} is freeing memory {from:016x}-{to:016x}, with a lock still held there!\n{}",
            self.lock(lock)
        )
    }

    /// `print_held_locks_bug`.
    pub(super) fn still_held(&mut self) -> fmt::Result {
        self.headline(
            &format!("WARNING: {} still has locks held!", self.who()),
            36,
        )
    }

    /// `WARN`: what the kernel prints where an assertion fails.
    pub(super) fn warning(&mut self, text: &str, at: Option<&Location<'_>>) -> fmt::Result {
        let task = &self.report.task;
        writeln!(self.out, "------------[ cut here ]------------\n{text}")?;
        write!(
            self.out,
            "WARNING: CPU: {} PID: {}",
            task.cpu, task.identity.tid
        )?;
        if let Some(at) = at {
            write!(self.out, " at {}:{}", at.file(), at.line())?;
        }
        writeln!(self.out)
    }

    /// `print_lockdep_off`, as far as it applies: here validation goes on.
    pub(super) fn limit(&mut self, what: &str, limit: usize) -> fmt::Result {
        writeln!(self.out, "BUG: {what} too low!")?;
        writeln!(
            self.out,
            "It is {limit}; what is known so far is still checked."
        )
    }
}
