//! sysfs and debugfs as programs see them: made, read, written and gone, for root and for a user.

use crate::machine::{Machine, Who, is_root};

/// Both kinds of users that can be had here.
fn users() -> impl Iterator<Item = Machine> {
    let root = is_root().then(|| Machine::new(Who::Root)).flatten();
    let machines = root.into_iter().chain(Machine::new(Who::User));
    machines.map(|machine| machine.with(&["--device", "netdevsim@1,ports=0"]))
}

/// Where the files are.
const PLACES: &str = r"
bus=/sys/bus/netdevsim; debug=/sys/kernel/debug/netdevsim; nsim=$bus/devices/netdevsim10
";

/// Runs the script for each user; what it prints must be `expected`.
#[track_caller]
fn prints(script: &str, expected: &str) {
    for machine in users() {
        let ran = machine.run(&format!("{PLACES}\n{script}"));
        assert_eq!(ran.out.trim(), expected.trim(), "{}", ran.tail());
        assert!(!ran.err.contains("panicked"), "{}", ran.tail());
    }
}

#[test]
fn a_device_is_made_and_removed_by_hand() {
    prints(
        r#"
echo "10 2" > $bus/new_device
devlink port show
ls $nsim $bus/devices
readlink -f $debug/netdevsim10/ports/1/dev
cat $debug/netdevsim10/max_macs $debug/netdevsim10/fail_reload
echo Y > $debug/netdevsim10/fail_reload
devlink dev reload netdevsim/netdevsim10 2>&1
echo 10 > $bus/del_device
ls $bus/devices $debug; devlink port show
"#,
        "netdevsim/netdevsim10/0: type eth netdev eni10np1 flavour physical port 1 splittable false
netdevsim/netdevsim10/1: type eth netdev eni10np2 flavour physical port 2 splittable false
/sys/bus/netdevsim/devices:
netdevsim1
netdevsim10

/sys/bus/netdevsim/devices/netdevsim10:
del_port
driver
net
new_port
ptp
sriov_numvfs
subsystem
uevent
/sys/kernel/debug/netdevsim/netdevsim10
32
N
Error: netdevsim: User setup the reload to fail for testing purposes.
kernel answers: Invalid argument
/sys/bus/netdevsim/devices:
netdevsim1

/sys/kernel/debug/netdevsim:
netdevsim1",
    );
}

#[test]
fn a_device_belongs_to_the_namespace_of_whoever_writes() {
    prints(
        r#"
ip netns add n1
echo "10 1" > $bus/new_device
ip netns exec n1 sh -c 'echo "11 1" > /sys/bus/netdevsim/new_device; cd /sys/bus/netdevsim/devices; ls netdevsim10/net netdevsim11/net'
devlink -N n1 port show
ls $bus/devices/netdevsim10/net $bus/devices/netdevsim11/net
ip netns del n1
for i in $(seq 100); do devlink dev show | grep -q netdevsim11 && break; sleep 0.05; done
devlink dev show
"#,
        "netdevsim10/net:

netdevsim11/net:
eni11np1
netdevsim/netdevsim11/0: type eth netdev eni11np1 flavour physical port 1 splittable false
/sys/bus/netdevsim/devices/netdevsim10/net:
eni10np1

/sys/bus/netdevsim/devices/netdevsim11/net:
netdevsim/netdevsim1
netdevsim/netdevsim10
netdevsim/netdevsim11",
    );
}

/// However a fresh sysfs comes about.
#[test]
fn a_fresh_sysfs_has_the_files() {
    prints(
        r"
unshare -m sh -c 'umount -l /sys && mount -t sysfs -o ro,nosuid x /sys && ls -d /sys/bus/netdevsim/devices/netdevsim1 && ls /sys/kernel/debug'
unshare -m sh -c 'cd /mnt && mount -t sysfs x . && ls -d /mnt/bus/netdevsim'
unshare -Urmn sh -c 'mount -t sysfs x /sys && ls -d /sys/bus/netdevsim'
unshare -m sh -c 'mount -t sysfs x /nowhere 2>/dev/null || echo refused'
setpriv --bounding-set=-sys_admin sh -c 'mount -t sysfs x /mnt 2>/dev/null || echo refused'
",
        "/sys/bus/netdevsim/devices/netdevsim1
netdevsim
/mnt/bus/netdevsim
/sys/bus/netdevsim
refused
refused",
    );
}

