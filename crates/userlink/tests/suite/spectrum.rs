//! The simulated switch through the real `devlink`: every command on shared buffers, dpipe tables, line cards and split ports.

use crate::machine::{Machine, Ran, Who};

/// Where the switch is plugged in.
const SWITCH: &str = "pci/0000:01:00.0";

/// Runs `script` with `$S`, the switch, on each kernel.
#[track_caller]
fn on_every_kernel(script: &str, check: impl Fn(&str, &Ran)) {
    for kernel in ["6.1", "6.12", "7.2"] {
        let Some(machine) = Machine::new(Who::User) else {
            return;
        };
        let machine = machine
            .with(&["--device", "spectrum", "--kernel", kernel])
            .env("S", SWITCH);
        check(kernel, &machine.run(script).good());
    }
}

/// The words of the line that begins so.
#[track_caller]
fn line<'r>(ran: &'r Ran, start: &str) -> &'r str {
    let mut lines = ran.out.lines().map(str::trim_start);
    lines
        .find(|line| line.starts_with(start))
        .unwrap_or_else(|| panic!("no line {start:?}: {}", ran.tail()))
}

#[test]
fn a_split_port_becomes_several_and_one_again() {
    let script = "
        devlink port show | grep -c flavour
        devlink port split $S/1 count 4 || exit 1
        devlink port show $S/3
        devlink port split $S/3 count 2 2>&1 && exit 2
        devlink port split $S/9 count 3 2>&1 && exit 3
        ip -br link show enp1s0np1s3 || exit 4
        devlink port unsplit $S/3 || exit 5
        devlink port unsplit $S/1 2>&1 && exit 6
        devlink port show $S/1
    ";
    on_every_kernel(script, |kernel, ran| {
        assert!(ran.out.starts_with("5\n"), "{kernel}: {}", ran.tail());
        let part = line(ran, "pci/0000:01:00.0/3: type eth netdev enp1s0np1s2");
        assert!(part.contains("splittable false lanes 2"), "{part}");
        for text in [
            "Port cannot be split further",
            "Invalid split count",
            "mlxsw_spectrum: Port was not split",
        ] {
            assert!(ran.out.contains(text), "{kernel}: {}", ran.tail());
        }
        let whole = line(ran, "pci/0000:01:00.0/1: type eth netdev enp1s0np1 ");
        assert!(whole.contains("splittable true lanes 8"), "{whole}");
    });
}

#[test]
fn shared_buffers_are_shown_set_and_measured() {
    let script = "
        devlink sb show
        devlink sb pool show | grep -c thtype
        devlink sb pool set $S pool 1 size 9600 thtype static || exit 1
        devlink sb pool show $S pool 1
        devlink sb pool set $S pool 8 size 96 thtype static 2>&1 && exit 2
        devlink sb port pool set $S/1 pool 1 th 4800 || exit 3
        devlink sb port pool show $S/1 pool 1
        devlink sb tc bind set $S/1 tc 3 type ingress pool 0 th 12 || exit 4
        devlink sb tc bind show $S/1 tc 3 type ingress
        devlink sb tc bind set $S/1 tc 3 type ingress pool 4 th 12 2>&1 && exit 5
        devlink sb occupancy snapshot $S || exit 6
        devlink sb occupancy show $S/1 | grep -c ':.*/'
        devlink sb occupancy clearmax $S || exit 7
        # With names iproute2 6.1 asks for the ports in the middle, and loses what it has not read yet.
        devlink -n sb port pool show | grep -c threshold
        devlink -n sb tc bind show | grep -c threshold
    ";
    on_every_kernel(script, |_, ran| {
        line(
            ran,
            "sb 0 size 14024640 ing_pools 5 eg_pools 6 ing_tcs 8 eg_tcs 16",
        );
        line(ran, "sb 0 pool 1 type ingress size 9600 thtype static");
        line(ran, "sb 0 pool 1 threshold 4800");
        line(ran, "sb 0 tc 3 type ingress pool 0 threshold 12");
        let refusals = [
            "mlxsw_spectrum: Changing this pool's size is forbidden",
            "mlxsw_spectrum: Binding egress TC to ingress pool",
        ];
        assert!(
            refusals.iter().all(|text| ran.out.contains(text)),
            "{}",
            ran.tail()
        );
        let counts: Vec<&str> = ran
            .out
            .lines()
            .filter(|line| line.parse::<u32>().is_ok())
            .collect();
        assert_eq!(counts, ["11", "9", "55", "120"], "{}", ran.tail());
    });
}

