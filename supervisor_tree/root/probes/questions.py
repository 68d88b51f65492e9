"""The kinds of probes as questions: each is asked again and again, and answers in a sentence what is wrong."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from supervisor_tree import config
from supervisor_tree.config.tree_kinds import LogSettings
from supervisor_tree.root.hearing.beating import LATE
from supervisor_tree.root.last_output import last_lines
from supervisor_tree.root.probes.threads import AllStuck, Threads
from supervisor_tree.root.words import size
from supervisor_tree.workers.shim import asking, words
from supervisor_tree.workers.shim.watches import FileWatch, see

if TYPE_CHECKING:
    from supervisor_tree.config.job_settings import JobSettings
    from supervisor_tree.config.probes import Probe
    from supervisor_tree.config.settings import WorkerSettings
    from supervisor_tree.root.outputs.outputs import Watch
    from supervisor_tree.root.shell import Shell

    Owner = WorkerSettings | JobSettings

_LOOPBACK = ["127.0.0.1", "::1"]
_LONGEST = 120
"""Characters of a command in a sentence, and of the last line of its output."""
_LOG = 1_000_000
"""Bytes of what a probe's command has written that are kept, and as many again."""
_WAIT = 0.05
"""Seconds between two looks whether the command asked before is gone."""


class NoVerdict(Exception):
    """The answer says nothing: neither a pass nor a failure."""

    def __init__(self, again: bool = False) -> None:
        """``again``: ask once more, at once."""
        super().__init__()
        self.again = again


class Question:
    """One probe of one owner. ``subject``: what it asks, for people."""

    costly = False
    """Each question is a program to be run."""
    bounded = False
    """It keeps to its `timeout` by itself."""

    def __init__(self, subject: str) -> None:
        self.subject = subject

    async def ask(self) -> str | None:
        """What is wrong, in a sentence; None: nothing.

        Raises:
            NoVerdict: that can't be told.
        """
        raise NotImplementedError

    def anew(self, now: float) -> None:
        """Nobody looked for a while (we were stopped): what must happen within a time has all of it from now on."""

    def stuck(self) -> float | None:
        """Since when (the loop's time) a thread waits for the answer to this."""
        return None

    def end(self) -> None:
        """It is asked no more."""


class Socket(Question):
    """`http`, `tcp`, `unix`: the same questions as a shim asks."""

    def __init__(self, question: asking.Question, threads: Threads) -> None:
        super().__init__(str(question))
        self._question = question
        self._threads = threads

    async def ask(self) -> str | None:
        if isinstance(self._question, asking.UnixQuestion):
            # To find a socket is to ask the disk, and that may take long.
            path = self._question.path
            try:
                await self._threads.ask(("stat", path), lambda: os.stat(path))
            except OSError as error:
                return f"{self.subject} {asking.reason(error)}"
        reason = await self._question.ask()
        return None if reason is None else f"{self.subject} {reason}"


class OnDisk(Question):
    """One that a thread answers: `look` is called there."""

    def __init__(self, subject: str, threads: Threads, key: tuple[Any, ...]) -> None:
        super().__init__(subject)
        self._threads = threads
        self._key = key

    async def ask(self) -> str | None:
        return await self._threads.ask(self._key, self.look)

    def look(self) -> str | None:
        raise NotImplementedError

    def stuck(self) -> float | None:
        return self._threads.since(self._key)


class File(OnDisk):
    """`file`. What must happen within a time (`fresh`, `changes`) is missed only when it has not for so long since
    ``begin``: who has just become ready has had no time to write."""

    def __init__(self, watch: FileWatch, window: float | None, begin: float | None, threads: Threads) -> None:
        """``begin``: the loop's time; None: the file counts as it lies there."""
        super().__init__(watch.name, threads, ("file", *watch.sight))
        self._watch = watch
        self._window = window
        self._begin = begin

    async def ask(self) -> str | None:
        loop = asyncio.get_running_loop()
        sight = self._watch.sight
        self._key = ("file", *sight)
        seen = await self._threads.ask(self._key, lambda: see(*sight))
        now = loop.time()
        self._watch.take(seen, now, time.time())
        missing = self._watch.missing(now)
        if missing and self._begin is not None and self._window is not None and now - self._begin <= self._window:
            raise NoVerdict
        return missing

    def anew(self, now: float) -> None:
        if self._begin is not None:
            self._begin = max(self._begin, now)


