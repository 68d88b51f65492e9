"""`[activity]` with real workers and databases: strict, repeated, over; no false alarm at a start; it stops nobody."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from datetime import datetime, timedelta
from typing import Any

from tests.conftest import MakeTree
from tests.support.tree import Tree
from tests.support.waiting import eventually

BEAT = "${tree.python} -m supervisor_tree beat --activity"


ALARMS = """SELECT event_type, event_data->>'hours_since_post' as hours_since, event_data->>'threshold_hours' as
threshold, created_at FROM system_events WHERE event_type='ALERT_NO_ACTIVITY' ORDER BY created_at DESC LIMIT 5"""


def in_sql(t: Tree, query: str) -> list[tuple[Any, ...]]:
    """What the SQL view answers; nothing while there is none yet."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{t.state_dir}/events.db?mode=ro", uri=True)) as database:
            return database.execute(query).fetchall()
    except sqlite3.OperationalError:
        return []


def alarms(t: Tree) -> list[dict[str, Any]]:
    return t.events("no_activity", "posts")


def test_nothing_useful_is_told_repeated_and_over_and_nobody_is_stopped(tree: MakeTree) -> None:
    t = tree(
        f"""
        [workers.runner]
        command = "until test -e post; do sleep 0.05; done; {BEAT} POST_SUCCESS; exec sleep 1000"
        shell = true
        [activity.posts]
        any = [{{ of = "runner", activity = "POST_SUCCESS" }}]
        within = "2s"
        repeat = "1s"
        event_type = "ALERT_NO_ACTIVITY"
        [alerts]
        command = "cat >> events.jsonl"
        shell = true
        """
    )
    t.wait("runner")
    pid = t.pids()["runner"]
    eventually(lambda: len(alarms(t)) >= 2, "told, and told again")
    (began,) = t.events("tree_started")
    first, second = alarms(t)[:2]
    assert datetime.fromisoformat(first["time"]) - datetime.fromisoformat(began["time"]) > timedelta(seconds=1.9)
    assert first["event_type"] == "ALERT_NO_ACTIVITY"
    assert first["severity"] == "warning"
    assert first["threshold_hours"] == round(2 / 3600, 7)
    # Strict, and no Infinity. How soon after the threshold it is told is the machine's business.
    assert first["threshold_hours"] < first["hours_since_post"] < 60 / 3600
    assert second["hours_since_post"] > first["hours_since_post"]
    assert first["last"] is None
    assert (first["times"], second["times"]) == (1, 2)
    # The question of those who have asked it until now, word for word.
    rows = eventually(lambda: in_sql(t, ALARMS))
    assert rows[0][0] == "ALERT_NO_ACTIVITY"
    assert float(rows[0][1]) > float(rows[0][2]) == first["threshold_hours"]
    (t.dir / "post").touch()
    resumed = eventually(lambda: t.events("activity_resumed", "posts"))[0]
    assert resumed["source"] == "runner: POST_SUCCESS"
    eventually(lambda: t.events("alert_resolved", "posts"), "the alert is over")
    assert t.pids()["runner"] == pid  # nothing was stopped
    eventually(lambda: len([line for line in t.events("alert_sent") if line["name"] == "posts"]) >= 2)
    told = (t.dir / "events.jsonl").read_text()
    assert "posts: nothing for " in told
    assert "RESOLVED" in told


def test_an_activity_of_another_name_or_another_worker_does_not_count(tree: MakeTree) -> None:
    t = tree(
        f"""
        [workers.runner]
        command = "while :; do {BEAT} HARVEST; sleep 0.2; done"
        shell = true
        [workers.other]
        command = "while :; do {BEAT} POST_SUCCESS; sleep 0.2; done"
        shell = true
        [activity.posts]
        any = {{ of = "runner", activity = "POST_SUCCESS" }}
        within = "2s"
        [activity.either]
        any = [{{ of = "runner", activity = "POST_SUCCESS" }}, {{ of = "other", activity = "POST_SUCCESS" }}]
        within = "6s"
        """
    )
    eventually(lambda: alarms(t))
    eventually(lambda: time.time() - _started(t) > 7.0, "more than the threshold of either goes by")
    assert t.events("no_activity", "either") == []


def test_activities_that_the_journal_only_counts_count_too(tree: MakeTree) -> None:
    """Fifty harmless ones a second take all of its lines; the one that matters is heard all the same."""
    t = tree(
        """
        [workers.runner]
        run = "flood:work"
        [activity.posts]
        any = { of = "runner", activity = "POST_SUCCESS" }
        within = "1s"
        """,
        start=False,
    )
    (t.dir / "flood.py").write_text(
        "import os, threading\n"
        "from supervisor_tree.workers import activity\n"
        "def work():\n"
        "    posted = False\n"
        "    while True:\n"
        "        for _ in range(50):\n"
        "            activity('HARVEST')\n"
        "            threading.Event().wait(0.01)\n"
        "        if not posted and os.path.exists('post'):\n"
        "            posted = True\n"
        "            activity('POST_SUCCESS')\n"
    )
    t.start()
    eventually(lambda: alarms(t), "none of the harmless ones counts")
    eventually(lambda: t.status()["dropped"].get("activities", 0) > 100, "the journal counts only")
    (t.dir / "post").touch()
    (resumed,) = eventually(lambda: t.events("activity_resumed", "posts"), "the one is heard")
    assert resumed["source"] == "runner: POST_SUCCESS"


