"""Every do and every dump that the official specification has, through the kernel's own YNL client, each carried out.

Usage: ynl_all.py TREE [FIRMWARE], a kernel's source tree, and the name of a file in /lib/firmware, if there is one. The machine has a netdevsim with two
ports, a switch and an mlx5 card: all three are needed to have everything. Prints a line for whatever is not as expected, and then
how many operations there were.
"""

import errno
import os
import struct
import sys
import time

tree = sys.argv[1]
firmware = sys.argv[2] if len(sys.argv) > 2 else None
sys.path.insert(0, os.path.join(tree, "tools/net/ynl/pyynl"))
from lib import NlError, YnlFamily  # noqa: E402

# The reply is in several messages and ends in one without payload. This client cannot read such an end, whichever kernel sends it.
EMPTY_END = -1
# Parameters of ports, which devlink had and has no more.
GONE = errno.EINVAL

NSIM = {"bus-name": "netdevsim", "dev-name": "netdevsim10"}
SWITCH = {"bus-name": "pci", "dev-name": "0000:01:00.0"}
CARD = {"bus-name": "pci", "dev-name": "0000:00:09.0"}
PORT = {**SWITCH, "port-index": 1}
SF = {**CARD, "port-index": 32768}
POOL = {**SWITCH, "sb-index": 0, "sb-pool-index": 0}
TC = {**PORT, "sb-index": 0, "sb-pool-type": "ingress", "sb-tc-index": 3}
TRAP = {**NSIM, "trap-name": "blackhole_route"}
REPORTER = {**NSIM, "health-reporter-name": "dummy"}
REGION = {**NSIM, "region-name": "dummy", "region-snapshot-id": 7}
NODE = {**SWITCH, "rate-node-name": "group"}
# DEVLINK_LINECARD_STATE_ACTIVE
ACTIVE = 6

DO = [
    ("notify-filter-set", NSIM, 0),
    ("notify-filter-set", {}, 0),
    ("get", NSIM, 0),
    ("get", {"index": 0}, 0),
    ("info-get", CARD, 0),
    ("param-get", {**NSIM, "param-name": "max_macs"}, 0),
    (
        "param-set",
        {**NSIM, "param-name": "max_macs", "param-type": "u32", "param-value-cmode": "driverinit", "param-reset-default": True},
        0,
    ),
    ("reload", {**NSIM, "netns-pid": os.getpid()}, 0),
    ("reload", {**NSIM, "netns-fd": os.open("/proc/self/ns/net", os.O_RDONLY)}, 0),
    ("reload", {**NSIM, "reload-action": "driver-reinit"}, 0),
    ("eswitch-get", CARD, 0),
    ("eswitch-set", {**CARD, "eswitch-mode": "switchdev", "eswitch-inline-mode": "none", "eswitch-encap-mode": "basic"}, 0),
    (
        "port-new",
        {**CARD, "port-flavour": "pci-sf", "port-pci-pf-number": 0, "port-pci-sf-number": 88, "port-controller-number": 0},
        0,
    ),
    ("port-set", {**SF, "port-function": {"hw-addr": bytes([0, 0, 0, 0, 0x88, 0x88]), "state": "active"}}, 0),
    ("port-set", {**SF, "port-function": {"caps": {"value": set(), "selector": {"roce-bit"}}}}, 0),
    ("port-get", SF, 0),
    ("port-del", SF, 0),
    ("port-set", {**PORT, "port-type": "ib"}, 0),
    ("port-get", PORT, 0),
    ("port-set", {**PORT, "port-type": "eth"}, 0),
    ("port-split", {**SWITCH, "port-index": 9, "port-split-count": 2}, 0),
    ("port-get", {**SWITCH, "port-index": 10}, 0),
    ("port-unsplit", {**SWITCH, "port-index": 9}, 0),
    ("port-param-get", PORT, GONE),
    ("port-param-set", PORT, GONE),
    ("sb-get", {**SWITCH, "sb-index": 0}, 0),
    ("sb-pool-get", POOL, 0),
    ("sb-pool-set", {**POOL, "sb-pool-threshold-type": "dynamic", "sb-pool-size": 96000}, 0),
    ("sb-port-pool-get", {**PORT, **POOL}, 0),
    ("sb-port-pool-set", {**PORT, **POOL, "sb-threshold": 7}, 0),
    ("sb-tc-pool-bind-get", TC, 0),
    ("sb-tc-pool-bind-set", {**TC, "sb-pool-index": 0, "sb-threshold": 7}, 0),
    ("sb-occ-snapshot", {**SWITCH, "sb-index": 0}, 0),
    ("sb-occ-max-clear", {**SWITCH, "sb-index": 0}, 0),
    ("dpipe-table-get", SWITCH, EMPTY_END),
    ("dpipe-entries-get", {**SWITCH, "dpipe-table-name": "mlxsw_host4"}, EMPTY_END),
    ("dpipe-headers-get", SWITCH, EMPTY_END),
    ("dpipe-table-counters-set", {**SWITCH, "dpipe-table-name": "mlxsw_host6", "dpipe-table-counters-enabled": 1}, 0),
    ("resource-set", {**SWITCH, "resource-id": 3, "resource-size": 98176}, 0),
    ("resource-dump", SWITCH, EMPTY_END),
    ("rate-new", {**NODE, "rate-node-name": "above"}, 0),
    ("rate-new", {**NODE, "rate-tx-share": 125000, "rate-parent-node-name": "above"}, 0),
    (
        "rate-set",
        {
            **NODE,
            "rate-tx-share": 250000,
            "rate-tx-max": 500000,
            "rate-tx-priority": 7,
            "rate-tx-weight": 200,
            "rate-tc-bws": [{"index": tc, "bw": 20 if tc < 5 else 0} for tc in range(8)],
        },
        0,
    ),
    ("rate-get", NODE, 0),
    ("rate-set", {**NODE, "rate-parent-node-name": ""}, 0),
    ("rate-del", NODE, 0),
    ("region-get", {**PORT, "region-name": "eeprom"}, 0),
    # Of a port, with a number that the kernel chooses.
    ("region-new", {**PORT, "region-name": "eeprom"}, 0),
    ("region-new", REGION, 0),
    ("region-del", REGION, 0),
    ("region-new", REGION, 0),
    ("health-reporter-test", {**SWITCH, "health-reporter-name": "fw_fatal"}, 0),
    ("health-reporter-get", REPORTER, 0),
    (
        "health-reporter-set",
        {
            **REPORTER,
            "health-reporter-auto-recover": 1,
            "health-reporter-auto-dump": 1,
            "health-reporter-graceful-period": 1000,
            "health-reporter-burst-period": 100,
        },
        0,
    ),
    ("health-reporter-recover", REPORTER, 0),
    ("health-reporter-diagnose", REPORTER, EMPTY_END),
    ("health-reporter-dump-clear", REPORTER, 0),
    (
        "flash-update",
        {**NSIM, "flash-update-file-name": firmware or "no/such.bin", "flash-update-component": "fw.mgmt"},
        0 if firmware else errno.ENOENT,
    ),
    ("trap-get", TRAP, 0),
    ("trap-set", {**TRAP, "trap-action": "trap"}, 0),
    ("trap-group-get", {**NSIM, "trap-group-name": "l3_drops"}, 0),
    ("trap-group-set", {**NSIM, "trap-group-name": "l3_drops", "trap-policer-id": 2, "trap-action": "drop"}, 0),
    ("trap-policer-get", {**NSIM, "trap-policer-id": 1}, 0),
    ("trap-policer-set", {**NSIM, "trap-policer-id": 1, "trap-policer-rate": 10, "trap-policer-burst": 16}, 0),
    ("linecard-get", {**SWITCH, "linecard-index": 1}, 0),
    ("linecard-set", {**SWITCH, "linecard-index": 1, "linecard-type": "16x100G"}, 0),
    ("selftests-get", SWITCH, 0),
    ("selftests-run", {**SWITCH, "selftests": {"flash": True}}, 0),
]
DUMP = [
    ("region-read", {**REGION, "region-chunk-addr": 0, "region-chunk-len": 32}),
    # As it is now, without a snapshot.
    ("region-read", {**SWITCH, "region-name": "cr-space", "region-direct": True, "region-chunk-addr": 16, "region-chunk-len": 8}),
    ("health-reporter-dump-get", REPORTER),
    ("resource-dump", {"resource-scope-mask": {"port"}}),
]
# A dump without objects, whichever kernel.
EMPTY = {"port-param-get"}


