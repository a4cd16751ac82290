"""identity.py SCENARIO: one netlink socket, used in the way that the scenario's name says."""
import array
import errno
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import raw

HANDLE = raw.handle(raw.DEVICE)
NO_ENOBUFS = 5


def check(condition, text):
    if not condition:
        raise SystemExit(f"{sys.argv[1]}: {text}")


def adopt(fd, genl):
    """The Genl of another descriptor of the same socket."""
    twin = object.__new__(raw.Genl)
    twin.__dict__.update(genl.__dict__)
    twin.sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, raw.NETLINK_GENERIC, fileno=fd)
    twin.sock.settimeout(20)
    return twin


def same(genl, portid):
    check(genl.sock.getsockname() == (portid, 0), f"getsockname {genl.sock.getsockname()}, not {(portid, 0)}")
    genl.get(HANDLE)


def in_child(work):
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            print(f"child: {error!r}", file=sys.stderr)
            os._exit(1)
    check(os.waitpid(pid, 0)[1] == 0, "the child failed")


def dup():
    genl = raw.Genl().find()
    twin = adopt(os.dup(genl.sock.fileno()), genl)
    genl.sock.close()
    same(twin, genl.portid)
    high = adopt(os.dup2(twin.sock.fileno(), 200), genl)
    twin.sock.close()
    same(high, genl.portid)


def fork():
    genl = raw.Genl().find()
    in_child(lambda: same(genl, genl.portid))
    genl.seq += 1
    same(genl, genl.portid)


def exec_():
    genl = raw.Genl().find()
    os.set_inheritable(genl.sock.fileno(), True)
    status = subprocess.call([sys.executable, __file__, "executed", str(genl.sock.fileno()), str(genl.portid)], close_fds=False)
    check(status == 0, "the executed program failed")
    genl.seq += 100
    same(genl, genl.portid)


def executed():
    genl = object.__new__(raw.Genl)
    genl.seq, genl.backlog = 1050, []
    genl = adopt(int(sys.argv[2]), genl)
    genl.find()
    same(genl, int(sys.argv[3]))


def pass_():
    ours, theirs = socket.socketpair()

    def receiver():
        _, control, _, _ = theirs.recvmsg(1, socket.CMSG_SPACE(4))
        fds = array.array("i", control[0][2][:4])
        blank = object.__new__(raw.Genl)
        blank.seq, blank.backlog = 5000, []
        passed = adopt(fds[0], blank).find()
        same(passed, passed.sock.getsockname()[0])
        theirs.send(b"d")

    pid = os.fork()
    if pid == 0:
        ours.close()
        try:
            receiver()
        finally:
            os._exit(0)
    theirs.close()
    genl = raw.Genl().find()  # opened after the fork: the receiver knows it from the message alone
    ours.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [genl.sock.fileno()]))])
    check(ours.recv(1) == b"d", "the receiver failed")
    os.waitpid(pid, 0)
    same(genl, genl.portid)


def orphan():
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        genl = raw.Genl().find()
        theirs.sendmsg(
            [struct.pack("<IIH", genl.portid, genl.seq, genl.family)],
            [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [genl.sock.fileno()]))],
        )
        os._exit(0)
    os.waitpid(pid, 0)
    data, control, _, _ = ours.recvmsg(64, socket.CMSG_SPACE(4))
    genl = object.__new__(raw.Genl)
    portid, genl.seq, genl.family = struct.unpack("<IIH", data)
    genl.backlog = []
    same(adopt(array.array("i", control[0][2][:4])[0], genl), portid)


def namespace():
    genl = raw.Genl().find()
    subprocess.check_call(["ip", "netns", "add", "other"])
    fd = os.open("/run/netns/other", os.O_RDONLY)
    import ctypes

    check(ctypes.CDLL(None).setns(fd, 0x40000000) == 0, "setns")
    os.close(fd)
    genl.get(HANDLE)  # the socket is still of the first namespace
    there = raw.Genl().find()
    reply = there.devlink(raw.GET, HANDLE)
    check(reply.errno == errno.ENODEV, f"another namespace sees the device: {reply}")
    check(there.devlink(raw.GET, flags=raw.REQUEST | raw.DUMP).payloads == [], "a dump of another namespace")


def order():
    """Requests to devlink and to the real kernel's controller, many under way at once."""
    genl = raw.Genl().find()
    controller = raw.attr(2, "nlctrl")
    for _ in range(200):
        sent = []
        for turn in range(8):
            kind, command, payload = (16, 3, controller) if turn % 2 else (genl.family, raw.GET, HANDLE)
            genl.sock.send(genl.message(kind, command, payload))
            sent.append(genl.seq)
        acknowledged = []
        while len(acknowledged) < len(sent):
            acknowledged += [seq for kind, _, seq, _, _ in raw.messages(genl.sock.recv(1 << 16)) if kind == 2]
        assert acknowledged == sent, (sent, acknowledged)


