"""Every do and every dump that the official specification has, through the kernel's own YNL client.

Usage: ynl_all.py TREE, a kernel's source tree. The machine has a netdevsim at netdevsim/netdevsim10 with two ports. Prints a line
for whatever is not as expected, and then how many operations there were.
"""

import errno
import os
import struct
import sys

tree = sys.argv[1]
sys.path.insert(0, os.path.join(tree, "tools/net/ynl/pyynl"))
from lib import NlError, YnlFamily  # noqa: E402

DEVICE = {"bus-name": "netdevsim", "dev-name": "netdevsim10"}
PORT = {**DEVICE, "port-index": 0}
NONE, BAD, GONE, UNKNOWN = errno.EOPNOTSUPP, errno.EINVAL, errno.ENODEV, errno.ENOENT
SB = {"sb-index": 0}
TRAP = {"trap-name": "blackhole_route"}
REPORTER = {"health-reporter-name": "dummy"}
REGION = {"region-name": "dummy", "region-snapshot-id": 7}

# The reply is in several messages and ends in one without payload. This client cannot read such an end, whichever kernel sends it.
EMPTY_END = -1

# Operation: more than the device that the request names, and the errno of the answer.
DO = {
    "get": ({}, 0),
    "port-get": (PORT, 0),
    "port-set": ({**PORT, "port-type": "eth"}, NONE),
    "port-new": ({"port-flavour": "pci-sf", "port-pci-pf-number": 0}, NONE),
    "port-del": (PORT, NONE),
    "port-split": ({**PORT, "port-split-count": 2}, NONE),
    "port-unsplit": (PORT, NONE),
    "sb-get": (SB, GONE),
    "sb-pool-get": ({**SB, "sb-pool-index": 0}, GONE),
    "sb-pool-set": ({**SB, "sb-pool-index": 0, "sb-pool-threshold-type": "static", "sb-pool-size": 1}, GONE),
    "sb-port-pool-get": ({**PORT, **SB, "sb-pool-index": 0}, GONE),
    "sb-port-pool-set": ({**PORT, **SB, "sb-pool-index": 0, "sb-threshold": 1}, GONE),
    "sb-tc-pool-bind-get": ({**PORT, **SB, "sb-pool-type": "ingress", "sb-tc-index": 0}, GONE),
    "sb-tc-pool-bind-set": (
        {**PORT, **SB, "sb-pool-index": 0, "sb-pool-type": "ingress", "sb-tc-index": 0, "sb-threshold": 1},
        GONE,
    ),
    "sb-occ-snapshot": (SB, GONE),
    "sb-occ-max-clear": (SB, GONE),
    "eswitch-get": ({}, 0),
    "eswitch-set": ({"eswitch-mode": "switchdev"}, 0),
    "dpipe-table-get": ({}, EMPTY_END),
    "dpipe-entries-get": ({"dpipe-table-name": "none"}, BAD),
    "dpipe-headers-get": ({}, NONE),
    "dpipe-table-counters-set": ({"dpipe-table-name": "none", "dpipe-table-counters-enabled": 1}, BAD),
    "resource-set": ({"resource-id": 2, "resource-size": 100}, 0),
    "resource-dump": ({}, EMPTY_END),
    "reload": ({"reload-action": "driver-reinit"}, 0),
    "param-get": ({"param-name": "max_macs"}, 0),
    "param-set": ({"param-name": "max_macs", "param-type": "u8", "param-value-cmode": "driverinit"}, BAD),
    "region-get": ({"region-name": "dummy"}, 0),
    "region-new": (REGION, 0),
    "region-del": (REGION, 0),
    "port-param-get": (PORT, BAD),
    "port-param-set": (PORT, BAD),
    "info-get": ({}, 0),
    "health-reporter-get": (REPORTER, 0),
    "health-reporter-set": ({**REPORTER, "health-reporter-auto-recover": 1}, 0),
    "health-reporter-recover": (REPORTER, 0),
    "health-reporter-diagnose": (REPORTER, EMPTY_END),
    "health-reporter-dump-clear": (REPORTER, 0),
    "health-reporter-test": (REPORTER, NONE),
    "flash-update": ({"flash-update-file-name": "no/such.bin"}, UNKNOWN),
    "trap-get": (TRAP, 0),
    "trap-set": ({**TRAP, "trap-action": "trap"}, 0),
    "trap-group-get": ({"trap-group-name": "l3_drops"}, 0),
    "trap-group-set": ({"trap-group-name": "l3_drops", "trap-policer-id": 2}, 0),
    "trap-policer-get": ({"trap-policer-id": 1}, 0),
    "trap-policer-set": ({"trap-policer-id": 1, "trap-policer-rate": 10, "trap-policer-burst": 16}, 0),
    "rate-new": ({"rate-node-name": "group"}, 0),
    "rate-get": ({"rate-node-name": "group"}, 0),
    "rate-set": ({"rate-node-name": "group", "rate-tx-share": 125000}, 0),
    "rate-del": ({"rate-node-name": "group"}, 0),
    "linecard-get": ({"linecard-index": 0}, GONE),
    "linecard-set": ({"linecard-index": 0, "linecard-type": "x"}, GONE),
    "selftests-get": ({}, NONE),
    "selftests-run": ({"selftests": {"flash": True}}, NONE),
    "notify-filter-set": ({}, 0),
}
DUMP = {
    "region-read": ({**DEVICE, "region-name": "dummy", "region-snapshot-id": 8, "region-chunk-addr": 0, "region-chunk-len": 32}, 0),
    "health-reporter-dump-get": ({**DEVICE, **REPORTER}, 0),
}

def connect():
    spec = os.path.join(tree, "Documentation/netlink/specs/devlink.yaml")
    # The specification has no parameter values: they are unknown to it, whichever kernel sends them. It is not validated here.
    return YnlFamily(spec, schema="", process_unknown=True)


family = connect()
done = wrong = 0


def attempt(mode, name, arguments, expected):
    global done, family, wrong
    done += 1
    try:
        answer, got = getattr(family, mode)(name, arguments), 0
    except NlError as error:
        answer, got = error, abs(error.nl_msg.error)
    except struct.error as error:
        # What it has not read would be taken for the next answer.
        answer, got, family = error, EMPTY_END, connect()
    if got != expected:
        wrong += 1
        print(f"{mode} {name}: {errno.errorcode.get(got, got)} for {errno.errorcode.get(expected, expected)}: {answer}")
    return answer


order = [name for name in DO if name in family.ops] + [name for name in family.ops if name not in DO]
for name in order:
    operation = family.ops[name]
    if "do" in operation:
        if name not in DO:
            wrong += 1
            print(f"do {name}: not known here")
            continue
        arguments, expected = DO[name]
        attempt("do", name, {**DEVICE, **arguments}, expected)

family.do("region-new", {**DEVICE, "region-name": "dummy", "region-snapshot-id": 8})
for name, operation in family.ops.items():
    if "dump" in operation:
        arguments, expected = DUMP.get(name, ({}, 0))
        attempt("dump", name, arguments, expected)

traps = family.dump("trap-get", {})
if len(traps) != 14 or traps[0]["trap-name"] != "source_mac_is_multicast" or "stats" not in traps[0]:
    wrong += 1
    print(f"the traps: {traps[:1]}")
print(f"{done} operations, {wrong} wrong")
sys.exit(wrong != 0)
