"""Loggers killed at any moment: not one byte is lost, none is there twice."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from supervisor_tree.system import means
from tests.system.logs.playing import Keeper, Pipe, content

_WRITER = """
import os, sys
tag, count = sys.argv[1].encode(), int(sys.argv[2])
line = 0
while line < count:
    if count // 2 <= line < count // 2 + 700:
        sys.stdin.read()
    part = b"".join(b"%s%09d%s\\n" % (tag, n, b"." * (n * 31 % 150)) for n in range(line, min(count, line + 700)))
    line += 700
    while part:
        part = part[os.write(1, part):]
"""


def _lines(tag: str, count: int) -> list[bytes]:
    return [b"%s%09d%s" % (tag.encode(), n, b"." * (n * 31 % 150)) for n in range(count)]


@contextlib.contextmanager
def _writers(pipes: dict[str, Pipe], count: int):  # type: ignore[no-untyped-def]
    """Each writes half of its lines, and the other half once its stdin is closed."""
    running = []
    for tag, pipe in pipes.items():
        command = [sys.executable, "-c", _WRITER, tag, str(count)]
        running.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=pipe.writer))
        pipe.close()
    yield running
    for process in running:
        assert process.wait(60) == 0


@pytest.mark.linux
@pytest.mark.skipif(not means.splices, reason="what a copying logger had read is lost with it")
def test_killed_under_load(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path)
    chance = random.Random(os.urandom(8))
    count = 150_000
    pause = threading.Event()
    kills = 0
    try:
        shared = {"a": keeper.stream("web"), "b": keeper.stream("web", "err")}
        alone = {"c": keeper.stream("alone", max_size=500_000, keep=1000), "d": keeper.stream("big")}
        with _writers({**shared, **alone}, count) as running:
            while kills < 40 and any(process.poll() is None for process in running):
                if chance.random() < 0.8:
                    keeper.hear("able")
                pause.wait(chance.uniform(0.0, 0.03))
                keeper.kill()
                kills += 1
                keeper.start()
                if kills == 6:  # however slow loggers start, and however fast they are then
                    for process in running:
                        assert process.stdin is not None
                        process.stdin.close()
        for pipe in [*keeper.pipes.values()]:
            keeper.hear("done", id=pipe.head["id"])
        assert kills > 5
        web = content(keeper.log("web")).splitlines()
        assert len(web) == 2 * count
        for tag in "ab":
            assert [line for line in web if line.startswith(tag.encode())] == _lines(tag, count)
        assert content(keeper.log("alone")).splitlines() == _lines("c", count)
        assert content(keeper.log("big")).splitlines() == _lines("d", count)
        for file in keeper.log("alone").parent.glob("alone.log*"):
            assert file.suffix == ".idx" or file.read_bytes()[-1:] in (b"\n", b"")
    finally:
        print(kills, "kills")
        keeper.close()
