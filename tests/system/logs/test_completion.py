"""When output is complete, and what becomes of a pipe that somebody holds open."""

from __future__ import annotations

import subprocess
import sys

from supervisor_tree.system import means
from tests.support.waiting import eventually
from tests.system.logs.playing import Keeper


def test_complete_at_end_of_file(keeper: Keeper) -> None:
    pipe = keeper.stream()
    pipe.write(b"half a line")
    pipe.close()
    done = keeper.hear("done", id=pipe.head["id"])
    assert done["bytes"] == 11
    assert done["held_by"] is None
    assert keeper.log("web").read_bytes() == b"half a line"


def test_held_open_is_complete_after_200_ms(keeper: Keeper) -> None:
    pipe = keeper.stream()
    holder = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read(); print('still heard')"],
        stdin=subprocess.PIPE,
        stdout=pipe.writer,
    )
    pipe.write(b"half a line ")
    pipe.close()
    keeper.send({"t": "emptied", "name": "web", "inc": 1})
    said = keeper.hear("notice", what="held_open")
    done = keeper.hear("done", id=pipe.head["id"])
    if means.splices:
        assert done["held_by"] == said["pids"] == [holder.pid]
    assert done["bytes"] == 12
    assert keeper.log("web").read_bytes() == b"half a line "
    # A daemon that was left on purpose is not killed by SIGPIPE.
    holder.communicate()
    assert holder.returncode == 0
    eventually(lambda: keeper.log("web").read_bytes() == b"half a line still heard\n")


def test_a_second_incarnation_goes_on_in_the_file(keeper: Keeper) -> None:
    first, second = keeper.stream(inc=1), keeper.stream(inc=2)
    first.write(b"one\n")
    keeper.done(first)
    second.write(b"two\n")
    keeper.done(second)
    assert keeper.log("web").read_bytes() == b"one\ntwo\n"


def test_drain_takes_half_lines_too(keeper: Keeper) -> None:
    out, err = keeper.stream(), keeper.stream(stream="err")
    out.write(b"prompt> ")
    err.write(b"error without end")
    keeper.drain()
    assert sorted(keeper.log("web").read_bytes()) == sorted(b"prompt> error without end")


def test_live_limits(keeper: Keeper) -> None:
    pipe = keeper.stream(max_size=0)
    pipe.write(b"x" * 99 + b"\n")
    keeper.drain()
    file = {**pipe.head["file"], "max_size": 1000, "keep": 2}
    keeper.send({"t": "limits", "name": "web", "log": {"out": file, "err": None, "merge": False}})
    keeper.drain()
    for _ in range(50):
        pipe.write(b"y" * 99 + b"\n")
    keeper.done(pipe)
    names = sorted(path.name for path in keeper.log("web").parent.iterdir())
    assert names == ["web.log", "web.log.1", "web.log.1.idx", "web.log.2", "web.log.2.idx", "web.log.idx"]


def test_somebody_else_truncates_moves_and_removes(keeper: Keeper) -> None:
    pipe = keeper.stream()
    log = keeper.log("web")
    pipe.write(b"one\n")
    keeper.drain()
    log.write_bytes(b"")
    pipe.write(b"two\n")
    keeper.drain()
    assert log.read_bytes() == b"two\n"
    log.rename(log.with_suffix(".moved"))
    pipe.write(b"three\n")
    keeper.drain()
    assert log.read_bytes() == b"three\n"
    log.unlink()
    pipe.write(b"four\n")
    keeper.drain()
    assert log.read_bytes() == b"four\n"
