//! What an mlx5 card refuses, in the driver's words, as the user of `devlink` reads it; and mistakes in a profile.

use crate::machine::{Machine, Ran, Who};

/// Runs `commands` on a machine with a card, whose first function is `$card`; `try` is for those that are refused.
fn on_a_card(commands: &str) -> Option<Ran> {
    let machine = Machine::new(Who::User)?;
    let script = format!(
        "card=pci/0000:00:09.0
         # Says which command it is, and what came of it.
         try() {{
             echo \"$*\" | sed 's/^/> /'
             \"$@\" 2>&1
         }}
         {commands}"
    );
    Some(machine.run(&script))
}

/// Each command of `expected` with the line that follows it.
#[track_caller]
fn said(ran: &Ran, expected: &[(&str, &str)]) {
    for (command, answer) in expected {
        let mut lines = ran.out.lines();
        let found = lines.any(|line| line == format!("> {command}"));
        assert!(found, "`{command}` was not run: {}", ran.tail());
        assert_eq!(lines.next(), Some(*answer), "{command}: {}", ran.tail());
    }
}

#[test]
fn sub_functions_that_cannot_be() {
    let Some(ran) = on_a_card(
        r#"
try devlink port add $card flavour pcisf pfnum 0 sfnum 1
devlink dev eswitch set $card mode switchdev
devlink port add $card flavour pcisf pfnum 0 sfnum 88 >/dev/null
try devlink port add $card flavour pcisf pfnum 1 sfnum 89
try devlink port add $card flavour pcisf pfnum 0 sfnum 88
try devlink port add $card flavour pcisf pfnum 0
try devlink port add $card flavour pcisf controller 1 pfnum 0 sfnum 89
try devlink port add $card flavour pcivf pfnum 0 sfnum 89
try devlink port del auxiliary/mlx5_core.eth.0/65535
try devlink port function set auxiliary/mlx5_core.eth.0/65535 state active
devlink port function set $card/32768 state active
until devlink port show $card/32768 | grep -q attached; do sleep 0.02; done
userlink ctl fault sf-event-delay=60000
devlink port function set $card/32768 state inactive
try devlink port function set $card/32768 state active
userlink ctl fault clear
"#,
    ) else {
        return;
    };
    said(
        &ran,
        &[
            (
                "devlink port add pci/0000:00:09.0 flavour pcisf pfnum 0 sfnum 1",
                "Error: mlx5_core: SF ports are only supported in eswitch switchdev mode.",
            ),
            (
                "devlink port add pci/0000:00:09.0 flavour pcisf pfnum 1 sfnum 89",
                "Error: mlx5_core: Invalid pfnum supplied.",
            ),
            (
                "devlink port add pci/0000:00:09.0 flavour pcisf pfnum 0 sfnum 88",
                "Error: mlx5_core: SF already exist. Choose different sfnum.",
            ),
            (
                "devlink port add pci/0000:00:09.0 flavour pcisf pfnum 0",
                "Error: mlx5_core: User must provide unique sfnum. Driver does not support auto assignment.",
            ),
            (
                "devlink port add pci/0000:00:09.0 flavour pcisf controller 1 pfnum 0 sfnum 89",
                "Error: mlx5_core: External controller is unsupported.",
            ),
            (
                "devlink port add pci/0000:00:09.0 flavour pcivf pfnum 0 sfnum 89",
                "Error: mlx5_core: Driver supports only SF port addition.",
            ),
            (
                "devlink port del auxiliary/mlx5_core.eth.0/65535",
                "kernel answers: Operation not supported",
            ),
            (
                "devlink port function set auxiliary/mlx5_core.eth.0/65535 state active",
                "Error: Function does not support state setting.",
            ),
            (
                "devlink port function set pci/0000:00:09.0/32768 state active",
                "Error: mlx5_core: SF is inactivated but it is still attached.",
            ),
        ],
    );
}

