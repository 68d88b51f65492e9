"""`ctl why` of a worker that has failed: its own last words, which say more than its exit status."""

from __future__ import annotations

import json

from tests.conftest import MakeTree
from tests.support.tree import Tree
from tests.support.waiting import eventually


def last(t: Tree, name: str) -> list[str]:
    """The lines without their times. That it has ended comes from the keeper; what it wrote, by way of the disk, from
    the logger."""
    return [line.partition(" ")[2] for line in json.loads(t.ctl("why", name, "--json"))["output"]]


def test_the_last_lines_of_a_worker_that_failed(tree: MakeTree) -> None:
    t = tree("""
        [workers.a]
        command = "(seq -f 'line %g' 6; echo no key in the environment) >&2; exit 3"
        shell = true
        backoff = "1h"
        [workers.b]
        command = "echo out; echo err >&2; exit 3"
        shell = true
        backoff = "1h"
    """)
    t.wait("a", "b", state="backoff")
    wanted = ["line 3", "line 4", "line 5", "line 6", "no key in the environment"]
    eventually(lambda: last(t, "a") == wanted, lambda: str(last(t, "a")))
    assert "no key in the environment" in t.ctl("why", "a")
    # The two streams are two pipes: which of them is read first is not ours to say.
    eventually(lambda: sorted(last(t, "b")) == ["err", "out"], lambda: str(last(t, "b")))


def test_nothing_of_a_worker_that_runs(tree: MakeTree) -> None:
    t = tree("""
        [workers.a]
        command = "sh -c 'echo hello; exec sleep 1000'"
    """)
    t.wait("a")
    assert json.loads(t.ctl("why", "a", "--json"))["output"] == []
