"""lost.py RECEIVE: listen with this method of a socket, change a parameter three times, and print what is heard of it, and when something was lost."""
import errno
import subprocess
import sys

import raw

genl = raw.Genl().find()
genl.sock.setsockopt(raw.SOL_NETLINK, raw.ADD_MEMBERSHIP, genl.group)
change = "devlink dev param set pci/0000:00:09.0 name enable_remote_dev_reset cmode runtime value"
for value in ("false", "true", "false"):
    subprocess.run([*change.split(), value], check=True)
genl.sock.setblocking(False)
receive = getattr(genl.sock, sys.argv[1])
while True:
    try:
        receive(1 << 16)
        print("heard")
    except BlockingIOError:
        break
    except OSError as error:
        assert error.errno == errno.ENOBUFS, error
        print("lost")
