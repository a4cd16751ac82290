"""permission.py: as nobody, send every command, to do and to dump, for a device that is there. Prints those that are refused
with EPERM, one a line."""
import errno
import os

import raw

os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
genl = raw.Genl().find()
for command in range(1, 85):
    for flags in (raw.REQUEST | raw.ACK, raw.REQUEST | raw.ACK | raw.DUMP):
        reply = genl.call(genl.family, command, raw.handle(raw.DEVICE), flags)
        if reply.errno == errno.EPERM:
            print(command)
