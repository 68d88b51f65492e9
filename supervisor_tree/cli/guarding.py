"""What `guard` does: run the script, capture, classify, and go through the steps of the rules that fire."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import msgspec

from supervisor_tree.cli.errors import CommandError
from supervisor_tree.cli.guard_past import Pasts
from supervisor_tree.cli.guard_programs import Interrupted, Programs, kill
from supervisor_tree.config import recovering
from supervisor_tree.config.tree_kinds import LogSettings
from supervisor_tree.core.recovery import words
from supervisor_tree.core.recovery.outcomes import Result, outcome
from supervisor_tree.core.recovery.progress import Recovery
from supervisor_tree.core.recovery.rules import Rule, Step, answers_run, matched
from supervisor_tree.root.recovery import alert_file, log_file
from supervisor_tree.system import locks

if TYPE_CHECKING:
    from supervisor_tree.cli.ask import Root
    from supervisor_tree.cli.target import Target
    from supervisor_tree.config.job_settings import RecoverSettings

_MOST_READ = 8 << 20
"""Bytes at the end of a script's output that patterns are looked for in."""
_TIMED_OUT = 124
_GRACE = 10.0
"""Seconds that the script has to end when we are told to."""
_CONTEXT = 20
"""Lines of output that an alert carries."""


class Guard:
    """One script under guard."""

    def __init__(
        self,
        *,
        script: str,
        folder: str,
        state_dir: str | None,
        outcomes: dict[str, str],
        success: tuple[int | str, ...],
        timeout: float | None,
        rules: dict[str, RecoverSettings],
        target: Target | None,
        about: str | None,
    ) -> None:
        self.script = script
        self._name = os.path.splitext(os.path.basename(script))[0]
        self.about = about or os.path.basename(script)
        self._outcomes = outcomes or recovering.OUTCOMES
        self._success = success
        self._timeout = timeout
        now, id_ = time.time(), self._name
        self._rules = [
            (
                recovering.finished(recovering.rule(name, settings), log_file.names(now, id_)),
                log_file.of(settings.log, now, id_),
            )
            for name, settings in rules.items()
        ]
        logs = [log for _, log in self._rules if log is not None]
        self._log = logs[0] if logs else LogSettings(file=os.path.join(folder, "logs", "guardian.log"), tail=50)
        self._folder = folder
        self._target = target
        self._argv: list[str] = []
        self._text = ""
        """The end of what the last run wrote."""
        where = os.path.dirname(self._log.file)
        self.output = os.path.join(where, f"guardian_{self._name}_output.log")
        self._retry = os.path.join(where, f"guardian_retry_{self._name}.log")
        kept = os.path.join(state_dir, "guard.json") if state_dir else os.path.join(where, ".guardian.json")
        self._pasts = Pasts(kept, os.path.basename(script))
        self._programs = Programs()

    # Saying

    def say(self, *said: words.Said, log: LogSettings | None = None) -> None:
        """Into the log and on standard output, which cron's line sends to a file of its own."""
        if not said:
            return
        rows = log_file.lines(said, time.time())
        try:
            sys.stdout.write("".join(f"{row}\n" for row in rows))
            sys.stdout.flush()
        except OSError:  # nobody reads it, or the disk is full: no reason for another exit status than the script's
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for the rest of our life
        try:
            log_file.append(log or self._log, rows)
        except OSError as error:
            print(f"supervisor-tree: {error.filename or self._log.file}: {error.strerror}", file=sys.stderr)

    def cannot_recover(self, why: str) -> None:
        """The script is run, and nothing is done about its result."""
        self.say((words.ERROR, f"No recovery is possible: {why}"))
        self._rules = []

    # Running

    def run(self, argv: list[str]) -> int:
        """Run the script, heal, and return its own exit status."""
        self._argv = argv
        self._programs.listen()
        self.say(
            (words.INFO, f"Starting guard of {self.script}{'' if self._target else ' (no tree is running)'}"),
            (words.INFO, f"Executing: {' '.join(argv)}"),
        )
        try:
            result, status = self._execute(self.output)
            self._after(result)
        except Interrupted as interrupted:
            name = signal.Signals(interrupted.number).name
            self.say((words.ERROR, f"Ended by {name}: exit code: {128 + interrupted.number}"))
            return 128 + interrupted.number
        return status

    def _execute(self, output: str) -> tuple[Result, int]:
        """One run of the script with its output in a file; its result, and the exit status for it.

        Raises:
            Interrupted: we were asked to end; the script has been.
            CommandError: it can't be run.
        """
        with self._opened(output) as file:
            result = self._execute_into(file)
            self._text = _last(file)
        return result

    def _execute_into(self, file: BinaryIO) -> tuple[Result, int]:
        stdin = subprocess.DEVNULL if sys.stdin is None or sys.stdin.isatty() else None
        try:
            child = self._programs.make(self._argv, stdin=stdin, stdout=file, stderr=subprocess.STDOUT)
        except OSError as error:
            self.say((words.ERROR, f"Script can't be run: {self._argv[0]}: {error.strerror}"))
            raise CommandError("failed", f"{self._argv[0]}: {error.strerror}") from error
        try:
            self._programs.made()
            code = child.wait(self._timeout)
        except subprocess.TimeoutExpired:
            kill(child, signal.SIGKILL)
            child.wait()
            return Result(signal="SIGKILL", timed_out=True), _TIMED_OUT
        except Interrupted as interrupted:
            kill(child, interrupted.number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(_GRACE)
            kill(child, signal.SIGKILL)
            child.wait()
            raise
        if code < 0:
            name = signal.Signals(-code).name
            failed = name not in self._success and name.removeprefix("SIG") not in self._success
            return Result(signal=name, failed=failed), 128 - code
        return Result(exit=code, failed=code not in self._success), code

    def _opened(self, output: str) -> BinaryIO:
        """The file for a run's output; where there can be none, one that nobody finds later: it is run anyway."""
        try:
            os.makedirs(os.path.dirname(output), exist_ok=True)
            return open(output, "w+b")
        except OSError as error:
            self.say((words.ERROR, f"Output can't be kept: {output}: {error.strerror}"))
            return cast("BinaryIO", tempfile.TemporaryFile())

    # Healing

    def _after(self, result: Result) -> None:
        named = outcome(self._outcomes, result)
        self.say(words.ended(self.about, result, named))
        text = self._text
        if result.failed and self._log.tail:
            self.say(*words.tail(text.splitlines(), self._log.tail))
        if result.failed:
            self.say(*words.crashed(text))
        fired = False
        for rule, log in self._rules:
            why = answers_run(rule, result, named, self._outcomes)
            if why is not None:
                fired = True
                self._recover(rule, log or self._log, result, named, why, text)
        if result.failed and self._rules and not fired:
            self.say(words.unexpected(result))

    def _recover(self, rule: Rule, log: LogSettings, result: Result, named: str | None, why: str, text: str) -> None:
        recovery = Recovery(
            id=f"{os.getpid():x}-{int(time.time() * 1000):x}",
            rule=rule,
            about=self.about,
            why=why,
            exit=result.exit,
            outcome=named,
            matched=matched(rule, text),
            started=time.time(),
        )
        tree = _Tree(self._target)
        try:
            refusal = tree.begin(recovery) if tree.runs else self._pasts.begin(rule, recovery.id)
            if refusal is not None:
                self.say(words.suppressed(rule.name, self.about, refusal), log=log)
                return
            self.say(words.triggered(recovery, result), log=log)
            while (at := recovery.step()) is not None:
                step = at[1]
                self.say(words.begins(step), log=log)
                started = time.time()
                ok, said = self._step(tree, recovery, step, log, text)
                done = recovery.done(ok, said, started=started, ended=time.time())
                self.say(words.step(recovery, done), log=log)
                tree.told(recovery, "step", **done)
            self.say(words.over(recovery), log=log)
            tree.told(recovery, "ended", ok=recovery.failures == 0, steps=len(recovery.results))
            if not tree.runs:
                self._pasts.end(rule)
        finally:
            tree.close()

    def _step(self, tree: _Tree, recovery: Recovery, step: Step, log: LogSettings, text: str) -> tuple[bool, str]:
        """Do one step; whether it went well, and what came of it."""
        try:
            match step.verb:
                case "clear_locks":
                    return _clear(step, lambda *said: self.say(*said, log=log))
                case "restart" | "reload":
                    return tree.steer(recovery, step)
                case "alert":
                    return self._alert(tree, recovery, step, text)
                case "wait":
                    _sleep(step.seconds)
                    return True, f"waited {step.seconds:g} s"
                case "rerun":
                    return self._rerun()
            return self._command(step, log)
        except (OSError, CommandError) as error:
            return False, str(error)

    def _alert(self, tree: _Tree, recovery: Recovery, step: Step, text: str) -> tuple[bool, str]:
        said = []
        lines = text.splitlines()[-_CONTEXT:]
        if step.file is not None:
            alert_file.write(step.file, step, recovery, lines, time.time())
            said.append(f"{step.level} alert logged to {step.file}")
        if tree.runs:
            tree.alert(recovery, step, lines)
            said.append("the tree raised it")
        elif step.file is None:
            return False, "nobody was told: no tree is running, and the step names no file"
        return True, ", ".join(said)

    def _rerun(self) -> tuple[bool, str]:
        result, _ = self._execute(self._retry)
        if result.failed:
            return False, f"Re-verification failed, {result.words}; its output is in {self._retry}"
        return True, f"Re-verification successful, {result.words}; its output is in {self._retry}"

    def _command(self, step: Step, log: LogSettings) -> tuple[bool, str]:
        from supervisor_tree.config.environment import absolute

        done = self._programs.make(
            absolute(step.names, self._folder),
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            self._programs.made()
            output, _ = done.communicate(timeout=step.timeout)
        except subprocess.TimeoutExpired:
            kill(done, signal.SIGKILL)
            done.communicate()
            return False, f"not done within {step.timeout:g} s: killed"
        except Interrupted:
            kill(done, signal.SIGKILL)
            done.communicate()
            raise
        lines = output.decode(errors="replace").splitlines()[-_CONTEXT:]
        self.say(*((words.OUTPUT, line) for line in lines), log=log)
        return done.returncode == 0, f"exit code: {done.returncode}"


class _Tree:
    """The running tree, for the steps that are its own; one that stops answering fails those steps and no others."""

    def __init__(self, target: Target | None) -> None:
        from supervisor_tree.cli.ask import Root

        self._root: Root | None = Root(target) if target is not None else None

    @property
    def runs(self) -> bool:
        return self._root is not None

    def begin(self, recovery: Recovery) -> str | None:
        """Why it is not to be done now, by the tree's own count; None: it is begun."""
        assert self._root is not None
        try:
            refusal: str | None = self._root.ask(
                "recovery", what="begin", recovery=json.loads(msgspec.json.encode(recovery))
            )["refused"]
        except CommandError:
            return None  # what can be done without it shall be
        return refusal

    def told(self, recovery: Recovery, what: str, **fields: Any) -> None:
        if self._root is not None:
            with contextlib.suppress(CommandError):
                self._root.ask("recovery", what=what, recovery=_short(recovery), fields=fields)

    def alert(self, recovery: Recovery, step: Step, lines: list[str]) -> None:
        assert self._root is not None
        self._root.ask("recovery", what="alert", recovery=_short(recovery), level=step.level, lines=lines)

    def steer(self, recovery: Recovery, step: Step) -> tuple[bool, str]:
        """restart or reload; a restart is over when they are ready."""
        if self._root is None:
            return False, f"impossible: no tree is running that could {step.verb} {', '.join(step.names)}"
        command = "restart" if step.verb == "restart" else "reload_names"
        reason = f"recovery {recovery.rule.name}: {recovery.about} ended with {recovery.outcome or recovery.exit}"
        answer = self._root.ask(command, within=step.timeout, names=list(step.names), reason=reason, recovery=True)
        return words.steered(step, answer["results"])

    def close(self) -> None:
        if self._root is not None:
            self._root.__exit__()


def _short(recovery: Recovery) -> dict[str, Any]:
    return {
        "id": recovery.id,
        "rule": {"name": recovery.rule.name},
        "about": recovery.about,
        "why": recovery.why,
        "exit": recovery.exit,
        "outcome": recovery.outcome,
        "matched": list(recovery.matched),
        "results": recovery.results,
    }


def _clear(step: Step, say: Callable[..., None]) -> tuple[bool, str]:
    removals = [removal for path in locks.find(step.names) if (removal := locks.clear(path)) is not None]
    say(*((words.INFO if removal.removed else words.WARN, removal.words) for removal in removals))
    return locks.told(removals)


def _last(file: BinaryIO) -> str:
    """The end of what was written into a file."""
    start = max(0, os.fstat(file.fileno()).st_size - _MOST_READ)
    return os.pread(file.fileno(), _MOST_READ, start).decode(errors="replace")


def _sleep(seconds: float) -> None:
    time.sleep(seconds)  # noqa: TID251 - the step is to wait; a signal ends it
