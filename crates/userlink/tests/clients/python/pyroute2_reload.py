"""A devlink client on pyroute2: list the devices, reload one into a network namespace, list them there.

pyroute2 has calls for lists of devices and ports; the reload is a message of its devlink class, sent with its own
request call, as its users do for commands that it does not wrap.
"""
import os
import sys

from pyroute2 import DL
from pyroute2.netlink import NLM_F_ACK, NLM_F_REQUEST
from pyroute2.netlink.devlink import DEVLINK_NAMES, devlinkcmd


def listed(place, dl):
    names = sorted(f"{m.get_attr('DEVLINK_ATTR_BUS_NAME')}/{m.get_attr('DEVLINK_ATTR_DEV_NAME')}" for m in dl.list())
    print(f"{place}: {' '.join(names)}")


def reload(dl, device, namespace):
    bus, name = device.split("/", 1)
    fd = os.open(f"/run/netns/{namespace}", os.O_RDONLY | os.O_CLOEXEC)
    message = devlinkcmd()
    message["cmd"] = DEVLINK_NAMES["DEVLINK_CMD_RELOAD"]
    message["version"] = 1
    message["attrs"] = [
        ("DEVLINK_ATTR_BUS_NAME", bus),
        ("DEVLINK_ATTR_DEV_NAME", name),
        ("DEVLINK_ATTR_NETNS_FD", fd),
    ]
    list(dl.nlm_request(message, msg_type=dl.prid, msg_flags=NLM_F_REQUEST | NLM_F_ACK))
    os.close(fd)


def main():
    device, namespace = sys.argv[1:]
    with DL() as dl:
        listed("here", dl)
        print(f"ports: {len(list(dl.port_list()))}")
        reload(dl, device, namespace)
        listed("here, after", dl)
    with DL(netns=namespace) as dl:
        listed(namespace, dl)


main()
