"""How large the datagrams of a dump of many ports are, for clients with buffers of some sizes: the largest of a first and of a second
dump on the same socket, a line each."""
import raw

for size in (4096, 16384, 131072):
    genl = raw.Genl().find()
    largest = []
    for _ in range(2):
        genl.sock.send(genl.message(genl.family, raw.PORT_GET, flags=raw.REQUEST | raw.DUMP))
        datagrams, done = [], False
        while not done:
            datagrams.append(genl.sock.recvmsg(size)[0])
            done = any(kind == 3 for kind, *_ in raw.messages(datagrams[-1]))
        largest.append(max(map(len, datagrams)))
    print(size, *largest)
