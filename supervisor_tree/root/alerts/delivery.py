"""The queue: each notice goes to each target, once, however long the target is out of reach.

A target is one of `alerts.urls`, `alerts.command`, or the files. Each has a line of its own: one that hangs or is down
holds up no other. A message is sent by an errand (`root/errands`), killed when it takes too long; its success and the
removal from the queue are one commit, and a root that takes over goes on with the errand of the one before, so that
nothing is sent twice because a root died. A target that was down gets all that has waited as one message.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from supervisor_tree import config
from supervisor_tree.config.tree_kinds import LogSettings
from supervisor_tree.root.alerts import folding
from supervisor_tree.root.alerts.carrying import TO_STDIN, append, event_of, for_apprise, last_words
from supervisor_tree.root.alerts.notices import Notice, merged
from supervisor_tree.root.aside import Aside, TooLate

if TYPE_CHECKING:
    from supervisor_tree.root.errands.errands import Ended
    from supervisor_tree.root.kept import KeptFiles
    from supervisor_tree.root.shell import Shell

_NOTICE = "alerts/notice/"
_SENDING = "alerts/sending/"
_FIRST, _MOST = 1.0, 300.0
"""Seconds before a target that failed is tried again: the first time, and at most; doubled each time."""
_URL_WITHIN, _COMMAND_WITHIN = 30.0, 60.0
"""Seconds that one message may take."""
_SEND = os.path.join(os.path.dirname(os.path.abspath(__file__)), "send.py")
_LOOKING = ":alert.urls"


class _Sending(Struct):
    """What an errand that runs is about: the state of one target."""

    notices: list[str]


class _Target:
    """One way to tell somebody, as configured now."""

    def __init__(self, name: str, label: str, url: str | None = None) -> None:
        self.name = name
        self.label = label
        self.url = url
        self.busy = False
        self.attempts = 0
        """Failures in a row."""
        self.said: str | None = None
        """The reason that was told last."""
        self.timer: asyncio.TimerHandle | None = None


class Delivery:
    """The queue of one tree."""

    def __init__(self, shell: Shell, kept: KeptFiles) -> None:
        self._shell = shell
        self._kept = kept
        self._notices: dict[str, Notice] = {}
        self._targets: dict[str, _Target] = {}
        self._sending: dict[str, _Sending] = {}
        self._aside = Aside(shell.loop, 1)
        self._writing = False
        self._file_attempts = 0
        self._looked_at: list[tuple[str, str]] = []
        """URLs of which it is known whether Apprise knows them."""
        self.closing = False
        """The tree is to end: nothing more is begun."""
        self.on_sent: Callable[[], None] = lambda: None
        """A target has got something, or has failed to."""

    @property
    def targets(self) -> list[str]:
        """Whom a new notice goes to."""
        return list(self._targets)

    def waiting(self) -> int:
        """Notices that somebody still has to get."""
        return len(self._notices)

    def sending(self) -> bool:
        """Whether something is being sent right now."""
        return any(target.busy for target in self._targets.values())

    # State

    def load(self, key: str, value: bytes) -> None:
        """A piece of the state of the root before us; keys of others are left alone."""
        if key.startswith(_NOTICE):
            self._notices[key.removeprefix(_NOTICE)] = msgspec.json.decode(value, type=Notice)
        elif key.startswith(_SENDING):
            self._sending[key.removeprefix(_SENDING)] = msgspec.json.decode(value, type=_Sending)

    def load_file(self, notice: Notice) -> None:
        """One that waited when the tree before us ended."""
        self._notices[notice.id] = notice
        self._shell.state(_NOTICE + notice.id, msgspec.json.encode(notice))

    def resume(self) -> None:
        """After a take-over: go on with what is being sent; tidy away files of what was delivered just before."""
        self._configure()
        for name, sending in list(self._sending.items()):
            target = self._targets.get(name)
            if target is not None and self._adopt(target, sending):
                target.busy = True
            else:
                self._not_sending(name)
        for notice in self._notices.values():
            self._keep(notice)
        self._shell.background.begin("files of alerts", self._tidy())
        self._go_on()

    def _adopt(self, target: _Target, sending: _Sending) -> bool:
        return self._shell.errands.adopt(_errand(target.name), lambda ended: self._ended(target, sending, ended))

    async def _tidy(self) -> None:
        for name in await self._shell.loop.run_in_executor(None, self._kept.names):
            if name.removesuffix(".json") not in self._notices and name != "conditions.json":
                self._kept.put(name, lambda: None)

    def replan(self) -> None:
        """The settings may have changed: a target that is gone gets nothing any more."""
        self._configure()
        self._go_on()
        urls = [(target.label, target.url) for target in self._targets.values() if target.url is not None]
        if urls and urls != self._looked_at:
            self._looked_at = urls
            self._shell.background.begin("urls of alerts", self._look_at(urls))

    async def _look_at(self, urls: list[tuple[str, str]]) -> None:
        """A slip in a URL is to be known now, and not in the night when it is needed."""
        shell = self._shell
        if shell.errands.has(_LOOKING):
            return
        log = os.path.join(self._kept.folder, "urls.log")
        env = {"SUPERVISOR_TREE_ALERT_URLS": msgspec.json.encode(urls).decode()}
        try:
            program = await shell.errands.program(None, (sys.executable, "-P", _SEND), env=env, log=log)
            ended = await shell.errands.run(_LOOKING, program, _URL_WITHIN)
            if ended.exit.code == 2:
                words = await shell.loop.run_in_executor(None, last_words, log, ended.started)
                unknown = json.loads(words) if words.startswith("[") else [words]
                for label in unknown:
                    shell.note("alert_target_unknown", None, target=label)
        except config.Held as held:
            shell.note("alert_target_unknown", None, target=f"urls ({held})")
        except Exception as error:
            shell.internal_error("urls of alerts", error)
        shell.flush()

    def _configure(self) -> None:
        settings = self._shell.plan.alerts
        wanted: dict[str, _Target] = {}
        for number, url in enumerate(settings.urls, 1):
            name = f"url-{hashlib.sha256(url.encode()).hexdigest()[:8]}"
            # Of many services even the host part of the URL is a secret: only the kind is shown.
            wanted.setdefault(name, _Target(name, f"{url.partition(':')[0]}:// (url {number})", url))
        if settings.command is not None:
            wanted["command"] = _Target("command", "alerts.command")
        for name, target in self._targets.items():
            if name in wanted:
                target.label = wanted[name].label
                wanted[name] = target
            elif target.timer is not None:
                target.timer.cancel()
        self._targets = wanted
        for notice in list(self._notices.values()):
            gone = [name for name in notice.todo if name not in wanted]
            if gone:
                self._shell.note(
                    "alert_not_sent",
                    None,
                    alert=notice.id,
                    target=", ".join(gone),
                    reason="it is no longer configured",
                    again=None,
                )
                self._done(notice, gone)

    def push(self, notice: Notice) -> None:
        """One more notice, with the present round's commit."""
        self._notices[notice.id] = notice
        self._done(notice, [])
        self._fold()
        self._shell.after_commit(self._go_on)

    def _fold(self) -> None:
        """Of too many that wait the oldest become fewer."""
        busy = {id_ for sending in self._sending.values() for id_ in sending.notices}
        while len(self._notices) > folding.WAITING and (pair := folding.oldest(self._notices, busy)) is not None:
            older, newer = pair
            one = folding.fold(older, newer)
            files = [file.path for file in (*older.files, *newer.files)]
            if one.folded & (one.folded - 1) == 0 or files:  # not at each of thousands
                targets = [self._targets[name].label for name in one.todo if name in self._targets]
                self._shell.note("alerts_folded", None, alert=one.id, messages=one.folded, targets=targets, files=files)
            self._notices[one.id] = one  # in the place of the newer: on the disk it is there before the older goes
            self._done(one, [])
            older.files = []
            self._done(older, older.todo)

    def _done(self, notice: Notice, targets: list[str]) -> None:
        notice.todo = [name for name in notice.todo if name not in targets]
        if notice.todo or notice.files:
            self._shell.state(_NOTICE + notice.id, msgspec.json.encode(notice))
        else:
            del self._notices[notice.id]
            self._shell.state(_NOTICE + notice.id, None)
        self._keep(notice)

    def _keep(self, notice: Notice) -> None:
        def make() -> bytes | None:
            return msgspec.json.encode(notice) if notice.id in self._notices else None

        self._kept.put(f"{notice.id}.json", make)

    def _go_on(self) -> None:
        for target in self._targets.values():
            self._begin(target)
        self._write_files()

    # One target

    def _pending(self, target: _Target) -> list[Notice]:
        return [notice for notice in self._notices.values() if target.name in notice.todo]

    def _begin(self, target: _Target) -> None:
        """Send what waits for this target, unless it is being sent to, or is to be left alone for a while."""
        if self.closing or target.busy or target.timer is not None or not self._pending(target):
            return
        target.busy = True
        self._shell.background.begin(f"alert to {target.label}", self._send(target))

    async def _send(self, target: _Target) -> None:
        shell = self._shell
        pending = self._pending(target)
        if not pending or self._targets.get(target.name) is not target:
            target.busy = False
            return
        if target.url is None:
            pending = pending[:1]  # a program gets each event for itself
        message = merged(pending)
        sending = self._sending[target.name] = _Sending([notice.id for notice in pending])
        argv: tuple[str, ...]
        if target.url is not None:
            argv, within = (sys.executable, "-P", _SEND), _URL_WITHIN
            env = {
                "SUPERVISOR_TREE_ALERT_URL": target.url,
                "SUPERVISOR_TREE_ALERT": for_apprise(message, target.label),
            }
        else:
            command = shell.plan.alerts.command
            assert command is not None
            argv, within = ("/bin/sh", "-c", TO_STDIN, "sh", *command), _COMMAND_WITHIN
            env = {"SUPERVISOR_TREE_ALERT": event_of(message)}
        try:
            log = LogSettings(file=self._log(target), max_size=1_000_000, keep=1)
            program = await shell.errands.program(None, argv, env=env, log=log)
            shell.state(_SENDING + target.name, msgspec.json.encode(sending))
            shell.errands.start(
                _errand(target.name),
                program,
                timeout=within,
                on_end=lambda ended: self._ended(target, sending, ended),
            )
        except config.Held as held:
            self._failed(target, sending, str(held))
        except Exception as error:
            shell.internal_error(f"alert to {target.label}", error)
            self._failed(target, sending, repr(error))
        shell.flush()

    def _ended(self, target: _Target, sending: _Sending, ended: Ended) -> None:
        if not ended.exit.normal:
            self._shell.background.begin(f"alert to {target.label}", self._look_why(target, sending, ended))
            return
        target.busy = False
        now = time.time()
        notices = [self._notices[id_] for id_ in sending.notices if id_ in self._notices]
        for notice in notices:
            names = list(dict.fromkeys(item.name for item in notice.items if item.name))
            self._shell.note(
                "alert_sent",
                names[0] if len(names) == 1 else None,
                alert=notice.id,
                target=target.label,
                names=names[:20],
                alerts=len(notice.items),
                attempts=target.attempts + 1,
                seconds=round(max(0.0, now - notice.at), 3),
            )
            self._done(notice, [target.name])
        self._not_sending(target.name)
        target.attempts, target.said = 0, None
        self._shell.after_commit(lambda: self._begin(target))
        self._shell.after_commit(self.on_sent)

    async def _look_why(self, target: _Target, sending: _Sending, ended: Ended) -> None:
        """The last words of what failed to send it are the reason."""
        words = ""
        if ended.exit.code is not None or ended.exit.signal is not None:
            words = await self._shell.loop.run_in_executor(None, last_words, self._log(target), ended.started)
        reason = ended.exit.reason + (f": {words}" if words else "")
        self._failed(target, sending, reason)
        self._shell.flush()

    def _failed(self, target: _Target, sending: _Sending, reason: str) -> None:
        target.busy = False
        target.attempts += 1
        delay = min(_MOST, _FIRST * 2.0 ** min(target.attempts - 1, 20))
        self._not_sending(target.name)
        if target.said != reason:
            target.said = reason
            self._shell.note(
                "alert_not_sent",
                None,
                alert=sending.notices[-1],
                target=target.label,
                reason=reason,
                attempts=target.attempts,
                waiting=len(self._pending(target)),
                again=delay,
            )
        self._fold()
        self._shell.after_commit(self.on_sent)
        if self._targets.get(target.name) is target:
            target.timer = self._shell.loop.call_later(delay, self._again, target)

    def _again(self, target: _Target) -> None:
        target.timer = None
        self._begin(target)

    def _not_sending(self, name: str) -> None:
        self._sending.pop(name, None)
        self._shell.state(_SENDING + name, None)

    def _log(self, target: _Target) -> str:
        return os.path.join(self._kept.folder, f"{target.name}.log")

    # Files

    def _write_files(self) -> None:
        if not self._writing and any(notice.files for notice in self._notices.values()):
            self._writing = True
            self._shell.background.begin("files of alerts", self._write_all())

    async def _write_all(self) -> None:
        try:
            await self._write_each()
        finally:
            self._writing = False

    async def _write_each(self) -> None:
        """In a thread of its own, as long as it takes: to give up and write again would write it twice."""
        shell = self._shell
        while (notice := next((each for each in self._notices.values() if each.files), None)) is not None:
            file = notice.files[0]
            try:
                await self._aside.do(lambda file=file: append(file), 1e6)  # type: ignore[misc]
            except (OSError, TooLate) as error:
                self._file_attempts += 1
                delay = min(_MOST, _FIRST * 2.0 ** min(self._file_attempts - 1, 20))
                if self._file_attempts == 1:
                    reason = getattr(error, "strerror", None) or "there is no thread for it"
                    shell.note(
                        "alert_not_sent",
                        None,
                        alert=notice.id,
                        target=file.path,
                        reason=reason,
                        attempts=1,
                        again=delay,
                    )
                    shell.flush()
                await asyncio.sleep(delay)
                continue
            self._file_attempts = 0
            notice.files = notice.files[1:]
            shell.note("alert_written", None, alert=notice.id, file=file.path)
            self._done(notice, [])
            shell.after_commit(self.on_sent)
            shell.flush()


def _errand(target: str) -> str:
    return f":alert.{target}"
