"""A root without a mind of its own: relays the link's bytes to and from the test's socket.

``relay_root.py SOCKET [--sick N] --link FD --stack FD``. It watches the keeper as a real root does, and kills the tree
when that has died.
"""

from __future__ import annotations

import faulthandler
import os
import select
import signal
import socket
import sys

from supervisor_tree.keeper.deathwatch import DeathWatch
from supervisor_tree.keeper.sweep import kill_all
from supervisor_tree.system import means


def main() -> int:
    link_fd = int(sys.argv[sys.argv.index("--link") + 1])
    faulthandler.register(signal.SIGUSR2, int(sys.argv[sys.argv.index("--stack") + 1]))
    if "--sick" in sys.argv:
        return int(sys.argv[sys.argv.index("--sick") + 1])
    keeper = os.getppid()
    watch = DeathWatch(keeper, means.process_identity(keeper) or 0)
    link = socket.socket(fileno=link_fd)
    test = socket.socket(socket.AF_UNIX)
    test.connect(sys.argv[1])
    test.sendall(os.getpid().to_bytes(4, "big"))
    waiting: list[socket.socket | int] = [link, test]
    death = watch.fileno()
    kept = []
    while True:
        ready, _, _ = select.select([*waiting, *([] if death is None else [death])], [], [], None if death else 0.05)
        if watch.proved():
            kill_all(os.environ["SUPERVISOR_TREE_ID"], heir=True)
            return 0
        if test in ready:
            data = test.recv(65536)
            if not data:
                return 3
            if link in waiting:
                link.sendall(data)
        if link in ready:
            try:
                data, ancillary, _, _ = link.recvmsg(65536, socket.CMSG_SPACE(64))
            except ConnectionError:
                data, ancillary = b"", []
            kept += ancillary
            if not data:
                # End of file proves nothing: wait for the test, for the keeper's death, or for its kill.
                waiting.remove(link)
                test.shutdown(socket.SHUT_WR)
                continue
            try:
                test.sendall(data)
            except BrokenPipeError:
                return 3


if __name__ == "__main__":
    sys.exit(main())
