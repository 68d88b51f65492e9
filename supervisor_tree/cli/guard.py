"""`guard SCRIPT [ARGS…]`: run a script, and heal what its exit status and output tell of.

The drop-in for guardian_wrapper.sh. The script is our own child, with or without a running tree, and our exit status is
its own: cron shall know that the first check failed, whatever was mended. Restarts are the tree's to do.
"""

from __future__ import annotations

import os
import sys

from supervisor_tree.cli.errors import CommandError, did_you_mean
from supervisor_tree.cli.parser import WITH_VALUE, add_target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence

    from supervisor_tree.cli.target import Target
    from supervisor_tree.config import Plan
    from supervisor_tree.config.job_settings import JobSettings, RecoverSettings

OUR_STATUS = 125
"""Exit status of every error of ours, so that none is taken for the script's."""
_VALUES = (*WITH_VALUE, "--recover")


def arguments(parser: ArgumentParser) -> None:
    parser.usage = "%(prog)s [-c FILE] [-t NAME] [--recover RULE] SCRIPT [ARGS …]"
    parser.add_argument("script", metavar="SCRIPT", help="what is run; all that follows are its arguments")
    parser.add_argument(
        "--recover",
        metavar="RULE",
        help="the rule [recover.RULE] (default: those of the job that runs SCRIPT, else [recover.guardian], else the "
        "same recipe built in)",
    )
    parser.set_defaults(takes_rest=True)
    add_target(parser)


def split(argv: list[str]) -> list[str]:
    """The command line with ``--`` behind SCRIPT: what follows is the script's, options too."""
    at = 0
    while at < len(argv) and argv[at].startswith("-"):
        at += 2 if argv[at] in _VALUES else 1
    rest = argv[at + 1 :]
    return [*argv[: at + 1], "--", *(rest[1:] if rest[:1] == ["--"] else rest)]


def run(args: Namespace) -> int:
    from supervisor_tree.cli.guarding import Guard

    target, files = _tree(args)
    plan, trouble = _plan(files)
    if args.recover is not None and (plan is None or args.recover not in plan.recover):
        known = sorted(plan.recover) if plan is not None else []
        raise CommandError("usage", f"there is no [recover.{args.recover}]", did_you_mean(args.recover, known))
    folder = plan.dir if plan is not None else os.getcwd()
    job = _job_of(plan, args.script, folder) if plan is not None else None
    guard = Guard(
        script=args.script,
        folder=folder,
        state_dir=plan.state_dir if plan is not None else None,
        outcomes=dict(job.outcome) if job is not None else {},
        success=job.success if job is not None else (0,),
        timeout=job.timeout if job is not None else None,
        rules=_rules(plan, job, args.recover, folder),
        target=target,
        about=job.name if job is not None else None,
    )
    if trouble:
        guard.cannot_recover(trouble)
    program, found = _program(args.script, folder, job)
    if not found:
        guard.say(("ERROR", f"Script not found: {args.script}"))
        raise CommandError("usage", f"{args.script}: there is no such script", "it is looked for here, and on PATH")
    return guard.run([*program, *(args.rest or [])])


def _tree(args: Namespace) -> tuple[Target | None, list[str] | None]:
    """The running tree that is meant, and the files of the tree that is meant; None: there is none."""
    from supervisor_tree.cli import target

    try:
        found = target.find(args.config, args.tree)
    except CommandError as error:
        if args.tree or error.code not in ("not_running", "unreachable", "config"):
            raise
        named = os.environ.get("SUPERVISOR_TREE_CONFIG")
        files = args.config or (named.split(os.pathsep) if named else None)
        return None, files or (["tree.toml"] if os.path.exists("tree.toml") else None)
    if not (args.config or args.tree or os.environ.get("SUPERVISOR_TREE_CONFIG") or os.path.exists("tree.toml")):
        # The only tree that runs is meant where the script is one of its own, and no other that happens to run.
        own = os.path.join(os.path.dirname(os.path.realpath(found.file)), "")
        if not os.path.realpath(args.script).startswith(own):
            return None, None
    return found, args.config or [found.file]


def _plan(files: list[str] | None) -> tuple[Plan | None, str]:
    """What the files say, or why they can't be used: a mistake in them keeps no health check from being run."""
    if files is None:
        return None, ""
    from supervisor_tree import config

    try:
        return config.load(files, os.environ), ""
    except (config.ConfigError, OSError) as error:
        print(error, file=sys.stderr)
        return None, f"the tree file can't be used: {str(error).splitlines()[0]}"


def _rules(plan: Plan | None, job: JobSettings | None, named: str | None, folder: str) -> dict[str, RecoverSettings]:
    from supervisor_tree.config import recovering

    if plan is not None and named is not None:
        return {named: plan.recover[named]}
    if plan is not None and job is not None and job.recover:
        return {name: plan.recover[name] for name in job.recover if name in plan.recover}
    if plan is not None and "guardian" in plan.recover:
        return {"guardian": plan.recover["guardian"]}
    return {"guardian": recovering.guardian(folder)}


def _job_of(plan: Plan, script: str, folder: str) -> JobSettings | None:
    """The job whose command runs this script; one that has rules before one that has none."""
    from supervisor_tree.config.variables import MARK

    wanted = os.path.realpath(_path(script, folder) or script)

    def runs(job: JobSettings) -> bool:
        commands = [job.command or (), *(stage.command or () for stage in job.stages)]
        words = (word for command in commands for part in command for word in (part.split() if job.shell else [part]))
        paths = (os.path.join(job.cwd or plan.dir, word) for word in words)
        # What a run alone knows, `${run.id}` and the like, is in the name of no script.
        return any(os.path.realpath(path) == wanted for path in paths if MARK not in path)

    found = [job for job in plan.jobs.values() if runs(job)]
    return next((job for job in found if job.recover), found[0] if found else None)


def _path(script: str, folder: str) -> str | None:
    """Where the script lies: here, or in the tree's folder."""
    return next((path for path in (script, os.path.join(folder, script)) if os.path.isfile(path)), None)


def _program(script: str, folder: str, job: JobSettings | None) -> tuple[list[str], bool]:
    """How the script is run: as its job does, else by its own interpreter; and whether there is one."""
    path = _path(script, folder)
    if path is None:
        import shutil

        found = shutil.which(script) if os.path.basename(script) == script else None
        return ([found], True) if found else ([], False)
    path = os.path.abspath(path)
    if job is not None and job.command is not None and not job.shell and len(job.command) > 1:
        from supervisor_tree.config.environment import absolute
        from supervisor_tree.config.variables import MARK

        before = [part for part in job.command if os.path.basename(part) == os.path.basename(script)]
        words = job.command[: job.command.index(before[0])] if before else ()
        if before and not any(MARK in word for word in (*words, job.cwd or "")):
            return [*absolute(words, job.cwd or folder), path], True
    if path.endswith(".py"):
        return [_python((os.path.dirname(path), folder)), path], True
    return ([path] if os.access(path, os.X_OK) else ["/bin/sh", path]), True


def _python(folders: Sequence[str]) -> str:
    """The interpreter of a virtual environment beside the script, else `python3`, else ours."""
    import shutil

    for folder in folders:
        for name in ("venv", ".venv"):
            found = os.path.join(folder, name, "bin", "python")
            if os.access(found, os.X_OK):
                return found
    return shutil.which("python3") or sys.executable