class Output(Question):
    """`output`: a line has matched, at all or within ``fresh``."""

    def __init__(self, shell: Shell, owner: str, probe: Probe, since: float, begin: float | None) -> None:
        """``since``: wall clock, from when on lines count; ``begin``: the loop's time, as of `File`."""
        assert probe.output is not None
        super().__init__(f'output "{probe.output}"')
        if probe.fresh is not None:
            since = max(since, time.time() - probe.fresh)
        self._shell = shell
        self._fresh = probe.fresh
        self._begin = begin
        self._seen: float | None = None
        pattern = re.compile(probe.output)
        self.on_seen: Callable[[], None] = lambda: None
        """Called when a line matches: nobody needs to wait for the next question."""
        self._watch: Watch | None = shell.outputs.watch(owner, pattern, self._on_line, since)

    def _on_line(self, text: str, when: float) -> None:
        now = self._shell.loop.time()
        self._seen = max(self._seen or float("-inf"), now - max(0.0, time.time() - when))
        if self._fresh is None:
            self.end()
        self.on_seen()

    async def ask(self) -> str | None:
        now = self._shell.loop.time()
        watch = self._watch
        if watch is not None and watch.trouble is not None:
            return f"{self.subject}: {watch.trouble}"
        if self._seen is not None and (self._fresh is None or now - self._seen <= self._fresh):
            return None
        if watch is not None and not watch.current:
            raise NoVerdict  # what was written before is being read still
        if self._begin is not None and self._fresh is not None and now - self._begin <= self._fresh:
            raise NoVerdict
        if self._seen is None:
            return f"{self.subject} has not come yet"
        return f"{self.subject} has not come for {words.span(now - self._seen)}"

    def anew(self, now: float) -> None:
        if self._begin is not None:
            self._begin = max(self._begin, now)

    def end(self) -> None:
        if self._watch is not None:
            self._watch.end()
            self._watch = None


class Env(OnDisk):
    """`env`: these variables are set and not empty in the environment that the child is given."""

    def __init__(self, shell: Shell, name: str, owner: Owner | None, names: Sequence[str], threads: Threads) -> None:
        super().__init__(f"env {', '.join(names)}", threads, ("env", name, names))
        self._shell = shell
        self._owner = owner
        self._names = names

    def look(self) -> str | None:
        plan = self._shell.plan
        try:
            # A program's name is of no matter here, its environment is.
            fields = config.command_program(plan, self._owner, ("true",), log=None)
        except config.Held as held:
            return str(held)
        inherit = fields["inherit"]
        given: dict[str, str | None] = dict(plan.environ) if inherit is True else {}
        if isinstance(inherit, list):
            given = {name: value for name, value in plan.environ.items() if name in inherit}
        given |= fields["env"]
        unset = [name for name in self._names if given.get(name) is None]
        empty = [name for name in self._names if given.get(name) == ""]
        wrong = [(unset, "not set"), (empty, "empty")]
        return "; ".join(f"env {', '.join(names)}: {word}" for names, word in wrong if names) or None


class Mount(OnDisk):
    """`mount`: something is mounted there, and answers."""

    def __init__(self, path: str, name: str, threads: Threads) -> None:
        super().__init__(f"mount {name}", threads, ("mount", path))
        self._path = path

    def look(self) -> str | None:
        try:
            os.stat(self._path)  # has an automounter mount it, and waits where a file system does not answer
        except OSError as error:
            return f"{self.subject}: {error.strerror}"
        if not os.path.ismount(self._path) and os.path.realpath(self._path) not in _mount_points():
            return f"{self.subject}: nothing is mounted there"
        return None


