"""Clients of the toy service in tests/support/echo_service.rs; each function is one program, named on the command line."""

import array
import ctypes
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

FAMILY = 0x3D1
GROUP = 0x3D1
SOL_NETLINK = 270


def message(text, seq=1, kind=FAMILY):
    if isinstance(text, str):
        text = text.encode()
    return struct.pack("=IHHII", 16 + len(text), kind, 1, seq, 0) + text


def open_socket(flags=0):
    client = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | flags, 16)
    client.bind((0, 0))
    return client


def receive(client, flags=0):
    data, control, out, sender = client.recvmsg(65536, 0, flags)
    native = "NATIVE" in os.environ and len(sender) == 10
    assert (sender == (0, 0) or native) and not control, (sender, control)
    length, kind, _, seq, port = struct.unpack("=IHHII", data[:16])
    assert length == len(data) and kind == FAMILY, (length, len(data), kind)
    return seq, data[16:], port


def ask(client, text, seq=1):
    client.send(message(text, seq))
    got, answer, _ = receive(client)
    assert got == seq, (got, seq)
    return answer


def who(client=None):
    return dict(
        word.split("=")
        for word in ask(client or open_socket(), "who").decode().split(" ", 5)[:5]
    )


def names():
    client = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 16)
    assert client.getsockname() == (0, 0)
    assert client.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_DGRAM
    assert client.getsockopt(socket.SOL_SOCKET, 39) == socket.AF_NETLINK
    assert client.getsockopt(socket.SOL_SOCKET, 38) == 16
    client.bind((0, 0))
    assert client.getsockname() == (os.getpid(), 0)
    assert client.getpeername() == (0, 0)
    client.connect((0, 0))
    other = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 16)
    try:
        other.bind((os.getpid(), 0))
        raise AssertionError("the port id was given twice")
    except OSError as error:
        assert error.errno == errno.EADDRINUSE, error
    other.bind((4242, 0))
    assert other.getsockname() == (4242, 0)
    # A third one gets whatever is free; and one that sends first is bound by that.
    third = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 16)
    third.send(message("hello"))
    assert receive(third)[2] == third.getsockname()[0] != 0
    assert ask(other, "hello") == b"hello"
    for option in (10, 11, 12):
        assert client.getsockopt(SOL_NETLINK, option) == 0
        client.setsockopt(SOL_NETLINK, option, 1)
        assert client.getsockopt(SOL_NETLINK, option) == 1
    assert ask(client, "who").endswith(b"options=SocketOptions(7168)")
    cookie = struct.unpack("=Q", client.getsockopt(socket.SOL_SOCKET, 71, 8))[0]
    assert who(client)["net"] == str(cookie)
    try:
        client.bind((0, 0), 1)
    except TypeError:
        pass


