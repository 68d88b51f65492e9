"""Lines about alerts, activity and retention in words: each kind has its sentence, with lines as they are journaled."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor_tree.root.alerts.sentences import SENTENCES
from supervisor_tree.root.sentences import sentence

LINES: dict[str, tuple[dict[str, Any], str]] = {
    "alert_raised": (
        {"alert": "failed:web", "kind": "failed", "severity": "error", "title": "web has failed"},
        "alert (error): web has failed",
    ),
    "alert_sent": (
        {"alert": "1", "target": "mailto:// (url 1)", "names": ["web"], "alerts": 1, "attempts": 3, "seconds": 65.0},
        "1 alert about web went to mailto:// (url 1), after 3 attempts and 1m 05s",
    ),
    "alert_not_sent": (
        {
            "alert": "1",
            "target": "alerts.command",
            "reason": "exit status 1",
            "attempts": 1,
            "waiting": 1,
            "again": 2.0,
        },
        "an alert could not be sent to alerts.command: exit status 1; it is tried again until it succeeds, next in 2 s",
    ),
    "alerts_folded": (
        {"alert": "1", "messages": 4, "targets": ["mailto:// (url 1)", "alerts.command"], "files": ["/x.txt"]},
        "4 alerts that wait for mailto:// (url 1) and alerts.command became one, a list of them; /x.txt is not written",
    ),
    "alert_target_unknown": (
        {"target": "nosuch:// (url 1)"},
        "alerts can't be sent to nosuch:// (url 1): Apprise knows no such address; mend alerts.urls, then `ctl reload`",
    ),
    "alert_written": ({"alert": "1", "file": "/x.txt"}, "an alert was written to /x.txt"),
    "alert_resolved": (
        {"alert": "failed:web", "kind": "failed", "title": "web has failed", "seconds": 90.0},
        "resolved after 1m 30s: web has failed",
    ),
    "no_activity": (
        {
            "name": "posts",
            "hours_since_post": 10.5,
            "threshold_hours": 6.0,
            "last": "2026-11-22T00:00:00.000Z",
            "since": "2026-11-01T00:00:00.000Z",
            "slept": 7200,
            "down": 600,
            "unknown": ["sql of x (it is down)"],
        },
        (
            "posts: nothing for 10h 30m, since 2026-11-22T00:00:00.000Z; threshold 6h 00m (the machine slept 2h 00m of "
            "it; 10m 00s of it before the tree ran; not known from sql of x (it is down))"
        ),
    ),
    "activity_resumed": (
        {"name": "posts", "source": "runner: POST_SUCCESS", "hours_since_post": 8.0},
        "posts: something again (runner: POST_SUCCESS), after 8h 00m",
    ),
    "source_not_asked": (
        {"name": "posts", "source": "sql of x", "reason": "it is down"},
        "posts: sql of x could not be asked: it is down",
    ),
    "source_asked_again": ({"name": "posts", "source": "sql of x"}, "posts: sql of x answers again"),
    "files_removed": (
        {"name": "models", "count": 3, "bytes": 3000, "files": [], "in_use": 1},
        "models: 3 old files removed (3 kB); 1 file in use or locked, left alone",
    ),
    "files_not_removed": (
        {"name": "models", "count": 1, "reason": "/x: Permission denied"},
        "models: 1 old file could not be removed: /x: Permission denied",
    ),
    "last_life_cut_off": (
        {},
        "the tree's last life was cut off: it was killed, or the machine went down, and nothing was stopped in order",
    ),
    "state_not_kept": (
        {"what": "alerts", "folder": "/s", "error": "No space left on device"},
        "what is known of alerts can't be written to /s for the next start: No space left on device",
    ),
    "state_kept_again": ({"what": "alerts"}, "what is known of alerts is written down again"),
    "file_put_aside": (
        {"path": "/a", "aside": "/a.corrupt-1", "reason": "no JSON"},
        "/a could not be read (no JSON) and was put aside as /a.corrupt-1: what it held is unknown",
    ),
}


@pytest.mark.parametrize("kind", SENTENCES)
def test_each_kind_in_words(kind: str) -> None:
    fields, words = LINES[kind]
    assert sentence({"time": "", "seq": 1, "event": kind, "name": None, **fields}) == words
