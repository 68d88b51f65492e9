"""`ctl jobs`, `ctl runs` and `ctl run`: what is due, what has run and how, and a run by hand."""

from __future__ import annotations

import os
import sys

from supervisor_tree.cli import results, table, times
from supervisor_tree.cli.ask import Root
from supervisor_tree.cli.errors import DONE, FAILED, CommandError
from supervisor_tree.cli.parser import add_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable, Iterable
    from typing import Any

OUR_STATUS = 125
"""Exit status of `ctl run --wait` when there was no program whose own it could be."""
_RUNS = 20
"""Runs shown when nothing else is said."""
_COLOURS = {
    "running": "green",
    "succeeded": "green",
    "waiting": "yellow",
    "failed": "red",
    "timed_out": "red",
    "interrupted": "yellow",
    "skipped": "dim",
    "cancelled": "dim",
}
_JOB_COLOURS = {"running": "green", "waiting": "yellow", "removed": "yellow", "idle": "dim"}
_KINDS = (
    "run_due", "run_waiting", "run_started", "stage_started", "stage_ended", "run_retried", "run_ended", "run_skipped",
    "run_missed", "run_overdue", "run_longer_than_usual", "job_failing", "job_unexpected_exit",
)  # fmt: skip
"""What happens to runs."""


def _jobs_arguments(parser: ArgumentParser) -> None:
    add_names(parser, "only these (default: all)")


def _runs_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("names", metavar="JOB", nargs="*", help="of these jobs (default: all)")
    parser.add_argument("-f", dest="follow", action="store_true", help="go on with what happens, stage by stage")
    parser.add_argument("-n", dest="newest", metavar="N", help=f"the newest N (default: {_RUNS})")


def _run_arguments(parser: ArgumentParser) -> None:
    parser.usage = "%(prog)s [options] JOB [-- ARGS …]"
    parser.add_argument("name", metavar="JOB", help="a job, or all of an instance set; ARGS are put behind its command")
    wait = "until it has ended; then with its exit status (of a set: the first that is not 0)"
    parser.add_argument("--wait", action="store_true", help=wait)
    parser.add_argument("--reason", metavar="TEXT", help="why, for the journal")
    parser.set_defaults(takes_rest=True)


# Looking


def jobs(args: Namespace) -> int:
    with Root.of(args) as root:
        found = root.ask("jobs", names=args.names)
    if args.json:
        table.print_json(found)
        return DONE
    if not found:
        print("this tree has no jobs")
        return DONE
    at = times.now()
    rows = [
        (job["name"], _job_state(job), _last(job.get("last"), at), _next(job, at), _failures(job), _remark(job, at))
        for job in found
    ]
    table.show(("JOB", "STATE", "LAST", "NEXT", "FAILED", "REMARK"), rows, right=("FAILED",))
    return DONE


def runs(args: Namespace) -> int:
    newest = _RUNS if args.newest is None else _count(args.newest)
    with Root.of(args) as root:
        if args.follow:
            return _follow(root, args, 10 if args.newest is None else newest)
        found = root.ask("runs", names=args.names, n=newest)
    if args.json:
        table.print_json(found)
        return DONE
    if not found:
        print("nothing has run yet")
        return DONE
    at = times.now()
    head = ("JOB", "RUN", "STATE", "CAUSE", "STARTED", "TOOK", "EXIT", "REMARK")
    rows: list[tuple[str | table.Cell, ...]] = []
    for run in found:
        rows.append(_run_row(run, at))
        if run["state"] in ("running", "failed", "timed_out", "interrupted"):
            rows += _stage_rows(run, at)
    table.show(head, rows, right=("TOOK",))
    return DONE


def _run_row(run: dict[str, Any], at: float) -> tuple[str | table.Cell, ...]:
    return (
        run["job"],
        run["run"],
        _state(run["state"]),
        run.get("cause") or "",
        times.relative(times.unix(run["started"]), at) if run.get("started") else "-",
        _took(run, at),
        _exit(run),
        _run_remark(run),
    )


def _stage_rows(run: dict[str, Any], at: float) -> Iterable[tuple[str | table.Cell, ...]]:
    for stage in run.get("stages") or ():
        yield _part_row(f"  {stage['name']}", stage, at)
        for task in stage.get("instances") or ():
            yield _part_row(f"    @{task['instance']}", task, at)


