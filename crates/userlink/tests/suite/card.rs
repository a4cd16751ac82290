//! The mlx5 card as its users meet it: with `devlink`, `ip` and sysfs, with what SR-IOV operators are made of, with a profile
//! of one's own, and with faults.

use crate::clients::{go_client, with_pyroute2};
use crate::machine::{Machine, Who};

/// From virtual functions over switchdev mode to a sub-function that is reloaded, by the usual tools.
fn tools(who: Who) {
    let Some(machine) = Machine::new(who) else {
        return;
    };
    let ran = machine
        .run(
            r#"
card=pci/0000:00:09.0
echo 2 > /sys/bus/pci/devices/0000:00:09.0/sriov_numvfs || exit 1
cat /sys/bus/pci/devices/0000:00:09.0/virtfn1/vendor
devlink dev eswitch set $card mode switchdev || exit 2
devlink dev eswitch show $card
ip -br link | awk '{ print "link", $1 }'
devlink port add $card flavour pcisf pfnum 0 sfnum 88 | head -n 1
devlink port function set $card/32768 hw_addr 00:00:00:00:88:88 state active || exit 3
n=0
while ! devlink port show $card/32768 | grep -q attached; do
    n=$((n + 1)); [ $n -lt 500 ] || exit 4
    sleep 0.01
done
sf=$(basename /sys/bus/auxiliary/devices/mlx5_core.sf.*)
cat /sys/bus/auxiliary/devices/$sf/sfnum
devlink dev param set auxiliary/$sf name enable_eth value true cmode driverinit || exit 5
devlink dev reload auxiliary/$sf || exit 6
devlink port show | grep -c 'flavour virtual'
devlink port del $card/32768 || exit 7
echo 0000:00:09.0 > /sys/bus/pci/drivers/mlx5_core/unbind || exit 8
ls /sys/bus/auxiliary/devices | grep -c '\.0$'
echo 0000:00:09.0 > /sys/bus/pci/drivers/mlx5_core/bind || exit 9
devlink dev show $card >/dev/null || exit 10
userlink dmesg | grep -c WARNING || true
"#,
        )
        .good();
    for line in [
        "0x15b3",
        "pci/0000:00:09.0: mode switchdev inline-mode none encap-mode basic",
        "link enp0s9f0np0",
        "link enp0s9f0v1",
        "link enp0s9f0r1",
        "88",
        "3",
    ] {
        assert!(
            ran.out.lines().any(|found| found == line),
            "{line}: {}",
            ran.tail()
        );
    }
    let added = ran.out.lines().find(|line| line.contains("pcisf"));
    assert!(
        added.is_some_and(|line| line.starts_with("pci/0000:00:09.0/32768: type eth netdev ")),
        "{}",
        ran.tail()
    );
    let last: Vec<_> = ran.out.lines().rev().take(2).collect();
    assert_eq!(last, ["0", "0"], "{}", ran.tail());
}

/// A DPU, and what somebody does on its host.
#[test]
fn a_dpu_and_its_host() {
    let Some(machine) = Machine::new(Who::User) else {
        return;
    };
    let ran = machine.with(&["--device", "mlx5,profile=bluefield-3"]).run(
        r#"
dpu=pci/0000:00:09.0
until_shown() {
    n=0
    while ! devlink port show $2 | grep "$1"; do
        n=$((n + 1)); [ $n -lt 500 ] || exit 9
        sleep 0.01
    done
}
userlink ctl host 0000:00:09.0 vfs 2
devlink dev eswitch set $dpu mode switchdev || exit 1
until_shown 'flavour pcipf'
cat /sys/class/net/enp0s9f0nc1pf0/phys_port_name
userlink ctl host 0000:00:09.0 vfs 2 || exit 2
until_shown 'vfnum 1'
userlink ctl host 0000:00:09.0 vfs 3
devlink port add $dpu flavour pcisf controller 1 pfnum 0 sfnum 88 | grep flavour
devlink port function set $dpu/229888 state active || exit 3
until_shown 'state active opstate attached' $dpu/229888
devlink port add $dpu flavour pcisf controller 2 pfnum 0 sfnum 89
userlink ctl host 0000:00:09.1 guests 3
"#,
    );
    for line in [
        "pci/0000:00:09.0/196608: type eth netdev enp0s9f0nc1pf0 flavour pcipf controller 1 pfnum 0 external true splittable false",
        "c1pf0",
        "pci/0000:00:09.0/196610: type eth netdev eth1 flavour pcivf controller 1 pfnum 0 vfnum 1 external true splittable false",
        "pci/0000:00:09.0/229888: type eth netdev eth2 flavour pcisf controller 1 pfnum 0 sfnum 88 splittable false",
    ] {
        assert!(
            ran.out.lines().any(|found| found == line),
            "{line}: {}",
            ran.tail()
        );
    }
    for text in [
        "userlink: the host cannot use its function now",
        "userlink: Device or resource busy",
        "Error: mlx5_core: Invalid controller number.",
        "userlink: expected: host ADDRESS vfs COUNT",
    ] {
        assert!(ran.err.contains(text), "{text}: {}", ran.tail());
    }
}

#[test]
fn tools_as_root() {
    tools(Who::Root);
}

#[test]
fn tools_as_user() {
    tools(Who::User);
}