def connect():
    spec = os.path.join(tree, "Documentation/netlink/specs/devlink.yaml")
    # The specification has no parameter values: they are unknown to it, whichever kernel sends them. It is not validated here.
    return YnlFamily(spec, schema="", process_unknown=True)


family = connect()
done = set()
wrong = 0


def complain(text):
    global wrong
    wrong += 1
    print(text)


def attempt(mode, name, arguments, expected):
    global family
    done.add((mode, name))
    try:
        answer, got = getattr(family, mode)(name, arguments), 0
    except NlError as error:
        answer, got = error, abs(error.nl_msg.error)
    except struct.error as error:
        # What it has not read would be taken for the next answer.
        answer, got, family = error, EMPTY_END, connect()
    if got != expected:
        complain(f"{mode} {name}: {errno.errorcode.get(got, got)} for {errno.errorcode.get(expected, expected)}: {answer}")
    return answer


for name, arguments, expected in DO:
    attempt("do", name, arguments, expected)
    if name == "linecard-set":
        while attempt("do", "linecard-get", arguments, 0)["linecard-state"] != ACTIVE:
            time.sleep(0.05)
for name, operation in family.ops.items():
    if "do" in operation and name not in (known for known, _, _ in DO):
        complain(f"do {name}: not known here")
    if "dump" in operation:
        ways = [arguments for known, arguments in DUMP if known == name]
        for arguments in ways or [{}]:
            answer = attempt("dump", name, arguments, 0)
            if not answer and name not in EMPTY:
                complain(f"dump {name}: nothing")

traps = family.dump("trap-get", NSIM)
if len(traps) != 14 or traps[0]["trap-name"] != "source_mac_is_multicast" or "stats" not in traps[0]:
    complain(f"the traps: {traps[:1]}")
print(f"{len(done)} operations, {wrong} wrong")
sys.exit(wrong != 0)