def _part_row(name: str, part: dict[str, Any], at: float) -> tuple[str | table.Cell, ...]:
    said = [f"{part['tries']} tries"] if (part.get("tries") or 1) > 1 else []
    if part.get("kept"):
        said.append("done before")
    if part.get("critical") is False:
        said.append("not critical")
    if part.get("reason"):
        said.append(str(part["reason"]))
    started = times.relative(times.unix(part["started"]), at) if part.get("started") else ""
    return ("", name, _state(part["state"]), "", started, _took(part, at), _exit(part), ", ".join(said))


def _state(word: str) -> table.Cell:
    return table.Cell(word.replace("_", " "), _COLOURS.get(word, ""))


def _job_state(job: dict[str, Any]) -> table.Cell:
    if job["state"] in ("held", "stopped"):
        return table.state(job["state"])
    return table.Cell(job["state"], _JOB_COLOURS.get(job["state"], ""))


def _last(run: dict[str, Any] | None, at: float) -> table.Cell:
    """How the last run ended, and when."""
    if run is None:
        return table.Cell("never", "dim")
    word = run["outcome"] or run["state"].replace("_", " ")
    when = run.get("ended") or run.get("started") or run.get("scheduled")
    told = f"{word} {times.relative(times.unix(when), at)}" if when else word
    return table.Cell(told, "" if run["state"] == "succeeded" else _COLOURS.get(run["state"], ""))


def _next(job: dict[str, Any], at: float) -> str:
    if not job.get("next"):
        return "-"
    due = times.unix(job["next"])
    return f"{times.clock(due, at)} ({times.relative(due, at)})" if due > at else f"due {times.relative(due, at)}"


def _failures(job: dict[str, Any]) -> str:
    return str(job["failures"]) if job.get("failures") else "-"


def _remark(job: dict[str, Any], at: float) -> str:
    said = []
    if job.get("overdue"):
        said.append(f"late by {times.span(float(job['overdue']))}")
    if job.get("missed"):
        said.append("missed")
    if job.get("reason"):
        said.append(str(job["reason"]))
    if job.get("status"):
        said.append(str(job["status"]))
    running, last = job.get("running"), job.get("last")
    if running and running["state"] == "running":
        said.append(_run_remark(running))
    elif last and job["state"] in ("scheduled", "idle"):
        if last["state"] in ("failed", "timed_out", "interrupted"):
            said.insert(0, _run_remark(last))
        elif last["state"] == "succeeded":
            said.insert(0, _not_all_of_it(last))
    return ", ".join(part for part in said if part)


def _not_all_of_it(run: dict[str, Any]) -> str:
    """Which stages of a run that succeeded have failed, as those may that are not critical."""
    failed = [stage["name"] for stage in run.get("stages") or () if stage["state"] in ("failed", "timed_out")]
    return f"but {', '.join(failed)} failed" if failed else ""


def _run_remark(run: dict[str, Any]) -> str:
    said = []
    if run.get("outcome"):
        said.append(str(run["outcome"]))
    if (run.get("attempt") or 1) > 1:
        said.append(f"attempt {run['attempt']}")
    if run.get("reason"):
        said.append(str(run["reason"]))
    if run["state"] == "succeeded":
        said.append(_not_all_of_it(run))
    if run["state"] == "running" and run.get("stages"):
        done = sum(stage["state"] not in ("waiting", "running") for stage in run["stages"])
        now = next((stage["name"] for stage in run["stages"] if stage["state"] == "running"), None)
        said.append(f"{done} of {len(run['stages'])} stages done" + (f", now {now}" if now else ""))
    return ", ".join(part for part in said if part)


def _took(run: dict[str, Any], at: float) -> str:
    if not run.get("started"):
        return "-"
    end = times.unix(run["ended"]) if run.get("ended") else at
    return times.span(max(0.0, end - times.unix(run["started"])))


def _exit(run: dict[str, Any]) -> str:
    if run.get("exit") is not None:
        return str(run["exit"])
    return str(run["signal"]) if run.get("signal") else "-"


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise CommandError("usage", f"{text!r} is no number of runs", "write -n 20")
    return int(text)


def _follow(root: Root, args: Namespace, newest: int) -> int:
    from supervisor_tree.cli import events

    wanted = set(args.names)
    if wanted:
        root.ask("jobs", names=args.names)  # a name that is none is an error, not silence
    show = events.as_json if args.json else events.as_text

    def only(event: dict[str, Any]) -> None:
        if not wanted or event["name"] in wanted or str(event["name"]).partition("@")[0] in wanted:
            show(event)

    events.follow(root, None, newest, set(_KINDS), only)
    return DONE


