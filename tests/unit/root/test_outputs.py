"""Watching what workers write, over rotation and long lines; reading back what a run has written."""

from __future__ import annotations

import asyncio
import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

from supervisor_tree.root.outputs.outputs import LONGEST, Outputs
from supervisor_tree.root.outputs.runs import Piece, RunOutput, matches, read_output
from tests.support.shells import LoneShell

TREE = """
[workers.a]
command = "x"
log = { file = "a.log" }
[workers.b]
command = "x"
log = { file = "b.log", stderr = "b.err" }
[workers.device]
command = "x"
log = { file = "/dev/null" }
"""


class Heard:
    """Lines that were told, each with its watch."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, text: str, when: float) -> None:
        assert abs(when - time.time()) < 60
        self.lines.append(text)

    async def until(self, ask: Callable[[list[str]], bool]) -> None:
        async with asyncio.timeout(10):
            while not ask(self.lines):  # noqa: ASYNC110 - what is waited for is in a thread
                await asyncio.sleep(0.01)


def with_shell(folder: Path, body: Callable[[LoneShell, Outputs], object]) -> None:
    async def main() -> None:
        lone = LoneShell(folder, folder, TREE)
        try:
            await body(lone, lone.shell.outputs)  # type: ignore[misc]
        finally:
            lone.close()

    asyncio.run(main())


def append(path: Path, text: str | bytes) -> None:
    with open(path, "ab") as file:
        file.write(text if isinstance(text, bytes) else text.encode())


def test_lines_are_told_as_they_come_also_over_rotation(tmp_path: Path) -> None:
    log = tmp_path / "a.log"

    async def body(lone: LoneShell, outputs: Outputs) -> None:
        begin = time.time() - 5
        append(log, "cycle 1\nother\n")
        heard, later = Heard(), Heard()
        watch = outputs.watch("a", re.compile("cycle [0-9]+"), heard, begin)
        await heard.until(lambda lines: lines == ["cycle 1"])
        assert watch.current
        outputs.watch("a", re.compile("cycle"), later)
        append(log, "cycle 2\ncyc")
        await heard.until(lambda lines: lines[1:] == ["cycle 2"])
        append(log, "le 3\n")
        os.rename(log, tmp_path / "a.log.1")
        append(log, "cycle 4\n")
        await heard.until(lambda lines: lines[2:] == ["cycle 3", "cycle 4"])
        append(log, b"cycle 5 \xff\n")
        await heard.until(lambda lines: lines[4:] == ["cycle 5 �"])
        watch.end()
        append(log, "cycle 6\n")
        await later.until(lambda lines: lines[-1:] == ["cycle 6"])
        assert len(heard.lines) == 5

    with_shell(tmp_path, body)


def test_both_streams_of_two_files(tmp_path: Path) -> None:
    async def body(lone: LoneShell, outputs: Outputs) -> None:
        heard = Heard()
        outputs.watch("b", re.compile("x"), heard, 0.0)
        append(tmp_path / "b.log", "x out\n")
        append(tmp_path / "b.err", "x err\n")
        await heard.until(lambda lines: sorted(lines) == ["x err", "x out"])

    with_shell(tmp_path, body)


def test_a_very_long_line_is_looked_at_in_its_beginning_and_hurts_nobody(tmp_path: Path) -> None:
    log = tmp_path / "a.log"

    async def body(lone: LoneShell, outputs: Outputs) -> None:
        heard = Heard()
        # A pattern that takes the square of the length where it does not match.
        outputs.watch("a", re.compile(".*begin.*end|after"), heard, 0.0)
        append(log, b"x" * 3_000_000)
        longest = 0.0
        for _ in range(20):
            before = time.monotonic()
            append(log, b"y" * 1_000_000)
            await asyncio.sleep(0.01)
            longest = max(longest, time.monotonic() - before)
        append(log, b" begin end\nafter\n")
        await heard.until(lambda lines: lines == ["after"])
        assert longest < 3  # the loop goes on meanwhile
        append(log, b"begin end" + b" " * 2_000_000 + b"\n")
        await heard.until(lambda lines: len(lines) == 2)
        assert len(heard.lines[1]) <= LONGEST

    with_shell(tmp_path, body)


def test_the_thread_ends_with_the_last_watch_and_errors_of_listeners_are_said(tmp_path: Path) -> None:
    async def body(lone: LoneShell, outputs: Outputs) -> None:
        def broken(text: str, when: float) -> None:
            raise ValueError(text)

        heard = Heard()
        watches = [outputs.watch("a", re.compile("x"), each, 0.0) for each in (broken, heard)]
        append(tmp_path / "a.log", "x\n")
        await heard.until(lambda lines: lines == ["x"])
        assert any(thread.name == "outputs" for thread in threading.enumerate())
        assert "ValueError('x')" in lone.noted("internal_error")[0]["error"]
        for watch in watches:
            watch.end()
        async with asyncio.timeout(10):
            while any(thread.name == "outputs" for thread in threading.enumerate()):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    with_shell(tmp_path, body)


def test_what_goes_to_a_device_can_not_be_watched(tmp_path: Path) -> None:
    async def body(lone: LoneShell, outputs: Outputs) -> None:
        watch = outputs.watch("device", re.compile("x"), Heard(), 0.0)
        assert watch.trouble == "its output goes to /dev/null and can't be read back"
        await asyncio.sleep(0)

    with_shell(tmp_path, body)


def test_the_output_of_a_run(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"of another run\nbegin\nCOMPLETED SUCC")
    two.write_bytes(b"ESSFULLY\nbye \xff\nof the next run: FAILED\n")
    output = RunOutput((Piece(str(one), 15), Piece(str(two), 0, 15), Piece(str(tmp_path / "gone"))))
    assert read_output(output) == "begin\nCOMPLETED SUCCESSFULLY\nbye �\n"
    assert read_output(output, 16) == "bye �\n"
    assert matches(output, re.compile("^begin$"))
    assert not matches(output, re.compile("another|FAILED"))
    whole = RunOutput((Piece(str(two)),))
    assert matches(whole, re.compile("^of the next run: FAILED$"))
    (tmp_path / "long").write_bytes(b"x" * 5_000_000 + b"y\nCOMPLETED\r\n")
    long = RunOutput((Piece(str(tmp_path / "long")),))
    assert matches(long, re.compile("^COMPLETED$"))
    assert not matches(long, re.compile("y"))
