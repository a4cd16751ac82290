//! Reports as the kernel prints them.
//!
//! The layout is that of `kernel/locking/lockdep.c` (`print_circular_bug`, `print_deadlock_bug`, `print_unlock_imbalance_bug`), so that whoever
//! and whatever reads kernel reports reads these. What differs is what has to: a stack begins with the lock's own method,
//! without the validator's insides, and ends where the thread's own code ends.

pub(crate) mod frames;
mod order;
mod other;
mod signal;

use std::fmt::{self, Write};

use super::{Body, ClassText, LockText, Report};
use crate::class::Wait;

/// Which kernel a report pretends to come from, and how to print what depends on that.
#[derive(Clone, Debug)]
pub struct Banner {
    /// As `uname -r` prints it. From 6.13 on the kernel numbers wait types so that a mutex is `{4:4}`; before, `{3:3}`.
    pub release: String,
    /// What stands behind the release: `#1`.
    pub build: String,
    /// `Not tainted`, or what taints.
    pub taint: String,
    /// Crates that stand for kernel modules: their functions are followed by `[name]`.
    pub modules: Vec<String>,
}

impl Default for Banner {
    fn default() -> Self {
        Self {
            release: "7.2.0".into(),
            build: "#1".into(),
            taint: "Not tainted".into(),
            modules: Vec::new(),
        }
    }
}

impl Banner {
    /// The first two numbers of the release; a release without them counts as the newest.
    fn version(&self) -> (u32, u32) {
        let mut numbers = self
            .release
            .split(|c: char| !c.is_ascii_digit())
            .map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
            _ => (u32::MAX, 0),
        }
    }
}

impl Report {
    /// The report as the kernel prints it, without time stamps.
    #[must_use]
    pub fn kernel_text(&self, banner: &Banner) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = Printer {
            out: &mut text,
            banner,
            report: self,
        }
        .print();
        text
    }
}

struct Printer<'a> {
    out: &'a mut String,
    banner: &'a Banner,
    report: &'a Report,
}

impl Printer<'_> {
    fn print(&mut self) -> fmt::Result {
        match &self.report.body {
            Body::Circular {
                trying,
                holding,
                links,
            } => self.circular(trying, holding, links)?,
            Body::Recursive {
                trying,
                holding,
                compared,
            } => {
                self.recursive(trying, holding, *compared)?;
            }
            Body::Inconsistent {
                lock,
                old,
                new,
                registered,
                state,
            } => {
                self.inconsistent(lock, (old, new), registered.as_ref(), *state)?;
            }
            // The locks held stand in the middle of these two.
            Body::Inversion {
                lock,
                other,
                interrupt,
                other_is_safe,
                path,
            } => {
                self.inversion(lock, other, (interrupt, *other_is_safe), path)?;
                return self.backtrace();
            }
            Body::UnsafeOrder {
                trying,
                holding,
                interrupt,
                safe,
                unsafe_,
                before,
                after,
            } => {
                let (safe_at, unsafe_at) = (safe.1.as_ref(), unsafe_.1.as_ref());
                let (safe, unsafe_) = ((&safe.0, safe_at), (&unsafe_.0, unsafe_at));
                self.unsafe_order(interrupt, (trying, holding), safe, unsafe_, (before, after))?;
                return self.backtrace();
            }
            Body::WaitContext { lock, context } => self.wait_context(lock, *context)?,
            Body::NestNotTaken {
                address,
                lock,
                nest,
            } => {
                self.nest_not_taken(*address, lock, nest)?;
            }
            Body::BadUnlock { lock } => self.bad_unlock(lock)?,
            Body::HeldFreed { lock, size } => self.held_freed(lock, *size)?,
            Body::StillHeld => self.still_held()?,
            Body::Warn { text, at } => self.warning(text, *at)?,
            Body::Limit { what, limit } => self.limit(what, *limit)?,
        }
        self.held()?;
        self.backtrace()
    }

    fn headline(&mut self, headline: &str, width: usize) -> fmt::Result {
        let Banner {
            release,
            build,
            taint,
            ..
        } = self.banner;
        writeln!(
            self.out,
            "{}\n{headline}\n{release} {build} {taint}\n{}",
            "=".repeat(width),
            "-".repeat(width)
        )
    }

    fn trying(&mut self, trying: &LockText, holding: &LockText) -> fmt::Result {
        writeln!(
            self.out,
            "{} is trying to acquire lock:\n{}",
            self.who(),
            self.lock(trying)
        )?;
        writeln!(
            self.out,
            "\nbut task is already holding lock:\n{}",
            self.lock(holding)
        )
    }

    /// `lockdep_print_held_locks`.
    fn held(&mut self) -> fmt::Result {
        let held = &self.report.held;
        match held.len() {
            0 => writeln!(self.out, "no locks held by {}.", self.who()),
            1 => writeln!(self.out, "1 lock held by {}:", self.who()),
            count => writeln!(self.out, "{count} locks held by {}:", self.who()),
        }?;
        for (at, lock) in held.iter().enumerate() {
            writeln!(self.out, " #{at}: {}", self.lock(lock))?;
        }
        Ok(())
    }

    /// `dump_stack`.
    fn backtrace(&mut self) -> fmt::Result {
        let task = &self.report.task;
        let Banner {
            release,
            build,
            taint,
            ..
        } = self.banner;
        writeln!(self.out, "\nstack backtrace:")?;
        write!(self.out, "CPU: {} ", task.cpu)?;
        if self.banner.version() >= (6, 12) {
            write!(self.out, "UID: {} ", task.uid)?;
        }
        writeln!(
            self.out,
            "PID: {} Comm: {} {taint} {release} {build} ",
            task.identity.tid, task.identity.comm
        )?;
        if let Some(context) = &task.context {
            writeln!(self.out, "{context}")?;
        }
        writeln!(self.out, "Call Trace:\n <TASK>")?;
        self.frames(&self.report.stack, " ")?;
        writeln!(self.out, " </TASK>")
    }

    fn who(&self) -> String {
        format!(
            "{}/{}",
            self.report.task.identity.comm, self.report.task.identity.tid
        )
    }

    /// `print_lock_name`: ` (name){usage}-{outer:inner}`.
    fn class(&self, class: &ClassText) -> String {
        let Wait { outer, inner, .. } = class.wait;
        let (outer, inner) = (self.wait_number(outer), self.wait_number(inner));
        format!(
            " ({}){{{}}}-{{{outer}:{inner}}}",
            class.name,
            String::from_iter(class.usage)
        )
    }

    /// Up to 6.12 a kernel did not by default tell spinning locks that may sleep from those that may not.
    fn wait_number(&self, wait: u8) -> u8 {
        if self.banner.version() >= (6, 13) || wait < 3 {
            wait
        } else {
            wait - 1
        }
    }

    /// `print_lock`.
    fn lock(&self, lock: &LockText) -> String {
        format!(
            "{:016x}{}, at: {}",
            lock.address,
            self.class(&lock.class),
            self.place(lock)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mutex_has_the_number_of_its_kernel() {
        let version = |release: &str| {
            Banner {
                release: release.into(),
                ..Banner::default()
            }
            .version()
        };
        assert_eq!(version("6.12.117-lockdep"), (6, 12));
        assert_eq!(version("7.2.0"), (7, 2));
        assert!(version("next") > (7, 2));
    }
}
