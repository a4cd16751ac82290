//! What users see of a function: info, parameters, the uplink port, reload actions, notifications and the log.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod support;

use std::sync::Arc;

use driver_testkit::client::Value;
use driver_testkit::{Client, Machine, Refusal};
use lockdep::order::Held;
use mlx5::{Config, Module, Profile};
use netlink::KernelVersion;
use rustix::io::Errno;

const DEVICE: &str = "pci/0000:00:09.0";
/// Where newer kernels have the function's port.
const ETH: &str = "auxiliary/mlx5_core.eth.0";
const RUNTIME: u8 = 0;
const DRIVERINIT: u8 = 1;
const PERMANENT: u8 = 2;

/// A card with one physical function.
fn single_port() -> Profile {
    let mut profile = Profile::connectx_7();
    profile.physical_functions = 1;
    profile
}

struct Host {
    machine: Arc<Machine>,
    module: Arc<Module>,
}

fn host_with(kernel: KernelVersion, profile: Profile) -> Host {
    let machine = Machine::new(kernel);
    let config = Config {
        udev_names: true,
        ..Config::default()
    };
    let module = support::plug(&machine, config, profile);
    Host { machine, module }
}

fn host(kernel: KernelVersion) -> Host {
    host_with(kernel, single_port())
}

impl Host {
    fn client(&self) -> Client {
        self.machine.client(self.machine.init_net())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.module.unload(&mut Held::root()).unwrap();
        assert_eq!(self.machine.devlink.warnings(), 0);
    }
}

fn refused(errno: Errno, text: &str) -> Result<(), Refusal> {
    Err(Refusal {
        errno,
        text: text.to_owned(),
    })
}

#[test]
fn info_shows_serials_and_versions() {
    let host = host(KernelVersion::V7_2);
    assert_eq!(
        host.client().dev_info(DEVICE),
        [
            DEVICE,
            "driver mlx5_core",
            "serial_number 7c1e5a90d3b4ef118000a088c2f0347e",
            "board.serial_number MT2421XZ0C7U",
            "fixed fw.psid MT_0000000838",
            "running fw.version 28.41.1000",
            "running fw 28.41.1000",
            "stored fw.version 28.41.1000",
            "stored fw 28.41.1000",
        ]
    );
}

#[test]
fn older_kernels_tell_no_serials() {
    for kernel in [KernelVersion::V6_1, KernelVersion::V6_12] {
        let info = host(kernel).client().dev_info(DEVICE);
        assert_eq!(
            info[1..3],
            ["driver mlx5_core", "fixed fw.psid MT_0000000838"]
        );
    }
}

#[test]
fn every_parameter_has_its_first_value() {
    let host = host(KernelVersion::V7_2);
    assert_eq!(
        host.client().param_show(),
        [
            "name max_macs type generic cmode driverinit value 128 default 128",
            "name enable_sriov type generic cmode permanent value true",
            "name enable_roce type generic cmode driverinit value true default true",
            "name enable_remote_dev_reset type generic cmode runtime value true",
            "name enable_eth type generic cmode driverinit value true default true",
            "name enable_rdma type generic cmode driverinit value true default true",
            "name io_eq_size type generic cmode driverinit value 1024 default 1024",
            "name event_eq_size type generic cmode driverinit value 4096 default 4096",
            "name total_vfs type generic cmode permanent value 16",
            "name num_doorbells type generic cmode driverinit value 8 default 8",
            "name flow_steering_mode type driver-specific cmode runtime value smfs",
            "name fdb_large_groups type driver-specific cmode driverinit value 15 default 15",
            "name esw_port_metadata type driver-specific cmode runtime value true",
            "name esw_multiport type driver-specific cmode runtime value false",
            "name hairpin_num_queues type driver-specific cmode driverinit value 2 default 2",
            "name hairpin_queue_size type driver-specific cmode driverinit value 1024 default 1024",
            "name pcie_cong_inbound_low type driver-specific cmode driverinit value 7500 default 7500",
            "name pcie_cong_inbound_high type driver-specific cmode driverinit value 9000 default 9000",
            "name pcie_cong_outbound_low type driver-specific cmode driverinit value 7500 default 7500",
            "name pcie_cong_outbound_high type driver-specific cmode driverinit value 9000 default 9000",
            "name cqe_compress_type type driver-specific cmode permanent value balanced",
            "name swp_l4_csum_mode type driver-specific cmode permanent value default default default",
        ]
    );
}

