"""files.py ROOT...: mistreats every file below the given directories and prints what is not as it should be.

Each file is read at odd places, and written garbage; what it showed before must be what it shows afterwards, unless the
kernel, too, would have taken the text. Then it says how many files it met and which errors there were.
"""
import errno
import os
import sys

TEXTS = [b"\n", b"garbage", b"-1", b"99999999999999999999999", b"\xff\xfe\x00\x01", b"\0", b"x" * 5000, b" ", b"z:2:3", b"%s%n"]
# What bool files take by their first letter, and files that take any text.
TAKES = {"ifalias", "take_snapshot", "reset", "psp_rereg", "drivers_autoprobe", "uevent", "break_health", "trap_flow_action_cookie"}
# A shell would not come back from these.
LEAVE = {"unbind", "bind"}

errors, files, wrong = {}, 0, []


def attempt(what):
    try:
        return what()
    except OSError as error:
        name = errno.errorcode.get(error.errno, str(error.errno))
        errors[name] = errors.get(name, 0) + 1
        return error.errno


def show(path):
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(1 << 16)
    except OSError as error:
        return error.errno


def odd_reads(path):
    fd = attempt(lambda: os.open(path, os.O_RDONLY))
    whole = show(path)
    for offset, size in [(1, 1), (3, 7), (4095, 2), (4096, 1), (1 << 40, 5), (0, 0)]:
        part = attempt(lambda: os.pread(fd, size, offset))
        if isinstance(whole, bytes) and isinstance(part, bytes) and part != whole[offset:offset + size]:
            wrong.append(f"{path}: {size} bytes at {offset}: {part!r} of {whole!r}")
    os.close(fd)


def odd_writes(path, name):
    before = show(path)
    for text in TEXTS:
        fd = attempt(lambda: os.open(path, os.O_WRONLY))
        attempt(lambda: os.write(fd, text))
        attempt(lambda: os.pwrite(fd, text, 13))
        os.close(fd)
    after = show(path)
    if before != after and name not in TAKES:
        wrong.append(f"{path}: was {before!r}, is {after!r}")


for root in sys.argv[1:]:
    for folder, _, names in os.walk(root):
        for name in sorted(names):
            path = os.path.join(folder, name)
            if os.path.islink(path) or name in LEAVE:
                continue
            files += 1
            mode = os.stat(path).st_mode
            if mode & 0o444:
                odd_reads(path)
            if mode & 0o222:
                odd_writes(path, name)
for line in wrong:
    print(line)
print(f"{files} files", *sorted(errors))
