"""Samples CPU, memory, disk and load of this machine and appends each sample to a figures file: a `TickWorker`."""

from __future__ import annotations

import asyncio
import os
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import psutil

from supervisor_tree.workers import TickWorker
from supervisor_tree.workers.example.figures import Figures, encode


class Args(msgspec.Struct):
    to: Path
    """The figures file (JSON lines)."""
    tick_interval: float = 2.0
    """Seconds between samples."""
    disk: Path = Path("/")
    """A path on the disk to look at."""
    max_size: int = 2_000_000
    """Bytes; then the file is rotated."""


class HostWatcher(TickWorker):
    """A sample each tick. One that can't be taken or written (a full disk) is logged, and the next is tried."""

    args: Args

    async def setup(self) -> None:
        psutil.cpu_percent()
        await asyncio.sleep(0.1)  # a share of CPU is one of some time: the first sample needs a little to look back on

    def tick(self) -> str:
        figures = sample(self.args.disk)
        append(self.args.to, figures, self.args.max_size)
        return f"CPU {figures.cpu_percent:.0f} %, memory {figures.memory_percent:.0f} %, load {figures.load_1:.2f}"


def sample(disk: Path) -> Figures:
    """The machine now; CPU since the last call. Raises OSError when ``disk`` is no path."""
    memory = psutil.virtual_memory()
    space = psutil.disk_usage(str(disk))
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
