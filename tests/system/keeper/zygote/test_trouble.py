"""Zygotes that hang, are stopped, or do not get through their preload: said, and nothing else waits for them."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from supervisor_tree.system import means
from tests.system.keeper.conftest import Brain, MakeBrain, eventually, lives
from tests.system.keeper.zygote.conftest import Python


def module(brain: Brain, name: str, text: str) -> str:
    """A module in the tree's folder, where a zygote looks first."""
    (brain.folder / f"{name}.py").write_text(text)
    return name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import no_such_thing", "preload of broken failed: ModuleNotFoundError: No module named 'no_such_thing'"),
        ("1 / 0", "preload of broken failed: ZeroDivisionError: division by zero"),
        ("def f(:", "preload of broken failed: SyntaxError"),
        ("raise SystemExit(3)", "preload of broken failed: SystemExit: 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "preload of broken crashed: killed by SIGSEGV"),
        ("import os; os._exit(4)", "preload of broken crashed: exit status 4"),
    ],
)
def test_a_preload_that_fails(python: Python, text: str, said: str) -> None:
    brain = python.brain
    brain.commit(python.spec("a", "sleep", preload=(module(brain, "broken", text),)), python.spec("b", "sleep"))
    assert said in brain.event("spawn_failed", name="a")["reason"]
    failed = brain.event("zygote", what="failed")
    assert (failed["module"], failed["zygote"]) == ("broken", "z-broken")
    assert said in failed["why"]
    brain.event("spawned", name="b")
    # The next start tries again, and finds it mended.
    module(brain, "broken", "")
    python.start("a", preload=("broken",), inc=2)


def test_a_preload_that_hangs(make: MakeBrain) -> None:
    python = Python(make(slow=0.3, preload=3.0).start())
    brain = python.brain
    module(brain, "endless", "while True: pass")
    brain.commit(python.spec("a", "sleep", preload=("endless",)), python.spec("b", "sleep"))
    brain.event("spawned", name="b")
    slow = brain.event("zygote", what="slow", module="endless")  # on a busy machine both interpreters are slow, too
    assert (slow["zygote"], slow["names"]) == ("z-endless", ["a"])
    failed = brain.event("spawn_failed", name="a")
    assert failed["reason"] == "preload of endless is not done after 3 s"
    killed = [brain.event("zygote", what="killed") for _ in range(2)]
    assert {each["module"] for each in killed} == {"endless"}
    eventually(lambda: not any(lives(each["pid"]) for each in killed), "they are gone")
    # A stop while it hangs is done at once.
    brain.commit(
        python.spec("a", "sleep", preload=("endless",), inc=2), {"op": "stop", "name": "a", "inc": 2, "grace": 5}
    )
    assert brain.event("spawn_failed", name="a", inc=2)["reason"] == "stopped before it was started"


def test_requests_wait_for_a_preload(python: Python) -> None:
    module(python.brain, "long", "import pathlib, time\nwhile not pathlib.Path('go').exists(): time.sleep(0.01)")
    names = [f"w{number}" for number in range(20)]
    python.brain.commit(*[python.spec(name, "sleep", {"file": name}, preload=("long",)) for name in names])
    python.start("other", args={"file": "other"})
    (python.brain.folder / "go").touch()
    for name in names:
        python.brain.event("spawned", name=name)


@pytest.mark.linux
def test_stopped(python: Python) -> None:
    """SIGSTOP: it is replaced, its workers stay, and who asked it meanwhile gets a worker."""
    first = python.start("a")
    zygote = python.zygote()
    os.kill(zygote, signal.SIGSTOP)
    second = python.start("b", args={"file": "b"})
    killed = python.brain.event("zygote", what="killed")
    assert (killed["pid"], killed["why"]) == (zygote, "stopped")
    assert not lives(zygote)
    assert lives(first)
    for name, pid in (("a", first), ("b", second)):
        os.kill(pid, signal.SIGKILL)
        assert python.brain.event("exited", name=name)["signal"] == signal.SIGKILL


HANGING = """
import signal, time
def hang(number, frame):
    while True: time.sleep(1000)
signal.signal(signal.SIGUSR1, hang)
"""