def looks():
    genl = raw.Genl().find()
    sock = genl.sock
    option = lambda level, name: sock.getsockopt(level, name)
    check(option(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_RAW, "SO_TYPE")
    check(option(socket.SOL_SOCKET, socket.SO_DOMAIN) == socket.AF_NETLINK, "SO_DOMAIN")
    check(option(socket.SOL_SOCKET, socket.SO_PROTOCOL) == raw.NETLINK_GENERIC, "SO_PROTOCOL")
    check(sock.getpeername() == (0, 0), f"getpeername {sock.getpeername()}")
    check(option(raw.SOL_NETLINK, raw.EXT_ACK) == 1, "EXT_ACK was set")
    sock.setsockopt(raw.SOL_NETLINK, raw.EXT_ACK, 0)
    check(option(raw.SOL_NETLINK, raw.EXT_ACK) == 0, "EXT_ACK was cleared")
    sock.send(genl.message(genl.family, raw.GET, HANDLE))
    data, _, _, sender = sock.recvmsg(1 << 16)
    check(sender == (0, 0), f"the sender is {sender}")
    genl.take(genl.seq)
    sock.send(genl.message(genl.family, raw.GET, HANDLE))
    check(sock.recvfrom(1 << 16)[1] == (0, 0), "recvfrom's sender")
    genl.take(genl.seq)
    sock.connect((0, 0))
    sock.sendto(genl.message(genl.family, raw.GET, HANDLE), (0, 0))
    check(genl.take(genl.seq).errno == 0, "sendto with an address")
    dgram = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, raw.NETLINK_GENERIC)
    check(dgram.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_DGRAM, "SO_TYPE of a datagram socket")
    try:
        dgram.recv(10)
        check(False, "an empty socket gave something")
    except BlockingIOError:
        pass
    for wrong in (lambda: sock.setsockopt(raw.SOL_NETLINK, 9999, 1), lambda: option(raw.SOL_NETLINK, 9999)):
        try:
            wrong()
            check(False, "an unknown option was accepted")
        except OSError as error:
            check(error.errno == errno.ENOPROTOOPT, f"unknown option: {error}")
    try:
        sock.setsockopt(raw.SOL_NETLINK, raw.ADD_MEMBERSHIP, 99999)
        check(False, "an unknown group was joined")
    except OSError as error:
        check(error.errno == errno.EINVAL, f"unknown group: {error}")


def ports():
    genls = [raw.Genl() for _ in range(20)]
    ids = [g.portid for g in genls]
    check(len(set(ids)) == 20 and 0 not in ids, f"port ids {ids}")
    taken = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, raw.NETLINK_GENERIC)
    try:
        taken.bind((ids[0], 0))
        check(False, "a taken port id was given twice")
    except OSError as error:
        check(error.errno == errno.EADDRINUSE, f"taken port id: {error}")
    free = 4242
    taken.bind((free, 0))
    check(taken.getsockname() == (free, 0), "the wished port id")
    late = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, raw.NETLINK_GENERIC)
    check(late.getsockname() == (0, 0), "a socket that is not bound")
    late.sendto(raw.Genl.message(genls[0], 16, 3, raw.attr(2, "devlink")), (0, 0))
    late.settimeout(20)
    late.recv(1 << 16)
    check(late.getsockname()[0] != 0, "the first send binds")


def receive():
    genl = raw.Genl().find()
    sock = genl.sock
    sock.settimeout(None)  # else Python waits by itself, with poll
    sock.send(genl.message(genl.family, raw.GET, HANDLE, flags=raw.REQUEST))
    peeked = sock.recv(1 << 16, socket.MSG_PEEK)
    data, _, flags, _ = sock.recvmsg(10, 0, socket.MSG_PEEK | socket.MSG_TRUNC)
    check(flags & socket.MSG_TRUNC and data == peeked[:10], "peek into a short buffer")
    short = bytearray(8)
    check(sock.recv_into(short, 8, socket.MSG_PEEK | socket.MSG_TRUNC) == len(peeked), "MSG_TRUNC tells the whole length")
    data, _, flags, sender = sock.recvmsg(20)
    check(flags & socket.MSG_TRUNC and data == peeked[:20] and sender == (0, 0), "a short buffer loses the rest")
    for blocking in (lambda: sock.recv(10, socket.MSG_DONTWAIT), lambda: sock.recvmsg(10, 0, socket.MSG_DONTWAIT)):
        try:
            blocking()
            check(False, "a second message where there is none")
        except BlockingIOError:
            pass
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", 0, 60000))
    for call in (lambda: sock.recv(10), lambda: sock.recvmsg(10)):
        start = time.monotonic()
        try:
            call()
            check(False, "a message where there is none")
        except BlockingIOError:
            waited = time.monotonic() - start
            check(0.05 < waited < 5, f"SO_RCVTIMEO of 60 ms waited {waited:.3f} s")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", 0, 0))
    # A signal ends a receive that waits, with and without SA_RESTART (Python retries; the handler proves the wake-up).
    hits = []
    signal.signal(signal.SIGALRM, lambda *_: hits.append(1) or (len(hits) > 2 and sock.send(genl.message(genl.family, raw.GET, HANDLE))))
    signal.setitimer(signal.ITIMER_REAL, 0.03, 0.03)
    sock.recvmsg(1 << 16)
    signal.setitimer(signal.ITIMER_REAL, 0)
    check(len(hits) >= 3, f"{len(hits)} signals got through to a receive that waits")


