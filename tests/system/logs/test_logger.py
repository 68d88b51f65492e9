"""What a logger writes."""

from __future__ import annotations

import os
from pathlib import Path

from supervisor_tree.logs import index
from tests.system.logs.playing import Keeper, content


def test_bytes_as_written(keeper: Keeper) -> None:
    keeper.hear("able")
    data = bytes(range(256)) * 300
    pipe = keeper.stream()
    pipe.write(data + b"\nend without newline")
    keeper.done(pipe)
    assert keeper.log("web").read_bytes() == data + b"\nend without newline"


def test_rotation_at_line_ends(keeper: Keeper) -> None:
    pipe = keeper.stream(max_size=1000, keep=100)
    lines = [b"%06d " % n + b"x" * (n * 7 % 90) + b"\n" for n in range(1000)]
    pipe.write(b"".join(lines))
    keeper.done(pipe)
    log = keeper.log("web")
    assert content(log) == b"".join(lines)
    files = [p for p in log.parent.iterdir() if not p.name.endswith(".idx")]
    assert len(files) > 40
    for file in files:
        data = file.read_bytes()
        assert len(data) <= 1000
        assert data.endswith(b"\n")
    assert _said(keeper) == []


def test_two_streams_no_mixed_lines(keeper: Keeper) -> None:
    out, err = keeper.stream(), keeper.stream(stream="err")
    out.write(b"o" * 10)
    out.write(b"o" * 10 + b"\noo")
    err.write(b"eeee\n")
    out.write(b"oo\n")
    keeper.done(out, err)
    data = keeper.log("web").read_bytes()
    assert sorted(data.splitlines()) == sorted([b"eeee", b"o" * 20, b"oooo"])
    raw = Path(index.path_of(str(keeper.log("web")))).read_bytes()
    kinds = {kind for kind, _, _ in index.records(raw[index.HEADER.size :])}
    assert kinds == {index.OUT, index.ERR}


def test_a_longer_line_is_cut_and_said(keeper: Keeper) -> None:
    pipe = keeper.stream(max_size=1000, keep=100)
    data = b"short\n" + b"y" * 2500 + b"\nlast\n"
    pipe.write(data)
    keeper.done(pipe)
    assert content(keeper.log("web")) == data
    assert _said(keeper) == ["cut", "cut"]
    assert os.path.getsize(str(keeper.log("web")) + ".1") == 1000


def _said(keeper: Keeper) -> list[str]:
    """All notices but that a busy machine's disk does not answer for a while, and answers again."""
    notices = [head["what"] for head in keeper.heard if head["t"] == "notice"]
    return [what for what in notices if what not in ("stalled", "answers")]
