"""`[activity.NAME]`: each watch is seeded when the tree first knows it, told of once when it is quiet for longer than
`within` (again every `repeat`), and told of once more when activity resumes. It never stops or restarts anything.

Activities of workers and jobs are heard as they are said, those that the journal only counts too. A database is asked
when a watch would be told of, and every now and then while one is. What is known is state for the next root, and
`state_dir/activity/activity.json` for the next life of the tree.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec import Struct

from supervisor_tree.config.job_settings import ActivitySettings, ActivitySource
from supervisor_tree.core.absence import Absence
from supervisor_tree.root import moments
from supervisor_tree.root.activity.asking import ask, told
from supervisor_tree.root.aside import Aside, TooLate
from supervisor_tree.root.clocks import rfc3339
from supervisor_tree.root.kept import KeptFiles
from supervisor_tree.root.moments import Moment

if TYPE_CHECKING:
    from supervisor_tree.root.shell import Shell

_STATE = "activity/"
_FILE = "activity.json"
_LOOK = 60.0
"""Seconds between two looks at most: the machine may sleep, which no timer of the loop notices."""
_KEEP = 300.0
"""Seconds between two writes of the file when nothing changes: from them the next life knows how long it was down."""
_SOON = 10.0
"""Seconds (or a twentieth of `within`) between two activities that the keeper is told of: a new root may not know the
very last of many."""
_WITHIN = 10.0
"""Seconds that a database has to answer."""
_AGAIN = 5.0
"""Seconds between two questions to a database that does not answer …"""
_PATIENCE = 60.0
"""… and for how long (or for `within`, if that is less) it is given time before it is told without it."""
_GRAIN = 0.01
"""Seconds by which a timer may come too early."""
_EVERY = 300.0
"""Seconds between two questions while there is no activity, at most: a quarter of `within`."""


class Kept(Struct):
    """The file."""

    seen: Moment
    watches: dict[str, Absence]


class _Answer(NamedTuple):
    at: float | None = None
    trouble: str | None = None


class _Watch:
    """One `[activity.NAME]`."""

    def __init__(self, settings: ActivitySettings, absence: Absence) -> None:
        self.settings = settings
        self.absence = absence
        self.committed = float("-inf")
        """When the keeper was told of an activity last (monotonic)."""
        self.later: asyncio.TimerHandle | None = None
        """When it will be told of the next."""
        self.asked = float("-inf")
        self.failing: dict[str, float] = {}
        """Sources that do not answer, and since when (monotonic)."""
        self.trouble: dict[str, str] = {}
        """Why, as far as it was said."""

    @property
    def within(self) -> float:
        assert self.settings.within is not None  # checked when it was read
        return self.settings.within

    @property
    def patience(self) -> float:
        """Seconds for which a database that does not answer is given time."""
        return min(_PATIENCE, self.within)

    @property
    def due(self) -> bool:
        """Whether it is to be told of."""
        return self.absence.due(self.within, self.settings.repeat)

    @property
    def databases(self) -> list[ActivitySource]:
        return [source for source in self.settings.any if source.sql is not None]


class Activity:
    """The watches of one tree."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._watches: dict[str, _Watch] = {}
        self._by_activity: dict[str, list[tuple[str, ActivitySource]]] = {}
        self._known: dict[str, Absence] = {}
        """What a root or a tree before us knew."""
        self._seen: Moment | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._kept = KeptFiles(shell, shell.plan.state_dir, "activity")
        self._kept_at = float("-inf")
        self._aside = Aside(shell.loop, 4)
        self._asking: set[str] = set()

    # Life

    def begin(self) -> None:
        """A tree starts: for how long it was down does not count."""
        if not self._shell.plan.activity:
            return
        kept = self._kept.read(_FILE, lambda data: msgspec.json.decode(data, type=Kept))
        if kept is not None:
            down = kept.seen.seconds_to(moments.now())
            for name, absence in kept.watches.items():
                absence.was_down(down)
                self._known[name] = absence
        self.replan()

    def load(self, key: str, value: bytes) -> None:
        """A piece of the state of the root before us; keys of others are left alone."""
        if key == _STATE:
            self._seen = msgspec.json.decode(value, type=Moment)
        elif key.startswith(_STATE):
            self._known[key.removeprefix(_STATE)] = msgspec.json.decode(value, type=Absence)

    def resume(self) -> None:
        """After a take-over: that time counts."""
        self.replan()

    def replan(self) -> None:
        """The tree file was read (anew): watches that go on know what they knew."""
        self._pass()
        wanted = self._shell.plan.activity
        for name, settings in wanted.items():
            watch = self._watches.get(name)
            if watch is not None:
                watch.settings = settings
                continue
            absence = self._known.pop(name, None) or Absence(since=time.time())
            self._watches[name] = _Watch(settings, absence)
            self._commit(name)
        for name in [name for name in self._watches if name not in wanted]:
            del self._watches[name]
            self._shell.state(_STATE + name, None)
        self._by_activity = {}
        for name, settings in wanted.items():
            for source in settings.any:
                if source.activity is not None:
                    self._by_activity.setdefault(source.activity, []).append((name, source))
        self._keep()
        self._arm()

    async def finish(self) -> None:
        """The tree ends: until now it was up."""
        if self._watches:
            self._pass()
            self._keep()
            await self._kept.finish(2.0)

    # What happens

    def heard(self, name: str, activity: str) -> bool:
        """A worker, or a run of a job, says that it has done something; whether there is something to commit."""
        decided = False
        for watched, source in self._by_activity.get(activity, ()):
            if source.of is None or self._means(source.of, name):
                self._pass()
                decided = self._active(watched, time.time(), 0.0, f"{name}: {activity}") or decided
        return decided

    def _means(self, of: str, name: str) -> bool:
        """Whether a source's `of` means this worker, job, or stage of a run: `JOB:STAGE@INSTANCE`."""
        bare = name.partition(":")[0]
        return of == bare or bare in self._shell.plan.sets.get(of, ()) or of == bare.partition("@")[0]

    def _active(self, name: str, at: float, ago: float, source: str) -> bool:
        watch = self._watches[name]
        gap = watch.absence.gap
        if watch.absence.active(at, ago):
            self._shell.note("activity_resumed", name, source=source, hours_since_post=_hours(max(0.0, gap - ago)))
        else:
            wait = watch.committed + min(_SOON, watch.within / 20) - self._shell.loop.time()
            if wait > 0:  # of the many that there are it knows the one before
                if watch.later is None:
                    watch.later = self._shell.loop.call_later(wait, self._commit_later, name, watch)
                return False
        watch.committed = self._shell.loop.time()
        self._changed(name)
        return True

    def _commit_later(self, name: str, watch: _Watch) -> None:
        watch.later = None
        if self._watches.get(name) is watch:
            watch.committed = self._shell.loop.time()
            self._changed(name)
            self._shell.flush()

    def _changed(self, name: str) -> None:
        self._commit(name)
        self._keep()
        self._arm()

    def _commit(self, name: str) -> None:
        self._shell.state(_STATE + name, msgspec.json.encode(self._watches[name].absence))
        if self._seen is not None:
            self._shell.state(_STATE, msgspec.json.encode(self._seen))

    def _keep(self) -> None:
        self._kept_at = self._shell.loop.time()
        if self._watches or self._known:
            self._kept.put(_FILE, self._as_file)

    def _as_file(self) -> bytes | None:
        assert self._seen is not None
        return msgspec.json.encode(Kept(self._seen, {name: watch.absence for name, watch in self._watches.items()}))

    # Time

    def _pass(self) -> None:
        """Count the time since the last look."""
        now = moments.now()
        before, self._seen = self._seen, now
        if before is not None:
            absences = [*(watch.absence for watch in self._watches.values()), *self._known.values()]
            for absence in absences:
                absence.passed(before.seconds_to(now), before.slept_to(now))

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waits = [self._wait(name, watch) for name, watch in self._watches.items()]
        if waits:
            self._timer = self._shell.loop.call_later(min(_LOOK, *waits), self._look)

    def _wait(self, name: str, watch: _Watch) -> float:
        """Seconds until something may be to be done about it."""
        left = watch.absence.left(watch.within, watch.settings.repeat)
        if watch.databases and watch.due:
            left = None  # it is told when they have answered
        waits = [wait for wait in (left, self._ask_in(name, watch)) if wait is not None]
        return min(waits, default=_LOOK)

    def _ask_in(self, name: str, watch: _Watch) -> float | None:
        """Seconds until its databases are to be asked; None: not as things are, or they are being asked."""
        told, due = watch.absence.told_at is not None, watch.due
        if not watch.databases or name in self._asking or not (told or due):
            return None
        if not watch.failing:
            pause = 0.0 if due else min(_EVERY, watch.within / 4)
        else:
            pause = min(_AGAIN, watch.patience / 4) if due else _AGAIN
        return max(0.0, watch.asked + pause - self._shell.loop.time())

    def _look(self) -> None:
        self._timer = None
        self._pass()
        for name, watch in self._watches.items():
            wait = self._ask_in(name, watch)
            if wait is not None and wait < _GRAIN:
                self._asking.add(name)
                self._shell.background.begin(f"databases of {name}", self._ask(name, watch))
            elif watch.due and not watch.databases:
                self._tell(name, watch)
        if self._shell.loop.time() - self._kept_at >= _KEEP:
            self._keep()
            for name in self._watches:
                self._commit(name)
        self._arm()
        self._shell.flush()

    def _tell(self, name: str, watch: _Watch) -> None:
        absence = watch.absence
        absence.told()
        self._shell.note(
            "no_activity",
            name,
            event_type=watch.settings.event_type or "ALERT_NO_ACTIVITY",
            severity=watch.settings.level,
            hours_since_post=_hours(absence.gap),
            threshold_hours=_hours(watch.within),
            last=None if absence.last is None else rfc3339(absence.last),
            since=rfc3339(absence.since),
            slept=round(absence.slept),
            down=round(absence.down),
            unknown=[f"{source} ({watch.trouble.get(source, 'no answer')})" for source in watch.failing],
            times=absence.times,
        )
        self._changed(name)

    # Databases

    async def _ask(self, name: str, watch: _Watch) -> None:
        """When something useful last happened, as far as its databases know; then it is told, if it is to be."""
        try:
            await self._ask_all(name, watch)
        finally:
            self._asking.discard(name)
            self._arm()
        self._shell.flush()

    async def _ask_all(self, name: str, watch: _Watch) -> None:
        shell = self._shell
        watch.asked = shell.loop.time()
        for source in watch.databases:
            answer = await self._answer(source)
            label = told(source, shell.plan)
            if self._watches.get(name) is not watch:
                break  # the tree file was read anew meanwhile
            self._pass()
            if answer.trouble is None:
                watch.failing.pop(label, None)
                if watch.trouble.pop(label, None) is not None:
                    shell.note("source_asked_again", name, source=label)
                if answer.at is not None:
                    now = time.time()
                    at = min(answer.at, now)
                    if watch.absence.last is None or at > watch.absence.last:
                        self._active(name, at, now - at, label)
            else:
                watch.failing.setdefault(label, shell.loop.time())
                if label not in watch.trouble:
                    watch.trouble[label] = answer.trouble
                    shell.note("source_not_asked", name, source=label, reason=answer.trouble)
        else:
            waited = [shell.loop.time() - since for since in watch.failing.values()]
            patient = bool(waited) and max(waited) < watch.patience
            if watch.due and not patient:
                self._tell(name, watch)

    async def _answer(self, source: ActivitySource) -> _Answer:
        plan = self._shell.plan
        try:
            return _Answer(await self._aside.do(lambda: ask(source, plan, _WITHIN), _WITHIN + 5.0))
        except TooLate:
            return _Answer(trouble=f"no answer within {_WITHIN:g} s")
        except Exception as error:  # a driver may raise anything; what it says is the reason
            return _Answer(trouble=str(error) or type(error).__name__)


def _hours(seconds: float) -> float:
    return round(seconds / 3600.0, 7)