#[test]
fn the_packet_pipeline_is_shown_and_counted() {
    let script = "
        devlink dpipe header show $S
        devlink dpipe table show $S
        devlink dpipe table show $S name mlxsw_adj
        devlink dpipe table dump $S name mlxsw_host4
        devlink dpipe table set $S name mlxsw_host6 counters_enabled true 2>/dev/null ||
            devlink dpipe table set $S name mlxsw_host6 counters enable || exit 1
        devlink dpipe table dump $S name mlxsw_host6
        devlink dpipe table dump $S name nope 2>&1
        devlink resource show $S
    ";
    on_every_kernel(script, |_, ran| {
        line(ran, "name adj_hash_index bitwidth 32");
        line(
            ran,
            "name mlxsw_host4 size 3 counters_enabled false resource_path /kvd/hash_single",
        );
        line(
            ran,
            "type field_exact header ipv4 field destination ip value 192.0.2.3",
        );
        line(
            ran,
            "type field_exact header ipv6 field destination ip value 2001:db8::1",
        );
        line(ran, "index 2 counter 0");
        line(ran, "name linear size 98304 occ 1 unit entry");
        line(ran, "kernel answers: Invalid argument");
    });
}

#[test]
fn a_line_card_is_provisioned_and_has_ports_and_an_instance() {
    let script = "
        devlink lc show | grep -c unprovisioned
        devlink lc set $S lc 1 type nope 2>&1 && exit 1
        devlink lc set $S lc 1 type 16x100G || exit 2
        devlink lc show $S lc 1 | grep state
        until devlink lc show $S lc 1 | grep -q 'state active'; do sleep 0.1; done
        devlink lc show $S lc 1 | grep state
        devlink port show | grep -c 'lc 1'
        devlink dev info auxiliary/mlxsw_core.lc.0
        ip -br link show enp1s0nl1p16 || exit 3
        devlink lc set $S lc 1 notype || exit 4
        until devlink lc show $S lc 1 | grep -q 'state unprovisioned'; do sleep 0.1; done
        devlink dev show auxiliary/mlxsw_core.lc.0 && exit 5
        devlink port show | grep -c flavour
    ";
    on_every_kernel(script, |_, ran| {
        assert!(
            ran.out.contains("Unsupported line card type provided"),
            "{}",
            ran.tail()
        );
        line(ran, "lc 1 state provisioning type 16x100G");
        let active = line(ran, "lc 1 state active type 16x100G");
        assert!(active.contains("auxiliary/mlxsw_core.lc.0"), "{active}");
        line(ran, "fw 19.2010.1312");
        let counts: Vec<&str> = ran
            .out
            .lines()
            .filter(|line| line.parse::<u32>().is_ok())
            .collect();
        assert_eq!(counts, ["8", "16", "5"], "{}", ran.tail());
    });
}

