"""Log throughput: 200 MB of 100-byte lines by one child and by 50, captured, rotated, and all read back."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks import processes
from benchmarks.bench import Bench
from benchmarks.clock import pause
from benchmarks.reports import Missing
from benchmarks.systems import Capture, System

TOTAL = 200_000_000
_MAX_SIZE = 20_000_000
_KEEP = 30
_LINE = 100
_LOOK = 0.001
_STALLED = 5.0
"""Seconds without a byte more: the rest is lost."""


class Loss(NamedTuple):
    missing: int
    """Bytes written by a child and not in its files."""
    foreign: int
    """Bytes in the files that no child wrote there at that place."""
    cut: int
    """Lines that begin in one file and end in the next."""


def capture(bench: Bench) -> None:
    """Megabytes a second from the moment when the children may write until all bytes are in the files."""
    for number in range(bench.amounts.log_rounds):
        for writers in (1, 50):
            for kind in bench.systems[:: -1 if number % 2 else 1]:
                if not kind.backoff:
                    with bench.attempt(f"log of {writers} writers", kind):
                        _capture(bench, kind, writers)


def _capture(bench: Bench, kind: type[System], writers: int) -> None:
    gate = bench.folder / "gate"
    gate.unlink(missing_ok=True)
    os.mkfifo(gate)
    wanted = TOTAL // writers
    with bench.launched(kind, writers, Capture(wanted, gate, _MAX_SIZE, _KEEP)) as launched:
        system = launched.system
        pause(1.0)
        own = [process.pid for process in system.own_processes()]
        used = processes.cpu_seconds(own)
        begin = time.monotonic_ns()
        opened = os.open(gate, os.O_RDWR)
        try:
            took = _wait_bytes(system, wanted * writers, begin)
        finally:
            os.close(opened)
        used = processes.cpu_seconds(own) - used
        loss = [sum(parts) for parts in zip(*(check(system, child, wanted) for child in range(writers)), strict=True)]
        measure = f"log_{writers}"
        bench.results.add(f"{measure}_mbs", kind.name, TOTAL / 1e6 / took)
        bench.results.add(f"{measure}_cpu_s", kind.name, used)
        before = bench.results.facts.get(f"{measure}_loss", {}).get(kind.name, [0, 0, 0])
        bench.results.fact(f"{measure}_loss", kind.name, [old + new for old, new in zip(before, loss, strict=True)])


def _wait_bytes(system: System, total: int, begin: int) -> float:
    """Seconds from ``begin`` until the files hold ``total`` bytes, or until they stop growing for 5 s (not counted)."""
    size, since = -1, time.monotonic_ns()
    while True:
        now = time.monotonic_ns()
        grown = sum(_size(path) for child in range(system.number) for path in _files(system, child))
        if grown != size:
            size, since = grown, now
        if size >= total or now - since > _STALLED * 1e9:
            if size < total // 2:
                raise Missing(f"only {size} of {total} bytes arrived")
            return (since - begin) / 1e9
        pause(_LOOK)


def _files(system: System, child: int) -> list[Path]:
    try:
        return system.log_files(child)
    except OSError:
        return []


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def check(system: System, child: int, wanted: int) -> Loss:
    """Read back everything that was captured of ``child`` and compare it with what it wrote."""
    files = [path.read_bytes() for path in system.log_files(child)]
    cut = sum(1 for content in files[:-1] if content and not content.endswith(b"\n"))
    expected = _written(child, wanted)
    captured = b"".join(files)
    if len(captured) == wanted and all(captured[at : at + len(block)] == block for at, block in expected):
        return Loss(0, 0, cut)
    lines = set(captured.split(b"\n"))
    found = sum(_LINE for _, block in _written(child, wanted) for line in block.split(b"\n") if line in lines and line)
    return Loss(max(0, wanted - found), max(0, len(captured) - found), cut)


def _written(child: int, wanted: int) -> Iterator[tuple[int, bytes]]:
    """What ``child.c`` writes, in blocks of 10,000 lines with their place."""
    step = 10_000
    tail = b" " + b"-" * 77 + b"\n"
    for first in range(0, wanted // _LINE, step):
        last = min(first + step, wanted // _LINE)
        head = b"%08d " % child
        yield first * _LINE, b"".join([head + b"%012d" % line + tail for line in range(first, last)])
