"""A `Worker` from setup to its exit status."""

from __future__ import annotations

import signal
import time

import pytest

from tests.support.router import Router
from tests.system.workers.harness.conftest import Run

STEPS = """
    import asyncio
    from supervisor_tree.workers import Worker

    class Steps(Worker):
        async def setup(self):
            print("setup")
        async def run(self):
            print("run")
            await asyncio.sleep(self.args.get("sleep", 0))
            return self.args.get("returns")
        async def teardown(self):
            print("teardown")
"""


@pytest.mark.parametrize(("returns", "status"), [(None, 0), (0, 0), (3, 3), (255, 255)])
def test_what_run_returns_is_the_exit_status(run: Run, returns: int | None, status: int) -> None:
    worker = run(STEPS).start("Steps", {"returns": returns})
    assert worker.rest() == ["setup", "run", "teardown"]
    assert worker.wait() == status
    assert worker.errors() == ""


@pytest.mark.parametrize("returns", [False, 256, -1, [1]])
def test_a_result_that_means_nothing_is_a_failure_that_is_said(run: Run, returns: object) -> None:
    worker = run(STEPS).start("Steps", {"returns": returns})
    assert worker.wait() == 1
    assert worker.errors() == f"an exit status is None or a number from 0 to 255: this one is {returns!r}\n"


def test_ready_is_said_after_setup_and_goodbye_before_teardown(run: Run, router: Router) -> None:
    worker = run(
        """
        import asyncio, pathlib
        from supervisor_tree.workers import Worker

        class Slow(Worker):
            async def setup(self):
                self.beat("loading")
                while not pathlib.Path("go").exists():
                    await asyncio.sleep(0.01)
            async def run(self):
                self.beat("at work", done=1)
            async def teardown(self):
                self.beat("tidying")
        """,
        router,
    ).start("Slow")
    hello = router.hear()
    assert hello["type"] == "hello"
    assert (hello["name"], hello["incarnation"], hello["pid"]) == ("a", 3, worker.process.pid)
    assert (hello["ready"], hello["interval"], hello["protocol"], hello["passing"]) == (False, 10.0, 1, False)
    (worker.dir / "go").touch()
    router.until("goodbye", reason="run has returned")
    router.until("beat", status="tidying")
    told = [(message["type"], message.get("status")) for message in router.heard[1:]]
    assert told == [
        ("beat", "loading"),
        ("ready", None),
        ("beat", "at work"),
        ("goodbye", None),
        ("beat", "tidying"),
    ]
    assert [message["seq"] for message in router.heard if message["type"] == "beat"] == [1, 2, 3]
    assert worker.wait() == 0


def test_a_crash_of_run_is_shown_from_its_own_first_line_and_torn_down(run: Run, router: Router) -> None:
    worker = run(
        """
        import asyncio
        from supervisor_tree.workers import Worker

        class Crash(Worker):
            async def run(self):
                await asyncio.sleep(0.05)
                raise RuntimeError("no more")
            async def teardown(self):
                print("teardown")
        """,
        router,
    ).start("Crash")
    assert router.until("goodbye")["reason"] == "RuntimeError: no more"
    assert worker.rest() == ["teardown"]
    assert worker.wait() == 1
    first, second, *_, last = worker.errors().splitlines()
    assert first == "Traceback (most recent call last):"
    assert second.endswith('app.py", line 8, in run')
    assert last == "RuntimeError: no more"


def test_a_crash_of_setup_has_nothing_to_tear_down(run: Run) -> None:
    worker = run(
        """
        from supervisor_tree.workers import Worker

        class Crash(Worker):
            async def setup(self):
                self.client = 1 / 0
            async def teardown(self):
                print(self.client)
        """
    ).start("Crash")
    assert worker.rest() == []
    assert worker.wait() == 1
    assert worker.errors().endswith("ZeroDivisionError: division by zero\n")


def test_a_failing_teardown_is_a_failure(run: Run) -> None:
    worker = run(
        """
        from supervisor_tree.workers import Worker

        class Crash(Worker):
            async def run(self):
                return None
            async def teardown(self):
                raise OSError("still in use")
        """
    ).start("Crash")
    assert worker.wait() == 1
    assert worker.errors().endswith("OSError: still in use\n")