@pytest.mark.linux
def test_hanging_when_it_is_asked(make: MakeBrain) -> None:
    python = Python(make(fork=1.0).start())
    first = python.start("a", preload=(module(python.brain, "hanging", HANGING),))
    zygote = python.zygote("z-hanging")
    os.kill(zygote, signal.SIGUSR1)
    second = python.start("b", args={"file": "b"}, preload=("hanging",))
    killed = python.brain.event("zygote", what="killed")
    assert (killed["pid"], killed["why"]) == (zygote, "it has not answered a request to fork for 1 s")
    assert lives(first)
    assert lives(second)
    python.told("b")


@pytest.mark.linux
def test_hanging_when_a_worker_ends(make: MakeBrain) -> None:
    python = Python(make(told=0.3).start())
    pid = python.start("a", preload=(module(python.brain, "hanging", HANGING),))
    zygote = python.zygote("z-hanging")
    os.kill(zygote, signal.SIGUSR1)
    os.kill(pid, signal.SIGTERM)
    assert python.brain.event("exited", name="a")["signal"] == signal.SIGTERM
    assert str(pid) in python.brain.event("zygote", what="killed", pid=zygote)["why"]


@pytest.mark.parametrize("portable", ["", "1"], ids=["as-here", "portable"])
def test_hanging_twice(make: MakeBrain, portable: str) -> None:
    """Each zygote hangs as soon as it is ready: the request is given up after the second.

    Whether the keeper hears of its end first, as often without epoll, or that it was the last to hold its end of what
    the fork was to talk over: the reason is the same."""
    environ = {"SUPERVISOR_TREE_PORTABLE": portable or os.environ.get("SUPERVISOR_TREE_PORTABLE", "")}
    python = Python(make(environ, fork=0.4).start())
    text = (
        "import threading, os, signal\n"
        + HANGING
        + ("import supervisor_tree.workers.zygote.process as p\np.Zygote._fork = lambda *a: hang(0, None)\n")
    )
    module(python.brain, "hanging", text)
    python.brain.commit(python.spec("a", "sleep", preload=("hanging",)))
    failed = python.brain.event("spawn_failed", name="a")
    assert failed["reason"] == "its zygote ended: it has not answered a request to fork for 0.4 s"
    assert python.brain.event("zygote", what="killed")["pid"] != python.brain.event("zygote", what="killed")["pid"]


@pytest.mark.linux
def test_killed_in_the_midst_of_forking(python: Python) -> None:
    """No request is lost or done twice."""
    brain = python.brain
    python.start("first")
    for inc in range(1, 6):
        zygote = python.zygote()
        names = [f"w{number}" for number in range(24)]
        brain.commit(*[python.spec(name, "sleep", {"file": f"{name}-{inc}"}, inc=inc) for name in names])
        brain.event("spawned", inc=inc, name="w3")
        os.kill(zygote, signal.SIGKILL)
        for name in names:
            if name != "w3":
                brain.event("spawned", name=name, inc=inc)
        for name in names:
            brain.await_file(f"{name}-{inc}")
        assert len([each for each in means.processes_of(brain.id) if _named(each.pid, names)]) == len(names)
        brain.commit(*[{"op": "stop", "name": name, "inc": inc, "grace": 5} for name in names])
        for name in names:
            brain.event("exited", name=name, inc=inc)
    assert [each for each in brain.events if each["kind"] in ("spawn_failed", "adopted")] == []


@pytest.mark.skipif(means.orphans_come_to_us, reason="where orphans come to the keeper nothing is lost")
def test_without_a_subreaper_killed_in_the_midst_of_forking(python: Python) -> None:
    """Every request has one answer, and of those that ran every end is told."""
    brain = python.brain
    names = [f"w{number}" for number in range(24)]
    brain.commit(*[python.spec(name, "sleep", {"file": name}) for name in names])
    brain.event("spawned", name="w3")
    os.kill(python.zygote(), signal.SIGKILL)
    python.zygote()
    answers: dict[str, list[str]] = {name: [] for name in names}
    answers["w3"].append("spawned")
    brain.commit(*[{"op": "stop", "name": name, "inc": 1, "grace": 5} for name in names])
    while not all(each and each[-1] in ("exited", "spawn_failed") for each in answers.values()):
        while brain.events:
            event = brain.events.pop(0)
            if "name" in event:
                answers[event["name"]].append(event["kind"])
        brain.commit()
        if not all(each and each[-1] in ("exited", "spawn_failed") for each in answers.values()):
            brain.frame("event")
    assert all(each in (["spawned", "exited"], ["spawn_failed"]) for each in answers.values())


