"""What a program runs in its workers: functions, closures, classes of its own, sent by value or by name."""

# ruff: noqa: E501, ISC004 - golden texts stand as users see them

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import PATIENCE, eventually
from tests.system.api.conftest import MakeProgram, Program

EVERYTHING = """
    from __future__ import annotations

    import asyncio
    import enum
    import functools
    import json
    import os
    import sys
    import time
    from dataclasses import dataclass
    from typing import NamedTuple

    import msgspec

    import beside
    from supervisor_tree import Child, Supervisor, TickWorker, Worker, stopping

    print("the program is run", flush=True)
    STARTED = os.getpid()
    count = 0

    class Color(enum.Enum):
        RED = 1
        GREEN = 2

        def shout(self) -> str:
            return self.name + "!"

    class Flags(enum.Flag):
        A = enum.auto()
        B = enum.auto()

    class Where(NamedTuple):
        x: int = 3

    @dataclass(frozen=True)
    class Data:
        where: Where
        color: Color = Color.GREEN

    class Base(msgspec.Struct, kw_only=True):
        every: float = 0.05
        color: Color

    class Args(Base, kw_only=True, rename="camel"):
        deep_name: Where | None = None
        seen: list[int] = msgspec.field(default_factory=list)

        def __repr__(self) -> str:
            return "<" + super().__repr__() + ">"

    def say(*what: object) -> None:
        print(*what, flush=True)

    def tell(**what: object) -> None:
        say(json.dumps(what))
        while not stopping():
            time.sleep(0.02)

    class Mine(Worker):
        args: Args

        async def setup(self) -> None:
            await super().setup()
            self.made = Data(Where(5))

        async def run(self) -> None:
            global count
            count += 1
            add()
            args = self.args
            say(json.dumps({
                "args": [args.every, args.color.shout(), args.deep_name.x, args.seen, repr(args)[0]],
                "count": count, "made": [self.made.where.x, self.made.color.value], "same": STARTED != os.getpid(),
                "flags": (Flags.A | Flags.B).value, "file": os.path.basename(__file__), "name": __name__,
            }))
            await asyncio.sleep(1000)

    class Ticks(TickWorker):
        interval = 0.05
        args: Base

        async def tick(self) -> None:
            say("tick", self.args.color.name)

    def add() -> None:
        global count
        count += 10

    def plain(n: int, color: Color) -> None:
        tell(n=n, color=color.shout())

    async def later(n: int = 2) -> None:
        say(json.dumps({"n": n}))
        await asyncio.sleep(1000)

    def closure(n):
        def inner():
            tell(n=n, where=Where(n).x)
        return inner

    class Bound:
        def __init__(self, n):
            self.n = n
        def work(self):
            tell(n=self.n)

    Supervisor(
        [
            Child("mine", run=Mine, args={"color": 2, "deepName": [7]}),
            Child("ticks", run=Ticks, args={"color": 1, "every": 0.05}),
            Child("plain", run=plain, args={"n": 1, "color": 1}),
            Child("later", run=later),
            Child("closure", run=closure(3)),
            Child("lambda", run=lambda: tell(n=4)),
            Child("bound", run=Bound(5).work),
            Child("partial", run=functools.partial(tell, n=6)),
            Child("beside", run=beside.work),
            Child("inner", run=beside.outer(8)),
            Child("named", run="beside:work"),
            Child("many", run=tell, args={"n": "${self.instance}"}, instances=2),
        ],
        intensity=0,
    ).run()
"""
BESIDE = """
    import json, time
    print("beside is imported", flush=True)
    def show(n):
        print(json.dumps({"n": n}), flush=True)
        time.sleep(1000)
    def work():
        show(7)
    def outer(n):
        def inner():
            show(n)
        return inner
"""


def said(tree: Program, name: str) -> object:
    """The JSON that the worker has printed."""

    def line() -> str:
        return next(
            (line for line in tree.log(name).splitlines(keepends=True) if line[0] == "{" and line[-1] == "\n"), ""
        )

    return json.loads(eventually(line, lambda: f"{name} says something: {tree.log(name)}"))