def shapes():
    client = open_socket()
    # recvfrom with an address
    client.send(message("hello"))
    data, sender = client.recvfrom(65536)
    assert data[16:] == b"hello" and sender == (0, 0), (data, sender)
    # several buffers
    client.send(message("0123456789"))
    first, second, third = bytearray(16), bytearray(4), bytearray(100)
    count, _, flags, sender = client.recvmsg_into([first, second, third])
    assert count == 26 and flags == 0 and sender == (0, 0)
    assert second == b"0123" and third[:6] == b"456789"
    # too short, with and without MSG_TRUNC
    client.send(message("0123456789"))
    client.send(message("0123456789"))
    data, _, flags, _ = client.recvmsg(20)
    assert len(data) == 20 and flags == socket.MSG_TRUNC, (len(data), flags)
    room = bytearray(20)
    count, _, flags, _ = client.recvmsg_into([room], 0, socket.MSG_TRUNC)
    assert count == 26 and flags == socket.MSG_TRUNC, (count, flags)
    # looking first, as libnetlink does
    client.send(message("0123456789", 7))
    count, _, flags, _ = client.recvmsg_into([], 0, socket.MSG_PEEK | socket.MSG_TRUNC)
    assert count == 26, count
    assert receive(client)[0] == 7
    # nothing there
    for attempt in (
        lambda: client.recvmsg(10, 0, socket.MSG_DONTWAIT),
        lambda: client.recvfrom(10, socket.MSG_DONTWAIT),
    ):
        try:
            attempt()
            raise AssertionError("received nothing?")
        except BlockingIOError:
            pass
    # a timeout of the kernel's
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", 0, 200000))
    start = time.monotonic()
    try:
        client.recvmsg(10)
        raise AssertionError("received nothing?")
    except BlockingIOError:
        assert time.monotonic() - start > 0.19, time.monotonic() - start
    # memory that is not there
    libc = ctypes.CDLL(None, use_errno=True)
    client.send(message("gone"))
    time.sleep(0.05)
    address = ctypes.create_string_buffer(12)
    length = ctypes.c_int(12)
    result = libc.recvfrom(client.fileno(), 8, 100, 0, address, ctypes.byref(length))
    assert result == -1 and ctypes.get_errno() == errno.EFAULT, ctypes.get_errno()
    assert libc.recvmsg(client.fileno(), 8, 0) == -1 and ctypes.get_errno() == errno.EFAULT
    assert libc.getsockname(client.fileno(), 8, ctypes.byref(length)) == -1
    # non-blocking sockets
    other = open_socket(socket.SOCK_NONBLOCK)
    try:
        other.recvmsg(10)
        raise AssertionError("received nothing?")
    except BlockingIOError:
        pass
    assert other.getblocking() is False


class Msghdr(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_void_p),
        ("namelen", ctypes.c_uint32),
        ("iov", ctypes.c_void_p),
        ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    ]


class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]


class Mmsghdr(ctypes.Structure):
    _fields_ = [("hdr", Msghdr), ("len", ctypes.c_uint32)]


def fields():
    """Only what the kernel writes is written."""
    libc = ctypes.CDLL(None, use_errno=True)
    client = open_socket()
    client.send(message("hello"))
    data = ctypes.create_string_buffer(100)
    name = ctypes.create_string_buffer(b"\xee" * 16, 16)
    iovec = Iovec(ctypes.addressof(data), 100)
    header = Msghdr(
        ctypes.addressof(name), 8, ctypes.addressof(iovec), 1, None, 0, 0x55
    )
    assert libc.recvmsg(client.fileno(), ctypes.byref(header), 0) == 21
    assert header.namelen == 12 and header.flags == 0 and header.iovlen == 1
    assert name.raw == struct.pack("=HHI", 16, 0, 0) + b"\xee" * 8, name.raw
    # without a name the length of one is left alone
    client.send(message("hello"))
    header = Msghdr(None, 77, ctypes.addressof(iovec), 1, None, 0, 0)
    assert libc.recvmsg(client.fileno(), ctypes.byref(header), 0) == 21
    assert header.namelen == 77
    # several messages at once
    for seq in range(3):
        client.send(message("x" * seq, seq))
    time.sleep(0.1)
    buffers = [ctypes.create_string_buffer(100) for _ in range(5)]
    iovecs = [Iovec(ctypes.addressof(buffer), 100) for buffer in buffers]
    headers = (Mmsghdr * 5)()
    for header, iovec in zip(headers, iovecs):
        header.hdr.iov, header.hdr.iovlen = ctypes.addressof(iovec), 1
    MSG_WAITFORONE = 0x10000
    count = libc.recvmmsg(client.fileno(), headers, 5, MSG_WAITFORONE, None)
    assert count == 3, (count, ctypes.get_errno())
    assert [header.len for header in headers] == [16, 17, 18, 0, 0]


