"""The tables of the tree itself: `[tree]`, `[supervisors.*]`, `[workers.*]`. Each option is defined here, once.

Parser, default, schema, reference, reload class and diff are all read from these classes (`reading.Option`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Struct

from supervisor_tree.config.containers import Anything, ListOf, MapOf
from supervisor_tree.config.kinds import (
    Boolean,
    Choice,
    Duration,
    FilePath,
    Member,
    Number,
    SignalName,
    Size,
    Text,
    Whole,
    WordsOr,
)
from supervisor_tree.config.probes import Probe, probes
from supervisor_tree.config.program_kinds import (
    Command,
    Environment,
    EnvValue,
    ExitStatus,
    InheritEnv,
    Instances,
    Limits,
    Outcomes,
    Umask,
    program_rule,
)
from supervisor_tree.config.python_kinds import Interpreter, Module, Target, Used
from supervisor_tree.config.reading import At, Option, Table
from supervisor_tree.config.tree_kinds import BackoffKeys, LogKeys, LogSettings, Name
from supervisor_tree.core.spec import AutoShutdown, Backoff, Level, Restart, Shutdown, Strategy

SHUTDOWN = WordsOr(("brutal_kill", "infinity"), Duration())
NO_BACKOFF = Backoff()


class TreeSettings(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`[tree]`: the tree and its root supervisor."""

    name: Annotated[str | None, Option(Name(), "What the tree is called.", "tree", default="name of the folder")] = None
    dir: Annotated[
        str | None,
        Option(FilePath(), "Base of every relative path here and default cwd.", "tree", default="this file's folder"),
    ] = None
    state_dir: Annotated[str, Option(FilePath(), "Where the tree keeps its files.", "tree")] = ".supervisor-tree"
    run_dir: Annotated[
        str | None,
        Option(
            FilePath(),
            "Where the sockets lie.",
            "tree",
            default="`$XDG_RUNTIME_DIR/supervisor-tree/ID` where that lasts, else `/tmp/supervisor-tree-UID/ID`",
        ),
    ] = None
    env_file: Annotated[
        tuple[str, ...],
        Option(
            ListOf(FilePath(may_be_missing=True)),
            "Variables for `${}` and for every child; later wins; `?`: may be missing.",
            "live",
        ),
    ] = ()
    include: Annotated[
        tuple[str, ...],
        Option(
            ListOf(FilePath(may_be_missing=True)),
            "Files read after this one; tables merge, any other value replaces.",
            "live",
        ),
    ] = ()
    make_dirs: Annotated[tuple[str, ...], Option(ListOf(FilePath()), "Folders made at the start.", "live")] = ()
    strategy: Annotated[Strategy, Option(Member(Strategy), "Who else is restarted when one child must be.", "live")] = (
        Strategy.ONE_FOR_ONE
    )
    intensity: Annotated[
        int | None,
        Option(
            Whole(0),
            "Restarts allowed within `period` before the root gives up.",
            "live",
            default="none: it never gives up, backoff slows",
        ),
    ] = None
    period: Annotated[float, Option(Duration(positive=True), "The sliding window of `intensity`.", "live")] = 60.0
    on_give_up: Annotated[
        Literal["exit", "hold"] | float,
        Option(
            WordsOr(("hold", "exit"), Duration(positive=True)),
            "With an intensity: hold what fails, end with status 1, or hold and try once after a duration.",
            "live",
        ),
    ] = "hold"
    children: Annotated[
        tuple[str, ...] | None,
        Option(
            ListOf(Name()),
            "Children of the root, in order.",
            "live",
            default="all that no supervisor names, in the order of their headers",
        ),
    ] = None
    auto_shutdown: Annotated[
        AutoShutdown, Option(Member(AutoShutdown), "Whether the end of significant children ends the tree.", "live")
    ] = AutoShutdown.NEVER
    keep_awake: Annotated[bool, Option(Boolean(), "Keep the machine awake while the tree runs.", "live")] = False
    max_runs: Annotated[int, Option(Whole(1, 10_000), "Runs of jobs at once.", "live")] = 4


