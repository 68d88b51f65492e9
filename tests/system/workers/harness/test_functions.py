"""Plain functions as workers, sync and async."""

from __future__ import annotations

import sys
import time

import pytest

from tests.support.router import Router
from tests.system.workers.harness.conftest import Run


def test_arguments_are_keywords_of_the_annotated_types(run: Run) -> None:
    worker = run(
        """
        from typing import Annotated, Literal
        from pathlib import Path
        import msgspec

        def main(port: int, ratio: float, to: Path, mode: Literal["a", "b"] = "a", *, tags: list[str], **more: object):
            print(port, ratio, to, mode, tags, more)
        """
    ).start("main", {"port": 80, "ratio": 2, "to": "data", "tags": ["x"], "else": None})
    assert worker.rest() == ["80 2.0 data a ['x'] {'else': None}"]
    assert worker.wait() == 0


def test_any_callable_will_do(run: Run) -> None:
    worker = run(
        """
        import functools

        class Greeter:
            def __call__(self, name: str):
                print("hello", name)
                return 4

        greet = functools.partial(Greeter(), name="you")
        """
    ).start("greet")
    assert worker.rest() == ["hello you"]
    assert worker.wait() == 4


def test_ready_is_said_when_it_is_entered(run: Run, router: Router) -> None:
    worker = run(
        """
        from supervisor_tree.workers import stopping

        def main():
            while not stopping(1000):
                pass
        """,
        router,
    ).start("main")
    hello = router.hear()
    assert (hello["type"], hello["interval"]) == ("hello", None)
    if not hello["ready"]:  # it was connected before it was entered
        assert router.hear()["type"] == "ready"
    assert router.silent_for(0.2)  # it beats only when it says so
    worker.process.terminate()
    assert router.until("goodbye")["reason"] == "SIGTERM"
    assert worker.wait() == 0


def test_what_is_said_comes_from_any_thread_and_survives_the_root(run: Run, router: Router) -> None:
    worker = run(
        """
        import threading
        from supervisor_tree.workers import activity, beat, stopping

        def main():
            beat("first", n=1)
            thread = threading.Thread(target=beat, args=("second",))
            thread.start()
            thread.join()
            activity("POST_SUCCESS", id=7)
            while not stopping(1000):
                pass
        """,
        router,
    ).start("main")
    router.until("activity")
    told = [(m["type"], m.get("status"), m.get("fields")) for m in router.heard if m["type"] != "hello"]
    assert told == [
        ("ready", None, None),
        ("beat", "first", {"n": 1}),
        ("beat", "second", {"n": 1}),
        ("activity", None, {"id": 7}),
    ] or told == [("beat", "first", {"n": 1}), ("beat", "second", {"n": 1}), ("activity", None, {"id": 7})]
    router.unbind()
    router.bind()
    hello = router.until("hello")
    assert (hello["ready"], hello["status"]) == (True, "second")
    worker.process.terminate()
    assert worker.wait() == 0


def test_one_that_never_asks_is_interrupted_where_it_is(run: Run) -> None:
    worker = run(
        """
        import time

        def main():
            try:
                print("begun")
                time.sleep(1000)
            finally:
                print("tidied")
        """
    ).start("main")
    assert worker.line() == "begun"
    worker.process.terminate()
    assert worker.rest() == ["tidied"]
    assert worker.wait() == 0
    assert worker.errors() == ""


def test_one_that_asks_ends_by_itself_and_a_pause_ends_at_once(run: Run) -> None:
    worker = run(
        """
        from supervisor_tree.workers import stopping

        def main():
            print("begun", stopping())
            print("asked", stopping(1000))
            return 5
        """
    ).start("main")
    assert worker.line() == "begun False"
    began = time.monotonic()
    worker.process.terminate()
    assert worker.rest() == ["asked True"]
    assert worker.wait() == 5
    assert time.monotonic() - began < 5


def test_one_that_asks_and_does_not_end_is_interrupted_by_a_second_signal(run: Run) -> None:
    worker = run(
        """
        import time
        from supervisor_tree.workers import stopping

        def main():
            print("begun", stopping())
            while not stopping(1000):
                pass
            print("asked")
            time.sleep(1000)
        """
    ).start("main")
    for line in ("begun False", "asked"):
        assert worker.line() == line
        worker.process.terminate()
    assert worker.wait() == 0


