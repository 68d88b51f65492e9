"""The tables about work that comes and goes: jobs, stages, recovery, activity, retention, store, alerts."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Struct

from supervisor_tree.config.containers import Anything, ListOf, MapOf
from supervisor_tree.config.kinds import Boolean, Choice, Duration, FilePath, Pattern, Text, Whole
from supervisor_tree.config.probes import Probe, probes
from supervisor_tree.config.problems import Key
from supervisor_tree.config.program_kinds import Command, Environment, EnvValue, Instances, program_rule
from supervisor_tree.config.python_kinds import Interpreter, Module, Target, Used
from supervisor_tree.config.reading import At, Option, Table
from supervisor_tree.config.settings import NO_BACKOFF, ProgramSettings, at_wrong, one_program
from supervisor_tree.config.tree_kinds import BackoffKeys, Cron, Exchange, LogKeys, LogSettings, Moment, Name, Zone
from supervisor_tree.config.urls import DatabaseUrl
from supervisor_tree.core.spec import Backoff

LEVELS = Choice("info", "warning", "error", "critical")


class Stage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One step of a job's run."""

    name: Annotated[str, Option(Name(), "What it is called.")]
    command: Annotated[tuple[str, ...] | None, Option(Command(), "The program and its arguments.")] = None
    run: Annotated[str | None, Option(Target(), "A Python function to run.")] = None
    use: Annotated[str | None, Option(Used(), "A worker that comes with the package or a plug-in.")] = None
    shell: Annotated[bool, Option(Boolean(), "Give `command`, a string, to `/bin/sh -c`.")] = False
    args: Annotated[dict[str, Any], Option(MapOf(Anything()), "Arguments of `run` or `use`.")] = {}
    preload: Annotated[tuple[str, ...], Option(ListOf(Module()), "Modules imported before the fork.")] = ()
    python: Annotated[str | None, Option(Interpreter(), "The interpreter of `run`.", default="that of `start`")] = None
    env_file: Annotated[tuple[str, ...], Option(ListOf(FilePath(may_be_missing=True)), "As on a job.")] = ()
    env: Annotated[dict[str, EnvValue], Option(Environment(), "As on a job.")] = {}
    cwd: Annotated[str | None, Option(FilePath(), "Working directory.", default="that of the job")] = None
    critical: Annotated[bool, Option(Boolean(), "A failed critical stage ends the run.")] = True
    timeout: Annotated[float | None, Option(Duration(positive=True), "Killed after so long.")] = None
    retries: Annotated[int, Option(Whole(0, 1000), "Extra attempts.")] = 0
    backoff: Annotated[Backoff, Option(BackoffKeys(), "The least delay before a retry.", default="that of the job")] = (
        NO_BACKOFF
    )
    verify: Annotated[tuple[Probe, ...], Option(probes("verify"), "What must pass for it to be done.")] = ()
    instances: Annotated[
        tuple[str, ...] | None, Option(Instances(), "Run once for each; `${self.instance}` tells which.")
    ] = None
    at_least: Annotated[int | None, Option(Whole(0), "So many instances must succeed.", default="all")] = None
    parallel: Annotated[int, Option(Whole(1, 10_000), "Instances at once.")] = 1


class Stages:
    """The stages of a job, in order."""

    words = "a list of stages, { name = …, command = … }"

    def __init__(self) -> None:
        self.one = Table(Stage, program_rule, one_program, _stage_rule)

    def read(self, value: Any, at: At, key: Key) -> Any:
        if not isinstance(value, list) or not value:
            return at.wrong(f"must be {self.words}", key)
        inner = at.below(key)
        names: list[str] = []
        stages = []
        scope = at.reading.scope
        for number, written in enumerate(value):
            first = written.get("instances") if isinstance(written, dict) else None
            # `${self.instance}` of a stage is its own; which one, only the run knows.
            at.reading.scope = type(scope)(
                scope.variables, scope.names, (*scope.later, *(("self.instance",) if first is not None else ()))
            )
            before = len(at.reading.problems)
            if first is not None and "self.instance" in scope.names:
                names_here = {name: text for name, text in scope.names.items() if name != "self.instance"}
                at.reading.scope = type(scope)(scope.variables, names_here, (*scope.later, "self.instance"))
            stage = self.one.read(written, inner, number)
            at.reading.scope = scope
            if isinstance(stage, Stage):
                if stage.name in names:
                    inner.below(number).wrong(f'stage "{stage.name}" is there twice', "name")
                names.append(stage.name)
                stages.append(stage)
            elif len(at.reading.problems) == before:
                return stage
        return tuple(stages)

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": self.one.schema(), "minItems": 1}


