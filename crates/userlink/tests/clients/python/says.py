"""says.py FROM TO NETNS TEXT: sends TEXT from the address FROM to the address TO, which is in another namespace, and prints what came."""

import ctypes
import os
import socket
import sys

CLONE_NEWNET = 0x40000000

source, target, netns, text = sys.argv[1:]
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.bind((source, 0))
with open(netns) as namespace:
    if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET):
        sys.exit(os.strerror(ctypes.get_errno()))
receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
receiver.bind((target, 0))
# What is to arrive may take long on a busy machine; what is not never does.
receiver.settimeout(0.3 if text == "nobody" else 20)
try:
    sender.sendto(text.encode(), receiver.getsockname())
    print(receiver.recv(65536).decode())
except OSError:
    print("nothing")