def test_an_async_one_beats_and_is_cancelled(run: Run, router: Router) -> None:
    worker = run(
        """
        import asyncio

        async def main(n: int):
            try:
                await asyncio.sleep(1000)
            finally:
                print("tidied", n)
        """,
        router,
    ).start("main", {"n": 1})
    assert router.until("hello")["interval"] == 10.0
    router.say(type="welcome", protocol=1, limit=0.15)
    for _ in range(4):
        router.until("beat")
    worker.process.terminate()
    assert worker.rest() == ["tidied 1"]
    assert worker.wait() == 0


def test_a_crash_is_shown_and_told(run: Run, router: Router) -> None:
    worker = run(
        """
        from supervisor_tree.workers import beat

        def main():
            beat("about to")
            open("/no/such/file")
        """,
        router,
    ).start("main")
    assert worker.wait() == 1
    first, second, *_, last = worker.errors().splitlines()
    assert first == "Traceback (most recent call last):"
    assert second.endswith('app.py", line 6, in main')
    assert last == "FileNotFoundError: [Errno 2] No such file or directory: '/no/such/file'"


# --- what can't run at all


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("app", '\'app\' names no worker: write "module:attribute", as in "app.feed:Feed"'),
        ("app:man", "app:man: app has no man; did you mean main?"),
        ("app:main.x", "app:main.x: main has no x"),
        ("app:Plain", "app:Plain is a class, but no Worker: derive it from supervisor_tree.workers.Worker"),
        ("app:number", "app:number is neither a Worker class nor a function, but of the type int"),
        ("nowhere:main", "nowhere:main: there is no module nowhere in "),
        ("app.sub:main", "app.sub:main: there is no module app.sub in "),
    ],
)
def test_a_target_that_is_none_is_one_line(run: Run, target: str, said: str) -> None:
    worker = run(
        """
        number = 1
        def main(): ...
        class Plain: ...
        """
    ).python("-m", "supervisor_tree.workers", target)
    assert worker.wait() == 2
    (line,) = worker.errors().splitlines()
    assert line.startswith(said)


def test_a_module_that_is_broken_is_a_crash_with_its_traceback(run: Run) -> None:
    worker = run("import no_such_module_of_mine\n").start("main")
    assert worker.wait() == 1
    first, second, *_, last = worker.errors().splitlines()
    assert first == "Traceback (most recent call last):"
    assert second.endswith('app.py", line 1, in <module>')
    assert last == "ModuleNotFoundError: No module named 'no_such_module_of_mine'"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({}, "args.port: is needed, and not given"),
        ({"port": "http"}, "args.port: Expected `int`, got `str`"),
        ({"prot": 80, "port": 80}, "args.prot: unknown; did you mean port?"),
    ],
)
def test_arguments_that_do_not_fit_are_one_line(run: Run, args: dict[str, object], said: str) -> None:
    worker = run("def main(port: int): ...\n").start("main", args)
    assert worker.wait() == 2
    assert worker.errors() == f"{said}\n"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "usage: "),
        (["app:main", "{", "more"], "usage: "),
        (["app:main", "{"], "args: no JSON: "),
        (["app:main", "[1]"], "args: Expected a JSON object, got [1]"),
    ],
)
def test_a_command_line_that_is_none_is_one_line(run: Run, argv: list[str], said: str) -> None:
    worker = run("def main(): ...\n").python("-m", "supervisor_tree.workers", *argv)
    assert worker.wait() == 2
    (line,) = worker.errors().splitlines()
    assert line.startswith(said)


def test_without_msgspec_plain_types_work_and_others_say_the_mend(run: Run) -> None:
    text = """
        from supervisor_tree.workers import TickWorker

        def plain(port: int, name: str | None = None, **more: dict): print("plain", port)
        def structured(ports: list[int]): ...
        async def coroutine(): print("coroutine")
        class Ticks(TickWorker):
            def tick(self): raise SystemExit(self.args["status"])
    """
    no_site = "-S"
    plain = run(text).start("plain", {"port": 1}, no_site)
    assert plain.rest() == ["plain 1"]
    assert plain.wait() == 0
    assert run(text).start("coroutine", {}, no_site).wait() == 0
    assert run(text).start("Ticks", {"status": 6}, no_site).wait() == 6
    structured = run(text).start("structured", {"ports": [1]}, no_site)
    assert structured.wait() == 2
    (line,) = structured.errors().splitlines()
    assert line.startswith(
        f"args.ports: needs msgspec to be checked, and {sys.executable} has none: install it there ("
    )


def test_output_is_there_line_by_line(run: Run) -> None:
    worker = run(
        """
        import time

        def main():
            print("first")
            time.sleep(1000)
        """
    ).start("main")
    assert worker.line() == "first"