def _started(t: Tree) -> float:
    return datetime.fromisoformat(t.events("tree_started")[0]["time"]).timestamp()


def test_a_root_that_dies_and_a_tree_that_starts_anew_know_what_was(tree: MakeTree) -> None:
    text = f"""
        [workers.runner]
        command = "{BEAT} POST_SUCCESS; exec sleep 1000"
        shell = true
        [activity.posts]
        any = {{ of = "runner", activity = "POST_SUCCESS" }}
        within = "4s"
        """
    t = tree(text)
    eventually(lambda: t.events("activity", "runner"))
    old = t.root_pid()
    t.kill(old)
    t.wait_new_root(old)
    eventually(lambda: alarms(t), "the new root goes on counting")
    assert len(alarms(t)) == 1
    assert alarms(t)[0]["last"] is not None
    assert t.stop() == 0
    # Told already, and still so: neither a second alarm at the start nor a forgotten one.
    t.write(text.replace(f"{BEAT} POST_SUCCESS", "true"))
    t.start()
    assert len(alarms(t)) == 1
    t.ctl("shutdown")
    t.wait_end()
    kept = (t.state_dir / "activity.json").read_text()
    assert '"told_at":' in kept
    # A file that is broken: the watch begins anew, and says so.
    (t.state_dir / "activity.json").write_text(kept[:40])
    t.start()
    eventually(lambda: t.events("file_put_aside"), "that is said")
    assert len(alarms(t)) == 1


def test_time_for_which_the_tree_was_down_is_no_reason_for_an_alarm_at_the_start(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.runner]
        command = "sleep 1000"
        [activity.posts]
        any = { of = "runner", activity = "POST_SUCCESS" }
        within = "3s"
        """
    )
    assert t.stop() == 0
    ended = time.time()
    eventually(lambda: time.time() - ended > 4.0, "the tree is down for longer than the threshold")
    t.start()
    (alarm,) = eventually(lambda: alarms(t))
    assert alarm["down"] >= 4
    assert alarm["hours_since_post"] * 3600 >= 7  # the threshold was counted from the start on
    assert "before the tree ran" in t.ctl("events", "--type", "no_activity")


def test_a_database_tells_of_the_last_time(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.runner]
        command = "sleep 1000"
        [activity.posts]
        any = { sql = "SELECT max(last_updated) FROM growth_execution", url = "sqlite:///xbot.db" }
        within = "3s"
        """,
        start=False,
    )
    with sqlite3.connect(t.dir / "xbot.db") as database:
        database.execute("CREATE TABLE growth_execution (plan_id, last_updated)")
    database.close()

    def post() -> None:
        with sqlite3.connect(t.dir / "xbot.db") as database:
            database.execute("INSERT INTO growth_execution VALUES (1, strftime('%Y-%m-%d %H:%M:%f', 'now'))")
        database.close()

    before = began = time.time()
    t.start()
    for pause in (1.0, 2.0, 3.0, 4.0, 5.0):
        eventually(lambda: time.time() > began + pause, "the next post is due")  # noqa: B023 - called at once
        before = time.time()
        post()
    after = time.time()
    (alarm,) = eventually(lambda: alarms(t))
    # Told once, of the last one: none of the posts before was missed. (SQLite and the journal have milliseconds.)
    assert before - 0.002 <= datetime.fromisoformat(alarm["last"]).timestamp() <= after + 0.002
    assert alarm["hours_since_post"] > alarm["threshold_hours"]
    post()
    resumed = eventually(lambda: t.events("activity_resumed"))[0]
    assert resumed["source"] == "sql of sqlite:///xbot.db"


def test_a_database_that_does_not_answer_is_said_once_and_hides_no_alarm(tree: MakeTree) -> None:
    t = tree(
        """
        [workers.runner]
        command = "sleep 1000"
        [activity.posts]
        any = [
          { sql = "SELECT max(last_updated) FROM growth_execution", url = "sqlite:///xbot.db" },
          { of = "runner", activity = "POST_SUCCESS" },
        ]
        within = "2s"
        repeat = "1s"
        """
    )
    eventually(lambda: len(alarms(t)) >= 2, "it is told without", 25)
    (said,) = t.events("source_not_asked")
    assert "unable to open" in said["reason"]
    assert alarms(t)[0]["unknown"] == [f"sql of sqlite:///xbot.db ({said['reason']})"]
    database = sqlite3.connect(t.dir / "xbot.db")
    database.executescript("CREATE TABLE growth_execution (last_updated); INSERT INTO growth_execution VALUES (1e9)")
    database.close()
    (again,) = eventually(lambda: t.events("source_asked_again"), "it answers again", 30)
    eventually(lambda: alarms(t)[-1]["seq"] > again["seq"], "told again: what it knows is long ago", 30)
    assert t.events("activity_resumed") == []