/// Also where the mount has a descriptor before it has a place. It shows the real files until then, and ours once only after it has
/// been moved.
#[test]
fn a_sysfs_of_the_new_mount_calls_has_the_files() {
    prints(
        r#"
mounts="python3 $CLIENTS/python/mounts.py"
unshare -m sh -c "umount -l /sys && $mounts sysfs /sys && ls -d /sys/bus/netdevsim/devices/netdevsim1 && ls /sys/kernel/debug && grep -c ' /sys .*nosuid' /proc/self/mountinfo"
unshare -m sh -c "mount -t tmpfs x /media && cd /media && mkdir a b && ln -s a c && $mounts sysfs c b && ls a && ls -d b/bus/netdevsim && umount -R b && ls b"
unshare -Urmn sh -c "$mounts sysfs /sys && ls -d /sys/bus/netdevsim"
ip netns add n1
ip netns exec n1 sh -c "echo 10 > /sys/bus/netdevsim/new_device; $mounts sysfs /media && ls /media/class/net /media/devices/netdevsim10/net"
unshare -m sh -c "$mounts sysfs /nowhere 2>&1; $mounts tmpfs /media; ls /media"
setpriv --bounding-set=-sys_admin sh -c "$mounts sysfs /media 2>&1"
"#,
        "no yes
/sys/bus/netdevsim/devices/netdevsim1
netdevsim
1
no yes
yes
b/bus/netdevsim
no yes
/sys/bus/netdevsim
no yes
/media/class/net:
eni10np1
lo

/media/devices/netdevsim10/net:
eni10np1
No such file or directory
no no
Operation not permitted",
    );
}

#[test]
fn modules_are_loaded_and_unloaded() {
    prints(
        r"
modprobe netdevsim && ls -d $bus/devices/netdevsim1
modprobe -r netdevsim; echo $?; ls $bus/devices /sys/kernel/debug; devlink dev show
ls -d /sys/bus/netd* /sys/devices/netd* 2>/dev/null || echo bus and device are gone
modprobe -r netdevsim; echo $?
modprobe netdevsim; echo $?
echo 5 > $bus/new_device && devlink dev show
",
        "/sys/bus/netdevsim/devices/netdevsim1
0
/sys/kernel/debug:
bus and device are gone
0
0
netdevsim/netdevsim5",
    );
}

/// The kernel process is killed: errors, no hangs, and the end says why.
#[test]
fn without_its_server_the_files_fail() {
    for machine in users() {
        let ran = machine.run(
            r"
exec 3<>/sys/kernel/debug/netdevsim/netdevsim1/max_macs
machine=$(tr ' ' '\n' </proc/$PPID/task/$PPID/children | grep . | grep -vx $$)
kill -KILL $machine
for i in $(seq 100); do ls /sys/bus/netdevsim >/dev/null 2>&1 || break; sleep 0.05; done
cat /sys/kernel/debug/netdevsim/netdevsim1/max_macs 2>&1
cat <&3 2>&1
(echo 7 > /sys/bus/netdevsim/new_device) 2>/dev/null || echo refused
exit 3",
        );
        assert_eq!(ran.code, 3, "{}", ran.tail());
        let failed = "Transport endpoint is not connected";
        assert_eq!(ran.out.matches(failed).count(), 2, "{}", ran.tail());
        assert!(ran.out.ends_with("refused\n"), "{}", ran.tail());
        assert!(ran.err.contains("ended early"), "{}", ran.tail());
    }
}

/// The command is faster than the real kernel, which takes the killed process apart.
#[test]
fn a_machine_that_is_killed_by_the_last_command_is_missed() {
    for machine in users() {
        let ran = machine.run(
            r"
echo '7 8' > /sys/bus/netdevsim/new_device
machine=$(tr ' ' '\n' </proc/$PPID/task/$PPID/children | grep . | grep -vx $$)
kill -KILL $machine
exit 3",
        );
        assert_eq!(ran.code, 3, "{}", ran.tail());
        assert!(ran.err.contains("ended early"), "{}", ran.tail());
    }
}

