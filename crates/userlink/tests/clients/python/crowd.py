"""crowd.py N: N sockets at once, each used, half of them subscribed."""
import sys

import raw

genls = []
for number in range(int(sys.argv[1])):
    genl = raw.Genl().find()
    genl.get(raw.handle(raw.DEVICE))
    if number % 2:
        genl.sock.setsockopt(raw.SOL_NETLINK, raw.ADD_MEMBERSHIP, genl.group)
    genls.append(genl)
for genl in reversed(genls):
    genl.get(raw.handle(raw.DEVICE))