def test_arguments_refused_in_setup_are_one_line(run: Run) -> None:
    worker = run(
        """
        from supervisor_tree.workers import ArgsError, Worker

        class Refuses(Worker):
            async def setup(self):
                raise ArgsError("args.port: is in use")
        """
    ).start("Refuses")
    assert worker.wait() == 2
    assert worker.errors() == "args.port: is in use\n"


def test_setup_run_and_teardown_share_a_task(run: Run) -> None:
    """What setup enters, teardown may leave: an asyncio timeout, a task group, a context variable."""
    worker = run(
        """
        import asyncio, contextlib, contextvars
        from supervisor_tree.workers import Worker

        seen = contextvars.ContextVar("seen")

        class Shares(Worker):
            async def setup(self):
                seen.set("setup")
                self.stack = contextlib.AsyncExitStack()
                await self.stack.enter_async_context(asyncio.timeout(60))
                await self.stack.enter_async_context(asyncio.TaskGroup())
            async def run(self):
                print(seen.get(), asyncio.current_task().get_name())
            async def teardown(self):
                await self.stack.aclose()
                print("left")
        """
    ).start("Shares")
    assert worker.rest() == ["setup Shares", "left"]
    assert worker.wait() == 0


def test_an_init_of_its_own_finds_the_arguments(run: Run) -> None:
    worker = run(
        """
        from supervisor_tree.workers import Worker

        class Own(Worker):
            def __init__(self):
                self.double = 2 * self.args["n"]
            async def run(self):
                print(self.double, self.name, self.incarnation)
        """
    ).start("Own", {"n": 21})
    assert worker.rest() == ["42 Own 0"]
    assert worker.wait() == 0


@pytest.mark.parametrize(("attribute", "status"), [("Leaves", 7), ("TaskLeaves", 8)])
def test_system_exit_is_respected_wherever_it_comes_from(run: Run, attribute: str, status: int) -> None:
    worker = run(
        """
        import asyncio, sys
        from supervisor_tree.workers import Worker

        class Leaves(Worker):
            async def run(self):
                sys.exit(7)
            async def teardown(self):
                print("teardown")

        class TaskLeaves(Worker):
            async def setup(self):
                self.task = asyncio.create_task(self.leave())
            async def leave(self):
                await asyncio.sleep(0.01)
                sys.exit(8)
            async def teardown(self):
                print("teardown")
        """
    ).start(attribute)
    assert worker.rest() == ["teardown"]
    assert worker.wait() == status
    assert worker.errors() == ""


# --- its end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_never_looks_is_cancelled_at_once(run: Run, number: int) -> None:
    worker = run(STEPS).start("Steps", {"sleep": 1000})
    assert [worker.line(), worker.line()] == ["setup", "run"]
    worker.process.send_signal(number)
    assert worker.rest() == ["teardown"]
    assert worker.wait() == 0
    assert worker.errors() == ""


LOOKS = """
    import asyncio
    from supervisor_tree.workers import Worker

    class Looks(Worker):
        async def run(self):
            print("run")
            await self.stopping.wait()
            print("stopping")
            try:
                await asyncio.sleep(self.args["more"])
                print("done")
            except asyncio.CancelledError:
                print("cancelled")
                raise
        async def teardown(self):
            print("teardown")
"""


def test_a_run_that_looks_is_waited_for(run: Run, router: Router) -> None:
    worker = run(LOOKS, router).start("Looks", {"more": 0.1})
    assert worker.line() == "run"
    router.until("ready")
    worker.process.terminate()
    assert router.until("goodbye")["reason"] == "SIGTERM"
    assert worker.rest() == ["stopping", "done", "teardown"]
    assert worker.wait() == 0


def test_a_second_signal_hurries(run: Run) -> None:
    worker = run(LOOKS).start("Looks", {"more": 1000})
    assert worker.line() == "run"
    worker.process.terminate()
    assert worker.line() == "stopping"
    worker.process.terminate()
    assert worker.rest() == ["cancelled", "teardown"]
    assert worker.wait() == 0