def epoll():
    genl = raw.Genl().find()
    poll = select.epoll()
    genl.sock.setblocking(False)
    poll.register(genl.sock, select.EPOLLIN | select.EPOLLET)
    poll.poll(0)
    for turn in range(300):
        genl.sock.send(genl.message(genl.family, raw.GET, HANDLE))
        got = 0
        while got < 2:  # the reply and the ACK
            check(poll.poll(20), f"turn {turn}: no event")
            while True:
                try:
                    got += len(list(raw.messages(genl.sock.recvmsg(1 << 16)[0])))
                except BlockingIOError:
                    break
        check(got == 2, f"turn {turn}: {got} messages")
        for _, event in poll.poll(0):
            # An edge may come late for what was read already; what may not be is data or an error behind it.
            check(event == select.EPOLLIN, f"turn {turn}: event {event}")
            try:
                check(False, f"turn {turn}: left over {genl.sock.recv(1 << 16)!r}")
            except BlockingIOError:
                pass


class Listener:
    """A member of the group with room for few notifications, and how they are made."""

    def __init__(self, room):
        self.genl, self.other = raw.Genl().find(), raw.Genl().find()
        self.genl.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        self.genl.sock.setsockopt(raw.SOL_NETLINK, raw.ADD_MEMBERSHIP, self.genl.group)
        self.genl.sock.setblocking(False)

    def change(self, times):
        # Every notification of a parameter is sent before its answer; of a reload some come later, and would be lost too.
        value = raw.attr(81, "enable_remote_dev_reset") + raw.attr(83, b"\6") + raw.attr(87, b"\0") + raw.attr(86)
        for _ in range(times):
            check(self.other.devlink(raw.PARAM_SET, HANDLE + value).errno == 0, "a parameter is set")

    def read(self, most=None):
        """What so many receives say, or those up to the end: `m` is a message."""
        said = ""
        while most is None or len(said) < most:
            try:
                said += "m" if self.genl.sock.recvmsg(1 << 16)[0] else "?"
            except BlockingIOError:
                break
            except OSError as error:
                check(error.errno == errno.ENOBUFS, f"{error}")
                said += "E"
        return said


def overrun():
    listener = Listener(1)
    listener.change(60)
    said = listener.read()
    check(said == "E" + "m" * (len(said) - 1), said)
    listener.change(1)
    check(listener.read() == "m", "a notification after the overrun")


def congested():
    """As a real netlink socket says it (NETLINK_ROUTE does the same): once, and nothing more comes until all is read."""
    listener = Listener(8192)
    listener.change(100)
    full = listener.read()
    check(full[:4] == "Emmm" and "E" not in full[1:] and len(full) < 100, full)
    listener.change(100)
    said = listener.read(2)
    listener.change(5)
    said += listener.read(2)
    listener.change(5)
    said += listener.read()
    check(said == full, f"{said} is not {full}")
    listener.change(1)
    check(listener.read() == "m", "a notification when all was read")
    listener.change(100)
    listener.genl.sock.setsockopt(raw.SOL_NETLINK, NO_ENOBUFS, 1)
    check(listener.read() == full, "what was lost before is said")
    listener.change(100)
    said = listener.read(1)
    listener.change(1)
    said += listener.read()
    check(said == full[1:] + "m", f"{said}: nothing is said, and what fits comes")


def threads():
    failures = []

    def work():
        try:
            genl = raw.Genl().find()
            for _ in range(100):
                genl.get(HANDLE)
        except BaseException as error:
            failures.append(repr(error))

    crowd = [threading.Thread(target=work) for _ in range(8)]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join()
    check(not failures, f"{failures}")


name = sys.argv[1]
{"exec": exec_, "pass": pass_}.get(name, globals().get(name))()
if name != "executed":
    print(f"{name}: good")