#[test]
fn a_reload_keeps_what_the_switch_remembers() {
    let script = "
        devlink resource set $S path /kvd/linear size 98176 || exit 1
        devlink resource show $S | grep 'name linear'
        devlink lc set $S lc 5 type 8x200G || exit 2
        until devlink lc show $S lc 5 | grep -q 'state provisioned'; do sleep 0.1; done
        devlink port split $S/1 count 2 || exit 3
        devlink dev reload $S || exit 4
        devlink resource show $S | grep 'name linear'
        devlink lc show $S lc 5 | grep state
        devlink port show | grep -c flavour
        devlink dev selftests run $S id flash | grep status
    ";
    on_every_kernel(script, |_, ran| {
        line(ran, "name linear size 98304 size_new 98176");
        line(ran, "name linear size 98176 occ 1");
        line(ran, "lc 5 state provisioned type 8x200G");
        line(ran, "13");
        line(ran, "status passed");
    });
}

#[test]
fn a_port_is_of_either_kind() {
    let script = "
        devlink port set $S/1 type ib || exit 1
        devlink port show $S/1
        ip link show enp1s0np1 2>/dev/null && exit 2
        devlink port set $S/1 type eth || exit 3
        devlink port show $S/1
        ip -br link show enp1s0np1 >/dev/null || exit 4
        devlink port set $S/0 type ib 2>&1 && exit 5
        devlink port set $S/9 type ib && devlink dev reload $S || exit 6
        devlink port show $S/9
    ";
    on_every_kernel(script, |_, ran| {
        line(ran, "pci/0000:01:00.0/1: type ib ibdev mlxsw_1 flavour");
        line(ran, "pci/0000:01:00.0/1: type eth netdev enp1s0np1 flavour");
        line(ran, "kernel answers: Operation not supported");
        line(ran, "pci/0000:01:00.0/9: type eth netdev enp1s0np2 flavour");
    });
}

#[test]
fn regions_are_kept_and_read_as_often_as_there_is_room() {
    let script = "
        devlink region show | grep -c eeprom
        devlink region new $S/cr-space snapshot 1 || exit 1
        devlink region read $S/cr-space snapshot 1 address 0 length 12
        for id in 2 3 4 5 6 7 8; do devlink region new $S/cr-space snapshot $id || exit 2; done
        devlink region new $S/cr-space snapshot 9 2>&1 && exit 3
        devlink region read $S/cr-space snapshot 8 address 0 length 4
        devlink region del $S/cr-space snapshot 8 || exit 4
        devlink region new $S/cr-space snapshot 9 || exit 5
        devlink port split $S/9 count 2 || exit 6
        # The client does not say of which ports these are.
        devlink region show | grep -c eeprom
    ";
    on_every_kernel(script, |_, ran| {
        line(ran, "4");
        line(ran, "0000000000000000 00 00 00 01 00 00 00 04 00 00 00 08");
        line(ran, "kernel answers: No space left on device");
        line(ran, "0000000000000000 00 00 00 08");
        line(ran, "5");
    });
}

#[test]
fn ports_are_given_rates_in_a_tree_of_nodes() {
    let script = "
        devlink port function rate show | grep -c leaf
        devlink port function rate add $S/above || exit 1
        devlink port function rate add $S/below parent above || exit 2
        devlink port function rate set $S/1 tx_share 1gbit tx_max 10gbit parent below || exit 3
        devlink port function rate show $S/1
        devlink port function rate del $S/below 2>&1 && exit 4
        devlink dev reload $S || exit 5
        devlink port function rate show | grep -c leaf
        devlink port function rate show $S/below 2>&1 && exit 6
        true
    ";
    on_every_kernel(script, |_, ran| {
        let leaf = line(ran, "pci/0000:01:00.0/1: type leaf");
        for text in ["tx_share 1Gbit", "tx_max 10Gbit", "parent below"] {
            assert!(leaf.contains(text), "{leaf}");
        }
        assert!(
            ran.out.contains("Node has children. Cannot delete node."),
            "{}",
            ran.tail()
        );
        line(ran, "kernel answers: No such device");
        let count = |line: &&str| line.trim() == "4";
        assert_eq!(ran.out.lines().filter(count).count(), 2, "{}", ran.tail());
    });
}
