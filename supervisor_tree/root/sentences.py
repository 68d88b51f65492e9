"""Journal lines in words, and `why`: the chain that led here and what comes next."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from supervisor_tree.root.alerts.sentences import SENTENCES as _OF_ALERTS
from supervisor_tree.root.jobs.sentences import SENTENCES as _OF_JOBS
from supervisor_tree.root.journaling.sentences import SENTENCES as _OF_THE_JOURNAL
from supervisor_tree.root.limits.sentences import SENTENCES as _OF_LIMITS
from supervisor_tree.root.probes.sentences import SENTENCES as _OF_PROBES
from supervisor_tree.root.recovery.sentences import SENTENCES as _OF_RECOVERY
from supervisor_tree.root.words import duration

if TYPE_CHECKING:
    from supervisor_tree.core.view import NodeView
    from supervisor_tree.root.shell import Shell

Line = dict[str, Any]


def concerns(line: Line, names: set[str]) -> bool:
    """Whether a line is part of the story of a child whose name and supervisors' names are ``names``."""
    if line["event"] in _NO_CAUSE:
        return False
    if line.get("name") in names:
        return True
    if line["event"] in _WHOLE:
        return True
    if line["event"] == "asked_for" and line.get("command") in _WISHING:
        return False  # the change of the wish says the same, with who and why
    listed = [*(line.get("paths") or ()), *(line.get("names") or ())]
    return any(str(each).rpartition("/")[2] in names for each in listed)


_NO_CAUSE = {"activity", "activities_dropped", "alert_raised", "alert_sent", "alert_resolved"}
"""What a worker does while all is well, and who was told when it is not, would push out of `why` what has led to its
state."""
_WISHING = {"start", "stop", "hold", "release"}
_WHOLE = {"tree_started", "shutdown_requested", "root_replaced", "tree_ended", "reload_refused"}


