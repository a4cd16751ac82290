//! `userlink run` as a command among others: statuses, signals, the shell, the closing line, and its refusals.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::machine::{DEVICE, Machine, Ran, Who, compiled, finish, is_root, skip};

/// Both kinds of users that can be had here.
fn users() -> impl Iterator<Item = Machine> {
    let root = is_root().then(|| Machine::new(Who::Root)).flatten();
    root.into_iter().chain(Machine::new(Who::User))
}

/// The lines on standard error, without empty ones.
fn lines(ran: &Ran) -> Vec<&str> {
    ran.err
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect()
}

/// A refusal is one clear sentence, perhaps two, never a trace.
#[track_caller]
fn refusal(ran: &Ran, words: &[&str]) {
    assert_ne!(ran.code, 0, "{}", ran.tail());
    assert!((1..=2).contains(&lines(ran).len()), "{}", ran.tail());
    assert!(
        !ran.err.contains("panicked") && !ran.err.contains("RUST_BACKTRACE"),
        "{}",
        ran.tail()
    );
    for word in words {
        assert!(ran.err.contains(word), "no {word:?}: {}", ran.tail());
    }
}

#[test]
fn exit_status_is_the_commands() {
    for machine in users() {
        for code in [0, 1, 7, 255] {
            assert_eq!(machine.run(&format!("exit {code}")).code, code);
        }
    }
}

#[test]
fn death_by_signal_is_told_as_a_shell_tells_it() {
    for machine in users() {
        let ran = machine.run("kill -KILL $$");
        assert_eq!(ran.code, 128 + 9, "{}", ran.tail());
    }
}

#[test]
fn command_not_found_is_127() {
    for machine in users() {
        let ran = machine.exec(&["no-such-command-anywhere"]);
        assert_eq!(ran.code, 127, "{}", ran.tail());
        assert!(
            ran.err.contains("no-such-command-anywhere"),
            "{}",
            ran.tail()
        );
        assert!(!ran.err.contains("panicked"), "{}", ran.tail());
    }
}

#[test]
fn standard_input_and_output_are_the_commands() {
    for machine in users() {
        let mut child = machine
            .command(&["cat"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(b"through and back")
            .unwrap();
        let ran = finish(child);
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (0, "through and back"),
            "{}",
            ran.tail()
        );
    }
}

#[test]
fn signals_are_passed_on() {
    for machine in users() {
        for (signal, name) in [
            (Signal::TERM, "TERM"),
            (Signal::HUP, "HUP"),
            (Signal::INT, "INT"),
            (Signal::USR1, "USR1"),
        ] {
            let script = format!(
                "trap 'echo got {name}; exit 42' {name}; echo ready; while :; do sleep 0.02; done"
            );
            // A background job of a shell has some of them ignored, and a shell cannot trap what it began with ignored.
            let command = ["env", "--default-signal", "sh", "-c", &script];
            let mut child = machine.command(&command).spawn().unwrap();
            let mut first = [0; 6];
            let out = child.stdout.as_mut().unwrap();
            std::io::Read::read_exact(out, &mut first).unwrap();
            assert_eq!(&first, b"ready\n");
            kill_process(Pid::from_child(&child), signal).unwrap();
            let ran = finish(child);
            assert_eq!(
                (ran.code, ran.out.as_str()),
                (42, format!("got {name}\n").as_str()),
                "{}",
                ran.tail()
            );
        }
    }
}

#[test]
fn no_command_is_a_shell() {
    for machine in users() {
        let mut child = machine
            .env("SHELL", "/bin/sh")
            .command(&[])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(b"devlink dev show\necho answer $((6 * 7))\nexit 5\n")
            .unwrap();
        let ran = finish(child);
        assert_eq!(ran.code, 5, "{}", ran.tail());
        assert!(
            ran.out.contains("answer 42") && ran.out.contains(DEVICE),
            "{}",
            ran.tail()
        );
    }
}

#[test]
fn closing_line_says_what_was_served() {
    for machine in users() {
        let ran = machine
            .run("devlink dev show >/dev/null; devlink dev info >/dev/null")
            .good();
        let last = *lines(&ran).last().expect("a closing line");
        let mut numbers = last
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|digits| digits.parse::<u64>().ok());
        let (sockets, requests) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        assert!(
            last.contains("socket") && last.contains("request"),
            "{}",
            ran.tail()
        );
        // Each client has one socket at least, and on it asks for the family and then for what it shows.
        assert!(
            sockets >= 2 && requests >= 4 && sockets < 20 && requests < 40,
            "{}",
            ran.tail()
        );
    }
}

#[test]
fn warns_when_nothing_opened_devlink() {
    for machine in users() {
        let ran = machine.exec(&["true"]).good();
        let last = *lines(&ran).last().expect("a closing line");
        assert!(
            last.contains("devlink") && last.contains("noth"),
            "{}",
            ran.tail()
        );
    }
}

#[test]
fn nested_run_is_refused_in_one_sentence() {
    for machine in users() {
        let ran = machine.run("userlink run true 2>&1; echo status $?").good();
        let mut inner: Vec<&str> = ran.out.lines().collect();
        let status = inner.pop().unwrap();
        assert_ne!(status, "status 0", "{}", ran.tail());
        assert!(
            (1..=2).contains(&inner.len()) && !ran.out.contains("panicked"),
            "{}",
            ran.tail()
        );
    }
}

#[test]
fn unknown_device_lists_the_valid_ones() {
    for machine in users() {
        let ran = machine.with(&["--device", "toaster"]).exec(&["true"]);
        refusal(&ran, &["toaster", "mlx5", "netdevsim"]);
        assert_eq!(lines(&ran).len(), 1, "{}", ran.tail());
    }
}

