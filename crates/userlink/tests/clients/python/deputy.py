"""deputy.py drop|keep|devlink: open a socket as root, then (not with `keep`) become nobody, then send an administrative
request: tcp_metrics' flush, or devlink's reload. Prints the errno of the answer."""
import os
import sys

import raw

genl = raw.Genl()
if sys.argv[1] == "devlink":
    genl.find()
    command, payload = raw.RELOAD, raw.handle(raw.DEVICE)
else:
    genl.find("tcp_metrics")
    command, payload = 2, b""  # TCP_METRICS_CMD_DEL without an address: all
if sys.argv[1] != "keep":
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
genl.sock.connect((0, 0))
print(genl.devlink(command, payload).errno)
