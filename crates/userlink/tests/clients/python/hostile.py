"""hostile.py SCENARIO: what no library would send."""
import errno
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import time

import raw
from raw import ACK, DUMP, REQUEST, attr

HANDLE = raw.handle(raw.DEVICE)
FAILED, RANGE = "Attribute failed policy validation", "integer out of range"
LEFTOVER = "bytes leftover after parsing attributes"


def header(length, kind, flags, seq, rest=b""):
    return struct.pack("<IHHII", length, kind, flags, seq, 0) + rest


def silence(genl, what):
    """Nothing may come for `what`, and the next request is served."""
    genl.sock.setblocking(False)
    try:
        print(f"{what}: an answer {genl.sock.recv(1 << 16).hex()}")
        sys.exit(1)
    except BlockingIOError:
        genl.sock.settimeout(20)
    genl.get(HANDLE)


def table():
    genl = raw.Genl().find()
    u8, u32 = lambda v: struct.pack("<B", v), lambda v: struct.pack("<I", v)
    reload = lambda *more: (raw.RELOAD, HANDLE + b"".join(more))
    strict = REQUEST | ACK | DUMP
    # name, (command, attributes), header fields, errno, text, offset of the attribute (or None), missing type (or None)
    rows = [
        ("command 0", (0, HANDLE), {}, errno.EOPNOTSUPP, None, None, None),
        ("command 255", (255, HANDLE), {}, errno.EOPNOTSUPP, None, None, None),
        ("a notification's command", (3, HANDLE), {}, errno.EOPNOTSUPP, None, None, None),
        ("a dump of what has none", (raw.RELOAD, HANDLE), {"flags": strict}, errno.EOPNOTSUPP, None, None, None),
        ("no handle", (raw.GET, b""), {}, errno.EINVAL, None, None, None),
        ("half a handle", (raw.GET, attr(1, "pci")), {}, errno.EINVAL, None, None, None),
        ("unknown device", (raw.GET, raw.handle("pci/0000:00:00.7")), {}, errno.ENODEV, None, None, None),
        ("unknown bus", (raw.GET, raw.handle("teapot/1")), {}, errno.ENODEV, None, None, None),
        ("a very long name", (raw.GET, raw.handle("pci/" + "9" * 4000)), {}, errno.ENODEV, None, None, None),
        ("a name without its end", (raw.GET, attr(1, b"pci") + attr(2, "x")), {}, errno.EINVAL, FAILED, 20, None),
        ("an empty name", (raw.GET, attr(1, b"") + attr(2, "x")), {}, errno.EINVAL, FAILED, 20, None),
        ("attribute of length 0", (raw.GET, struct.pack("<HH", 0, 1) + HANDLE), {}, errno.EINVAL, LEFTOVER, None, None),
        ("attribute of length 3", (raw.GET, struct.pack("<HH", 3, 1) + HANDLE), {}, errno.EINVAL, LEFTOVER, None, None),
        ("attribute beyond the end", (raw.GET, struct.pack("<HH", 400, 1) + b"pci\0"), {}, errno.EINVAL, LEFTOVER, None, None),
        ("unknown attribute, liberal", (raw.GET, HANDLE + attr(4000, b"abc")), {}, 0, None, None, None),
        ("bytes left over, liberal", (raw.GET, HANDLE + b"\1\2\3"), {}, 0, LEFTOVER, None, None),
        ("port without its number", (raw.PORT_GET, HANDLE), {}, errno.EINVAL, None, None, None),
        ("unknown port", (raw.PORT_GET, HANDLE + attr(3, u32(0xFFFFFFF0))), {}, errno.ENODEV, None, None, None),
        ("port number of one byte", (raw.PORT_GET, HANDLE + attr(3, u8(1))), {}, errno.ERANGE, FAILED, 20 + len(HANDLE), None),
        ("unknown action", reload(attr(153, u8(9))), {}, errno.ERANGE, RANGE, 20 + len(HANDLE), None),
        ("action 0", reload(attr(153, u8(0))), {}, errno.ERANGE, RANGE, 20 + len(HANDLE), None),
        ("limits outside the mask", reload(attr(155, u32(0x80) + u32(0x80))), {}, errno.EINVAL, FAILED, 20 + len(HANDLE), None),
        ("limits of four bytes", reload(attr(155, u32(2))), {}, errno.ERANGE, FAILED, 20 + len(HANDLE), None),
        ("unknown parameter", (raw.PARAM_GET, HANDLE + attr(81, "no such")), {}, errno.EINVAL, None, None, None),
        ("a parameter without its name", (raw.PARAM_GET, HANDLE), {}, errno.EINVAL, None, None, 81),
        ("unknown attribute, strict", (raw.PORT_GET, HANDLE + attr(4000)), {"flags": strict}, errno.EINVAL, "Unknown attribute type", 20 + len(HANDLE), None),
        ("bytes left over, strict", (raw.PORT_GET, HANDLE + b"\1\2\3\0"), {"flags": strict}, errno.EINVAL, LEFTOVER, None, None),
        ("reserved field, old command", (raw.GET, HANDLE), {"reserved": 7}, 0, None, None, None),
        ("reserved field, new command", (84, b""), {"reserved": 7}, errno.EINVAL, "genlmsghdr.reserved field is not 0", None, None),
        ("reserved flags, new command", (84, b""), {"flags": REQUEST | ACK | 0x800}, errno.EINVAL, "ambiguous or reserved bits set in nlmsg_flags", None, None),
        ("unknown version", (raw.GET, HANDLE), {"version": 99}, 0, None, None, None),
        ("two namespaces", reload(attr(138, u32(0)), attr(139, u32(1))), {}, errno.EINVAL, "multiple netns identifying attributes specified", None, None),
    ]
    wrong = 0
    for name, (command, payload), fields, code, text, offset, missing in rows:
        reply = genl.devlink(command, payload, **fields)
        got_offset = struct.unpack("<I", reply.tlvs[2])[0] if 2 in reply.tlvs else None
        got_missing = struct.unpack("<I", reply.tlvs[5])[0] if 5 in reply.tlvs else None
        got = (reply.errno, reply.text, got_offset, got_missing)
        if got != (code, text, offset, missing):
            wrong += 1
            print(f"{name}: kernel {(code, text, offset, missing)}, ours {got}")
        genl.get(HANDLE)
    # What is not a request, or not answered.
    family = genl.family
    quiet = [
        ("no REQUEST and no ACK", genl.message(family, raw.GET, HANDLE, flags=0)),
        ("a length below the header's", header(15, family, REQUEST | ACK, 1, b"\1\1\0\0")),
        ("a length beyond the datagram", header(4000, family, REQUEST | ACK, 1, b"\1\1\0\0")),
        ("length 0", header(0, family, REQUEST | ACK, 1, b"\1\1\0\0")),
    ] + [(f"{n} bytes", header(20, family, REQUEST | ACK, 1)[:n]) for n in range(1, 16)]
    for name, datagram in quiet:
        genl.sock.send(datagram)
        silence(genl, name)
    for name, datagram, code in [
        ("no generic header", header(16, family, REQUEST | ACK, 0), errno.EINVAL),
        ("half a generic header", header(18, family, REQUEST | ACK, 0, b"\1\1\0\0"), errno.EINVAL),
        ("a control message", header(16, 1, REQUEST | ACK, 0), 0),
        ("no REQUEST, ACK", header(20, family, ACK, 0, b"\1\1\0\0"), 0),
        ("unknown family", header(20, 0xFFF0, REQUEST | ACK, 0, b"\1\1\0\0"), errno.ENOENT),
        ("unknown low family", header(20, 0x12, REQUEST | ACK, 0, b"\1\1\0\0"), errno.ENOENT),
    ]:
        genl.seq += 1
        genl.sock.send(datagram[:8] + struct.pack("<I", genl.seq) + datagram[12:])
        reply = genl.take(genl.seq)
        if reply.errno != code:
            wrong += 1
            print(f"{name}: kernel {code}, ours {reply}")
        genl.get(HANDLE)
    # Two requests in one datagram; the first fails.
    one, first = genl.message(family, 255, HANDLE), genl.seq
    two, second = genl.message(family, raw.GET, HANDLE), genl.seq
    genl.sock.send(one + two)
    assert genl.take(first).errno == errno.EOPNOTSUPP and genl.take(second).errno == 0, "two in one datagram"
    sys.exit(wrong > 0)