/// vishvananda/netlink, doing what the SR-IOV operators do with it: every call that it has for devlink.
#[test]
fn an_sriov_operator() {
    let Some(machine) = Machine::new(Who::User) else {
        return;
    };
    let Some(client) = go_client("operator") else {
        return;
    };
    let ran = machine.run(&format!("exec {client}")).good();
    assert_eq!(
        ran.out.lines().collect::<Vec<_>>(),
        [
            "driver mlx5_core psid MT_0000000838",
            "totalvfs 16",
            "virtfn0 0000:00:09.2",
            "virtfn1 0000:00:09.3",
            "mode legacy",
            "mode switchdev representors 2",
            "added 32768",
            "function 00:00:00:00:88:88 attached",
            "devices 1",
            "again: file exists",
            "mode legacy representors 0",
        ],
        "{}",
        ran.tail()
    );
}

#[test]
fn pyroute2_lists_all_ports() {
    let Some(machine) = with_pyroute2(Who::User) else {
        return;
    };
    let ran = machine
        .run(
            "echo 1 > /sys/bus/pci/devices/0000:00:09.0/sriov_numvfs
            devlink dev eswitch set $DEVICE mode switchdev
            $VENV/bin/python $CLIENTS/python/pyroute2_ports.py",
        )
        .good();
    for line in [
        "pci/0000:00:09.0/1 pcivf enp0s9f0r0",
        "auxiliary/mlx5_core.eth.0/65535 physical enp0s9f0np0",
        "auxiliary/mlx5_core.eth.2/131072 virtual enp0s9f0v0",
    ] {
        assert!(
            ran.out.lines().any(|found| found == line),
            "{line}: {}",
            ran.tail()
        );
    }
}

/// A profile is copied, changed and used; a mistake in it has file, line, and what is expected.
#[test]
fn a_profile_of_ones_own() {
    let Some(machine) = Machine::new(Who::User) else {
        return;
    };
    let ran = machine
        .outside(
            r#"
cd "$(mktemp -d)" && userlink profile connectx-6dx | sed 's/^psid = .*/psid = "OURS0000001"/' > card.toml || exit 1
userlink run --device mlx5,profile=card.toml -- devlink dev info $DEVICE | grep psid
userlink run --device mlx5,profile=bluefield-3 -- devlink dev info $DEVICE | grep 'fw 32'
sed 's/^roce = .*/roce = 7/' card.toml > wrong.toml
userlink run --device mlx5,profile=wrong.toml -- true
echo "status $?"
"#,
        )
        .good();
    assert!(ran.out.contains("fw.psid OURS0000001"), "{}", ran.tail());
    assert!(ran.out.contains("fw 32.41.1000"), "{}", ran.tail());
    assert!(ran.out.contains("status 1"), "{}", ran.tail());
    assert!(
        ran.err.contains("wrong.toml:") && ran.err.contains("expected a boolean"),
        "{}",
        ran.tail()
    );
}

/// The same seed and the same commands are the same run, for clients too: dumps that are interfered with, notifications
/// that are lost.
#[test]
fn clients_are_unlucky_by_seed() {
    if Machine::new(Who::User).is_none() {
        return;
    }
    let commands = r#"
for n in 1 2 3 4 5 6 7 8 9 10 11 12; do
    devlink dev show >/dev/null
    echo dump $?
done
userlink ctl fault clear
userlink ctl fault dump-intr,times=1
devlink port show >/dev/null || echo interrupted
devlink port show >/dev/null && echo good
userlink ctl fault enobufs,after=1,times=1
python3 $CLIENTS/python/lost.py recvmsg
"#;
    let run = |seed| {
        let options = ["--seed", seed, "--fault", "dump-intr,chance=50%"];
        let machine = Machine::new(Who::User).unwrap();
        machine.with(&options).run(commands).good()
    };
    let (one, again, other) = (run("7"), run("7"), run("8"));
    assert_eq!(one.out, again.out);
    assert_ne!(one.out, other.out);
    for line in ["dump 0", "dump 1", "interrupted", "good", "heard", "lost"] {
        let found = one.out.lines().any(|found| found == line);
        assert!(found, "{line}: {}", one.tail());
    }
    // Errors come before what is in the queue.
    assert!(one.out.ends_with("lost\nheard\nheard\n"), "{}", one.tail());
}

/// Also those that do not ask who has sent what they receive.
#[test]
fn every_way_to_receive_tells_that_something_was_lost() {
    for receive in ["recv", "recvfrom", "recvmsg"] {
        let Some(machine) = Machine::new(Who::User) else {
            return;
        };
        let ran = machine
            .with(&["--fault", "enobufs,after=1,times=1"])
            .python(&format!("lost.py {receive}"))
            .good();
        assert_eq!(ran.out, "lost\nheard\nheard\n", "{}", ran.tail());
    }
}

#[test]
fn faults_come_from_the_command_line_and_while_it_runs() {
    let Some(machine) = Machine::new(Who::User) else {
        return;
    };
    let ran = machine
        .with(&["--seed", "7", "--fault", "eswitch-busy,times=1"])
        .run(
            "userlink ctl fault
            devlink dev eswitch set $DEVICE mode switchdev
            devlink dev eswitch set $DEVICE mode switchdev || exit 1
            userlink ctl fault fw-reset,times=1
            devlink dev reload $DEVICE
            userlink ctl syndrome 0000:00:09.0 0x10 fatal
            devlink health show $DEVICE reporter fw_fatal | grep state
            userlink ctl fault nonsense",
        );
    for text in ["eswitch-busy,times=1", "state healthy error 1 recover 1"] {
        assert!(ran.out.contains(text), "{text}: {}", ran.tail());
    }
    for text in [
        "mlx5_core: Can't change mode, E-Switch is busy",
        "mlx5_core: Can't reload during firmware reset",
        "there is no fault `nonsense`; there are: vf-delay",
    ] {
        assert!(ran.err.contains(text), "{text}: {}", ran.tail());
    }
}
