"""renames.py N: rename a port's network device N times and ask for the port at once each time, while the machine is busy.

Prints how many of the answers still had the old name.
"""
import fcntl
import os
import socket
import struct
import sys

import raw

SIOCSIFNAME, NETDEV_NAME = 0x8923, 7

genl = raw.Genl().find()
port = raw.handle(raw.DEVICE) + raw.attr(raw.PORT_INDEX, struct.pack("<I", 0))
rename = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def name():
    reply = genl.devlink(raw.PORT_GET, port)
    assert reply.errno == 0, reply
    return raw.attrs(reply.payloads[0][4:])[NETDEV_NAME][:-1].decode()


parent = os.getpid()
busy = []
for _ in range(2 * os.cpu_count()):
    child = os.fork()
    if not child:
        while os.getppid() == parent:
            pass
        os._exit(0)
    busy.append(child)

late, old = 0, name()
for number in range(int(sys.argv[1])):
    new = f"renamed{number}"
    fcntl.ioctl(rename, SIOCSIFNAME, struct.pack("16s16s8x", old.encode(), new.encode()))
    late += name() != new
    old = new

for child in busy:
    os.kill(child, 9)
    os.waitpid(child, 0)
print(late)
