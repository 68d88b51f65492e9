"""`ctl recover`: what recovery rules would do; `ctl locks`: who holds the lock files that they may clear.

Both read the tree file as it is now, so that a rule can be tried before it is loaded; nothing is done.
"""

from __future__ import annotations

import json
import os
from datetime import datetime

from supervisor_tree.cli import table
from supervisor_tree.cli.errors import CommandError, did_you_mean
from supervisor_tree.cli.table import Cell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable
    from typing import Any

    from supervisor_tree.config import Plan
    from supervisor_tree.config.settings import ProgramSettings
    from supervisor_tree.core.recovery.forecast import Forecast
    from supervisor_tree.core.recovery.outcomes import Result
    from supervisor_tree.core.recovery.rules import Rule

_DEFAULT_LOCKS = "state/*.lock"
"""Looked at where no rule clears locks, as guardian_wrapper.sh does."""


def _recover_arguments(parser: ArgumentParser) -> None:
    parser.usage = (
        "%(prog)s [options] NAME --dry-run --exit N [--output FILE]\n       %(prog)s [options] NAME --replay JOB"
    )
    parser.add_argument("name", metavar="NAME", help="a rule, or a job or worker: then all of its rules")
    parser.add_argument("--dry-run", action="store_true", help="show what would be done, and do nothing")
    parser.add_argument("--exit", metavar="N|SIGNAL|timeout", help="as if the program had ended so")
    parser.add_argument("--output", metavar="FILE", help="as if it had written this (- reads standard input)")
    parser.add_argument("--replay", metavar="JOB", help="show it for each run of this job so far")


def _locks_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("globs", metavar="GLOB", nargs="*", help="lock files (default: those of all clear_locks steps)")


def _plan(args: Namespace) -> Plan:
    from supervisor_tree import config
    from supervisor_tree.cli import target

    files = args.config
    if args.tree:
        files = [target.find(None, args.tree).file]
    if files is None:
        named = os.environ.get("SUPERVISOR_TREE_CONFIG")
        files = named.split(os.pathsep) if named else ["tree.toml"]
        if not named and not os.path.exists("tree.toml"):
            files = [target.find(None, None).file]
    try:
        return config.load(files, os.environ)
    except config.ConfigError as error:
        raise CommandError("config", str(error)) from error


# Locks


def locks(args: Namespace) -> int:
    from supervisor_tree.config import recovering
    from supervisor_tree.system import locks as lock_files

    globs = args.globs
    if not globs:
        plan = _plan(args)
        globs = recovering.lock_globs(plan) or [os.path.join(plan.dir, _DEFAULT_LOCKS)]
    found = [lock for path in lock_files.find(globs) if (lock := lock_files.look(path)) is not None]
    if args.json:
        table.print_json(
            [
                {"path": lock.path, "state": lock.state, "pid": lock.pid, "program": lock.program, "reason": lock.why}
                for lock in found
            ]
        )
        return 0
    if not found:
        print(f"no lock files: {', '.join(globs)}")
        return 0
    colours = {"held": "green", "stale": "yellow"}
    rows: list[list[str | Cell]] = [
        [lock.path, Cell(lock.state, colours.get(lock.state, "")), str(lock.pid or ""), lock.why] for lock in found
    ]
    table.show(["PATH", "STATE", "PID", "WHY"], rows, ["PID"])
    return 0


# Rules


def recover(args: Namespace) -> int:
    if (args.replay is None) == (not args.dry_run):
        raise CommandError("usage", "what is to be shown?", "give --dry-run with --exit N, or --replay JOB")
    plan = _plan(args)
    rules = _rules(plan, args.name)
    if args.replay is not None:
        return _replay(args, plan, rules)
    if args.exit is None:
        raise CommandError("usage", "--dry-run needs --exit", "say how the program ended: --exit 2, --exit SIGKILL")
    from supervisor_tree.core.recovery.forecast import forecast
    from supervisor_tree.core.recovery.progress import Past

    settings = _program(plan, args.name, rules)
    result = _result(args.exit, settings)
    text = _text(args.output) if args.output is not None else ""
    found = [forecast(rule, result, _outcomes(settings), text, Past(), 0.0) for rule in rules]
    if args.json:
        table.print_json([_json(each) for each in found])
        return 0
    for each in found:
        print("\n".join(_words(each)))
    return 0


def _replay(args: Namespace, plan: Plan, rules: list[Rule]) -> int:
    """Each run of the past, in order, with `cooldown` and `max` as they would have counted."""
    from supervisor_tree.core.recovery.forecast import forecast
    from supervisor_tree.core.recovery.outcomes import Result
    from supervisor_tree.core.recovery.progress import Past

    settings = plan.jobs.get(args.replay)
    if settings is None:
        raise CommandError("no_such_name", f"no such job: {args.replay}", did_you_mean(args.replay, plan.jobs))
    pasts = {rule.name: Past() for rule in rules}
    found: list[tuple[dict[str, Any], Forecast]] = []
    for run in _past_runs(plan, args.replay):
        if run["state"] not in ("succeeded", "failed", "timed_out") or run.get("ended") is None:
            continue
        if run.get("cause") == "rerun":
            continue  # a step of a recovery, which no rule answers
        result = Result(
            exit=run.get("exit"),
            signal=run.get("signal"),
            timed_out=run["state"] == "timed_out",
            failed=run["state"] != "succeeded",
        )
        text, at = _written(run), datetime.fromisoformat(run["ended"]).timestamp()
        for rule in rules:
            named = None if settings.outcome else run.get("outcome")
            found.append((run, forecast(rule, result, _outcomes(settings), text, pasts[rule.name], at, named)))
    if args.json:
        table.print_json([{"run": run["run"], "ended": run["ended"], **_json(each)} for run, each in found])
        return 0
    if not found:
        print(f"{args.replay} has not run yet")
        return 0
    rows = [
        [str(run["run"]), str(run["ended"]), _ended(run), each.outcome or "", each.rule, _in_short(each)]
        for run, each in found
    ]
    table.show(["RUN", "ENDED", "EXIT", "OUTCOME", "RULE", "WOULD"], rows)
    return 0