class SupervisorSettings(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`[supervisors.NAME]`: an inner node of the tree."""

    name: str
    strategy: Annotated[
        Strategy,
        Option(
            Member(Strategy),
            "Who else is restarted when one child must be; `simple_one_for_one`: children made at run time.",
            "live",
        ),
    ] = Strategy.ONE_FOR_ONE
    children: Annotated[tuple[str, ...], Option(ListOf(Name()), "Children, in the order of their start.", "live")] = ()
    intensity: Annotated[int, Option(Whole(0), "Restarts allowed within `period` before it gives up.", "live")] = 5
    period: Annotated[float, Option(Duration(positive=True), "The sliding window of `intensity`.", "live")] = 60.0
    auto_shutdown: Annotated[
        AutoShutdown, Option(Member(AutoShutdown), "Whether the end of significant children ends it.", "live")
    ] = AutoShutdown.NEVER
    restart: Annotated[Restart, Option(Member(Restart), "When it is restarted after it ended.", "live")] = (
        Restart.PERMANENT
    )
    shutdown: Annotated[Shutdown, Option(SHUTDOWN, "How long its children have to stop.", "live")] = "infinity"
    significant: Annotated[bool, Option(Boolean(), "Whether its end counts for the `auto_shutdown` above.", "live")] = (
        False
    )
    backoff: Annotated[
        Backoff, Option(BackoffKeys(), "The delay before it is restarted.", "live", default="as for workers")
    ] = NO_BACKOFF
    enabled: Annotated[bool, Option(Boolean(), "`false`: as if not written.")] = True


class ProgramSettings(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What workers and jobs have in common: a program, its surroundings, its end."""

    name: str
    instance: str | None = None
    command: Annotated[tuple[str, ...] | None, Option(Command(), "The program and its arguments.", shared=False)] = None
    run: Annotated[str | None, Option(Target(), "A Python class or function to run.", shared=False)] = None
    use: Annotated[str | None, Option(Used(), "A worker that comes with the package or a plug-in.", shared=False)] = (
        None
    )
    shell: Annotated[bool, Option(Boolean(), "Give `command`, a string, to `/bin/sh -c`.")] = False
    args: Annotated[dict[str, Any], Option(MapOf(Anything()), "Arguments of `run` or `use`.", shared=False)] = {}
    preload: Annotated[
        tuple[str, ...], Option(ListOf(Module()), "Modules imported before the fork, for `run` and `use`.")
    ] = ()
    python: Annotated[
        str | None, Option(Interpreter(), "The interpreter of `run` and `use`.", default="that of `start`")
    ] = None
    instances: Annotated[
        tuple[str, ...] | None,
        Option(
            Instances(),
            "Makes NAME@1 … NAME@N, or NAME@each of the list; `${self.instance}` tells which.",
            shared=False,
        ),
    ] = None
    env_file: Annotated[
        tuple[str, ...],
        Option(
            ListOf(FilePath(may_be_missing=True)),
            "Files of variables, read at each start; later wins; `?`: may be missing.",
        ),
    ] = ()
    env: Annotated[dict[str, EnvValue], Option(Environment(), "Variables; `false` removes one.")] = {}
    inherit_env: Annotated[
        bool | tuple[str, ...], Option(InheritEnv(), "What of the environment of `start` is passed on.")
    ] = True
    cwd: Annotated[str | None, Option(FilePath(), "Working directory.", default="`tree.dir`")] = None
    user: Annotated[
        str | None,
        Option(
            Text("a user"),
            "Run as this user (interpreter and `preload`, too): sets HOME, USER, LOGNAME, SHELL and groups.",
        ),
    ] = None
    group: Annotated[str | None, Option(Text("a group"), "Run in this group.")] = None
    umask: Annotated[int | None, Option(Umask(), "File mode bits to clear.", default="that of `start`")] = None
    nice: Annotated[
        int | None, Option(Whole(-20, 19), "Scheduling priority; higher is kinder.", default="that of `start`")
    ] = None
    limits: Annotated[
        dict[str, int | tuple[int, int]], Option(Limits(), "Resource limits (`setrlimit`), lower case.")
    ] = {}
    needs: Annotated[
        dict[str, Level],
        Option(
            MapOf(Member(Level), "worker, instance set or supervisor"),
            "What must have come how far before a start.",
            "live",
            shared=False,
        ),
    ] = {}
    require: Annotated[
        tuple[Probe, ...], Option(probes("require"), "Asked before each start; while one fails: held.", "live")
    ] = ()
    success: Annotated[
        tuple[int | str, ...],
        Option(ListOf(ExitStatus()), "Exit statuses and signals that are no failure; the whole list.", "live"),
    ] = (0,)
    outcome: Annotated[dict[str, str], Option(Outcomes(), "Names for results.", "live")] = {}
    backoff: Annotated[
        Backoff,
        Option(
            BackoffKeys(),
            "The delay before a restart (of a job: the least delay after a failure).",
            "live",
            default="first 0, initial 1s, factor 2, max 5m, jitter 0.1, reset 5m",
        ),
    ] = NO_BACKOFF
    shutdown: Annotated[Shutdown, Option(SHUTDOWN, "From the request to stop to the kill.", "live")] = 10.0
    stop_signal: Annotated[str, Option(SignalName(), "The request to stop.")] = "TERM"
    stop_command: Annotated[
        tuple[str, ...] | None, Option(Command(), "A program that stops it, instead of `stop_signal`.")
    ] = None
    stop_to: Annotated[
        str, Option(Choice("group", "leader"), "Who gets `stop_signal`; KILL is always to the group.")
    ] = "group"
    sweep: Annotated[bool, Option(Boolean(), "`false`: leave daemons that it started on purpose.")] = True
    log: Annotated[
        LogSettings | None,
        Option(LogKeys(), "Where its output goes and how it is rotated.", default="`logs/NAME.log` in `state_dir`"),
    ] = None
    recover: Annotated[tuple[str, ...], Option(ListOf(Name()), "Recovery rules, `[recover.NAME]`.", "live")] = ()
    memory_max: Annotated[
        int | None, Option(Size(), "Memory of all its processes from which `on_limit` acts.", "live")
    ] = None
    cpu_max: Annotated[
        float | None,
        Option(Number(0, 10_000, more_than=True), "Cores, on average over 30 s, from which `on_limit` acts.", "live"),
    ] = None
    on_limit: Annotated[
        str,
        Option(
            Choice("restart", "alert"), "What a passed limit leads to; `restart` of a run: its attempt fails.", "live"
        ),
    ] = "restart"
    jitter: Annotated[float | None, Option(Duration(), "A random delay: of `max_age`, of a scheduled run.", "live")] = (
        None
    )
    enabled: Annotated[bool, Option(Boolean(), "`false`: as if not written.", shared=False)] = True
    autostart: Annotated[bool, Option(Boolean(), "`false`: there, `stopped` until `ctl start`.", "live")] = True

    @property
    def is_python(self) -> bool:
        """Whether it is Python, forked from a zygote, and no command."""
        return self.run is not None or self.use is not None


class WorkerSettings(ProgramSettings, frozen=True, kw_only=True, omit_defaults=True):
    """`[workers.NAME]`: one supervised program."""

    restart: Annotated[Restart, Option(Member(Restart), "When it is restarted after it ended.", "live")] = (
        Restart.PERMANENT
    )
    significant: Annotated[bool, Option(Boolean(), "Whether its end counts for the `auto_shutdown` above.", "live")] = (
        False
    )
    ready: Annotated[
        tuple[Probe, ...],
        Option(probes("ready"), "All pass: ready, which opens the gate of those who need it.", "live"),
    ] = ()
    start_timeout: Annotated[
        float, Option(Duration(positive=True), "Ready by then, else the start has failed.", "live")
    ] = 60.0
    health: Annotated[
        tuple[Probe, ...], Option(probes("health"), "Asked once it is ready; a failure leads to `then`.", "live")
    ] = ()
    reload_signal: Annotated[
        str | None,
        Option(
            SignalName(), "Sent by `ctl reload NAME`; without it a worker that speaks is told.", "live", shared=False
        ),
    ] = None
    max_age: Annotated[float | None, Option(Duration(positive=True), "Planned restart after so long.", "live")] = None
    watch: Annotated[
        tuple[str, ...],
        Option(ListOf(FilePath()), "Globs; a change is a planned restart. Needs the extra `watch`.", "live"),
    ] = ()


def one_program(at: At, written: dict[str, Any], values: dict[str, Any]) -> None:
    """Exactly one of `command`, `run` and `use`, and what goes with it."""
    said = [key for key in ("command", "run", "use") if key in written]
    if "stages" in written:
        if said:
            at.wrong("has `stages`, which name their own programs: leave this out", said[0])
        return
    if not said:
        at.wrong("names no program: write exactly one of command, run, use")
    elif len(said) > 1:
        at.wrong(f"has {' and '.join(f'`{key}`' for key in said)}: write exactly one of command, run, use")
    elif said == ["command"]:
        for key in ("args", "preload", "python"):
            if key in written:
                at.wrong("goes with `run` and `use`, not with `command`", key)


def supervisor_rule(at: At, written: dict[str, Any], values: dict[str, Any]) -> None:
    children = values.get("children", ())
    if values.get("strategy") is Strategy.SIMPLE_ONE_FOR_ONE and len(children) != 1 and "children" not in at_wrong(at):
        at.wrong(
            "must name exactly one worker, the template of simple_one_for_one",
            *(["children"] if "children" in written else []),
        )


def at_wrong(at: At) -> set[object]:
    """The keys of this table in which something is wrong already."""
    length = len(at.path)
    return {path[length] for path, _ in at.reading.problems if len(path) > length and path[:length] == at.path}


TREE = Table(TreeSettings)
SUPERVISOR = Table(SupervisorSettings, supervisor_rule)
WORKER = Table(WorkerSettings, program_rule, one_program)
