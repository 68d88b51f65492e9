"""`check`: read the tree file as `start` would, say everything that is wrong, or what it means."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from supervisor_tree.cli.parser import add_files, add_json

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from supervisor_tree.config import Plan, Problem
    from supervisor_tree.core.spec import SupervisorSpec

_EACH = 3
"""Descriptors of a worker in the keeper: its pidfd and two log pipes; one more where it speaks sd_notify."""
_OWN = 64
"""Descriptors for everything else, generously."""
_PIPE_PAGES = 16
_DRAWN = 200
"""Lines of the tree that are drawn; a tree of thousands is not read on a terminal."""


def arguments(parser: ArgumentParser) -> None:
    add_files(parser)
    add_json(parser)


def run(args: Namespace) -> int:
    from supervisor_tree import config

    try:
        found = config.Found(tuple(args.config)) if args.config else config.find(os.environ, example=True)
        plan = config.load(found.files, os.environ)
    except config.ConfigError as error:
        return _refuse(error, args.json)
    if args.json:
        _print_json(_as_json(plan))
    else:
        if found.example:
            print("no -c and no ./tree.toml here: this is the example tree that comes with the package")
        _show(plan)
    return 0


def _refuse(error: Any, as_json: bool) -> int:
    if as_json:
        problems = [_problem(problem) for problem in error.errors]
        mend = "mend these and run `supervisor-tree check` again"
        _print_json({"error": {"code": "config", "message": str(error), "mend": mend, "problems": problems}})
    else:
        print(error, file=sys.stderr)
    return 2


def _print_json(data: Any) -> None:
    import json

    print(json.dumps(data, ensure_ascii=False))


def _problem(problem: Problem) -> dict[str, Any]:
    return {"file": problem.file, "line": problem.line, "key": problem.key, "message": problem.message}


def _as_json(plan: Plan) -> dict[str, Any]:
    from supervisor_tree.config.crash_loops import fates

    def child(spec: Any) -> dict[str, Any]:
        if spec.name not in plan.workers:
            return {
                "name": spec.name,
                "type": "supervisor",
                "strategy": str(spec.strategy),
                "intensity": spec.intensity,
                "period": spec.period,
                "children": [child(below) for below in spec.children],
            }
        needs = [{"name": need.path.rpartition("/")[2], "level": str(need.level)} for need in spec.needs]
        return {"name": spec.name, "type": "worker", "restart": str(spec.restart), "needs": needs}

    return {
        "tree": plan.name,
        "file": plan.file,
        "files": list(plan.files),
        "dir": plan.dir,
        "state_dir": plan.state_dir,
        "run_dir": _run_dir(plan),
        "children": child(plan.root)["children"],
        "jobs": list(plan.jobs),
        "schedules": _schedules(plan),
        "crash_loops": [
            {"name": fate.name, "text": fate.text, "given_up": fate.given_up, "every": fate.every}
            for fate in fates(plan)
        ],
        "held": plan.held,
        "budget": _budget(plan),
        "warnings": [_problem(problem) for problem in plan.warnings],
        "not_yet": [_problem(problem) for problem in plan.not_yet],
    }


def _run_dir(plan: Plan) -> str:
    from supervisor_tree.root import rundir

    return rundir.place(plan.run_dir, plan.state_dir)


def _show(plan: Plan) -> None:
    count = (
        f"{_many(len(plan.paths) - 1 - len(plan.supervisors), 'worker')}, {_many(len(plan.supervisors), 'supervisor')}"
    )
    jobs = f", {_many(len(plan.jobs), 'job')}" if plan.jobs else ""
    print(f"{', '.join(_short(file) for file in plan.files)}: tree {plan.name}, {count}{jobs}\n")
    lines = _tree(plan)
    wide = min(max((len(left) for left, _ in lines[:_DRAWN]), default=0), 44)
    for left, right in lines[:_DRAWN]:
        print(f"{left:<{wide}}  {right}".rstrip())
    if len(lines) > _DRAWN:
        print(f"… and {len(lines) - _DRAWN} more")
    _show_jobs(plan)
    print(f"\nstate    {plan.state_dir}\nsockets  {_run_dir(plan)}")
    _show_budget(plan)
    for title, problems in (("warnings", plan.warnings), ("not yet run by this version", plan.not_yet)):
        if problems:
            print(f"\n{title}:")
            for problem in problems:
                print(f"  {problem}")


def _schedules(plan: Plan) -> list[dict[str, Any]]:
    """Of each job when it is due, in words, and when next; None: at once (`every`), or never by itself."""
    if not plan.jobs:
        return []
    from supervisor_tree.cli.times import now
    from supervisor_tree.config import schedules
    from supervisor_tree.root.clocks import rfc3339

    found = []
    for name, settings in plan.jobs.items():
        due = schedules.next_run(settings, now())
        when = None if due is None else rfc3339(due)
        text = schedules.schedule_text(settings)
        found.append({"name": name, "schedule": text, "next": when, "calendar_ends": schedules.calendar_ends(settings)})
    return found


_SOON = 90 * 86400.0
"""Seconds before the end of a calendar's table in which it is said."""


