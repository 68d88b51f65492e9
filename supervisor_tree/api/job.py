"""Work that comes and goes: jobs, and the stages of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from supervisor_tree.api import tables
from supervisor_tree.api.described import Described


class Stage(Described):
    """One step of a job's run. Exactly one of `run`, `command` and `use` says what it is.

    Every argument is the key of an element of `stages` in the tree file, with the same meaning and default.

    Args:
        name: what it is called, once in its job.
        command: the program and its arguments.
        run: a function, a coroutine function, a `Worker` class, or the ``"module:attribute"`` of one, as of `Child`;
            what a function returns is its exit status.
        use: a worker that comes with the package or a plug-in, by its name.
        shell: whether `command`, a string, is given to ``/bin/sh -c``.
        args: the arguments of `run` or `use`: a table, or a `msgspec.Struct` or dataclass that stands for one.
        preload: modules that its zygote has imported before it forks.
        python: the interpreter of `run`; only of what it can import by name.
        env_file: files of variables, after those of the job.
        env: variables, over those of the job; False removes one.
        cwd: the working directory; default: that of the job.
        critical: False: the run goes on when it has failed.
        timeout: it is ended after so long.
        retries: extra attempts.
        backoff: the least delay before a retry: constant, or a table; default: that of the job.
        verify: what must pass for it to be done.
        instances: run once for each of 1 … N, or of the list; ``${self.instance}`` tells which.
        at_least: so many instances must succeed; default: all.
        parallel: instances at once.
    """

    def __init__(
        self,
        name: str,
        *,
        command: tables.Command | None = None,
        run: str | Callable[..., object] | None = None,
        use: str | None = None,
        shell: bool | None = None,
        args: Mapping[str, Any] | object | None = None,
        preload: tables.Many[str] | None = None,
        python: tables.Path | None = None,
        env_file: tables.Many[tables.Path] | None = None,
        env: tables.Env | None = None,
        cwd: tables.Path | None = None,
        critical: bool | None = None,
        timeout: tables.Duration | None = None,
        retries: int | None = None,
        backoff: tables.Duration | tables.Backoff | None = None,
        verify: tables.Many[tables.Probe] | None = None,
        instances: int | tables.Many[str | int] | None = None,
        at_least: int | None = None,
        parallel: int | None = None,
    ) -> None:
        super().__init__(name, locals())


class Job(Described):
    """A program that is run on a schedule, or by hand. It belongs to the tree: `Supervisor`'s `jobs`.

    Exactly one of `run`, `command`, `use` and `stages` says what a run of it is; at most one of `schedule`, `every`
    and `at` when it is due (with none: `ctl run NAME`). Every argument but `name` is the key of `[jobs.NAME]` in the
    tree file, with the same meaning and default; the reference of the tree file says more of each.

    Args:
        name: what it is called, once in the whole tree.
        command: the program and its arguments.
        run: a function, a coroutine function, a `Worker` class, or the ``"module:attribute"`` of one, as of `Child`;
            what a function returns is its exit status.
        use: a worker that comes with the package or a plug-in, by its name.
        shell: whether `command`, a string, is given to ``/bin/sh -c``.
        args: the arguments of `run` or `use`: a table, or a `msgspec.Struct` or dataclass that stands for one.
        preload: modules that its zygote has imported before it forks.
        python: the interpreter of `run` and `use`; only of what it can import by name.
        instances: makes NAME@1 … NAME@N, or NAME@each of the list; ``${self.instance}`` tells which.
        env_file: files of variables, read for each run.
        env: variables; False removes one.
        inherit_env: what of this program's environment is passed on: True, False or a list of names.
        cwd: the working directory.
        user: run as this user (root only).
        group: run in this group (root only).
        umask: file mode bits to clear, as ``0o022`` or ``"022"``.
        nice: scheduling priority; higher is kinder.
        limits: resource limits by their names in lower case: a value, or soft and hard.
        needs: what must have come how far before a run; until then it waits.
        require: asked before each run; while one fails it waits.
        success: exit statuses and signals that are no failure; the whole list.
        outcome: names for results.
        backoff: the least delay after a failure, before a retry and before the next `every`: constant, or a table.
        shutdown: seconds from the request to stop to the kill, or OTP's words.
        stop_signal: the request to stop.
        stop_command: a program that stops it, instead of `stop_signal`.
        stop_to: who gets `stop_signal`; KILL is always to the group.
        sweep: False leaves daemons that it started on purpose.
        log: where its output goes.
        recover: names of recovery rules, of `Supervisor`'s `recover`.
        memory_max: memory from which `on_limit` acts.
        cpu_max: cores from which `on_limit` acts.
        on_limit: what a passed limit leads to.
        jitter: a random delay, up to this, of a scheduled run.
        enabled: False: as if not written.
        autostart: False: there, ``stopped`` until `ctl start`.
        schedule: cron expressions.
        every: counted from the scheduled time of the last run.
        at: once, then: a `datetime` or its text.
        timezone: of `schedule` and `at`, as in ``"America/New_York"``; default: that of the machine.
        calendar: only on the trading days of this exchange, as in ``"XNYS"``.
        timeout: a run is ended after so long.
        overlap: when a run is due while one is under way.
        catch_up: what of the runs that were missed is made up for.
        missed_after: alert when no run started for so long.
        alert_after: alert after so many failures in a row.
        retries: extra attempts.
        run_at_start: also once at each start of the tree.
        keep_awake: keep the machine awake while it runs.
        wake: wake the machine so long before.
        verify: what must pass for a run to have succeeded.
        stages: steps, in order, instead of `command`.
        record: names of its rows in the SQL view.
    """

    def __init__(
        self,
        name: str,
        *,
        command: tables.Command | None = None,
        run: str | Callable[..., object] | None = None,
        use: str | None = None,
        shell: bool | None = None,
        args: Mapping[str, Any] | object | None = None,
        preload: tables.Many[str] | None = None,
        python: tables.Path | None = None,
        instances: int | tables.Many[str | int] | None = None,
        env_file: tables.Many[tables.Path] | None = None,
        env: tables.Env | None = None,
        inherit_env: bool | tables.Many[str] | None = None,
        cwd: tables.Path | None = None,
        user: str | None = None,
        group: str | None = None,
        umask: str | int | None = None,
        nice: int | None = None,
        limits: tables.Limits | None = None,
        needs: Mapping[str, tables.Level] | None = None,
        require: tables.Many[tables.Probe] | None = None,
        success: tables.Many[int | str] | None = None,
        outcome: Mapping[str | int, str] | None = None,
        backoff: tables.Duration | tables.Backoff | None = None,
        shutdown: tables.Shutdown | None = None,
        stop_signal: str | None = None,
        stop_command: tables.Command | None = None,
        stop_to: Literal["group", "leader"] | None = None,
        sweep: bool | None = None,
        log: tables.Log | None = None,
        recover: tables.Many[str] | None = None,
        memory_max: tables.Size | None = None,
        cpu_max: float | None = None,
        on_limit: Literal["restart", "alert"] | None = None,
        jitter: tables.Duration | None = None,
        enabled: bool | None = None,
        autostart: bool | None = None,
        schedule: tables.Many[str] | None = None,
        every: tables.Duration | None = None,
        at: datetime | str | None = None,
        timezone: str | None = None,
        calendar: str | None = None,
        timeout: tables.Duration | None = None,
        overlap: tables.Overlap | None = None,
        catch_up: tables.CatchUp | None = None,
        missed_after: tables.Duration | None = None,
        alert_after: int | None = None,
        retries: int | None = None,
        run_at_start: bool | None = None,
        keep_awake: bool | None = None,
        wake: tables.Duration | None = None,
        verify: tables.Many[tables.Probe] | None = None,
        stages: Sequence[Stage] | None = None,
        record: tables.Record | None = None,
    ) -> None:
        stages = None if stages is None else list(stages)
        super().__init__(name, locals())
