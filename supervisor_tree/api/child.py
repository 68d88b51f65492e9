"""A leaf of the tree: one supervised program or Python worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from supervisor_tree.api import tables
from supervisor_tree.api.described import Described


class Child(Described):
    """One worker. Exactly one of `run`, `command` and `use` says what it is.

    Every argument but `name` is the key of `[workers.NAME]` in the tree file, with the same meaning; the reference of
    the tree file says more of each. What is left out, or None, has its default there, but for OTP's own: `shutdown`
    is 5 s, and there is no `backoff`. Relative paths are under the tree's `dir`. In texts ``${VAR}`` stands for a
    variable, ``${self.name}`` for the name, ``$$`` for ``$``.

    Nothing is checked, started or imported before `Supervisor.run`.

    Args:
        name: what it is called, once in the whole tree.
        command: the program and its arguments.
        run: a function, a coroutine function, a `Worker` class, or the ``"module:attribute"`` of one. Functions and
            classes of the program itself are sent to the worker by value, with all they use; the program is not run
            there, so no `if __name__ == "__main__":` is needed.
        use: a worker that comes with the package or a plug-in, by its name.
        shell: whether `command`, a string, is given to ``/bin/sh -c``.
        args: the arguments of `run` or `use`: a table, or a `msgspec.Struct` or dataclass that stands for one.
        preload: modules that the worker's zygote has imported before it forks.
        python: the interpreter of `run` and `use`; only of what it can import by name.
        instances: makes NAME@1 … NAME@N, or NAME@each of the list; ``${self.instance}`` tells which.
        env_file: files of variables, read at each start.
        env: variables; False removes one.
        inherit_env: what of this program's environment is passed on: True, False or a list of names.
        cwd: the working directory.
        user: run as this user (root only).
        group: run in this group (root only).
        umask: file mode bits to clear, as ``0o022`` or ``"022"``.
        nice: scheduling priority; higher is kinder.
        limits: resource limits by their names in lower case: a value, or soft and hard.
        needs: what must have come how far before a start.
        require: asked before each start; while one fails it is held.
        success: exit statuses and signals that are no failure; the whole list.
        outcome: names for results.
        backoff: the delay before a restart: constant, or a table.
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
        jitter: a random delay on `max_age`.
        enabled: False: as if not written.
        autostart: False: there, ``stopped`` until `ctl start`.
        restart: when it is restarted after it ended.
        significant: whether its end counts for the `auto_shutdown` of its supervisor.
        ready: what opens the gate of those who need it. Default of Python workers: they say so themselves.
        start_timeout: ready by then, else the start has failed.
        health: asked once it is ready.
        reload_signal: sent by `ctl reload NAME`.
        max_age: planned restart after so long.
        watch: globs; a change is a planned restart.
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
        restart: tables.Restart | None = None,
        significant: bool | None = None,
        ready: tables.Many[tables.Probe] | None = None,
        start_timeout: tables.Duration | None = None,
        health: tables.Many[tables.Probe] | None = None,
        reload_signal: str | None = None,
        max_age: tables.Duration | None = None,
        watch: tables.Many[tables.Path] | None = None,
    ) -> None:
        super().__init__(name, locals())
