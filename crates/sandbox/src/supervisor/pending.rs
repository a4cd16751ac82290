//! Whether a thread has a signal to take.
//!
//! A thread whose call the supervisor has begun to serve waits until it is answered or killed; a signal with a handler,
//! or one that stops it, only becomes pending. For calls that are answered at once that is what one wants. A receive that
//! waits for data must be interrupted by the supervisor itself, which looks here from time to time.

use std::fs;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pending {
    /// No signal, or only blocked ones.
    Nothing,
    /// This thread has one to take.
    Certain,
    /// The process has one, which another of its threads may take as well.
    Perhaps,
}

/// Looks at the thread `tid`.
pub(super) fn of_thread(tid: u32) -> Pending {
    fs::read_to_string(format!("/proc/{tid}/status"))
        .ok()
        .and_then(|status| judge(&status))
        .unwrap_or(Pending::Nothing)
}

fn judge(status: &str) -> Option<Pending> {
    let field = |name: &str| {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(str::trim)
    };
    let set = |name| u64::from_str_radix(field(name)?, 16).ok();
    let blocked = set("SigBlk")?;
    if set("SigPnd")? & !blocked != 0 {
        return Some(Pending::Certain);
    }
    if set("ShdPnd")? & !blocked == 0 {
        return Some(Pending::Nothing);
    }
    // The kernel gives a process's signal to its first thread if that does not block it.
    let alone = field("Threads")? == "1" || field("Tgid")? == field("Pid")?;
    Some(if alone {
        Pending::Certain
    } else {
        Pending::Perhaps
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(pid: &str, threads: &str, own: &str, shared: &str, blocked: &str) -> String {
        format!(
            "Name:\tx\nTgid:\t7\nPid:\t{pid}\nThreads:\t{threads}\nSigPnd:\t{own}\nShdPnd:\t{shared}\n\
             SigBlk:\t{blocked}\n"
        )
    }

    #[test]
    fn signals_are_told_apart() {
        let cases = [
            ("7", "1", "0", "0", "0", Pending::Nothing),
            ("7", "1", "4000", "0", "4000", Pending::Nothing),
            ("9", "2", "4000", "0", "0", Pending::Certain),
            ("7", "2", "0", "2", "4000", Pending::Certain),
            ("9", "2", "0", "2", "0", Pending::Perhaps),
        ];
        for (pid, threads, own, shared, blocked, expected) in cases {
            assert_eq!(
                judge(&status(pid, threads, own, shared, blocked)),
                Some(expected)
            );
        }
        assert_eq!(of_thread(std::process::id()), Pending::Nothing);
    }
}