def test_everything_that_can_be_called(program: MakeProgram) -> None:
    tree = program(EVERYTHING, start=False)
    (tree.dir / "beside.py").write_text("\n".join(line[4:] for line in BESIDE.splitlines()))
    tree.start()
    names = ["mine", "ticks", "plain", "later", "closure", "lambda", "bound", "partial", "beside", "inner", "named"]
    tree.wait(*names, "many@1", "many@2")
    assert said(tree, "mine") == {
        "args": [0.05, "GREEN!", 7, [], "<"],
        "count": 11,
        "made": [5, 2],
        "same": True,
        "flags": 3,
        "file": "app.py",
        "name": "__main__",
    }
    eventually(lambda: tree.log("ticks").count("tick RED\n") > 2, "ticks")
    assert said(tree, "plain") == {"n": 1, "color": "RED!"}
    assert said(tree, "later") == {"n": 2}
    assert said(tree, "closure") == {"n": 3, "where": 3}
    assert [said(tree, name) for name in ("lambda", "bound", "partial", "beside", "inner", "named")] == [
        {"n": number} for number in (4, 5, 6, 7, 8, 7)
    ]
    assert [said(tree, f"many@{number}") for number in (1, 2)] == [{"n": "1"}, {"n": "2"}]
    # No worker has run the program again
    assert not [name for name in names if "the program is run" in tree.log(name)]
    described = {one["name"]: one for one in tree.ask("describe", names=["mine", "closure", "lambda", "beside"])}
    assert {name: one["settings"]["run"] for name, one in described.items()} == {
        "mine": "__main__:Mine",
        "closure": "__main__:closure.inner",
        "lambda": "__main__:_lambda_",
        "beside": "beside:work",
    }
    # A new incarnation is the same, from the same bytes; a new root has them too
    root, pid = tree.root_pid(), tree.pids()["closure"]
    tree.kill(root)
    tree.wait_new_root(root)
    assert tree.pids()["closure"] == pid
    tree.ctl("restart", "closure")
    tree.wait_until("closure", pid=lambda now: now not in (None, pid), state="running")
    assert tree.stop() == 0


def test_exec_runs_a_worker_beside_the_one_that_runs(program: MakeProgram) -> None:
    tree = program(
        """
        import sys, time
        from supervisor_tree import Child, Supervisor, stopping

        def twice(n):
            return 2 * n

        def work(n: int, forever: bool = True) -> int:
            stopping()  # from now on a signal does not interrupt it
            print("worked", twice(n), flush=True)
            while forever and not stopping():
                time.sleep(0.02)
            return n

        Supervisor([
            Child("w", run=work, args={"n": 21}, env={"MINE": "1"}, cwd="/tmp"),
            Child("once", run=work, args={"n": 4, "forever": False}, restart="temporary"),
        ]).run()
        """
    )
    tree.wait("w")
    pid = tree.pids()["w"]
    with tree.follow("exec", "w") as running:
        assert running.line() == "worked 42"
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(PATIENCE) == 21
    assert tree.cli("exec", "w", "--", "sh", "-c", "echo $MINE $PWD").split() == ["1", "/tmp"]
    assert tree.cli("exec", "once", status=4) == "worked 8\n"
    assert tree.pids()["w"] == pid
    assert tree.child("w")["restarts"] == 0


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            "lock = open('/dev/null'); gen = (x for x in ())\ndef work(): return next(gen)",
            "Child 'w': run: it uses gen, which can't be sent to a worker (TypeError: cannot pickle 'generator' object):"
            " make that in the worker",
        ),
        (
            "def make():\n    gen = (x for x in ())\n    return lambda: next(gen)\nwork = make()",
            "Child 'w': run: it can't be sent to a worker (TypeError: cannot pickle 'generator' object): put it into a"
            " module, and what it needs into its arguments",
        ),
        (
            "data = bytes(5_000_000)\ndef work(): return len(data)",
            "Child 'w': run: it and what it uses are 5 MB: have the worker load its data by itself",
        ),
        (
            "def work(): return __import__('__main__')\nimport __main__ as me\ndef work(): return me",
            "Child 'w': run: it uses the module __main__ as a whole: name what it needs of it",
        ),
    ],
)
def test_what_can_not_be_sent(tmp_path: Path, lines: str, said: str) -> None:
    script = tmp_path / "app.py"
    script.write_text(
        f"from supervisor_tree import Child, ConfigError, Supervisor\n{lines}\n"
        "try:\n    Supervisor([Child('w', run=work)]).run()\nexcept ConfigError as error:\n    print(error)\n"
    )
    environ = {**os.environ, "PYTHONPATH": os.getcwd()}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, env=environ)
    assert done.stdout == said + "\n"
    assert done.stderr == ""
