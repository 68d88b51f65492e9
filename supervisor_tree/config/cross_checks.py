"""What only the whole file tells: names that must be there, files that two would write, OTP's rules of significance."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from supervisor_tree.config.problems import Path, did_you_mean
from supervisor_tree.config.settings import SupervisorSettings, WorkerSettings
from supervisor_tree.config.variables import MARK
from supervisor_tree.core.spec import AutoShutdown, Restart

if TYPE_CHECKING:
    from supervisor_tree.config.loading import Loader
    from supervisor_tree.config.places_in_tree import Arrangement


def check_rules(loader: Loader) -> None:
    """Names that rules, jobs and activities use must be there."""
    tables = loader.table("recover") if isinstance(loader.data.get("recover"), dict) else {}
    jobs = {*loader.jobs, *(loader.base_of[name] for name in loader.jobs)}
    everyone = {*loader.base_of.values(), *loader.base_of, *loader.supervisors}
    for kind, children in (("workers", loader.workers), ("jobs", loader.jobs)):
        for settings in children.values():
            for name in settings.recover:
                if name not in tables:
                    hint = did_you_mean(name, list(tables))
                    loader.problems.append(
                        ((kind, loader.base_of[settings.name], "recover"), f"there is no [recover.{name}]{hint}")
                    )
    for rule, recovery in loader.recover.items():
        for number, step in enumerate(recovery.steps):
            listed = isinstance(loader.data["recover"][rule]["steps"], list)
            for verb, names in (("restart", step.restart), ("reload", step.reload)):
                for name in names or ():
                    if (name not in everyone or name in jobs) and name not in loader.broken:
                        path: Path = ("recover", rule, "steps", *([number] if listed else []), verb)
                        hint = did_you_mean(name, sorted(everyone - jobs))
                        loader.problems.append((path, f'there is no worker or supervisor "{name}"{hint}'))
        _check_recovery(loader, rule)
    for activity, watched in loader.activity.items():
        for source in watched.any:
            if source.of is not None and source.of not in everyone and source.of not in loader.broken:
                loader.problems.append(
                    (
                        ("activity", activity, "any"),
                        f'there is no worker or job "{source.of}"{did_you_mean(source.of, sorted(everyone))}',
                    )
                )


def _check_recovery(loader: Loader, name: str) -> None:
    """Note what of a rule can never come to pass: nothing would ever say so, and that is when it is missed."""
    from supervisor_tree.config import recovering  # for a tree that has rules
    from supervisor_tree.core.recovery.rules import TRIGGERS, never_fires

    jobs = [job for job in loader.jobs.values() if name in job.recover]
    workers = [worker for worker in loader.workers.values() if name in worker.recover]
    rule = recovering.rule(name, loader.recover[name])
    tables = [each.outcome for each in (*jobs, *workers)] or [recovering.OUTCOMES]
    words = sorted({word for table in tables for word in table.values()})
    for word in never_fires(rule, words):
        hint = did_you_mean(word, [*words, *TRIGGERS])
        message = f'"{word}" is no outcome of those who have this rule, and nothing that befalls a worker{hint}'
        loader.remarks.append((("recover", name, "when"), message))
    for job in jobs:
        if rule.when is None and not any(key.isdigit() and int(key) not in job.success for key in job.outcome):
            message = f"never fires for {job.name}, whose `outcome` names no failure: write `when`, or `outcome` there"
            loader.remarks.append((("recover", name), message))
        if rule.when and all(word in TRIGGERS and word not in job.outcome.values() for word in rule.when):
            told = " and ".join(f'"{word}"' for word in rule.when) + (" befalls" if len(rule.when) == 1 else " befall")
            message = f"never fires for {job.name}: {told} workers only; of a run name an outcome, a status or a signal"
            loader.remarks.append((("recover", name, "when"), message))
    if workers and not jobs and any(step.verb == "rerun" for step in rule.steps):
        loader.remarks.append((("recover", name, "steps"), "`rerun` is for jobs: a worker has no run to repeat"))


def check_significant(tree: Arrangement) -> None:
    """OTP's two rules about significant children."""
    loader = tree.loader
    children: dict[str, WorkerSettings | SupervisorSettings] = {**loader.supervisors, **loader.workers}
    for bare, settings in children.items():
        if not settings.significant:
            continue
        base = loader.base_of.get(bare, bare)
        path = (tree.kind(base), base, "significant")
        if settings.restart is Restart.PERMANENT:
            tree.problem(
                path, 'a permanent child never ends for good: write restart = "transient" or "temporary" beside it'
            )
        parent = tree.parent.get(base)
        if parent is None:
            continue
        above = loader.supervisors[parent].auto_shutdown if parent else loader.tree.auto_shutdown
        if above is AutoShutdown.NEVER:
            where = f"[supervisors.{parent}]" if parent else "[tree]"
            tree.problem(
                path, f'has no effect, for {where} has no auto_shutdown: write auto_shutdown = "any_significant" there'
            )


def check_logs(loader: Loader) -> None:
    """Note log files that two children would share; their rotation would cut one another's lines."""
    own = f"{loader.state_dir}/logs/"
    written: dict[str, tuple[str, str]] = {}
    for kind, children in (("workers", loader.workers), ("jobs", loader.jobs)):
        for bare, settings in children.items():
            log = settings.log
            if log is None:
                continue
            for key, file in (("file", log.file), ("stderr", log.stderr)):
                if file is None or MARK in file or file == "/dev/null" or (key == "stderr" and file == log.file):
                    continue
                # The default's path is normal already, and there can be thousands of it.
                path = file if file.startswith(own) else os.path.normpath(file)
                other = written.setdefault(path, (kind, bare))
                if other == (kind, bare):
                    continue
                base = loader.base_of[bare]
                if other[1] in loader.sets.get(base, ()):
                    message = f'"{other[1]}" and "{bare}" would both write {file}: put ${{self.instance}} in its name'
                else:
                    message = f'"{other[1]}" writes {file} already: give each a file of its own'
                table = loader.data[kind][base].get("log")
                path_to = (kind, base, "log", key) if isinstance(table, dict) and key in table else (kind, base)
                loader.problems.append((path_to, message))