def relatives():
    """The socket is the same through dup, fork, exec and descriptor passing."""
    client = open_socket()
    copy = client.dup()
    client.close()
    assert ask(copy, "dup") == b"dup"
    if os.fork() == 0:
        assert ask(copy, "fork") == b"fork"
        os._exit(0)
    assert os.wait()[1] == 0
    copy.set_inheritable(True)
    subprocess.run([sys.executable, __file__, "inherited", str(copy.fileno())], close_fds=False, check=True)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        _, control, _, _ = ours.recvmsg(1, 100)
        fd = array.array("i", control[0][2][:4])[0]
        passed = socket.socket(fileno=fd)
        assert passed.family == socket.AF_NETLINK, passed
        assert ask(passed, "passed") == b"passed"
        os._exit(0)
    theirs.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [copy.fileno()]))])
    copy.close()
    assert os.wait()[1] == 0


def inherited():
    client = socket.socket(fileno=int(sys.argv[2]))
    assert client.family == socket.AF_NETLINK, client
    assert ask(client, "exec") == b"exec"


def threads():
    failures = []

    def work(number):
        try:
            client = open_socket() if number else shared
            for seq in range(200):
                assert ask(client, f"{number}/{seq}", seq) == f"{number}/{seq}".encode()
        except BaseException as error:
            failures.append(error)

    shared = open_socket()
    workers = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures, failures


def edges():
    """Edge-triggered epoll: each readiness is true, and none is missing."""
    client = open_socket(socket.SOCK_NONBLOCK)
    poll = select.epoll()
    poll.register(client, select.EPOLLIN | select.EPOLLET)
    for seq in range(2000):
        client.send(message("burst:3", seq))
        got = []
        while len(got) < 3:
            assert poll.poll(5), "no readiness"
            while True:
                try:
                    got.append(receive(client))
                except BlockingIOError:
                    break
        assert [(seq, struct.pack("=I", n)) for n in range(3)] == [g[:2] for g in got], got
        if poll.poll(0):
            raise AssertionError("readiness without a datagram")


def storm():
    """Signals at 2 kHz: nothing is lost or out of order. With and without SA_RESTART."""
    for restart in (True, False):
        beats = 0

        def beat(*_):
            nonlocal beats
            beats += 1

        signal.signal(signal.SIGALRM, beat)
        signal.siginterrupt(signal.SIGALRM, not restart)
        client = open_socket()
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        for seq in range(10000):
            if seq % 10:
                assert ask(client, f"n{seq}", seq) == f"n{seq}".encode()
            else:
                client.send(message("burst:4", seq))
                got = [receive(client)[:2] for _ in range(4)]
                assert got == [(seq, struct.pack("=I", n)) for n in range(4)], (seq, got)
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert beats > 100, beats
        client.setblocking(False)
        try:
            raise AssertionError(client.recvmsg(100))
        except BlockingIOError:
            pass


def alarmed():
    """A receive that waits long under signals at 2 kHz, in the first thread and in another, gets what comes."""
    signal.signal(signal.SIGALRM, lambda *_: None)
    for restart in (True, False):
        signal.siginterrupt(signal.SIGALRM, not restart)
        for elsewhere in (True, False):
            listener, speaker = open_socket(), open_socket()
            listener.setsockopt(SOL_NETLINK, 1, GROUP)
            outcome = []

            def listen():
                try:
                    outcome.extend(receive(listener) for _ in range(20))
                except BaseException as error:
                    outcome.append(error)

            def speak():
                for number in range(20):
                    time.sleep(0.02)
                    ask(speaker, f"notify:{number}")

            first, second = (speak, listen) if elsewhere else (listen, speak)
            thread = threading.Thread(target=second)
            thread.start()
            signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
            first()
            thread.join()
            signal.setitimer(signal.ITIMER_REAL, 0)
            assert outcome == [(0, str(number).encode(), 0) for number in range(20)], outcome


def interrupted():
    """A waiting receive ends with the signal, and the socket can then really be closed."""
    client = open_socket()

    class Alarm(Exception):
        pass

    def alarm(*_):
        raise Alarm

    signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        client.recvmsg(100)
        raise AssertionError("received nothing?")
    except Alarm:
        pass
    assert ask(client, "after") == b"after"