def _mount_points() -> set[str]:
    """As Linux tells them: a folder of one file system bound to another place of it is told by nothing else."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            places = [line.split(" ", 5)[4] for line in file]
    except (OSError, IndexError):
        return set()
    return {re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), place) for place in places}


class DiskFree(OnDisk):
    """`disk_free`: so much is free for who is not root, in the file system of ``path``."""

    def __init__(self, path: str, name: str, least: int, threads: Threads) -> None:
        super().__init__(f"disk_free {name}", threads, ("disk_free", path))
        self._path = path
        self._least = least

    async def ask(self) -> str | None:
        # The system's answer is shared with whoever asks about this path, what is enough is not: a gate that wants
        # more than another would be opened by it.
        path = self._path
        try:
            there = await self._threads.ask(self._key, lambda: os.statvfs(path))
        except OSError as error:
            return f"{self.subject}: {error.strerror}"
        free = there.f_bavail * there.f_frsize
        if free >= self._least:
            return None
        return f"{self.subject}: {size(free)} free, {size(self._least)} wanted"


class Command(Question):
    """`command`: it exits 0. An errand, in its owner's folder and environment and as its user."""

    costly = True
    bounded = True

    def __init__(self, shell: Shell, name: str, place: str, owner: Owner | None, probe: Probe) -> None:
        assert probe.command is not None
        shown = probe.command[2] if probe.command[:2] == ("/bin/sh", "-c") else " ".join(probe.command)
        super().__init__(f"command `{shown if len(shown) <= _LONGEST else shown[:_LONGEST] + '…'}`")
        self._shell = shell
        self._owner = owner
        self._probe = probe
        self._errand = f":probe:{name}:{place}"
        self._log = os.path.join(shell.plan.state_dir, "logs", "probes", f"{name}-{place}.log")

    async def ask(self) -> str | None:
        shell, timeout = self._shell, self._probe.timeout
        assert self._probe.command is not None
        begin = shell.loop.time()
        while shell.errands.has(self._errand):
            if shell.loop.time() - begin > timeout:
                return f"{self.subject} can't be asked again: it was killed and has not ended"
            await asyncio.sleep(_WAIT)
        try:
            log = LogSettings(file=self._log, max_size=_LOG, keep=1)
            program = await shell.errands.program(self._owner, self._probe.command, log=log)
        except config.Held as held:
            return f"{self.subject} can't be asked: {held}"
        begin = shell.loop.time()
        ended = await shell.errands.run(self._errand, program, timeout)
        if ended.exit.normal:
            return None
        if ended.timed_out:
            if shell.loop.time() - begin > timeout + LATE:
                raise NoVerdict(again=True)  # the keeper, which runs it, was stopped, or the machine is overloaded
            return f"{self.subject} has not ended within {words.span(timeout)}"
        said = await self._said()
        return f"{self.subject}: {ended.exit.reason}{f' ({said})' if said else ''}"

    async def _said(self) -> str:
        """The last line of what it has written."""
        files: dict[str, str | None] = {"path": self._log, "stderr": None}
        try:
            lines = await self._shell.probes.threads.ask(
                ("said", self._log), lambda: last_lines(self._errand, files, 1)
            )
        except (OSError, AllStuck):
            return ""
        text = lines[-1].partition(" ")[2].strip() if lines else ""
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def shown(path: str, base: str) -> str:
    """A path as people wrote it: under the tree's folder without that."""
    return path[len(base) + 1 :] if path.startswith(f"{base}/") else path


def resolver(threads: Threads) -> asking.Resolve:
    """Names of machines to addresses, looked up in threads of ours."""

    async def resolve(host: str) -> list[str]:
        import ipaddress
        import socket

        if host == "localhost":
            return _LOOPBACK  # RFC 6761
        try:
            ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            found = await threads.ask(("name", host), lambda: socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))
            return list(dict.fromkeys(str(each[4][0]) for each in found))
        return [host]

    return resolve


def socket_question(probe: Probe, base: str, threads: Threads) -> Question:
    """`http`, `tcp` or `unix`."""
    question: asking.Question
    if probe.http is not None:
        question = asking.HttpQuestion(probe.http, probe.code, probe.body, probe.key, resolver(threads))
    elif probe.tcp is not None:
        host, _, port = probe.tcp.rpartition(":")
        question = asking.TcpQuestion(host.strip("[]"), int(port), resolver(threads))
    else:
        assert probe.unix is not None
        question = asking.UnixQuestion(probe.unix, shown(probe.unix, base))
    return Socket(question, threads)
