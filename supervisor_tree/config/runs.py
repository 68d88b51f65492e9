"""What to run for a run of a job, or for one stage of it: worked out anew at each attempt (rules 5, 6, 12)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from supervisor_tree.config.environment import default_env
from supervisor_tree.config.job_settings import JobSettings, Stage
from supervisor_tree.config.plan import Plan
from supervisor_tree.config.problems import Held
from supervisor_tree.config.program_kinds import FromCommand, FromFile
from supervisor_tree.config.programs import log_fields, program_of
from supervisor_tree.config.templates import argument
from supervisor_tree.config.tree_kinds import LogSettings
from supervisor_tree.config.variables import MARK, RUN_NAMES, finish


def run_names(run: str, instance: str | None = None) -> dict[str, str]:
    """What `${run.id}`, `${run.time}` and, in a stage, `${self.instance}` stand for. A run's id begins with the time
    when it came to be (UTC, `20261122_140500`)."""
    names = {"run.id": run, "run.time": run[:15]}
    return names if instance is None else {**names, "self.instance": instance}


def run_log(plan: Plan, job: JobSettings, names: dict[str, str]) -> LogSettings:
    """Where the output of a run goes: all its stages and attempts into the same file."""
    log = job.log or LogSettings(file=f"{plan.state_dir}/jobs/{job.name}/{names['run.id']}.log")
    stderr = None if log.stderr is None else finish(log.stderr, names)
    return replace(log, file=finish(log.file, names), stderr=stderr)


def job_logs(plan: Plan, job: JobSettings) -> dict[str, str | None]:
    """The log files of a job: {path, stderr}; {glob, stderr_glob} instead where each run has files of its own."""
    log = job.log or LogSettings(file=f"{plan.state_dir}/jobs/{job.name}/{MARK}{{run.id}}.log")
    paths = {"path": log.file, "stderr": log.stderr}
    if not any(MARK in path for path in paths.values() if path is not None):
        return paths
    globs = {"glob": _glob(log.file), "stderr_glob": None if log.stderr is None else _glob(log.stderr)}
    return {"path": None, "stderr": None, **globs}


def _glob(path: str) -> str:
    import glob

    escaped = glob.escape(path)
    for name in RUN_NAMES:
        escaped = escaped.replace(f"{MARK}{{{name}}}", "*")
    return escaped


def run_program(
    plan: Plan, job: JobSettings, stage: Stage | None, names: dict[str, str], args: Sequence[str] = ()
) -> dict[str, Any]:
    """The fields of the keeper's `spawn` for a job's own program, or for one of its stages. May read files.

    Args:
        names: of `run_names`.
        args: after the command, as `ctl run JOB -- ARGS` has them; of a Python job KEY=VALUE, among its arguments.

    Raises:
        Held: it can't run as things are.
    """
    if job.name in plan.held:
        raise Held(plan.held[job.name])
    settings = _finished(job if stage is None else _of_stage(job, stage), names)
    command = settings.command
    if args and settings.is_python:
        settings = replace(settings, args=settings.args | dict(_key_value(word) for word in args))
    elif args and command:
        # What follows the text of `sh -c` is $0, then the arguments.
        of_shell = len(command) == 3 and command[:2] == ("/bin/sh", "-c")
        command = (*command, *(("sh",) if of_shell else ()), *args)
    log = log_fields(run_log(plan, job, names))
    table = job.name.partition("@")[0]
    code = plan.code.get(table if stage is None else f"{table}:{stage.name}")
    return program_of(plan, settings, command or None, log=log, notify=False, code=code).spawn_stopped_inside()


def _key_value(word: str) -> tuple[str, Any]:
    if "=" not in word:
        raise Held(f'"{word}" is no argument of a Python job: write KEY=VALUE')
    return argument(word)


def _of_stage(job: JobSettings, stage: Stage) -> JobSettings:
    """The job as if the stage were all of it."""
    return replace(
        job,
        command=stage.command,
        run=stage.run,
        use=stage.use,
        args=stage.args,
        preload=stage.preload or job.preload,
        python=stage.python or job.python,
        env_file=(*job.env_file, *stage.env_file),
        env={**job.env, **stage.env},
        cwd=stage.cwd or job.cwd,
    )


def _finished(settings: JobSettings, names: dict[str, str]) -> JobSettings:
    """Answered is what only the run knows."""
    return replace(
        settings,
        command=None if settings.command is None else tuple(finish(word, names) for word in settings.command),
        stop_command=None if settings.stop_command is None else tuple(finish(w, names) for w in settings.stop_command),
        args=_deep(settings.args, names),
        env={key: finish(value, names) if isinstance(value, str) else value for key, value in settings.env.items()},
        env_file=tuple(finish(file, names) for file in settings.env_file),
        cwd=None if settings.cwd is None else finish(settings.cwd, names),
    )


def _deep(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, str):
        return finish(value, names)
    if isinstance(value, dict):
        return {key: _deep(inner, names) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_deep(inner, names) for inner in value]
    return value


def is_static_job(plan: Plan, job: JobSettings) -> bool:
    """Whether nothing but the program itself can be missing when a run begins: no file is read, no command asked."""
    if job.env_file or plan.tree.env_file or job.name in plan.held or job.user is not None:
        return False
    layers = [default_env(plan, job), job.env, *(stage.env for stage in job.stages)]
    if any(stage.env_file for stage in job.stages):
        return False
    return not any(isinstance(value, FromFile | FromCommand) for env in layers for value in env.values())
