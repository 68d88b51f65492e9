"""`ctl why` of a worker that has failed: its own last words, which say more than its exit status."""

from __future__ import annotations

import json

from tests.conftest import MakeTree


def test_the_last_lines_of_a_worker_that_failed(tree: MakeTree) -> None:
    t = tree("""
        [workers.a]
        command = "seq -f 'line %g' 6; echo no key in the environment >&2; exit 3"
        shell = true
        backoff = "1h"
    """)
    t.wait("a", state="backoff")
    told = t.ctl("why", "a")
    assert "no key in the environment" in told
    story = json.loads(t.ctl("why", "a", "--json"))
    lines = [line.partition(" ")[2] for line in story["output"]]
    assert len(lines) == 5
    # The two streams are two pipes: which of them is read first is not ours to say.
    lines.remove("no key in the environment")
    assert lines == ["line 3", "line 4", "line 5", "line 6"]


def test_nothing_of_a_worker_that_runs(tree: MakeTree) -> None:
    t = tree("""
        [workers.a]
        command = "sh -c 'echo hello; exec sleep 1000'"
    """)
    t.wait("a")
    assert json.loads(t.ctl("why", "a", "--json"))["output"] == []
