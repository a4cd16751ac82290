//! The stacks in a report: what is shown of them, and how.

use std::collections::HashMap;
use std::fmt::{self, Write};

use super::Printer;
use crate::report::LockText;
use crate::report::symbol::{self, Function};
use crate::stack::Stack;

impl Printer<'_> {
    /// The function that took a lock: the compiled one at its code address, to which offset and size belong; if that is the
    /// validator's own, the innermost one in it that is not. The line that took it if no function is known.
    pub(super) fn place(&self, lock: &LockText) -> String {
        let functions = if lock.ip == 0 {
            Vec::new()
        } else {
            symbol::functions(lock.ip)
        };
        match (
            functions
                .last()
                .filter(|compiled| !is_own(compiled))
                .or_else(|| functions.iter().find(|function| !is_own(function))),
            lock.site,
        ) {
            (Some(function), _) => self.function(function),
            (None, Some(site)) => format!("{}:{}", site.file(), site.line()),
            (None, None) => "?".into(),
        }
    }

    pub(super) fn frames(&mut self, stack: &Stack, indent: &str) -> fmt::Result {
        for line in self.stack_lines(stack) {
            writeln!(self.out, "{indent}{line}")?;
        }
        Ok(())
    }

    pub(super) fn stack_lines(&self, stack: &Stack) -> Vec<String> {
        let functions: Vec<Function> = stack
            .addresses()
            .iter()
            .flat_map(|&address| symbol::functions(address))
            .collect();
        trim(&functions)
            .iter()
            .filter(|function| !is_plumbing(function))
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

/// Names stacks for machines to read: each address is looked up once.
#[derive(Debug, Default)]
pub(crate) struct Namer(HashMap<usize, Vec<Function>>);

impl Namer {
    /// The functions of a stack as a report shows them, without offsets.
    pub(crate) fn lines(&mut self, stack: &Stack) -> Vec<String> {
        let mut functions = Vec::new();
        for &address in stack.addresses() {
            let known = self
                .0
                .entry(address)
                .or_insert_with(|| symbol::functions(address));
            functions.extend_from_slice(known);
        }
        let line = |function: &Function| match &function.inlined_at {
            Some((file, line)) => format!("{} {file}:{line}", function.name),
            None => function.name.clone(),
        };
        let shown = trim(&functions)
            .iter()
            .filter(|function| !is_plumbing(function));
        shown.map(line).collect()
    }
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

/// Whether a function only hands a call on: what a closure or a caught panic adds to a stack.
fn is_plumbing(function: &Function) -> bool {
    const PLUMBING: [&str; 5] = [
        "core::ops::function::",
        "core::panic::unwind_safe::",
        "std::panicking::",
        "std::panic::",
        "__rust_try",
    ];
    PLUMBING
        .iter()
        .any(|plumbing| function.name.contains(plumbing))
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
}