def controller():
    """Prints the answers of the controller itself, for comparison with a native run."""
    genl = raw.Genl()
    cases = [(c, p, f) for c in (0, 2, 3, 9, 10, 11, 255) for p in (b"", attr(1, b"\x10\0"), attr(1, b"\x10"), attr(1, b"\xf0\xff"),
             attr(2, "nlctrl"), attr(2, b"nlctrl"), attr(2, "x" * 15), attr(2, "x" * 16), attr(2, "no such"), attr(77, b"abcd"), b"\1\2\3")
             for f in (REQUEST | ACK, REQUEST | DUMP)]
    for command, payload, flags in cases:
        if not payload and flags & DUMP:
            continue  # the list of families, ours included
        reply = genl.call(16, command, payload, flags)
        print(command, payload.hex(), hex(flags), reply.errno, hex(reply.flags), reply.text, sorted((k, v.hex()) for k, v in reply.tlvs.items()),
              [p.hex() for p in reply.payloads if b"devlink\0" not in p])  # ours, which stands in the list of families too


def drain(genl):
    """Throw away what came; the kernel process answers in order, so that a marked request ends it."""
    genl.seq += 1000
    mark = genl.seq + 1
    genl.sock.send(genl.message(genl.family, raw.GET, HANDLE))
    while True:
        data = genl.sock.recv(1 << 17)
        for kind, _, seq, _, _ in raw.messages(data):
            if seq == mark and kind == 2:
                return


