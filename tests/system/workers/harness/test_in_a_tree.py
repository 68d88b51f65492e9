"""Workers in a real tree: what the tree makes of what they say."""

from __future__ import annotations

import textwrap

import pytest

from tests.conftest import MakeTree
from tests.support.tree import REPOSITORY, Tree
from tests.support.waiting import eventually


def begun(tree: MakeTree, text: str, app: str) -> Tree:
    one: Tree = tree(text, start=False, environ={"PYTHONPATH": str(REPOSITORY)})
    (one.dir / "app.py").write_text(textwrap.dedent(app))
    return one.start()


def test_a_worker_whose_check_says_no_is_replaced_for_that_reason(tree: MakeTree) -> None:
    one = begun(
        tree,
        """
        [workers.sick]
        run = "app:Sick"
        health = { heartbeat = "2s" }
        """,
        """
        from supervisor_tree import Worker

        class Sick(Worker):
            async def check(self):
                return "no quota left" if self.incarnation == 1 else None
        """,
    )
    one.wait_until("sick", state="running")
    eventually(lambda: one.events("unwell"), "it is said before it is too late")
    assert "sick says that something is wrong with it: no quota left" in one.ctl("events")
    one.wait_until("sick", restarts=1, state="running")
    (hung,) = one.events("hung")
    assert "its own check says: no quota left" in hung["explanation"]
    assert one.stop() == 0


def test_a_command_that_says_that_it_is_ready_opens_the_gate(tree: MakeTree) -> None:
    one = begun(
        tree,
        """
        [workers.first]
        command = "${tree.python} app.py"
        ready = { heartbeat = true }
        health = { heartbeat = "20s" }

        [workers.second]
        command = "sleep 1000"
        needs = { first = "ready" }
        """,
        """
        import pathlib, signal, time
        from supervisor_tree import beat, ready

        while not pathlib.Path("go").exists():
            time.sleep(0.01)
        ready()
        beat("at work")
        signal.pause()
        """,
    )
    one.wait("first", state="starting")
    assert one.child("second")["state"] == "waiting"
    (one.dir / "go").touch()
    one.wait("second")
    eventually(lambda: one.child("first")["status"] == "at work", "its words are shown")
    assert one.stop() == 0


def test_one_that_is_well_again_in_time_is_left_alone(tree: MakeTree) -> None:
    one = begun(
        tree,
        """
        [workers.sick]
        run = "app:Sick"
        health = { heartbeat = "6s" }
        """,
        """
        from pathlib import Path
        from supervisor_tree import Worker

        class Sick(Worker):
            async def check(self):
                return not Path("sick").exists()
        """,
    )
    one.wait("sick")
    (one.dir / "sick").touch()
    eventually(lambda: one.events("unwell"), "it is unwell")
    (one.dir / "sick").unlink()
    eventually(lambda: one.events("well_again"), "it is well again")
    assert one.child("sick")["restarts"] == 0
    assert one.stop() == 0


def test_counts_of_an_activity_are_shown(tree: MakeTree) -> None:
    one = begun(
        tree,
        """
        [workers.counts]
        run = "app:counts"
        restart = "temporary"
        """,
        """
        from supervisor_tree import activity

        def counts():
            activity("EVALUATED", tasks=3, errors=0, more=[1])
        """,
    )
    eventually(lambda: "counts: EVALUATED (tasks 3, errors 0)\n" in one.ctl("events"), "what was done is shown")
    assert one.stop() == 0


@pytest.mark.slow
def test_what_short_lives_have_done_is_in_the_journal(tree: MakeTree) -> None:
    number = 30
    workers = "\n".join(f'[workers.w{n}]\nrun = "app:once"\nrestart = "temporary"\n' for n in range(number))
    one = begun(
        tree,
        workers,
        """
        from supervisor_tree import activity

        def once():
            activity("DONE")
        """,
    )
    eventually(lambda: len(one.events("completed")) == number, "all are done", 30)
    eventually(lambda: len(one.events("activity")) == number, "all of it is known")
    assert one.stop() == 0


@pytest.mark.parametrize("more", ["", "open('mine', 'w')"])
def test_a_plain_function_may_close_all_descriptors_and_still_beats(tree: MakeTree, more: str) -> None:
    """As programs do that make themselves at home. What they open then has the numbers that were ours."""
    one = begun(
        tree,
        """
        [workers.tidy]
        run = "app:tidy"
        health = { heartbeat = "5s" }
        """,
        f"""
        import os
        from supervisor_tree import beat, stopping

        def tidy():
            beat("before")
            os.closerange(3, 256)
            mine = [{more or "None"} for _ in range(30)]
            beat("after")
            while not stopping(0.1):
                beat("still there", files=len(mine))
        """,
    )
    one.wait_until("tidy", state="running", status="still there")
    eventually(lambda: (one.ask("describe", names=["tidy"])[0]["said"]["beat_age"] or 9) < 1, "it beats")
    assert one.child("tidy")["restarts"] == 0
    if more:
        assert (one.dir / "mine").read_bytes() == b""
    assert one.stop() == 0
