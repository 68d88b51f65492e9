"""What a configuration comes to: everything expanded, checked and in its place."""

from __future__ import annotations

import os
from typing import Any

from msgspec import Struct

from supervisor_tree.config.job_settings import (
    ActivitySettings,
    AlertSettings,
    JobSettings,
    RecoverSettings,
    RetentionSettings,
    StoreSettings,
)
from supervisor_tree.config.probes import Probe
from supervisor_tree.config.problems import Problem
from supervisor_tree.config.program_kinds import EnvValue
from supervisor_tree.config.settings import SupervisorSettings, TreeSettings, WorkerSettings
from supervisor_tree.core.spec import SupervisorSpec


class Written(Struct, frozen=True, kw_only=True):
    """The table of a worker as written, for settings that are worked out later."""

    table: str
    """Its name."""
    values: dict[str, Any]
    file: str
    line: int


class Instance(Struct, frozen=True):
    """A child made from a template at run time."""

    supervisor: str
    instance: str
    args: tuple[str, ...] = ()


class Plan(Struct, kw_only=True, omit_defaults=True):
    """A whole tree, plain data: a root hands it to the next as JSON. Names are bare (``web@8001``), paths absolute."""

    name: str
    file: str
    """The first file."""
    files: tuple[str, ...]
    """All files that were read, in order."""
    asked_files: tuple[str, ...] | None
    """As given to `load`."""
    only: tuple[str, ...]
    """As given to `load`."""
    dir: str
    state_dir: str
    run_dir: str | None
    """As written; None: to be derived from ``state_dir`` (processes.md 22)."""
    tree: TreeSettings
    root: SupervisorSpec
    paths: dict[str, str]
    """Bare name → path in the core, of every worker and supervisor; the root is ``root``."""
    workers: dict[str, WorkerSettings]
    """Workers of the tree, and templates, which have no path."""
    supervisors: dict[str, SupervisorSettings]
    sets: dict[str, tuple[str, ...]]
    """Name of an instance set → bare names of its instances, workers and jobs."""
    jobs: dict[str, JobSettings]
    recover: dict[str, RecoverSettings]
    activity: dict[str, ActivitySettings]
    retention: dict[str, RetentionSettings]
    checks: dict[str, Probe]
    store: StoreSettings
    alerts: AlertSettings
    held: dict[str, str]
    """Bare name → why it can't be started before the configuration is read again."""
    autostart_off: tuple[str, ...]
    make_dirs: tuple[str, ...]
    environ: dict[str, str]
    """The environment of `start`, but for what is not UTF-8."""
    env_values: dict[str, str]
    """The variables of the tree's own ``env_file`` as they were when the configuration was read."""
    default_env: dict[str, EnvValue]
    """`env` of `[defaults]`, which lies under a child's own env files."""
    default_envs: dict[str, dict[str, EnvValue]]
    """The same for each child, where it says ``${self.…}``."""
    added: tuple[str, ...]
    """Names that stand in ``added.toml``: only these can be removed at run time."""
    templates: dict[str, Written]
    """By supervisor with ``simple_one_for_one``: what its children are made from."""
    held_tables: dict[str, Written]
    """By bare name: those that are held for want of a variable, which may be set by the time of their start."""
    defaults: dict[str, dict[str, Any]]
    """`[defaults]` and `[logs]` as written, where there are tables as written."""
    instances: dict[str, Instance] = {}
    """By bare name; filled by `template`."""
    program: str | None = None
    """The Python program that describes this tree; None: a tree file does."""
    code: dict[str, str] = {}
    """Name of the table of a worker or job, or ``JOB:STAGE`` → what it runs, pickled by dill, base64: where its program
    told no module to import."""
    warnings: list[Problem] = []
    """What is no error and yet worth a word, in order of file and line."""
    not_yet: list[Problem] = []
    """What the language has and this version does not run."""

    def config_variable(self) -> str:
        """``SUPERVISOR_TREE_CONFIG`` of the children: the files asked for, absolute, as `places.find` reads it."""
        return os.pathsep.join(os.path.abspath(file) for file in self.asked_files or (self.file,))
