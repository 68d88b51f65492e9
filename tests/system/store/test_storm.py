"""All at once: workers that crash, roots that are killed, a database that is locked again and again."""

from __future__ import annotations

import random
import threading

from tests.conftest import MakeTree
from tests.support.waiting import eventually
from tests.system.store.conftest import Database


def test_nothing_is_lost_or_doubled(tree: MakeTree, database: Database) -> None:
    t = tree(
        f"""
        [workers.w]
        instances = 4
        command = "sleep 0.1"
        backoff = "0s"
        [store]
        url = "{database.url}"
        """
    )
    eventually(database.ours, "the view is there")
    moments = random.Random(4)
    pause = threading.Event()
    for _ in range(2):
        with database.locked():
            pause.wait(moments.uniform(0.1, 0.5))
            root = t.root_pid()
            t.kill(root)
            t.wait_new_root(root)
        pause.wait(moments.uniform(0.1, 1.5))
        root = t.root_pid()
        t.kill(root)
        t.wait_new_root(root)
    assert t.stop() == 0
    numbers = [line["seq"] for line in t.journal()]
    assert numbers == list(range(1, len(numbers) + 1))
    # What the end of the tree had no time for, its next life does.
    t.start()
    last = t.events("tree_started")[-1]["seq"]
    eventually(lambda: last in database.ours(), "it has caught up", 20)
    assert t.stop() == 0
    assert database.ours() == [line["seq"] for line in t.journal()]
    assert not t.journal("internal_error")
