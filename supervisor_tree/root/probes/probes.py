"""Who is asked what, and when: `ready` until a worker is, `health` from then on.

Nothing of this is begun by a message: `changed` looks at the nodes that are not what they were. Questions under way
are tasks; what they ask of the disk is in threads (`threads.py`), what programs they run are errands.

A root that was stopped for a while, or is a new one, believes no failure that it may have caused: questions that ran
into their time while nobody listened are asked again, what must happen within a time has all of it anew, and failures
in a row count from nothing. What was told already is state (`probes/NAME`) and is not told again.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from supervisor_tree.config.readiness import TOLD
from supervisor_tree.core import events as ev
from supervisor_tree.core import gates
from supervisor_tree.core.node import Gate, Node, State
from supervisor_tree.core.probing import Pace, in_words
from supervisor_tree.core.spread import share
from supervisor_tree.root.outputs.runs import RunOutput
from supervisor_tree.root.probes import gate
from supervisor_tree.root.probes.asked import Asked, Told, Watched
from supervisor_tree.root.probes.asker import Asker
from supervisor_tree.root.probes.gate import Gates, Refusal
from supervisor_tree.root.probes.questions import NoVerdict, Output
from supervisor_tree.root.probes.schedule import Schedule

if TYPE_CHECKING:
    from supervisor_tree.config.probes import Probe
    from supervisor_tree.config.settings import WorkerSettings
    from supervisor_tree.root.probes.questions import Owner
    from supervisor_tree.root.shell import Shell

_STATE = "probes/"


class Probes:
    """The probes of one tree."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._asker = Asker(shell)
        self.threads = self._asker.threads
        self._gates = Gates(self._asker)
        self._watched: dict[str, Watched] = {}
        self._told: dict[str, Told] = {}
        self._schedule = Schedule(shell.loop, self._ask, self._paused)
        self._refused: dict[str, Refusal] = {}
        """Whose start was refused last, and why."""

    # Gates

    async def require(self, owner: str, settings: Owner) -> Refusal | None:
        """Whether `require` of this worker or job allows a start now; None: it does. Whoever can't be asked refuses."""
        if not settings.require:
            self._refused.pop(owner, None)
            return None
        refusal = await self._gates.ask(owner, settings)
        if refusal is None or not self._gates.waits(owner):
            self._refused.pop(owner, None)
        else:
            self._refused[owner] = refusal
        return refusal

    async def verify(self, owner: str, probes: Sequence[Probe], output: RunOutput | None) -> str | None:
        """What a run has not brought about, in words; None: all that was wanted."""
        return await gate.verify(self._asker, owner, self._owner(owner), probes, output)

    def _owner(self, name: str) -> Owner | None:
        base = name.partition(":")[0]
        return self._shell.jobs.settings(base) or self._shell.spawning.settings(base)

    # What people are shown

    def reason(self, name: str) -> str | None:
        """What does not pass of a worker that runs: what its readiness waits for, or what counts as failed."""
        failing = self._failing(name)
        return "; ".join(each.text() for each in failing) or None

    def refusal(self, name: str) -> str | None:
        """Why its start was refused when it was asked for last: the journal has it when another probe fails."""
        refused = self._refused.get(name)
        return None if refused is None else refused.reason

    def status(self, name: str) -> str | None:
        """The `status` of the first probe that fails, also of one that refuses a start."""
        found = next((each.probe.status for each in self._failing(name) if each.probe.status), None)
        refused = self._refused.get(name)
        return found or (refused.status if refused is not None else None)

    def _failing(self, name: str) -> list[Asked]:
        watched = self._watched.get(name)
        if watched is None:
            return []
        if not watched.ready:
            return [each for each in watched.asked if each.tally.failed is not False and each.sentence]
        return [each for each in watched.asked if each.tally.failed]

    def watches(self, name: str) -> bool:
        """Whether `health` of this worker is asked."""
        watched = self._watched.get(name)
        return watched is not None and watched.ready and any(each.question is not None for each in watched.asked)

    def results(self, name: str) -> list[dict[str, Any]]:
        """How each probe of a worker that is asked now has answered."""
        watched = self._watched.get(name)
        return [] if watched is None else [each.result() for each in watched.asked]

    # Who is asked

    def starting(self, name: str, incarnation: int) -> None:
        """It is about to be started: what it writes from now on is this incarnation's."""
        settings = self._shell.spawning.settings(name)
        self._gates.forget(name)
        self._refused.pop(name, None)
        if settings is not None and (settings.ready or settings.health):
            told = self._anew(name, incarnation)
            if told.owed or any(_since_start(probe) for probe in (*settings.ready, *settings.health)):
                self._keep(name)

    def _anew(self, name: str, incarnation: int) -> Told:
        before = self._told.get(name)
        owed = [] if before is None else list(dict.fromkeys([*before.owed, *before.failed]))
        told = self._told[name] = Told(incarnation, time.time(), owed=owed)
        return told

    def resume(self, state: Mapping[str, bytes]) -> None:
        """What the root before us had told."""
        for key, value in state.items():
            if key.startswith(_STATE):
                self._told[key.removeprefix(_STATE)] = msgspec.json.decode(value, type=Told)

    def changed(self, paths: Iterable[str]) -> None:
        """These nodes are not what they were, or what is set for them is not."""
        for path in paths:
            try:
                self._look_at(path)
            except Exception as error:
                # One worker's question that can't be made must not keep a new root from taking over the others.
                self._shell.internal_error(f"probes of {path}", error)

    def _look_at(self, path: str) -> None:
        node = self._shell.tree.nodes.get(path)
        name = self._shell.bare(path)
        if (node is not None and node.is_supervisor) or (node is None and self._shell.directory.find(name)):
            return  # or it has moved to another place in the tree
        settings = self._shell.spawning.settings(name)
        if node is None or settings is None or node.state is not State.UP:
            self._end(name, node)
            return
        probes = settings.health if node.ready else settings.ready
        known = self._watched.get(name)
        if known is None:
            if probes:
                self._begin(node, settings, probes)
        elif known.incarnation != node.incarnation or known.ready is not node.ready or known.probes != probes:
            self._begin(node, settings, probes)

    def _end(self, name: str, node: Node | None) -> None:
        self._forget(name)
        if node is None and self._told.pop(name, None) is not None:
            self._shell.state(_STATE + name, None)
        if node is None or (node.state is State.DOWN and node.gate is not Gate.HELD):
            self._gates.forget(name)
            self._refused.pop(name, None)

    def _forget(self, name: str) -> None:
        watched = self._watched.pop(name, None)
        for each in watched.asked if watched is not None else ():
            each.end()

    def _begin(self, node: Node, settings: WorkerSettings, probes: tuple[Probe, ...]) -> None:
        shell = self._shell
        name, now = node.name, shell.loop.time()
        before = self._watched.get(name)
        self._forget(name)
        told = self._told.get(name)
        if told is None or told.incarnation != node.incarnation:
            told = self._anew(name, node.incarnation)
        if before is not None and before.ready and before.incarnation == node.incarnation:
            self._drop(before, told)  # other probes than before: what the old ones said says nothing of these
        shell.loop.call_soon(shell.flush)
        if not probes:
            self._tell_health(node, healthy=True)
            return
        watched = self._watched[name] = Watched(name, node.incarnation, node.ready, probes)
        kind = "health" if node.ready else "ready"
        for number, probe in enumerate(probes):
            place = f"{kind}.{number}"
            begin = now + probe.delay if node.ready else None
            question = self._asker.question(probe, name, place, settings, told.started, begin)
            each = Asked(watched, place, probe, question)
            each.tally.failed = True if place in told.failed else None
            watched.asked.append(each)
            if question is None:
                if each.tally.failed:
                    shell.beating.alerted(name, node.incarnation, probe.kind)
                continue
            if not node.ready:
                each.pace = Pace(probe.every, question.costly)
                if isinstance(question, Output):
                    question.on_seen = partial(self._soon, each)
            self._schedule.at(now + probe.delay, each)
        if watched.ready and not any(each.tally.failed for each in watched.asked):
            self._tell_health(node, healthy=True)

    def _drop(self, watched: Watched, told: Told) -> None:
        """These probes are asked no more: whoever was told that they fail is told so."""
        for each in watched.asked:
            if each.place in told.failed:
                self._shell.note("probe_passed", watched.name, **each.fields(), why="not asked any more")
        if told.failed or told.left or told.owed:
            told.failed, told.left, told.owed = [], [], []
            self._keep(watched.name)

    def _soon(self, each: Asked) -> None:
        """There is something new to be asked about."""
        if not each.ended and each.task is None and each.begun:
            self._ask(each)

    def _paused(self, now: float) -> None:
        """Nobody looked for a while."""
        for watched in self._watched.values():
            for each in watched.asked:
                if each.question is not None:
                    each.question.anew(now)

    # Questions and answers

    def _ask(self, each: Asked) -> None:
        each.begun = True
        each.task = self._shell.background.begin(f"probe of {each.watched.name}", self._asking(each))
        self._schedule.asked(each.task)

    async def _asking(self, each: Asked) -> None:
        shell = self._shell
        assert each.question is not None
        begin = shell.loop.time()
        again = False
        try:
            sentence = await self._asker.ask(each.question, each.probe.timeout)
        except NoVerdict as none:
            again = none.again and not each.disbelieved
            each.disbelieved = again
        except Exception as error:
            if not each.broken:
                each.broken = True
                shell.internal_error(f"probe {each.subject} of {each.watched.name}", error)
        else:
            each.disbelieved = False
            if not each.ended:
                self._answered(each, sentence)
        each.task = None
        if not each.ended:
            self._schedule.at(begin if again else self._next(each, begin), each)
        shell.flush()

    def _next(self, each: Asked, begin: float) -> float:
        """When it is asked next."""
        now, every = self._shell.loop.time(), each.probe.every
        if each.pace is not None and each.tally.row <= 0:
            return now + each.pace.next()
        if not each.spread:
            # Those that became ready together are not asked together for ever.
            each.spread = True
            every *= (1 + share(f"{each.watched.name} {each.place}")) / 2
        return max(now, begin + every)

    def _answered(self, each: Asked, sentence: str | None) -> None:
        watched = each.watched
        node = self._shell.spawning.node(watched.name, watched.incarnation)
        if node is None or node.state is not State.UP or node.ready is not watched.ready:
            return
        each.sentence = sentence
        if watched.ready:
            if each.tally.take(sentence is None, each.probe.failures, each.probe.successes):
                self._verdict(node, each)
            if each.tally.fails_now(each.probe.failures):
                self._act(node, each)
            return
        each.tally.take(sentence is None, 1, each.probe.successes)
        if all(one.tally.failed is False for one in watched.asked if one.question is not None):
            self._shell.readiness.told(watched.name, watched.incarnation, "probes")

    # Verdicts

    def _verdict(self, node: Node, each: Asked) -> None:
        """It counts as failed now, or passes again."""
        told = self._told[node.name]
        failed, place = bool(each.tally.failed), each.place
        if failed and place not in told.failed:
            told.failed.append(place)
            reason = in_words(each.sentence or each.subject, each.tally.row)
            self._shell.note("probe_failed", node.name, **each.fields(), reason=reason, then=each.probe.then)
        elif not failed and (place in told.failed or place in told.owed):
            self._shell.note("probe_passed", node.name, **each.fields())
            told.failed = [other for other in told.failed if other != place]
        else:
            return
        told.left = [other for other in told.left if other != place]
        told.owed = [other for other in told.owed if other != place]
        self._keep(node.name)
        self._tell_health(node, healthy=not any(one.tally.failed for one in each.watched.asked))

    def _tell_health(self, node: Node, *, healthy: bool) -> None:
        if node.healthy is not healthy and not (healthy and node.healthy is None):
            self._shell.tell(ev.HealthChanged(node.path, node.incarnation, healthy))

    def _act(self, node: Node, each: Asked) -> None:
        """What a failure leads to."""
        shell = self._shell
        if each.probe.then == "alert":
            return
        text = in_words(each.text(), each.tally.row)
        told = self._told[node.name]
        if gates.held(node):
            if each.place not in told.left:
                told.left.append(each.place)
                self._keep(node.name)
                shell.note("left_alone", node.name, reason=f"unhealthy: {text}")
            return
        shell.hangs.unhealthy(
            node.path,
            node.incarnation,
            text,
            each.probe.then,
            lambda: not each.ended and each.tally.fails_now(each.probe.failures),
        )

    # What workers tell themselves: `heartbeat` and `notify`

    def silent(self, node: Node, kind: str, sentence: str) -> None:
        """A worker whose silence ends nobody (`then = "alert"`) has been silent for too long."""
        each = self._of_kind(node, kind)
        if each is not None and not each.tally.failed:
            each.sentence = sentence
            each.tally.row, each.tally.failed = -1, True
            self._verdict(node, each)

    def speaks(self, node: Node, kind: str) -> None:
        """It gave a sign of life again."""
        each = self._of_kind(node, kind)
        if each is not None and each.tally.failed:
            each.sentence = None
            each.tally.row, each.tally.failed = 1, False
            self._verdict(node, each)

    def _of_kind(self, node: Node, kind: str) -> Asked | None:
        """The probe of this kind with the shortest limit."""
        watched = self._watched.get(node.name)
        if watched is None or not watched.ready or watched.incarnation != node.incarnation or kind not in TOLD:
            return None
        found = [each for each in watched.asked if each.probe.kind == kind]
        return min(found, key=lambda each: float(getattr(each.probe, kind)), default=None)

    def _keep(self, name: str) -> None:
        self._shell.state(_STATE + name, msgspec.json.encode(self._told[name]))


def _since_start(probe: Probe) -> bool:
    """Whether a new root has to know since when what it finds counts."""
    return probe.output is not None or probe.fresh is not None or probe.changes is not None
