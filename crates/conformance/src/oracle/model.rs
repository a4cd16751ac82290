//! What the generator believes of the machine: enough to ask mostly for what is there.

use super::random::Random;

/// A device of netdevsim.
#[derive(Clone, Debug)]
pub(super) struct Device {
    /// The number in its name.
    pub(super) id: u32,
    /// The indexes of its ports.
    pub(super) ports: Vec<u32>,
    /// Its virtual functions.
    pub(super) functions: u32,
    /// Whether these have ports.
    pub(super) switchdev: bool,
    /// The namespace it was sent to.
    pub(super) space: Option<String>,
}

/// The devices and namespaces.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    /// Those that were made and not removed.
    pub(super) devices: Vec<Device>,
    /// The names of the namespaces.
    pub(super) spaces: Vec<String>,
}

/// The index of the first virtual function's port (`NSIM_DEV_VF_PORT_INDEX_BASE`).
const FIRST_FUNCTION: u32 = 128;

/// What may stand for each kind of word; the first ones are right, or right sometimes.
const WORDS: &[(&str, &[&str])] = &[
    (
        "flags",
        &[
            "", "", "", "-j ", "-jp ", "-p ", "-s ", "-v ", "-js ", "-n ", "-x ",
        ],
    ),
    (
        "param",
        &[
            "max_macs",
            "test1",
            "test2",
            "max_macs",
            "test1",
            "test2",
            "enable_sriov",
            "nope",
            "",
        ],
    ),
    (
        "value",
        &[
            "1",
            "16",
            "true",
            "false",
            "0",
            "77",
            "-1",
            "4294967295",
            "4294967296",
            "1234",
            "nope",
            "yes",
            "\"\"",
        ],
    ),
    (
        "cmode",
        &[
            "driverinit",
            "runtime",
            "driverinit",
            "runtime",
            "permanent",
            "nope",
        ],
    ),
    (
        "action",
        &["driver_reinit", "driver_reinit", "fw_activate", "nope"],
    ),
    (
        "mode",
        &["legacy", "switchdev", "switchdev_inactive", "nope"],
    ),
    ("inline", &["none", "link", "network", "transport", "nope"]),
    ("encap", &["none", "basic", "disable", "enable", "nope"]),
    ("type", &["eth", "ib", "auto", "nope"]),
    ("count", &["1", "2", "4", "0", "x"]),
    ("flavour", &["pcisf", "pcipf", "pcivf", "physical", "nope"]),
    (
        "mac",
        &[
            "00:11:22:33:44:55",
            "00:00:00:00:00:00",
            "ff:ff:ff:ff:ff:ff",
            "01:00:5e:00:00:01",
            "00:11:22:33:44",
            "zz",
        ],
    ),
    ("state", &["active", "inactive", "nope"]),
    ("switch", &["enable", "disable", "nope"]),
    ("bool", &["true", "false", "1", "0", "nope"]),
    ("yesno", &["n", "n", "n", "y", "N", "0", "1", "2", ""]),
    (
        "path",
        &[
            "IPv4",
            "IPv4/fib",
            "IPv4/fib-rules",
            "IPv6",
            "IPv6/fib",
            "IPv6/fib-rules",
            "nexthops",
            "IPv4/nope",
            "nope",
            "/",
        ],
    ),
    (
        "size",
        &[
            "unlimited_is_no_number",
            "100",
            "1000",
            "9999",
            "200",
            "0",
            "1",
            "-1",
            "18446744073709551615",
            "18446744073709551616",
        ],
    ),
    (
        "id",
        &[
            "0",
            "1",
            "2",
            "3",
            "25",
            "25",
            "4294967295",
            "4294967296",
            "-1",
            "x",
        ],
    ),
    ("address", &["0", "3", "32767", "32768", "4294967296", "x"]),
    ("length", &["1", "16", "300", "32768", "0", "40000", "x"]),
    (
        "reporter",
        &["dummy", "empty", "dummy", "empty", "nope", ""],
    ),
    ("region", &["dummy", "dummy", "dummy", "nope"]),
    (
        "period",
        &["0", "60000", "0", "100000", "18446744073709551615", "x"],
    ),
    (
        "trap",
        &[
            "blackhole_route",
            "source_mac_is_multicast",
            "fid_miss",
            "ttl_value_is_too_small",
            "vlan_tag_mismatch",
            "nope",
        ],
    ),
    ("trap_action", &["trap", "drop", "mirror", "nope"]),
    (
        "group",
        &[
            "l2_drops",
            "l3_drops",
            "l3_exceptions",
            "buffer_drops",
            "acl_drops",
            "nope",
        ],
    ),
    ("policer", &["1", "2", "3", "4", "0", "99", "x"]),
    (
        "rate",
        &[
            "1",
            "1000",
            "8000",
            "8001",
            "0",
            "18446744073709551615",
            "x",
        ],
    ),
    (
        "burst",
        &["16", "128", "1", "100", "65536", "65537", "0", "x"],
    ),
    (
        "node",
        &[
            "g0",
            "g1",
            "g2",
            "g3",
            "128",
            "0",
            "a_name_that_is_longer_than_others_are_but_may_be_one",
        ],
    ),
    (
        "share",
        &[
            "0",
            "1mbit",
            "8mbit",
            "1gbit",
            "7bit",
            "100gbit",
            "1000bps",
            "18446744073709551615bps",
            "x",
        ],
    ),
    (
        "number",
        &["0", "1", "5", "1000", "4294967295", "4294967296", "-1", "x"],
    ),
    ("pool", &["0", "1", "65536", "x"]),
    ("pool_type", &["ingress", "egress", "nope"]),
    ("file", &["nosuch.bin", "empty.bin", "nope/nope", ""]),
    ("component", &["fw.mgmt", "fw", "nope"]),
    ("overwrite", &["settings", "identifiers", "nope"]),
    ("card", &["0", "1", "x"]),
    (
        "file_of_device",
        &[
            "max_macs",
            "test1",
            "fail_reload",
            "dont_allow_reload",
            "fw_update_status",
            "fw_update_overwrite_mask",
            "max_vfs",
            "fail_trap_group_set",
            "fail_trap_policer_set",
            "fail_trap_policer_counter_get",
            "fail_trap_drop_counter_get",
            "trap_flow_action_cookie",
            "health/fail_recover",
            "health/binary_len",
            "health/recovered_break_msg",
            "bpf_bind_accept",
            "fw_update_flash_chunk_time_ms",
            "nope",
            "ddir",
        ],
    ),
    (
        "written",
        &[
            "y",
            "n",
            "0",
            "1",
            "5",
            "abc",
            "0a0b",
            "-1",
            "4294967295",
            "",
        ],
    ),
    ("vfs", &["0", "1", "2", "3", "4", "5", "-1", "x"]),
];