def _show_jobs(plan: Plan) -> None:
    from supervisor_tree.cli.times import now, unix

    rows = _schedules(plan)
    if rows:
        print("\njobs")
    for row in rows:
        words = row["schedule"] or f"by hand: ctl run {row['name']}"
        if row["name"] in plan.held:
            words = f"held: {plan.held[row['name']]}"
        elif row["next"]:
            words += f", next {row['next']}"
        elif row["schedule"].startswith("at "):
            words += ", which is past"
        if row["name"] not in plan.held and plan.jobs[row["name"]].run_at_start:
            words += "; at each start of the tree"
        print(f"  {row['name']}  {words}")
        if row["calendar_ends"] and unix(f"{row['calendar_ends']}T00:00:00Z") < now() + _SOON:
            print(f"    its calendar is known until {row['calendar_ends']}; after that every weekday counts")


def _many(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _short(file: str) -> str:
    relative = os.path.relpath(file)
    return relative if len(relative) < len(file) else file


def _tree(plan: Plan) -> list[tuple[str, str]]:
    """Lines of the drawn tree: the branch, and what happens there."""
    from supervisor_tree.config.crash_loops import fates
    from supervisor_tree.core.spec import SupervisorSpec

    ends = {fate.name: fate.text for fate in fates(plan)}
    lines = [("root", _about(plan.root))]

    def walk(supervisor: SupervisorSpec, indent: str) -> None:
        for number, spec in enumerate(supervisor.children):
            last = number == len(supervisor.children) - 1
            left = f"{indent}{'└─' if last else '├─'} {spec.name}"
            if isinstance(spec, SupervisorSpec):
                lines.append((left, _about(spec)))
                walk(spec, indent + ("   " if last else "│  "))
            else:
                lines.append((left, _about_worker(plan, spec.name, ends)))

    walk(plan.root, "")
    return lines


def _about(supervisor: Any) -> str:
    from supervisor_tree.config.reference_page import duration_text

    if supervisor.intensity is None:
        return f"{supervisor.strategy}, never gives up"
    most = f"{_many(supervisor.intensity, 'restart')} in {duration_text(supervisor.period)}"
    return f"{supervisor.strategy}, gives up above {most}"


def _about_worker(plan: Plan, name: str, ends: dict[str, str]) -> str:
    settings = plan.workers[name]
    said = [f"held: {plan.held[name]}"] if name in plan.held else []
    if name not in ends:
        said.append("template")
    elif settings.restart == "temporary":
        said.append("temporary: not restarted")
    else:
        kind = "" if settings.restart == "permanent" else f"{settings.restart}, "
        said.append(f"{kind}if it crashes at once: {ends[name]}")
    if not settings.autostart:
        said.append("stopped until `ctl start`")
    if settings.needs:
        said.append("needs " + ", ".join(f"{needed} {level}" for needed, level in settings.needs.items()))
    return "; ".join(said)


def _budget(plan: Plan) -> dict[str, Any]:
    """What the keeper will hold, and what it may (processes.md 10)."""
    import resource

    from supervisor_tree.config.programs import listens

    workers = len(plan.paths) - 1 - len(plan.supervisors)
    sockets = sum(listens(settings) for name, settings in plan.workers.items() if name in plan.paths)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return {
        "descriptors": _EACH * workers + sockets + _OWN,
        "descriptors_limit": None if hard == resource.RLIM_INFINITY else hard,
        "pipes": 2 * workers,
        "pipes_full_size": _pipes("soft"),
        "pipes_limit": _pipes("hard"),
    }


def _pipes(which: str) -> int | None:
    """Pipes of full size that this user may have; None: no limit, or none that is known."""
    if os.geteuid() == 0:
        return None
    try:
        with open(f"/proc/sys/fs/pipe-user-pages-{which}", encoding="ascii") as opened:
            pages = int(opened.read())
    except (OSError, ValueError):
        return None
    return pages // _PIPE_PAGES if pages else None


def _show_budget(plan: Plan) -> None:
    budget = _budget(plan)
    limit = budget["descriptors_limit"]
    print(f"budget   {budget['descriptors']} descriptors (limit {limit or 'none'}), {budget['pipes']} log pipes")
    if limit is not None and budget["descriptors"] > limit:
        print(f"  too many descriptors: `start` will fail; raise the hard limit, `ulimit -Hn {budget['descriptors']}`")
    if budget["pipes_limit"] is not None and budget["pipes"] > budget["pipes_limit"]:
        print("  too many pipes: some workers will not start; raise fs.pipe-user-pages-hard")
    elif budget["pipes_full_size"] is not None and budget["pipes"] > budget["pipes_full_size"]:
        print(f"  above {budget['pipes_full_size']} pipes the system makes them smaller; raise fs.pipe-user-pages-soft")