def caused_by(line: Line) -> set[str]:
    """The child whose end is behind what a line tells."""
    return {_bare(line["child"])} if line["event"] in ("round_began", "escalated", "gave_up") else set()


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
    "goodbye": lambda line: f"{line['name']} said goodbye{': ' + str(line['reason']) if line.get('reason') else ''}",
    "hello_refused": lambda line: (
        f"somebody who says that he is {line.get('claimed')} was not believed: {line.get('reason')}"
        + (f" ({line['times']} times by now)" if line.get("times", 1) != 1 else "")
    ),
    "unwell": lambda line: f"{line['name']} says that something is wrong with it: {line.get('detail')}",
    "well_again": lambda line: f"{line['name']} is well again",
    "activity": lambda line: f"{line['name']}: {line.get('activity')}{_counts(line)}{_unsaid(line)}",
    "activities_dropped": lambda line: f"{line['name']}: {_more(line)} counted only, not written down one by one",
    "sockets_bound_anew": lambda line: f"somebody had removed sockets in {line.get('run_dir')}: they are there again",
    "unreachable": lambda line: f"nobody can reach the root: {line.get('error')}",
    "heartbeats_unreachable": lambda line: f"workers can't reach the root: {line.get('error')}",
    "told": lambda line: f"{line['name']} was told to {line.get('command')}{_by(line)}",
    "worker_reloading": lambda line: f"{line['name']} reads its configuration anew",
    "worker_reloaded": lambda line: f"{line['name']} has read its configuration anew",
    "worker_stopping": lambda line: f"{line['name']} said that it is ending by itself",
    "main_process": lambda line: f"{line['name']} said that its main process is pid {line.get('pid')}",
    "notify_ignored": lambda line: f"{line['name']}: what it said by sd_notify was ignored: {line.get('what')}",
    "child_exited": lambda line: f"{line['name']} ended: {_told_before(line.get('exit'))}",
    "stopped": lambda line: (
        f"{line['name']} was stopped: {line['exit']}"
        if line.get("exit")
        else f"{line['name']} is not started: {line.get('reason') or _by(line).lstrip(': ') or 'it is to be down'}"
    ),
    "completed": lambda line: f"{line['name']} has completed: {line.get('exit')}",
    "failed": lambda line: f"{line['name']} has failed: {line.get('exit') or line.get('reason')}",
    "hung": lambda line: (
        f"{line['name']} hung: {_silence(line)}: {line['explanation']}"
        + (f" (all that is known: {line['incident']})" if line.get("incident") else "")
    ),
    "not_ready": lambda line: (
        f"{line['name']} did not become ready within {duration(float(line['limit']))}: {line['explanation']}"
        + (f" (all that is known: {line['incident']})" if line.get("incident") else "")
    ),
    "silence_ended": lambda line: (
        f"{line['name']} was quiet, {_silence(line)}, and spoke again while it was looked at: it is left alone"
    ),
    "incident_written": lambda line: f"what is known about {line['name']} was written to {line['incident']}",
    "incident_not_written": lambda line: f"no incident file about {line['name']} could be written: {line['why']}",
    "kill_requested": lambda line: f"{line['name']} is to be killed: {_told_before(line.get('reason'))}",
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
        f"the logger (pid {line.get('pid')}) was replaced ({line.get('reason')}); no output was lost"
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
    "planned_restart": lambda line: f"{line['name']} is restarted as planned: {line.get('reason')}",
    "watch_began": lambda line: f"files are watched: {line.get('files')} in {line.get('folders')} folders",
    "watch_slowed": lambda line: (
        f"{line['name']}: files change soon after each of its starts ({line.get('file')}): does it write them itself? "
        f"The next restart for them comes when it has been up for {duration(float(line['seconds']))}"
    ),
    "watch_failed": lambda line: (
        f"files can't be watched ({line.get('error')}): {line.get('mend') or 'changes restart nobody'}"
    ),
    "leftover": lambda line: f"{line['name']}: processes are left: {_left(line)}",
    "swept": lambda line: (
        f"{line.get('name') or 'a process'} (pid {line.get('pid')}) of the tree's last life was killed"
    ),
    "logger_dropping": lambda line: (
        f"output of {_output(line)} is being dropped: {line.get('reason') or 'the disk is full or slow'}"
    ),
    "file_not_written": lambda line: f"{line.get('path')} can't be written: {line.get('error')}",
    "wishes_not_written": lambda line: (
        f"what was stopped or is held can't be written down for the next start: {line.get('error')}"
    ),
    "wishes_written": lambda line: "what was stopped or is held is written down again",
    "logger_blocking": lambda line: (
        f"{_output(line)} has to wait with its output: {line.get('reason') or 'the disk is full or slow'}"
    ),
    "logger_stalled": lambda line: f"output is written late: {line.get('reason')}",
    "logger_answers": lambda line: f"output is written again: {line.get('reason')}",
    "upgrade_refused": lambda line: f"the upgrade was refused: {line.get('why')}",
    "logger_cut": lambda line: (
        f"a line of {_output(line)} was longer than a log file may be, and is cut after {line.get('bytes')} bytes"
    ),
    "logger_recovered": lambda line: (
        f"output of {_output(line)} is written again; {line.get('bytes')} bytes were dropped"
    ),
    "zygote_started": lambda line: f"{_zygote(line)} was started",
    "zygote_ready": lambda line: (
        f"{_zygote(line)} is ready after {duration(float(line['seconds']))} (Python {line.get('python')})"
        + (f"; beware: its threads ({', '.join(line['threads'])}) do not exist in workers" if line["threads"] else "")
    ),
    "zygote_slow": lambda line: (
        f"{_zygote(line)} has been busy with {line.get('module') or 'the start of its interpreter'} for "
        f"{duration(float(line['seconds']))}; the Python workers that need it wait"
    ),
    "zygote_failed": lambda line: (
        f"{_zygote(line)} could not become ready: {line.get('why')} (its output: logs/zygote-{line['zygote']}.log)"
    ),
    "zygote_lost": lambda line: f"{_zygote(line)} was lost ({line.get('why')}); another one takes its place",
    "zygote_killed": lambda line: (
        f"{_zygote(line)} was killed: {'stopped by a signal' if line.get('why') == 'stopped' else line.get('why')}"
    ),
    "internal_error": lambda line: f"an error of supervisor-tree itself: {line.get('error')}",
    **_OF_ALERTS,
    **_OF_JOBS,
    **_OF_LIMITS,
    **_OF_PROBES,
    **_OF_RECOVERY,
    **_OF_THE_JOURNAL,
}
_WISHES = {"up": "start wished of", "down": "stop wished of", "hold": "hold wished of"}


def _wish(line: Line) -> str:
    wish = str(line.get("wish"))
    return _WISHES.get(wish, f"wish {wish} for")


def _zygote(line: Line) -> str:
    imports = ", ".join(map(str, line.get("preload") or ()))
    number = f" (pid {line['pid']})" if line.get("pid") else ""
    interpreter = line.get("interpreter")
    of = f" of {interpreter}" if interpreter and interpreter != sys.executable else ""
    return f"the zygote{of}{f' that imports {imports}' if imports else ''}{number}"


