"""Dump all generic netlink families twice over one socket, and ask for each by name and by id: NAME ID VERSION GROUPS."""
import struct

import raw

genl = raw.Genl()


def family(payload):
    found = raw.attrs(payload[4:])
    groups = raw.attrs(found.get(7, b""))
    names = sorted(raw.attrs(g)[1][:-1].decode() for g in groups.values())
    return found[2][:-1].decode(), struct.unpack("<H", found[1])[0], struct.unpack("<I", found[3])[0], ",".join(names)


def dump():
    reply = genl.call(16, 3, flags=raw.REQUEST | raw.DUMP)
    assert reply.errno == 0, reply
    return [family(p) for p in reply.payloads]


families = dump()
assert families == dump(), "two dumps differ"
ids = [f[1] for f in families]
assert len(set(ids)) == len(ids), f"an id twice: {ids}"
for found in families:
    for by in (raw.attr(2, found[0]), raw.attr(1, struct.pack("<H", found[1]))):
        reply = genl.call(16, 3, by)
        assert reply.errno == 0 and family(reply.payloads[0]) == found, (found, reply)
    print(found[0], found[1], found[2], found[3])