def overrun():
    """A slow reader of notifications hears ENOBUFS, once."""
    slow, fast = open_socket(), open_socket()
    slow.setsockopt(SOL_NETLINK, 1, GROUP)
    for _ in range(2000):
        ask(fast, "notify:" + "x" * 1000)
    try:
        slow.recvmsg(65536)
        raise AssertionError("no overrun")
    except OSError as error:
        assert error.errno == errno.ENOBUFS, error
    count = 0
    slow.setblocking(False)
    while True:
        try:
            receive(slow)
            count += 1
        except BlockingIOError:
            break
    assert 50 < count < 2000, count
    slow.setsockopt(SOL_NETLINK, 2, GROUP)
    ask(fast, "notify:again")
    try:
        raise AssertionError(slow.recvmsg(100))
    except BlockingIOError:
        pass


def notified():
    listener, speaker = open_socket(), open_socket()
    listener.setsockopt(SOL_NETLINK, 1, GROUP)
    ask(speaker, "notify:news")
    assert receive(listener) == (0, b"news", 0)


def flood():
    """A client that sends and never reads is told so instead of standing still."""
    client = open_socket()
    client.settimeout(20)
    for seq in range(3000):
        client.send(message("x" * 1000, seq))
    client.settimeout(1)
    seen = []
    overruns = 0
    while True:
        try:
            seen.append(receive(client)[0])
        except (TimeoutError, BlockingIOError):
            break
        except OSError as error:
            assert error.errno == errno.ENOBUFS, error
            overruns += 1
    assert overruns and seen == sorted(seen), (overruns, len(seen))
    assert ask(client, "still here") == b"still here"


def getfamily(client=None):
    client = client or open_socket()
    client.send(
        struct.pack("=IHHII", 32, 16, 1, 9, 0)
        + struct.pack("=BBH", 3, 1, 0)
        + struct.pack("=HH7sx", 11, 2, b"nlctrl\0")
    )
    data, _, _, sender = client.recvmsg(65536)
    length, kind, _, seq, port = struct.unpack("=IHHII", data[:16])
    assert (kind, seq, sender) == (16, 9, (0, 0)), (kind, seq, sender)
    assert port == client.getsockname()[0]


def family_id(client, name):
    name = name.encode() + b"\0"
    attribute = struct.pack("=HH", 4 + len(name), 2) + name + b"\0" * (-len(name) % 4)
    client.send(struct.pack("=IHHIIBBH", 20 + len(attribute), 16, 1, 1, 0, 3, 1, 0) + attribute)
    data = client.recv(65536)
    at = 20
    while at < len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        if kind == 1:
            return struct.unpack_from("=H", data, at + 4)[0]
        at += (length + 3) & ~3
    raise AssertionError("no such family")


def tcp_metrics_del(client):
    """The errno of an administrative request to the real kernel: deleting a metric that is not there."""
    family = family_id(client, "tcp_metrics")
    # TCP_METRICS_CMD_DEL of an address that nobody has: ESRCH for who may, EPERM for who may not.
    attribute = struct.pack("=HH4s", 8, 1, socket.inet_aton("203.0.113.99"))
    client.send(struct.pack("=IHHIIBBH", 28, family, 5, 2, 0, 2, 1, 0) + attribute)
    data, _, _, _ = client.recvmsg(65536)
    return -struct.unpack_from("=i", data, 16)[0]


def become(uid):
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)


