"""A program that goes to the background: main process and leader are two. Run with `python -S`.

The main process, in a session of its own (argument `session`) or in the leader's group (`group`), says who it is. USR1
ends it with status 7; TERM after a moment in which a second one would be counted, the number being written to `got`.
It has a child. The leader ends with status 3 when there is a file `go`. The process between them ends at once, or when
there is the file that a second argument names.
"""

import os
import signal
import socket
import sys
import time

if os.fork() == 0:  # noqa: TID251 - going to the background is what it is for
    if sys.argv[1] == "session":
        os.setsid()
    if os.fork():  # noqa: TID251
        while sys.argv[2:] and not os.path.exists(sys.argv[2]):
            time.sleep(0.01)  # noqa: TID251
        os._exit(0)
    terms: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: terms.append(1))
    signal.signal(signal.SIGUSR1, lambda *_: os._exit(7))
    child = os.fork()  # noqa: TID251
    if child == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        while True:
            signal.pause()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.sendto(f"MAINPID={os.getpid()}\nREADY=1".encode(), os.environ["NOTIFY_SOCKET"])
    while not terms:
        time.sleep(0.01)  # noqa: TID251 - stands for a program's work
    time.sleep(0.3)  # noqa: TID251
    with open("got", "w") as file:
        file.write(f"{len(terms)}\n")
    os._exit(0)
while not os.path.exists("go"):
    time.sleep(0.01)  # noqa: TID251
os._exit(3)