def _for(value: Any) -> str:
    return _bares(value) if isinstance(value, list) else _bare(value)


def _told_before(reason: Any) -> str:
    """Of what was looked into no more than the word, and how it ended: what is known is in the line before."""
    text = str(reason)
    word = _LOOKED_INTO.match(text)
    if word is None:
        return text
    how = _HOW.search(text)
    return word[1] + (how[0] if how is not None else "")


_LOOKED_INTO = re.compile(r"(hung|not ready within [^:]+): ")
_HOW = re.compile(r" \((?:killed by|exit status|ended,|never started).*\)$")
"""How it ended, at the end of what the core tells of a crash."""


_SIGNS = {"heartbeat": "no beat for {}", "notify": "no WATCHDOG=1 for {}", "goodbye": "not ended {} after its goodbye"}


def _silence(line: Line) -> str:
    if line["kind"] == "trigger":
        return "as it says itself (WATCHDOG=trigger)"
    silence = _SIGNS[line["kind"]].format(duration(float(line["silent_for"])))
    return f"{silence} (limit {duration(float(line['limit']))})"


def _output(line: Line) -> str:
    return str(line.get("name") or line.get("file"))


def _lost(line: Line) -> str:
    lost = line.get("lost")
    reason = str(lost.get("reason")) if isinstance(lost, dict) else "gone"
    return "asked for by an upgrade" if reason == "upgrade" else f"the one before was {reason}"


def _changed(line: Line) -> str:
    changes = [f"{change['action']} {change['name']}" for change in line.get("changes") or ()]
    return f": {', '.join(changes)}" if changes else ": nothing changed"


def _counts(line: Line) -> str:
    """The first plain figures that came with an activity."""
    fields = line.get("fields")
    if not isinstance(fields, dict):
        return ""
    plain = [f"{key} {value}" for key, value in fields.items() if isinstance(value, str | int | float)]
    return f" ({', '.join(plain[:5])[:100]})" if plain else ""


def _unsaid(line: Line) -> str:
    return f" (before it {_more(line)} counted only)" if line.get("dropped") else ""


def _more(line: Line) -> str:
    return "1 activity was" if line["dropped"] == 1 else f"{line['dropped']} activities were"


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


def link(line: Line) -> dict[str, Any]:
    """A line as a link of the chain that `why` tells."""
    return {"time": line["time"], "seq": line["seq"], "event": line["event"], "text": sentence(line)}


def reason_of(shell: Shell, node: NodeView) -> str | None:
    """Why a child is as it is, or what is wrong with it while it runs."""
    dropping = shell.dropping.get(node.name)
    slow = shell.slow.get(node.name) if node.status == "starting" and node.pid is None else None
    awaited = shell.probes.reason(node.name) if node.status == "starting" and node.pid is not None else None
    if awaited is not None:
        return f"{node.reason}: {awaited}" if node.reason else awaited
    if node.status == "held" and node.wish == "up" and (refusal := shell.probes.refusal(node.name)) is not None:
        return refusal
    return (
        node.reason
        or shell.limits.reason(node.name)
        or (shell.probes.reason(node.name) if node.status == "running" else None)
        or (slow[1] if slow is not None else None)
        or (f"output dropped: {dropping}" if dropping is not None else None)
        or (shell.said.of(node.name).unwell if node.pid is not None else None)
    )


def explain(shell: Shell, path: str, lines: list[Line]) -> dict[str, Any]:
    """The answer of `why`: state, the chain in sentences, what comes next."""
    node = shell.directory.node(path)
    name = shell.bare(path)
    now = shell.loop.time()
    since = duration(max(0.0, now - node.since))
    reason = reason_of(shell, node)
    summary = f"{name} is {node.status} since {since}" + (f": {reason}" if reason else "")
    return {
        "name": name,
        "state": node.status,
        "summary": summary,
        "reason": reason,
        "chain": [link(line) for line in lines],
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
        every = duration(shell.spawning.asked_every(node.path))
        return f"asked again every {every}; starts by itself when that is gone"
    if node.status in ("stopped", "failed"):
        return f"nothing until `supervisor-tree ctl start {name}`"
    if node.status == "completed":
        return "nothing: it has done its work"
    if node.wish == "hold":
        return f"hands off: it is not restarted when it ends, until `supervisor-tree ctl release {name}`"
    return ""
