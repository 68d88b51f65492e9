"""What operators wish, over the tree's lives; and what holds a start until something has changed."""

from __future__ import annotations

import os
import re

import pytest

from tests.conftest import MakeTree
from tests.support.waiting import eventually

pytestmark = pytest.mark.same


def test_wishes_survive_the_tree_with_who_when_and_why(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.a]
        command = "sleep 1000"
        [workers.b]
        command = "sleep 1000"
        [supervisors.s]
        children = ["c"]
        [workers.c]
        command = "sleep 1000"
        """
    )
    t.wait("a", "b", "c")
    t.ctl("stop", "a", "--reason", "new disk")
    t.ctl("hold", "b", "--reason", "debugging")
    t.ctl("stop", "s", "--reason", "not today")
    before = {name: child["hold"] for name, child in t.children().items()}
    assert t.stop() == 0
    t.start()
    after = t.children()
    assert {name: child["hold"] for name, child in after.items()} == before
    for name, reason in (("a", "new disk"), ("b", "debugging"), ("s", "not today")):
        assert before[name]["reason"] == reason
        assert before[name]["by"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", before[name]["at"])
    assert {name: child["state"] for name, child in after.items()} == {
        "a": "stopped",
        "b": "held",
        "s": "stopped",
        "c": "stopped",
    }
    t.ctl("start", "a", "s")
    t.ctl("release", "b")
    t.wait("a", "b", "c")
    assert t.stop() == 0
    t.start()
    t.wait("a", "b", "c")
    assert {child["hold"] is None for child in t.children().values()} == {True}


def test_wishes_survive_the_keepers_death(tree: MakeTree) -> None:
    t = tree('[workers.a]\ncommand = "sleep 1000"\n')
    t.wait("a")
    t.ctl("stop", "a", "--reason", "disk")
    assert t.keeper is not None
    t.keeper.kill()
    t.keeper.wait(5)
    t.start()
    assert t.child("a")["state"] == "stopped"
    assert t.child("a")["hold"]["reason"] == "disk"


def test_a_held_one_is_left_alone_and_released(tree: MakeTree) -> None:
    t = tree('[workers.a]\ncommand = "sleep 1000"\nbackoff = "0s"\n')
    t.wait("a")
    pid = t.pids()["a"]
    t.ctl("hold", "a")
    assert t.pids() == {"a": pid}
    t.kill(pid)
    t.wait("a", state="held")
    assert t.child("a")["last_exit"]["signal"] == 9
    t.ctl("release", "a")
    t.wait("a")
    assert t.child("a")["incarnation"] == 2


def test_autostart_off_is_the_tree_files_word(tree: MakeTree) -> None:
    """Not an operator's: neither started for ever by one `ctl start`, nor kept down once the file says otherwise."""
    two = """
        [workers.a]
        command = "sleep 1000"
        autostart = false
        [workers.b]
        command = "sleep 1000"
        """
    t = tree(two)
    t.wait("b")
    assert t.child("a")["state"] == "stopped"
    t.ctl("start", "a")
    assert t.child("a")["state"] == "running"
    assert t.stop() == 0
    t.start()
    t.wait("b")
    assert t.child("a")["state"] == "stopped"
    t.ctl("stop", "b", "--reason", "so that wishes are written")
    assert t.stop() == 0
    t.write(two.replace("autostart = false", ""))
    t.start()
    t.wait("a")
    assert t.child("b")["state"] == "stopped"


def test_start_of_names_only(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.db]
        command = "sleep 1000"
        [workers.app]
        command = "sleep 1000"
        needs = { db = "started" }
        [workers.other]
        command = "sleep 1000"
        """,
        start=False,
    )
    t.start("app")
    t.wait("db", "app")
    assert set(t.pids()) == {"db", "app"}


@pytest.mark.parametrize("asked", ["start", pytest.param("nobody", marks=pytest.mark.slow)])
def test_held_on_an_unset_variable_until_the_file_has_it(tree: MakeTree, asked: str) -> None:
    t = tree(
        """
        [tree]
        env_file = "?.env"
        [workers.a]
        command = ["sh", "-c", "echo got $0; exec sleep 1000", "${STREET}"]
        [workers.b]
        command = "sleep 1000"
        """
    )
    t.wait("b")
    a = t.wait_until("a", state="held")
    assert "STREET" in a["reason"]
    (t.dir / ".env").write_text("STREET=Elm\n")
    if asked == "start":
        assert t.ask("start", names=["a"])["state"] == "done"
    t.wait("a", timeout=30)  # looked at every 10 s where nobody asks; a loaded machine is given more
    eventually(lambda: t.log("a") == "got Elm\n", "its output")


def test_held_on_a_missing_secret_until_it_is_there(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.a]
        command = "sh -c 'echo got $KEY; exec sleep 1000'"
        env = { KEY = { file = "secret" } }
        """
    )
    a = t.wait_until("a", state="held")
    assert "secret" in a["reason"]
    assert a["restarts"] == 0
    (t.dir / "secret").write_text("42\n")
    assert t.ask("start", names=["a"])["state"] == "done"
    t.wait_until("a", state="running", restarts=0)
    eventually(lambda: t.log("a") == "got 42\n", "its output")


def test_a_need_is_waited_for(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.migrate]
        command = "sh -c 'read x < go; exit 0'"
        restart = "temporary"
        [workers.app]
        command = "sleep 1000"
        needs = { migrate = "completed" }
        """,
        start=False,
    )
    os.mkfifo(t.dir / "go")
    t.start()
    t.wait("migrate")
    app = t.wait_until("app", state="waiting")
    assert "migrate" in app["reason"]
    (t.dir / "go").write_text("now\n")
    t.wait("app")
    assert t.child("migrate")["state"] == "completed"
