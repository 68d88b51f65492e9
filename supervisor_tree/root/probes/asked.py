"""What is known of a probe that is asked, and of the incarnation that it is asked about."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from supervisor_tree.core.probing import Pace, Tally

if TYPE_CHECKING:
    from supervisor_tree.config.probes import Probe
    from supervisor_tree.root.probes.questions import Question


class Told(msgspec.Struct, omit_defaults=True):
    """What was told of an incarnation: state."""

    incarnation: int
    started: float
    """Wall clock, before its first byte of output."""
    failed: list[str] = []
    """The probes that count as failed, by their place: `health.0`."""
    left: list[str] = []
    """Those of which it was said that they end nobody, for he is held."""
    owed: list[str] = []
    """Those that failed of an incarnation before it, and of which no pass was told since."""


class Watched:
    """What is asked about one incarnation at present."""

    def __init__(self, name: str, incarnation: int, ready: bool, probes: tuple[Probe, ...]) -> None:
        self.name = name
        self.incarnation = incarnation
        self.ready = ready
        """Whether it is ready, and `health` is asked."""
        self.probes = probes
        self.asked: list[Asked] = []


class Asked:
    """One probe of one incarnation."""

    def __init__(self, watched: Watched, place: str, probe: Probe, question: Question | None) -> None:
        """``question`` None: the worker tells it by itself (`heartbeat`, `notify`)."""
        self.watched = watched
        self.place = place
        self.probe = probe
        self.question = question
        self.tally = Tally()
        self.pace: Pace | None = None
        """Of one that a start waits for."""
        self.sentence: str | None = None
        """What the last answer found wrong."""
        self.entry = 0
        """Its place in the schedule; another one there is an old one."""
        self.begun = False
        """It has been asked once."""
        self.spread = False
        """It is asked at a moment of its own."""
        self.disbelieved = False
        """The last answer was not believed."""
        self.broken = False
        """An error of ours came of a question, and was said."""
        self.ended = False
        self.task: asyncio.Task[None] | None = None

    @property
    def subject(self) -> str:
        """What it asks, for people."""
        return self.probe.kind if self.question is None else self.question.subject

    def end(self) -> None:
        """It is asked no more."""
        self.ended = True
        if self.task is not None:
            self.task.cancel()
        if self.question is not None:
            self.question.end()

    def text(self) -> str:
        """What it finds wrong, behind its `status`."""
        sentence = self.sentence or f"{self.subject} fails"
        return f"{self.probe.status}: {sentence}" if self.probe.status else sentence

    def fields(self) -> dict[str, Any]:
        """For a line of the journal."""
        fields = {"incarnation": self.watched.incarnation, "probe": self.subject, "place": self.place}
        return fields if self.probe.status is None else {**fields, "status": self.probe.status}

    def result(self) -> dict[str, Any]:
        """For `describe` and incident files."""
        return {
            "place": self.place,
            "probe": self.subject,
            "passes": None if self.tally.row == 0 else self.tally.row > 0,
            "in_a_row": abs(self.tally.row),
            "answer": self.sentence,
            "status": self.probe.status,
            "then": self.probe.then if self.watched.ready else None,
        }
