"""Raw generic netlink, byte by byte, for clients that do what no library would."""
import os
import socket
import struct

NETLINK_GENERIC, SOL_NETLINK, GENL_ID_CTRL = 16, 270, 16
ADD_MEMBERSHIP, DROP_MEMBERSHIP, CAP_ACK, EXT_ACK = 1, 2, 10, 11
REQUEST, MULTI, ACK, DUMP = 1, 2, 4, 0x300
CAPPED, ACK_TLVS = 0x100, 0x200
GET, PORT_GET, RELOAD, PARAM_GET, PARAM_SET, INFO_GET, NOTIFY_FILTER_SET = 1, 5, 37, 38, 39, 51, 84
BUS_NAME, DEV_NAME, PORT_INDEX, NETNS_FD, INDEX = 1, 2, 3, 138, 184
RELOAD_ACTION, RELOAD_LIMITS = 153, 155


def attr(number, data=b""):
    if isinstance(data, str):
        data = data.encode() + b"\0"
    return struct.pack("<HH", 4 + len(data), number) + data + b"\0" * (-len(data) % 4)


def attrs(data):
    """{number without flags: payload}; the last of equal ones wins."""
    found, at = {}, 0
    while at + 4 <= len(data):
        length, number = struct.unpack_from("<HH", data, at)
        assert 4 <= length <= len(data) - at, f"attribute length {length} of {len(data) - at}"
        found[number & 0x3FFF] = data[at + 4 : at + length]
        at += (length + 3) & ~3
    return found


def messages(data):
    """(type, flags, seq, portid, payload) of each message of a datagram."""
    at = 0
    while at < len(data):
        assert at + 16 <= len(data), "a reply ends inside a header"
        length, kind, flags, seq, portid = struct.unpack_from("<IHHII", data, at)
        assert 16 <= length <= len(data) - at, f"message length {length} of {len(data) - at}"
        yield kind, flags, seq, portid, data[at + 16 : at + length]
        at += (length + 3) & ~3


class Reply:
    """All that came back for one request: payloads, and how it ended (errno, extack text, extack TLVs)."""

    def __init__(self):
        self.payloads, self.errno, self.text, self.tlvs, self.flags = [], None, None, {}, 0

    def __repr__(self):
        return f"errno {self.errno} text {self.text!r} payloads {len(self.payloads)}"


class Genl:
    def __init__(self, options=(CAP_ACK, EXT_ACK), timeout=20):
        self.sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_GENERIC)
        self.sock.bind((0, 0))
        self.sock.settimeout(timeout)
        for option in options:
            self.sock.setsockopt(SOL_NETLINK, option, 1)
        self.portid = self.sock.getsockname()[0]
        self.seq, self.backlog = 1000, []
        self.family = self.group = None

    def find(self, name="devlink"):
        reply = self.call(GENL_ID_CTRL, 3, attr(2, name))
        assert reply.errno == 0, f"no family {name}: {reply}"
        found = attrs(reply.payloads[0][4:])
        self.family = struct.unpack("<H", found[1])[0]
        groups = attrs(found.get(7, b""))
        if groups:
            self.group = struct.unpack("<I", attrs(groups[1])[2])[0]
        return self

    def message(self, kind, command, payload=b"", flags=REQUEST | ACK, version=1, reserved=0):
        self.seq += 1
        body = struct.pack("<BBH", command, version, reserved) + payload
        return struct.pack("<IHHII", 16 + len(body), kind, flags, self.seq, 0) + body

    def take(self, seq):
        """Wait for the end of the answer to `seq`."""
        reply = Reply()
        while True:
            for kind, flags, got, portid, body in messages(self.sock.recv(1 << 16)):
                if got == 0 and portid == 0:
                    self.backlog.append(body)
                    continue
                assert got == seq, f"seq {got}, not {seq}"
                if kind not in (2, 3):
                    reply.payloads.append(body)
                    continue
                if kind == 3 and len(body) < 4:
                    continue
                reply.errno, reply.flags = -struct.unpack_from("<i", body)[0], flags
                if flags & ACK_TLVS:
                    skip = 4 if kind == 3 else 4 + (16 if flags & CAPPED else (struct.unpack_from("<I", body, 4)[0] + 3) & ~3)
                    reply.tlvs = attrs(body[skip:])
                    reply.text = reply.tlvs.get(1, b"\0")[:-1].decode() or None
                return reply

    def call(self, kind, command, payload=b"", flags=REQUEST | ACK, **header):
        self.sock.send(self.message(kind, command, payload, flags, **header))
        return self.take(self.seq)

    def devlink(self, command, payload=b"", flags=REQUEST | ACK, **header):
        return self.call(self.family, command, payload, flags, **header)

    def get(self, handle):
        reply = self.devlink(GET, handle)
        assert reply.errno == 0 and len(reply.payloads) == 1, f"GET: {reply}"
        return attrs(reply.payloads[0][4:])


def handle(device):
    bus, name = device.split("/", 1)
    return attr(BUS_NAME, bus) + attr(DEV_NAME, name)


DEVICE = os.environ.get("DEVICE", "pci/0000:00:09.0")
