"""What tests of jobs look at: JOB and RUN of a tree that runs, asked of its root."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.support.reading import json_lines
from tests.support.tree import Tree
from tests.support.waiting import PATIENCE, eventually

Fields = dict[str, Any]


def job(t: Tree, name: str) -> Fields:
    """JOB of configuration §4."""
    (found,) = t.ask("jobs", names=[name])
    return dict(found)


def runs(t: Tree, name: str, **wanted: Any) -> list[Fields]:
    """RUNs of a job, the oldest first, of which these fields have these values."""
    found = t.ask("runs", names=[name])
    return [run for run in reversed(found) if all(run[key] == value for key, value in wanted.items())]


def wait_runs(t: Tree, name: str, count: int, patience: float = PATIENCE, **wanted: Any) -> list[Fields]:
    """As `runs`, once there are so many."""
    found = eventually(
        lambda: those if len(those := runs(t, name, **wanted)) >= count else None,
        lambda: f"{count} runs of {name} with {wanted}; there are {runs(t, name)}",
        patience,
    )
    assert found is not None
    return found


def wait_job(t: Tree, name: str, fits: Callable[[Fields], Any], what: str, patience: float = PATIENCE) -> Fields:
    """JOB, once it fits."""
    found = eventually(
        lambda: one if fits(one := job(t, name)) else None, lambda: f"{name}: {what}; it is {job(t, name)}", patience
    )
    assert found is not None
    return found


def ended(t: Tree, name: str, count: int) -> list[Fields]:
    """The journal's lines `run_ended` of a job, once there are so many: they follow the end, with its last lines."""
    found = eventually(
        lambda: those if len(those := t.events("run_ended", name)) >= count else None, f"{count} ends of {name}"
    )
    assert found is not None
    return found


def status(t: Tree, name: str) -> Fields:
    """`last_run_status.json`; empty while there is none."""
    file = t.state_dir / "jobs" / name / "last_run_status.json"
    return dict(json.loads(file.read_text())) if file.exists() else {}


def records(t: Tree, name: str) -> list[Fields]:
    """`runs.jsonl`."""
    return json_lines(t.state_dir / "jobs" / name / "runs.jsonl")


def lines(t: Tree, file: str) -> list[str]:
    """Lines of a file in the tree's folder; none where there is no file."""
    path = t.dir / file
    return path.read_text().splitlines() if path.exists() else []


def wait_lines(t: Tree, file: str, count: int, patience: float = PATIENCE) -> list[str]:
    """As `lines`, once there are so many."""
    found = eventually(
        lambda: those if len(those := lines(t, file)) >= count else None,
        lambda: f"{count} lines in {file}; there are {lines(t, file)}",
        patience,
    )
    assert found is not None
    return found
