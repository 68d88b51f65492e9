"""What a worker's loop says to the root, hears from it, and how it goes on when the root is another one."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from typing import Any

import pytest

from tests.support.router import Router
from tests.support.running import TOKEN
from tests.system.workers.harness.conftest import Run

IDLE = """
    import asyncio, os, signal, threading, time
    from supervisor_tree.workers import Worker

    class Idle(Worker):
        well = None

        async def check(self):
            if isinstance(self.well, Exception):
                raise self.well
            return self.well

        async def command(self, name, args):
            match name:
                case "well":
                    self.well = args["is"] if args["is"] != "raise" else OSError("no disk")
                case "block":
                    time.sleep(args["seconds"])
                case "beat":
                    self.beat(args["status"], detail=args.get("detail"), **args.get("fields", {}))
                case "beat_from_a_thread_while_blocked":
                    thread = threading.Thread(target=self.beat, args=("from a thread",))
                    thread.start()
                    thread.join()
                    time.sleep(1)
                case "reload":
                    return {"read": 3, "at": (1, 2)}
                case "fail":
                    raise KeyError("port")
                case "huge":
                    return "x" * 70000
                case _:
                    return await super().command(name, args)
"""


def welcomed(router: Router, limit: float | None) -> None:
    """Until it has heard that, and what it had to say is said."""
    hello = router.until("hello")
    router.say(type="welcome", protocol=1, limit=limit)
    ask(router, "x")
    if not hello["ready"] and not any(message["type"] == "ready" for message in router.heard):
        router.until("ready")


def ask(router: Router, name: str, **args: Any) -> dict[str, Any]:
    router.say(type="command", id=5, name=name, args=args)
    return router.until("reply")


def test_hello_says_who_it_is(run: Run, router: Router) -> None:
    worker = run(IDLE, router).start("Idle")
    hello = router.hear()
    assert hello.pop("dump")["file"] == str(router.dir / "dump-a-3")
    assert hello == {
        "type": "hello",
        "protocol": 1,
        "name": "a",
        "incarnation": 3,
        "token": TOKEN,
        "pid": worker.process.pid,
        "interval": 10.0,
        "ready": hello["ready"],
        "status": None,
        "passing": False,
    }


def test_beats_come_thrice_within_the_limit(run: Run, router: Router) -> None:
    run(IDLE, router).start("Idle")
    began = time.monotonic()
    welcomed(router, 0.6)
    beats = [router.until("beat") for _ in range(6)]
    assert time.monotonic() - began >= 0.8  # the first may be the one that answers the welcome
    assert [beat["seq"] for beat in beats] == list(range(beats[0]["seq"], beats[0]["seq"] + 6))
    assert all(0 <= beat["age"] < 5 for beat in beats)
    router.unbind()
    router.bind()
    assert router.until("hello")["interval"] == pytest.approx(0.2)


def test_a_new_root_is_told_how_things_stand_before_anything_else(run: Run, router: Router) -> None:
    run(IDLE, router).start("Idle")
    welcomed(router, 0.3)
    ask(router, "beat", status="at work", fields={"n": 1})
    router.unbind()
    router.bind()
    hello = router.hear()
    assert (hello["type"], hello["ready"], hello["status"]) == ("hello", True, "at work")
    router.say(type="welcome", protocol=1, limit=0.3)
    assert router.until("beat")["fields"] == {"n": 1}


def test_who_is_answered_by_hello(run: Run, router: Router) -> None:
    run(IDLE, router).start("Idle")
    welcomed(router, None)
    router.say(type="who")
    assert router.until("hello")["ready"] is True


def test_ping_is_answered_by_a_beat_of_the_loop(run: Run, router: Router) -> None:
    run(IDLE, router).start("Idle")
    welcomed(router, 1000.0)
    while not router.silent_for(0.2):
        router.hear()
    router.say(type="ping")
    router.until("beat")
    began = time.monotonic()
    router.say(type="command", id=5, name="block", args={"seconds": 0.5})
    router.say(type="ping")
    router.until("beat")
    assert time.monotonic() - began >= 0.4


def test_a_blocked_loop_is_silent_and_a_thread_does_not_beat_for_it(run: Run, router: Router) -> None:
    run(IDLE, router).start("Idle")
    welcomed(router, 0.15)
    router.say(type="command", id=5, name="beat_from_a_thread_while_blocked", args={})
    last = time.monotonic()
    while router.hear()["type"] != "reply":
        last = time.monotonic()
    assert time.monotonic() - last >= 0.5  # half of the time for which it is blocked: beats come each 0.05 s
    router.until("beat", status="from a thread")


def test_a_run_that_blocks_in_its_first_line_has_said_that_it_is_ready(run: Run, router: Router) -> None:
    run(
        """
        import time
        from supervisor_tree.workers import Worker

        class Blocks(Worker):
            async def run(self):
                time.sleep(1000)
        """,
        router,
    ).start("Blocks")
    hello = router.until("hello")
    router.say(type="welcome", protocol=1, limit=1.0)
    if not hello["ready"]:
        router.until("ready")


@pytest.mark.parametrize(
    ("well", "said"),
    [(False, "its check says no"), ("no quota left", "no quota left"), ("raise", "OSError: no disk")],
)
def test_no_beat_is_made_while_its_check_says_no(run: Run, router: Router, well: object, said: str) -> None:
    run(IDLE, router).start("Idle")
    welcomed(router, 0.15)
    ask(router, "well", **{"is": well})
    router.until("unwell")
    assert [router.hear() for _ in range(3)] == [
        {"type": "unwell", "seq": router.heard[-3]["seq"], "age": router.heard[-3]["age"], "detail": said},
        {"type": "unwell", "seq": router.heard[-2]["seq"], "age": router.heard[-2]["age"], "detail": said},
        {"type": "unwell", "seq": router.heard[-1]["seq"], "age": router.heard[-1]["age"], "detail": said},
    ]
    ask(router, "well", **{"is": True})
    router.until("beat")


def test_one_that_does_not_beat_by_itself(run: Run, router: Router) -> None:
    worker = run(
        """
        from supervisor_tree.workers import Worker

        class Own(Worker):
            beats_by_itself = False
            async def command(self, name, args):
                self.beat("now")
        """,
        router,
    ).start("Own")
    assert router.until("hello")["interval"] is None
    router.say(type="welcome", protocol=1, limit=0.15)
    if not router.heard[0]["ready"]:
        router.until("ready")
    while not router.silent_for(0.2):
        assert router.hear()["type"] == "ready"
    router.say(type="command", id=1, name="x", args={})
    router.until("beat", status="now")
    worker.process.send_signal(signal.SIGTERM)
    assert worker.wait() == 0


def test_what_is_said_stays_until_it_is_said_anew(run: Run, router: Router) -> None:
    run(IDLE, router).start("Idle")
    welcomed(router, 1000.0)

    def told(**args: Any) -> tuple[object, object, object]:
        ask(router, "beat", **args)
        (beat,) = [message for message in router.heard[-2:] if message["type"] == "beat"]
        return beat["status"], beat["detail"], beat["fields"]

    assert told(status="one", detail="more", fields={"a": 1, "b": [1]}) == ("one", "more", {"a": 1, "b": [1]})
    assert told(status=None, fields={"a": 2}) == ("one", None, {"a": 2, "b": [1]})
    assert told(status="", fields={"b": None}) == ("", None, {"a": 2})


def test_commands_are_answered(run: Run, router: Router) -> None:
    worker = run(IDLE, router).start("Idle")
    welcomed(router, 1000.0)
    reply = {"type": "reply", "id": 5}
    assert ask(router, "reload") == {**reply, "ok": True, "result": {"read": 3, "at": [1, 2]}, "error": None}
    assert ask(router, "fail") == {**reply, "ok": False, "result": None, "error": "KeyError: 'port'"}
    assert "KeyError: 'port'" in worker.errors()
    no_such = {**reply, "ok": False, "result": None, "error": "Idle has no command x"}
    assert ask(router, "x") == no_such
    huge = ask(router, "huge")
    assert (huge["ok"], huge["result"]) == (False, None)
    assert huge["error"].endswith(" bytes of it left out: a message has at most 65536")


def test_whatever_a_program_says_becomes_json(run: Run, router: Router) -> None:
    run(
        """
        import math, os, pathlib
        from supervisor_tree.workers import Worker

        class Mad:
            def __str__(self): raise ValueError

        class Says(Worker):
            async def setup(self):
                circle = []
                circle.append(circle)
                self.beat(
                    os.fsdecode(b"\\xff.txt"), path=pathlib.Path("/x"), far=math.inf, mad=Mad(),
                    circle=circle, keys={(1, 2): {3}}, big=10**30,
                )
                self.beat(None, big="x" * 70000)
                self.activity("a" * 70000)
            async def run(self):
                self.beat("x" * 70000)
        """,
        router,
    ).start("Says")
    first = router.until("beat")
    assert first["status"] == "?.txt"
    fields = first["fields"]
    assert (fields["path"], fields["far"], fields["mad"], fields["big"]) == ("/x", "inf", "<Mad>", 10**30)
    assert fields["keys"] == {"(1, 2)": "{3}"}
    assert isinstance(fields["circle"], list)
    second = router.until("beat")
    assert second["fields"] == {}
    assert second["detail"].endswith("bytes of it left out: a message has at most 65536")
    assert router.until("activity")["name"] == "a" * 1000


def test_garbage_from_the_root_is_ignored(run: Run, router: Router) -> None:
    run(IDLE, router).start("Idle")
    welcomed(router, 1000.0)
    for garbage in (
        b"",
        b"\xff\xfe",
        b"[1]",
        b"{}",
        b'{"type": []}',
        b'{"type": "unheard-of"}',
        b'{"type": "welcome", "limit": "soon"}',
        b'{"type": "welcome", "limit": -1}',
        b'{"type": "command"}',
        b'{"type": "command", "id": "x", "name": 3}',
        b"[" * 60000,
    ):
        router.send(garbage)
    router.say(type="command", id=5, name="reload", args=[1])
    assert router.until("reply")["ok"] is True


def test_a_refusal_is_said_once_on_its_log(run: Run, router: Router) -> None:
    worker = run(IDLE, router).start("Idle")
    welcomed(router, None)
    router.say(type="refused", reason="wrong token")
    ask(router, "x")
    assert worker.errors() == "supervisor-tree: the tree does not hear this worker: wrong token\n"


SHORT = """
    from supervisor_tree.workers import activity

    def main():
        activity("DONE")