#[test]
fn a_network_device_leads_to_its_device() {
    prints(
        r#"
echo "10 1" > $bus/new_device
readlink -f /sys/class/net/eni10np1/device /sys/class/net/eni10np1/subsystem /sys/class/net/lo
cat /sys/class/net/eni10np1/flags
ip link set eni10np1 up && cat /sys/class/net/eni10np1/flags
ip link set eni10np1 name other
for i in $(seq 100); do [ -d $nsim/net/other ] && break; sleep 0.05; done
ls $nsim/net; readlink /sys/class/net/other
ip netns add n1; ip netns exec n1 ls /sys/class/net
"#,
        "/sys/devices/netdevsim10
/sys/class/net
/sys/devices/virtual/net/lo
0x2
0x3
other
../../devices/netdevsim10/net/other
lo",
    );
}

/// Our devices are among the real ones, each below what it is part of, and links lead there and back.
#[test]
fn devices_are_in_sys_devices() {
    prints(
        r"
ls /sys/devices | grep -x -e netdevsim1 -e system -e virtual
cat /sys/devices/system/cpu/online | cmp - /sys/bus/cpu/devices/../../../devices/system/cpu/online
readlink $bus/devices/netdevsim1 $bus/drivers/netdevsim/netdevsim1
cd -P $bus/devices/netdevsim1 && pwd && readlink subsystem driver
ip netns add n1
ip netns exec n1 sh -c 'echo 7 > /sys/bus/netdevsim/new_device; ls -d /sys/devices/netdevsim7/net/* /sys/devices/virtual/net/lo'
ls /sys/devices/netdevsim7/net
",
        "netdevsim1
system
virtual
../../../devices/netdevsim1
../../../../devices/netdevsim1
/sys/devices/netdevsim1
../../bus/netdevsim
../../bus/netdevsim/drivers/netdevsim
/sys/devices/netdevsim7/net/eni7np1
/sys/devices/virtual/net/lo",
    );
    for machine in users() {
        let machine = machine.with(&["--device", "mlx5"]);
        let ran = machine.run(
            "ls -d /sys/devices/pci*/0000:00:09.0/mlx5_core.eth.0
             readlink /sys/bus/auxiliary/devices/mlx5_core.eth.0
             for at in /sys/devices/pci0000:00/*:*; do [ -e $at/vendor ] || echo nothing at $at; done
             echo 2 > /sys/bus/pci/devices/0000:00:09.0/sriov_numvfs
             readlink -f /sys/bus/pci/devices/0000:00:09.0/virtfn0/subsystem",
        );
        assert_eq!(
            ran.out.trim(),
            "/sys/devices/pci0000:00/0000:00:09.0/mlx5_core.eth.0
../../../devices/pci0000:00/0000:00:09.0/mlx5_core.eth.0
/sys/bus/pci",
            "{}",
            ran.tail()
        );
    }
}

/// What a network device shows of its port is devlink's, and what may be written is the real device's.
#[test]
fn a_network_device_shows_its_port() {
    prints(
        r#"
echo "10 1" > $bus/new_device; cd /sys/class/net/eni10np1
cat phys_port_name; tr -d '[0-9a-f]' < phys_switch_id; tr -d '
' < phys_switch_id | wc -c
cat phys_port_id 2>&1
echo 1400 > mtu && cat mtu; ip -o link show eni10np1 | grep -o 'mtu 1400'
echo 0x3 > flags && ip -o link show eni10np1 | grep -o '<BROADCAST,UP'
echo nonsense > mtu; echo 1 > type
echo alias > ifalias; cat ifalias queues/rx-0/rps_flow_cnt statistics/rx_errors
setpriv --bounding-set=-net_admin --inh-caps=-net_admin sh -c 'echo 1300 > mtu'; cat mtu
"#,
        "p1

64
cat: phys_port_id: No such file or directory
1400
mtu 1400
<BROADCAST,UP
alias
0
0
1400",
    );
}

/// A port that is added by hand has the address that was asked for, and is gone after a reload.
#[test]
fn ports_are_added_and_removed_by_hand() {
    prints(
        r#"
echo "10 1" > $bus/new_device
echo "7 02:00:00:00:00:07" > $nsim/new_port && cat /sys/class/net/eni10np8/address
echo 0 > $nsim/del_port && devlink port show
ls $debug/netdevsim10/ports
devlink dev reload netdevsim/netdevsim10 >/dev/null && devlink port show
echo 2 > $nsim/sriov_numvfs && cat $nsim/sriov_numvfs $debug/netdevsim10/max_vfs
devlink dev eswitch set netdevsim/netdevsim10 mode switchdev
cd $debug/netdevsim10/ports; ls; cat 129/tx_max 129/rate_parent
"#,
        "02:00:00:00:00:07
netdevsim/netdevsim10/7: type eth netdev eni10np8 flavour physical port 8 splittable false
7
netdevsim/netdevsim10/0: type eth netdev eni10np1 flavour physical port 1 splittable false
2
4
0
128
129
0",
    );
}

/// Garbage, empty, overlong and binary text to every file, and reads at odd places: the kernel's errors, and nothing changes.
#[test]
fn bad_input_changes_nothing() {
    for machine in users() {
        let ran = machine
            .run(&format!(
                "{PLACES}
echo '10 2' > $bus/new_device; echo 2 > $nsim/sriov_numvfs
python3 $CLIENTS/python/files.py $bus $debug /sys/devices/netdevsim10; devlink port show; userlink dmesg"
            ))
            .good();
        let first = ran.out.lines().next().unwrap_or_default();
        let errors: Vec<&str> = first.split(' ').skip(2).collect();
        let expected = [
            "EBUSY",
            "EEXIST",
            "EINVAL",
            "ENODEV",
            "ENOENT",
            "ENOSPC",
            "ENOTSUP",
            "EOVERFLOW",
            "EPERM",
            "ERANGE",
        ];
        assert!(
            first.contains(" files ") && errors.iter().all(|error| expected.contains(error)),
            "{}",
            ran.tail()
        );
        assert!(
            ran.out.contains("netdevsim/netdevsim10/1:"),
            "{}",
            ran.tail()
        );
        assert!(!ran.out.contains("WARNING:"), "{}", ran.tail());
    }
}

/// A device is deleted with its files open, its network device up and its directory the working directory.
#[test]
fn a_device_goes_while_it_is_in_use() {
    prints(
        r#"
ip netns add n1
echo "10 1" > $bus/new_device; ip link set eni10np1 up
exec 3<>$debug/netdevsim10/max_macs 4<>$nsim/sriov_numvfs
cd $nsim
echo 10 > $bus/del_device; echo $?
cat <&3 2>&1; cat <&4 2>&1; ls; ls $bus/devices
for try in 1 2 3; do
    ip netns exec n1 sh -c 'echo "11 2" > /sys/bus/netdevsim/new_device'
    ip netns del n1 & echo 11 > $bus/del_device; wait; ip netns add n1
done
devlink dev show
"#,
        "0
cat: -: Input/output error
cat: -: No such device
netdevsim1
netdevsim/netdevsim1",
    );
}

/// Eight shells make and remove devices at once, some of them in namespaces that come and go; nothing is left, and no lock was
/// taken in the wrong order. `./x bench netdevsim` does it with more devices and more often.
#[test]
fn many_shells_leave_nothing() {
    let Some(machine) = Machine::new(Who::User) else {
        return;
    };
    let ran = machine
        .with(&["--device", "netdevsim@1,ports=0"])
        .run(&format!("set -- 24 8 2\n{}", include_str!("../storm.sh")))
        .good();
    let mut checked = 0;
    for line in ran.out.lines() {
        let [what, before, after] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line} in {}", ran.tail());
        };
        let [before, after] = [before, after].map(|number| number.parse::<u64>().expect(line));
        assert!(
            after <= before || what == "memory",
            "{line} in {}",
            ran.tail()
        );
        checked += 1;
    }
    assert_eq!(checked, 8, "{}", ran.tail());
    assert_eq!(ran.err.lines().count(), 1, "{}", ran.tail());
}

/// Scripts wait with it for the names of what they have made.
#[test]
fn udev_settles() {
    let has_udev = |machine: &Machine| machine.outside("command -v udevadm").code == 0;
    if users().next().is_some_and(|machine| !has_udev(&machine)) {
        return crate::machine::skip("there is no udevadm here");
    }
    prints(
        r#"
echo "10 2" > $bus/new_device
udevadm settle; echo $?
ls /sys/class/net | grep eni10
echo 10 > $bus/del_device; udevadm settle; echo $?
"#,
        "0
eni10np1
eni10np2
0",
    );
}
