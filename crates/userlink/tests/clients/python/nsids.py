"""Namespaces by their numbers: moves the card into the namespace with number 5 here, and prints by which number the instance that
its functions share, which stays here, then shows it; moves it back by the number of a process that is still here."""
import ctypes
import os
import struct
import subprocess

import raw

NETNS_PID, NETNS_ID, NESTED_DEVLINK = 139, 140, 175

# The last function.
DEVICE = "pci/0000:00:09.1"

genl = raw.Genl().find()


def shown():
    """The number of the namespace of what is in the instance that the card's functions share; None: here."""
    for payload in genl.devlink(raw.GET, flags=raw.REQUEST | raw.DUMP).payloads:
        found = raw.attrs(payload[4:])
        if found[raw.BUS_NAME] == b"devlink_index\0":
            number = raw.attrs(found[NESTED_DEVLINK]).get(NETNS_ID)
            return number and struct.unpack("<i", number)[0]


subprocess.run(["ip", "netns", "add", "n1"], check=True)
subprocess.run(["ip", "netns", "set", "n1", "5"], check=True)
device = raw.handle(DEVICE)
print(shown())
print("unknown", genl.devlink(raw.RELOAD, device + raw.attr(NETNS_ID, struct.pack("<i", 6))).errno)
print("there", genl.devlink(raw.RELOAD, device + raw.attr(NETNS_ID, struct.pack("<i", 5))).errno)
print(shown())
with open("/run/netns/n1") as namespace:
    assert ctypes.CDLL(None).setns(namespace.fileno(), 0) == 0
there = raw.Genl().find()
print("back", there.devlink(raw.RELOAD, device + raw.attr(NETNS_PID, struct.pack("<I", os.getppid()))).errno)
print(shown())
