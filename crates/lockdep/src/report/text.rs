//! Reports as the kernel prints them.
//!
//! The layout is that of `kernel/locking/lockdep.c` (`print_circular_bug`, `print_deadlock_bug`, `print_unlock_imbalance_bug`), so that whoever
//! and whatever reads kernel reports reads these. What differs is what has to: a stack begins with the lock's own method,
//! without the validator's insides, and ends where the thread's own code ends.

use std::fmt::{self, Write};

use super::symbol::{self, Function};
use super::{Body, ClassText, Link, LockText, Report};
use crate::class::Kind;
use crate::stack::Stack;

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
            } => self.circular(trying, holding, links),
            Body::Recursive { trying, holding } => self.recursive(trying, holding),
            Body::BadUnlock { lock } => self.bad_unlock(lock),
        }?;
        self.held()?;
        self.backtrace()
    }

    /// `print_circular_bug`.
    fn circular(&mut self, trying: &LockText, holding: &LockText, links: &[Link]) -> fmt::Result {
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
    fn recursive(&mut self, trying: &LockText, holding: &LockText) -> fmt::Result {
        self.headline("WARNING: possible recursive locking detected", 44)?;
        self.trying(trying, holding)?;
        writeln!(self.out, "\nother info that might help us debug this:")?;
        writeln!(self.out, " Possible unsafe locking scenario:\n")?;
        writeln!(self.out, "       CPU0\n       ----")?;
        writeln!(self.out, "  lock({});", holding.class.name)?;
        writeln!(self.out, "  lock({});", trying.class.name)?;
        writeln!(self.out, "\n *** DEADLOCK ***\n")?;
        writeln!(self.out, " May be due to missing lock nesting notation\n")
    }

    /// `print_unlock_imbalance_bug`.
    fn bad_unlock(&mut self, lock: &ClassText) -> fmt::Result {
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
            task.tid, task.comm
        )?;
        if let Some(context) = &task.context {
            writeln!(self.out, "{context}")?;
        }
        writeln!(self.out, "Call Trace:\n <TASK>")?;
        self.frames(&self.report.stack, " ")?;
        writeln!(self.out, " </TASK>")
    }

    fn who(&self) -> String {
        format!("{}/{}", self.report.task.comm, self.report.task.tid)
    }

    /// `print_lock_name`: ` (name){usage}-{outer:inner}`.
    fn class(&self, class: &ClassText) -> String {
        let wait = match class.kind {
            Kind::Pseudo => 0,
            Kind::Sleep if self.banner.version() >= (6, 13) => 4,
            Kind::Sleep => 3,
        };
        format!(
            " ({}){{{}}}-{{{wait}:{wait}}}",
            class.name,
            String::from_iter(class.usage)
        )
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

    /// The function that took a lock: the innermost at its code address that is not the validator's own. The line that took
    /// it if no function is known.
    fn place(&self, lock: &LockText) -> String {
        let functions = if lock.ip == 0 {
            Vec::new()
        } else {
            symbol::functions(lock.ip)
        };
        match (
            functions.iter().find(|function| !is_own(function)),
            lock.site,
        ) {
            (Some(function), _) => self.function(function),
            (None, Some(site)) => format!("{}:{}", site.file(), site.line()),
            (None, None) => "?".into(),
        }
    }

    fn frames(&mut self, stack: &Stack, indent: &str) -> fmt::Result {
        for line in self.stack_lines(stack) {
            writeln!(self.out, "{indent}{line}")?;
        }
        Ok(())
    }

    fn stack_lines(&self, stack: &Stack) -> Vec<String> {
        let functions: Vec<Function> = stack
            .addresses()
            .iter()
            .flat_map(|&address| symbol::functions(address))
            .collect();
        trim(&functions)
            .iter()
            .map(|function| self.frame(function))
            .collect()
    }

    /// A line of a stack. An inlined function has no offset and size; it is given as the symbolised reports of syzbot give it.
    fn frame(&self, function: &Function) -> String {
        match &function.inlined_at {
            Some((file, line)) => format!("{} {file}:{line} [inline]", function.name),
            None => self.function(function),
        }
    }

    /// `name+0xoffset/0xsize [module]`.
    fn function(&self, function: &Function) -> String {
        let mut text = function.name.clone();
        if let Some((offset, size)) = function.place {
            // Writing to a string cannot fail.
            let _ = write!(text, "+{offset:#x}/{size:#x}");
        }
        let krate = crate_of(&function.name);
        if self.banner.modules.iter().any(|module| module == krate) {
            text += &format!(" [{krate}]");
        }
        text
    }
}

