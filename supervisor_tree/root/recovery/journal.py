"""The journal's lines about recoveries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from supervisor_tree.core.recovery.outcomes import Result
from supervisor_tree.core.recovery.progress import Recovery

if TYPE_CHECKING:
    from supervisor_tree.root.shell import Shell


def triggered(shell: Shell, recovery: Recovery, result: Result | None) -> None:
    shell.note(
        "recovery_triggered",
        recovery.about,
        rule=recovery.rule.name,
        why=recovery.why,
        exit=recovery.exit,
        signal=result.signal if result is not None else None,
        outcome=recovery.outcome,
        matched=list(recovery.matched),
        run=recovery.run,
    )


def stepped(shell: Shell, recovery: Recovery, result: dict[str, Any]) -> None:
    shell.note("recovery_step", recovery.about, run=recovery.run, **result)


def ended(shell: Shell, recovery: Recovery, *, cancelled: bool = False) -> None:
    ok = not cancelled and recovery.failures == 0
    shell.note(
        "recovery_ended",
        recovery.about,
        rule=recovery.rule.name,
        ok=ok,
        cancelled=cancelled,
        failures=recovery.failures,
        exit=recovery.exit,
        run=recovery.run,
    )
