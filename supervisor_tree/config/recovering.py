"""`[recover.NAME]` as a rule of the core; and the recipe that `guard` has where no file has one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from msgspec import structs

from supervisor_tree.config.job_settings import VERBS, RecoverSettings, Step
from supervisor_tree.config.tree_kinds import LogSettings
from supervisor_tree.config.variables import finish
from supervisor_tree.core.recovery import rules

if TYPE_CHECKING:
    from supervisor_tree.config.plan import Plan

OUTCOMES = {"0": "healthy", "1": "degraded", "2": "unhealthy", "other": "unexpected"}
"""What exit statuses mean to guardian_wrapper.sh, and to `guard` where no job says otherwise."""


def rule(name: str, settings: RecoverSettings) -> rules.Rule:
    """The rule as the core has it."""
    return rules.Rule(
        name=name,
        when=settings.when,
        match=settings.match,
        ignore_case=settings.ignore_case,
        count=settings.count,
        within=settings.within,
        cooldown=settings.cooldown,
        max=settings.max,
        per=settings.per,
        steps=tuple(map(_step, settings.steps)),
        stop_on_failure=settings.stop_on_failure,
    )


def _step(step: Step) -> rules.Step:
    verb = next(verb for verb in VERBS if getattr(step, verb) is not None)
    return rules.Step(
        verb=verb,
        names=step.clear_locks or step.restart or step.reload or step.command or (),
        level=step.alert or "",
        seconds=step.wait or 0.0,
        timeout=step.timeout,
        if_=step.if_,
        file=step.file,
    )


def finished(rule: rules.Rule, names: dict[str, str]) -> rules.Rule:
    """The rule with what only a run knows: `run.time` and `run.id` in commands, globs and names of files."""

    def of(step: rules.Step) -> rules.Step:
        file = None if step.file is None else finish(step.file, names)
        return structs.replace(step, names=tuple(finish(name, names) for name in step.names), file=file)

    return structs.replace(rule, steps=tuple(map(of, rule.steps)))


def guardian(folder: str) -> RecoverSettings:
    """The recipe of guardian_wrapper.sh, which is that of the example in `configuration.md`; paths below ``folder``."""
    return RecoverSettings(
        when=("degraded", "unhealthy"),
        ignore_case=True,
        match={
            "uw": ("connection_error", "timeout", "UW.*fail", "socket.*fail"),
            # With a space, too: the check that it is for prints `SIP Feed:`, which guardian_wrapper.sh could not match.
            "sip": ("SIP.*delay", "sip[_ ]feed.*error", "sip[_ ]feed.*no_data"),
        },
        cooldown=600.0,
        max=5,
        per=86400.0,
        steps=(
            Step(clear_locks=(os.path.join(folder, "state/*.lock"),)),
            Step(restart=("uw-daemon",), if_="uw"),
            Step(alert="critical", if_="sip", file=os.path.join(folder, "logs/alpaca_sip_alert_\0{run.time}.txt")),
            Step(restart=("trading-bot",), if_="sip"),
            Step(wait=5.0),
            Step(rerun=True),
        ),
        log=LogSettings(file=os.path.join(folder, "logs/guardian.log"), tail=50),
    )


def lock_globs(plan: Plan) -> list[str]:
    """The globs of all `clear_locks`, each once."""
    steps = (step for settings in plan.recover.values() for step in settings.steps)
    return list(dict.fromkeys(glob for step in steps for glob in step.clear_locks or ()))
