"""Journal lines in words, and `why`: the chain that led here and what comes next."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from supervisor_tree.root.shell import Shell

Line = dict[str, Any]


def concerns(line: Line, names: set[str]) -> bool:
    """Whether a line is part of the story of a child whose name and supervisors' names are ``names``."""
    if line.get("name") in names:
        return True
    if line["event"] in _WHOLE:
        return True
    if line["event"] == "asked_for" and line.get("command") in _WISHING:
        return False  # the change of the wish says the same, with who and why
    listed = [*(line.get("paths") or ()), *(line.get("names") or ())]
    return any(str(each).rpartition("/")[2] in names for each in listed)


_WISHING = {"start", "stop", "hold", "release"}
_WHOLE = {"tree_started", "shutdown_requested", "root_replaced", "tree_ended", "reload_refused"}


def caused_by(line: Line) -> set[str]:
    """The child whose end is behind what a line tells."""
    return {_bare(line["child"])} if line["event"] in ("round_began", "escalated", "gave_up") else set()


def duration(seconds: float) -> str:
    """`350 ms`, `4.2 s`, `3m 20s`, `2h 05m`, `3d 4h`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    whole = int(seconds)
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h {whole // 60 % 60:02}m"
    return f"{whole // 86400}d {whole // 3600 % 24}h"


def _bare(value: Any) -> str:
    return str(value).rpartition("/")[2]


def _bares(value: Any) -> str:
    return ", ".join(_bare(each) for each in value or ())


def _by(line: Line) -> str:
    by = line.get("by")
    if isinstance(by, dict):
        who, why = by.get("who"), by.get("why")
    else:
        who, why = by, line.get("why")
    return (f" by {who}" if who else "") + (f": {why}" if why else "")


_SENTENCES: dict[str, Callable[[Line], str]] = {
    "tree_started": lambda line: f"the tree was started (keeper {line.get('keeper')}, root {line.get('root')})",
    "root_replaced": lambda line: f"a new root took over ({_lost(line)}); no worker was touched",
    "shutdown_requested": lambda line: f"the tree was asked to shut down ({line.get('why')})",
    "tree_ended": lambda line: f"the tree ended: {line.get('why')}",
    "child_started": lambda line: (
        f"{line['name']} was started (pid {line.get('pid')}, incarnation {line.get('incarnation')})"
    ),
    "ready": lambda line: f"{line['name']} became ready",
    "child_exited": lambda line: f"{line['name']} ended: {line.get('exit')}",
    "stopped": lambda line: (
        f"{line['name']} was stopped: {line['exit']}"
        if line.get("exit")
        else f"{line['name']} is not started: {line.get('reason') or _by(line).lstrip(': ') or 'it is to be down'}"
    ),
    "completed": lambda line: f"{line['name']} has completed: {line.get('exit')}",
    "failed": lambda line: f"{line['name']} has failed: {line.get('exit') or line.get('reason')}",
    "kill_requested": lambda line: f"{line['name']} is to be killed: {line.get('reason')}",
    "left_alone": lambda line: f"{line['name']} is left alone (hold) although: {line.get('reason')}",
    "start_failed": lambda line: f"{line['name']} could not be started: {line.get('reason')}",
    "restart_scheduled": lambda line: (
        f"restart of {line['name']} in {duration(float(line.get('delay') or 0))} (attempt {line.get('attempt')})"
    ),
    "round_began": lambda line: (
        f"{line.get('strategy')}: {_bares(line.get('paths'))} restarted together because of {_bare(line.get('child'))}"
    ),
    "gave_up": lambda line: (
        f"{line['name']} gave up: more than {line.get('intensity')} restarts in "
        f"{duration(float(line.get('period') or 0))}, the last because of {_bare(line.get('child'))}"
    ),
    "root_lost": lambda line: f"the root (pid {line.get('pid')}) was lost: {line.get('reason')}",
    "logger_restarted": lambda line: (
        f"the logger was replaced ({line.get('reason')}); its new pid is {line.get('pid')}; no output was lost"
    ),
    "supervisor_begun": lambda line: f"{line['name']} began to start its children",
    "supervisor_started": lambda line: f"{line['name']} was started",
    "supervisor_ended": lambda line: f"{line['name']} ended: {line.get('why') or line.get('reason')}",
    "auto_shutdown": lambda line: f"{line['name']} shuts down because its significant {_bare(line.get('child'))} ended",
    "escalated": lambda line: f"the failure of {_bare(line.get('child'))} went up to {line['name']}",
    "held": lambda line: f"{line['name']} is held{': ' + str(line['reason']) if line.get('reason') else _by(line)}",
    "waiting": lambda line: f"{line['name']} waits for {_for(line.get('for'))}",
    "wish_changed": lambda line: f"{_wish(line)} {line['name']}{_by(line)}",
    "asked_for": lambda line: (
        f"{line.get('command')} of {_bares(line.get('names')) or 'the tree'} was asked for{_by(line)}"
    ),
    "asked": lambda line: f"signal {line.get('signal')} came",
    "reloaded": lambda line: "the tree file was read anew" + _changed(line),
    "reload_refused": lambda line: f"a reload was refused: {str(line.get('error')).splitlines()[0]}",
    "signalled": lambda line: f"{line['name']} was sent {line.get('signal')}{_by(line)}",
    "leftover": lambda line: f"{line['name']}: processes are left: {_left(line)}",
    "swept": lambda line: (
        f"{line.get('name') or 'a process'} (pid {line.get('pid')}) of the tree's last life was killed"
    ),
    "logger_dropping": lambda line: (
        f"output of {_output(line)} is being dropped: {line.get('reason') or 'the disk is full or slow'}"
    ),
    "logger_recovered": lambda line: (
        f"output of {_output(line)} is written again; {line.get('bytes')} bytes were dropped"
    ),
    "internal_error": lambda line: f"an error of supervisor-tree itself: {line.get('error')}",
}
_WISHES = {"up": "start wished of", "down": "stop wished of", "hold": "hold wished of"}


def _wish(line: Line) -> str:
    wish = str(line.get("wish"))
    return _WISHES.get(wish, f"wish {wish} for")


def _for(value: Any) -> str:
    return _bares(value) if isinstance(value, list) else _bare(value)


def _output(line: Line) -> str:
    return str(line.get("name") or line.get("file"))


def _lost(line: Line) -> str:
    lost = line.get("lost")
    reason = str(lost.get("reason")) if isinstance(lost, dict) else "gone"
    return "asked for by an upgrade" if reason == "upgrade" else f"the one before was {reason}"


def _changed(line: Line) -> str:
    changes = [f"{change['action']} {change['name']}" for change in line.get("changes") or ()]
    return f": {', '.join(changes)}" if changes else ": nothing changed"


def _left(line: Line) -> str:
    return ", ".join(f"{each.get('command') or '?'} (pid {each.get('pid')})" for each in line.get("pids") or ())


def sentence(line: Line) -> str:
    """One journal line in words. An unknown kind is told as it stands: nothing is hidden."""
    known = _SENTENCES.get(line["event"])
    if known is not None:
        try:
            return known(line)
        except (KeyError, TypeError, ValueError):
            pass
    rest = {key: value for key, value in line.items() if key not in ("time", "seq", "event", "name")}
    told = ", ".join(f"{key} {value}" for key, value in rest.items() if value is not None)
    words = str(line["event"]).replace("_", " ")
    return f"{line.get('name') or 'tree'}: {words}" + (f" ({told})" if told else "")


def explain(shell: Shell, path: str, lines: list[Line]) -> dict[str, Any]:
    """The answer of `why`: state, the chain in sentences, what comes next."""
    node = shell.directory.node(path)
    name = shell.bare(path)
    now = shell.loop.time()
    since = duration(max(0.0, now - node.since))
    summary = f"{name} is {node.status} since {since}" + (f": {node.reason}" if node.reason else "")
    return {
        "name": name,
        "state": node.status,
        "summary": summary,
        "reason": node.reason,
        "chain": [
            {"time": line["time"], "seq": line["seq"], "event": line["event"], "text": sentence(line)} for line in lines
        ],
        "next": _next(shell, node, name, now),
    }


def _next(shell: Shell, node: Any, name: str, now: float) -> str:
    if node.next_attempt is not None:
        return f"next attempt in {duration(max(0.0, node.next_attempt - now))}"
    if node.status == "waiting":
        return (
            f"starts when {_bare(node.waiting_for)} is there" if node.waiting_for else "starts when its needs are met"
        )
    if node.status == "held":
        if node.wish == "hold":
            return f"nothing until `supervisor-tree ctl release {name}`"
        return "asked again every 10 s; starts by itself when that is gone"
    if node.status in ("stopped", "failed"):
        return f"nothing until `supervisor-tree ctl start {name}`"
    if node.status == "completed":
        return "nothing: it has done its work"
    if node.wish == "hold":
        return f"hands off: it is not restarted when it ends, until `supervisor-tree ctl release {name}`"
    return ""
