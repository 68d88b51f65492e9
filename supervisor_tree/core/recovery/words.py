"""What a recovery's log says: (level, text) of each thing that happens.

People look for these with `grep`: `Recovery triggered`, `exit code`, `recovery|restart|clear` (guardian_wrapper.sh).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from supervisor_tree.core.recovery.outcomes import Result
from supervisor_tree.core.recovery.progress import Recovery
from supervisor_tree.core.recovery.rules import Step

INFO, WARN, ERROR, CRITICAL, OUTPUT = "INFO", "WARN", "ERROR", "CRITICAL", "OUTPUT"

Said = tuple[str, str]


def ended(about: str, result: Result, named: str | None) -> Said:
    """How the program ended that was run."""
    name = f" ({named})" if named is not None else ""
    if not result.failed:
        return INFO, f"{about} completed successfully, {result.words}{name}"
    return WARN, f"{about} failed, {result.words}{name}"


def unexpected(result: Result) -> Said:
    """A failure that no rule is for."""
    return ERROR, f"Unexpected {result.words}; no recovery rule is for it"


def tail(lines: list[str], most: int) -> list[Said]:
    """The last lines of what it wrote."""
    return [(INFO, f"Script output (last {most} lines):"), *((OUTPUT, line) for line in lines[-most:])]


def crashed(text: str) -> list[Said]:
    """A word of warning where the output ends as that of a Python program does which an exception has ended.

    Its status is 1 then, which many a check means as “degraded”.
    """
    _, traceback, rest = text.rpartition("Traceback (most recent call last):")
    last = rest.rstrip().rpartition("\n")[2]
    if not traceback or last.startswith(" ") or not last.partition(":")[0].replace(".", "").isidentifier():
        return []
    return [(WARN, f"The output ends with a Python traceback: it may be the program itself that failed ({last[:200]})")]


def triggered(recovery: Recovery, result: Result | None) -> Said:
    for_ = result.words if result is not None else f"{recovery.about} ({recovery.why})"
    more = f"{recovery.about}, {recovery.why}" if result is not None else "worker"
    names = f", matched {', '.join(recovery.matched)}" if recovery.matched else ""
    return WARN, f"Recovery triggered for {for_} ({more}{names}; rule {recovery.rule.name})"


def suppressed(rule: str, about: str, reason: str) -> Said:
    return WARN, f"Recovery suppressed for {about} (rule {rule}): {reason}"


_BEGINS = {
    "clear_locks": "Clearing stale lock files: {}",
    "restart": "Restarting {} and waiting until ready",
    "reload": "Reloading {}",
    "rerun": "Re-verifying: running it again",
    "command": "Running {}",
}


def begins(step: Step) -> Said:
    """A step is about to be done."""
    if step.verb == "wait":
        return INFO, f"Waiting {step.seconds:g} s"
    if step.verb == "alert":
        return CRITICAL if step.level == "critical" else WARN, f"Raising a {step.level} alert"
    joined = (" " if step.verb == "command" else ", ").join(step.names)
    return WARN if step.verb == "restart" else INFO, _BEGINS[step.verb].format(joined)


def step(recovery: Recovery, result: dict[str, Any]) -> Said:
    """A step's result."""
    level = ERROR if result["ok"] is False else INFO
    verb = result["verb"].replace("_", " ")
    failed = " failed" if result["ok"] is False else ""
    return level, f"Step {result['step']}/{len(recovery.rule.steps)} {verb}{failed}: {result['text']}"


def steered(step: Step, results: Sequence[Mapping[str, Any]]) -> tuple[bool, str]:
    """What came of a restart or reload, of each of those it was for (the results of the operation)."""
    good = "restarted and ready" if step.verb == "restart" else "reloaded"
    said = [f"{each['name']} {good}" if each["ok"] else f"{each['name']}: {each['reason']}" for each in results]
    return all(each["ok"] for each in results), ", ".join(said)


def title(recovery: Recovery) -> str:
    """What an alert is about, in one line."""
    names = f" ({', '.join(recovery.matched)})" if recovery.matched else ""
    return f"{recovery.about}: {recovery.why}{names}"


def over(recovery: Recovery) -> Said:
    """The whole has ended."""
    failures = recovery.failures
    original = f"; the original exit code: {recovery.exit} stands" if recovery.exit is not None else ""
    if failures:
        return ERROR, f"Recovery completed, {failures} step{'' if failures == 1 else 's'} failed{original}"
    return INFO, f"Recovery actions completed{original}"