"""


def test_what_a_short_life_has_said_is_heard_by_a_root_that_comes_a_little_later(run: Run, router: Router) -> None:
    router.unbind()
    worker = run(SHORT, router).start("main")
    with pytest.raises(subprocess.TimeoutExpired):
        worker.process.wait(0.4)
    router.bind()
    hello = router.until("hello")
    assert router.until("activity")["name"] == "DONE"
    assert hello["ready"] or any(message["type"] == "ready" for message in router.heard)
    assert worker.wait() == 0


def test_nobody_hears_it_and_the_end_waits_a_second_at_most(run: Run, router: Router) -> None:
    router.unbind()
    worker = run(SHORT, router).start("main")
    began = time.monotonic()
    assert worker.wait() == 0
    assert time.monotonic() - began < 5


def test_an_end_that_was_asked_for_does_not_wait_for_anybody(run: Run, router: Router) -> None:
    router.unbind()
    worker = run(
        """
        import os, signal
        from supervisor_tree.workers import activity
        from supervisor_tree.workers.life import present

        def main():
            present.LINGER = 1000.0
            activity("DONE")
            os.kill(os.getpid(), signal.SIGTERM)
        """,
        router,
    ).start("main")
    assert worker.wait() == 0


def test_a_root_that_reads_nothing_costs_nothing(run: Run, router: Router) -> None:
    """A stopped root: what it does not take is dropped, and the worker's own work goes on."""
    worker = run(
        """
        from supervisor_tree.workers import Worker

        class Talks(Worker):
            async def run(self):
                for n in range(6000):
                    self.beat("x" * 500, n=n)
                print("done")
        """,
        router,
    ).start("Talks")
    assert worker.line() == "done"
    assert worker.wait() == 0


