"""replay.py FILE: ask what FILE (golden/README.md) asks, and compare every byte of the answers with its kernel's.

Not compared, as they are this machine's own: family and group ids, interface indexes, sequence and port numbers.
"""
import struct
import sys

import raw

FAMILY_ID, GROUP_ID, IFINDEX = 1, 2, 6


def blank(data, wanted, inside=()):
    """`data` with the payload of the attributes `wanted` zeroed; `inside` is the path of nests that leads to them."""
    out, at = bytearray(data), 0
    while at + 4 <= len(data):
        length, number = struct.unpack_from("<HH", data, at)
        if length < 4:
            break
        number &= 0x3FFF
        if inside:
            if inside[0] in (number, None):
                out[at + 4 : at + length] = blank(data[at + 4 : at + length], wanted, inside[1:])
        elif number in wanted:
            out[at + 4 : at + length] = bytes(length - 4)
        at += (length + 3) & ~3
    return bytes(out)


def normal(family, attributes):
    if family == "ctrl":
        return blank(blank(attributes, (FAMILY_ID,)), (GROUP_ID,), (7, None))
    return blank(attributes, (IFINDEX,))


def script(path):
    steps, name = [], ""
    for line in open(path):
        mark, _, rest = line.rstrip("\n").partition(" ")
        fields = rest.split()
        if mark == "#":
            name = rest
        elif mark == ">":
            family, command, flags = fields[0], int(fields[1]), int(fields[2], 16)
            steps.append((name, family, command, flags, bytes.fromhex("".join(fields[3:])), []))
        elif mark == "<":
            steps[-1][5].append(f"< {fields[0]} {fields[1]} {fields[2]} {normal(fields[0], bytes.fromhex(''.join(fields[3:]))).hex()}")
        elif mark:
            steps[-1][5].append(line.strip())
    return steps


def ask(genl, family, command, flags, attributes):
    kind = genl.family if family == "devlink" else raw.GENL_ID_CTRL
    if family == "ctrl":
        at = attributes.find(b"\x06\x00\x01\x00")
        if at >= 0:
            attributes = attributes[: at + 4] + struct.pack("<H", genl.family) + attributes[at + 6 :]
    genl.sock.send(genl.message(kind, command, attributes, flags))
    lines = []
    while True:
        for kind, flags, seq, portid, body in raw.messages(genl.sock.recv(1 << 16)):
            assert (seq, portid) == (genl.seq, genl.portid), f"seq {seq} of {genl.seq}, port id {portid} of {genl.portid}"
            if kind == 2:
                error, length = struct.unpack_from("<iI", body)
                tlvs = body[20:] if flags & raw.CAPPED else body[4 + ((length + 3) & ~3) :]
                return lines + [f"! {-error} {flags:#x} {tlvs.hex()}".strip()]
            if kind == 3:
                return lines + [f". {-struct.unpack_from('<i', body)[0]} {flags:#x} {body[4:].hex()}".strip()]
            name = "ctrl" if kind == raw.GENL_ID_CTRL else "devlink"
            lines.append(f"< {name} {body[0]} {flags:#x} {normal(name, body[4:]).hex()}")


def main():
    # EXT_ACK as the recorded client had it: iproute2 and the raw requests both ask for it, and for capped ACKs.
    genl = raw.Genl().find()
    wrong = total = 0
    for name, family, command, flags, attributes, expected in script(sys.argv[1]):
        got = ask(genl, family, command, flags, attributes)
        total += 1
        if got != expected:
            wrong += 1
            print(f"{name}: {family} {command} {flags:#x} {attributes.hex()}")
            for line in expected:
                print(("    both   " if line in got else "    kernel ") + line)
            for line in got:
                if line not in expected:
                    print(f"    ours   {line}")
    print(f"{total} requests, {wrong} answered unlike the kernel")
    sys.exit(wrong > 0)


main()
