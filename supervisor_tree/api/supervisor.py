"""A node of the tree, or the whole of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from supervisor_tree.api import tables
from supervisor_tree.api.child import Child
from supervisor_tree.api.job import Job


class Supervisor:
    """Children in the order of their start, and what becomes of them when one ends.

    The outermost is the tree and its root; what is inside needs a `name`. Every argument but `children` is the key of
    `[tree]` or `[supervisors.NAME]` in the tree file, or from `jobs` on a table beside them, with the same meaning; the
    reference of the tree file says more of each. What is left out, or None, has its default there, but for OTP's own:
    it gives up (and the tree ends with status 1) above one restart in 5 s, there is no `backoff`, and a child whose
    first start fails fails it.

    Args:
        children: `Child` and `Supervisor`, in the order of their start; none where there are only jobs. Of
            `simple_one_for_one`: the one template.
        name: of a supervisor inside: what it is called, once in the whole tree. Of the tree: default is the name of its
            `dir`.
        strategy: who else is restarted when one child must be.
        intensity: restarts allowed within `period` before it gives up.
        period: the sliding window of `intensity`.
        auto_shutdown: whether the end of significant children ends it.
        restart: when it is restarted after it ended. Of a supervisor inside, as the next four.
        shutdown: how long its children have to stop.
        significant: whether its end counts for the `auto_shutdown` above.
        backoff: the delay before it is restarted: constant, or a table.
        enabled: False: as if not written.
        dir: base of every relative path, and default `cwd`; default: the folder of the program that is run, or where
            there is no file, the working directory. Of the tree, as the rest.
        state_dir: where the tree keeps its files; default: ``.supervisor-tree`` in `dir`.
        run_dir: where the sockets lie.
        env_file: variables for ``${}`` and for every child.
        make_dirs: folders made at the start.
        on_give_up: end with status 1 (the default), hold what fails, or hold and try once after a duration.
        keep_awake: keep the machine awake while the tree runs.
        max_runs: runs of jobs at once.
        jobs: `Job`, what is run on a schedule or by hand.
        recover: by name, the recovery rules that `recover` of `Child` and `Job` tell by it: `[recover.NAME]`.
        activity: by name, what must show useful work: `[activity.NAME]`.
        retention: by name, which files are removed when they are old: `[retention.NAME]`.
        checks: by name, what `doctor` asks: `[checks.NAME]`.
        alerts: who is told of trouble: `[alerts]`.
        store: the journal and its SQL view: `[store]`.
        logs: defaults of every `log`: `[logs]`.
        defaults: what each `Child` and `Job` has that does not say otherwise: `[defaults]`.
    """

    def __init__(
        self,
        children: Sequence[Child | Supervisor] = (),
        *,
        name: str | None = None,
        strategy: tables.Strategy | None = None,
        intensity: int | None = None,
        period: tables.Duration | None = None,
        auto_shutdown: tables.AutoShutdown | None = None,
        restart: tables.Restart | None = None,
        shutdown: tables.Shutdown | None = None,
        significant: bool | None = None,
        backoff: tables.Duration | tables.Backoff | None = None,
        enabled: bool | None = None,
        dir: tables.Path | None = None,  # noqa: A002 - the key's name
        state_dir: tables.Path | None = None,
        run_dir: tables.Path | None = None,
        env_file: tables.Many[tables.Path] | None = None,
        make_dirs: tables.Many[tables.Path] | None = None,
        on_give_up: Literal["exit", "hold"] | tables.Duration | None = None,
        keep_awake: bool | None = None,
        max_runs: int | None = None,
        jobs: Sequence[Job] | None = None,
        recover: Mapping[str, tables.Recover] | None = None,
        activity: Mapping[str, tables.Activity] | None = None,
        retention: Mapping[str, tables.Retention] | None = None,
        checks: Mapping[str, tables.Probe] | None = None,
        alerts: tables.Alerts | None = None,
        store: tables.Store | None = None,
        logs: tables.Logs | None = None,
        defaults: tables.Defaults | None = None,
    ) -> None:
        jobs = None if jobs is None else list(jobs)
        given = dict(locals())
        self.children = tuple(children)
        self.name = name
        self.options: dict[str, Any] = {
            key: value for key, value in given.items() if key not in ("self", "children", "name") and value is not None
        }
        """What was given, by key."""

    def __repr__(self) -> str:
        given = {"name": self.name, **self.options} if self.name is not None else self.options
        return f"Supervisor({[*self.children]!r}{''.join(f', {key}={value!r}' for key, value in given.items())})"

    def run(self, *, logs: bool = False) -> int:
        """Run the tree in the foreground, as `supervisor-tree start` does; return its exit status once it is over.

        The tree's keeper is a process of its own, below this one. SIGTERM and SIGINT (^C) to this process stop the
        tree; when this process dies, the tree is stopped as well. `supervisor-tree ctl`, `logs` and the like know the
        tree by its name. To change it, run the program again.

        Args:
            logs: also show what the workers write.

        Returns:
            0: it was stopped. 1: it gave up, or another program runs it already. With `auto_shutdown`: the exit status
            of the significant worker that ended last.

        Raises:
            ConfigError: it can't be run as it is described; nothing was started.
        """
        from supervisor_tree.api import running

        return running.run(self, logs=logs)