def test_a_fork_does_not_speak_for_its_parent(run: Run, router: Router) -> None:
    worker = run(
        """
        import asyncio, multiprocessing
        from supervisor_tree.workers import Worker, beat

        class Forks(Worker):
            async def run(self):
                context = multiprocessing.get_context("fork")
                child = context.Process(target=beat, args=("from the fork",))
                child.start()
                await asyncio.to_thread(child.join)
                print(child.exitcode)
                self.beat("from the parent")
                await self.stopping.wait()
        """,
        router,
    ).start("Forks")
    assert worker.line() == "0"
    router.until("beat", status="from the parent")
    assert [message for message in router.heard if message.get("status") == "from the fork"] == []
    assert [message["type"] for message in router.heard].count("hello") == 1
    worker.process.terminate()
    assert router.until("goodbye")["reason"] == "SIGTERM"


@pytest.mark.parametrize("through_a_shell", [False, True])
def test_a_command_in_python_may_say_so_too(run: Run, router: Router, through_a_shell: bool) -> None:
    """`command = "python app.py"`, whose program calls `beat`: the first process is the worker, another only passes."""
    worker = run(
        """
        import subprocess, sys
        from supervisor_tree import activity, beat, ready

        if "--again" in sys.argv:
            sys.exit(subprocess.call([sys.executable, __file__]))
        ready()
        beat("by hand", n=1)
        activity("DONE")
        """,
        router,
    ).python("app.py", *(["--again"] if through_a_shell else []))
    assert worker.wait() == 0
    said = [router.until(kind) for kind in ("hello", "beat", "activity")]
    assert said[0]["passing"] is through_a_shell
    assert said[0]["token"] == TOKEN
    assert said[0]["ready"] or router.heard[1]["type"] == "ready"
    assert (said[1]["status"], said[1]["fields"]) == ("by hand", {"n": 1})


