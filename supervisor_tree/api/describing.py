"""From `Supervisor` and `Child` to the tables of a tree file."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from enum import Enum
from typing import Any, TypeGuard

import msgspec

from supervisor_tree.api.child import Child
from supervisor_tree.api.described import Described
from supervisor_tree.api.errors import ConfigError
from supervisor_tree.api.job import Job, Stage
from supervisor_tree.api.supervisor import Supervisor
from supervisor_tree.core.spec import SupervisorSpec, WorkerSpec
from supervisor_tree.workers import Worker

_OTP_WORKER = WorkerSpec(name="")
_OTP_SUPERVISOR = SupervisorSpec(name="")
NO_BACKOFF = 0
INSIDE = ("restart", "shutdown", "significant", "backoff", "enabled")
"""Keys of `[supervisors.NAME]` that `[tree]` does not have."""
BESIDE = ("recover", "activity", "retention", "checks", "alerts", "store", "logs", "defaults")
"""Tables beside `[tree]` that are given as tables."""
OUTSIDE = (
    *("dir", "state_dir", "run_dir", "env_file", "make_dirs", "on_give_up", "keep_awake", "max_runs"),
    "jobs",
    *BESIDE,
)
"""What the outermost has, and `[supervisors.NAME]` has not."""
_OURS = (timedelta, bytes, bytearray, memoryview)
"""Of what msgspec can write, that which is not meant so: durations as ISO 8601, bytes as Base64."""


class Tables:
    """The tables of one tree, and whom they are about."""

    def __init__(self, root: Supervisor) -> None:
        """
        Raises:
            ConfigError: with everything that can't be written as tables.
        """
        self._problems: list[str] = []
        self._workers: dict[str, dict[str, Any]] = {}
        self._supervisors: dict[str, dict[str, Any]] = {}
        self._jobs: dict[str, dict[str, Any]] = {}
        self._code: dict[str, str] = {}
        self._seen: dict[str, object] = {}
        self.program = _program()
        for key in ("dir", "state_dir"):  # where the others are told from is needed at once
            if key in root.options and not _is_path(root.options[key]):
                self._wrong("Supervisor", key, f"must be a path, not {root.options[key]!r}")
        if self._problems:
            raise ConfigError(self._problems)
        self._dir = os.path.abspath(
            root.options.get("dir", os.path.dirname(self.program) if self.program else os.getcwd())
        )
        self._beside = self._values("Supervisor", {key: root.options[key] for key in BESIDE if key in root.options})
        defaults = self._beside.get("defaults")
        self._defaults: dict[str, Any] = defaults if isinstance(defaults, dict) else {}
        self._tree = self._root(root)
        for job in root.options.get("jobs", ()):
            self._add_job(job)
        if self._problems:
            raise ConfigError(self._problems)

    @property
    def state_dir(self) -> str:
        return str(os.path.join(self._dir, os.path.expanduser(self._tree["state_dir"])))

    def data(self) -> dict[str, Any]:
        """The whole, as `config.load` reads it from a file of JSON."""
        return {
            "program": {"file": self.program or "a program without a file", "code": self._code},
            "tree": self._tree,
            "supervisors": self._supervisors,
            "workers": self._workers,
            "jobs": self._jobs,
            **self._beside,
        }

    def _wrong(self, whom: str, key: str, message: str) -> None:
        self._problems.append(f"{whom}: {key}: {message}" if key else f"{whom}: {message}")

    def _root(self, root: Supervisor) -> dict[str, Any]:
        self._seen[""] = root
        for key in INSIDE:
            if key in root.options:
                self._wrong("Supervisor", key, "is for a supervisor inside the tree, not for the tree itself")
        own = {key: value for key, value in root.options.items() if key not in ("dir", "jobs", *BESIDE)}
        table = {
            "dir": self._dir,
            "state_dir": ".supervisor-tree",
            "intensity": _OTP_SUPERVISOR.intensity,
            "period": _OTP_SUPERVISOR.period,
            "on_give_up": _OTP_SUPERVISOR.on_give_up,
            **self._values("Supervisor", own),
            "children": self._children("Supervisor", root),
        }
        return table if root.name is None else {"name": root.name, **table}

    def _children(self, whom: str, supervisor: Supervisor) -> list[str]:
        names = []
        for child in supervisor.children:
            one: object = child
            if not isinstance(one, Child | Supervisor):
                self._wrong(whom, "", f"its children must be Child or Supervisor, not {child!r}")
            elif not isinstance(child.name, str) or not child.name:
                self._wrong(whom, "", "a supervisor inside it has no name: give it one, Supervisor([…], name=…)")
            elif child.name in self._seen:
                self._wrong(told(child), "", "is there twice: names are unique in a tree")
            else:
                self._seen[child.name] = child
                names.append(child.name)
                if isinstance(child, Child):
                    self._workers[child.name] = self._worker(child)
                else:
                    # Its place is its parent's, before those of its children.
                    self._supervisors[child.name] = {}
                    self._supervisors[child.name] = self._supervisor(child)
        return names

    def _supervisor(self, supervisor: Supervisor) -> dict[str, Any]:
        whom = told(supervisor)
        for key in OUTSIDE:
            if key in supervisor.options:
                self._wrong(whom, key, "is for the whole tree: give it to the outermost Supervisor")
        own = {key: value for key, value in supervisor.options.items() if key not in OUTSIDE}
        return {
            "intensity": _OTP_SUPERVISOR.intensity,
            "period": _OTP_SUPERVISOR.period,
            "backoff": NO_BACKOFF,
            **self._values(whom, own),
            "children": self._children(whom, supervisor),
        }

    def _worker(self, child: Child) -> dict[str, Any]:
        options = self._program(told(child), child.name, child.options, self._defaults)
        otp = {"shutdown": _OTP_WORKER.shutdown, "backoff": NO_BACKOFF}
        return {
            **{key: value for key, value in otp.items() if key not in self._defaults},
            **self._values(told(child), options),
        }

    def _add_job(self, job: object) -> None:
        name: object = getattr(job, "name", None)
        if not isinstance(job, Job) or not isinstance(name, str):
            self._wrong("Supervisor", "jobs", f"must be Job, each with a name, not {job!r}")
        elif job.name in self._seen:
            self._wrong(told(job), "", "is there twice: names are unique in a tree")
        else:
            self._seen[job.name] = job
            self._jobs[job.name] = self._job(job)

    def _job(self, job: Job) -> dict[str, Any]:
        options = self._program(told(job), job.name, job.options, self._defaults)
        stages = options.pop("stages", None)
        table = self._values(told(job), options)
        return table if stages is None else {**table, "stages": [self._stage(job, stage) for stage in stages]}

    def _stage(self, job: Job, stage: object) -> dict[str, Any]:
        if not isinstance(stage, Stage):
            self._wrong(told(job), "stages", f"must be Stage, not {stage!r}")
            return {}
        whom = told(job, stage)
        around = {**self._defaults, **job.options}
        options = self._program(whom, f"{job.name}:{stage.name}", stage.options, around)
        return self._values(whom, {"name": stage.name, **options})

    def _values(self, whom: str, options: Mapping[str, Any]) -> dict[str, Any]:
        values = {}
        for key, value in options.items():
            try:
                values[key] = msgspec.to_builtins(value, builtin_types=_OURS, str_keys=True, enc_hook=_plain)
                values[key] = _written(values[key])
            except (TypeError, ValueError, RecursionError) as error:
                self._wrong(whom, key, f"can't be written down: {error}")
        return values

    # -- what is run ----------------------------------------------------------------------------

    def _program(self, whom: str, key: str, options: Mapping[str, Any], around: Mapping[str, Any]) -> dict[str, Any]:
        """The options with a `run` that can be written down.

        Args:
            key: under which the root finds what goes by value.
            around: what holds where the options say nothing.
        """
        target = options.get("run")
        if target is None or isinstance(target, str):
            return dict(options)
        return {**options, "run": self._target(whom, key, target, {**around, **options})}

    def _target(self, whom: str, key: str, target: Callable[..., object], options: Mapping[str, Any]) -> str:
        """``module:attribute``; of what goes by value, a name to show."""
        from supervisor_tree.api import packing

        shown = packing.shown(target)
        one: object = target
        if not callable(one) or (isinstance(one, type) and not issubclass(one, Worker)):
            self._wrong(whom, "run", f'must be a function, a Worker class or "module:attribute", not {target!r}')
            return shown
        known = [*self._known(options.get("cwd"))]
        try:
            if "python" in options:
                return packing.by_name(target)
            name = packing.importable(target, known)
            if name is None:
                self._code[key] = packing.pack(target, known)
        except packing.CannotSend as error:
            self._wrong(whom, "run", str(error))
            return shown
        return name or shown

    def _known(self, cwd: object) -> Iterator[str]:
        """The folders that a worker imports from by itself."""
        yield self._dir
        if _is_path(cwd):  # of what is none it is told where all values are looked at
            yield os.path.abspath(os.path.join(self._dir, cwd))
        for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep):
            if folder:
                yield os.path.abspath(folder)
        yield from {*sysconfig.get_paths().values()}


def told(*which: Described | Supervisor) -> str:
    """Whom a message is about: of a stage, its job before it."""
    return ", ".join(
        f"{type(one).__name__} '{one.name}'" if one.name is not None else type(one).__name__ for one in which
    )


def _program() -> str | None:
    """The file of the program that is run; None for what has none (a session, ``-c``)."""
    file = getattr(sys.modules["__main__"], "__file__", None)
    return os.path.abspath(file) if file and os.path.exists(file) else None


def _is_path(value: object) -> TypeGuard[str | os.PathLike[str]]:
    return isinstance(os.fspath(value) if isinstance(value, os.PathLike) else value, str)


def _plain(value: object) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{value!r} is neither text, number, list nor table")


def _written(value: Any) -> Any:
    """With what msgspec was told to leave alone as the tree file has it."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, dict):
        return {key: _written(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_written(inner) for inner in value]
    return _plain(value) if isinstance(value, bytes | bytearray | memoryview) else value
