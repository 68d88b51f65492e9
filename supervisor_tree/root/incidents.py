"""Incident files: what was known when a worker hung, or was given up.

`STATE_DIR/incidents/20261122T120501Z-NAME-hung.txt`: for people, written once and never read by us. A disk that is full
or stalled costs the file and nothing else: nobody waits for it longer than `_WITHIN`, and the journal says that there
is none.

Of each name the newest `_OF_A_NAME` are kept, of all together the newest `_OF_ALL`: a worker that hangs every minute
must not push out the one report about another.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from supervisor_tree.core import effects as fx
from supervisor_tree.root import files, sentences
from supervisor_tree.root import words as wording
from supervisor_tree.root.aside import Aside, TooLate
from supervisor_tree.root.clocks import rfc3339
from supervisor_tree.root.last_output import last_lines
from supervisor_tree.system import disk

if TYPE_CHECKING:
    from supervisor_tree.root.shell import Shell

_OF_A_NAME = 10
_OF_ALL = 200
_LONGEST = 512 * 1024
"""Bytes of a file."""
_WITHIN = 2.0
"""Seconds that a report may take until nobody waits for it any more."""
_AT_ONCE = 8
"""Reports that may be under way, stuck ones on a stalled disk included."""
_SETTLE = 0.3
"""Seconds after an end within which the last output is in the log file."""
_LINES = 50
"""Lines of output in a report."""
_EVENTS = 25
"""Journal lines in a report; and how many are looked through for them."""
_LOOK_BACK = 20_000
_FILE = re.compile(r"\d{8}T\d{6}Z-(.+)-[a-z_]+(?:\.\d+)?\.txt")


class Section(NamedTuple):
    title: str
    text: str


class Incidents:
    """The incident files of one tree."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._aside = Aside(shell.loop, _AT_ONCE)
        self._settling: dict[int, tuple[asyncio.TimerHandle, Callable[[], None]]] = {}
        """Reports to be written when the last output is on the disk, by their number."""
        self._number = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def write(self, name: str, kind: str, headline: str, sections: Sequence[Section] = ()) -> str | None:
        """Write what is known of ``name``: the headline, what the caller knows, and what the tree knows of it.

        Returns:
            The file's path; None when it could not be written (in time).
        """
        shell = self._shell
        rest = _about(shell, name)
        folder = Path(shell.plan.state_dir) / "incidents"
        text = f"{shell.plan.name}: {headline}\n{rfc3339(time.time())}\n"

        def work() -> str:
            whole = [Section("", text), *sections, *(Section(title, make()) for title, make in rest)]
            return store(folder, name, kind, laid_out(whole))

        try:
            return await self._aside.do(work, _WITHIN)
        except TooLate:
            why = "the disk takes too long, or there are too many at once"
        except OSError as error:
            why = error.strerror or str(error)
        shell.note("incident_not_written", name, why=why)
        return None

    def on_note(self, note: fx.Note) -> None:
        """A decision of the core's: give-ups are reported, once the last output is on the disk."""
        tree = self._shell.tree
        if note.kind == "gave_up":
            path = note.fields["child"]
            while (node := tree.nodes.get(path)) is not None and node.cause is not None:
                path = node.cause  # a supervisor that had given up itself: whom it is really about
            kind = "gave_up"
        elif note.kind == "failed" and "exit" in note.fields and not tree.nodes[note.path].is_supervisor:
            # Of those that a give-up takes down no exit is told: the report is that one's.
            path, kind = note.path, "failed"
        else:
            return
        name = self._shell.bare(path)
        line = {"event": note.kind, "name": self._shell.bare(note.path), **note.fields}
        headline = sentences.sentence(line)
        self._number += 1
        number = self._number

        def begin() -> None:
            self._settling.pop(number)
            task = self._shell.background.begin(f"report about {name}", self._given_up(name, kind, headline))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        self._settling[number] = self._shell.loop.call_later(_SETTLE, begin), begin

    async def finish(self) -> None:
        """The tree ends: the report about what ended it is written at once."""
        for timer, begin in list(self._settling.values()):
            timer.cancel()
            begin()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_WITHIN)

    async def _given_up(self, name: str, kind: str, headline: str) -> None:
        file = await self.write(name, kind, headline)
        if file is not None:
            self._shell.note("incident_written", name, kind=kind, incident=file)
        self._shell.flush()


Lazy = tuple[str, Callable[[], str]]