def test_without_a_tree_all_of_it_is_silence(run: Run) -> None:
    worker = run(
        """
        from supervisor_tree import activity, beat, ready, stopping

        beat("x", n=1)
        activity("y")
        ready()
        print(stopping(0.01))
        """
    ).python("app.py")
    assert worker.rest() == ["False"]
    assert worker.wait() == 0


def test_messages_are_one_frame_of_json_each(run: Run, router: Router) -> None:
    run(IDLE, router).start("Idle")
    for _ in range(3):
        data = router.receive()
        assert json.loads(data)["type"] in ("hello", "ready", "beat")
        assert b"\n" not in data


LEAVING = """
    import asyncio, pathlib
    from supervisor_tree.workers import Worker

    class Leaving(Worker):
        async def run(self):
            await asyncio.sleep(0.05)

        async def teardown(self):
            while not pathlib.Path("go").exists():
                await asyncio.sleep(0.01)
"""


@pytest.mark.parametrize("deaf", [False, True])
def test_a_new_root_is_told_that_it_is_ending(run: Run, router: Router, deaf: bool) -> None:
    """Else that one would wait for beats, which do not come while it tears down. `deaf`: no root was there before."""
    worker = run(LEAVING, router).start("Leaving")
    if deaf:
        router.until("hello")
        router.unbind()
        time.sleep(1.5)  # noqa: TID251 - it waits a second for a root that knows it, and no message tells of that
    else:
        welcomed(router, 1.0)
        assert router.until("goodbye")["reason"] == "run has returned"
        router.unbind()
    router.bind()
    router.until("hello")
    router.say(type="welcome", protocol=1, limit=1.0)
    assert router.until("goodbye")["reason"] == "run has returned"
    (worker.dir / "go").touch()
    assert worker.wait() == 0
