//! Debian's `netplan.io` configures a card for switchdev mode, as far as it goes without a systemd to tell of it.

use crate::machine::{Machine, Who, skip};

/// `netplan apply` makes the virtual functions, takes them from their driver, changes the mode and leaves them unbound, as it was told;
/// the service that it generates then binds them. What it does after that is to ask systemd to start it, and there it ends:
/// `systemctl daemon-reload` finds no systemd.
#[test]
fn configures_switchdev_mode() {
    let Some(machine) = Machine::new(Who::Root) else {
        return;
    };
    if machine.outside("command -v netplan").code != 0 {
        return skip("netplan is not installed (./x test does that)");
    }
    let ran = machine
        .run(
            r#"
exec unshare -m --propagation private sh -c '
mkdir -p /etc/netplan /run/systemd
mount -t tmpfs none /etc/netplan || exit 1
mount -t tmpfs none /run/systemd || exit 2
card=enp0s9f0np0
cat > /etc/netplan/10-card.yaml <<END
network:
  version: 2
  renderer: networkd
  ethernets:
    $card:
      virtual-function-count: 2
      embedded-switch-mode: switchdev
      delay-virtual-functions-rebind: true
    enp0s9f0v0:
      link: $card
END
chmod 600 /etc/netplan/10-card.yaml
bound() { ls /sys/bus/pci/drivers/mlx5_core | grep -c "^0000:"; }
netplan apply --sriov-only || exit 3
echo vfs $(cat /sys/class/net/$card/device/sriov_numvfs) bound $(bound)
devlink dev eswitch show pci/0000:00:09.0
devlink port show | grep -c pcivf
netplan rebind $card || exit 4
echo rebound $(bound)
ls /sys/class/net/enp0s9f0v0/device/physfn/net
netplan apply --sriov-only || exit 5
echo again $(bound)
sed -i "/embedded/d; /delay/d; s/virtual-function-count: 2/virtual-function-count: 99/" /etc/netplan/10-card.yaml
netplan apply --sriov-only 2>&1 | tail -n 1
git=/etc/netplan/10-card.yaml; sed -i "s/count: 99/count: 2/" $git
printf "      embedded-switch-mode: switchdev\n      delay-virtual-functions-rebind: true\n" > /etc/netplan/tail
sed -i "/count: 2/r /etc/netplan/tail" $git
netplan generate || exit 6
grep -h ExecStart= /run/systemd/system/netplan-sriov-rebind.service
netplan apply 2>&1 | grep -o "systemctl., .daemon-reload" | head -n 1
userlink dmesg | grep -c WARNING || true
'
"#,
        )
        .good();
    for line in [
        "vfs 2 bound 2",
        "pci/0000:00:09.0: mode switchdev inline-mode none encap-mode basic",
        "rebound 4",
        "enp0s9f0np0",
        "again 2",
    ] {
        assert!(
            ran.out.lines().any(|found| found == line),
            "{line}: {}",
            ran.tail()
        );
    }
    for part in [
        "cannot allocate more VFs for PF enp0s9f0np0 than supported: 99 > 16",
        "netplan rebind enp0s9f0np0",
    ] {
        assert!(ran.out.contains(part), "{part}: {}", ran.tail());
    }
    assert_eq!(ran.out.lines().last(), Some("0"), "{}", ran.tail());
}
