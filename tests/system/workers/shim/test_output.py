"""A command's output: every byte arrives, in order, and nobody hangs for it."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest

from supervisor_tree.workers.shim.output import Copy


def test_every_byte_arrives_and_lines_are_shown_whole(tmp_path: Path) -> None:
    content = random.Random(3).randbytes(3_000_000) + b"\nlast \xff line"

    async def copied() -> list[str]:
        shown: list[str] = []
        read, write = os.pipe()
        copy = Copy(asyncio.get_running_loop(), write, shown.extend)
        ours = os.dup(copy.written_to)
        copy.begin()
        sending = asyncio.to_thread(_write_all, ours, content)
        receiving = asyncio.to_thread(_read_all, read, len(content))
        _, received = await asyncio.gather(sending, receiving)
        await asyncio.wait_for(copy.ended, 10)
        os.close(read)
        os.close(write)
        assert received == content
        return shown

    shown = asyncio.run(copied())
    assert shown[-1] == "last � line"
    assert len(shown) == content.count(b"\n") + 1


def test_a_file_is_a_target_too(tmp_path: Path) -> None:
    async def copied(target: int) -> None:
        copy = Copy(asyncio.get_running_loop(), target, lambda _: None)
        os.write(copy.written_to, b"hello\n")
        copy.begin()
        await asyncio.wait_for(copy.ended, 10)

    with open(tmp_path / "out", "wb") as file:
        asyncio.run(copied(file.fileno()))
    assert (tmp_path / "out").read_bytes() == b"hello\n"


def test_a_full_target_holds_the_command_back_and_not_the_loop() -> None:
    async def copied() -> None:
        loop = asyncio.get_running_loop()
        read, write = os.pipe()
        copy = Copy(loop, write, lambda _: None)
        ours = os.dup(copy.written_to)
        copy.begin()
        os.set_blocking(ours, False)
        written, still = 0, 0
        while still < 20:  # looks in a row at which both pipes were full
            try:
                written += os.write(ours, b"x" * 65536)
                still = 0
            except BlockingIOError:
                still += 1
            await asyncio.sleep(0)
        assert 65536 < written < 1_000_000
        os.close(ours)
        assert len(await asyncio.to_thread(_read_all, read, written)) == written
        await asyncio.wait_for(copy.ended, 10)
        os.close(read)
        os.close(write)

    asyncio.run(copied())


def test_a_target_that_nobody_reads_is_felt_by_the_command() -> None:
    async def copied() -> None:
        read, write = os.pipe()
        os.close(read)
        copy = Copy(asyncio.get_running_loop(), write, lambda _: None)
        ours = os.dup(copy.written_to)
        copy.begin()
        os.write(ours, b"x")
        await asyncio.wait_for(copy.ended, 10)
        with pytest.raises(BrokenPipeError):
            os.write(ours, b"x")
        os.close(ours)
        os.close(write)

    asyncio.run(copied())


def test_who_keeps_the_pipe_open_is_not_waited_for_long() -> None:
    async def copied() -> None:
        read, write = os.pipe()
        copy = Copy(asyncio.get_running_loop(), write, lambda _: None)
        ours = os.dup(copy.written_to)
        copy.begin()
        os.write(ours, b"before")
        await copy.rest(0.1)
        assert os.read(read, 100) == b"before"
        for fd in (ours, read, write):
            os.close(fd)

    asyncio.run(copied())


def test_a_line_without_an_end_does_not_grow_for_ever() -> None:
    async def copied() -> list[str]:
        shown: list[str] = []
        read, write = os.pipe()
        copy = Copy(asyncio.get_running_loop(), write, shown.extend)
        ours = os.dup(copy.written_to)
        copy.begin()
        sending = asyncio.to_thread(_write_all, ours, b"x" * 1_000_000 + b"\nnext\n")
        await asyncio.gather(sending, asyncio.to_thread(_read_all, read, 1_000_006))
        await asyncio.wait_for(copy.ended, 10)
        os.close(read)
        os.close(write)
        return shown

    first, second = asyncio.run(copied())
    assert 65536 <= len(first) <= 2 * 65536
    assert second == "next"


def _write_all(fd: int, content: bytes) -> None:
    with open(fd, "wb", buffering=0) as file:
        rest = memoryview(content)
        while rest:
            rest = rest[file.write(rest) :]


def _read_all(fd: int, size: int) -> bytes:
    parts = []
    while size > 0 and (part := os.read(fd, size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
