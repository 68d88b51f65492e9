"""From a probe in the tree file to a question, and from a question to an answer within its time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from supervisor_tree.config.readiness import TOLD
from supervisor_tree.root.hearing.beating import LATE
from supervisor_tree.root.probes import questions
from supervisor_tree.root.probes.questions import NoVerdict, Question
from supervisor_tree.root.probes.threads import AllStuck, Threads
from supervisor_tree.workers.shim import words
from supervisor_tree.workers.shim.watches import FileWatch

if TYPE_CHECKING:
    from supervisor_tree.config.probes import Probe
    from supervisor_tree.root.probes.questions import Owner
    from supervisor_tree.root.shell import Shell

_THREADS = 128
_AT_ONCE = 128
"""Questions under way; the others wait for their turn, and their time begins with it."""


class Asker:
    """Makes questions and asks them."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self.threads = Threads(shell.loop, _THREADS)
        self._places = asyncio.Semaphore(_AT_ONCE)

    def question(
        self, probe: Probe, name: str, place: str, owner: Owner | None, since: float, begin: float | None
    ) -> Question | None:
        """The question of a probe; None: it is not asked (`heartbeat`, `notify`; `output` of a run).

        Args:
            place: which of the owner's probes, `ready.0`.
            since: lines of output count from then on (wall clock); for `ready`, so does what is written to files.
            begin: what must happen within a time has all of it from then on (the loop's time); None: as it is now.
        """
        plan = self._shell.plan
        if probe.kind in ("http", "tcp", "unix"):
            return questions.socket_question(probe, plan.dir, self.threads)
        if probe.file is not None:
            watch = FileWatch(
                probe.file,
                exists=probe.exists,
                fresh=probe.fresh,
                key=probe.key,
                changes=probe.changes,
                since=since if place.startswith("ready") else None,
                name=questions.shown(probe.file, plan.dir),
            )
            return questions.File(watch, probe.changes or probe.fresh, begin, self.threads)
        if probe.env is not None:
            return questions.Env(self._shell, name, owner, probe.env, self.threads)
        if probe.mount is not None:
            return questions.Mount(probe.mount, questions.shown(probe.mount, plan.dir), self.threads)
        if probe.disk_free is not None:
            path = probe.path or plan.dir
            return questions.DiskFree(path, questions.shown(path, plan.dir), probe.disk_free, self.threads)
        if probe.command is not None:
            return questions.Command(self._shell, name, place, owner, probe)
        if probe.kind in TOLD or place.startswith("verify"):
            return None
        return questions.Output(self._shell, name, probe, since, begin)

    async def ask(self, question: Question, within: float) -> str | None:
        """What is wrong, in a sentence; None: nothing.

        Raises:
            NoVerdict: that can't be told: nobody could ask, or listen to the answer.
        """
        if question.bounded:
            return await question.ask()
        async with self._places:
            return await self._ask(question, within)

    async def _ask(self, question: Question, within: float) -> str | None:
        loop = self._shell.loop
        deadline = loop.time() + within
        try:
            async with asyncio.timeout_at(deadline):
                return await question.ask()
        except TimeoutError:
            if loop.time() - deadline > LATE:
                raise NoVerdict(again=True) from None  # we were stopped, and the answer may be here
        except AllStuck:
            raise NoVerdict from None
        except OSError as error:
            return f"{question.subject}: {error.strerror or error}"
        since = question.stuck()
        waited = within if since is None else loop.time() - since
        return f"{question.subject} has not answered within {words.span(max(waited, within))}"
