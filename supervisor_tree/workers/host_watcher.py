"""Samples CPU, memory, disk and load of this machine and appends each sample to a figures file.

    python -m supervisor_tree.workers.host_watcher --to data/figures.jsonl --every 2
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import psutil

from supervisor_tree.workers.figures import Figures, encode
from supervisor_tree.workers.stopping import Stopping


def sample(disk: str) -> Figures:
    """The machine now; CPU since the last call. Raises OSError when ``disk`` is no path."""
    memory = psutil.virtual_memory()
    space = psutil.disk_usage(disk)
    load_1, load_5, load_15 = psutil.getloadavg()
    return Figures(
        time=datetime.now(UTC),
        cpu_percent=psutil.cpu_percent(),
        cpu_count=psutil.cpu_count() or 1,
        load_1=load_1,
        load_5=load_5,
        load_15=load_15,
        memory_percent=memory.percent,
        memory_total=memory.total,
        memory_available=memory.available,
        swap_percent=psutil.swap_memory().percent,
        disk_percent=space.percent,
        disk_total=space.total,
        disk_free=space.free,
        processes=len(psutil.pids()),
        uptime=time.time() - psutil.boot_time(),
    )


def append(path: Path, figures: Figures, max_size: int) -> None:
    """Add one line to the figures file; past ``max_size`` bytes it becomes `FILE.1` and a new one begins."""
    with open(path, "ab", buffering=0) as file:
        if file.tell() > 0 and not _ends_a_line(path):
            file.write(b"\n")  # what an interrupted write left is one bad line, not two
        file.write(encode(figures) + b"\n")
        size = file.tell()
    if size >= max_size:
        path.replace(path.with_name(path.name + ".1"))


def _ends_a_line(path: Path) -> bool:
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="host_watcher", description="Samples this machine into a figures file.")
    parser.add_argument("--to", type=Path, required=True, metavar="FILE", help="the figures file (JSON lines)")
    parser.add_argument("--every", type=float, default=2.0, metavar="SECONDS", help="default: 2")
    parser.add_argument("--disk", default="/", metavar="PATH", help="a path on the disk to look at; default: /")
    parser.add_argument("--max-size", type=int, default=2_000_000, metavar="BYTES", help="then rotated; default: 2 MB")
    options = parser.parse_args(arguments)
    if options.every <= 0:
        parser.error("--every must be more than 0")

    psutil.cpu_percent()  # why: the first call has nothing to compare with and always says 0.0
    with Stopping() as stopping:
        print(f"sampling every {options.every:g} s into {options.to}", flush=True)
        due = time.monotonic() + min(options.every, 0.5)
        while True:
            stopping.wait(max(0.0, due - time.monotonic()))
            if stopping.asked:
                return 0
            append(options.to, sample(options.disk), options.max_size)
            due = max(due + options.every, time.monotonic())


if __name__ == "__main__":
    sys.exit(main())
