"""mounts.py TYPE TARGET...: mounts one file system of the type as newer programs do, with fsopen, fsmount and move_mount.

It is attached at the first target, by its path, and then moved on to the others, by a descriptor of their directory.
Prints where it shows `bus/netdevsim`: by its descriptor, before and after it is attached."""

import ctypes
import os
import sys

OPEN_TREE, MOVE_MOUNT, FSOPEN, FSCONFIG, FSMOUNT = 428, 429, 430, 431, 432  # on every architecture
AT_FDCWD, AT_EMPTY_PATH = -100, 0x1000
SET_STRING, CREATE = 1, 6
F_EMPTY_PATH, T_SYMLINKS = 0x4, 0x10
MOUNT_ATTR_NOSUID = 0x2

libc = ctypes.CDLL(None, use_errno=True)


def call(*arguments):
    result = libc.syscall(*[ctypes.c_long(it) if isinstance(it, int) else it for it in arguments])
    if result < 0:
        sys.exit(os.strerror(ctypes.get_errno()))
    return result


def shows(mount):
    try:
        os.stat("bus/netdevsim", dir_fd=mount)
        return "yes"
    except FileNotFoundError:
        return "no"


kind, first, *others = sys.argv[1:]
context = call(FSOPEN, kind.encode(), 0)
call(FSCONFIG, context, SET_STRING, b"source", b"x", 0)
call(FSCONFIG, context, CREATE, None, None, 0)
mount = call(FSMOUNT, context, 0, MOUNT_ATTR_NOSUID)
before = shows(mount)
call(MOVE_MOUNT, mount, b"", AT_FDCWD, first.encode(), F_EMPTY_PATH | T_SYMLINKS)
print(before, shows(mount))
for target in others:
    directory, name = os.path.split(target)
    directory = os.open(directory or ".", os.O_PATH)
    call(MOVE_MOUNT, mount, b"", directory, name.encode(), F_EMPTY_PATH)
    print(shows(mount))
