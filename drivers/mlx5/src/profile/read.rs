//! Reading a profile: every mistake with its file, its line, and what is expected there.

use std::fmt;

use serde::{Deserialize, Deserializer, de};
use toml::Spanned;

use super::{EswitchProfile, FwVersion, Profile, ResetLevels};

/// A mistake in a profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {what}")]
pub struct ProfileError {
    /// The file, or the built-in profile's name.
    pub file: String,
    /// Its line, from 1.
    pub line: usize,
    /// What is wrong, and what is expected.
    pub what: String,
}

impl Profile {
    /// Reads a profile; `file` is what it is called in messages.
    ///
    /// # Errors
    /// The first mistake.
    pub fn from_toml(file: &str, text: &str) -> Result<Profile, ProfileError> {
        let line_at = |offset: usize| {
            let before = text.as_bytes().iter().take(offset);
            1 + before.filter(|byte| **byte == b'\n').count()
        };
        let mistake = |offset: usize, what: String| ProfileError {
            file: file.to_owned(),
            line: line_at(offset),
            what,
        };
        let read: File = toml::from_str(text).map_err(|error| {
            let what = error.message().trim().replace('\n', ", ");
            mistake(error.span().map_or(0, |span| span.start), what)
        })?;
        read.into_profile(file)
            .map_err(|(span, what)| mistake(span, what))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    description: String,
    pci: Pci,
    identity: Identity,
    firmware: Firmware,
    port: Port,
    eswitch: Eswitch,
    capabilities: Capabilities,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pci {
    vendor: u16,
    device: Spanned<u16>,
    vf_device: u16,
    subsystem_vendor: u16,
    subsystem_device: u16,
    physical_functions: Spanned<u8>,
    total_vfs: Spanned<u16>,
    max_total_vfs: u16,
    numa_node: i32,
    bandwidth: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {
    psid: String,
    serial_number: Spanned<String>,
    board_serial_number: String,
    base_mac: Mac,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Firmware {
    running: FwVersion,
    stored: FwVersion,
    live_patch: bool,
    pci_reset: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Port {
    link_speed_mbps: u32,
    max_rate_mbps: u32,
    rate_limits: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Eswitch {
    embedded_cpu: bool,
    first_vhca_id: u16,
    inline_mode: InlineMode,
    local_sfs: Spanned<u16>,
    external_vfs: Spanned<u16>,
    external_sfs: Spanned<u16>,
    migratable_vfs: bool,
    ipsec_crypto_vfs: bool,
    ipsec_packet_vfs: bool,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum InlineMode {
    None,
    Link,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Capabilities {
    roce: bool,
    software_steering: bool,
    hardware_steering: bool,
    log_max_uc_list: Spanned<u8>,
    log_max_mc_list: Spanned<u8>,
    log_max_hairpin_packets: Spanned<u8>,
    max_channels: u32,
    max_rate_depth: Spanned<u8>,
    max_io_eqs: u32,
    pcie_congestion_events: bool,
    swp_l4_csum_l4_only: bool,
}

/// Where the mistake is, and what is expected.
type Mistake = (usize, String);

impl File {
    fn into_profile(self, file: &str) -> Result<Profile, Mistake> {
        let Self {
            pci,
            identity,
            firmware,
            port,
            eswitch,
            capabilities,
            ..
        } = self;
        known_device(&pci.device)?;
        let at_most = |value: &Spanned<u8>, most: u8, name: &str| {
            expect(*value.get_ref() <= most, value, || {
                format!("expected {name} of at most {most}")
            })
        };
        let functions = &pci.physical_functions;
        expect((1..=4).contains(functions.get_ref()), functions, || {
            "expected 1 to 4 physical_functions".into()
        })?;
        let vfs = &pci.total_vfs;
        expect(*vfs.get_ref() <= pci.max_total_vfs, vfs, || {
            format!(
                "expected total_vfs of at most max_total_vfs, {}",
                pci.max_total_vfs
            )
        })?;
        // Virtual functions have addresses behind those of the physical ones: 16 bits hold them all.
        expect(pci.max_total_vfs <= 4096, vfs, || {
            "expected max_total_vfs of at most 4096".into()
        })?;
        let serial = &identity.serial_number;
        expect(!serial.get_ref().is_empty(), serial, || {
            "expected a serial_number that is not empty".into()
        })?;
        for (functions, name) in [
            (&eswitch.local_sfs, "local_sfs"),
            (&eswitch.external_vfs, "external_vfs"),
            (&eswitch.external_sfs, "external_sfs"),
        ] {
            expect(*functions.get_ref() <= 4096, functions, || {
                format!("expected {name} of at most 4096")
            })?;
        }
        at_most(&capabilities.log_max_uc_list, 16, "log_max_uc_list")?;
        at_most(&capabilities.log_max_mc_list, 16, "log_max_mc_list")?;
        let hairpin = &capabilities.log_max_hairpin_packets;
        at_most(hairpin, 16, "log_max_hairpin_packets")?;
        let depth = &capabilities.max_rate_depth;
        expect(depth.get_ref().is_power_of_two(), depth, || {
            "expected a max_rate_depth that is a power of two".into()
        })?;

        let Mac([a, b, c, d, e, f]) = identity.base_mac;
        Ok(Profile {
            name: file.to_owned(),
            description: self.description,
            vendor: pci.vendor,
            device: pci.device.into_inner(),
            vf_device: pci.vf_device,
            subsystem_vendor: pci.subsystem_vendor,
            subsystem_device: pci.subsystem_device,
            physical_functions: pci.physical_functions.into_inner(),
            fw_running: firmware.running,
            fw_stored: firmware.stored,
            psid: identity.psid,
            serial_number: identity.serial_number.into_inner(),
            board_serial_number: identity.board_serial_number,
            system_image_guid: u64::from_be_bytes([a, b, c, 0x03, 0x00, d, e, f]),
            base_mac: identity.base_mac.0,
            total_vfs: pci.total_vfs.into_inner(),
            max_total_vfs: pci.max_total_vfs,
            numa_node: pci.numa_node,
            link_speed_mbps: port.link_speed_mbps,
            pcie_bandwidth: pci.bandwidth,
            rate_limits: port.rate_limits,
            max_rate_mbps: port.max_rate_mbps,
            log_max_current_uc_list: capabilities.log_max_uc_list.into_inner(),
            log_max_current_mc_list: capabilities.log_max_mc_list.into_inner(),
            roce: capabilities.roce,
            log_max_hairpin_num_packets: capabilities.log_max_hairpin_packets.into_inner(),
            max_num_channels: capabilities.max_channels,
            max_rate_depth: capabilities.max_rate_depth.into_inner(),
            max_io_eqs: capabilities.max_io_eqs,
            sw_steering: capabilities.software_steering,
            hw_steering: capabilities.hardware_steering,
            pcie_congestion_events: capabilities.pcie_congestion_events,
            swp_l4_csum_l4_only: capabilities.swp_l4_csum_l4_only,
            reset_levels: ResetLevels {
                live_patch: firmware.live_patch,
                pci_reset: firmware.pci_reset,
            },
            eswitch: EswitchProfile {
                embedded_cpu: eswitch.embedded_cpu,
                first_vhca_id: eswitch.first_vhca_id,
                inline_link: eswitch.inline_mode == InlineMode::Link,
                local_sfs: eswitch.local_sfs.into_inner(),
                external_vfs: eswitch.external_vfs.into_inner(),
                external_sfs: eswitch.external_sfs.into_inner(),
                migratable_vfs: eswitch.migratable_vfs,
                ipsec_crypto_vfs: eswitch.ipsec_crypto_vfs,
                ipsec_packet_vfs: eswitch.ipsec_packet_vfs,
            },
        })
    }
}

/// The driver takes only functions of its id table; any other would stay unbound, without a word.
fn known_device(device: &Spanned<u16>) -> Result<(), Mistake> {
    let known = crate::core::PHYSICAL_FUNCTIONS;
    expect(known.contains(device.get_ref()), device, || {
        let known: Vec<_> = known.iter().map(|id| format!("{id:#06x}")).collect();
        format!(
            "expected a device that mlx5_core knows: {}",
            known.join(", ")
        )
    })
}

fn expect<T>(fine: bool, at: &Spanned<T>, what: impl Fn() -> String) -> Result<(), Mistake> {
    if fine {
        return Ok(());
    }
    Err((at.span().start, what()))
}

/// Six bytes, written `a0:88:c2:f0:34:7e`.
struct Mac([u8; 6]);

impl<'de> Deserialize<'de> for Mac {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(
            deserializer,
            "a unicast MAC address like \"a0:88:c2:f0:34:7e\"",
            |text| {
                let bytes: Option<Vec<u8>> = text
                    .split(':')
                    .map(|byte| {
                        u8::from_str_radix(byte, 16)
                            .ok()
                            .filter(|_| byte.len() == 2)
                    })
                    .collect();
                let bytes: [u8; 6] = bytes?.try_into().ok()?;
                (bytes[0] & 1 == 0).then_some(Mac(bytes))
            },
        )
    }
}

impl<'de> Deserialize<'de> for FwVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(
            deserializer,
            "a firmware version like \"28.41.1000\"",
            |text| text.parse().ok(),
        )
    }
}

/// A text that means a `T`; `expected` is what it has to be.
fn parsed<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    expected: &'static str,
    parse: fn(&str) -> Option<T>,
) -> Result<T, D::Error> {
    struct Visitor<T> {
        expected: &'static str,
        parse: fn(&str) -> Option<T>,
    }

    impl<T> de::Visitor<'_> for Visitor<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.expected)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            (self.parse)(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
        }
    }

    deserializer.deserialize_str(Visitor { expected, parse })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(from: &str, to: &str) -> String {
        let text = Profile::text("connectx-7").unwrap();
        assert!(text.contains(from), "{from}");
        let text = text.replacen(from, to, 1);
        Profile::from_toml("card.toml", &text)
            .unwrap_err()
            .to_string()
    }

    fn line_of(key: &str) -> usize {
        let text = Profile::text("connectx-7").unwrap();
        let lines = text.lines().collect::<Vec<_>>();
        1 + lines.iter().position(|line| line.starts_with(key)).unwrap()
    }

    #[test]
    fn mistakes_have_file_line_and_what_is_expected() {
        let cases = [
            ("roce = true", "roce = 7", "roce", "expected a boolean"),
            (
                "total_vfs = 16",
                "total_vfs = 400",
                "total_vfs",
                "expected total_vfs of at most max_total_vfs, 127",
            ),
            (
                "total_vfs = 16",
                "total_vfs = -1",
                "total_vfs",
                "expected u16",
            ),
            ("psid =", "psit =", "psid", "expected one of `psid`"),
            (
                "a0:88:c2:f0:34:7e",
                "a0:88:c2:f0:34",
                "base_mac",
                "expected a unicast MAC address like",
            ),
            (
                "running = \"28.41.1000\"",
                "running = \"28.41\"",
                "running",
                "expected a firmware version like",
            ),
            (
                "device = 0x1021",
                "device = 0x1234",
                "device",
                "expected a device that mlx5_core knows: 0x1013",
            ),
            (
                "inline_mode = \"none\"",
                "inline_mode = \"some\"",
                "inline_mode",
                "expected `none` or `link`",
            ),
            (
                "physical_functions = 2",
                "physical_functions = 9",
                "physical_functions",
                "expected 1 to 4",
            ),
        ];
        for (from, to, key, expected) in cases {
            let text = mistake(from, to);
            let place = format!("card.toml:{}: ", line_of(key));
            assert!(
                text.starts_with(&place) && text.contains(expected),
                "{text}"
            );
        }
        let text = mistake("[port]", "[port");
        assert!(
            text.starts_with(&format!("card.toml:{}: ", line_of("[port]"))),
            "{text}"
        );
        let text = mistake("roce = true\n", "");
        assert!(text.contains("missing field `roce`"), "{text}");
    }
}