def deputies():
    """Nobody can borrow rights: both who opened the socket and who sends must have them. Needs root."""
    in_child(lambda: tcp_metrics_del(open_socket()), errno.ESRCH)

    def opened_and_sent_by_nobody():
        become(65534)
        return tcp_metrics_del(open_socket())

    in_child(opened_and_sent_by_nobody, errno.EPERM)

    def sent_by_nobody():
        client = open_socket()
        become(65534)
        return tcp_metrics_del(client)

    in_child(sent_by_nobody, errno.EPERM)

    def opened_by_nobody():
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if os.fork() == 0:
            become(65534)
            client = open_socket()
            ours.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [client.fileno()]))])
            os._exit(0)
        _, control, _, _ = theirs.recvmsg(1, 100)
        os.wait()
        return tcp_metrics_del(socket.socket(fileno=array.array("i", control[0][2][:4])[0]))

    in_child(opened_by_nobody, errno.EPERM)

    def without_capabilities():
        drop_capabilities()
        return tcp_metrics_del(open_socket())

    in_child(without_capabilities, errno.EPERM)

    def capabilities_dropped_later():
        client = open_socket()
        drop_capabilities()
        return tcp_metrics_del(client)

    in_child(capabilities_dropped_later, errno.EPERM)

    def half_a_setuid_program():
        client = open_socket()
        os.setresuid(65534, 0, 0)
        return tcp_metrics_del(client)

    in_child(half_a_setuid_program, errno.EPERM)

    def in_a_user_namespace():
        os.unshare = lambda flags: check(ctypes.CDLL(None).unshare(flags))
        os.unshare(0x10000000)  # CLONE_NEWUSER
        return tcp_metrics_del(open_socket())

    in_child(in_a_user_namespace, errno.EPERM)

    def opened_outside_sent_in_a_user_namespace():
        client = open_socket()
        check(ctypes.CDLL(None).unshare(0x10000000))
        return tcp_metrics_del(client)

    in_child(opened_outside_sent_in_a_user_namespace, errno.EPERM)

    def in_its_own_network_namespace():
        check(ctypes.CDLL(None).unshare(0x10000000 | 0x40000000))
        return tcp_metrics_del(open_socket())

    # There the kernel itself decides; natively it is the same.
    in_child(in_its_own_network_namespace, int(os.environ["NATIVE_IN_OWN_NETNS"]))
    # The machine's own commands
    assert who()["admin"] == "true"

    def nobody_is_no_admin():
        client = open_socket()
        become(65534)
        return who(client)["admin"] == "true"

    in_child(nobody_is_no_admin, 0)

    def no_admin_elsewhere():
        check(ctypes.CDLL(None).unshare(0x10000000))
        return who()["admin"] == "true"

    in_child(no_admin_elsewhere, 0)

    def admin_of_its_own():
        check(ctypes.CDLL(None).unshare(0x10000000 | 0x40000000))
        return who()["admin"] == "true"

    in_child(admin_of_its_own, 1)


def native_in_own_netns():
    """What the real kernel says to the root of a user and network namespace; for `deputies`."""
    check(ctypes.CDLL(None).unshare(0x10000000 | 0x40000000))
    print(tcp_metrics_del(open_socket()))


def drop_capabilities():
    libc = ctypes.CDLL(None, use_errno=True)
    header = struct.pack("=II", 0x20080522, 0)
    check(libc.capset(header, b"\0" * 24))


def check(result):
    assert result == 0, os.strerror(ctypes.get_errno())


def in_child(act, expected):
    pid = os.fork()
    if pid == 0:
        code = 255
        try:
            code = int(act())
        finally:
            os._exit(code)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status == expected, f"{act.__name__}: {status}, not {expected}"


def identity():
    """Who sent it, and which namespaces are meant."""
    client = open_socket()
    known = who(client)
    assert known["pid"] == str(os.getpid()) and known["uid"] == str(os.getuid()), known
    own = os.open("/proc/self/ns/net", os.O_RDONLY)
    assert ask(client, f"net:{own}") == f"net={known['net']} admin=true".encode()
    assert ask(client, f"pid:{os.getpid()}") == f"net={known['net']} admin=true".encode()
    assert ask(client, "net:0") == b"error=" + repr_errno(errno.EINVAL)
    assert ask(client, "net:9999") == b"error=" + repr_errno(errno.EBADF)
    assert ask(client, "pid:999999999") == b"error=" + repr_errno(errno.ESRCH)
    # in a pid namespace of its own, numbers mean something else
    child = os.fork()
    if child == 0:
        check(ctypes.CDLL(None).unshare(0x20000000))  # CLONE_NEWPID, for children
        if os.fork() == 0:
            assert os.getpid() == 1
            inner = open_socket()
            answer = ask(inner, "pid:1")
            os._exit(0 if answer == f"net={known['net']} admin=true".encode() else 1)
        os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def repr_errno(number):
    names = {errno.EINVAL: b"Os { code: 22", errno.EBADF: b"Os { code: 9", errno.ESRCH: b"Os { code: 3"}

    class Prefix(bytes):
        def __eq__(self, other):
            return other.startswith(bytes(self))

        def __radd__(self, other):
            return Prefix(other + bytes(self))

    return Prefix(names[number])


