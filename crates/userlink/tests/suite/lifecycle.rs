//! The ends of a card's function: removed with everything alive on it, reset by another host, joined with its neighbour.

use crate::machine::{Machine, Who};

/// What `devlink monitor` hears of the end of a function: of its virtual functions, then of its ports, then of itself.
const FUNCTION: [&str; 13] = [
    "[port,del] auxiliary/mlx5_core.eth.2/131072:",
    "[dev,del] auxiliary/mlx5_core.eth.2:",
    "[dev,del] pci/0000:00:09.2:",
    "[port,del] auxiliary/mlx5_core.eth.3/196608:",
    "[dev,del] auxiliary/mlx5_core.eth.3:",
    "[dev,del] pci/0000:00:09.3:",
    "[port,del] pci/0000:00:09.0/1:",
    "[port,del] pci/0000:00:09.0/2:",
    "[port,del] pci/0000:00:09.0/32768:",
    "[port,del] pci/0000:00:09.0/32769:",
    "[port,del] auxiliary/mlx5_core.eth.0/65535:",
    "[dev,del] auxiliary/mlx5_core.eth.0:",
    "[dev,del] pci/0000:00:09.0:",
];

/// The sub-functions hear from the firmware that they are to go, when their ports are gone, and go before the function is gone:
/// one with a network device, one without.
const SUB_FUNCTIONS: [&[&str]; 2] = [
    &[
        "[port,del] pci/0000:00:09.0/32768:",
        "[port,del] auxiliary/mlx5_core.eth.4/16777216:",
        "[dev,del] auxiliary/mlx5_core.eth.4:",
        "[dev,del] auxiliary/mlx5_core.sf.4:",
        "[dev,del] pci/0000:00:09.0:",
    ],
    &[
        "[port,del] pci/0000:00:09.0/32769:",
        "[dev,del] auxiliary/mlx5_core.sf.5:",
        "[dev,del] pci/0000:00:09.0:",
    ],
];

#[test]
fn a_function_is_removed_with_everything_alive_on_it() {
    let Some(machine) = Machine::new(Who::User) else {
        return;
    };
    let ran = machine
        .outside(
            r#"
cd "$(mktemp -d)" && userlink firmware 28.42.1000 > new.mfa2 || exit 1
cat > commands <<'END'
function=/sys/bus/pci/devices/0000:00:09.0
has() { until "$@"; do sleep 0.02; done; }
echo 2 > $function/sriov_numvfs
devlink dev eswitch set $DEVICE mode switchdev || exit 2
for n in 0 1; do
    devlink port add $DEVICE flavour pcisf pfnum 0 sfnum $n >/dev/null || exit 3
    devlink port function set $DEVICE/$((32768 + n)) state active || exit 4
    attached() { devlink port show $DEVICE/$((32768 + n)) | grep -q 'opstate attached'; }
    has attached
done
devlink dev param set auxiliary/mlx5_core.sf.4 name enable_eth value true cmode driverinit || exit 5
devlink dev reload auxiliary/mlx5_core.sf.4 || exit 6
ip netns add n1
ip link set enp0s9f0v1 netns n1
userlink ctl fault recover-fail,times=1 flash-stall=3000,times=1
userlink ctl syndrome 0000:00:09.0 0x10 fatal 2>/dev/null && exit 7
devlink monitor >seen & monitor=$!
heard() { devlink dev param set $DEVICE name enable_remote_dev_reset cmode runtime value $1; grep -q 'param,new' seen; }
until heard false || heard true; do sleep 0.02; done
(devlink dev flash $DEVICE file new.mfa2 >/dev/null; echo "flashed: $?" >flashed) & flash=$!
has grep -q flash, seen
[ -e flashed ] && echo too late
echo 1 > $function/remove; echo "removed: $?"
wait $flash; cat flashed
has grep -q 'dev,del. pci/0000:00:09.0:' seen
kill $monitor
grep -E '(dev|port),del' seen | sed 's/: .*/:/'
echo == left
devlink dev show; devlink port show | sed 's/:.*//'
for place in bus/auxiliary/devices class/infiniband bus/pci/drivers/mlx5_core; do ls /sys/$place; done | grep '[0-9]'
ip -br link | sed 's/ .*//'; ip -n n1 -br link | sed 's/ .*//'
find /sys/devices/ -name '0000:00:09.[02-9]'
userlink dmesg | grep -E 'WARNING|BUG|leak'
echo 1 > /sys/bus/pci/rescan
devlink dev show $DEVICE
devlink health show $DEVICE reporter fw_fatal | grep -o 'state [a-z]*'
devlink dev info $DEVICE | awk '$1 == "fw" { print $1, $2 }'
END
userlink run --firmware "$PWD" -- sh commands
"#,
        )
        .good();
    let (order, left) = ran.out.split_once("== left\n").expect("both halves");
    let mut lines = order.lines();
    assert_eq!(
        [lines.next(), lines.next()],
        [Some("removed: 0"), Some("flashed: 0")],
        "{}",
        ran.tail()
    );
    let heard: Vec<_> = lines.collect();
    assert_eq!(heard.len(), FUNCTION.len() + 4, "{}", ran.tail());
    for expected in [&FUNCTION[..], SUB_FUNCTIONS[0], SUB_FUNCTIONS[1]] {
        let mut found = heard.clone();
        found.retain(|line| expected.contains(line));
        assert_eq!(found, expected, "{}", ran.tail());
    }
    let expected = "\
devlink_index/1
pci/0000:00:09.1
auxiliary/mlx5_core.eth.1
auxiliary/mlx5_core.eth.1/131071
mlx5_core.eth.1
mlx5_core.fwctl.1
mlx5_core.rdma.1
rocep0s9f1
0000:00:09.1
lo
enp0s9f1np1
lo
pci/0000:00:09.0
state healthy
fw 28.41.1000
fw 28.42.1000
";
    assert_eq!(left, expected, "{}", ran.tail());
}