def random_():
    dice = random.Random(20211108)
    genl = raw.Genl(timeout=30).find()
    kinds = [genl.family, 16, 0, 1, 2, 3, 15, 0xFFF0]
    for turn in range(int(sys.argv[2])):
        body = bytes(dice.getrandbits(8) for _ in range(dice.choice([0, 1, 3, 4, 5, 8, 20, 33, 64, 300])))
        claimed = dice.choice([16 + len(body), dice.getrandbits(32), 0, 16, 15, 17, len(body)])
        head = header(claimed, dice.choice(kinds), dice.getrandbits(16), dice.getrandbits(16), b"")
        datagram = dice.choice([head + body, head + body, body, head[: dice.randrange(17)]])
        if datagram:
            genl.sock.send(datagram)
        if turn % 4 == 0:
            drain(genl)
    drain(genl)
    genl.get(HANDLE)


def fuzz():
    dice = random.Random(463)
    genl = raw.Genl(timeout=30).find()

    def nest(depth):
        parts = []
        for _ in range(dice.randrange(4)):
            number = dice.choice([dice.randrange(190), dice.randrange(1 << 16)])
            if depth and dice.random() < 0.4:
                data = nest(depth - 1)
            else:
                data = bytes(dice.getrandbits(8) for _ in range(dice.choice([0, 1, 2, 4, 7, 8, 16])))
            part = attr(number, data)
            if dice.random() < 0.1:
                part = struct.pack("<H", dice.getrandbits(8)) + part[2:]
            parts.append(part)
        return b"".join(parts)

    for turn in range(int(sys.argv[2])):
        payload = dice.choice([HANDLE, HANDLE, attr(raw.INDEX, struct.pack("<I", dice.randrange(3))), b""]) + nest(3)
        flags = REQUEST | dice.choice([0, ACK, DUMP, DUMP | ACK, 0x100, 0x200, 0x800])
        command = dice.choice([dice.randrange(86), raw.GET, raw.PORT_GET, raw.PARAM_GET, raw.PARAM_SET, raw.RELOAD, raw.INFO_GET])
        genl.sock.send(genl.message(dice.choice([genl.family, genl.family, 16]), command, payload, flags))
        if turn % 4 == 0:
            drain(genl)
    drain(genl)
    genl.get(HANDLE)


