"""`require`, asked before a start or a run, and `verify`, asked after a run: each comes to one answer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from supervisor_tree.core.probing import Tally
from supervisor_tree.root.outputs.runs import RunOutput, matches
from supervisor_tree.root.probes.questions import NoVerdict, Question
from supervisor_tree.root.probes.threads import AllStuck

if TYPE_CHECKING:
    from supervisor_tree.config.probes import Probe
    from supervisor_tree.root.probes.asker import Asker
    from supervisor_tree.root.probes.questions import Owner

_LEFT_BEHIND = ("file", "output", "env", "mount", "disk_free")
"""What a run has left behind does not change any more: asked once."""


class Refusal(NamedTuple):
    """Why a start or a run is not allowed now."""

    reason: str
    """`require env UW_API_KEY: not set`; before it the probe's own word for it, `CDP_DOWN: require …`."""
    status: str | None
    """That word, of the first that fails and has one."""
    every: float
    """Seconds after which to ask again."""
    failing: tuple[int, ...]
    """Which probes of the list."""


class _Gate(NamedTuple):
    probes: tuple[Probe, ...]
    questions: list[Question | None]
    tallies: list[Tally]


class Gates:
    """What is required, by owner: kept, for a value that must change has to be seen twice."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self._gates: dict[str, _Gate] = {}

    async def ask(self, name: str, owner: Owner) -> Refusal | None:
        """None: all of `require` passes."""
        gate = self._gates.get(name)
        if gate is None or gate.probes != owner.require:
            make = self._asker.question
            questions = [
                make(probe, name, f"require.{number}", owner, 0.0, None) for number, probe in enumerate(owner.require)
            ]
            gate = self._gates[name] = _Gate(owner.require, questions, [Tally() for _ in questions])
        asked = [
            self._one(probe, question, tally)
            for probe, question, tally in zip(gate.probes, gate.questions, gate.tallies, strict=True)
        ]
        answers = await asyncio.gather(*asked)
        failing = [number for number, answer in enumerate(answers) if answer is not None]
        if not failing:
            self.forget(name)
            return None
        probes = [gate.probes[number] for number in failing]
        told = [
            f"{f'{probe.status}: ' if probe.status else ''}require {answers[number]}"
            for number, probe in zip(failing, probes, strict=True)
        ]
        status = next((probe.status for probe in probes if probe.status), None)
        return Refusal("; ".join(told), status, min(probe.every for probe in probes), tuple(failing))

    def forget(self, name: str) -> None:
        """Nobody waits at this gate any more."""
        self._gates.pop(name, None)

    def waits(self, name: str) -> bool:
        """Whether somebody was refused and still waits: not so when it was stopped while it was asked for."""
        return name in self._gates

    async def _one(self, probe: Probe, question: Question | None, tally: Tally) -> str | None:
        if question is None:
            return None
        if probe.delay and tally.row == 0:
            await asyncio.sleep(probe.delay)
        sentence = await once(self._asker, question, probe.timeout)
        tally.take(sentence is None, 1, probe.successes)
        if sentence is None and tally.row < probe.successes:
            return f"{question.subject}: passed {tally.row} of {probe.successes} times"
        return sentence


async def once(asker: Asker, question: Question, within: float) -> str | None:
    """An answer; whoever can't be asked has not passed."""
    for _ in range(2):
        try:
            return await asker.ask(question, within)
        except NoVerdict as none:
            if not none.again:
                break
    return f"{question.subject} can't be asked: too many other questions are not answered"


async def verify(
    asker: Asker, name: str, owner: Owner | None, probes: Sequence[Probe], output: RunOutput | None
) -> str | None:
    """What a run has not brought about, in words; None: all that was wanted."""
    answers = await asyncio.gather(
        *(_verify(asker, name, owner, probe, number, output) for number, probe in enumerate(probes))
    )
    found = [
        f"{f'{probe.status}: ' if probe.status else ''}{answer}"
        for probe, answer in zip(probes, answers, strict=True)
        if answer is not None
    ]
    return "; ".join(found) or None


async def _verify(
    asker: Asker, name: str, owner: Owner | None, probe: Probe, number: int, output: RunOutput | None
) -> str | None:
    if probe.delay:
        await asyncio.sleep(probe.delay)
    if probe.output is not None:
        return await _in_output(asker, probe.output, output)
    question = asker.question(probe, name, f"verify.{number}", owner, 0.0, None)
    if question is None:
        return None
    tally = Tally()
    failures = 1 if probe.kind in _LEFT_BEHIND else probe.failures
    while True:
        sentence = await once(asker, question, probe.timeout)
        tally.take(sentence is None, failures, probe.successes)
        if tally.failed is not None:
            return sentence
        await asyncio.sleep(probe.every)


async def _in_output(asker: Asker, pattern: str, output: RunOutput | None) -> str | None:
    """However long the output is: a thread of its own reads it to its end."""
    said = f'output "{pattern}" has not come'
    if output is None:
        return said
    try:
        found = await asker.threads.ask(("matches", output, pattern), lambda: matches(output, re.compile(pattern)))
    except AllStuck:
        return f"{said}: it can't be read, too many other questions are not answered"
    return None if found else said