#[test]
fn values_that_cannot_be() {
    let Some(ran) = on_a_card(
        r#"
echo 1 > /sys/bus/pci/devices/0000:00:09.0/sriov_numvfs
try devlink port function rate add $card/early
devlink dev eswitch set $card mode switchdev
try devlink port function rate set $card/1 tx_max 200gbit
try devlink port function rate set $card/1 tx_share 1500kbit
try devlink dev param set $card name no_such_parameter value 1 cmode runtime
try devlink dev param set $card name fdb_large_groups value 1025 cmode driverinit
try devlink dev param set $card name flow_steering_mode value fastest cmode runtime
try devlink dev param set $card name esw_port_metadata value false cmode runtime
try devlink dev param set $card name max_macs value 3 cmode driverinit
try devlink dev param set $card name total_vfs value 128 cmode permanent
try devlink dev param set $card name cqe_compress_type value hard cmode permanent
try devlink dev eswitch set $card inline-mode network
"#,
    ) else {
        return;
    };
    said(
        &ran,
        &[
            (
                "devlink port function rate add pci/0000:00:09.0/early",
                "Error: mlx5_core: Rate node creation supported only in switchdev mode.",
            ),
            (
                "devlink port function rate set pci/0000:00:09.0/1 tx_max 200gbit",
                "Error: mlx5_core: TX rate value exceed link maximum speed.",
            ),
            (
                "devlink port function rate set pci/0000:00:09.0/1 tx_share 1500kbit",
                "Error: mlx5_core: TX rate value not in link speed units of 1Mbps.",
            ),
            (
                "devlink dev param set pci/0000:00:09.0 name no_such_parameter value 1 cmode runtime",
                "kernel answers: Invalid argument",
            ),
            (
                "devlink dev param set pci/0000:00:09.0 name fdb_large_groups value 1025 cmode driverinit",
                "Error: mlx5_core: Unsupported group number, supported range is 1-1024.",
            ),
            (
                "devlink dev param set pci/0000:00:09.0 name flow_steering_mode value fastest cmode runtime",
                "Error: mlx5_core: Changing fs mode is not supported when eswitch offloads enabled.",
            ),
            (
                "devlink dev param set pci/0000:00:09.0 name esw_port_metadata value false cmode runtime",
                "Error: mlx5_core: E-Switch must either disabled or non switchdev mode.",
            ),
            (
                "devlink dev param set pci/0000:00:09.0 name max_macs value 3 cmode driverinit",
                "Error: mlx5_core: Only power of 2 values are supported for max_macs.",
            ),
            (
                "devlink dev param set pci/0000:00:09.0 name total_vfs value 128 cmode permanent",
                "Error: mlx5_core: Max allowed by device is 127.",
            ),
            (
                "devlink dev param set pci/0000:00:09.0 name cqe_compress_type value hard cmode permanent",
                "Error: mlx5_core: Invalid value, supported values are balanced/aggressive.",
            ),
            (
                "devlink dev eswitch set pci/0000:00:09.0 inline-mode network",
                "Error: mlx5_core: Inline mode can't be set.",
            ),
        ],
    );
}

#[test]
fn mistakes_in_a_profile_have_a_place() {
    let Some(machine) = Machine::new(Who::User) else {
        return;
    };
    let mistakes = [
        ("^psid = .*", "psit = \"X\"", "expected one of `psid`"),
        (
            "^total_vfs = .*",
            "total_vfs = 400",
            "expected total_vfs of at most max_total_vfs, 127",
        ),
        (
            "^base_mac = .*",
            "base_mac = \"01:00:00:00:00:01\"",
            "expected a unicast MAC address",
        ),
        (
            "^device = .*",
            "device = 0x1234",
            "expected a device that mlx5_core knows",
        ),
        (
            "^running = .*",
            "running = \"28.41\"",
            "expected a firmware version like",
        ),
        (
            "^inline_mode = .*",
            "inline_mode = \"some\"",
            "expected `none` or `link`",
        ),
        (
            "^max_rate_depth = .*",
            "max_rate_depth = 3",
            "expected a max_rate_depth that is a power of two",
        ),
        (
            "^external_vfs = .*",
            "external_vfs = 5000",
            "expected external_vfs of at most 4096",
        ),
        ("^external_vfs = .*", "", "missing field `external_vfs`"),
    ];
    for (from, to, expected) in mistakes {
        let ran = machine.outside(&format!(
            r#"
cd "$(mktemp -d)" && userlink profile bluefield-3 > good.toml || exit 9
sed 's|{from}|{to}|' good.toml > card.toml
grep -n '{from}' good.toml | cut -d: -f1
userlink run --device mlx5,profile=card.toml -- true
"#
        ));
        assert_eq!(ran.code, 1, "{to}: {}", ran.tail());
        let line = ran.out.lines().next().unwrap_or_default();
        // What is missing is so in its section.
        let place = match to {
            "" => "card.toml:".to_owned(),
            _ => format!("card.toml:{line}: "),
        };
        assert!(ran.err.contains(&place), "{place}: {}", ran.tail());
        assert!(ran.err.contains(expected), "{expected}: {}", ran.tail());
    }
    let ran = machine.outside("userlink run --device mlx5,profile=no-such-card -- true");
    assert!(
        ran.code == 1 && ran.err.contains("no-such-card"),
        "{}",
        ran.tail()
    );
}
