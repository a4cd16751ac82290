//! One card, many views of it: whatever is changed, from whichever side, devlink, `ip`, `rdma` and sysfs agree afterwards.

use crate::machine::{Machine, Who};

#[test]
fn change_one_and_all_follow() {
    let Some(machine) = Machine::new(Who::User) else {
        return;
    };
    let ran = machine.python("views.py").good();
    let expected = "\
the card is plugged in: 5 instances, legacy, 2 physical, 2 rdma
two virtual functions: 9 instances, legacy, 2 physical, 2 virtual, 4 rdma
the first one is unbound: 7 instances, legacy, 2 physical, 1 virtual, 3 rdma
it is for another driver: 7 instances, legacy, 2 physical, 1 virtual, 3 rdma
it is probed again: 9 instances, legacy, 2 physical, 2 virtual, 4 rdma
two that no driver gets: 5 instances, legacy, 2 physical, 2 rdma
the first one is given by name: 7 instances, legacy, 2 physical, 1 virtual, 3 rdma
the second one is given: 9 instances, legacy, 2 physical, 2 virtual, 4 rdma
switchdev: 9 instances, switchdev, 2 pcivf, 2 physical, 2 virtual, 4 rdma
the first one has an address: 9 instances, switchdev, 2 pcivf, 2 physical, 2 virtual, 4 rdma
a representor is renamed: 9 instances, switchdev, 2 pcivf, 2 physical, 2 virtual, 4 rdma
the uplink is up: 9 instances, switchdev, 2 pcivf, 2 physical, 2 virtual, 4 rdma
a virtual function's device is elsewhere: 9 instances, switchdev, 2 pcivf, 2 physical, 1 virtual, 4 rdma
it is back: 9 instances, switchdev, 2 pcivf, 2 physical, 2 virtual, 4 rdma
a sub-function: 9 instances, switchdev, 1 pcisf, 2 pcivf, 2 physical, 2 virtual, 4 rdma
it is active: 10 instances, switchdev, 1 pcisf, 2 pcivf, 2 physical, 2 virtual, 4 rdma
it has a network device: 11 instances, switchdev, 1 pcisf, 2 pcivf, 2 physical, 3 virtual, 4 rdma
its driver is gone: 9 instances, switchdev, 1 pcisf, 2 pcivf, 2 physical, 2 virtual, 4 rdma
its driver is back: 10 instances, switchdev, 1 pcisf, 2 pcivf, 2 physical, 2 virtual, 4 rdma
it is inactive: 9 instances, switchdev, 1 pcisf, 2 pcivf, 2 physical, 2 virtual, 4 rdma
it is deleted: 9 instances, switchdev, 2 pcivf, 2 physical, 2 virtual, 4 rdma
the Ethernet part is unbound: 8 instances, switchdev, 2 pcivf, 1 physical, 2 virtual, 4 rdma
the Ethernet part is bound: 9 instances, switchdev, 2 pcivf, 2 physical, 2 virtual, 4 rdma
legacy: 9 instances, legacy, 2 physical, 2 virtual, 4 rdma
the InfiniBand part is unbound: 9 instances, legacy, 2 physical, 2 virtual, 3 rdma
the InfiniBand part is bound: 9 instances, legacy, 2 physical, 2 virtual, 4 rdma
reloaded: 9 instances, legacy, 2 physical, 2 virtual, 4 rdma
back from another namespace: 9 instances, legacy, 2 physical, 2 virtual, 4 rdma
unbound: 3 instances, None, 1 physical, 1 rdma
bound: 5 instances, legacy, 2 physical, 2 rdma
a virtual function was removed and made again: 7 instances, legacy, 2 physical, 1 virtual, 3 rdma
removed: 3 instances, None, 1 physical, 1 rdma
found again: 5 instances, legacy, 2 physical, 2 rdma
";
    assert_eq!(ran.out, expected, "{}", ran.tail());
}
