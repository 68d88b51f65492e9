"""Many pipes, and none with anything to say."""

from __future__ import annotations

import os
import resource
import threading
from pathlib import Path

from tests.support.waiting import eventually
from tests.system.logs.playing import Keeper


def _cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_two_thousand_pipes_and_no_cpu_when_idle(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(10_000, hard), hard))
    keeper = Keeper(tmp_path)
    try:
        pipes = [keeper.stream(f"w{number}") for number in range(2000)]
        for round_ in range(3):
            for number, pipe in enumerate(pipes):
                pipe.write(b"%d %d\n" % (number, round_))
        keeper.drain()
        assert keeper.process is not None
        pid = keeper.process.pid

        def sleeps() -> bool:
            before = _cpu_ticks(pid)
            threading.Event().wait(2.0)
            return _cpu_ticks(pid) - before <= 1

        # Half a second after the last write it looks once more whether the disk answers, which may take a busy machine
        # some time; then it sleeps.
        eventually(sleeps, "no CPU for 2 s")
        keeper.done(*pipes)
        for number in range(2000):
            assert keeper.log(f"w{number}").read_bytes() == b"".join(b"%d %d\n" % (number, r) for r in range(3))
    finally:
        keeper.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_loud_worker_does_not_silence_the_others(keeper: Keeper) -> None:
    keeper.hear("able")
    loud, quiet = keeper.stream("loud", max_size=1_000_000, keep=1), keeper.stream("quiet")
    shout = os.fork()  # noqa: TID251 - a writer that never pauses
    if shout == 0:
        os.close(quiet.writer)
        block = (b"." * 99 + b"\n") * 650
        while True:
            os.write(loud.writer, block)
    try:
        for number in range(50):
            quiet.write(b"%d\n" % number)
        keeper.done(quiet)  # the loud one never pauses
        assert keeper.log("quiet").read_bytes() == b"".join(b"%d\n" % number for number in range(50))
    finally:
        os.kill(shout, 9)
        os.waitpid(shout, 0)