#[test]
fn unknown_kernel_lists_the_valid_ones() {
    for machine in users() {
        for version in ["5.4", "banana", "6", "6.12.1.1", ""] {
            let ran = machine.clone().with(&["--kernel", version]).exec(&["true"]);
            refusal(&ran, &["6.1", "6.12", "7.2"]);
            assert_eq!(lines(&ran).len(), 1, "{}", ran.tail());
        }
    }
}

#[test]
fn dmesg_has_the_kernels_timestamps() {
    for machine in users() {
        let ran = machine.run("userlink dmesg").good();
        assert!(ran.out.lines().count() >= 1, "{}", ran.tail());
        for line in ran.out.lines() {
            let stamp = line
                .strip_prefix('[')
                .and_then(|rest| rest.split_once("] "))
                .map(|(stamp, _)| stamp.trim_start());
            let micros = stamp
                .and_then(|stamp| stamp.split_once('.'))
                .map(|(_, micros)| micros);
            assert!(
                micros.is_some_and(|m| m.len() == 6 && m.bytes().all(|b| b.is_ascii_digit())),
                "{line:?}"
            );
        }
    }
}

#[test]
fn dmesg_outside_a_machine_is_one_sentence() {
    let Some(machine) = Machine::new(Who::User) else {
        return;
    };
    let ran = machine.outside("TMPDIR=/nonexistent userlink dmesg");
    refusal(&ran, &["userlink run"]);
}

/// Runs `userlink run true` on a system that refuses what `what` says (`clients/c/refuse.c`).
fn refused(what: &str, words: &[&str]) {
    let Some(machine) = Machine::new(Who::User) else {
        return;
    };
    let refuse = compiled("refuse");
    let ran = machine.outside(&format!("{refuse} {what} userlink run true"));
    refusal(&ran, words);
}

#[test]
fn refused_seccomp_is_one_sentence_with_the_remedy() {
    refused("seccomp", &["seccomp"]);
}

#[test]
fn refused_user_namespaces_are_one_sentence_with_the_remedy() {
    refused("userns", &["namespace"]);
}

#[test]
fn refused_mounts_are_one_sentence_with_the_remedy() {
    refused("mount", &["namespace"]);
}

/// Without this device of the system everything else works, and one line says what is missing.
fn goes_without(what: &str, device: &str) {
    let Some(machine) = Machine::new(Who::User) else {
        return;
    };
    let refuse = compiled("refuse");
    let ran = machine
        .outside(&format!("{refuse} {what} userlink run devlink port show"))
        .good();
    assert!(ran.out.contains("flavour physical"), "{}", ran.tail());
    let about: Vec<&str> = lines(&ran)
        .into_iter()
        .filter(|line| line.contains(device))
        .collect();
    assert_eq!(about.len(), 1, "{}", ran.tail());
    assert!(about[0].contains("chmod"), "{}", ran.tail());
}

#[test]
fn refused_tun_is_one_sentence_with_the_remedy() {
    goes_without("tun", "/dev/net/tun");
}

#[test]
fn refused_fuse_is_one_sentence_with_the_remedy() {
    goes_without("fuse", "/dev/fuse");
}

#[test]
fn no_process_outlives_the_command() {
    for machine in users() {
        // The machine's end is the command's end, also for a grandchild that still runs.
        let start = std::time::Instant::now();
        let ran = machine.run("sleep 0.3 & exit 3");
        assert_eq!(ran.code, 3, "{}", ran.tail());
        assert!(start.elapsed() < Duration::from_secs(20));
    }
}

#[test]
fn root_runs_in_the_namespaces_of_the_caller() {
    let Some(machine) = Machine::new(Who::Root) else {
        return;
    };
    let places = "readlink /proc/self/ns/net /proc/self/ns/user /proc/self/ns/pid";
    let ran = machine
        .outside(&format!("{places}; userlink run sh -c '{places}'"))
        .good();
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines[..3], lines[3..], "{}", ran.tail());
}

/// Root's machine has a `/sys` of its own, which is not seen outside; what is mounted elsewhere goes both ways.
#[test]
fn only_sys_is_roots_machines_own() {
    let Some(machine) = Machine::new(Who::Root) else {
        return;
    };
    let script = "mount --make-shared /; mount --make-shared /run; mount --make-shared /sys
        ip netns add before
        userlink run sh -c 'ip netns exec before true && ip netns add inside && ls -d /sys/bus/netdevsim'
        ip netns exec inside ip link show lo >/dev/null && echo seen outside
        ls -d /sys/bus/netdevsim 2>/dev/null; grep -c ' - fuse ' /proc/self/mountinfo";
    let ran = machine.outside(script);
    assert_eq!(
        ran.out,
        "/sys/bus/netdevsim\nseen outside\n0\n",
        "{}",
        ran.tail()
    );
}

#[test]
fn a_user_gets_namespaces_and_is_root_there() {
    let Some(machine) = Machine::new(Who::User) else {
        return;
    };
    let ran = machine.run("id -u; ip netns add a && ip netns add b && ip netns list && ip link add v type veth && ip netns del a").good();
    assert!(ran.out.starts_with("0\n"), "{}", ran.tail());
    if is_root() {
        let ran = machine.outside("ip netns list; ls /run").good();
        assert!(
            !ran.out.contains('a') || !ran.out.contains("netns"),
            "{}",
            ran.tail()
        );
    } else {
        skip("the caller's own /run/netns is looked at by root's run only");
    }
}