def victim():
    """Sits in a namespace with a socket, in the state named, until it is killed."""
    client = open_socket()
    ask(client, "hello")
    getfamily(client)
    state = sys.argv[2]
    if state == "waiting":
        print("ready", flush=True)
        client.recvmsg(100)
    elif state == "answers":
        client.send(message("burst:100000"))
        print("ready", flush=True)
        time.sleep(100)
    elif state == "poll":
        print("ready", flush=True)
        select.select([client], [], [])
    else:
        print("ready", flush=True)
        while True:
            client.send(message("hello"))
            client.recvmsg(100)


def unpinned():
    """A client killed in any state leaves no namespace behind."""
    for round, state in enumerate(["waiting", "answers", "poll", "busy"] * 3):
        name = f"ulpin{os.getpid()}x{round}"
        subprocess.run(["ip", "netns", "add", name], check=True)
        command = ["ip", "netns", "exec", name, sys.executable, __file__, "victim", state]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout.readline() == b"ready\n"
        time.sleep(0.01 * (round % 3))
        process.kill()
        process.wait()
        subprocess.run(["ip", "netns", "del", name], check=True)


def orphan():
    """The kernel process dies: no call hangs, and everything else goes on."""
    waiting = open_socket()
    outcome = []

    def wait():
        try:
            outcome.append(waiting.recvmsg(100))
        except OSError as error:
            outcome.append(error.errno)

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.05)
    client = open_socket()
    client.send(message("die"))
    try:
        client.recvmsg(100)
        raise AssertionError("an answer from the dead")
    except OSError as error:
        assert error.errno == errno.ECONNREFUSED, error
    thread.join(5)
    assert outcome == [errno.ECONNREFUSED], outcome
    getfamily()
    ours, theirs = socket.socketpair()
    ours.send(b"x")
    assert theirs.recvmsg(10)[0] == b"x"
    sys.exit(7)


def panicked():
    """A panic in the service ends one conversation."""
    client, other = open_socket(), open_socket()
    client.send(message("panic"))
    try:
        client.recvmsg(100)
        raise AssertionError("an answer to a panic")
    except OSError as error:
        assert error.errno == errno.ECONNREFUSED, error
    time.sleep(0.1)
    for attempt in (lambda: client.recvmsg(100), client.getsockname):
        try:
            raise AssertionError(attempt())
        except OSError as error:
            assert error.errno == errno.ECONNREFUSED, error
    assert ask(other, "still here") == b"still here"


def many():
    """More sockets than the usual limit of descriptors, and each of them closed in the end."""
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == int(os.environ["SOFT_LIMIT"])
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    for _ in range(3):
        sockets = [open_socket() for _ in range(1000)]
        assert all(ask(client, "hello") == b"hello" for client in sockets)
        for client in sockets:
            client.close()
    time.sleep(0.2)
    assert ask(open_socket(), "hello") == b"hello"


def garbage():
    client = open_socket()
    client.send(b"")
    assert ask(client, "hello") == b"hello"
    for size in (1, 3, 15, 17, 1000, 60000):
        client.send(os.urandom(size))
    for seq in range(10):
        client.send(struct.pack("=IHHII", 0xFFFFFFFF, 0x3D1, 1, seq, 0))
    client.close()
    assert ask(open_socket(), "hello") == b"hello"


if __name__ == "__main__":
    globals()[sys.argv[1]]()
