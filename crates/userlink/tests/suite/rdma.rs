//! InfiniBand devices, as `rdma` of iproute2 and `/sys/class/infiniband` show them.

use crate::machine::{Machine, Who};

/// They come and go with functions, modes, parameters and drivers, and every view says the same.
fn follow_the_functions(who: Who) {
    let Some(machine) = Machine::new(who) else {
        return;
    };
    let ran = machine
        .run(
            r#"
card=pci/0000:00:09.0
pci=/sys/bus/pci/devices/0000:00:09.0
say() { echo "$1:" $(rdma dev show | awk '{ print $2 }' | sort) = $(ls /sys/class/infiniband | sed 's/$/:/'); }
say start
rdma system show
rdma dev show rocep0s9f0
rdma link show rocep0s9f0/1
cd $pci/infiniband/rocep0s9f0 || exit 1
for file in fw_ver node_type node_guid sys_image_guid board_id hca_type hw_rev device/vendor ports/1/state ports/1/phys_state \
    ports/1/link_layer ports/1/rate ports/1/lid ports/1/gids/0 ports/1/gid_attrs/types/0 ports/1/gid_attrs/types/1 \
    ports/1/gid_attrs/ndevs/0 ports/1/pkeys/0 ports/1/counters/port_xmit_data ports/1/hw_counters/out_of_buffer; do
    echo "$file $(cat $file)"
done
ls ports/1/gids | wc -l
cat ports/1/gid_attrs/types/2 2>&1 | sed 's/.*: //'
cd /
ip link set enp0s9f0np0 up
n=0
while ! rdma link show rocep0s9f0/1 | grep -q 'ACTIVE physical_state LINK_UP'; do
    n=$((n + 1)); [ $n -lt 500 ] || exit 2
    sleep 0.01
done
cat /sys/class/infiniband/rocep0s9f0/ports/1/state
echo 1 > $pci/sriov_numvfs
say vf
devlink dev eswitch set $card mode switchdev
say switchdev
rdma link show | grep 'rocep0s9f0/.*netdev' | awk '{ print $2, $NF }'
ls $pci/infiniband/rocep0s9f0/ports/18/gids | wc -l
devlink dev eswitch set $card mode legacy
echo 0 > $pci/sriov_numvfs
devlink dev param set $card name enable_roce value false cmode driverinit
devlink dev reload $card >/dev/null
say raw
ls /sys/class/infiniband/rocep0s9f0/ports/1/gids | wc -l
devlink dev param set $card name enable_roce value true cmode driverinit
devlink dev param set $card name enable_rdma value false cmode driverinit
devlink dev reload $card >/dev/null
say off
ls $pci | grep -c infiniband
devlink dev param set $card name enable_rdma value true cmode driverinit
devlink dev reload $card >/dev/null
rdma dev set rocep0s9f0 name mlx5_0 && say renamed
rdma dev set mlx5_0 name rocep0s9f1 2>&1
echo mlx5_core.rdma.1 > /sys/bus/auxiliary/drivers/mlx5_ib.rdma/unbind
say unbound
echo 0000:00:09.0 > /sys/bus/pci/drivers/mlx5_core/unbind
say none
userlink dmesg | grep -c WARNING || true
"#,
        )
        .good();
    for line in [
        "start: rocep0s9f0: rocep0s9f1: = rocep0s9f0: rocep0s9f1:",
        "netns shared copy-on-fork on",
        "0: rocep0s9f0: node_type ca fw 28.41.1000 node_guid a088:c203:00f0:347e sys_image_guid a088:c203:00f0:347e",
        "link rocep0s9f0/1 state DOWN physical_state DISABLED netdev enp0s9f0np0",
        "fw_ver 28.41.1000",
        "node_type 1: CA",
        "node_guid a088:c203:00f0:347e",
        "sys_image_guid a088:c203:00f0:347e",
        "board_id MT_0000000838",
        "hca_type MT4129",
        "hw_rev 0",
        "device/vendor 0x15b3",
        "ports/1/state 1: DOWN",
        "ports/1/phys_state 3: Disabled",
        "ports/1/link_layer Ethernet",
        "ports/1/rate 100 Gb/sec (4X EDR)",
        "ports/1/lid 0x0",
        "ports/1/gids/0 fe80:0000:0000:0000:a288:c2ff:fef0:347e",
        "ports/1/gid_attrs/types/0 IB/RoCE v1",
        "ports/1/gid_attrs/types/1 RoCE v2",
        "ports/1/gid_attrs/ndevs/0 enp0s9f0np0",
        "ports/1/pkeys/0 0xffff",
        "ports/1/counters/port_xmit_data 0",
        "ports/1/hw_counters/out_of_buffer 0",
        "256",
        "Invalid argument",
        "4: ACTIVE",
        "vf: rocep0s9f0: rocep0s9f0v0: rocep0s9f1: = rocep0s9f0: rocep0s9f0v0: rocep0s9f1:",
        "switchdev: rocep0s9f0: rocep0s9f0v0: rocep0s9f1: = rocep0s9f0: rocep0s9f0v0: rocep0s9f1:",
        "rocep0s9f0/2 enp0s9f0r0",
        "rocep0s9f0/18 enp0s9f0np0",
        "raw: rocep0s9f0: rocep0s9f1: = rocep0s9f0: rocep0s9f1:",
        "off: rocep0s9f1: = rocep0s9f1:",
        "renamed: mlx5_0: rocep0s9f1: = mlx5_0: rocep0s9f1:",
        "error: File exists",
        "unbound: mlx5_0: = mlx5_0:",
        "none: =",
    ] {
        assert!(
            ran.out.lines().any(|found| found.trim_end() == line),
            "{line}: {}",
            ran.tail()
        );
    }
    let zeros = ran.out.lines().filter(|line| *line == "0").count();
    assert_eq!(zeros, 4, "{}", ran.tail());
}

#[test]
fn follow_the_functions_as_root() {
    follow_the_functions(Who::Root);
}

#[test]
fn follow_the_functions_as_user() {
    follow_the_functions(Who::User);
}

/// The user of another namespace sees the devices, which are shared, and not their network devices; who is not root there may
/// not rename them.
#[test]
fn other_namespaces_share_them() {
    let Some(machine) = Machine::new(Who::User) else {
        return;
    };
    let ran = machine
        .run(
            r#"
ip netns add elsewhere
ip netns exec elsewhere rdma link show
unshare -n rdma link show rocep0s9f1/1
ip netns exec elsewhere ls /sys/class/infiniband
unshare -U rdma dev set rocep0s9f0 name other 2>&1
ip netns del elsewhere
rdma resource show 2>&1 || true
"#,
        )
        .good();
    for line in [
        "link rocep0s9f0/1 state DOWN physical_state DISABLED",
        "link rocep0s9f1/1 state DOWN physical_state DISABLED",
        "rocep0s9f1",
        "error: Operation not permitted",
        "error: Invalid argument",
    ] {
        assert!(
            ran.out.lines().any(|found| found.trim_end() == line),
            "{line}: {}",
            ran.tail()
        );
    }
}
