"""Code of the user's has a zygote's link and a fork's `talk` in its hands: whatever it says there, the keeper lives,
and no process of others is touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from supervisor_tree.system import means
from tests.system.keeper.conftest import MakeBrain, eventually
from tests.system.keeper.zygote.conftest import Python, descriptors


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    """Somebody else's process."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"], start_new_session=True)
    yield process
    assert process.poll() is None, "it was killed"
    process.kill()
    process.wait()


def says(python: Python, body: str, victim: subprocess.Popen[bytes]) -> str:
    """A module that makes its zygote speak: ``body`` is run once it is ready, with the zygote as `self`."""
    start = means.process_identity(victim.pid)
    text = f"""
import json, os, socket, struct, sys, time
import supervisor_tree.workers.zygote.process as process
import supervisor_tree.workers.zygote.child as child
PID, START = {victim.pid}, {start}
nan = float("nan")
before = process.Zygote.run
def run(self):
    {body}
    before(self)
process.Zygote.run = run
"""
    (python.brain.folder / "lies.py").write_text(text)
    return "lies"


@pytest.mark.parametrize(
    "head",
    [
        '{"t": "forked", "name": "a", "inc": 1, "pid": PID, "start": START}',
        '{"t": "forked", "name": "x", "inc": 1, "pid": PID, "start": START}',
        '{"t": "forked", "name": "a", "inc": 1, "pid": 10**30, "start": 1}',
        '{"t": "forked", "name": "a", "inc": 1, "pid": 1, "start": 0}',
        '{"t": "forked", "name": [], "inc": {}, "pid": 2, "start": 0}',
        '{"t": "forked"}',
        '{"t": "fork_failed", "name": "a", "inc": 1, "errno": nan, "reason": 5}',
        '{"t": "exited", "pid": OTHER, "status": 9}',
        '{"t": "exited", "pid": nan, "status": 9}',
        '{"t": "exited", "pid": PID, "status": 2**70}',
        '{"t": "reaped", "ends": [[OTHER, 0.0, 1]]}',
        '{"t": "reaped", "ends": [[PID, nan, 10**400]]}',
        '{"t": "reaped", "ends": 7}',
        '{"t": "ready", "python": nan, "threads": [nan]}',
        '{"t": "importing", "module": {"a": nan}}',
        '{"t": "failed", "module": 3, "error": nan}',
        '{"t": []}',
        '{"t": "forked", "name": "\\udcff", "inc": 10**30, "pid": PID, "start": START}',
    ],
)
def test_frames(python: Python, victim: subprocess.Popen[bytes], head: str) -> None:
    other = python.start("other", args={"file": "other"})
    brain = python.brain
    body = f"self._say({head.replace('OTHER', str(other))})"
    for inc in (1, 2):
        brain.commit(python.spec("a", "sleep", preload=(says(python, body, victim),), inc=inc))
        eventually(lambda inc=inc: _answered(python, inc), "it is said what became of it")  # type: ignore[misc]
    assert os.path.exists(f"/proc/{other}")
    python.start("b", args={"file": "b"})
    os.kill(other, 9)
    assert brain.event("exited", name="other")["signal"] == 9
    for event in brain.events:
        json.dumps(event, allow_nan=False, ensure_ascii=False).encode()


def _answered(python: Python, inc: int) -> bool:
    """A start has come to something."""
    python.brain.sync()
    kinds = {each["kind"] for each in python.brain.events if each.get("name") == "a" and each.get("inc") == inc}
    return bool(kinds & {"spawned", "spawn_failed"})


@pytest.mark.parametrize(
    "body",
    [
        "self._link.sock.setblocking(True); self._link.sock.sendall(b'garbage' * 1000)",
        "self._link.sock.setblocking(True); self._link.sock.sendall(struct.pack('>II', 400 * 2**20, 30))",
        'self._link.sock.setblocking(True); self._link.sock.sendall(struct.pack(">II", 9004, 9000) + b"[" * 9000)',
        "self._link.sock.shutdown(socket.SHUT_RDWR)",
        "self._link.sock.close()",
    ],
)
def test_what_is_no_frame(python: Python, victim: subprocess.Popen[bytes], body: str) -> None:
    python.brain.commit(python.spec("a", "sleep", preload=(says(python, body, victim),)))
    python.start("b")
    eventually(lambda: any(each.get("what") in ("killed", "lost") for each in _events(python)), "it is replaced")


def _events(python: Python) -> list[dict[str, Any]]:
    python.brain.sync()
    return python.brain.events


def test_descriptors_are_not_taken(python: Python, victim: subprocess.Popen[bytes]) -> None:
    body = (
        "[socket.send_fds(self._link.sock, [(lambda h: struct.pack('>II', 4 + len(h), len(h)) + h)"
        "(json.dumps({'t': 'x'}).encode())], [0] * 20) for _ in range(20)]"
    )
    python.start("b")
    before = descriptors(python.brain.keeper.pid)
    python.start("a", args={"file": "a"}, preload=(says(python, body, victim),))
    assert descriptors(python.brain.keeper.pid) < before + 20


@pytest.mark.parametrize(
    "said",
    [
        "b'garbage'",
        "b'[' * 50000",
        "b'7'",
        "b'{}'",
        "json.dumps({'ok': True, 'pid': PID, 'start': START}).encode()",
        "json.dumps({'ok': True, 'pid': 10**30, 'start': START}).encode()",
        "json.dumps({'ok': True, 'pid': nan, 'start': START}).encode()",
        "json.dumps({'ok': False, 'pid': os.getpid(), 'start': START, 'errno': nan, 'reason': 1}).encode()",
    ],
)
def test_the_first_word_of_a_fork(make: MakeBrain, victim: subprocess.Popen[bytes], said: str) -> None:
    python = Python(make(fork=1.0, launch=1.0).start())
    body = f"child.Child._say = lambda child, head: os.write(3, {said})"
    python.brain.commit(python.spec("a", "sleep", preload=(says(python, body, victim),)))
    assert python.brain.event("spawn_failed", name="a")["reason"]
    python.start("b")
    assert "mistake" not in python.brain.output()


def test_words_that_are_no_unicode(python: Python) -> None:
    (python.brain.folder / "half.py").write_text("raise ImportError('half \\udcff ' + 'x' * 100_000)")
    python.brain.commit(python.spec("a", "sleep", preload=("half",)))
    reason = python.brain.event("spawn_failed", name="a")["reason"]
    assert reason.encode().startswith(b"preload of half failed: ImportError: half ? xxx")
    assert len(reason) < 5000
