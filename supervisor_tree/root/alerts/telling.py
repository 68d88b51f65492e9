"""The text of an alert, for somebody who is woken by it: what, since when, what was tried, its last lines, and the
commands that tell more.

What the root knows is taken on the loop; what needs the disk (output, journal) is read when the text is made, in a
thread: an alert without its last lines is worth more than none, so what can't be read is said and left out.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from supervisor_tree.core.severity import LEVELS
from supervisor_tree.root import files, sentences, words
from supervisor_tree.root.alerts.notices import MOST, Item, clip
from supervisor_tree.root.clocks import rfc3339
from supervisor_tree.root.last_output import last_lines

if TYPE_CHECKING:
    from supervisor_tree.root.shell import Shell

_IN_FULL = 5
"""Children of which a message tells everything; of the others it tells one line each."""
_OUTPUT = 15
"""Last lines of output …"""
_LONGEST = 300
"""… and characters of each."""
_EVENTS = 10
"""What was tried: so many journal lines, …"""
_LOOK_BACK = 20_000
"""… looked for among so many."""
_LISTED = 400
"""Lines of a list of all."""


class Known:
    """What the loop knows of one child when a text is begun."""

    def __init__(self, shell: Shell, name: str) -> None:
        self.name = name
        self.state = ""
        self.above = {name}
        self.log: dict[str, str | None] | None = None
        path = shell.directory.find(name)
        if path is not None:
            node = shell.directory.node(path)
            self.above = set(path.split("/")[1:])
            now = shell.loop.time()
            self.state = f"{node.status} for {words.duration(max(0.0, now - node.since))}"
            self.state += f", {node.restarts} restarts" if node.restarts else ""
            if node.next_attempt is not None:
                self.state += f", next attempt in {words.duration(max(0.0, node.next_attempt - now))}"
            if node.type == "worker":
                self.log = shell.spawning.log_file(name)
        self.events: list[str] = []
        self.output: list[str] = []


Texts = tuple[str, list[str]]
"""Of the whole, and of each item."""


def begin(shell: Shell, items: Sequence[Item], now: float) -> tuple[Callable[[], Texts], Callable[[], Texts]]:
    """What makes the texts of these: with what has to be read (in a thread), and at once, without."""
    names = list(dict.fromkeys(item.name for item in _sorted(items) if item.name and not item.over))
    known = {name: Known(shell, name) for name in names[:_IN_FULL]}
    pending = shell.unwritten()
    folder = files.journal_folder(shell.plan.state_dir)
    where = f"-c {shlex.quote(shell.plan.file)}" if shell.plan.program is None else f"-t {shlex.quote(shell.plan.name)}"
    place = f"tree {shell.plan.name} on {host()}, {rfc3339(now)}"
    jobs = {*shell.plan.jobs, *shell.jobs.leaving()}

    def one(several: Sequence[Item]) -> str:
        return _about(several, known.get(several[0].name or ""), where, now, several[0].name in jobs)

    def make() -> Texts:
        _read(known, folder, pending)
        return laid_out()

    def laid_out() -> Texts:
        whole = clip(_whole(items, one, place))
        return whole, [clip(f"{place}\n\n{one([item])}", MOST // 4) for item in items]

    return make, laid_out


def host() -> str:
    import socket

    return socket.gethostname()


def _sorted(items: Sequence[Item]) -> list[Item]:
    return sorted(items, key=lambda item: (item.over, -LEVELS.index(item.severity)))


def _whole(items: Sequence[Item], one: Callable[[Sequence[Item]], str], place: str) -> str:
    """First a list of all where there are several, then everything about each of the worst."""
    ordered = _sorted(items)
    parts = [place]
    if len(items) > 1:
        rows = [_headline(item) for item in ordered]
        more = [f"… and {len(rows) - _LISTED} more"] if len(rows) > _LISTED else []
        parts.append("\n".join([*rows[:_LISTED], *more]))
    by_name: dict[str | None, list[Item]] = {}
    for item in ordered:
        if not item.over or len(items) == 1:
            by_name.setdefault(item.name, []).append(item)
    parts += [one(several) for several in list(by_name.values())[:_IN_FULL]]
    return "\n\n".join(parts) + "\n"


def _headline(item: Item) -> str:
    if item.over:
        return f"RESOLVED {item.title} (it lasted {words.duration(item.seconds or 0.0)})"
    return f"{item.severity.upper():<8} {item.title}"


def _about(items: Sequence[Item], known: Known | None, where: str, now: float, is_job: bool) -> str:
    """Everything about one child: of one that has several things wrong with it, its story is told once."""
    rows: list[str] = []
    for item in items:
        rows += [_headline(item), "", *_facts(item, now), ""]
    if known is not None and known.state:
        rows[-1:] = [f"now      {known.state}", ""]
    if not all(item.over for item in items):
        tail = next((lines for item in items if (lines := _lines(item.context.get("tail")))), [])
        rows += _section("what was tried", known.events if known is not None else [])
        rows += _section("last lines of its output", tail or (known.output if known is not None else []))
    return "\n".join([*rows, *_section("look further", _commands(items[0], where, is_job))]).rstrip()


def _facts(item: Item, now: float) -> list[str]:
    if item.over:
        return [f"since    {rfc3339(item.since)}; over since {rfc3339(now)}"]
    ago = words.duration(max(0.0, now - item.since))
    times = f", {item.count} times" if item.count > 1 else ""
    context = {key: value for key, value in item.context.items() if key != "tail" and value is not None}
    return [
        f"since    {rfc3339(item.since)} ({ago} ago){times}",
        *(f"{key:<8} {_short(value)}" for key, value in context.items()),
    ]


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [f"{title}:", *(f"  {line[:_LONGEST]}" for line in lines), ""] if lines else []


def _commands(item: Item, where: str, is_job: bool) -> list[str]:
    if item.name is None:
        return [f"supervisor-tree ctl events --since 1h {where}", f"supervisor-tree ctl status {where}"]
    if is_job:
        return [f"supervisor-tree ctl runs {item.name} {where}", f"supervisor-tree ctl why {item.name} {where}"]
    if item.kind in ("no_activity", "source_not_asked"):
        return [f"supervisor-tree ctl events --type activity {where}", f"supervisor-tree ctl status {where}"]
    return [f"supervisor-tree ctl why {item.name} {where}", f"supervisor-tree logs -n 100 {item.name} {where}"]


def _short(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        value = ", ".join(value)
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _read(known: dict[str, Known], folder: Path, pending: list[tuple[int, bytes]]) -> None:
    """What happened to them, newest last, and their output: of a job's last run, what its line in the journal has."""
    from supervisor_tree.root.verbs.history import backwards

    if not known:
        return
    try:
        for count, line in enumerate(backwards(folder, pending)):
            if count >= _LOOK_BACK or all(len(each.events) >= _EVENTS for each in known.values()):
                break
            for each in known.values():
                if len(each.events) < _EVENTS and sentences.concerns(line, each.above):
                    each.events.insert(0, f"{line['time'][11:]}  {sentences.sentence(line)}")
                if line["event"] == "run_ended" and line["name"] == each.name and not each.output:
                    each.output = _lines(line.get("output_tail"))
            if line["event"] == "tree_started":
                break
    except OSError as error:
        for each in known.values():
            each.events.append(f"the journal can't be read: {error.strerror}")
    for each in known.values():
        if not each.output:
            try:
                each.output = last_lines(each.name, each.log, _OUTPUT)
            except OSError as error:
                each.output = [f"it can't be read: {error.strerror}"]


def _lines(text: Any) -> list[str]:
    lines = text if isinstance(text, list | tuple) else str(text or "").splitlines()
    return [str(line) for line in lines][-_OUTPUT:]