def sizes():
    genl = raw.Genl().find()
    genl.sock.send(b"")
    silence(genl, "an empty datagram")
    padded = HANDLE + b"".join(attr(4000, bytes(1000)) for _ in range(30))
    reply = genl.devlink(raw.GET, padded)
    assert reply.errno == 0, f"30 kB of attributes that mean nothing: {reply}"
    reply = genl.devlink(raw.GET, raw.handle("pci/nowhere") + padded[len(HANDLE) :])
    assert reply.errno == errno.ENODEV, f"30 kB and an error: {reply}"
    plain = raw.Genl(options=())
    plain.family = genl.family
    reply = plain.devlink(raw.GET, raw.handle("pci/nowhere") + padded[len(HANDLE) :])
    assert reply.errno == errno.ENODEV, f"30 kB sent back in the error: {reply}"
    try:
        genl.sock.send(genl.message(genl.family, raw.GET, HANDLE + attr(4000, bytes(60000)) * 20))
        print("1.2 MB were sent")
        sys.exit(1)
    except OSError as error:
        assert error.errno == errno.EMSGSIZE, error
    genl.get(HANDLE)
    many = 100
    seqs = []
    datagram = b""
    for _ in range(many):
        datagram += genl.message(genl.family, 255, HANDLE)
        seqs.append(genl.seq)
    genl.sock.send(datagram)
    for seq in seqs:
        assert genl.take(seq).errno == errno.EOPNOTSUPP, seq
    genl.get(HANDLE)


def namespaces():
    genl = raw.Genl().find()
    null, plain = os.open("/dev/null", os.O_RDONLY), socket.socket()
    mounts = os.open("/proc/self/ns/mnt", os.O_RDONLY)
    own = os.open("/proc/self/ns/net", os.O_RDONLY)
    u32 = lambda v: struct.pack("<I", v & 0xFFFFFFFF)
    rows = [(138, u32(n)) for n in (9999, -1, null, plain.fileno(), mounts)] + [(139, u32(n)) for n in (0, -1, 0x3FFFFFFF)] + [(140, u32(n)) for n in (77, -1, -2)]
    for number, value in rows:
        reply = genl.devlink(raw.RELOAD, HANDLE + attr(number, value))
        assert (reply.errno, reply.text) == (errno.EINVAL, "Unknown network namespace"), f"attribute {number} {value.hex()}: {reply}"
        genl.get(HANDLE)
    for number, value in [(138, u32(own)), (139, u32(os.getpid()))]:
        reply = genl.devlink(raw.RELOAD, HANDLE + attr(number, value))
        assert reply.errno == 0, f"to its own namespace by {number}: {reply}"


def talk():
    """For ever: whatever a client does, as fast as it can."""
    genl = raw.Genl().find()
    genl.sock.setsockopt(raw.SOL_NETLINK, raw.ADD_MEMBERSHIP, genl.group)
    genls = []
    while True:
        genl.devlink(raw.GET, HANDLE)
        genl.devlink(raw.PORT_GET, flags=REQUEST | DUMP)
        genl.devlink(raw.PARAM_GET, flags=REQUEST | DUMP)
        genl.devlink(raw.RELOAD, HANDLE)
        genl.sock.send(genl.message(genl.family, raw.GET, flags=REQUEST | DUMP) * 3)
        genl = raw.Genl().find()
        genl.sock.setsockopt(raw.SOL_NETLINK, raw.ADD_MEMBERSHIP, genl.group)
        genls = genls[-4:] + [genl]


def killed():
    dice = random.Random(15)
    for turn in range(int(sys.argv[2])):
        child = subprocess.Popen([sys.executable, __file__, "talk"], stderr=subprocess.DEVNULL)
        time.sleep(dice.uniform(0.02, 0.2) if turn % 4 else 0.001 * turn)
        child.send_signal(signal.SIGKILL)
        child.wait()
    raw.Genl().find().get(HANDLE)


name = sys.argv[1]
{"random": random_}.get(name, globals().get(name))()