def _stage_rule(at: At, written: dict[str, Any], values: dict[str, Any]) -> None:
    if "name" not in written:
        at.wrong("has no `name`")
        values["name"] = ""
    elif "name" not in values:
        values["name"] = ""
    for key in ("at_least", "parallel"):
        if key in written and "instances" not in written:
            at.wrong("goes with `instances`", key)
    instances, least = values.get("instances"), values.get("at_least")
    if instances is not None and least is not None and least > len(instances):
        at.wrong(f"can't be had of {len(instances)} instances", "at_least")
    if "backoff" in values:
        from supervisor_tree.config.tree_kinds import backoff_of

        values["backoff"] = backoff_of(values["backoff"])


class Record(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Names of a job's rows in the SQL view."""

    event_type: Annotated[str | None, Option(Text(), "`event_type` of its events.", "live")] = None
    job_name: Annotated[str | None, Option(Text(), "`job_name` of its heartbeat.", "live")] = None


class JobSettings(ProgramSettings, frozen=True, kw_only=True, omit_defaults=True):
    """`[jobs.NAME]`: a program run on a schedule, or by hand."""

    schedule: Annotated[
        tuple[str, ...], Option(ListOf(Cron(), least=1), "Cron expressions.", "live", shared=False)
    ] = ()
    every: Annotated[
        float | None,
        Option(Duration(positive=True), "Counted from the scheduled time of the last run.", "live", shared=False),
    ] = None
    at: Annotated[str | None, Option(Moment(), "Once, then.", "live", shared=False)] = None
    timezone: Annotated[
        str | None, Option(Zone(), "Of `schedule` and `at`.", "live", default="that of the machine")
    ] = None
    calendar: Annotated[str | None, Option(Exchange(), "Only on its trading days.", "live")] = None
    timeout: Annotated[float | None, Option(Duration(positive=True), "A run is ended after so long.", "live")] = None
    overlap: Annotated[
        str, Option(Choice("skip", "queue", "kill"), "When a run is due while one is under way.", "live")
    ] = "skip"
    catch_up: Annotated[
        str, Option(Choice("none", "last", "all"), "What of the runs that were missed is made up for.", "live")
    ] = "last"
    missed_after: Annotated[
        float | None, Option(Duration(positive=True), "Alert when no run started for so long.", "live")
    ] = None
    alert_after: Annotated[int, Option(Whole(1), "Alert after so many failures in a row.", "live")] = 1
    retries: Annotated[int, Option(Whole(0, 1000), "Extra attempts.", "live")] = 0
    run_at_start: Annotated[bool, Option(Boolean(), "Also once at each start of the tree.", "live")] = False
    keep_awake: Annotated[bool, Option(Boolean(), "Keep the machine awake while it runs.", "live")] = False
    wake: Annotated[
        float | None, Option(Duration(), "Wake the machine so long before; set by `service install --wake`.", "live")
    ] = None
    verify: Annotated[
        tuple[Probe, ...], Option(probes("verify"), "What must pass for a run to have succeeded.", "live")
    ] = ()
    stages: Annotated[
        tuple[Stage, ...], Option(Stages(), "Steps, in order, instead of `command`.", "live", shared=False)
    ] = ()
    record: Annotated[Record | None, Option(Table(Record), "Names in the SQL view.", "live", shared=False)] = None


def _schedule_rule(at: At, written: dict[str, Any], values: dict[str, Any]) -> None:
    said = [key for key in ("schedule", "every", "at") if key in written]
    if len(said) > 1:
        at.wrong(f"has {' and '.join(f'`{key}`' for key in said)}: write at most one of schedule, every, at")
    if "calendar" in written and "schedule" not in written:
        at.wrong("goes with `schedule`", "calendar")


VERBS = ("clear_locks", "restart", "reload", "alert", "wait", "rerun", "command")


class Step(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One step of a recovery: exactly one verb."""

    clear_locks: Annotated[
        tuple[str, ...] | None, Option(ListOf(FilePath(), least=1), "Remove lock files that no living process holds.")
    ] = None
    restart: Annotated[tuple[str, ...] | None, Option(ListOf(Name(), least=1), "Restart and wait until ready.")] = None
    reload: Annotated[tuple[str, ...] | None, Option(ListOf(Name(), least=1), "Send the `reload_signal`.")] = None
    alert: Annotated[str | None, Option(LEVELS, "Send an alert.")] = None
    wait: Annotated[float | None, Option(Duration(), "Wait so long.")] = None
    rerun: Annotated[bool | None, Option(Boolean(), "Run the job again; recorded apart.")] = None
    command: Annotated[tuple[str, ...] | None, Option(Command(), "Run a program.")] = None
    shell: Annotated[bool, Option(Boolean(), "Give `command`, a string, to `/bin/sh -c`.")] = False
    timeout: Annotated[float | None, Option(Duration(positive=True), "Of `command` or `restart`.")] = None
    if_: Annotated[str | None, Option(Text("a name of `match`"), "Only when this matched.", key="if")] = None
    file: Annotated[str | None, Option(FilePath(), "With `alert`: also written there.")] = None


def _step_rule(at: At, written: dict[str, Any], values: dict[str, Any]) -> None:
    said = [verb for verb in VERBS if verb in written]
    if len(said) != 1:
        start = "has " + " and ".join(f"`{verb}`" for verb in said) if said else "does nothing"
        at.wrong(f"{start}: write exactly one of {', '.join(VERBS)}")
    if "file" in written and "alert" not in written:
        at.wrong("goes with `alert`", "file")


class RecoverSettings(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`[recover.NAME]`: what to do after a failure."""

    when: Annotated[
        tuple[str, ...] | None,
        Option(
            ListOf(Text("an outcome"), least=1),
            "Outcomes of a job; of a worker output, unhealthy, exit, failed.",
            "live",
            default="every failure that `outcome` names",
        ),
    ] = None
    match: Annotated[
        dict[str, tuple[str, ...]],
        Option(MapOf(ListOf(Pattern(), least=1)), "Names for patterns in the output.", "live"),
    ] = {}
    ignore_case: Annotated[bool, Option(Boolean(), "Match without regard to case.", "live")] = False
    count: Annotated[int | None, Option(Whole(1), "So many lines …", "live")] = None
    within: Annotated[float | None, Option(Duration(positive=True), "… within this time.", "live")] = None
    cooldown: Annotated[float | None, Option(Duration(), "Not again for so long.", "live")] = None
    max: Annotated[int | None, Option(Whole(1), "At most so often …", "live")] = None
    per: Annotated[float | None, Option(Duration(positive=True), "… in this time.", "live")] = None
    steps: Annotated[
        tuple[Step, ...],
        Option(
            ListOf(Table(Step, program_rule, _step_rule), least=1, words="a step or a list of steps"),
            "What is done, in order.",
            "live",
        ),
    ] = ()
    stop_on_failure: Annotated[bool, Option(Boolean(), "A failed step ends it.", "live")] = False
    log: Annotated[
        LogSettings | None,
        Option(LogKeys(tail=True), "Where it is logged; `tail`: so many last lines of the failed run.", "live"),
    ] = None
    enabled: Annotated[bool, Option(Boolean(), "`false`: as if not written.", "live")] = True


def _recover_rule(at: At, written: dict[str, Any], values: dict[str, Any]) -> None:
    if "steps" not in written:
        at.wrong("has no `steps`")
    for one, other in (("count", "within"), ("within", "count"), ("max", "per"), ("per", "max")):
        if one in written and other not in written:
            at.wrong(f"needs `{other}` beside it", one)
    matches = values.get("match", {})
    if "match" in at_wrong(at):
        return
    for number, step in enumerate(values.get("steps", ())):
        if step.if_ is not None and step.if_ not in matches:
            place: tuple[Key, ...] = ("steps", number, "if") if isinstance(written["steps"], list) else ("steps", "if")
            at.wrong(f'"{step.if_}" is no name of `match`', *place)


class ActivitySource(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where useful work shows."""

    of: Annotated[str | None, Option(Name(), "A worker or job …", "live")] = None
    activity: Annotated[str | None, Option(Text(), "… and the activity it reports.", "live")] = None
    sql: Annotated[str | None, Option(Text("a query"), "A query for the last time …", "live")] = None
    url: Annotated[str | None, Option(DatabaseUrl(), "… in this database.", "live", default="`store.url`")] = None


def _source_rule(at: At, written: dict[str, Any], values: dict[str, Any]) -> None:
    if ("activity" in written) == ("sql" in written):
        at.wrong("must have exactly one of `activity` (with `of`) and `sql` (with `url`)")
    elif "of" in written and "sql" in written:
        at.wrong("goes with `activity`", "of")
    elif "url" in written and "activity" in written:
        at.wrong("goes with `sql`", "url")


class ActivitySettings(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`[activity.NAME]`: alert when nothing useful has happened for too long."""

    any: Annotated[
        tuple[ActivitySource, ...],
        Option(
            ListOf(Table(ActivitySource, _source_rule), least=1, words="a table or a list of tables"),
            "Where useful work shows; one is enough.",
            "live",
        ),
    ] = ()
    within: Annotated[float | None, Option(Duration(positive=True), "Alert after so long without.", "live")] = None
    repeat: Annotated[float | None, Option(Duration(positive=True), "Alert again after so long.", "live")] = None
    level: Annotated[str, Option(LEVELS, "Severity of the alert.", "live")] = "warning"
    event_type: Annotated[str | None, Option(Text(), "`event_type` in the SQL view.", "live")] = None
    enabled: Annotated[bool, Option(Boolean(), "`false`: as if not written.", "live")] = True


class RetentionSettings(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`[retention.NAME]`: files that are removed when they are old."""

    files: Annotated[tuple[str, ...], Option(ListOf(FilePath(), least=1), "Globs.", "live")] = ()
    max_age: Annotated[
        float | None,
        Option(Duration(positive=True), "Removed when older.", "live", default="however new, but for `keep`"),
    ] = None
    keep: Annotated[int, Option(Whole(0), "The newest so many stay, however old.", "live")] = 0
    enabled: Annotated[bool, Option(Boolean(), "`false`: as if not written.", "live")] = True


def needed(*keys: str) -> Any:
    """A rule: these keys must be written."""

    def rule(at: At, written: dict[str, Any], values: dict[str, Any]) -> None:
        for key in keys:
            if key not in written:
                at.wrong(f"has no `{key}`")

    return rule


def _retention_rule(at: At, written: dict[str, Any], values: dict[str, Any]) -> None:
    if "max_age" not in written and not values.get("keep"):
        at.wrong("would remove every file that matches: write `max_age`, or how many to `keep`")


class StoreSettings(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`[store]`: the journal and its SQL view."""

    url: Annotated[
        str | None,
        Option(DatabaseUrl(), "The database.", "live", default="SQLite, `events.db` in `state_dir`"),
    ] = None
    max_age: Annotated[
        float | None,
        Option(Duration(positive=True), "Lines and rows are kept so long.", "live", default="for ever"),
    ] = None


class AlertSettings(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`[alerts]`: who is told."""

    urls: Annotated[tuple[str, ...], Option(ListOf(Text("a URL")), "Targets of Apprise.", "live")] = ()
    command: Annotated[tuple[str, ...] | None, Option(Command(), "Gets the event as JSON on stdin.", "live")] = None
    shell: Annotated[bool, Option(Boolean(), "Give `command`, a string, to `/bin/sh -c`.", "live")] = False
    file: Annotated[str | None, Option(FilePath(), "Written for each alert.", "live")] = None
    level: Annotated[str, Option(LEVELS, "From this severity on.", "live")] = "warning"
    repeat: Annotated[
        float | None,
        Option(
            Duration(positive=True),
            "The same alert at most so often; while what it tells of lasts, again so often.",
            "live",
            default="1h for what is said once more; what merely lasts is told once",
        ),
    ] = None


JOB = Table(JobSettings, program_rule, one_program, _schedule_rule)
RECOVER = Table(RecoverSettings, _recover_rule)
ACTIVITY = Table(ActivitySettings, needed("any", "within"))
RETENTION = Table(RetentionSettings, needed("files"), _retention_rule)
STORE = Table(StoreSettings)
ALERTS = Table(AlertSettings, program_rule)