def test_stop_says_how_long_there_is_and_leaves_time_to_tear_down(run: Run, router: Router) -> None:
    worker = run(LOOKS, router).start("Looks", {"more": 1000})
    assert worker.line() == "run"
    router.until("ready")
    began = time.monotonic()
    router.say(type="stop", grace=0.4)
    worker.process.terminate()  # comes too, and is no second request
    assert router.until("goodbye")["reason"] in ("stop", "SIGTERM")
    assert worker.rest() == ["stopping", "cancelled", "teardown"]
    assert time.monotonic() - began >= 0.2
    assert worker.wait() == 0


def test_stop_without_an_end_waits_for_ever(run: Run, router: Router) -> None:
    worker = run(LOOKS, router).start("Looks", {"more": 0.2})
    assert worker.line() == "run"
    router.until("ready")
    router.say(type="stop", grace=None)
    assert worker.rest() == ["stopping", "done", "teardown"]
    assert worker.wait() == 0


def test_the_end_may_come_in_setup(run: Run) -> None:
    worker = run(
        """
        import asyncio
        from supervisor_tree.workers import Worker

        class Slow(Worker):
            async def setup(self):
                print("setup")
                await asyncio.sleep(1000)
            async def teardown(self):
                print("teardown")
        """
    ).start("Slow")
    assert worker.line() == "setup"
    worker.process.terminate()
    assert worker.rest() == []
    assert worker.wait() == 0


def test_a_second_signal_ends_a_teardown_too(run: Run) -> None:
    worker = run(
        """
        import asyncio
        from supervisor_tree.workers import Worker

        class Slow(Worker):
            async def run(self):
                print("run")
                await asyncio.sleep(1000)
            async def teardown(self):
                print("teardown")
                await asyncio.sleep(1000)
        """
    ).start("Slow")
    for step in ("run", "teardown"):
        assert worker.line() == step
        worker.process.terminate()
    assert worker.wait() == 0


@pytest.mark.slow
def test_a_blocked_loop_is_interrupted_by_a_second_signal(run: Run) -> None:
    worker = run(
        """
        import time
        from supervisor_tree.workers import Worker

        class Blocked(Worker):
            async def run(self):
                print("run")
                try:
                    time.sleep(1000)
                finally:
                    print("interrupted")
            async def teardown(self):
                print("teardown")
        """
    ).start("Blocked")
    assert worker.line() == "run"
    worker.process.terminate()
    with pytest.raises(TimeoutError):
        _wait(worker.process.pid, 1.2)
    worker.process.terminate()
    assert worker.rest() == ["interrupted", "teardown"]
    assert worker.wait() == 0


def _wait(pid: int, timeout: float) -> None:
    """Until it has ended.

    Raises:
        TimeoutError: it has not.
    """
    from tests.support.waiting import wait_gone

    try:
        wait_gone(pid, timeout)
    except AssertionError as error:
        raise TimeoutError from error


# --- what goes wrong beside it


def test_what_a_task_raises_that_nobody_awaits_is_said(run: Run) -> None:
    worker = run(
        """
        import asyncio
        from supervisor_tree.workers import Worker

        class Leaks(Worker):
            async def run(self):
                asyncio.create_task(self.fail())
                await asyncio.sleep(0.05)
                asyncio.get_running_loop().call_soon(lambda: {}["key"])
                await asyncio.sleep(0.05)
            async def fail(self):
                raise ValueError("in a task")
        """
    ).start("Leaks")
    assert worker.wait() == 0
    assert "ValueError: in a task" in worker.errors()
    assert "KeyError: 'key'" in worker.errors()


def test_a_logger_that_nobody_configures_warns(run: Run) -> None:
    worker = run(
        """
        from supervisor_tree.workers import Worker

        class Logs(Worker):
            async def run(self):
                self.log.info("not shown")
                self.log.warning("shown")
        """
    ).start("Logs")
    assert worker.wait() == 0
    assert worker.errors() == "shown\n"
