"""until_new.py DEVICE COMMAND...: run COMMAND; return when DEVICE was announced (a NEW notification) in this namespace.

The subscription stands before the command starts, so that nothing can be missed. The exit status is the command's.
"""
import subprocess
import sys

import raw

device, command = sys.argv[1], sys.argv[2:]
genl = raw.Genl().find()
genl.sock.setsockopt(raw.SOL_NETLINK, raw.ADD_MEMBERSHIP, genl.group)
status = subprocess.call(command)
while status == 0:
    announced = False
    for kind, _, seq, portid, body in raw.messages(genl.sock.recv(1 << 16)):
        found = raw.attrs(body[4:])
        name = "/".join(found.get(n, b"\0")[:-1].decode() for n in (raw.BUS_NAME, raw.DEV_NAME))
        announced |= body[0] == 3 and name == device
    if announced:
        break
sys.exit(status)
