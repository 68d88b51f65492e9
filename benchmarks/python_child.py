"""A child that needs numpy and pandas before it can work: says when it can, then waits for its end.

Run as a program (``python_child.py wN FIFO``, as `child.c`), and by a zygote (``python_child:work``). What it reports
is the same record: CLOCK_MONOTONIC, pid, number. It is part of no package, so that no import but its own is measured.
"""

import os
import signal
import struct
import sys
import time


def work(name: str, fifo: str) -> None:
    """Import, compute a little with it, report, and wait."""
    import numpy as np
    import pandas as pd

    frame = pd.DataFrame({"price": np.arange(100.0), "day": np.arange(100) % 5})
    if frame.groupby("day")["price"].mean().sum() != 247.5:
        sys.exit(4)
    record = struct.pack("=qii", time.monotonic_ns(), os.getpid(), int(name.removeprefix("w")))
    fd = os.open(fifo, os.O_WRONLY | os.O_CLOEXEC)
    os.write(fd, record)
    os.close(fd)
    while True:
        signal.pause()


if __name__ == "__main__":
    work(sys.argv[1], sys.argv[2])