/// `rlock` for readers, as in the scenarios.
fn verb(lock: &LockText) -> &'static str {
    if lock.read { "rlock" } else { "lock" }
}

/// The crate that a demangled name begins with: `mlx5` in `<mlx5::Core as devlink::Ops>::reload_down`.
fn crate_of(name: &str) -> &str {
    let mut name = name;
    while let Some(rest) = ["<", "&", "*", "(", "[", "mut ", "dyn "]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
    {
        name = rest;
    }
    name.split("::").next().unwrap_or(name)
}

/// Whether a function is the validator's own: a lock's method, or what that calls.
fn is_own(function: &Function) -> bool {
    match &function.inlined_at {
        Some((file, _)) => {
            ["lockdep", "backtrace"]
                .iter()
                .any(|own| file.starts_with(own))
                && file.contains("/src/")
        }
        None => {
            let name = &function.name;
            crate_of(name) == "lockdep" && !name.contains("::tests::")
                || crate_of(name) == "backtrace"
        }
    }
}

/// Whether a function is of the standard library: it calls a closure, or stands between the thread's start and its own code.
fn is_glue(function: &Function) -> bool {
    const LIBRARY: [&str; 3] = ["core", "std", "alloc"];
    match &function.inlined_at {
        Some((file, _)) => LIBRARY.iter().any(|library| {
            file.strip_prefix(library)
                .is_some_and(|rest| rest.starts_with("/src/"))
        }),
        None => LIBRARY.contains(&crate_of(&function.name)),
    }
}

/// Cuts off what is not of the program: the validator's insides at the top, all but the method that was called; the run-time library below
/// the thread's own code.
fn trim(functions: &[Function]) -> &[Function] {
    // The first function of the program; the library may stand between two of the validator's, where it calls a closure.
    let program = functions
        .iter()
        .position(|function| !is_own(function) && !is_glue(function));
    let start = functions[..program.unwrap_or(functions.len())]
        .iter()
        .rposition(is_own)
        .unwrap_or(0);
    let end = functions
        .iter()
        .position(|function| function.name.contains("__rust_begin_short_backtrace"))
        .unwrap_or(functions.len())
        .max(start);
    let last = functions[start..end]
        .iter()
        .rposition(|function| !is_glue(function));
    &functions[start..last.map_or(end, |last| start + last + 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(functions: &[Function]) -> Vec<&str> {
        functions.iter().map(|function| &*function.name).collect()
    }

    fn stack(names: &[&str]) -> Vec<Function> {
        names
            .iter()
            .map(|&name| Function {
                name: name.into(),
                place: None,
                inlined_at: None,
            })
            .collect()
    }

    #[test]
    fn a_stack_begins_with_the_lock_and_ends_with_the_program() {
        let functions = stack(&[
            "backtrace::trace",
            "lockdep::miss::acquire",
            "std::thread::local::LocalKey<T>::with",
            "lockdep::thread::acquire",
            "lockdep::sync::mutex::Mutex<T>::lock",
            "devlink::core::pre_exit",
            "core::iter::Iterator::for_each",
            "net_core::cleanup_net",
            "core::ops::function::FnOnce::call_once",
            "std::sys::backtrace::__rust_begin_short_backtrace",
            "std::thread::lifecycle::spawn_unchecked",
            "start_thread",
        ]);
        assert_eq!(
            names(trim(&functions)),
            [
                "lockdep::sync::mutex::Mutex<T>::lock",
                "devlink::core::pre_exit",
                "core::iter::Iterator::for_each",
                "net_core::cleanup_net"
            ]
        );
    }

    #[test]
    fn a_stack_without_the_program_is_not_cut_to_nothing() {
        let functions = stack(&[
            "lockdep::miss::acquire",
            "lockdep::sync::mutex::Mutex<T>::lock",
        ]);
        assert_eq!(
            names(trim(&functions)),
            ["lockdep::sync::mutex::Mutex<T>::lock"]
        );
        assert!(trim(&[]).is_empty());
    }

    #[test]
    fn the_crate_of_a_function_is_its_module() {
        assert_eq!(crate_of("mlx5::core::unload_one"), "mlx5");
        assert_eq!(
            crate_of("<mlx5::Core as devlink::Ops>::reload_down"),
            "mlx5"
        );
        assert_eq!(crate_of("<&mut dyn netdevsim::Bus>::add"), "netdevsim");
    }

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
