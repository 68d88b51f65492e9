"""Many probes cost next to nothing: nothing turns in a circle between them."""

from __future__ import annotations

import threading

import psutil
import pytest

from tests.conftest import MakeTree
from tests.support.ports import free_port
from tests.support.waiting import eventually
from tests.system.probes.programs import WEB, program


@pytest.mark.slow
def test_what_a_hundred_probes_cost(tree: MakeTree) -> None:
    port = free_port()
    t = tree(
        f"""
        [workers.web]
        command = "${{tree.python}} web.py {port}"
        ready = {{ http = "http://127.0.0.1:{port}/" }}
        [workers.w]
        instances = 100
        command = "sleep 1000"
        needs = {{ web = "ready" }}
        health = [{{ http = "http://127.0.0.1:{port}/", every = "4s" }}, {{ file = "web.py", every = "4s" }}]
        """,
        start=False,
    )
    program(t, "web.py", WEB)
    t.start()
    t.wait("w", timeout=60)
    root = psutil.Process(t.root_pid())

    def asked() -> int:
        rows = t.ask("describe", names=["w"])
        return min(int(probe["in_a_row"]) for row in rows for probe in row["probes"])

    eventually(lambda: asked() >= 1, "all were asked", 30)
    before = root.cpu_times()
    threading.Event().wait(4.0)  # about 200 questions
    after = root.cpu_times()
    spent = after.user + after.system - before.user - before.system
    assert spent < 1.0  # 0.1 s on a machine that does nothing else
    assert root.num_threads() < 30
    eventually(lambda: asked() >= 2, "all were asked again", 30)
    assert all(child["health"] == "healthy" for child in t.children().values() if child["name"] != "web")
