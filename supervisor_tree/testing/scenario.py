"""Scenarios: what goes wrong and when, in a file of one line each.

    # WHEN  WHOM         WHAT
    10s     uw-daemon    exit 1
    20s     every 5s until 2m   uw-daemon   kill
    3m      trading-bot  hang
    4m      ctl          stop trading-bot
    1h      end

`exit [STATUS]`, `kill [SIGNAL]`, `hang`, `unhealthy`, `healthy`, `ready` happen to a worker that runs then. To one that
does not, nothing happens, and a line that is not repeated says so. `ready-after D`, `never-ready`, `stops-in D`,
`never-stops`, `cannot-start`, `normal` are how its program behaves from its next start on. The programs of a job (JOB,
JOB:STAGE, JOB:STAGE@INSTANCE) have `results STATUS…`, `takes D`, `never-ends`, `unverified`, `normal`; `refuse REASON`
and `allow` are about a job's `require`. `ctl COMMAND NAME…` is what an operator asks, `machine sleep D` what a laptop
does.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct

from supervisor_tree.config.kinds import parse_duration
from supervisor_tree.config.problems import did_you_mean

if TYPE_CHECKING:
    from supervisor_tree.testing.simulated import SimulatedTree

LASTS = 60.0
"""Seconds that a simulation goes on after its last line, where no line says `end`."""


class ScenarioError(Exception):
    """A line that says nothing, or about somebody who is not there: ``FILE:LINE: what``."""


class Event(Struct, frozen=True):
    """One line: at ``at`` seconds, then every ``every`` until ``until``, ``words`` happen."""

    line: int
    at: float
    every: float | None
    until: float
    whom: str
    words: tuple[str, ...]


class Scenario(Struct, frozen=True):
    """All lines, and how long it lasts in seconds."""

    file: str
    events: tuple[Event, ...]
    lasts: float


Deed = Callable[["SimulatedTree", str, tuple[str, ...]], object]

_HAPPENINGS: dict[str, Deed] = {
    "exit": lambda tree, name, words: tree.exit(name, int(words[0]) if words else 0),
    "kill": lambda tree, name, words: tree.kill(name, words[0] if words else "KILL"),
    "hang": lambda tree, name, _: tree.hang(name),
    "unhealthy": lambda tree, name, _: tree.unhealthy(name),
    "healthy": lambda tree, name, _: tree.healthy(name),
    "ready": lambda tree, name, _: tree.ready(name),
}
_BEHAVIOURS: dict[str, Deed] = {
    "ready-after": lambda tree, name, words: tree.behave(name, ready_after=words[0]),
    "never-ready": lambda tree, name, _: tree.behave(name, ready_after=None),
    "stops-in": lambda tree, name, words: tree.behave(name, stops_in=words[0]),
    "never-stops": lambda tree, name, _: tree.behave(name, stops_in=None),
    "cannot-start": lambda tree, name, _: tree.behave(name, starts=False),
    "normal": lambda tree, name, _: tree.behave_normally(name),
}
DEEDS = {**_HAPPENINGS, **_BEHAVIOURS}
_RUN_BEHAVIOURS: dict[str, Deed] = {
    "results": lambda tree, name, words: tree.behave_run(name, *(int(word) for word in words)),
    "takes": lambda tree, name, words: tree.behave_run(name, takes=words[0]),
    "never-ends": lambda tree, name, _: tree.behave_run(name, takes=None),
    "unverified": lambda tree, name, _: tree.behave_run(name, verified=False),
    "normal": lambda tree, name, _: tree.behave_normally(name),
}
RUN_DEEDS: dict[str, Deed] = {
    **_RUN_BEHAVIOURS,
    "refuse": lambda tree, name, words: tree.refuse(name, words[0]),
    "allow": lambda tree, name, _: tree.refuse(name, None),
}
CTL = ("start", "stop", "restart", "hold", "release", "run")
_MANY = 1000
_ARGUMENTS = {
    "exit": (0, 1),
    "kill": (0, 1),
    "ready-after": (1, 1),
    "stops-in": (1, 1),
    "results": (1, _MANY),
    "takes": (1, 1),
    "refuse": (1, 1),
}


class Cast(Struct, frozen=True):
    """Whom a scenario can be about."""

    workers: list[str]
    """And supervisors."""
    programs: list[str] = []
    """Of jobs."""
    jobs: list[str] = []


def read(file: str, text: str, cast: Cast) -> Scenario:
    """The scenario in ``text``.

    Raises:
        ScenarioError: with every line that is wrong.
    """
    events: list[Event] = []
    wrong: list[str] = []
    lasts: float | None = None
    for number, written in enumerate(text.splitlines(), 1):
        try:
            words = shlex.split(written, comments=True)
            if not words:
                continue
            event = _event(number, words, cast)
        except ValueError as error:
            wrong.append(f"{file}:{number}: {error}")
            continue
        if event.whom == "end":
            lasts = event.at
        else:
            events.append(event)
    if wrong:
        raise ScenarioError("\n".join(wrong))
    last = max((event.until for event in events), default=0.0)
    return Scenario(file, tuple(events), last + LASTS if lasts is None else lasts)


def _event(number: int, words: list[str], cast: Cast) -> Event:
    at, rest = _time(words[0]), words[1:]
    every, until = None, at
    if rest[:1] == ["every"]:
        if len(rest) < 4 or rest[2] != "until":
            raise ValueError("write: WHEN every DURATION until WHEN WHOM WHAT")
        every, until, rest = _time(rest[1]), _time(rest[3]), rest[4:]
        if not every:
            raise ValueError("every 0s would never end")
    if not rest:
        raise ValueError("says when, and not what: WHEN WHOM WHAT")
    whom, what = rest[0], rest[1:]
    if whom == "end" and not what and every is None:
        return Event(number, at, None, at, "end", ())
    if whom == "ctl":
        _check_ctl(what, [*cast.workers, *cast.jobs])
    elif whom == "machine":
        if len(what) != 2 or what[0] != "sleep":
            raise ValueError("write: machine sleep DURATION")
        _time(what[1])
    else:
        _check_name(whom, [*cast.workers, *cast.programs, *cast.jobs])
        _check_deed(what, DEEDS if whom in cast.workers else RUN_DEEDS)
    return Event(number, at, every, until, whom, tuple(what))


def _time(word: str) -> float:
    found = parse_duration(word)
    if found is None:
        raise ValueError(f"{word!r} is no time: a line begins with one, as in 10s, 2m, 1.5h")
    return found


def _check_name(name: str, names: list[str]) -> None:
    if name not in names:
        raise ValueError(f"there is no {name!r} in the tree{did_you_mean(name, names)}")


def _check_ctl(what: list[str], names: list[str]) -> None:
    if len(what) < 2 or what[0] not in CTL:
        raise ValueError(f"write: ctl {'|'.join(CTL)} NAME")
    for name in what[1:]:
        _check_name(name, names)


def _check_deed(what: list[str], deeds: dict[str, Deed]) -> None:
    if not what:
        raise ValueError(f"says whom, and not what: one of {', '.join(deeds)}")
    deed, values = what[0], what[1:]
    if deed not in deeds:
        raise ValueError(f"{deed!r} is none of {', '.join(deeds)}{did_you_mean(deed, list(deeds))}")
    least, most = _ARGUMENTS.get(deed, (0, 0))
    if not least <= len(values) <= most:
        wanted = "values" if most == _MANY else "no value" if most == 0 else "one value"
        raise ValueError(f"`{deed}` takes {wanted}, not {len(values)}")
    for value in values if deed in ("exit", "results") else ():
        if not (value.isdecimal() and int(value[:4]) <= 255):
            raise ValueError(f"{value!r} is no exit status (0 to 255)")
    if deed in ("ready-after", "stops-in", "takes"):
        _time(values[0])


def play(scenario: Scenario, tree: SimulatedTree) -> SimulatedTree:
    """Play it on a tree that has not been started. What could not happen is said in the tree's story."""
    from supervisor_tree.testing.seen import SimulationError

    due: list[tuple[float, int, Event]] = []
    for event in scenario.events:
        at = event.at
        while at <= event.until:
            due.append((at, event.line, event))
            at += event.every or (event.until - event.at + 1)
    due.sort(key=lambda one: one[:2])
    # How programs behave from the beginning on is known before anything is started.
    first = [one for one in due if one[0] == 0 and one[2].whom != "ctl" and one[2].words[0] in _BEFORE]
    for _, _, event in first:
        _do(tree, event)
    tree.start()
    for at, line, event in due:
        if (at, line, event) in first:
            continue
        if at > scenario.lasts or tree.ended is not None:
            break
        tree.advance(at - tree.now)
        try:
            _do(tree, event)
        except SimulationError as error:
            if event.every is None:
                tree.remark(f"{scenario.file}:{line}: nothing happens: {error}")
    return tree if tree.ended is not None else tree.advance(scenario.lasts - tree.now)


_BEFORE = {*_BEHAVIOURS, *RUN_DEEDS}


def _do(tree: SimulatedTree, event: Event) -> None:
    deed, values = event.words[0], event.words[1:]
    if event.whom == "ctl":
        tree.ctl(deed, *values)
    elif event.whom == "machine":
        tree.sleep(values[0])
    else:
        (DEEDS if event.whom in tree.states() else RUN_DEEDS)[deed](tree, event.whom, values)
