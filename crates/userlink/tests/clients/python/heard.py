"""heard.py [--filter BUS[/DEVICE]] NAMESPACE -- COMMAND...: make NAMESPACE, listen here and there, run COMMAND, and print
what each heard: `here|NAMESPACE KIND HANDLE` a line. All that COMMAND causes is in the queues when it has returned."""
import os
import subprocess
import sys

import raw

KINDS = {3: "dev_new", 4: "dev_del", 7: "port_new", 8: "port_del", 40: "param_new", 41: "param_del"}


def subscribe(chosen):
    genl = raw.Genl().find()
    genl.sock.setsockopt(raw.SOL_NETLINK, raw.ADD_MEMBERSHIP, genl.group)
    if chosen:
        bus, _, device = chosen.partition("/")
        names = raw.attr(raw.BUS_NAME, bus) + (raw.attr(raw.DEV_NAME, device) if device else b"")
        assert genl.devlink(raw.NOTIFY_FILTER_SET, names).errno == 0, "NOTIFY_FILTER_SET"
    return genl


def heard(place, genl):
    genl.sock.setblocking(False)
    while True:
        try:
            datagram = genl.sock.recv(1 << 16)
        except BlockingIOError:
            return
        for _, flags, seq, portid, body in raw.messages(datagram):
            assert (flags, seq, portid) == (0, 0, 0), f"flags {flags} seq {seq} port id {portid}"
            found = raw.attrs(body[4:])
            handle = "/".join(found[n][:-1].decode() for n in (raw.BUS_NAME, raw.DEV_NAME))
            if raw.PORT_INDEX in found:
                handle += f"/{int.from_bytes(found[raw.PORT_INDEX], 'little')}"
            print(place, KINDS.get(body[0], body[0]), handle)


arguments = sys.argv[1:]
chosen = None
if arguments[0] == "--filter":
    chosen, arguments = arguments[1], arguments[2:]
namespace, command = arguments[0], arguments[2:]
here = subscribe(chosen)
subprocess.check_call(["ip", "netns", "add", namespace])
fd, own = os.open(f"/run/netns/{namespace}", os.O_RDONLY), os.open("/proc/self/ns/net", os.O_RDONLY)
import ctypes

libc = ctypes.CDLL(None)
assert libc.setns(fd, 0x40000000) == 0
there = subscribe(chosen)
assert libc.setns(own, 0x40000000) == 0
os.close(fd)
os.close(own)
status = subprocess.call(command)
heard("here", here)
heard(namespace, there)
sys.exit(status)
