"""From files to a `Plan`: every table read, every error of all files found in one go."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from supervisor_tree.config import arranging, job_settings, not_yet, places, users, uses
from supervisor_tree.config.extras import check_library
from supervisor_tree.config.kinds import Boolean
from supervisor_tree.config.plan import Plan
from supervisor_tree.config.probes import Probe, probe
from supervisor_tree.config.problems import Path, Problem, did_you_mean
from supervisor_tree.config.program_kinds import NAME, NAME_WORDS, EnvValue, Instances
from supervisor_tree.config.reading import INVALID, At, Field, Invalid, Reading, Table, options_of, shown
from supervisor_tree.config.settings import (
    SUPERVISOR,
    WORKER,
    ProgramSettings,
    SupervisorSettings,
    WorkerSettings,
)
from supervisor_tree.config.sources import NAMED, TABLES, Source, Sources, read_file, read_sources
from supervisor_tree.config.tree_kinds import LogKeys, LogSettings, backoff_of
from supervisor_tree.config.tree_reading import TreeReader
from supervisor_tree.config.users import check_user
from supervisor_tree.config.variables import RUN_NAMES
from supervisor_tree.core.spec import Backoff

_RESERVED = ("root", "all", "keeper", "logger", "zygote")
_LOG_LIMITS = LogKeys(files=False)


def load(
    files: Sequence[str] | None,
    environ: Mapping[str, str],
    only: Sequence[str] = (),
    extra: Sequence[tuple[str, str] | tuple[str, str, str | None]] = (),
) -> Plan:
    """Read and check a configuration.

    ``files`` None: as `places.find` finds it. ``only``: these workers and supervisors and what they need. ``extra``:
    (file name, text) or (file name, text, supervisor to put new children under), read last, for `ctl add`.
    Raises `ConfigError` with every problem there is, `UnknownName` for a name in ``only`` that is none.
    """
    found = list(files) if files is not None else list(places.find(environ).files)
    plan = _load(lambda more: read_sources(found, environ, [*more, *extra]), environ, only)
    plan.asked_files = None if files is None else tuple(files)
    return plan


def load_text(file: str, text: str, environ: Mapping[str, str]) -> Plan:
    """As `load`, of a file that need not be there: ``text`` is what it would hold. It includes no others."""

    def sources(more: list[tuple[str, str]]) -> Sources:
        read = Sources()
        read.add(Source(file, text))
        for name, added in more:
            read.add(Source(name, added, added=True))
        return read

    return _load(sources, environ, ())


def _load(sources: Callable[[list[tuple[str, str]]], Sources], environ: Mapping[str, str], only: Sequence[str]) -> Plan:
    """``sources`` reads everything, and last the files given to it: what was added at run time."""
    users.forget()
    uses.forget()
    loader = Loader(sources([]), environ)
    loader.tree_table()
    added = os.path.join(loader.state_dir, "added.toml")
    if all(os.path.abspath(source.file) != added for source in loader.sources.all) and os.path.exists(added):
        loader = Loader(sources([(added, read_file(added, Problem(added, 1, "", "")).text)]), environ)
        loader.tree_table()
    loader.all_tables()
    return arranging.arrange(loader, only)


class Loader(TreeReader):
    """Reads the merged tables, collecting settings and problems."""

    def __init__(self, sources: Sources, environ: Mapping[str, str]) -> None:
        super().__init__(sources, environ)
        self.later: list[tuple[Path, str]] = []
        """What is not run yet."""
        self.workers: dict[str, WorkerSettings] = {}
        self.supervisors: dict[str, SupervisorSettings] = {}
        self.jobs: dict[str, job_settings.JobSettings] = {}
        self.sets: dict[str, tuple[str, ...]] = {}
        self.base_of: dict[str, str] = {}
        """Bare name → the name of its table."""
        self.held: dict[str, str] = {}
        self.unknown_uses: dict[str, str] = {}
        """Bare name of a worker whose `use` this version does not run → why it is held."""
        self.default_envs: dict[str, dict[str, EnvValue]] = {}
        self.disabled: set[str] = set()
        self.broken: set[str] = set()
        """Tables in which something is wrong: what depends on them is not complained about as well."""
        self.templates: dict[str, str] = {}

    def added_children(self) -> dict[str, list[str]]:
        """Supervisor (``""``: the root) → names that were added at run time under it."""
        places: dict[str, list[str]] = {}
        for source in self.sources.all:
            for name, supervisor in source.places.items():
                if name in self.base_of.values() or name in self.supervisors:
                    places.setdefault(supervisor, []).append(name)
        return places

    def added_names(self) -> list[str]:
        """Names whose tables were added at run time."""
        added = [source.data for source in self.sources.all if source.added]
        return [name for data in added for kind in NAMED for name in data.get(kind, ())]

    # -- all the others -------------------------------------------------------------------------

    def all_tables(self) -> None:
        for key in self.data:
            if key not in TABLES and key != "x":
                known = ", ".join(TABLES)
                self.problems.append(((key,), f"unknown table{did_you_mean(key, list(TABLES), f'; known: {known}')}"))
        for source in self.sources.all:
            if source.added:
                self.found += [
                    Problem(
                        source.file,
                        source.lines.get((key,), 1),
                        key,
                        "can't be added at run time: write it in the tree file and `ctl reload`",
                    )
                    for key in source.data
                    if key not in (*NAMED, "x")
                ]
        self._names()
        self.read_defaults()
        self._supervisors()
        for name, written in self._named("workers"):
            self._program(name, written, WORKER, WorkerSettings, self.worker_defaults)
        for name, written in self._named("jobs"):
            self._program(name, written, job_settings.JOB, job_settings.JobSettings, self.job_defaults)
        self.recover = self._plain("recover", job_settings.RECOVER, ("self.name", *RUN_NAMES))
        self.activity = self._plain("activity", job_settings.ACTIVITY)
        self.retention = self._plain("retention", job_settings.RETENTION)
        self.checks: dict[str, Probe] = self._plain("checks", probe("checks"))
        self.store = self._single("store", job_settings.STORE)
        self.alerts = self._single("alerts", job_settings.ALERTS, ("self.name", "run.time", "run.id"))
        if self.alerts.urls:
            at = At(self.reading(), ("alerts",))
            check_library("apprise", "notify", "urls", at)
            self.collect(at.reading)
        not_yet.note_tables(self)

    def _names(self) -> None:
        """One namespace for workers, supervisors and jobs (rule 3)."""
        seen: dict[str, tuple[str, str]] = {}
        for kind in ("supervisors", "workers", "jobs"):
            table = self.table(kind)
            for name in table:
                path = (kind, name)
                if not NAME.fullmatch(name):
                    self.problems.append((path, f"{shown(name)} is no name: {NAME_WORDS}"))
                elif name.lower() in _RESERVED:
                    self.problems.append((path, f"the name {shown(name)} is reserved ({', '.join(_RESERVED)})"))
                other = seen.setdefault(name.lower(), path)
                if other != path:
                    same = "there is" if other[1] == name else "but for case it is the name of"
                    self.problems.append(
                        (
                            path,
                            f"{same} [{'.'.join(other)}] already: workers, supervisors and jobs share one set of names",
                        )
                    )

    def _named(self, kind: str) -> list[tuple[str, dict[str, Any]]]:
        """The tables of a kind that are not disabled."""
        named = []
        for name, written in self.table(kind).items():
            if not isinstance(written, dict):
                self.problems.append(((kind, name), f"must be a table, [{kind}.{name}], not {shown(written)}"))
                self.broken.add(name)
                continue
            if "enabled" in written:
                reading = self.reading()
                enabled = Boolean().read(written["enabled"], At(reading, (kind, name)), "enabled")
                # What is wrong with it is noted when its table is read.
                if enabled is False:
                    self.disabled.add(name)
                    continue
            named.append((name, written))
        return named

    def read_defaults(self) -> None:
        written = self.table("defaults")
        logs = At(self.reading(), ("logs",))
        self.log_defaults = _LOG_LIMITS.keys(self.table("logs"), logs)
        self.collect(logs.reading)
        # Read for each child again only where it says `${self.…}`.
        self.own_defaults = written if written and "${self." in str(written) else None
        names = {**self.names, "self.name": "NAME", "self.instance": "0"} if self.own_defaults else None
        at = At(self.reading(names, RUN_NAMES if self.own_defaults else ()), ("defaults",))
        values = DEFAULTS.keys(written, at)
        self.collect(at.reading)
        self._spread(values)

    def _spread(self, values: dict[str, Any]) -> None:
        """Sort the defaults to those who may have them; those that merge are kept apart."""
        self.default_env = values.pop("env", {})
        self.default_log = values.pop("log", {})
        self.default_backoff = values.pop("backoff", {})
        self.plain_backoff: Backoff = backoff_of(self.default_backoff)
        self.default_shell = values.get("shell", False)
        worker, job = options_of(WorkerSettings), options_of(job_settings.JobSettings)
        self.worker_defaults = {name: value for name, value in values.items() if name in worker}
        self.job_defaults = {name: value for name, value in values.items() if name in job}

    def _supervisors(self) -> None:
        for name, written in self._named("supervisors"):
            at = At(self.reading({**self.names, "self.name": name}), ("supervisors", name))
            values = SUPERVISOR.keys(written, at)
            values["backoff"] = backoff_of(values.get("backoff", {}))
            if at.reading.problems:
                self.broken.add(name)
            self.collect(at.reading)
            self.supervisors[name] = SupervisorSettings(name=name, **values)
            if values.get("strategy") == "simple_one_for_one" and values.get("children"):
                self.templates[name] = values["children"][0]

    def _program(
        self, name: str, written: dict[str, Any], table: Table, made: type[ProgramSettings], defaults: dict[str, Any]
    ) -> None:
        """A worker or job, or each of its instances."""
        kind = "workers" if made is WorkerSettings else "jobs"
        instances: tuple[str, ...] | None = None
        if "instances" in written:
            reading = self.reading({**self.names, "self.name": name})
            read = Instances().read(written["instances"], At(reading, (kind, name)), "instances")
            if not isinstance(read, Invalid):
                instances = read
                self.sets[name] = tuple(f"{name}@{instance}" for instance in instances)
        if instances is None:
            own = {**self.names, "self.name": name}
            if "instances" in written or name in self.templates.values():
                own["self.instance"] = "0"
            self._one(name, None, written, table, made, defaults, own, kind)
            return
        for instance in instances:
            own = {**self.names, "self.name": f"{name}@{instance}", "self.instance": instance}
            self._one(name, instance, written, table, made, defaults, own, kind)

    def _one(
        self, name: str, instance: str | None, written: dict[str, Any], table: Table, made: type[ProgramSettings],
        defaults: dict[str, Any], own: dict[str, str], kind: str,
    ) -> None:  # fmt: skip
        bare = own["self.name"]
        later = RUN_NAMES if kind == "jobs" else ()
        reading = self.reading(own, later, holds=True)
        reading.shell = self.default_shell
        settings = self.settle(bare, instance, written, table, made, defaults, At(reading, (kind, name)))
        self.collect(reading)
        if reading.problems:
            self.broken.add(name)
        if reading.held:
            self.held[bare] = "; ".join(dict.fromkeys(reading.held))
        self.base_of[bare] = name
        if isinstance(settings, WorkerSettings):
            self.workers[bare] = settings
            not_yet.note_worker(self, name, settings)
        elif isinstance(settings, job_settings.JobSettings):
            self.jobs[bare] = settings
            not_yet.note_job(self, name, settings)

    def settle(
        self, bare: str, instance: str | None, written: dict[str, Any], table: Table, made: type[ProgramSettings],
        defaults: dict[str, Any], at: At,
    ) -> ProgramSettings:  # fmt: skip
        """The settings of one child: what it says over what `[defaults]` and `[logs]` say."""
        values = table.keys(written, at)
        env, log, backoff = self.default_env, self.default_log, self.default_backoff
        if self.own_defaults is not None:
            again = At(Reading(at.reading.scope, self.dir, self.home, holds=True), ("defaults",))
            mine = DEFAULTS.keys(self.own_defaults, again)
            env, log, backoff = mine.pop("env", {}), mine.pop("log", {}), mine.pop("backoff", {})
            defaults = {key: mine[key] for key in mine if key in defaults}
        if self.own_defaults is not None and env:
            self.default_envs[bare] = env
        values["backoff"] = backoff_of(backoff, values["backoff"]) if "backoff" in values else self.plain_backoff
        if "log" in values or log or self.log_defaults or made is WorkerSettings:
            values["log"] = self._log(bare, {**self.log_defaults, **log, **values.get("log", {})}, made)
        settings = made(name=bare, instance=instance, **{**defaults, **values})
        if settings.user is not None or settings.group is not None:
            check_user(settings.user, settings.group, at)
        if isinstance(settings, WorkerSettings) and settings.watch:
            check_library("watchfiles", "watch", "watch", at)
        return settings

    def _log(self, bare: str, keys: dict[str, Any], made: type[ProgramSettings]) -> LogSettings:
        if "file" not in keys:
            folder = "logs" if made is WorkerSettings else "jobs"
            end = ".log" if made is WorkerSettings else "/\0{run.id}.log"
            keys["file"] = f"{self.state_dir}/{folder}/{bare}{end}"
        return LogSettings(**keys)

    def _plain(self, kind: str, table: Table, later: tuple[str, ...] = ()) -> dict[str, Any]:
        """Named tables that are read as they stand."""
        read = {}
        for name, written in self._named(kind):
            reading = self.reading(later=later)
            if not NAME.fullmatch(name):
                self.problems.append(((kind, name), f"{shown(name)} is no name: {NAME_WORDS}"))
            settings = table.read(written, At(reading, (kind,)), name)
            self.collect(reading)
            if isinstance(settings, job_settings.RecoverSettings) and settings.log is not None:
                keys: Any = settings.log
                log = {"file": f"{self.state_dir}/logs/recover.{name}.log", **self.log_defaults, **keys}
                settings = replace(settings, log=LogSettings(**log))
            if settings is not INVALID:
                read[name] = settings
        return read

    def _single(self, key: str, table: Table, later: tuple[str, ...] = ()) -> Any:
        reading = self.reading(later=later)
        settings = table.read(self.table(key), At(reading, ()), key)
        self.collect(reading)
        return table.struct() if settings is INVALID else settings


class _Defaults(Table):
    """`[defaults]`: what workers and jobs may share."""

    words = "a table"

    @property
    def known(self) -> dict[str, Field]:
        if self._known is None:
            both = {**options_of(job_settings.JobSettings), **options_of(WorkerSettings)}
            self._known = {key: field for key, field in both.items() if field.option.shared}
        return self._known

    def unknown(self, at: At, key: str) -> None:
        if key in options_of(WorkerSettings) or key in options_of(job_settings.JobSettings):
            at.wrong("belongs to one worker or job: it can't be a default", key)
        else:
            super().unknown(at, key)


def _default_rule(at: At, written: dict[str, Any], values: dict[str, Any]) -> None:
    from supervisor_tree.config.program_kinds import program_rule

    program_rule(at, {**written, "command": ""}, values)


DEFAULTS = _Defaults(ProgramSettings, _default_rule)