#[test]
fn older_kernels_have_fewer_parameters() {
    let names = |kernel| -> Vec<String> {
        let shown = host(kernel).client().param_show();
        shown
            .iter()
            .map(|line| line.split(' ').nth(1).unwrap().to_owned())
            .collect()
    };
    // 6.1 has them in the order of their registration, newer ones by number.
    let of_6_1 = [
        "flow_steering_mode",
        "enable_roce",
        "fdb_large_groups",
        "esw_port_metadata",
        "enable_remote_dev_reset",
        "io_eq_size",
        "event_eq_size",
        "enable_eth",
        "enable_rdma",
        "max_macs",
    ];
    assert_eq!(names(KernelVersion::V6_1), of_6_1);
    let by_number = [
        "max_macs",
        "enable_roce",
        "enable_remote_dev_reset",
        "enable_eth",
        "enable_rdma",
        "io_eq_size",
        "event_eq_size",
        "flow_steering_mode",
        "fdb_large_groups",
        "esw_port_metadata",
    ];
    let newer = ["esw_multiport", "hairpin_num_queues", "hairpin_queue_size"];
    let of_6_12 = [&by_number[..], &newer].concat();
    assert_eq!(names(KernelVersion::V6_12), of_6_12);
}

#[test]
fn values_that_the_function_cannot_have_are_refused_with_the_drivers_words() {
    let host = host(KernelVersion::V7_2);
    let client = host.client();
    let set = |name, value, cmode| client.param_set(DEVICE, name, value, cmode);
    let invalid = |text| refused(Errno::INVAL, text);
    let unsupported = |text| refused(Errno::OPNOTSUPP, text);

    for bad in [0, 1025] {
        assert_eq!(
            set("fdb_large_groups", Value::U32(bad), DRIVERINIT),
            unsupported("mlx5_core: Unsupported group number, supported range is 1-1024")
        );
    }
    assert_eq!(set("io_eq_size", Value::U32(63), DRIVERINIT), invalid(""));
    assert_eq!(
        set("event_eq_size", Value::U32(4097), DRIVERINIT),
        invalid("")
    );
    assert_eq!(
        set("hairpin_num_queues", Value::U32(0), DRIVERINIT),
        invalid("")
    );
    assert_eq!(
        set("hairpin_queue_size", Value::U32(1000), DRIVERINIT),
        invalid("mlx5_core: Value is not power of two")
    );
    assert_eq!(
        set("hairpin_queue_size", Value::U32(16384), DRIVERINIT),
        invalid("mlx5_core: Maximum hairpin queue size is 8192")
    );
    assert_eq!(
        set("num_doorbells", Value::U32(65), DRIVERINIT),
        invalid("mlx5_core: Requested num_doorbells (65) exceeds max number of channels (64)")
    );
    assert_eq!(
        set("max_macs", Value::U32(0), DRIVERINIT),
        invalid("mlx5_core: max_macs value must be greater than 0")
    );
    assert_eq!(
        set("max_macs", Value::U32(100), DRIVERINIT),
        invalid("mlx5_core: Only power of 2 values are supported for max_macs")
    );
    assert_eq!(
        set("max_macs", Value::U32(256), DRIVERINIT),
        invalid("mlx5_core: max_macs value is out of the supported range")
    );
    assert_eq!(
        set("pcie_cong_inbound_low", Value::U16(10001), DRIVERINIT),
        invalid("mlx5_core: Value 10001 > max supported (10000)")
    );
    assert_eq!(
        set("flow_steering_mode", Value::Str("fast"), RUNTIME),
        invalid(r#"mlx5_core: Bad parameter: supported values are ["dmfs", "smfs", "hmfs"]"#)
    );
    assert_eq!(
        set("esw_multiport", Value::Bool(true), RUNTIME),
        unsupported("")
    );
    assert_eq!(
        set("total_vfs", Value::U32(128), PERMANENT),
        invalid("mlx5_core: Max allowed by device is 127")
    );
    assert_eq!(
        set("cqe_compress_type", Value::Str("off"), PERMANENT),
        unsupported("mlx5_core: Invalid value, supported values are balanced/aggressive")
    );
    assert_eq!(
        set("swp_l4_csum_mode", Value::Str("default"), PERMANENT),
        invalid("mlx5_core: Invalid value, supported values are full_csum/l4_only")
    );
}

#[test]
fn values_are_kept_where_they_belong() {
    let host = host(KernelVersion::V7_2);
    let client = host.client();
    let set = |name, value, cmode| client.param_set(DEVICE, name, value, cmode).unwrap();
    set("flow_steering_mode", Value::Str("dmfs"), RUNTIME);
    set("swp_l4_csum_mode", Value::Str("l4_only"), PERMANENT);
    set("io_eq_size", Value::U32(256), DRIVERINIT);
    client.reload(DEVICE, None).unwrap();
    let expected = [
        "name flow_steering_mode type driver-specific cmode runtime value dmfs",
        "name swp_l4_csum_mode type driver-specific cmode permanent value l4_only default default",
        "name io_eq_size type generic cmode driverinit value 256 default 1024",
    ];
    for line in expected {
        let name = line.split(' ').nth(1).unwrap();
        assert_eq!(client.param(DEVICE, name), line);
    }
    set("swp_l4_csum_mode", Value::Default, PERMANENT);
    assert!(
        client
            .param(DEVICE, "swp_l4_csum_mode")
            .contains("value default")
    );
}

#[test]
fn enable_eth_decides_about_the_port_at_the_next_reload() {
    let host = host(KernelVersion::V7_2);
    let client = host.client();
    let port =
        format!("{ETH}/65535: type eth netdev enp0s9np0 flavour physical port 0 splittable false");
    client
        .param_set(DEVICE, "enable_eth", Value::Bool(false), DRIVERINIT)
        .unwrap();
    assert_eq!(client.port_show(), std::slice::from_ref(&port), "not yet");
    client.reload(DEVICE, None).unwrap();
    assert!(client.port_show().is_empty());
    let parts = || host.machine.driver_core.auxiliary().devices().len();
    assert_eq!(parts(), 2, "without the Ethernet part");
    client
        .param_set(DEVICE, "enable_eth", Value::Bool(true), DRIVERINIT)
        .unwrap();
    client.reload(DEVICE, None).unwrap();
    assert_eq!(client.port_show(), [port]);
    assert_eq!(parts(), 3);
}

#[test]
fn parts_are_bound_by_their_own_drivers() {
    let host = host(KernelVersion::V7_2);
    let parts = host.machine.driver_core.auxiliary().devices();
    let bound: Vec<_> = parts
        .iter()
        .map(|part| {
            (
                part.name().to_owned(),
                part.driver().unwrap().name().to_owned(),
            )
        })
        .collect();
    assert_eq!(
        bound,
        [
            ("mlx5_core.eth.0".to_owned(), "mlx5_core.eth".to_owned()),
            ("mlx5_core.rdma.0".to_owned(), "mlx5_ib.rdma".to_owned()),
            (
                "mlx5_core.fwctl.0".to_owned(),
                "mlx5_fwctl.mlx5_fwctl".to_owned()
            ),
        ]
    );
    let ib = parts[1].drvdata::<mlx5::rdma::IbDevice>().unwrap();
    assert_eq!(ib.name(), "rocep0s9");
    assert_eq!(ib.netdev().unwrap().name(), "enp0s9np0");
}

#[test]
fn the_rdma_part_follows_the_network_device_into_a_namespace() {
    let host = host(KernelVersion::V7_2);
    let netns = host.machine.netns_add("n1");
    host.client().reload(DEVICE, Some(netns)).unwrap();
    let rdma = host
        .machine
        .driver_core
        .auxiliary()
        .find_device("mlx5_core.rdma.0")
        .unwrap();
    let ib = rdma.drvdata::<mlx5::rdma::IbDevice>().unwrap();
    assert_eq!(ib.netdev().unwrap().net().id(), netns);
    host.machine.netns_del("n1");
    let rdma = host
        .machine
        .driver_core
        .auxiliary()
        .find_device("mlx5_core.rdma.0")
        .unwrap();
    let ib = rdma.drvdata::<mlx5::rdma::IbDevice>().unwrap();
    assert_eq!(ib.netdev().unwrap().net().id(), host.machine.init_net());
}

#[test]
fn reload_tells_what_goes_and_what_comes() {
    let host = host(KernelVersion::V6_12);
    let monitor = host.client().monitor();
    host.client().reload(DEVICE, None).unwrap();
    let port = format!("{ETH}/65535");
    let rest = "flavour physical port 0 splittable false";
    let steering =
        format!("{DEVICE}: name flow_steering_mode type driver-specific cmode runtime value smfs");
    let group = "name l2_drops generic true bytes 0 packets 0";
    let trap = "type drop generic true action drop group l2_drops bytes 0 packets 0";
    let mut heard = monitor.heard();
    // The instance itself, which tells of what is nested in it from a work item, whenever that runs.
    heard.retain(|line| *line != format!("[dev,new] {DEVICE}"));
    assert_eq!(
        heard,
        [
            format!("[port,new] {port}: type eth {rest}"),
            format!("[port,new] {port}: type notset {rest}"),
            format!("[port,del] {port}: type notset {rest}"),
            format!("[dev,del] {ETH}"),
            format!("[trap,del] {DEVICE}: name dmac_filter {trap}"),
            format!("[trap,del] {DEVICE}: name ingress_vlan_filter {trap}"),
            format!("[trap-group,del] {DEVICE}: {group}"),
            format!("[param,del] {steering}"),
            format!("[param,new] {steering}"),
            format!("[trap-group,new] {DEVICE}: {group}"),
            format!("[trap,new] {DEVICE}: name ingress_vlan_filter {trap}"),
            format!("[trap,new] {DEVICE}: name dmac_filter {trap}"),
            format!("[dev,new] {ETH}"),
            format!("[port,new] {port}: type notset {rest}"),
            format!("[port,new] {port}: type eth {rest}"),
            format!("[port,new] {port}: type eth netdev enp0s9np0 {rest}"),
        ]
    );
}

#[test]
fn firmware_activation_reloads_the_driver_too() {
    let mut profile = single_port();
    profile.fw_stored.subminor = 1002;
    let host = host_with(KernelVersion::V7_2, profile);
    let client = host.client();
    let both = 1 << 1 | 1 << 2;
    assert!(
        client
            .dev_info(DEVICE)
            .contains(&"running fw 28.41.1000".to_owned())
    );
    assert_eq!(client.reload_action(DEVICE, 2, false), Ok(both));
    assert!(
        client
            .dev_info(DEVICE)
            .contains(&"running fw 28.41.1002".to_owned())
    );
    assert_eq!(client.port_show().len(), 1);
    assert_eq!(
        client.reload_stats(DEVICE),
        [
            "driver_reinit unspecified 1",
            "fw_activate unspecified 1",
            "fw_activate no_reset 0",
        ]
    );
    let log = host.machine.log();
    let position = |text: &str| log.iter().position(|line| line.contains(text)).unwrap();
    let order = [
        position("PCI Sync FW Update Reset Ack. Device reset is expected."),
        position("Sync Reset now. Device is going to reset."),
        position("PCI Link up"),
        position("firmware version: 28.41.1002"),
    ];
    assert!(order.is_sorted(), "{order:?}");
}

#[test]
fn firmware_that_cannot_be_activated_says_why() {
    let mut profile = single_port();
    let host = host_with(KernelVersion::V7_2, profile.clone());
    let refused = |text: &str| {
        Err(Refusal {
            errno: Errno::INVAL,
            text: text.to_owned(),
        })
    };
    assert_eq!(
        host.client().reload_action(DEVICE, 2, true),
        refused("mlx5_core: FW upgrade to the stored FW can't be done by FW live patching")
    );
    drop(host);

    profile.reset_levels.pci_reset = false;
    profile.reset_levels.live_patch = true;
    let host = host_with(KernelVersion::V7_2, profile);
    assert_eq!(
        host.client().reload_action(DEVICE, 2, false),
        refused("mlx5_core: FW activate requires reboot")
    );
    assert_eq!(host.client().reload_action(DEVICE, 2, true), Ok(1 << 2));
    assert_eq!(
        host.client().port_show().len(),
        1,
        "the driver stayed loaded"
    );
}

#[test]
fn the_log_is_a_real_cards() {
    let host = host(KernelVersion::V7_2);
    assert_eq!(
        host.machine.log(),
        [
            "enabling device (0000 -> 0002)",
            "firmware version: 28.41.1000",
            "252.048 Gb/s available PCIe bandwidth (16.0 GT/s PCIe x16 link)",
            "Rate limit: 127 rates are supported, range: 0Mbps to 97656Mbps",
            "E-Switch: Total vports 18, per vport: max uc(128) max mc(2048)",
            "Port module event: module 0, Cable plugged",
            "MLX5E: StrdRq(1) RqSz(8) StrdSz(2048) RxCqeCmprss(0 enhanced)",
        ]
        .map(|text| format!("mlx5_core 0000:00:09.0: {text}"))
    );
}

#[test]
fn removal_says_what_a_real_card_says() {
    let host = host(KernelVersion::V7_2);
    let pci = host.machine.driver_core.pci();
    let before = host.machine.log().len();
    let function = pci.find_device("0000:00:09.0").unwrap();
    pci.remove_device(&mut Held::root(), &function);
    assert!(host.client().dev_show().is_empty());
    let status = "mode(LEGACY), nvfs(0), necvfs(0), active vports(0)";
    assert_eq!(
        host.machine.log()[before..],
        [
            format!("mlx5_core 0000:00:09.0: E-Switch: Unload vfs: {status}"),
            format!("mlx5_core 0000:00:09.0: E-Switch: Disable: {status}"),
            format!("mlx5_core 0000:00:09.0: E-Switch: Disable: {status}"),
            "mlx5_core 0000:00:09.0: E-Switch: cleanup".to_owned(),
        ]
    );
}

#[test]
fn two_functions_of_an_adapter_have_their_own_numbers() {
    let mut profile = single_port();
    profile.physical_functions = 2;
    let host = host_with(KernelVersion::V6_12, profile);
    let client = host.client();
    let rest = "splittable false";
    assert_eq!(
        client.port_show(),
        [
            format!(
                "auxiliary/mlx5_core.eth.0/65535: type eth netdev enp0s9f0np0 flavour physical port 0 {rest}"
            ),
            format!(
                "auxiliary/mlx5_core.eth.1/131071: type eth netdev enp0s9f1np1 flavour physical port 1 {rest}"
            ),
        ]
    );
    // One leaves the adapter and comes back, the other stays.
    client.reload("pci/0000:00:09.1", None).unwrap();
    client.reload("pci/0000:00:09.0", None).unwrap();
    assert_eq!(client.port_show().len(), 2);
    assert!(lockdep::reports().is_empty());
}