impl Model {
    /// A number that no device has.
    pub(super) fn new_id(&self) -> u32 {
        let used = |id: &u32| self.devices.iter().any(|device| device.id == *id);
        (10..).find(|id| !used(id)).unwrap_or(10)
    }

    /// One more device, in the first namespace; its number.
    pub(super) fn add_device(&mut self, ports: u32) -> u32 {
        let id = self.new_id();
        self.devices.push(Device {
            id,
            ports: (0..ports).collect(),
            functions: 0,
            switchdev: false,
            space: None,
        });
        id
    }

    /// One more namespace; its name.
    pub(super) fn add_space(&mut self) -> String {
        let name = |number: u32| format!("ns{number}");
        let number = (1..).find(|&number| !self.spaces.contains(&name(number)));
        let space = name(number.unwrap_or(1));
        self.spaces.push(space.clone());
        space
    }

    /// A device that is there.
    pub(super) fn device(&self, random: &mut Random) -> Option<&Device> {
        (!self.devices.is_empty()).then(|| random.pick(&self.devices))
    }

    /// The handle of a device, most often of one that is there.
    pub(super) fn handle(&self, random: &mut Random) -> String {
        match self.device(random) {
            Some(device) if !random.one_in(20) => format!("netdevsim/netdevsim{}", device.id),
            _ => (*random.pick(&[
                "netdevsim/netdevsim99",
                "pci/0000:01:00.0",
                "netdevsim",
                "netdevsim/",
                "/netdevsim10",
                "eth0",
                "a/b/c/d",
            ]))
            .into(),
        }
    }

    /// A port's index, most often of one that is there.
    pub(super) fn port(&self, random: &mut Random) -> u32 {
        let Some(device) = self.device(random) else {
            return 0;
        };
        if device.switchdev && device.functions > 0 && random.one_in(2) {
            return self.function(random);
        }
        match device.ports.is_empty() || random.one_in(16) {
            true => *random.pick(&[0, 7, 55, 127, 128, 129, u32::MAX]),
            false => *random.pick(&device.ports),
        }
    }

    /// The index of a virtual function's port.
    pub(super) fn function(&self, random: &mut Random) -> u32 {
        FIRST_FUNCTION + random.below(4) as u32
    }

    /// A word of a kind.
    pub(super) fn word(&self, kind: &str, random: &mut Random) -> String {
        match kind {
            "dev" => self.handle(random),
            "port" => format!("{}/{}", self.handle(random), self.port(random)),
            "function" => format!("{}/{}", self.handle(random), self.function(random)),
            "folder" => match self.device(random) {
                Some(device) => format!("netdevsim{}", device.id),
                None => "netdevsim99".into(),
            },
            "index" => self.port(random).to_string(),
            "space" => match self.spaces.is_empty() || random.one_in(16) {
                true => "nowhere".into(),
                false => random.pick(&self.spaces).clone(),
            },
            _ => match WORDS.iter().find(|(name, _)| *name == kind) {
                // Two times of three one of the first half, which has what is right.
                Some((_, words)) => {
                    let end = match random.one_in(3) {
                        true => words.len(),
                        false => words.len().div_ceil(2),
                    };
                    words[random.below(end)].into()
                }
                None => panic!("no words of kind {kind}"),
            },
        }
    }

    /// A template with a word for each kind that stands in braces.
    pub(super) fn fill(&self, template: &str, random: &mut Random) -> String {
        let mut text = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            let (kind, after) = after.split_once('}').expect("templates are ours");
            text += before;
            text += &self.word(kind, random);
            rest = after;
        }
        text + rest
    }
}