# A run by hand


def run(args: Namespace) -> int:
    try:
        with Root.of(args) as root:
            names = [job["name"] for job in root.ask("jobs", names=[args.name])]
        answers = _ask_all(args, names)
    except CommandError as error:
        if args.wait and error.code in ("failed", "refused", "no_answer", "internal"):
            error.status = OUR_STATUS
        raise
    for data in answers:
        results.refuse(data)
    if args.json:
        told = [data.get("run") or data for data in answers]
        table.print_json(told[0] if len(told) == 1 else told)
    else:
        for name, data in zip(names, answers, strict=True):
            _tell(name, data, args)
    if args.wait:
        return next((status for data in answers if (status := _status(data))), DONE)
    return DONE if all(result["ok"] for data in answers for result in data["results"]) else FAILED


def _ask_all(args: Namespace, names: list[str]) -> list[dict[str, Any]]:
    """The answers of ``names``: one, or all of a set, which run at once and so are waited for at once."""
    if len(names) == 1 or not args.wait:
        return [_ask(args, name, shown=len(names) == 1) for name in names]
    import threading

    answers: dict[str, dict[str, Any]] = {}
    errors: list[CommandError] = []

    def ask(name: str) -> None:
        try:
            answers[name] = _ask(args, name, shown=False)
        except CommandError as error:
            errors.append(error)

    # Daemons: after ^C nobody waits for them.
    threads = [threading.Thread(target=ask, args=(name,), daemon=True) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return [answers[name] for name in names]


def _ask(args: Namespace, name: str, shown: bool) -> dict[str, Any]:
    with Root.of(args) as root:
        progress = results.Progress(root.target, f"running {name}") if shown else None
        try:
            asked = {"name": name, "args": args.rest or [], "wait": args.wait, "reason": args.reason}
            data: dict[str, Any] = root.ask("run", idle=progress, **asked)
            return data
        finally:
            if progress is not None:
                progress.clear()


def _tell(name: str, data: dict[str, Any], args: Namespace) -> None:
    result = data["results"][0] if data.get("results") else {"ok": False, "reason": "nothing was run"}
    record = data.get("run")
    if record is None:
        out = sys.stdout if result["ok"] else sys.stderr
        print(f"{name}: {'a run is asked for' if result['ok'] else 'failed'}{_because(result)}", file=out)
        return
    if not result["ok"] and record["state"] in ("running", "waiting"):  # that one is not ours
        print(f"{name}: failed{_because(result)}", file=sys.stderr)
        return
    if not args.wait:
        state = {"running": "has begun", "waiting": "waits"}.get(record["state"], record["state"].replace("_", " "))
        print(f"{name}: run {record['run']} {state}{_because(result)}")
        return
    took = f" in {_took(record, times.now())}" if record.get("started") and record.get("ended") else ""
    told = f"{name}: {record['state'].replace('_', ' ')}{took}{_because(result)}"
    if record.get("log") and record["state"] != "succeeded":
        told += f" (output: {os.path.relpath(record['log']) if _near(record['log']) else record['log']})"
    print(told, file=sys.stdout if record["state"] == "succeeded" else sys.stderr)


def _near(path: str) -> bool:
    return path.startswith(os.getcwd() + os.sep)


def _because(result: dict[str, Any]) -> str:
    return f" — {result['reason']}" if result.get("reason") else ""


def _status(data: dict[str, Any]) -> int:
    """The program's own exit status; 128+N for a signal; 1 where it ended well and the run did not."""
    record = data.get("run")
    if record is None:
        return OUR_STATUS
    if record.get("signal"):
        return 128 + _number(record["signal"])
    if record.get("exit") is None:
        return DONE if record["state"] == "succeeded" else OUR_STATUS
    code = int(record["exit"])
    return code if code or record["state"] == "succeeded" else FAILED


def _number(word: str | int) -> int:
    if isinstance(word, int):
        return word
    import signal

    return getattr(signal, word if word.startswith("SIG") else f"SIG{word}", signal.SIGKILL).value


VERBS: dict[str, tuple[Callable[[ArgumentParser], None], Callable[[Namespace], int]]] = {
    "jobs": (_jobs_arguments, jobs),
    "runs": (_runs_arguments, runs),
    "run": (_run_arguments, run),
}