/// Another host's reset goes through all functions of the card, which count it; unless one of them says no.
#[test]
fn another_host_resets_the_firmware() {
    let Some(machine) = Machine::new(Who::User) else {
        return;
    };
    let ran = machine
        .run(
            r#"
count() { devlink -s dev show pci/0000:00:09.$1 | sed -n '/remote_reload/,$p' | grep -c 'unspecified 1'; }
userlink ctl fw-reset 0000:00:09.0 || exit 1
for n in 0 1; do until [ "$(count $n)" = 2 ]; do sleep 0.02; done; done
devlink dev param set pci/0000:00:09.1 name enable_remote_dev_reset value false cmode runtime || exit 2
userlink ctl fw-reset 0000:00:09.0
userlink dmesg | grep -o '09.1: PCI Sync FW Update Reset Nack Sent'
count 0
devlink dev reload pci/0000:00:09.0 action fw_activate
userlink ctl fw-reset 0000:00:09.7
"#,
        );
    assert_eq!(
        ran.out,
        "09.1: PCI Sync FW Update Reset Nack Sent\n2\n",
        "{}",
        ran.tail()
    );
    for text in [
        "One of the hosts disabled reset",
        "mlx5_core has no function 0000:00:09.7",
    ] {
        assert!(ran.err.contains(text), "{text}: {}", ran.tail());
    }
}

/// Two ports that are one switch: who lists InfiniBand devices sees one.
#[test]
fn two_ports_are_joined_and_parted() {
    let Some(machine) = Machine::new(Who::User) else {
        return;
    };
    let ran = machine.run(
        r#"
join() { devlink dev param set $DEVICE name esw_multiport value $1 cmode runtime; }
join true && exit 1
for n in 0 1; do devlink dev eswitch set pci/0000:00:09.$n mode switchdev || exit 2; done
join true || exit 3
ls /sys/class/infiniband
rdma link | grep -o 'mlx5_bond_0.*netdev.*'
cat /sys/kernel/debug/mlx5/0000:00:09.1/lag/state
echo 0000:00:09.1 > /sys/bus/pci/drivers/mlx5_core/unbind || exit 4
ls /sys/class/infiniband
echo 0000:00:09.1 > /sys/bus/pci/drivers/mlx5_core/bind || exit 5
ls /sys/class/infiniband
userlink dmesg | grep -c WARNING
"#,
    );
    let expected = "\
mlx5_bond_0
mlx5_bond_0/18 state DOWN physical_state DISABLED netdev enp0s9f0np0 
mlx5_bond_0/36 state DOWN physical_state DISABLED netdev enp0s9f1np1 
active
rocep0s9f0
rocep0s9f0
rocep0s9f1
0
";
    assert_eq!(ran.out, expected, "{}", ran.tail());
}
