#!/usr/bin/python3
"""Tries what net/lib/py/nsim.py of a kernel's selftests offers, one thing after the other. Started in the folder of nsim.py, whose
package is entered by the side door: its front needs libraries that have nothing to do with netdevsim."""
import importlib
import os
import sys
import traceback
import types

package = types.ModuleType("py")
package.__path__ = [os.getcwd()]
sys.modules["py"] = package


def tell(name, result, *notes):
    print("TEST: %-60s [%s]" % (name, result))
    for note in notes:
        print("\t" + str(note))


def devices():
    nsim = importlib.import_module("py.nsim")
    yield "import"
    with nsim.NetdevSimDev(port_count=2) as device:
        yield "new device with two ports"
        assert len(device.nsims) == 2 and all(port.ifindex > 0 for port in device.nsims)
        yield "ports have network devices"
        device.dfs_write("max_macs", "16")
        yield "write a file of the device"
        device.nsims[0].dfs_write("bpf_tc_non_bound_accept", "Y")
        yield "write a file of a port"
        device.remove_nsim(device.nsims[1])
        device.wait_for_netdevs(1)
        yield "remove a port"
    assert not os.path.exists("/sys/bus/netdevsim/devices/netdevsim%d" % device.addr)
    yield "remove the device"
    netns = importlib.import_module("py.netns")
    with netns.NetNS() as ns:
        with nsim.NetdevSimDev(port_count=1, ns=ns) as device:
            assert device.nsims[0].ifname
            yield "device in a namespace"
    yield "namespace and device are gone"


STEPS = ["import", "new device with two ports", "ports have network devices", "write a file of the device", "write a file of a port",
         "remove a port", "remove the device", "device in a namespace", "namespace and device are gone"]
done = 0
try:
    for step in devices():
        tell(step, " OK ")
        done += 1
except Exception:
    tell(STEPS[done], "FAIL", *traceback.format_exc().splitlines()[-4:])
    sys.exit(1)