def _named(pid: int, names: list[str]) -> bool:
    seen = means.process(pid)
    return seen is not None and seen.name in names


@pytest.mark.skipif(means.orphans_come_to_us, reason="where orphans come to the keeper nothing is lost")
def test_without_a_subreaper_workers_go_with_their_zygote(python: Python) -> None:
    pid = python.start("a", "family")
    members = python.told("family")
    os.kill(python.zygote(), signal.SIGKILL)
    ended = python.brain.event("exited", name="a")
    assert "its zygote died" in ended["lost"]
    assert (ended["code"], ended["signal"], ended["asked"]) == (None, None, False)
    eventually(lambda: not any(map(lives, [pid, *members])), "nothing of it is left")
    python.start("a", inc=2)


@pytest.mark.parametrize("version", ["3.8", "3.10", "3.12", "3.13"])
def test_another_interpreter(python: Python, version: str, tmp_path: Path) -> None:
    """Too old: one clear sentence. New enough: a worker, though nothing of ours is installed there."""
    found = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    if not found:
        pytest.skip(f"no Python {version} here")
    subprocess.run([str(found[0]), "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True, timeout=60)
    interpreter = str(tmp_path / "venv" / "bin" / "python")
    if version in ("3.8", "3.10"):
        python.brain.commit(python.spec("a", "sleep", interpreter=interpreter))
        reason = python.brain.event("spawn_failed", name="a")["reason"]
        assert reason.startswith(f"Python workers need Python 3.11 or newer, and {interpreter} is {version}.")
        return
    python.start("a", "tell", interpreter=interpreter)
    told = python.told()
    modules = told["modules"]
    assert told["python"] == version
    assert "supervisor_tree" in modules
    assert not {"multiprocess", "msgspec", "zmq", "psutil", "dill"} & set(modules)


def test_what_it_prints_is_in_a_log_of_its_own(python: Python) -> None:
    module(python.brain, "loud", "print('imported loud')")
    python.start("a", preload=("loud",))
    path = python.brain.state_dir / "logs" / "zygote-z-loud.log"
    os.kill(python.zygote("z-loud"), signal.SIGKILL)
    eventually(lambda: path.exists() and path.read_text().startswith("imported loud\n"), "it is written")


def test_one_that_nobody_needs_any_more(make: MakeBrain) -> None:
    """As after a reload that changes the preloaded modules."""
    python = Python(make(unused=0.3).start())
    brain = python.brain
    python.start("a", preload=("json",))
    python.start("b", args={"file": "b"})
    zygote = python.zygote("z-json")
    brain.stop("a")
    brain.event("exited", name="a")
    assert brain.event("zygote", what="killed")["pid"] == zygote
    assert [each["what"] for each in brain.root.quiet(0.6) if each.get("kind") == "zygote"] == []
    python.start("a", preload=("json",), inc=2)


def test_threads_of_a_preload_are_told(python: Python) -> None:
    text = (
        "import threading, time\nthreading.Thread(target=time.sleep, args=[1000], name='poller', daemon=True).start()"
    )
    python.start("a", "tell", preload=(module(python.brain, "threaded", text),))
    assert python.told()["threads"] == 1
    assert python.brain.event("zygote", what="ready", zygote="z-threaded")["threads"] == ["poller"]


def test_the_keeper_alone_starts_nothing_more(make: MakeBrain) -> None:
    """No root acknowledges the request to stop: what waits for its zygote by then never runs."""
    python = Python(make(asked=0.3).start())
    brain = python.brain
    module(brain, "long", "import pathlib, time\nwhile not pathlib.Path('go').exists(): time.sleep(0.01)")
    python.start("a", args={"file": "a"}, stop={"signal": "WINCH", "grace": 1.0})
    brain.commit(python.spec("late", "sleep", {"file": "late"}, preload=("long",)))
    brain.event("zygote", what="started", zygote="z-long")
    brain.keeper.send_signal(signal.SIGTERM)
    brain.event("asked", acknowledge=False)
    eventually(lambda: brain.keeper.poll() is not None or not lives(brain.root.pid), "it goes on alone")
    (brain.folder / "go").touch()
    assert brain.keeper.wait(15) == 1
    assert not (brain.folder / "late").exists()
