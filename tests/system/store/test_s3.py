"""The document of S3: its queries, word for word, give the right answers of a real tree on both databases."""

from __future__ import annotations

import http.server
import json
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import MakeTree
from tests.support.ports import free_port
from tests.support.waiting import eventually
from tests.system.store.conftest import Database

HEARTBEATS = """
SELECT event_type, event_data->>'status' as status, created_at FROM system_events
WHERE event_type='RUNNER_DAEMON_HEARTBEAT' ORDER BY created_at DESC LIMIT 10
"""
JOB = """
SELECT job_name, last_run_status, last_success, last_failure, consecutive_failures, updated_at
FROM job_heartbeats WHERE job_name='runner_daemon'
"""
ALERTS = """
SELECT event_data->>'hours_since_post', event_data->>'threshold_hours', created_at FROM system_events
WHERE event_type='ALERT_NO_ACTIVITY' ORDER BY created_at DESC LIMIT 5
"""
POSTS = "SELECT * FROM system_events WHERE event_type='POST_SUCCESS' ORDER BY created_at DESC LIMIT 5"


class Chrome(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        text = json.dumps({"webSocketDebuggerUrl": "ws://x"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def chrome(port: int) -> Iterator[Any]:
    """Called: CDP is there from then on."""
    servers: list[http.server.ThreadingHTTPServer] = []

    def begin() -> None:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Chrome)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()

    yield begin
    for server in servers:
        server.shutdown()
        server.server_close()


def statuses(database: Database) -> list[str]:
    """Newest first."""
    return [status for _, status, _ in database.execute(HEARTBEATS)] if database.has("system_events") else []


def test_the_runner(tree: MakeTree, database: Database, port: int, chrome: Any) -> None:
    """CDP down, then a failing pipeline, then all is well."""
    url = f"http://127.0.0.1:{port}/json/version"
    t = tree(
        f"""
        [jobs.schedule-once]
        every = "0.4s"
        command = "test -e healthy"
        backoff = "0s"
        require = {{ http = "{url}", key = "webSocketDebuggerUrl", every = "0.2s", status = "CDP_DOWN" }}
        record = {{ event_type = "RUNNER_DAEMON_HEARTBEAT", job_name = "runner_daemon" }}
        [store]
        url = "{database.url}"
        """
    )
    eventually(lambda: statuses(database)[:1] == ["CDP_DOWN"], "it is down")
    eventually(lambda: database.execute(JOB) and database.execute(JOB)[0][4] >= 1, "a run was skipped for it")
    ((name, status, success, failure, failures, updated),) = database.execute(JOB)
    assert (name, status, success) == ("runner_daemon", "CDP_DOWN", None)
    assert failure is not None
    assert updated >= failure
    chrome()
    eventually(lambda: statuses(database)[:1] == ["ERROR"], "the pipeline fails", 20)
    eventually(lambda: database.execute(JOB)[0][4] > failures, "that is counted")
    ((_, status, success, _, more, _),) = database.execute(JOB)
    assert (status, success) == ("ERROR", None)
    assert more > failures
    (t.dir / "healthy").write_text("")
    eventually(lambda: statuses(database)[:1] == ["OK"], "all is well", 20)
    ((_, status, success, failure, failures, updated),) = database.execute(JOB)
    assert (status, failures) == ("OK", 0)
    assert success is not None
    assert failure is not None  # never lost
    assert updated >= success > failure
    every = database.execute(HEARTBEATS.replace("LIMIT 10", "").replace("DESC", ""))
    in_turn = [status for _, status, _ in every]
    assert list(dict.fromkeys(in_turn)) == ["CDP_DOWN", "ERROR", "OK"]
    ((details, timestamp),) = database.execute(
        "SELECT event_data->>'details', event_data->>'timestamp' FROM system_events "
        "WHERE event_data->>'status' = 'ERROR' ORDER BY id LIMIT 1"
    )
    assert "exit status 1" in details
    assert timestamp
    kinds = {kind for (kind,) in database.execute("SELECT DISTINCT event_type FROM system_events")}
    assert "run_ended" not in kinds  # they are called as the job says
    assert t.stop() == 0


def test_what_is_posted(tree: MakeTree, database: Database) -> None:
    """A pipeline that says so itself: no database in it, and the document's query finds it."""
    t = tree(
        f"""
        [jobs.schedule-once]
        command = "{sys.executable} -m supervisor_tree beat --activity POST_SUCCESS"
        [store]
        url = "{database.url}"
        """
    )
    t.ctl("run", "schedule-once", "--wait")
    eventually(lambda: database.has("system_events") and len(database.execute(POSTS)) == 1, "it is there")
    ((name,),) = database.execute("SELECT event_data->>'name' FROM system_events WHERE event_type='POST_SUCCESS'")
    assert name == "schedule-once"
    assert t.stop() == 0


def test_nothing_posted_for_too_long(tree: MakeTree, database: Database) -> None:
    """The user's own script says POST_SUCCESS in the same table; when it says nothing for too long, an alert does."""
    text = f"""
        [workers.a]
        command = "sleep 1000"
        [store]
        url = "{database.url}"
        """
    t = tree(text)
    eventually(database.ours, "the tables are there")
    database.execute("INSERT INTO system_events (event_type, event_data) VALUES ('POST_SUCCESS', '{\"id\": 7}')")
    t.write(
        text
        + """
        [activity.posts]
        any = { sql = "SELECT max(created_at) FROM system_events WHERE event_type = 'POST_SUCCESS'" }
        within = "5s"
        repeat = "1h"
        event_type = "ALERT_NO_ACTIVITY"
        """
    )
    t.ctl("reload")
    (alert,) = eventually(lambda: database.execute(ALERTS), "an alert", 20)
    hours, threshold, _ = alert
    assert float(threshold) == pytest.approx(5 / 3600, rel=0.01)
    assert float(threshold) < float(hours) < 1
    assert len(database.execute(POSTS)) == 1
    database.execute("INSERT INTO system_events (event_type, event_data) VALUES ('POST_SUCCESS', '{\"id\": 8}')")
    eventually(lambda: t.events("activity_resumed"), "that is seen, too", 20)
    assert len(database.execute(ALERTS)) == 1
    assert t.child("a")["restarts"] == 0
    assert t.stop() == 0
