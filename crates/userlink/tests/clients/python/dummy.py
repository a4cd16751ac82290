"""dummy.py NAME: makes a network device of type dummy, with the request in two pieces and in one, as programs other than `ip` send it.

Prints the error, a negative number, if there is one."""

import socket
import struct
import sys

RTM_NEWLINK, RTM_DELLINK = 16, 17
REQUEST, ACK, EXCL, CREATE = 0x1, 0x4, 0x200, 0x400


def attribute(kind, value):
    data = struct.pack("HH", len(value) + 4, kind) + value
    return data + bytes(-len(data) % 4)


def request(kind, flags, *attributes):
    body = bytes(16) + b"".join(attributes)
    return struct.pack("IHHII", 16 + len(body), kind, REQUEST | ACK | flags, 1, 0) + body


def answer(s):
    error, = struct.unpack_from("i", s.recv(65536), 16)
    if error:
        print(error)
        sys.exit(0 if error == -95 else 1)


name = attribute(3, sys.argv[1].encode() + b"\0")
new = request(RTM_NEWLINK, EXCL | CREATE, name, attribute(18, attribute(1, b"dummy\0")))
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
s.bind((0, 0))
s.sendmsg([new[:20], new[20:]])
answer(s)
s.sendto(request(RTM_DELLINK, 0, name), (0, 0))
answer(s)
s.sendto(new, (0, 0))
answer(s)
