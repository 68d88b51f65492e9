"""Programs that hang in each of the known ways: what is found out about them names the culprit."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

import pytest

from tests.support.waiting import eventually
from tests.system.hangs.suspects import (
    Program,
    cgroup,
    command,
    explained,
    explained_from_outside,
    look_twice,
    uncached,
)

linux = pytest.mark.linux
"""What a thread waits for is told by /proc; elsewhere the place alone must do."""


def state_of(program: Program, *letters: str) -> None:
    """Wait until it has come to where it hangs."""
    pid = program.process.pid
    eventually(lambda: look_twice(pid)[0].state in letters, f"state {letters} of pid {pid}")


def test_a_blocked_event_loop(tmp_path: Path) -> None:
    text = """
        import asyncio, time
        async def run():
            hangs()
            time.sleep(1000)
        asyncio.run(run())
    """
    with Program(tmp_path, text) as program:
        state_of(program, "S")
        found = explained(program)
        assert found.state == "waiting"
        assert found.text.startswith("its event loop is blocked: ")
        assert f"{program.line('sleep')} in run (`time.sleep(1000)`)" in found.text


@linux
def test_what_a_thread_waits_for(tmp_path: Path) -> None:
    text = """
        import asyncio, time
        async def run():
            hangs()
            time.sleep(1000)
        asyncio.run(run())
    """
    with Program(tmp_path, text) as program:
        state_of(program, "S")
        assert explained(program).text.endswith("(`time.sleep(1000)`) it sleeps")


def test_a_lock_that_is_never_released(tmp_path: Path) -> None:
    text = """
        import threading
        first, second = threading.Lock(), threading.Lock()
        both = threading.Barrier(2)
        def flush():
            with first:
                both.wait()
                second.acquire()  # there
        def work():
            with second:
                both.wait()
                hangs()
                first.acquire()  # here
        threading.Thread(target=flush, name="flusher").start()
        work()
    """
    with Program(tmp_path, text) as program:
        state_of(program, "S")
        found = explained(program)
        assert f"{program.line('# here')} in work" in found.text
        if os.environ.get("SUPERVISOR_TREE_PORTABLE") != "1":
            assert "it waits for a lock" in found.text
            assert (
                f'thread "flusher" waits for a lock at {tmp_path.name}/{program.line("# there")} in flush' in found.text
            )


def test_tasks_that_wait_for_one_another(tmp_path: Path) -> None:
    text = """
        import asyncio
        async def both(x, y):
            async with x:
                await asyncio.sleep(0)
                await y.acquire()  # here
        async def main():
            a, b = asyncio.Lock(), asyncio.Lock()
            hangs()
            await asyncio.gather(both(a, b), both(b, a))
        asyncio.run(main())
    """
    with Program(tmp_path, text) as program:
        state_of(program, "S")
        found = explained(program)
        assert found.state == "idle"
        assert "its event loop runs, but the program does not go on: 2 tasks wait for locks or queues" in found.text
        assert found.text.count(f"waits for a lock at {tmp_path.name}/{program.line('# here')} in both") == 2


def test_a_loop_without_a_pause(tmp_path: Path) -> None:
    text = """
        def work():
            hangs()
            while True:
                pass
        work()
    """
    with Program(tmp_path, text) as program:
        state_of(program, "R")
        found = explained(program)
        assert found.state == "busy"
        assert re.search(r"app\.py:\d+ in work .* it computes without a pause", found.text)


def test_a_regular_expression_that_explodes(tmp_path: Path) -> None:
    text = """
        import re
        def work():
            hangs()
            re.match(r"(a+)+$", "a" * 60 + "b")
        work()
    """
    with Program(tmp_path, text) as program:
        state_of(program, "R")
        found = explained(program)
        assert found.state == "busy"
        assert f"{program.line('re.match')} in work" in found.text


def test_c_code_that_computes_with_the_interpreters_lock(tmp_path: Path) -> None:
    text = """
        import itertools
        def work():
            hangs()
            sum(itertools.repeat(0))
        work()
    """
    with Program(tmp_path, text) as program:
        state_of(program, "R")
        found = explained(program)
        assert found.state == "busy"
        assert f"from C code that was called at {tmp_path.name}/{program.line('sum(')} in work" in found.text


def test_c_code_that_waits_with_the_interpreters_lock(tmp_path: Path) -> None:
    text = """
        import ctypes, os, threading
        libc = ctypes.PyDLL(None)
        mutex = ctypes.create_string_buffer(64)
        libc.pthread_mutex_lock(mutex)
        threading.Thread(target=os.getpid).start()
        def work():
            hangs()
            libc.pthread_mutex_lock(mutex)
        work()
    """
    with Program(tmp_path, text) as program:
        state_of(program, "S")
        found = explained(program)
        assert found.state == "waiting"
        place = f"{tmp_path.name}/{program.line('    libc.pthread_mutex_lock')} in work"
        assert f"it does not come back from C code that was called at {place}" in found.text


def test_another_thread_keeps_the_interpreter(tmp_path: Path) -> None:
    text = """
        import itertools, threading
        def crunch():
            hangs()
            sum(itertools.repeat(0))
        threading.Thread(target=crunch).start()
        threading.Event().wait(1000)
    """
    with Program(tmp_path, text) as program:
        # Until it has come so far, and (on a loaded machine) for long enough.
        culprit = f"{program.line('sum(')} in crunch"
        eventually(lambda: culprit in explained(program).text, "the other thread is named")


def test_a_stopped_program_is_not_asked(tmp_path: Path) -> None:
    with Program(tmp_path, "import threading\nhangs()\nthreading.Event().wait(1000)\n") as program:
        os.kill(program.process.pid, signal.SIGSTOP)
        state_of(program, "T")
        found = explained_from_outside(program.process.pid)
        assert found.state == "stopped"
        assert "SIGSTOP" in found.text


@linux
def test_a_program_that_the_kernel_holds(tmp_path: Path) -> None:
    # posix_spawn keeps its caller, interpreter's lock and all, in state D until the child has opened its files.
    text = """
        import os
        os.mkfifo(f"{__file__}.fifo")
        def work():
            hangs()
            stuck = (os.POSIX_SPAWN_OPEN, 7, f"{__file__}.fifo", os.O_WRONLY, 0)
            os.posix_spawn("/bin/true", ["true"], {}, file_actions=[stuck])
        work()
    """
    with Program(tmp_path, text) as program:
        state_of(program, "D")
        found = explained(program)
        assert found.state == "disk"
        assert "waits in the kernel (state D" in found.text


@linux
@pytest.mark.root
@pytest.mark.parametrize(
    ("kind", "knob", "frozen"), [("freezer", "freezer.state", "FROZEN"), ("unified", "cgroup.freeze", "1")]
)
def test_a_frozen_program(tmp_path: Path, kind: str, knob: str, frozen: str) -> None:
    with cgroup(kind, knob) as group, Program(tmp_path, "import time\nhangs()\ntime.sleep(1000)\n") as program:
        state_of(program, "S")
        (group / "cgroup.procs").write_text(str(program.process.pid))
        (group / knob).write_text(frozen)
        try:
            eventually(lambda: explained_from_outside(program.process.pid).state == "frozen", "it is frozen")
        finally:
            (group / knob).write_text("THAWED" if frozen == "FROZEN" else "0")


@linux
@pytest.mark.root
@pytest.mark.parametrize("knob", ["memory.limit_in_bytes", "memory.max"])
def test_a_program_that_has_too_little_memory(tmp_path: Path, knob: str) -> None:
    """It reads a file through its memory, which has room for a third of it."""
    with cgroup("memory", knob) as group:
        (group / knob).write_text(str(24_000_000))
        data = tmp_path / "data"
        uncached(data, 72_000_000)
        text = f"""
            import mmap, os
            open("{group}/cgroup.procs", "w").write(str(os.getpid()))
            def work():
                with open("{data}", "r+b") as file, mmap.mmap(file.fileno(), 0) as pages:
                    pages.madvise(mmap.MADV_RANDOM)
                    hangs()
                    while True:
                        sum(pages[::4096])
            work()
        """
        with Program(tmp_path, text) as program:
            eventually(lambda: explained(program).state == "swapping", "it is seen to wait for memory", 30)


@linux
def test_the_other_end_of_a_connection_and_the_lock_of_a_file(tmp_path: Path) -> None:
    text = """
        import fcntl
        held, wanted = open(__file__), open(__file__)
        fcntl.flock(held, fcntl.LOCK_EX)
        def work():
            hangs()
            fcntl.flock(wanted, fcntl.LOCK_EX)
        work()
    """
    with Program(tmp_path, text) as program:
        state_of(program, "S")
        assert f"it waits for the lock on {program.file}, which somebody else holds" in explained(program).text


def test_the_dump_holds_places_and_no_values(tmp_path: Path) -> None:
    text = """
        import asyncio
        async def wait(password):
            await asyncio.Event().wait()
        async def main():
            task = asyncio.create_task(wait("hunter2"), name="the waiter")
            await asyncio.sleep(0)
            hangs()
            await task
        asyncio.run(main())
    """
    with Program(tmp_path, text) as program:
        state_of(program, "S")
        dump = program.dump()
        assert dump is not None
        assert dump.complete
        assert "hunter2" not in dump.text
        task = next(task for task in dump.tasks if task.name == "the waiter")
        assert [frame.function for frame in task.frames] == ["wait", "wait"]
        assert 'waits for task "the waiter"' in dump.text


def test_a_program_goes_on_after_a_dump(tmp_path: Path) -> None:
    text = """
        import time
        hangs()
        end = time.monotonic() + 1
        time.sleep(1)
        assert time.monotonic() >= end
        print("went on", flush=True)
        time.sleep(1000)
    """
    with Program(tmp_path, text) as program:
        assert program.process.stdout is not None
        first, second = program.dump(), program.dump()
        assert first is not None
        assert second is not None
        assert first.complete
        assert second.complete
        assert second.text.count("most recent call first") == 1
        assert program.process.stdout.readline() == b"went on\n"


def test_a_dump_that_is_somebody_elses_file_is_not_read(tmp_path: Path) -> None:
    with Program(tmp_path, "import threading\nhangs()\nthreading.Event().wait(1000)\n") as program:
        program.dump_file.unlink()
        program.dump_file.symlink_to("/etc/passwd")
        with pytest.raises(OSError, match=r"Too many levels|Not a directory|symbolic"):
            program.dump()
        program.dump_file.unlink()
        os.link(program.file, program.dump_file)
        with pytest.raises(PermissionError, match="is not the dump file"):
            program.dump()


@linux
@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["sleep", "1000"], "it lives and sleeps"),
        (["cat"], "it lives and reads from its standard input, where nothing comes"),
        (["sh", "-c", "sleep 1000; true"], r"its process `sleep 1000` \(pid \d+\) lives and sleeps"),
        ([sys.executable, "-Sc", "import signal; signal.pause()"], "it lives and waits for a signal"),
    ],
    ids=["sleep", "read", "shell", "pause"],
)
def test_programs_that_know_nothing_of_us(argv: list[str], told: str) -> None:
    with command(*argv) as pid:
        eventually(lambda: re.fullmatch(told, explained_from_outside(pid).text) is not None, told)


def test_a_foreign_program_without_a_pause() -> None:
    with command("sh", "-c", "while :; do :; done") as pid:
        eventually(lambda: explained_from_outside(pid).state == "busy", "it is seen to be busy")


@linux
def test_one_without_a_pause_that_hardly_gets_a_processor() -> None:
    """And one beside it that waits is not taken for it."""
    loop = "while :; do :; done"
    crowd = f"taskset -p {1 << min(os.sched_getaffinity(0)):x} $$ >&2; for n in 1 2 3 4 5; do ({loop}) & done"
    with command("sh", "-c", f"{crowd}; sleep 1000 & exec sh -c '{loop}'") as pid:
        eventually(lambda: len(look_twice(pid)) == 7, "all of them run")
        for _ in range(3):
            seen = look_twice(pid)
            assert seen[0].cpu < 0.4
            assert seen[0].busy
            assert [each.name for each in seen if not each.busy] == ["sleep"]
