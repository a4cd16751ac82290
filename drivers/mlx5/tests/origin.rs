//! The mail that userlink starts from, with the driver's locking of November 2021: reload into a namespace, delete the
//! namespace. One test in a process of its own, because what the lock validator has learnt is the process's.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use driver_testkit::{Machine, task};
use lockdep::order::Held;
use lockdep::{Banner, ReportKind};
use mlx5::{Config, DriverLocking, Module, Profile};
use netlink::KernelVersion;

const DEVICE: &str = "pci/0000:00:09.0";

/// A card with one physical function.
fn single_port() -> Profile {
    let mut profile = Profile::connectx_7();
    profile.physical_functions = 1;
    profile
}

/// The stack of a report's dependency on `class`, from its headline to the next one.
fn dependency<'t>(text: &'t str, class: &str) -> &'t str {
    let headline = format!("({class}){{");
    let mut parts = text.split("\n-> #").skip(1);
    parts
        .find(|part| part.contains(&headline))
        .unwrap_or_else(|| panic!("no dependency on {class} in\n{text}"))
}

/// The functions are in the stack, innermost first.
fn assert_stack(text: &str, functions: &[&str]) {
    let mut rest = text;
    for function in functions {
        let at = rest
            .find(function)
            .unwrap_or_else(|| panic!("no {function} where it should be in\n{text}"));
        rest = &rest[at + function.len()..];
    }
}

#[test]
fn namespace_exit_against_reload_as_of_november_2021() {
    lockdep::set_handler(|_| ());
    let machine = Machine::new(KernelVersion::DEFAULT);
    let config = Config {
        locking: DriverLocking::November2021,
        udev_names: true,
        ..Config::default()
    };
    let module = Module::new(
        machine.driver_core.clone(),
        machine.net_core.clone(),
        machine.devlink.clone(),
        config,
    );
    task("modprobe", || {
        let mut held = Held::root();
        let address = "0000:00:09.0".parse().unwrap();
        module.plug(&mut held, address, single_port()).unwrap();
        module.load(&mut held).unwrap();
    });
    let n1 = machine.netns_add("n1");
    let init = machine.client(machine.init_net());
    task("devlink", || init.reload(DEVICE, Some(n1)).unwrap());
    assert_eq!(
        machine.client(n1).dev_show(),
        [format!("{DEVICE}: index 0")]
    );
    assert!(init.dev_show().is_empty());
    assert!(lockdep::reports().is_empty(), "so far all is in order");

    machine.netns_del("n1");

    // It is reported, not entered: the device is back.
    assert_eq!(init.dev_show(), [format!("{DEVICE}: index 0")]);
    let port = format!(
        "{DEVICE}/65535: type eth netdev enp0s9np0 flavour physical port 0 splittable false"
    );
    assert_eq!(init.port_show(), [port]);

    let reports = lockdep::reports();
    let kinds: Vec<_> = reports.iter().map(|report| report.kind()).collect();
    assert_eq!(kinds, [ReportKind::Circular, ReportKind::Recursive]);
    let banner = Banner {
        modules: vec!["mlx5".into()],
        ..Banner::default()
    };

    let circular = reports[0].kernel_text(&banner);
    println!("{circular}");
    assert_eq!(
        reports[0].classes(),
        [
            "&devlink->lock",
            "&dev->intf_state_mutex",
            "mlx5_intf_mutex",
            "pernet_ops_rwsem"
        ]
    );
    for line in [
        "WARNING: possible circular locking dependency detected",
        "is trying to acquire lock:",
        "&devlink->lock --> mlx5_intf_mutex --> pernet_ops_rwsem",
        "Workqueue: netns cleanup_net",
        "#0: ",
        "((wq_completion)netns)",
        "(net_cleanup_work)",
    ] {
        assert!(circular.contains(line), "no `{line}` in\n{circular}");
    }
    // Every dependency was learnt where the mail's was.
    assert_stack(
        dependency(&circular, "pernet_ops_rwsem"),
        &[
            "unregister_netdevice_notifier",
            "mlx5::rdma::roce_cleanup",
            "mlx5::rdma::mlx5r_remove",
            "auxiliary_bus_remove",
            "device_release_driver",
            "bus_remove_device",
            "mlx5::dev::detach_device",
            "mlx5::core::unload_one",
            "mlx5::ops::devlink_reload_down",
            "devlink_reload",
        ],
    );
    assert_stack(
        dependency(&circular, "mlx5_intf_mutex"),
        &[
            "mlx5::lag::lag_add_mdev",
            "mlx5::core::load",
            "mlx5::core::init_one",
            "mlx5::core::probe_one",
            "pci_device_probe",
            "really_probe",
        ],
    );
    assert_stack(
        dependency(&circular, "&dev->intf_state_mutex"),
        &[
            "mlx5::core::unload_one",
            "mlx5::ops::devlink_reload_down",
            "devlink_reload",
        ],
    );
    assert_stack(
        dependency(&circular, "&devlink->lock"),
        &["devlink_pernet_pre_exit", "cleanup_net", "process_one_work"],
    );

    let recursive = reports[1].kernel_text(&banner);
    println!("{recursive}");
    for line in [
        "WARNING: possible recursive locking detected",
        "(pernet_ops_rwsem)",
        "Workqueue: netns cleanup_net",
    ] {
        assert!(recursive.contains(line), "no `{line}` in\n{recursive}");
    }

    // The driver said that it leaves the declared order; that is how all this could compile.
    assert!(!lockdep::order::escapes().is_empty());
    task("rmmod", || module.unload(&mut Held::root()).unwrap());
    assert!(init.dev_show().is_empty());
    assert_eq!(machine.devlink.warnings(), 0);
}
