//! Notifications: what `devlink monitor` and other subscribers hear, where, and in which order.

use crate::machine::{Machine, Ran, Who};

/// Runs `heard.py`, whose lines are `NAMESPACE COMMAND HANDLE`, one for each notification heard.
#[track_caller]
fn heard(options: &[&str], arguments: &str) -> Option<(Ran, Vec<Vec<String>>)> {
    let machine = Machine::new(Who::User)?;
    let ran = machine
        .with(options)
        .python(&format!("heard.py {arguments}"))
        .good();
    let lines = ran
        .out
        .lines()
        .map(|line| line.split_whitespace().map(str::to_owned).collect())
        .collect();
    Some((ran, lines))
}

/// The positions of the lines that are `namespace command HANDLE` of the device itself.
fn at(lines: &[Vec<String>], namespace: &str, command: &str) -> Vec<usize> {
    let device = crate::machine::DEVICE;
    (0..lines.len())
        .filter(|&i| lines[i][..] == [namespace, command, device])
        .collect()
}

/// As in the kernel, the old namespace hears all go, innermost first and the device last; the new one hears the device come
/// first and then what it has.
#[test]
fn a_move_is_deletion_in_the_old_and_addition_in_the_new_namespace() {
    let Some((ran, lines)) = heard(&[], "n1 -- devlink dev reload $DEVICE netns n1") else {
        return;
    };
    let (gone, come) = (at(&lines, "here", "dev_del"), at(&lines, "n1", "dev_new"));
    assert!(gone.len() == 1 && !come.is_empty(), "{}", ran.tail());
    // What shares something with the device, its chip's instance, tells that it has changed.
    let of_device = |line: &Vec<String>| line[2].starts_with(crate::machine::DEVICE);
    let last_here = lines
        .iter()
        .rposition(|line| line[0] == "here" && of_device(line));
    assert_eq!(
        last_here,
        Some(gone[0]),
        "the device is not the last to go: {}",
        ran.tail()
    );
    let first_there = lines.iter().position(|line| line[0] == "n1");
    assert_eq!(
        first_there,
        Some(come[0]),
        "the device is not the first to come: {}",
        ran.tail()
    );
    for (namespace, wrong) in [("here", "_new"), ("n1", "_del")] {
        let handles: Vec<_> = lines
            .iter()
            .filter(|l| l[0] == namespace && l[1].starts_with("param") && l[1].ends_with(wrong))
            .collect();
        assert!(handles.is_empty(), "{handles:?}: {}", ran.tail());
    }
}

/// `net/devlink/dev.c: devlink_reload` without a namespace: neither DEL nor NEW of the device, only its ports' and a NEW from
/// the statistics at the end.
#[test]
fn a_reload_in_place_does_not_delete_the_device() {
    let Some((ran, lines)) = heard(&[], "n1 -- devlink dev reload $DEVICE") else {
        return;
    };
    assert_eq!(at(&lines, "here", "dev_del").len(), 0, "{}", ran.tail());
    assert!(lines.iter().all(|line| line[0] == "here"), "{}", ran.tail());
    assert!(
        lines.iter().any(|line| line[1] == "port_del"),
        "{}",
        ran.tail()
    );
    assert!(
        lines.iter().any(|line| line[1] == "port_new"),
        "{}",
        ran.tail()
    );
}

/// A filter that names another device hears nothing; one that names the bus hears all.
#[test]
fn a_filter_chooses() {
    let Some((ran, lines)) = heard(
        &[],
        "--filter netdevsim/netdevsim10 n1 -- devlink dev reload $DEVICE",
    ) else {
        return;
    };
    assert!(lines.is_empty(), "{}", ran.tail());
    let Some((ran, lines)) = heard(&[], "--filter pci n1 -- devlink dev reload $DEVICE") else {
        return;
    };
    assert!(
        !lines.is_empty() && lines.iter().all(|line| line[2].starts_with("pci/")),
        "{}",
        ran.tail()
    );
}

/// A parameter that is set is announced, in the setter's namespace only.
#[test]
fn a_set_parameter_is_announced() {
    let options = ["--device", "netdevsim"];
    let set =
        "n1 -- devlink dev param set netdevsim/netdevsim10 name max_macs value 16 cmode driverinit";
    let Some((ran, lines)) = heard(&options, set) else {
        return;
    };
    assert_eq!(
        lines,
        [["here", "param_new", "netdevsim/netdevsim10"]],
        "{}",
        ran.tail()
    );
}

/// The order of one kernel's notifications for a device with ports, as recorded (kernel 7.2, netdevsim with 2 ports; traps,
/// regions and health reporters left out, as those objects have tests of their own).
#[test]
fn netdevsims_ports_go_and_come_as_in_the_kernel() {
    let options = ["--device", "netdevsim@10,ports=2"];
    let Some((ran, lines)) = heard(&options, "n1 -- devlink dev reload netdevsim/netdevsim10")
    else {
        return;
    };
    let ports: Vec<String> = lines
        .iter()
        .filter(|l| l[1].starts_with("port"))
        .map(|l| l[1..].join(" "))
        .collect();
    let port = |number: u32, commands: &[&str]| -> Vec<String> {
        commands
            .iter()
            .map(|command| format!("{command} netdevsim/netdevsim10/{number}"))
            .collect()
    };
    let go = ["port_new", "port_new", "port_del"];
    let come = ["port_new", "port_new", "port_new"];
    assert_eq!(
        ports,
        [port(1, &go), port(0, &go), port(0, &come), port(1, &come)].concat(),
        "{}",
        ran.tail()
    );
}

#[test]
fn devlink_monitor_prints_them() {
    let Some(machine) = Machine::new(Who::User) else {
        return;
    };
    let ran = machine
        .run(
            "
        devlink monitor >/tmp/userlink-monitor.$$ & monitor=$!
        # Nobody can see when the monitor listens: knock until it has heard something.
        until [ -s /tmp/userlink-monitor.$$ ]; do devlink dev reload $DEVICE || exit 1; done
        ip netns add n1
        devlink dev reload $DEVICE netns n1
        until grep -q '^.dev,del. '$DEVICE /tmp/userlink-monitor.$$; do sleep 0.01; done
        kill -INT $monitor; wait $monitor
        cat /tmp/userlink-monitor.$$; rm /tmp/userlink-monitor.$$
    ",
        )
        .good();
    assert!(
        ran.out.contains("[port,new] ")
            && ran.out.contains("[port,del] ")
            && ran.out.contains("[dev,del] "),
        "{}",
        ran.tail()
    );
}

/// What happens to a network device is heard from the real kernel, and used to be overtaken by the next request.
#[test]
fn a_request_sees_the_rename_before_it() {
    let Some(machine) = Machine::new(Who::User) else {
        return;
    };
    let machine = machine
        .with(&["--device", "netdevsim@10,ports=1"])
        .env("DEVICE", "netdevsim/netdevsim10");
    let ran = machine.python("renames.py 2000").good();
    assert_eq!(ran.out, "0\n", "{}", ran.tail());
}
