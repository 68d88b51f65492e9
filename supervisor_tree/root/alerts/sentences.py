"""Lines about alerts, activity and retention in words (a part of `root/sentences.py`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from supervisor_tree.root.words import duration, size

Line = dict[str, Any]


def _duration(seconds: Any) -> str:
    return duration(float(seconds))


def _many(count: Any, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _sent(line: Line) -> str:
    names = [str(name) for name in line.get("names") or ()]
    about = f" about {', '.join(names[:3])}{' …' if len(names) > 3 else ''}" if names else ""
    late = f", after {line['attempts']} attempts and {_duration(line['seconds'])}" if line["attempts"] > 1 else ""
    return f"{_many(line['alerts'], 'alert')}{about} went to {line['target']}{late}"


def _not_sent(line: Line) -> str:
    again = line.get("again")
    then = "" if again is None else f"; it is tried again until it succeeds, next in {_duration(again)}"
    return f"an alert could not be sent to {line['target']}: {line['reason']}{then}"


def _folded(line: Line) -> str:
    files = [f"{path} is not written" for path in line.get("files") or ()]
    beside = f"; {', '.join(files)}" if files else ""
    return f"{line['messages']} alerts that wait for {' and '.join(line['targets'])} became one, a list of them{beside}"


def _no_activity(line: Line) -> str:
    last = line.get("last")
    since = f"since {last}" if last else f"since it was watched first ({line['since']})"
    not_there = [
        f"the machine slept {_duration(line['slept'])} of it" if line.get("slept") else "",
        f"{_duration(line['down'])} of it before the tree ran" if line.get("down") else "",
        *(f"not known from {source}" for source in line.get("unknown") or ()),
    ]
    beside = f" ({'; '.join(filter(None, not_there))})" if any(not_there) else ""
    gap, most = duration(line["hours_since_post"] * 3600), duration(line["threshold_hours"] * 3600)
    return f"{line['name']}: nothing for {gap}, {since}; threshold {most}{beside}"


def _removed(line: Line) -> str:
    left = line.get("in_use")
    beside = f"; {_many(left, 'file')} in use or locked, left alone" if left else ""
    return f"{line['name']}: {_many(line['count'], 'old file')} removed ({size(float(line['bytes']))}){beside}"


SENTENCES: dict[str, Callable[[Line], str]] = {
    "alert_raised": lambda line: f"alert ({line['severity']}): {line['title']}",
    "alert_sent": _sent,
    "alert_not_sent": _not_sent,
    "alerts_folded": _folded,
    "alert_target_unknown": lambda line: (
        f"alerts can't be sent to {line['target']}: Apprise knows no such address; mend alerts.urls, then `ctl reload`"
    ),
    "alert_written": lambda line: f"an alert was written to {line['file']}",
    "alert_resolved": lambda line: f"resolved after {_duration(line['seconds'])}: {line['title']}",
    "no_activity": _no_activity,
    "activity_resumed": lambda line: (
        f"{line['name']}: something again ({line['source']}), after {_duration(line['hours_since_post'] * 3600)}"
    ),
    "source_not_asked": lambda line: f"{line['name']}: {line['source']} could not be asked: {line['reason']}",
    "source_asked_again": lambda line: f"{line['name']}: {line['source']} answers again",
    "files_removed": _removed,
    "files_not_removed": lambda line: (
        f"{line['name']}: {_many(line['count'], 'old file')} could not be removed: {line['reason']}"
    ),
    "last_life_cut_off": lambda line: (
        "the tree's last life was cut off: it was killed, or the machine went down, and nothing was stopped in order"
    ),
    "state_not_kept": lambda line: (
        f"what is known of {line['what']} can't be written to {line['folder']} for the next start: {line['error']}"
    ),
    "state_kept_again": lambda line: f"what is known of {line['what']} is written down again",
    "file_put_aside": lambda line: (
        f"{line['path']} could not be read ({line['reason']}) and was put aside as {line['aside']}: "
        "what it held is unknown"
    ),
}
