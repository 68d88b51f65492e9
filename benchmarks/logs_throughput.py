"""Megabytes a second through one logger, against a bare loop of splice or of read and write in Python.

For work on the logger: `python benchmarks/logs_throughput.py [--mb 200] [--rounds 5]`. The official figures, against
other supervisors and a floor in C, are those of `benchmarks/bench.py`.
"""

from __future__ import annotations

import argparse
import os
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.system.logs.playing import Keeper

_MAX_SIZE = 20_000_000
_WRITER = """
import os, sys
left = int(sys.argv[1])
line = b"." * 99 + b"\\n"
block = line * 6554
sys.stdin.read()
at = 0
while left:
    size = min(65536, left)
    done = os.write(1, block[at : at + size])
    left -= done
    at = (at + done) % 100
"""


def _writers(count: int, size: int, ends: list[int]) -> tuple[list[subprocess.Popen[bytes]], int]:
    gate_out, gate_in = os.pipe()
    made = [
        subprocess.Popen([sys.executable, "-c", _WRITER, str(size // count)], stdin=gate_out, stdout=end)
        for end in ends
    ]
    os.close(gate_out)
    for end in ends:
        os.close(end)
    select.select([], [], [], 0.2 + 0.03 * count)  # until every writer waits at the gate
    return made, gate_in


def logger(folder: Path, count: int, size: int, err: bool) -> float:
    keeper = Keeper(folder)
    keeper.hear("able")
    pipes = [keeper.stream(f"w{n}", max_size=_MAX_SIZE, keep=30) for n in range(count)]
    quiet = [keeper.stream(f"w{n}", "err", max_size=_MAX_SIZE, keep=30) for n in range(count)] if err else []
    processes, gate = _writers(count, size, [pipe.writer for pipe in pipes])
    for pipe in pipes:
        pipe.writer = -1
    start = time.perf_counter()
    os.close(gate)
    for pipe in pipes:
        keeper.hear("done", 10, id=pipe.head["id"])
    took = time.perf_counter() - start
    for process in processes:
        process.wait()
    keeper.done(*quiet)
    keeper.close()
    return took


def bare(folder: Path, count: int, size: int, splice: bool) -> float:
    pairs = [os.pipe() for _ in range(count)]
    processes, gate = _writers(count, size, [writer for _, writer in pairs])
    files = {out: [os.open(folder / f"w{n}.log", os.O_WRONLY | os.O_CREAT), 0, n] for n, (out, _) in enumerate(pairs)}
    poll = select.epoll()
    for out in files:
        poll.register(out, select.EPOLLIN)
    start = time.perf_counter()
    os.close(gate)
    left = count
    rotated = 0
    while left:
        for out, _ in poll.poll():
            file, written, number = files[out]
            if splice:
                got = os.splice(out, file, 65536)
            else:
                data = os.read(out, 65536)
                got = os.write(file, data) if data else 0
            if not got:
                poll.unregister(out)
                left -= 1
            files[out][1] = written + got
            if files[out][1] > _MAX_SIZE:
                rotated += 1
                os.close(file)
                os.rename(folder / f"w{number}.log", folder / f"w{number}.log.{rotated}")
                files[out][:2] = [os.open(folder / f"w{number}.log", os.O_WRONLY | os.O_CREAT), 0]
    took = time.perf_counter() - start
    for (out, _), process in zip(pairs, processes, strict=True):
        os.close(files[out][0])
        os.close(out)
        process.wait()
    return took


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mb", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    kinds: dict[str, Callable[[Path, int, int], float]] = {
        "logger": lambda folder, count, size: logger(folder, count, size, False),
        "logger, out and err": lambda folder, count, size: logger(folder, count, size, True),
        "bare splice": lambda folder, count, size: bare(folder, count, size, True),
        "bare read+write": lambda folder, count, size: bare(folder, count, size, False),
    }
    for count in (1, 50):
        rates: dict[str, list[float]] = {name: [] for name in kinds}
        for _ in range(given.rounds):
            for name, kind in kinds.items():
                folder = Path(tempfile.mkdtemp())
                rates[name].append(given.mb / kind(folder, count, given.mb * 1_000_000))
                shutil.rmtree(folder)
        for name, found in rates.items():
            print(f"{count:3d} writers  {name:22s} {statistics.median(found):7.0f} MB/s   {sorted(map(round, found))}")


if __name__ == "__main__":
    main()