def _about(shell: Shell, name: str) -> list[Lazy]:
    """What the tree knows of a child. Taken from the root's memory now; what needs the disk is read when called."""
    now = shell.loop.time()
    path = shell.directory.find(name)
    above = set(path.split("/")[1:]) if path is not None else {name}
    pending = shell.unwritten()
    journal = files.journal_folder(shell.plan.state_dir)
    log = shell.spawning.log_file(name)
    configured = _configured(shell, name)
    state = _state(shell, path) if path is not None else ""
    said = _said(shell, name, now)
    probes = "\n".join(_answer(each) for each in shell.probes.results(name))
    return [
        ("How it is", lambda: state),
        ("What it last said", lambda: said),
        ("What its probes came to", lambda: probes),
        ("The last lines of its output", lambda: "\n".join(last_lines(name, log, _LINES)) or "none"),
        ("What happened", lambda: _events(above, journal, pending)),
        ("How it is configured (names of variables, no values)", lambda: configured),
    ]


def _state(shell: Shell, path: str) -> str:
    node = shell.directory.node(path)
    rows = [f"state       {node.status}" + (f": {node.reason}" if node.reason else "")]
    rows.append(f"incarnation {node.incarnation}" + (f", pid {node.pid}" if node.pid else ""))
    rows.append(f"restarts    {node.restarts}")
    rows.append(f"since       {wording.duration(max(0.0, shell.loop.time() - node.since))}")
    if node.last_exit is not None:
        rows.append(f"last exit   {node.last_exit.reason}")
    return "\n".join(rows)


def _said(shell: Shell, name: str, now: float) -> str:
    words = shell.said.of(name)
    rows = []
    if words.beat_at is not None:
        rows.append(f"last beat   {wording.duration(max(0.0, now - words.beat_at))} ago (number {words.seq})")
    if words.status:
        rows.append(f"status      {words.status}")
    if words.detail:
        rows.append(f"detail      {words.detail}")
    rows += [f"  {key} = {_short(value)}" for key, value in words.fields.items()]
    if words.unwell:
        rows.append(f"its check   {words.unwell}")
    if words.activity is not None:
        ago = f" {wording.duration(max(0.0, now - words.activity_at))} ago" if words.activity_at else ""
        rows.append(f"activity    {words.activity}{ago}")
    if words.goodbye is not None:
        rows.append(f"goodbye     {words.goodbye}")
    return "\n".join(rows) or "nothing"


def _answer(result: dict[str, Any]) -> str:
    passes = {None: "not asked yet", True: "passes", False: "fails"}[result["passes"]]
    answer = f": {result['answer']}" if result["answer"] else ""
    return f"{result['place']:<12} {result['probe']}: {passes} ({result['in_a_row']} times in a row){answer}"


def _short(value: Any) -> str:
    return msgspec.json.encode(value).decode()[:200]


def _configured(shell: Shell, name: str) -> str:
    from supervisor_tree.root.verbs.show import without_values

    settings = shell.spawning.settings(name) or shell.plan.supervisors.get(name)
    return "\n".join(f"{key} = {_short(value)}" for key, value in without_values(settings).items())


def _events(names: set[str], journal: Path, pending: list[tuple[int, bytes]]) -> str:
    from supervisor_tree.root.verbs.history import backwards

    rows: list[str] = []
    for count, line in enumerate(backwards(journal, pending)):
        if count >= _LOOK_BACK or len(rows) >= _EVENTS:
            break
        if sentences.concerns(line, names):
            rows.append(f"{line['time']}  {line['event']:<18} {sentences.sentence(line)}")
        if line["event"] == "tree_started":
            break
    return "\n".join(reversed(rows))


def laid_out(sections: Sequence[Section]) -> bytes:
    """A file's text, at most so long as a file may be."""
    parts = [f"== {title}\n\n{text}\n" if title else text for title, text in sections if text]
    data = "\n".join(parts).encode(errors="replace")
    if len(data) > _LONGEST:
        cut = b"\n[the rest was cut off]\n"
        data = data[: _LONGEST - len(cut)].decode(errors="ignore").encode() + cut
    return data


def store(folder: Path, name: str, kind: str, data: bytes) -> str:
    """A new file, and the oldest ones gone.

    Raises:
        OSError: the disk is full, or not ours.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    path = folder / f"{stamp}-{name}-{kind}.txt"
    number = 1
    while path.exists():
        number += 1
        path = folder / f"{stamp}-{name}-{kind}.{number}.txt"
    disk.replace(path, data)
    _retain(folder)
    return str(path)


def _retain(folder: Path) -> None:
    """The names begin with the time, so their order is that of the incidents."""
    found = sorted((each.name for each in folder.iterdir() if _FILE.fullmatch(each.name)), reverse=True)
    count: dict[str, int] = {}
    for place, file in enumerate(found):
        match = _FILE.fullmatch(file)
        name = match[1] if match is not None else ""
        count[name] = count.get(name, 0) + 1
        if place >= _OF_ALL or count[name] > _OF_A_NAME:
            with contextlib.suppress(OSError):
                (folder / file).unlink()