def _past_runs(plan: Plan, job: str) -> list[dict[str, Any]]:
    path = os.path.join(plan.state_dir, "jobs", job, "runs.jsonl")
    runs = []
    try:
        with open(path, "rb") as file:
            for line in file:
                try:
                    runs.append(json.loads(line))
                except ValueError:
                    continue  # torn: the tree is writing it
    except FileNotFoundError:
        return []
    return runs


def _written(run: dict[str, Any]) -> str:
    """What a run wrote: its own log where it is still there, else the tail that was kept with its record."""
    log = run.get("log")
    if log and os.path.basename(log).startswith(str(run["run"])):
        try:
            return _text(log)
        except CommandError:
            pass
    kept = run.get("output_tail") or []
    return kept if isinstance(kept, str) else "\n".join(kept)


def _rules(plan: Plan, name: str) -> list[Rule]:
    from supervisor_tree.config import recovering

    programs: dict[str, ProgramSettings] = {**plan.workers, **plan.jobs}
    if name in plan.recover:
        names: tuple[str, ...] = (name,)
    elif name in programs:
        names = programs[name].recover
        if not names:
            raise CommandError("failed", f"{name} has no recovery rules", f'add recover = ["RULE"] to {name}')
    elif name == "guardian":
        return [recovering.rule(name, recovering.guardian(plan.dir))]
    else:
        known = [*plan.recover, *programs]
        raise CommandError("no_such_name", f"no such rule, job or worker: {name}", did_you_mean(name, known))
    return [recovering.rule(each, plan.recover[each]) for each in names if each in plan.recover]


def _program(plan: Plan, name: str, rules: list[Rule]) -> ProgramSettings | None:
    """Whose outcomes count: of a rule, those of the first job that has it; None: nobody's, it is for `guard` alone."""
    programs: dict[str, ProgramSettings] = {**plan.workers, **plan.jobs}
    if name in programs and name not in plan.recover:
        return programs[name]
    return next((job for job in plan.jobs.values() if rules[0].name in job.recover), None)


def _outcomes(settings: ProgramSettings | None) -> dict[str, str]:
    from supervisor_tree.config import recovering

    return settings.outcome if settings is not None else recovering.OUTCOMES


def _result(word: str, settings: ProgramSettings | None) -> Result:
    import signal

    from supervisor_tree.core.recovery.outcomes import Result

    success = settings.success if settings is not None else (0,)
    if word == "timeout":
        return Result(signal="SIGKILL", timed_out=True)
    if word.isascii() and word.isdigit() and int(word[:9]) <= 255:
        return Result(exit=int(word), failed=int(word) not in success)
    name = word.upper() if word.upper().startswith("SIG") else f"SIG{word.upper()}"
    if name not in signal.Signals.__members__:
        raise CommandError("usage", f"--exit {word}: that is no end", "a status from 0 to 255, a signal, or timeout")
    return Result(signal=name, failed=name not in success and name.removeprefix("SIG") not in success)


def _text(path: str) -> str:
    import sys

    try:
        if path == "-":
            return sys.stdin.buffer.read().decode(errors="replace")
        with open(path, "rb") as file:
            return file.read().decode(errors="replace")
    except OSError as error:
        raise CommandError("usage", f"{path}: {error.strerror}") from error


# Telling


def _words(each: Forecast) -> list[str]:
    named = f"outcome {each.outcome}" if each.outcome else "no outcome is named for it"
    if each.fires is None:
        return [f"{each.rule}: does not fire ({named})"]
    names = f", matched {', '.join(each.matched)}" if each.matched else ", nothing matched"
    lines = [f"{each.rule}: fires ({each.fires}{names})"]
    told = (f"  {step.step}. {step.does}{f': skipped, {step.skipped}' if step.skipped else ''}" for step in each.steps)
    return [*lines, *told]


def _in_short(each: Forecast) -> str:
    if each.fires is None:
        return "nothing: it does not fire"
    if each.refused is not None:
        return f"nothing: {each.refused}"
    return "; ".join(step.does for step in each.steps if step.skipped is None)


def _json(each: Forecast) -> dict[str, Any]:
    return {
        "rule": each.rule,
        "outcome": each.outcome,
        "fires": each.fires is not None and each.refused is None,
        "reason": each.refused or each.fires,
        "matched": list(each.matched),
        "steps": [{"step": step.step, "does": step.does, "skipped": step.skipped} for step in each.steps],
    }


def _ended(run: dict[str, Any]) -> str:
    return str(run["exit"]) if run.get("exit") is not None else str(run.get("signal") or run["state"])


VERBS: dict[str, tuple[Callable[[ArgumentParser], None], Callable[[Namespace], int]]] = {
    "recover": (_recover_arguments, recover),
    "locks": (_locks_arguments, locks),
}
